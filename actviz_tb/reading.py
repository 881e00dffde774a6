"""`read`: what was logged, back as arrays. On the index that the TensorBoard plugin uses; needs no torch.

What is kept in memory is the index: where each record lies, and the statistics of all layers. Everything else is read from the event
files when it is asked for, and not kept.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, SupportsIndex

import numpy as np

from actviz_tb import decode
from actviz_tb.description import Mark, Model, Restart
from actviz_tb.errors import ArgumentError, ArgumentTypeError, NotLoggedError, nearest
from actviz_tb.lookup import RunRecords, Teller, last, listed, whole_step
from actviz_tb.results import Attention, Channels, Gram, Histogram, Histograms, Inputs, Int64, Maps, Ranks, Stats, Table
from tensorboard_plugin.actviz import histories, wire
from tensorboard_plugin.actviz.eventfile import Notice
from tensorboard_plugin.actviz.health import RULES, Finding, Health, Thresholds, examine, part
from tensorboard_plugin.actviz.health.history import History
from tensorboard_plugin.actviz.health.logged import history_of, thresholds_of
from tensorboard_plugin.actviz.health.thresholds import NAMES
from tensorboard_plugin.actviz.limits import TooLargeError
from tensorboard_plugin.actviz.logdir import parse_logdir
from tensorboard_plugin.actviz.runindex import RunIndex
from tensorboard_plugin.actviz.series import COLUMNS, EVERYTHING, StepTable, within
from tensorboard_plugin.actviz.sources import is_remote
from tensorboard_plugin.actviz.store import Store

Of = Literal["activations", "gradients"]
Kind = Literal["activations", "gradients", "maps", "attention", "gram"]

_KINDS = {"activations": "layer", "gradients": "gradient", "maps": "maps", "attention": "attention", "gram": "gram"}


def read(directory: str | os.PathLike[str]) -> Log:
    """Open what was logged to a directory, or to directories below it::

        log = actviz_tb.read("runs/digits")
        run = log["lr-0.2"]
        run.stats("conv1").rms              # float64 [S], over run.stats("conv1").steps
        run.maps("conv1", step=90).values   # float32 [samples, channels, height, width]

    Builds the index of byte offsets that the tab uses (some 20 µs a record) and decodes no map. Files still being written can be read:
    what is whole shows, `Log.refresh` adds what came since. In the process that logs, call ``logger.flush()`` first.

    Args:
        directory: what TensorBoard's ``--logdir`` takes; also a remote one (``s3://...``) where TensorBoard can read it.

    Raises:
        ArgumentTypeError, ArgumentError: no path; not a directory.
        NotLoggedError: no activations there or below; the message says what there is instead.

    Warns:
        ActvizWarning: a record or file is damaged, or of a later format; the message names file and byte.
    """
    if not isinstance(directory, (str, os.PathLike)):
        raise ArgumentTypeError(f"directory={directory!r} is a {type(directory).__name__}; expected the path of a log directory")
    path = os.path.expanduser(os.fspath(directory))
    if not is_remote(path) and not os.path.isdir(path):
        if os.path.exists(path):
            raise ArgumentError(f"{path!r} is a file; give the directory that it is in, {os.path.dirname(path) or '.'!r}")
        raise ArgumentError(f"there is no directory {path!r}; give the one that was logged to, or one above it")
    log = Log(path)
    log._store.refresh()
    if not log._store.runs():
        raise NotLoggedError(f"no activations in {path!r}; {_what_else(log._store)}")
    log._teller.tell()
    return log


def _what_else(store: Store) -> str:
    problems, others = store.problems(), store.other_runs()
    if problems:
        return problems[0].message
    if not others:
        return "there is no event file (named ...tfevents...) there or below"
    return f"found {listed([f'{other.run!r} ({other.note})' for other in others])}"


class Log(Mapping[str, "Run"]):
    """The runs of a log directory, by name; made by `read`.

    Attributes:
        directory: as given.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._store = Store(parse_logdir(directory, None))
        self._teller = Teller(self._store)

    def __repr__(self) -> str:
        return "\n".join([f"Log({self.directory!r})", *(f"  {run!r}" for run in self.runs)])

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs that have activations. A run's name is its directory's path below `directory`, ``"."`` for that itself."""
        return tuple(self.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.runs())

    def __len__(self) -> int:
        return len(self._store.runs())

    def __getitem__(self, run: str) -> Run:
        """Return a run by name.

        Raises:
            NotLoggedError: there is none of that name; the message lists the nearest.
        """
        names = self._store.runs()
        if run not in names:
            raise NotLoggedError(f"no run {run!r} with activations in {self.directory!r}; {nearest(str(run), names)}")
        return Run(self, run)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What could not be read so far: (file, byte, message)."""
        return tuple(self._teller.notices())

    def refresh(self) -> None:
        """Read what was added to the directory since: all runs then show it.

        Warns:
            ActvizWarning: something new is damaged.
        """
        self._store.refresh()
        self._teller.tell()


