"""A step's record as serialised events; runs in the writer's thread."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actviz_tb.mosaic import fold, mosaic
from actviz_tb.recording import INPUTS, HostMaps, HostRecording, HostStatistics
from actviz_tb.summary import LayerStatistics
from tensorboard_plugin.actviz import wire

UNTOLD: Mapping[str, Any] = {"labels": None, "tokens": None, "digest": None}
"""What is told of samples that are of the training batch."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """All that is written for one logged step.

    Attributes:
        model: name of the model, empty where it has none.
        training: statistics of the training forward, and its maps when there is no probe.
        probe: maps of the probe, or None.
        told: ``labels``, ``tokens`` and ``digest`` of the samples, see `wire`, record ``inputs``.
        evaluating: see `wire`, record ``step``.
        stock_histograms, stock_images: also write what TensorBoard's own tabs show.
    """

    model: str
    step: int
    wall_time_s: float
    training: HostRecording
    probe: HostRecording | None
    told: Mapping[str, Any]
    evaluating: Sequence[str]
    stock_histograms: bool
    stock_images: bool


def step_events(record: StepRecord) -> Iterator[tuple[str | None, bytes]]:
    """Yield (layer or None, serialised event); the step's statistics come last, so that a step that a reader sees is whole."""
    when = (record.step, record.wall_time_s)
    shown, source = (record.training, "train") if record.probe is None else (record.probe, "probe")
    yield None, _inputs_event(record.model, shown.maps.get(INPUTS), source, record.told, when)
    for name, kept in shown.maps.items():
        if name == INPUTS:
            continue
        layer = wire.layer_of_slice(name)
        fields = {"layer": layer, **_maps_fields(kept, source)}
        yield layer, _event(wire.layer_tag("maps", name), "maps", fields, _maps_arrays(kept), when)
        if record.stock_images and name == layer:
            png, width, height = _mosaic_png(kept)
            yield name, wire.image_event(name, png, width, height, *when).SerializeToString()
    for name, gram in shown.grams.items():
        triangle = {"gram": gram[np.tril_indices(len(gram))]}
        yield name, _event(wire.layer_tag("gram", name), "gram", {"layer": name, "source": source, "samples": len(gram)}, triangle, when)
    for name, attended in shown.attention.items():
        fields = {"layer": name, **_maps_fields(attended.maps, source), "queries": attended.queries}
        arrays = {**_maps_arrays(attended.maps), "entropy": attended.entropy, "largest_logit": attended.largest_logit}
        yield name, _event(wire.layer_tag("attention", name), "attention", fields, arrays, when)
    found = record.training.statistics
    yield from _layer_events("layer", found, when, stock_histograms=record.stock_histograms)
    yield None, _event(wire.run_tag("step", record.model), "step", *step_parts(record), when)


def step_parts(record: StepRecord) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return fields and arrays of the ``step`` record."""
    found = record.training.statistics
    fields, arrays = _statistics_parts(found)
    if record.probe is not None:
        arrays["probe"] = probe_table(record.probe, list(found.layers))
    return fields | {"evaluating": list(record.evaluating)}, arrays


def gradient_events(model: str, found: HostStatistics, step: int, wall_time_s: float) -> Iterator[tuple[str | None, bytes]]:
    """Yield (layer or None, serialised event) of a step's gradients; `model`: its name."""
    when = (step, wall_time_s)
    yield from _layer_events("gradient", found, when, stock_histograms=False)
    yield None, _event(wire.run_tag("gradients", model), "gradients", *_statistics_parts(found), when)


