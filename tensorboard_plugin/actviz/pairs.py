"""Two (run, step) pairs against each other: how much each layer differs, and which channels match.

Records are looked up and read here, and compared in `differences` and `matching`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import differences, limits, matching, parameters, responses, wire
from tensorboard_plugin.actviz.answers import Handler
from tensorboard_plugin.actviz.comparisons import model_of, same_samples
from tensorboard_plugin.actviz.parameters import BadRequestError
from tensorboard_plugin.actviz.records import Location
from tensorboard_plugin.actviz.series import within
from tensorboard_plugin.actviz.store import NotLoggedError, Store
from tensorboard_plugin.actviz.verbatim import inputs_at

_STATISTICS = ("rms", "mean", "nonfinite")
_READ: dict[str, tuple[str, Callable[[wire.Record, wire.Record], float]]] = {
    "histogram": ("layer", differences.of_histograms),
    "maps": ("maps", differences.of_maps),
    "cka": ("gram", differences.of_grams),
}
"""Measures that are made of records: of which kind, and how."""
MEASURES = ("rms", "mean", *_READ)
_OF_THE_SAME_INPUTS = ("maps", "cka")
_SURE = (False, None, True)
"""Whether inputs are the same: of several models, the first of these is told."""


@dataclass(frozen=True, slots=True)
class Side:
    """A run at a step."""

    run: str
    step: int


def layers(store: Store, request: Request) -> Response:
    one, other = _sides(request)
    measure = parameters.choice(request, "measure", MEASURES, "rms")

    def compute(revision: str) -> Response:
        names = [_layers_at(store, side) for side in (one, other)]
        both = [name for name in names[0] if name in set(names[1])]
        found = {each: np.stack([_statistic(store, side, each, both) for side in (one, other)]) for each in _STATISTICS}
        with store.run(one.run) as index:
            models = [index.model_of(name) for name in both]
        same = {model: same_inputs(store, one, other, model) for model in dict.fromkeys(models)}
        if measure in _READ:
            change = _of_records(store, one, other, measure, list(zip(both, (same[model] for model in models), strict=True)))
        else:
            change = differences.relative(found[measure][1] - found[measure][0], found["rms"][0])
        header: dict[str, Any] = {"run": one.run, "revision": revision, "step": one.step, "other_run": other.run, "other_step": other.step}
        header |= {"measure": measure, "same_inputs": min(same.values(), key=_SURE.index, default=None), "layers": both}
        header["missing"] = [[name for name in mine if name not in both] for mine in reversed(names)]
        arrays = {"change": change, **found}
        return responses.container("differences", header, {name: values.astype(np.float32) for name, values in arrays.items()})

    return responses.derived(request, store, [one.run, other.run], compute)


def match(store: Store, request: Request) -> Response:
    one, other = _sides(request)
    name = parameters.text(request, "layer")

    def compute(revision: str) -> Response:
        records = [_maps_at(store, side, name) for side in (one, other)]
        same = same_inputs(store, one, other, model_of(store, one.run, name))
        if _of_other_inputs(same, records):
            raise BadRequestError(
                f"{_shown(one)} and {_shown(other)} show other inputs: only channels that saw the same ones can be matched"
            )
        if not differences.comparable(*records):
            shapes = " and ".join(str(list(record.arrays["data"].shape)) if "data" in record.arrays else "none" for record in records)
            raise BadRequestError(f"layer={name!r} has maps of other sizes, samples, or layouts: {shapes}")
        (labels, values), (other_labels, other_values) = (_bounded(record) for record in records)
        correlation = matching.correlations(values, other_values)
        rows, columns = matching.matched(correlation).T
        header: dict[str, Any] = {"run": one.run, "revision": revision, "layer": name, "step": one.step}
        header |= {"other_run": other.run, "other_step": other.step, "same_inputs": same, "values": values.shape[1]}
        arrays = {
            "channels": np.array(labels, np.uint32)[rows],
            "partners": np.array(other_labels, np.uint32)[columns],
            "correlation": correlation[rows, columns].astype(np.float32),
        }
        return responses.container("matching", header, arrays)

    return responses.derived(request, store, [one.run, other.run], compute)


def _sides(request: Request) -> tuple[Side, Side]:
    run, step = parameters.text(request, "run"), parameters.step(request)
    return Side(run, step), Side(parameters.text(request, "other_run", run), parameters.step(request, "other_step", step))


def _shown(side: Side) -> str:
    return f"run={side.run!r}, step={side.step}"


def same_inputs(store: Store, one: Side, other: Side, model: str) -> bool | None:
    """Say whether a model's inputs in force on both sides are the same; None where neither's can be drawn, or none were logged."""
    places = [inputs_at(store, side.run, model, side.step) for side in (one, other)]
    if not all(places):
        return None
    if places[0] == places[1]:
        return True
    records = store.decoded([places[0][0], places[1][0]])
    return same_samples(records[0][1], records[1][1]) if len(records) == 2 else None


def _layers_at(store: Store, side: Side) -> list[str]:
    """Return the layers of which a step has statistics, in execution order."""
    with store.run(side.run) as index:
        rows, names = index.table.order(span=(side.step, side.step)), index.layer_names()
        logged = index.table.statistic("count", rows, names)
    if not len(rows):
        raise NotLoggedError("no_data", f"No statistics for {_shown(side)}")
    limits.check("layers", len(names), limits.RECORDS, "this log cannot be compared layer by layer")
    return [name for name, count in zip(names, logged[:, 0], strict=True) if not np.isnan(count)]


def _statistic(store: Store, side: Side, name: str, names: list[str]) -> Any:
    with store.run(side.run) as index:
        return index.table.statistic(name, index.table.order(span=(side.step, side.step)), names)[:, 0]


def _of_other_inputs(same: bool | None, records: list[wire.Record]) -> bool:
    """Say whether records are of other inputs; where these cannot be drawn, a probe's are taken to be the same, a batch's are not."""
    return same is False or (same is None and any(record.header.get("source") != "probe" for record in records))


def _of_records(store: Store, one: Side, other: Side, measure: str, layers: list[tuple[str, bool | None]]) -> Any:
    """Return a measure of each layer, of which it is known whether both sides show the same inputs; NaN where a side lacks its record.

    Two records at a time are in memory, besides the cache.
    """
    kind, of = _READ[measure]
    found = np.full(len(layers), np.nan)
    started_s = time.monotonic()
    for place, (name, same) in enumerate(layers):
        locations = [*_locations(store, one, kind, name), *_locations(store, other, kind, name)]
        if len(locations) < 2:
            continue
        records = [record for _, record in store.decoded(locations)]
        if len(records) == 2 and not (measure in _OF_THE_SAME_INPUTS and _of_other_inputs(same, records)):
            found[place] = of(*records)
        if time.monotonic() - started_s > limits.READ_S:
            raise limits.TooLargeError(f"{place + 1} of {len(layers)} layers took more than {limits.READ_S:g} s: ask for another measure")
    return found


def _locations(store: Store, side: Side, kind: str, name: str) -> list[Location]:
    return store.locate(side.run, kind, name, lambda steps: within(steps, (side.step, side.step)))[1]


def _maps_at(store: Store, side: Side, name: str) -> wire.Record:
    records = store.decoded(_locations(store, side, "maps", name))
    if not records:
        raise NotLoggedError("no_data", f"No maps for {_shown(side)}, layer={name!r}")
    return records[0][1]


def _bounded(record: wire.Record) -> tuple[list[int], Any]:
    """Return the channels' numbers and values, where both can be compared in the time that a request has."""
    limits.check("values of maps", record.arrays["data"].size, limits.MATCHED_VALUES, "such maps cannot be matched")
    labels = record.header.get("units" if record.header.get("layout") == "vector" else "channels")
    limits.check("channels", len(labels or ()), limits.MATCHED, "so many cannot be matched")
    return differences.channels(record)


HANDLERS: dict[str, Handler] = {"differences": layers, "matching": match}
