"""Files to save: statistics, histograms and channel profiles as CSV, maps as NPY and PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import histories, limits, parameters, picture, responses, wire
from tensorboard_plugin.actviz.answers import NARROWER, OF, Handler, table_of
from tensorboard_plugin.actviz.records import Location
from tensorboard_plugin.actviz.series import COLUMNS, STATISTICS, within
from tensorboard_plugin.actviz.store import NotLoggedError, Store
from tensorboard_plugin.actviz.verbatim import logged_at, read

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FEWER = "ask for one layer, or for fewer steps with from and to"


def statistics_csv(store: Store, request: Request) -> Response:
    run, of, span = parameters.text(request, "run"), parameters.choice(request, "of", OF, "activations"), parameters.span(request)
    wanted = parameters.text(request, "layer") if parameters.given(request, "layer") else None

    def compute(revision: str) -> Response:
        with store.run(run) as index:
            if wanted is not None and not index.has_layer(wanted):
                raise NotLoggedError("no_layer", f"No layer={wanted!r} in run={run!r}")
            layers = index.layer_names() if wanted is None else [wanted]
            table = table_of(index, of)
            order = table.order(span=span)
            steps: list[int] = table.steps(order).tolist()
            wall_times_s: list[float] = table.wall_times_s(order).tolist()
        limits.check("rows (layers x steps)", len(layers) * len(steps), limits.CSV_ROWS, _FEWER)

        def rows() -> Iterator[list[Any]]:
            for layer in layers:
                with store.run(run):  # for its lock
                    values = [table.statistic(column, order, [layer])[0] for column in COLUMNS]
                logged = ~np.isnan(values[COLUMNS.index("count")])
                columns = [_numbers(column, each) for column, each in zip(COLUMNS, values, strict=True)]
                for place in np.flatnonzero(logged).tolist():
                    yield [_safe(layer), steps[place], repr(wall_times_s[place]), *(column[place] for column in columns)]

        text = _csv(["layer", "step", "wall_time_s", *COLUMNS], rows())
        return responses.download(request, text, "text/csv", run, wanted or "", of, "statistics.csv")

    return responses.derived(request, store, [run], compute)


def histograms_csv(store: Store, request: Request) -> Response:
    def rows(records: histories.StepRecords) -> Iterator[list[Any]]:
        for step, record in records:
            pair = histories.bins_of(record)
            if pair is not None:
                left, right = wire.bin_bounds(pair[0])
                for one, other, count in zip(left.tolist(), right.tolist(), pair[1].tolist(), strict=True):
                    yield [step, _number(one), _number(other), int(count)]

    return _over_steps(store, request, ["step", "left", "right", "count"], rows, "histograms.csv")


def channels_csv(store: Store, request: Request) -> Response:
    def rows(records: histories.StepRecords) -> Iterator[list[Any]]:
        for step, record in records:
            profile = histories.profile_of(record)
            if profile is not None:
                for channel, mean, largest, zero in zip(profile[0].tolist(), *profile[1].tolist(), strict=True):
                    yield [step, channel, _number(mean), _number(largest), _number(zero)]

    return _over_steps(store, request, ["step", "channel", "mean", "max_abs", "zero"], rows, "channels.csv")


def _over_steps(
    store: Store, request: Request, columns: list[str], rows: Callable[[histories.StepRecords], Iterable[list[Any]]], ending: str
) -> Response:
    run, layer, of = parameters.text(request, "run"), parameters.text(request, "layer"), parameters.choice(request, "of", OF, "activations")
    span = parameters.span(request)

    def compute(revision: str) -> Response:
        _, locations = store.locate(run, OF[of], layer, lambda steps: within(steps, span))
        limits.check("steps", len(locations), limits.RECORDS, NARROWER)  # a file to save leaves none out
        return responses.download(request, _csv(columns, rows(store.decoded(locations))), "text/csv", run, layer, of, ending)

    return responses.derived(request, store, [run], compute)


def maps_npy(store: Store, request: Request) -> Response:
    return _npy(store, request, "maps")


def attention_npy(store: Store, request: Request) -> Response:
    return _npy(store, request, "attention")


def maps_png(store: Store, request: Request) -> Response:
    return _png(store, request, "maps")


def attention_png(store: Store, request: Request) -> Response:
    return _png(store, request, "attention")


def _npy(store: Store, request: Request, kind: str) -> Response:
    location = logged_at(store, request, kind)

    def compute() -> Response:
        record = _decoded(store, location)
        limits.check("bytes", 4 * record.arrays["data"].size, limits.NPY_BYTES, "the record itself is smaller")
        buffer = io.BytesIO()
        np.save(buffer, _values(record), allow_pickle=False)
        return responses.download(request, buffer.getvalue(), "application/octet-stream", *_name(location, kind, "npy"))

    return responses.tagged(request, location.key, compute)


def _png(store: Store, request: Request, kind: str) -> Response:
    location = logged_at(store, request, kind)
    sample = parameters.number(request, "sample", 0, limits.CELLS) if parameters.given(request, "sample") else None

    def compute() -> Response:
        record = _decoded(store, location)
        count = len(record.arrays["data"])
        if sample is not None and sample >= count:
            raise NotLoggedError("no_data", f"No sample={sample} among the {count} of the record")
        chosen = slice(None) if sample is None else slice(sample, sample + 1)
        data = picture.png(_values(record, chosen), folded=record.header.get("layout") == "vector")
        return responses.download(request, data, "image/png", *_name(location, kind, "png"))

    return responses.tagged(request, location.key, compute)


def _decoded(store: Store, location: Location) -> wire.Record:
    record = wire.unpack(read(store, location), limits.RECORD_BYTES)
    data, low, high = (record.arrays.get(name, np.empty(0)) for name in ("data", "low", "high"))
    if data.ndim != 4 or not data.size or low.shape != data.shape[:2] or high.shape != low.shape:
        raise wire.WireError(f"{record.kind} record without maps that make sense")
    return record


def _values(record: wire.Record, chosen: slice = slice(None)) -> picture.Array:
    return wire.dequantise(*(record.arrays[name][chosen] for name in ("data", "low", "high")))


def _name(location: Location, kind: str, ending: str) -> tuple[str, ...]:
    layer = location.tag.decode(errors="replace").removeprefix(wire.layer_tag(kind, ""))
    return location.run, layer, f"step-{location.step}", f"{kind}.{ending}"


def _csv(columns: list[str], rows: Iterable[list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows, start=1):
        if number > limits.CSV_ROWS:
            limits.check("rows or more", number, limits.CSV_ROWS, NARROWER)
        writer.writerow(row)
    return text.getvalue().encode("utf-8", "replace")


def _safe(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _numbers(column: str, values: picture.Array) -> list[Any]:
    if column in STATISTICS:
        return [_number(value) for value in values.tolist()]
    return ["" if value != value else int(value) for value in values.tolist()]


def _number(value: float) -> str:
    """Return enough digits for a float32; nothing for NaN."""
    return f"{value:.9g}" if value == value else ""


HANDLERS: dict[str, Handler] = {
    "statistics.csv": statistics_csv,
    "histograms.csv": histograms_csv,
    "channels.csv": channels_csv,
    "maps.npy": maps_npy,
    "maps.png": maps_png,
    "attention.npy": attention_npy,
    "attention.png": attention_png,
}