def probe_table(probe: HostRecording, layers: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the array ``probe`` of a ``step`` record, [L, len(wire.PROBE)]; the Gram matrix G of n samples tells variance and
    participation ratio, tr(G)^2 / |G|^2, without its eigenvalues."""
    table = np.full((len(layers), len(wire.PROBE)), np.nan, np.float32)
    for row, name in enumerate(layers):
        size, gram = probe.sizes.get(name), probe.grams.get(name)
        if size is not None:
            table[row, 0] = size.rms
        if size is not None and gram is not None:
            squares = np.square(gram, dtype=np.float64).sum()
            total = gram.trace(dtype=np.float64)
            table[row, 1] = total / (len(gram) * max(1, size.features))
            table[row, 2] = total**2 / squares if 0 < squares < np.inf else np.nan
    return table


def _layer_events(
    layer_kind: str, found: HostStatistics, when: tuple[int, float], *, stock_histograms: bool
) -> Iterator[tuple[str | None, bytes]]:
    for name, layer in found.layers.items():
        fields = {"layer": name, "sampled_every": found.sampled_every[name]}
        yield name, _event(wire.layer_tag(layer_kind, name), layer_kind, fields, _layer_arrays(layer), when)
        if stock_histograms and len(layer.bins):
            yield name, wire.histogram_event(name, layer.bins, layer.bin_counts, *when).SerializeToString()


def glance_event(model: str, step: int, wall_time_s: float, layers: Sequence[str], cells: npt.NDArray[np.void]) -> bytes:
    """Return the ``step`` record of what the flight recorder knows of a step.

    Args:
        model: its name.
        layers: names [L].
        cells: [L] of `ring.CELL`.
    """
    counts = np.full((len(layers), len(wire.COUNTS)), wire.NOT_APPLICABLE, np.int64)
    for name in ("count", "nan", "posinf", "neginf"):
        counts[:, wire.COUNTS.index(name)] = cells[name]
    finite = cells["count"] - cells["nan"] - cells["posinf"] - cells["neginf"]
    low, high = cells["low"], cells["high"]
    whole = finite == cells["count"]
    zero = counts[:, wire.COUNTS.index("zero")]
    zero[whole & ((low > 0) | (high < 0))] = 0  # else only two more cases are known: none, and all of them
    all_zero = whole & (low == 0) & (high == 0)
    zero[all_zero] = cells["count"][all_zero]
    moments = np.full((len(layers), len(wire.MOMENTS)), np.nan, np.float32)
    for name, values in (("min", low), ("max", high), ("rms", cells["rms"])):
        moments[:, wire.MOMENTS.index(name)] = np.where(finite > 0, values, np.nan)
    return _event(
        wire.run_tag("step", model), "step", {"layers": list(layers)}, {"counts": counts, "moments": moments}, (step, wall_time_s)
    )


def model_event(
    model: str, type_name: str, layers: Sequence[Mapping[str, Any]], modules: Sequence[Mapping[str, Any]], step: int, wall_time_s: float
) -> bytes:
    """Return the event of the record of a model, by its name and its class's."""
    fields = {"model": type_name, "layers": list(layers), "modules": list(modules)}
    return _event(wire.run_tag("model", model), "model", fields, {}, (step, wall_time_s))


def session_event(model: str, fields: Mapping[str, Any], step: int, wall_time_s: float) -> bytes:
    """Return the event of the record of a `watch`; `model`: the name that it was given."""
    return _event(wire.run_tag("session", model), "session", fields, {}, (step, wall_time_s))


def mark_event(text: str, step: int, wall_time_s: float) -> bytes:
    """Return the event of a mark on the run's time line."""
    return _event(wire.run_tag("mark"), "mark", {"text": text}, {}, (step, wall_time_s))


def _inputs_event(model: str, kept: HostMaps | None, source: str, told: Mapping[str, Any], when: tuple[int, float]) -> bytes:
    fields: dict[str, Any] = {"source": source, "layout": None, "shape": [], "samples": [], "channels": [], "pool": [1, 1]}
    arrays: dict[str, npt.NDArray[Any]] = {}
    if kept is not None:
        fields, arrays = _maps_fields(kept, source), _maps_arrays(kept)
    return _event(wire.run_tag("inputs", model), "inputs", {**fields, **told}, arrays, when)


_NOT_COMPRESSED = frozenset(("low", "high", "mean", "entropy", "largest_logit", "channel_mean", "channel_max", "moments"))
"""Arrays of floats without a pattern: that they take a tenth less is not worth a third of the time."""


def _event(tag: str, kind: str, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], when: tuple[int, float]) -> bytes:
    return bytes(wire.record_event(tag, wire.pack(kind, fields, arrays, _NOT_COMPRESSED), *when).SerializeToString())


def _maps_fields(kept: HostMaps, source: str) -> dict[str, Any]:
    return {
        "source": source,
        "layout": kept.maps.layout,
        "shape": kept.shape,
        "samples": list(range(len(kept.data))),
        "channels": kept.maps.channels,
        "units": kept.maps.units,
        "pool": kept.maps.pool,
    }


def _maps_arrays(kept: HostMaps) -> dict[str, npt.NDArray[Any]]:
    return {"data": kept.data, "low": kept.low, "high": kept.high, "mean": kept.mean}


_PROFILE_CHANNELS = 4096


def _layer_arrays(found: LayerStatistics) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {"bins": found.bins, "counts": found.bin_counts}
    profile = {"channel_mean": found.channel_mean, "channel_max": found.channel_max, "channel_zero": found.channel_zero}
    channels = len(found.channel_mean)
    if channels > _PROFILE_CHANNELS:
        kept = (np.arange(_PROFILE_CHANNELS) * channels // _PROFILE_CHANNELS).astype(np.uint32)
        arrays["channels"] = kept
        profile = {name: values[kept] for name, values in profile.items()}
    return arrays | profile


def _statistics_parts(found: HostStatistics) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    layers = found.layers
    counts = np.array([[each.counts[name] for name in wire.COUNTS] for each in layers.values()], dtype=np.int64)
    moments = np.array([[each.moments[name] for name in wire.MOMENTS] for each in layers.values()], dtype=np.float32)
    arrays: dict[str, npt.NDArray[Any]] = {
        "counts": counts.reshape(len(layers), len(wire.COUNTS)),
        "moments": moments.reshape(len(layers), len(wire.MOMENTS)),
    }
    if found.ranks is not None:
        arrays |= {"rank_rms": found.ranks.rms, "rank_absmax": found.ranks.absmax, "rank_nonfinite": found.ranks.nonfinite}
    return {"layers": list(layers)}, arrays


def _mosaic_png(kept: HostMaps) -> tuple[bytes, int, int]:
    values = wire.dequantise(kept.data, kept.low, kept.high)
    if kept.maps.layout == "vector":
        values = np.stack([[fold(row[0, 0])] for row in values])
    samples, channels, height, width = values.shape
    image = mosaic(values.reshape(samples * channels, height, width), columns=channels if channels > 1 else None)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), image.width, image.height
