"""What is known of a run, and of its layers over the steps: parse, ask the store, answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import histories, limits, parameters, responses, wire
from tensorboard_plugin.actviz.parameters import BadRequestError
from tensorboard_plugin.actviz.runindex import Newest, RunIndex
from tensorboard_plugin.actviz.series import COLUMNS, STATISTICS, Indices, StepTable, extremes
from tensorboard_plugin.actviz.store import NotLoggedError, Store

Handler = Callable[[Store, Request], Response]

OF = {"activations": "layer", "gradients": "gradient"}
"""Kind of the layers' records, by what they are of."""
NARROWER = "ask for fewer steps with from and to"
_DRAWN = {"values": None, "zero": "zero", "nonfinite": "nonfinite"}
_CHUNK_CELLS = 1 << 20


def timeline(store: Store, request: Request) -> Response:
    run, span = parameters.text(request, "run"), parameters.span(request)

    def compute(revision: str) -> Response:
        with store.run(run) as index:
            rows = index.table.order(span=span)
            steps, wall_times_s = index.table.steps(rows), index.table.wall_times_s(rows)
            marks = [(step, text, at) for (step, text), at in index.marks.items() if span[0] <= step <= span[1]]
            restarts = index.restarts()
        limits.check("steps", len(steps), limits.CELLS, NARROWER)
        answer = {
            "run": run,
            "revision": revision,
            "steps": steps.tolist(),
            "wall_times_s": wall_times_s.tolist(),
            "marks": [{"step": step, "wall_time_s": at, "text": text} for step, text, at in sorted(marks)],
            "restarts": restarts,
        }
        return responses.json_answer(request, answer)

    return responses.derived(request, store, [run], compute)


def model(store: Store, request: Request) -> Response:
    run = parameters.text(request, "run")

    def compute(revision: str) -> Response:
        with store.run(run) as index:
            slices = wire.slices(index.names("maps"))
            answer = {
                "run": run,
                "revision": revision,
                "models": [_of_model(index, name) for name in index.model_names()],
                "layers": [_described(index, layer, slices) for layer in index.layers()],
                "modules": index.modules(),
                "attention": index.names("attention"),
                "ranks": index.ranks,
            }
        return responses.json_answer(request, answer)

    return responses.derived(request, store, [run], compute)


def _of_model(index: RunIndex, name: str) -> dict[str, Any]:
    described, options = index.models.get(name, Newest()), index.options.get(name, Newest())
    session = {option: value for option, value in options.header.items() if option != "version"}
    return {"name": name, "model": described.header.get("model"), "step": described.step, "session": session}


def _described(index: RunIndex, layer: dict[str, Any], slices: Mapping[str, list[int]]) -> dict[str, Any]:
    name = layer["name"]
    found = {**layer, "records": index.records_of(name)}
    return found | {"slices": slices[name]} if name in slices else found


def changes(store: Store, request: Request) -> Response:
    return responses.live_json(request, asdict(store.changes(parameters.text(request, "since", ""))))


def stats(store: Store, request: Request) -> Response:
    run, of = parameters.text(request, "run"), parameters.choice(request, "of", OF, "activations")
    stat, span = parameters.choice(request, "stat", STATISTICS), parameters.span(request)
    since = parameters.text(request, "since", "")
    columns = parameters.number(request, "columns", 1, limits.COLUMNS) if parameters.given(request, "columns") else None
    if columns is not None and parameters.given(request, "since"):
        raise BadRequestError("columns and since exclude each other: with a new step, other steps share a column")

    def compute(revision: str) -> Response:
        with store.run(run) as index:
            after = index.sequence_of(since)
            table = table_of(index, of)
            rows = table.order(-1 if after is None else after, span)
            layers = index.layer_names()
            steps = table.steps(rows).astype(np.float64)
        header: dict[str, Any] = {"run": run, "revision": revision, "of": of, "stat": stat, "layers": layers}
        if after is not None:
            header["since"] = since
        width = len(rows) if columns is None else min(columns, len(rows))
        limits.check("values (layers x steps)", len(layers) * width, limits.CELLS, f"{NARROWER}, or fewer columns")
        starts = np.arange(width) * len(rows) // max(1, width)
        if columns is None:
            arrays: dict[str, Any] = {"steps": steps}
        else:
            ends = np.append(starts[1:], len(rows))
            counts = (ends - starts).astype(np.uint32)
            arrays = {"first": steps[starts], "last": steps[ends[:width] - 1], "count": counts}
        for name, source in _DRAWN.items():
            arrays |= _reduced(store, run, table, source or stat, rows, layers, starts, name, decimated=columns is not None)
        return responses.container("stats", header, arrays)

    return responses.derived(request, store, [run], compute)


