"""HTTP: parse the parameters, ask the store, respond. `http_api.md` documents the routes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend import http_util
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import histories, wire
from tensorboard_plugin.actviz.eventfile import DamagedRecordError, Notice
from tensorboard_plugin.actviz.series import COLUMNS, STATISTICS
from tensorboard_plugin.actviz.store import NotLoggedError, Store

Handler = Callable[[Request], Response]

API_VERSION = 1
STATIC_FILES = {"index.js": "application/javascript", "index.css": "text/css", "LICENSES.txt": "text/plain"}

_STATIC_DIRECTORY = Path(__file__).parent / "static"
_STEP = re.compile(r"-?[0-9]{1,19}")
_NO_LOGDIR = Notice(
    "",
    0,
    "TensorBoard was started without a log directory of its own (--grpc_data_provider?); "
    "the activations are read from event files: start it with --logdir or --logdir_spec",
)
_STATUS = {
    "bad_request": 400,
    "no_run": 404,
    "no_layer": 404,
    "no_data": 404,
    "bad_method": 405,
    "damaged": 422,
    "newer_format": 422,
    "internal": 500,
}

_log = logging.getLogger(__name__)


class BadRequestError(ValueError):
    """A parameter is missing or makes no sense."""


class Routes:
    """The plugin's WSGI applications."""

    def __init__(self, store: Store, logdir: str | None, static_directory: Path = _STATIC_DIRECTORY) -> None:
        """Serve what `store` holds; `logdir` is shown to the user, None where TensorBoard has none."""
        self._store = store
        self._logdir = logdir
        self._static_directory = static_directory

    def applications(self) -> dict[str, Callable[..., Any]]:
        """Return the applications by path below ``data/plugin/actviz``."""
        handlers: dict[str, Handler] = {
            "/runs": self._runs,
            "/timeline": self._timeline,
            "/model": self._model,
            "/stats": self._stats,
            "/layer": self._layer,
            "/histograms": self._histograms,
            "/channels": self._channels,
            "/maps": self._maps,
            "/inputs": self._inputs,
        }
        handlers |= {f"/static/{name}": self._static(name) for name in STATIC_FILES}
        return {path: Request.application(self._guarded(handler)) for path, handler in handlers.items()}

    def _guarded(self, handler: Handler) -> Handler:
        def guarded(request: Request) -> Response:
            if request.method != "GET":
                response = _error(request, "bad_method", f"{request.method} is not possible here; every route is GET")
                response.headers["Allow"] = "GET"
                return response
            self._store.touch()
            try:
                return handler(request)
            except BadRequestError as error:
                return _error(request, "bad_request", str(error))
            except NotLoggedError as error:
                return _error(request, error.code, str(error))
            except wire.NewerFormatError as error:
                return _error(request, "newer_format", str(error))
            except (DamagedRecordError, wire.WireError) as error:
                return _error(request, "damaged", str(error))
            except Exception as error:
                _log.exception("actviz: %s failed", request.path)
                return _error(request, "internal", f"{type(error).__name__}: {error}")

        return guarded

    # JSON

    def _runs(self, request: Request) -> Response:
        store = self._store
        runs = []
        for name in store.runs():
            try:
                with store.run(name) as index:
                    rows = index.table.order()
                    steps = index.table.steps(rows)
                    runs.append(
                        {
                            "run": name,
                            "revision": index.revision,
                            "steps": len(steps),
                            "first_step": int(steps[0]) if len(steps) else None,
                            "last_step": int(steps[-1]) if len(steps) else None,
                            "last_wall_time_s": float(index.table.wall_times_s(rows).max()) if len(steps) else None,
                            "layers": len(index.layer_names()),
                            "notices": [notice._asdict() for notice in index.notices()],
                        }
                    )
            except NotLoggedError:  # deleted meanwhile
                continue
        answer = {
            "version": API_VERSION,
            "logdir": self._logdir,
            "checked_ago_s": store.checked_ago_s,
            "poll_interval_s": store.poll_interval_s,
            "ready": store.ready,
            "notices": [notice._asdict() for notice in (store.problems() if self._logdir else [_NO_LOGDIR])],
            "runs": runs,
            "other": [
                {"run": other.run, "files": other.files, "size_bytes": other.size_bytes, "note": other.note} for other in store.other_runs()
            ],
        }
        return _json(request, answer)

    def _timeline(self, request: Request) -> Response:
        run = _parameter(request, "run")
        with self._store.run(run) as index:
            rows = index.table.order()
            answer = {
                "run": run,
                "revision": index.revision,
                "steps": index.table.steps(rows).tolist(),
                "wall_times_s": index.table.wall_times_s(rows).tolist(),
                "marks": [{"step": step, "wall_time_s": at, "text": text} for (step, text), at in sorted(index.marks.items())],
                "restarts": index.restarts(),
            }
        return _json(request, answer)

    def _model(self, request: Request) -> Response:
        run = _parameter(request, "run")
        with self._store.run(run) as index:
            header = {name: value for name, value in index.model.header.items() if name != "version"}
            session = {name: value for name, value in index.session.header.items() if name != "version"}
            answer = {
                "model": None,
                "modules": [],
                **header,
                "run": run,
                "revision": index.revision,
                "step": index.model.step,
                "layers": index.layers(),
                "session": session,
            }
        return _json(request, answer)

    # Containers

    def _stats(self, request: Request) -> Response:
        run = _parameter(request, "run")
        stat = _parameter(request, "stat")
        if stat not in STATISTICS:
            raise BadRequestError(f"stat={stat!r} is not known; expected one of {', '.join(STATISTICS)}")
        since = request.args.get("since", "")
        with self._store.run(run) as index:
            after = index.sequence_of(since)
            rows = index.table.order(-1 if after is None else after)
            layers = index.layer_names()
            header: dict[str, Any] = {"run": run, "revision": index.revision, "stat": stat, "layers": layers}
            if after is not None:
                header["since"] = since
            arrays = {"steps": index.table.steps(rows).astype(np.float64)}
            for name, source in (("values", stat), ("zero", "zero"), ("nonfinite", "nonfinite")):
                arrays[name] = index.table.statistic(source, rows, layers).astype(np.float32)
        return _container(request, "stats", header, arrays)

    def _layer(self, request: Request) -> Response:
        run, layer = _parameter(request, "run"), _parameter(request, "layer")
        header, records = self._records(run, layer)
        limits = histories.limits(records)
        with self._store.run(run) as index:
            rows = index.table.order()
            steps = index.table.steps(rows).astype(np.float64)
            values = np.stack([index.table.statistic(column, rows, [layer])[0] for column in COLUMNS])
        header |= {"columns": list(COLUMNS), "abs_limit": limits.absolute, "low_limit": limits.low, "high_limit": limits.high}
        return _container(request, "layer", header, {"steps": steps, "values": values})

    def _histograms(self, request: Request) -> Response:
        header, records = self._records(_parameter(request, "run"), _parameter(request, "layer"))
        found = histories.histograms(records)
        arrays = {"steps": found.steps, "bins": found.bins, "left": found.left, "right": found.right, "shares": found.shares}
        return _container(request, "histograms", header, arrays)

    def _channels(self, request: Request) -> Response:
        header, records = self._records(_parameter(request, "run"), _parameter(request, "layer"))
        found = histories.channels(records)
        arrays = {"steps": found.steps, "channels": found.channels, "mean": found.mean, "max": found.max, "zero": found.zero}
        return _container(request, "channels", header | {"dead_since": found.dead_since}, arrays)

    def _records(self, run: str, layer: str) -> tuple[dict[str, Any], list[tuple[int, wire.Record]]]:
        with self._store.run(run) as index:  # before the look-up: a later revision makes the client ask again
            revision = index.revision
        _, locations = self._store.locate(run, "layer", layer)
        return {"run": run, "revision": revision, "layer": layer}, self._store.decoded(locations)

    def _maps(self, request: Request) -> Response:
        run, layer, step = _parameter(request, "run"), _parameter(request, "layer"), _step(request)
        steps, locations = self._store.locate(run, "maps", layer)
        place = int(np.searchsorted(steps, step))
        if place == len(steps) or steps[place] != step:
            raise NotLoggedError("no_data", f"No maps for run={run!r}, layer={layer!r}, step={step}")
        return self._record(request, locations[place])

    def _inputs(self, request: Request) -> Response:
        run, step = _parameter(request, "run"), _step(request)
        steps, locations = self._store.locate(run, "inputs", None)
        place = int(np.searchsorted(steps, step, side="right")) - 1
        if place < 0:
            raise NotLoggedError("no_data", f"No inputs for run={run!r} at or before step={step}")
        return self._record(request, locations[place])

    def _record(self, request: Request, location: Any) -> Response:
        # After a restart another record may take the place of this one under the same URL: so the browser must ask,
        # and is told without a look at the file when nothing changed.
        tag = location.key
        if request.if_none_match.contains(tag):
            response = Response(status=304)
        else:
            try:
                container = self._store.container(location)
            except OSError as error:
                name = os.path.basename(location.path)
                raise NotLoggedError("no_data", f"{name} of run={location.run!r} cannot be read: {error.strerror}") from error
            wire.unpack_header(container)  # a newer format is said to be one, not handed out
            response = Response(container, mimetype="application/octet-stream")
        response.set_etag(tag)
        return _with_headers(response, "private, no-cache")

    def _static(self, name: str) -> Handler:
        def serve(request: Request) -> Response:
            path = self._static_directory / name
            try:
                status = path.stat()
                tag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
                if request.if_none_match.contains(tag):
                    response = Response(status=304)
                else:
                    response = http_util.Respond(request, path.read_bytes(), STATIC_FILES[name])
            except OSError:
                raise NotLoggedError("no_data", f"static/{name} is not part of this installation; build the frontend") from None
            response.set_etag(tag)
            return _with_headers(response, "private, no-cache")

        return serve


def _parameter(request: Request, name: str) -> str:
    value = request.args.get(name)
    if value is None:
        raise BadRequestError(f"parameter {name!r} is missing")
    return value


def _step(request: Request) -> int:
    text = _parameter(request, "step")
    if not _STEP.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise BadRequestError(f"step={text[:40]!r} is not a step; expected a whole number of at most 64 bits")
    return int(text)


def _json(request: Request, content: dict[str, Any], code: int = 200) -> Response:
    response: Response = http_util.Respond(request, content, "application/json", code=code)
    return _with_headers(response, "no-store")


def _error(request: Request, code: str, message: str) -> Response:
    return _json(request, {"code": code, "message": message}, _STATUS[code])


def _container(request: Request, kind: str, header: dict[str, Any], arrays: dict[str, Any]) -> Response:
    return _with_headers(Response(wire.pack(kind, header, arrays), mimetype="application/octet-stream"), "no-store")


def _with_headers(response: Response, cache_control: str) -> Response:
    response.headers["Cache-Control"] = cache_control
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.pop("Expires", None)
    return response
