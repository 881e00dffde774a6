"""Records as they were logged: maps, attention, inputs; one, or those of a range of steps."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import numpy as np
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import limits, parameters, responses, wire
from tensorboard_plugin.actviz.answers import Handler
from tensorboard_plugin.actviz.eventfile import DamagedRecordError
from tensorboard_plugin.actviz.records import Location
from tensorboard_plugin.actviz.series import EVERYTHING, Indices, Steps, within
from tensorboard_plugin.actviz.store import NotLoggedError, Store


def maps(store: Store, request: Request) -> Response:
    return _record(store, request, logged_at(store, request, "maps"))


def attention(store: Store, request: Request) -> Response:
    return _record(store, request, logged_at(store, request, "attention"))


def inputs(store: Store, request: Request) -> Response:
    run, model, step = parameters.text(request, "run"), parameters.text(request, "model", ""), parameters.step(request)
    locations = inputs_at(store, run, model, step)
    if not locations:
        with store.run(run) as index:
            models = ", ".join(map(repr, index.model_names()))
        raise NotLoggedError("no_data", f"No inputs for run={run!r}, model={model!r} at or before step={step}; its models: {models}")
    return _record(store, request, locations[0])


def inputs_at(store: Store, run: str, model: str, step: int) -> list[Location]:
    """Return where the record of the inputs lies that are in force at a step, at most one."""
    return store.locate(run, "inputs", model, lambda steps: within(steps, (EVERYTHING[0], step))[-1:])[1]


def logged_at(store: Store, request: Request, kind: str) -> Location:
    """Return where the record of a kind lies that the request's run, layer and step name."""
    run, layer, step = parameters.text(request, "run"), parameters.text(request, "layer"), parameters.step(request)
    _, locations = store.locate(run, kind, layer, lambda steps: within(steps, (step, step)))
    if not locations:
        raise NotLoggedError("no_data", f"No {kind} for run={run!r}, layer={layer!r}, step={step}")
    return locations[0]


def read(store: Store, location: Location) -> bytes:
    """Return a record's container, verified.

    Raises:
        NotLoggedError: its file is gone.
        DamagedRecordError, WireError, TooLargeError: it cannot be handed out.
    """
    try:
        container = store.container(location)
    except OSError as error:
        name = os.path.basename(location.path)
        raise NotLoggedError("no_data", f"{name} of run={location.run!r} cannot be read: {error.strerror}") from error
    wire.unpack_header(container)  # a newer format is said to be one, not handed out
    return container


def _record(store: Store, request: Request, location: Location) -> Response:
    # After a restart another record may take the place of this one under the same URL: so the browser must ask,
    # and is told without a look at the file when nothing changed.
    return responses.tagged(request, location.key, lambda: responses.verbatim(read(store, location)))


def maps_range(store: Store, request: Request) -> Response:
    run, layer = parameters.text(request, "run"), parameters.text(request, "layer")
    span = parameters.span(request)
    following: int | None = None

    def choose(steps: Steps) -> Indices:
        nonlocal following
        inside = within(steps, span)
        if len(inside) > limits.RANGE_RECORDS:
            following = int(steps[inside[limits.RANGE_RECORDS]])
        return inside[: limits.RANGE_RECORDS]

    _, locations = store.locate(run, "maps", layer, choose)
    tag = hashlib.sha256(f"{[location.key for location in locations]} {following}".encode()).hexdigest()[:32]
    return responses.tagged(request, tag, lambda: _range(store, run, layer, locations, following))


def _range(store: Store, run: str, layer: str, locations: list[Location], following: int | None) -> Response:
    steps: list[int] = []
    containers: list[bytes] = []
    unreadable: list[int] = []
    size = 0
    started_s = time.monotonic()
    for location in locations:
        if time.monotonic() - started_s > limits.READ_S:
            following = location.step
            break
        try:
            container = read(store, location)
        except (DamagedRecordError, wire.WireError, limits.TooLargeError):
            unreadable.append(location.step)
            continue
        if containers and size + len(container) > limits.RANGE_BYTES:
            following = location.step
            break
        steps.append(location.step)
        containers.append(container)
        size += len(container)
    header: dict[str, Any] = {"run": run, "layer": layer, "next": following, "unreadable": unreadable}
    offsets = np.cumsum([0, *map(len, containers)], dtype=np.uint32)
    arrays: dict[str, Any] = {"steps": np.array(steps, np.float64), "offsets": offsets}
    arrays["containers"] = np.frombuffer(b"".join(containers), np.uint8)
    return responses.container("maps_range", header, arrays, raw=["containers"])  # which are compressed already


HANDLERS: dict[str, Handler] = {"maps": maps, "maps_range": maps_range, "attention": attention, "inputs": inputs}