class Run:
    """One run of a log; from `Log.runs` or ``log[name]``.

    A step that is left out (None) is the last one at which what is asked for was logged.

    Attributes:
        name: as in TensorBoard.
    """

    def __init__(self, log: Log, name: str) -> None:
        self.name = name
        self._records = RunRecords(log._store, log._teller, name, log.directory)

    def __repr__(self) -> str:
        steps = self.steps
        span = f" ({steps[0]} to {steps[-1]})" if len(steps) else ""
        return f"Run({self.name!r}: {len(self.layers)} layers, {len(steps)} steps{span})"

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in execution order."""
        with self._records.index() as index:
            return tuple(index.layer_names())

    @property
    def steps(self) -> Int64:
        """The logged steps, int64, ascending."""
        with self._records.index() as index:
            return index.table.steps(index.table.order())

    @property
    def model(self) -> Model:
        """The model as it was last described: its layers with types, shapes and what feeds what; its modules. Of several models the layers
        and modules of all, and the class and step of the one that was described last."""
        with self._records.index() as index:
            return decode.model(index.model.header, index.model.step, index.layers(), index.modules())

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks on the time line, by step."""
        with self._records.index() as index:
            return tuple(Mark(step, text, at) for (step, text), at in sorted(index.marks.items()))

    @property
    def restarts(self) -> tuple[Restart, ...]:
        """Where the run was started again, in the order of time."""
        with self._records.index() as index:
            return tuple(Restart(int(restart["step"]), restart["wall_time_s"]) for restart in index.restarts())

    @property
    def session(self) -> dict[str, Any]:
        """Versions and options of the last `watch`, whichever model it was of."""
        with self._records.index() as index:
            return {name: value for name, value in index.session.header.items() if name != "version"}

    def layers_with(self, kind: Kind) -> tuple[str, ...]:
        """Return the layers of which there are ``"activations"``, ``"gradients"``, ``"maps"``, ``"attention"`` or ``"gram"``."""
        if kind not in _KINDS:
            raise ArgumentError(f"kind={kind!r}; expected one of {', '.join(map(repr, _KINDS))}")
        with self._records.index() as index:
            return tuple(name for name in index.names(_KINDS[kind]) if name == wire.layer_of_slice(name))

    # From the index: nothing is read

    def stats(self, layer: str, *, of: Of = "activations") -> Stats:
        """Return the statistics of one layer over the steps at which it was logged.

        Args:
            layer: its name.
            of: ``"gradients"``: of the gradient of the loss with respect to the layer's output.

        Raises:
            LayerNotFoundError: no such layer; the message lists the nearest names.
            NotLoggedError: there is nothing of it.
        """
        with self._records.index() as index:
            table = _table(index, of)
            rows = table.order()
            steps, wall_times_s = table.steps(rows), table.wall_times_s(rows)
            columns = {name: table.statistic(name, rows, [layer])[0] for name in COLUMNS}
        logged = ~np.isnan(columns["count"])
        if not logged.any():
            raise self._records.missing(_layer_kind(of), layer)
        found: dict[str, Any] = {name: values[logged] for name, values in columns.items()}
        for name in ("count", "nan", "posinf", "neginf", "channels"):
            found[name] = np.nan_to_num(found[name], nan=wire.NOT_APPLICABLE).astype(np.int64)
        return Stats(layer, of, steps[logged], wall_times_s[logged], **found)

    def table(self, statistic: str, *, of: Of = "activations") -> Table:
        """Return one statistic (``"rms"``, ``"dead_channels"``...; the names are those of `Stats`) of all layers at all steps.

        Raises:
            ArgumentError: no such statistic.
        """
        if statistic not in COLUMNS:
            raise ArgumentError(f"statistic={statistic!r} is not known; expected one of {', '.join(COLUMNS)}")
        with self._records.index() as index:
            table = _table(index, of)
            rows = table.order()
            layers = index.layer_names()
            return Table(statistic, of, table.steps(rows), tuple(layers), table.statistic(statistic, rows, layers).T)

    # What is wrong

    def findings(self, *, rules: Collection[str] = RULES, **thresholds: float) -> Health:
        """Return what is wrong with the run: the findings, in the order in which they began, and how they follow from one another::

            for finding in run.findings(jump=8):
                print(finding.first_step, finding.layer, finding.sentence)
            print(run.findings())    # conv2 jumped at 315, relu2 dead from 330, fc NaN from 565

        Args:
            rules: names of those to try, of `tensorboard_plugin.actviz.health.RULES`; ``docs/health.md`` describes them.
            thresholds: others than those that the run was watched with, by name.

        Raises:
            ArgumentError: no such rule or threshold, or one out of its bounds.
            NotLoggedError: the log is too large for it.
        """
        unknown = sorted(set(rules).difference(RULES))
        if unknown or isinstance(rules, str):
            raise ArgumentError(f"rules={rules!r}; expected some of {', '.join(RULES)}")
        return examine(self._history(), self._thresholds(thresholds), rules)

    def parting(self, other: Run, **thresholds: float) -> tuple[Finding | None, int | None]:
        """Return where this run and another part for good, as a finding, and the first common step at which they are not equal.

        Either is None where there is no such step. Raises as `findings` does.
        """
        return part(self._history(), other._history(), self._thresholds(thresholds))

    def _thresholds(self, given: Mapping[str, float]) -> Thresholds:
        unknown = sorted(set(given).difference(NAMES))
        if unknown:
            raise ArgumentError(f"no threshold {unknown[0]!r}; {nearest(unknown[0], NAMES)}")
        try:
            return thresholds_of(self._records._store, self.name, given)[1]
        except ValueError as error:
            raise ArgumentError(str(error)) from None

    def _history(self) -> History:
        try:
            return history_of(self._records._store, self.name)
        except TooLargeError as error:
            raise NotLoggedError(f"run {self.name!r} cannot be examined: {error}") from None

    # One record each

    def histogram(self, layer: str, step: SupportsIndex | None = None, *, of: Of = "activations") -> Histogram:
        """Return how a layer's values (or with ``of="gradients"`` its gradients) are distributed at a step.

        Raises:
            LayerNotFoundError: no such layer; the message lists the nearest names.
            NotLoggedError: not logged at that step; the message names the nearest steps.
            RecordError: its record cannot be read; the message says why, with file and byte.
        """
        return self._records.one(_layer_kind(of), layer, step, lambda record, at: decode.histogram(record, layer, of, at))

    def maps(self, layer: str, step: SupportsIndex | None = None, *, depth: int | None = None) -> Maps:
        """Return what a layer put out for the shown samples at a step, dequantised; raises as `histogram` does.

        Args:
            depth: of a volume (N, C, D, H, W) one of the slices that were kept, at most eight, evenly spaced; None: the middle one.

        Raises:
            NotLoggedError: also where that slice was not kept; the message lists those that were.
        """
        name = wire.slice_name(layer, depth)
        with self._records.index() as index:
            slices = wire.slices(index.names("maps")).get(layer, [])
        if depth is not None and depth not in slices:
            kept = ", ".join(map(str, slices)) or "none"
            raise NotLoggedError(f"no maps of layer {layer!r} at depth={depth}; kept are {kept}, and without depth the middle one")
        return self._records.one("maps", name, step, lambda record, at: decode.maps(record, layer, at))

    def attention(self, layer: str, step: SupportsIndex | None = None) -> Attention:
        """Return the attention weights for the shown samples at a step; raises as `histogram` does.

        Args:
            layer: the place of the attention, one of ``layers_with("attention")``.
            step: a logged one, None: the last.
        """
        return self._records.one("attention", layer, step, lambda record, at: decode.attention(record, layer, at))

    def gram(self, layer: str, step: SupportsIndex | None = None) -> Gram:
        """Return the Gram matrix of a layer's outputs for the probe at a step; raises as `histogram` does."""
        return self._records.one("gram", layer, step, lambda record, at: decode.gram(record, layer, at))

    def inputs(self, step: SupportsIndex | None = None, *, model: str | None = None) -> Inputs:
        """Return the samples that the maps of a step are of: those logged at it, or last before.

        Args:
            step: any, None: the last.
            model: of which model, by the ``name`` that `watch` was given; None: of the only one.

        Raises:
            NotLoggedError: none were logged up to that step, or of that model.
            RecordError: the record cannot be read.
        """
        upto = EVERYTHING[1] if step is None else whole_step(step)
        with self._records.index() as index:
            names = index.names("inputs")
        chosen = model if model is not None else names[0] if len(names) == 1 else ""
        steps, locations = self._records.locate("inputs", chosen, lambda steps: within(steps, (EVERYTHING[0], upto))[-1:])
        if not locations:
            if len(steps):
                why = f" up to step {upto}; the first are of step {steps[0]}"
            else:
                why = f"; there are those of model={listed([repr(name) for name in names])}" if names else ""
            raise NotLoggedError(f"run {self.name!r} has no inputs{f' of model={model!r}' if model else ''}{why}")
        return self._records.decoded(locations[0], decode.inputs)

    # All of a layer's (or all steps') small records, one after the other

    def histograms(self, layer: str, *, of: Of = "activations") -> Histograms:
        """Return a layer's histograms over the steps; reads one small record a step.

        Raises:
            LayerNotFoundError: no such layer.
            NotLoggedError: there is nothing of it.

        Warns:
            ActvizWarning: a step is left out because its record cannot be read; the message names file and byte.
        """
        found = self._records.over_steps(_layer_kind(of), layer, histories.histograms)
        return Histograms(layer, of, found.steps.astype(np.int64), found.left, found.right, found.shares)

    def channels(self, layer: str, *, of: Of = "activations") -> Channels:
        """Return a layer's channel profiles over the steps; reads one small record a step. Raises and warns as `histograms` does."""
        found = self._records.over_steps(_layer_kind(of), layer, lambda records: histories.channels(records, bounded=False))
        steps, channels = found.steps.astype(np.int64), found.channels.astype(np.int64)
        return Channels(layer, of, steps, channels, found.mean, found.max, found.zero, dict(found.dead_since))

    def ranks(self, layer: str) -> Ranks:
        """Return what each process saw of a layer, where ``merge_ranks`` merged them; reads one small record a step.

        Raises:
            LayerNotFoundError: no such layer.
            NotLoggedError: the run's statistics are of one process.
        """
        self._records.locate("layer", layer, last)
        with self._records.index() as index:
            model = index.model_of(layer)
        found = self._records.over_steps("step", model, lambda records: histories.ranks(records, layer))
        if not len(found.steps):
            raise NotLoggedError(f"run {self.name!r} has no statistics of single processes; watch(..., merge_ranks=True) records them")
        return Ranks(layer, found.steps.astype(np.int64), found.rms.T, found.absmax.T, found.nonfinite.T)


def _layer_kind(of: str) -> str:
    if of not in ("activations", "gradients"):
        raise ArgumentError(f"of={of!r}; expected 'activations' or 'gradients'")
    return _KINDS[of]


def _table(index: RunIndex, of: str) -> StepTable:
    return index.gradients if _layer_kind(of) == "gradient" else index.table
