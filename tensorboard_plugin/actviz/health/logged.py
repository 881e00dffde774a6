"""The history of a logged run, from the store. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tensorboard_plugin.actviz import limits, wire
from tensorboard_plugin.actviz.health.history import STATISTICS, Array, History, Layer
from tensorboard_plugin.actviz.health.thresholds import NAMES, Thresholds
from tensorboard_plugin.actviz.series import EVERYTHING, Place, Span, StepTable
from tensorboard_plugin.actviz.store import Store

_DEFAULT = Thresholds()
_RANK_ARRAYS = ("rank_rms", "rank_nonfinite")


def history_of(store: Store, run: str, span: Span = EVERYTHING) -> History:
    """Return a run's history over the logged steps of a span.

    What each process saw, and the probe, come from at most `limits.RECORDS` of each model's ``step`` records, evenly chosen.

    Raises:
        NotLoggedError: no such run.
        TooLargeError: more than `limits.CELLS` layers x steps.
    """
    with store.run(run) as index:
        table = index.table
        rows = table.order(span=span)
        layers = [Layer.of(entry) for entry in index.layers()]
        limits.check("values (layers x steps)", len(layers) * len(rows), limits.CELLS, "ask for fewer steps with from and to")
        steps = table.steps(rows)
        names = [layer.name for layer in layers]
        statistics = {name: table.statistic(name, rows, names) for name in STATISTICS}
        evaluating = [index.evaluating(step) for step in steps.tolist()]
        models = index.names("step") if index.probed or index.ranks else []
    probe: dict[str, Array] = {}
    ranks: list[Array] = [np.empty((0, len(layers), len(steps)))] * 2
    if models:
        probe, ranks = _of_records([each for model in models for each in store.over_steps(run, "step", model, span)[1]], names, steps)
    return History(layers, steps, statistics, probe, ranks[0], ranks[1], evaluating)


def history_of_records(layers: Sequence[Layer], records: Sequence[tuple[int, wire.Record]]) -> History:
    """Return the history that ``step`` records tell by themselves, in ascending steps."""
    table = StepTable()
    for sequence, (step, record) in enumerate(records):
        names = [str(name) for name in record.header["layers"]]
        arrays = record.arrays
        place = Place(0, sequence)
        table.put(step, 0.0, place, later=True, sequence=0, layers=names, counts=arrays["counts"], moments=arrays["moments"])
    rows = table.order()
    steps = table.steps(rows)
    known = [layer.name for layer in layers]
    statistics = {name: table.statistic(name, rows, known) for name in STATISTICS}
    probe, ranks = _of_records(records, known, steps)
    modes = {step: tuple(record.header.get("evaluating", ())) for step, record in records}
    return History(layers, steps, statistics, probe, ranks[0], ranks[1], [modes[step] for step in steps.tolist()])


def thresholds_of(store: Store, run: str, given: Mapping[str, float]) -> tuple[Thresholds, Thresholds]:
    """Return the thresholds that a run was watched with, and the same with those given in their place.

    Raises:
        ValueError: a given one is out of its bounds.
        NotLoggedError: no such run.
    """
    with store.run(run) as index:
        logged = [each.header.get("health") for each in sorted(index.options.values(), key=lambda newest: newest.rank)]
    given_to = [each for each in logged if isinstance(each, dict)]  # each holds all thresholds, also those that were not given
    chosen = {name: value for each in given_to for name, value in each.items() if name in NAMES and value != getattr(_DEFAULT, name)}
    try:
        own = Thresholds(**chosen)
    except ValueError:  # of a version with other bounds
        own = Thresholds()
    return own, replace(own, **given)  # type: ignore[arg-type]


def _of_records(records: Iterable[tuple[int, wire.Record]], names: list[str], steps: Array) -> tuple[dict[str, Array], list[Array]]:
    """Return what ``step`` records tell of the probe and of single processes; what makes no sense is passed over."""
    rows = {name: row for row, name in enumerate(names)}
    columns = {step: column for column, step in enumerate(steps.tolist())}
    probe = np.full((len(wire.PROBE), len(names), len(steps)), np.nan)
    ranks: dict[str, dict[int, Array]] = {name: {} for name in _RANK_ARRAYS}
    for step, record in records:
        layers = record.header.get("layers")
        if step not in columns or not isinstance(layers, list):
            continue
        known = np.array([rows.get(layer, -1) if isinstance(layer, str) else -1 for layer in layers], np.intp)
        kept, column = np.flatnonzero(known >= 0), columns[step]
        of_probe = record.arrays.get("probe")
        if of_probe is not None and of_probe.shape == (len(layers), len(wire.PROBE)):
            probe[:, known[kept], column] = of_probe[kept].T
        for name in _RANK_ARRAYS:
            values = record.arrays.get(name)
            if values is not None and values.ndim == 2 and values.shape[1] == len(layers):
                of_others = ranks[name].get(column, np.empty((0, len(names))))  # of the other models at that step
                whole = np.full((max(len(values), len(of_others)), len(names)), np.nan)
                whole[: len(of_others)] = of_others
                whole[: len(values), known[kept]] = values[:, kept]
                ranks[name][column] = whole
    return dict(zip(wire.PROBE, probe, strict=True)), [_stacked(found, len(names), len(steps)) for found in ranks.values()]


def _stacked(found: dict[int, Array], layers: int, steps: int) -> Array:
    number = max((len(values) for values in found.values()), default=0)
    whole: Array = np.full((number, layers, steps), np.nan)
    for column, values in found.items():
        whole[: len(values), :, column] = values
    return whole