def _reduced(
    store: Store, run: str, table: StepTable, source: str, rows: Indices, layers: list[str], starts: Indices, name: str, *, decimated: bool
) -> dict[str, Any]:
    """Return one statistic, or its extremes within each column, float32 [L, columns]; others get at the index in between."""
    names = [f"{name}_min", f"{name}_max"] if decimated else [name]
    arrays = {each: np.empty((len(layers), len(starts)), np.float32) for each in names}
    chunk = max(1, _CHUNK_CELLS // max(1, len(rows)))
    for first in range(0, len(layers), chunk):
        part = slice(first, first + chunk)
        with store.run(run):  # for its lock
            values = table.statistic(source, rows, layers[part])
        if decimated:
            arrays[names[0]][part], arrays[names[1]][part] = extremes(values, starts)
        else:
            arrays[name][part] = values
    return arrays


def layer(store: Store, request: Request) -> Response:
    run, name, of, span = (
        parameters.text(request, "run"),
        parameters.text(request, "layer"),
        parameters.choice(request, "of", OF, "activations"),
        parameters.span(request),
    )

    def compute(revision: str) -> Response:
        _, records = store.over_steps(run, OF[of], name)
        found = histories.limits(records)
        with store.run(run) as index:
            table = table_of(index, of)
            rows = table.order(span=span)
            limits.check("steps", len(rows), limits.CELLS // len(COLUMNS), NARROWER)
            steps = table.steps(rows).astype(np.float64)
            values = np.stack([table.statistic(column, rows, [name])[0] for column in COLUMNS])
        header: dict[str, Any] = {"run": run, "revision": revision, "layer": name, "of": of, "columns": list(COLUMNS)}
        header |= {"abs_limit": found.absolute, "low_limit": found.low, "high_limit": found.high}
        return responses.container("layer", header, {"steps": steps, "values": values})

    return responses.derived(request, store, [run], compute)


def histograms(store: Store, request: Request) -> Response:
    def compute(header: dict[str, Any], records: histories.StepRecords) -> Response:
        found = histories.histograms(records)
        arrays = {"steps": found.steps, "bins": found.bins, "left": found.left, "right": found.right, "shares": found.shares}
        return responses.container("histograms", header, arrays)

    return _over_steps(store, request, compute)


def channels(store: Store, request: Request) -> Response:
    def compute(header: dict[str, Any], records: histories.StepRecords) -> Response:
        found = histories.channels(records)
        arrays = {"steps": found.steps, "channels": found.channels, "mean": found.mean, "max": found.max, "zero": found.zero}
        return responses.container("channels", header | {"dead_since": found.dead_since}, arrays)

    return _over_steps(store, request, compute)


def heads(store: Store, request: Request) -> Response:
    run, name, span = parameters.text(request, "run"), parameters.text(request, "layer"), parameters.span(request)
    most = parameters.number(request, "columns", 2, limits.HEADS, limits.HEADS)

    def compute(revision: str) -> Response:
        total, records = store.over_steps(run, "attention", name, span, most, histories.OF_HEADS)
        if not total:
            raise NotLoggedError("no_data", f"No attention for run={run!r}, layer={name!r}")
        found = histories.heads(records)
        header = {"run": run, "revision": revision, "layer": name, "logged": total}
        arrays = {"steps": found.steps, "heads": found.heads, "entropy": found.entropy}
        arrays |= {"largest_logit": found.largest_logit, "largest_weight": found.largest_weight}
        return responses.container("heads", header, arrays)

    return responses.derived(request, store, [run], compute)


def ranks(store: Store, request: Request) -> Response:
    run, name, span = parameters.text(request, "run"), parameters.text(request, "layer"), parameters.span(request)
    most = parameters.number(request, "columns", 2, limits.COLUMNS, limits.COLUMNS)

    def compute(revision: str) -> Response:
        with store.run(run) as index:
            known, number, model = index.has_layer(name), index.ranks, index.model_of(name)
        if not known:
            raise NotLoggedError("no_layer", f"No layer={name!r} in run={run!r}")
        if not number:
            raise NotLoggedError("no_data", f"No ranks in run={run!r}: its statistics are of one process")
        total, records = store.over_steps(run, "step", model, span, most)
        found = histories.ranks(records, name)
        header = {"run": run, "revision": revision, "layer": name, "logged": total}
        arrays = {"steps": found.steps, "rms": found.rms, "absmax": found.absmax, "nonfinite": found.nonfinite}
        return responses.container("ranks", header, arrays)

    return responses.derived(request, store, [run], compute)


def _over_steps(store: Store, request: Request, answer: Callable[[dict[str, Any], histories.StepRecords], Response]) -> Response:
    run, name, of, span = (
        parameters.text(request, "run"),
        parameters.text(request, "layer"),
        parameters.choice(request, "of", OF, "activations"),
        parameters.span(request),
    )
    most = parameters.number(request, "columns", 2, limits.COLUMNS, limits.COLUMNS)

    def compute(revision: str) -> Response:
        total, records = store.over_steps(run, OF[of], name, span, most)
        return answer({"run": run, "revision": revision, "layer": name, "of": of, "logged": total}, records)

    return responses.derived(request, store, [run], compute)


def table_of(index: RunIndex, of: str) -> StepTable:
    """Return the statistics of one of `OF`."""
    return index.gradients if of == "gradients" else index.table


HANDLERS: dict[str, Handler] = {
    "timeline": timeline,
    "model": model,
    "changes": changes,
    "stats": stats,
    "layer": layer,
    "histograms": histograms,
    "channels": channels,
    "heads": heads,
    "ranks": ranks,
}
