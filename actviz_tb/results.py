"""What reading a log gives: arrays with names. Needs neither torch nor, save for the conversions, pandas or xarray."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas
    import xarray

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_MAP_AXES = {"channels": ("sample", "channel", "y", "x"), "sequence": ("sample", "row", "column"), "vector": ("sample", "unit")}


class _Result:
    """Shows what is long by its size: a notebook is not flooded by its last expression."""

    __slots__ = ()

    def __repr__(self) -> str:
        parts = (f"{field.name}={_short(getattr(self, field.name))}" for field in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(parts)})"


def _short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return f"{type(value).__name__}[{len(value)}]" if isinstance(value, (dict, tuple)) and len(value) > 8 else repr(value)


def _optional(name: str, method: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"{method}() needs {name}: pip install {name}", name=name) from error


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Stats(_Result):
    """Statistics of one layer, over the S steps at which it was logged.

    Attributes:
        layer: its name. of: ``"activations"`` or ``"gradients"``.
        steps: int64 [S], ascending. wall_times_s: float64 [S], seconds since 1970.
        mean, std, min, max, rms, kurtosis: float64 [S], over the finite elements; NaN where there are none.
        zero, near_zero, saturated, nonfinite: float64 [S], shares of the elements: exactly zero; at most a thousandth of the RMS; near
            a bound of the activation function (NaN where it has none); NaN or infinite.
        dead_channels: float64 [S], share of the channels that are zero for every value.
        count, nan, posinf, neginf, channels: int64 [S], numbers of elements, and of channels.
    """

    layer: str
    of: str
    steps: Int64
    wall_times_s: Float64
    mean: Float64
    std: Float64
    min: Float64
    max: Float64
    rms: Float64
    kurtosis: Float64
    zero: Float64
    near_zero: Float64
    saturated: Float64
    nonfinite: Float64
    dead_channels: Float64
    count: Int64
    nan: Int64
    posinf: Int64
    neginf: Int64
    channels: Int64

    def to_pandas(self) -> pandas.DataFrame:
        """Return a row a step (the index), a column a statistic, and ``wall_time``. ImportError where pandas is not installed."""
        pandas = _optional("pandas", "Stats.to_pandas")
        names = [field.name for field in fields(self)][4:]
        columns = {"wall_time": pandas.to_datetime(self.wall_times_s, unit="s", utc=True), **{name: getattr(self, name) for name in names}}
        return pandas.DataFrame(columns, index=pandas.Index(self.steps, name="step"))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table(_Result):
    """One statistic of L layers at S steps.

    Attributes:
        statistic: its name. of: ``"activations"`` or ``"gradients"``.
        steps: int64 [S], ascending. layers: L names, in execution order.
        values: float64 [S, L]; NaN where a layer was not logged, or the statistic does not apply.
    """

    statistic: str
    of: str
    steps: Int64
    layers: tuple[str, ...]
    values: Float64

    def to_pandas(self) -> pandas.DataFrame:
        """Return a row a step (the index), a column a layer. ImportError where pandas is not installed."""
        pandas = _optional("pandas", "Table.to_pandas")
        return pandas.DataFrame(
            self.values, index=pandas.Index(self.steps, name="step"), columns=pandas.Index(self.layers, name="layer", dtype=object)
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Histogram(_Result):
    """How the finite values of one layer are distributed at one step: the B bins that hold any, ascending.

    Attributes:
        layer, of, step: what it is of.
        left, right: float64 [B], bounds of the bins, a quarter of an octave each; both 0 in the bin of exact zeros.
        counts: int64 [B].
        sampled_every: the counts are of every n-th element, 1 up to about a million elements.
    """

    layer: str
    of: str
    step: int
    left: Float64
    right: Float64
    counts: Int64
    sampled_every: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Histograms(_Result):
    """Histograms of one layer over S steps, on the B bins that hold any value at any step.

    Attributes:
        layer, of: what they are of.
        steps: int64 [S], ascending.
        left, right: float64 [B], bounds of the bins, as in `Histogram`.
        shares: float32 [S, B], of the finite values; each row sums to 1, or to 0 where there were none.
    """

    layer: str
    of: str
    steps: Int64
    left: Float64
    right: Float64
    shares: Float32

    def to_xarray(self) -> xarray.DataArray:
        """Return the shares over ``step`` and ``bin``, with their bounds as coordinates. ImportError where xarray is not installed."""
        xarray = _optional("xarray", "Histograms.to_xarray")
        coordinates = {"step": self.steps, "left": ("bin", self.left), "right": ("bin", self.right)}
        return xarray.DataArray(self.shares, coordinates, ("step", "bin"), self.layer, {"of": self.of})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Channels(_Result):
    """Channel profiles of one layer over S steps.

    Attributes:
        layer, of: what they are of.
        steps: int64 [S], ascending. channels: int64 [C], their indices: all, or 4096 evenly spaced ones.
        mean, max, zero: float32 [S, C]: mean, largest absolute value, share of exact zeros; NaN where not logged.
        dead_since: first step from which on a channel is zero for every value, up to the last step; by channel.
    """

    layer: str
    of: str
    steps: Int64
    channels: Int64
    mean: Float32
    max: Float32
    zero: Float32
    dead_since: dict[int, int]

    def to_xarray(self) -> xarray.Dataset:
        """Return ``mean``, ``max`` and ``zero`` over ``step`` and ``channel``. ImportError where xarray is not installed."""
        xarray = _optional("xarray", "Channels.to_xarray")
        variables = {name: (("step", "channel"), getattr(self, name)) for name in ("mean", "max", "zero")}
        return xarray.Dataset(variables, {"step": self.steps, "channel": self.channels}, {"layer": self.layer, "of": self.of})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Maps(_Result):
    """What one layer puts out for the S shown samples at one step.

    The values were kept in 255 levels between each map's lowest and highest one: they are off by at most ``(high - low) / 508``.

    Attributes:
        layer, step: what they are of; for the model's input the layer is ``"inputs"``.
        source: ``"probe"`` or ``"train"``: which batch the samples are of.
        layout: ``"channels"``, ``"sequence"`` or ``"vector"``.
        output_shape: of the whole output.
        values: float32, NaN where not finite. ``channels``: [S, C, h, w]; ``sequence``: [S, h, w] (T x D, or C x L);
            ``vector``: [S, D].
        low, high, mean: float32 [S, C] or [S]: of each map, before rounding.
        samples: int64 [S], indices in the batch.
        channels: int64 [C], indices of the kept channels; None for other layouts.
        units: int64 [D], indices of the kept values of a vector; None for other layouts.
        pool: (ph, pw): each value is the mean of so many.
    """

    layer: str
    step: int
    source: str
    layout: str
    output_shape: tuple[int, ...]
    values: Float32
    low: Float32
    high: Float32
    mean: Float32
    samples: Int64
    channels: Int64 | None
    units: Int64 | None
    pool: tuple[int, int]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.values, dtype) if copy else np.asarray(self.values, dtype)

    def to_xarray(self) -> xarray.DataArray:
        """Return the values over ``sample`` and, as the layout is, ``channel, y, x``, ``row, column`` or ``unit``.

        ImportError where xarray is not installed.
        """
        xarray = _optional("xarray", "Maps.to_xarray")
        coordinates = {"sample": self.samples}
        if self.channels is not None:
            coordinates["channel"] = self.channels
        if self.units is not None:
            coordinates["unit"] = self.units
        attributes = {"step": self.step, "source": self.source, "pool": self.pool}
        return xarray.DataArray(self.values, coordinates, _MAP_AXES[self.layout], self.layer, attributes)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attention(_Result):
    """Attention weights at one place for the S shown samples at one step.

    Attributes:
        layer, step, source, samples, pool: as in `Maps`.
        output_shape: (N, H, T, S) of the whole call.
        values: float32 [S, H, T, S], off by at most ``(high - low) / 508``, with low and high of each map.
        low, high: float32 [S, H].
        heads: int64 [H], indices of the kept heads. queries: int64 [T], indices of the kept queries (before pooling).
        entropy: float32 [S, H], of a query's weights, in nats, mean over the queries.
        largest_logit: float32 [S, H], before the softmax.
    """

    layer: str
    step: int
    source: str
    output_shape: tuple[int, ...]
    values: Float32
    low: Float32
    high: Float32
    samples: Int64
    heads: Int64
    queries: Int64
    pool: tuple[int, int]
    entropy: Float32
    largest_logit: Float32

    def to_xarray(self) -> xarray.DataArray:
        """Return the weights over ``sample``, ``head``, ``query``, ``key``. ImportError where xarray is not installed."""
        xarray = _optional("xarray", "Attention.to_xarray")
        coordinates = {"sample": self.samples, "head": self.heads}
        if self.pool[0] == 1:
            coordinates["query"] = self.queries
        attributes = {"step": self.step, "source": self.source, "pool": self.pool}
        return xarray.DataArray(self.values, coordinates, ("sample", "head", "query", "key"), self.layer, attributes)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Inputs(_Result):
    """The samples that the maps of a step are of.

    Attributes:
        step: at which they were logged, the asked one or before.
        source: ``"probe"`` or ``"train"``.
        labels: one a sample, where the probe has them.
        maps: the input as `Maps`; None where it cannot be drawn (token numbers).
    """

    step: int
    source: str
    labels: tuple[str, ...] | None
    maps: Maps | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Gram(_Result):
    """Centred Gram matrix of a layer's outputs for the first n probe samples at one step.

    Attributes:
        layer, step: what it is of.
        values: float32 [n, n]: with X the n x p outputs and H = I - 1/n, H X X^T H.
    """

    layer: str
    step: int
    values: Float32


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ranks(_Result):
    """What each of R processes saw of one layer, where ``merge_ranks`` had their statistics merged; NaN where it did not run the layer.

    Attributes:
        layer: its name.
        steps: int64 [S], ascending.
        rms, absmax, nonfinite: float32 [S, R]: RMS, largest absolute value, number of NaN and infinite elements.
    """

    layer: str
    steps: Int64
    rms: Float32
    absmax: Float32
    nonfinite: Float32
