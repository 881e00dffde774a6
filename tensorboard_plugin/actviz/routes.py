"""HTTP: the table of routes, and what guards each of them. `http_api.md` documents them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tensorboard.backend import http_util
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import answers, comparisons, diagnosis, downloads, limits, pairs, responses, verbatim, wire
from tensorboard_plugin.actviz.eventfile import DamagedRecordError, Notice
from tensorboard_plugin.actviz.parameters import BadRequestError
from tensorboard_plugin.actviz.store import NotLoggedError, Store

Handler = Callable[[Request], Response]

API_VERSION = 1
STATIC_FILES = {"index.js": "application/javascript", "index.css": "text/css", "LICENSES.txt": "text/plain"}

_STATIC_DIRECTORY = Path(__file__).parent / "static"
_NO_LOGDIR = Notice(
    "",
    0,
    "TensorBoard was started without a log directory of its own (--grpc_data_provider): what its data provider holds is shown, "
    "which is a sample of the steps; start it with --logdir or --logdir_spec to see every one",
)
_log = logging.getLogger(__name__)


HANDLERS: dict[str, answers.Handler] = (
    answers.HANDLERS | comparisons.HANDLERS | pairs.HANDLERS | diagnosis.HANDLERS | verbatim.HANDLERS | downloads.HANDLERS
)


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
            **{f"/{route}": partial(handler, self._store) for route, handler in HANDLERS.items()},
        }
        handlers |= {f"/static/{name}": self._static(name) for name in STATIC_FILES}
        return {path: Request.application(self._guarded(handler)) for path, handler in handlers.items()}

    def _guarded(self, handler: Handler) -> Handler:
        def guarded(request: Request) -> Response:
            if request.method != "GET":
                response = responses.error(request, "bad_method", f"{request.method} is not possible here; every route is GET")
                response.headers["Allow"] = "GET"
                return response
            self._store.touch()
            try:
                return handler(request)
            except BadRequestError as error:
                return responses.error(request, "bad_request", str(error))
            except NotLoggedError as error:
                return responses.error(request, error.code, str(error))
            except wire.NewerFormatError as error:
                return responses.error(request, "newer_format", str(error))
            except (limits.TooLargeError, wire.OversizeError) as error:
                return responses.error(request, "too_large", str(error))
            except (DamagedRecordError, wire.WireError) as error:
                return responses.error(request, "damaged", str(error))
            except Exception as error:
                _log.exception("actviz: %s failed", request.path)
                return responses.error(request, "internal", f"{type(error).__name__}: {error}")

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
            "notices": [notice._asdict() for notice in (*([] if self._logdir else [_NO_LOGDIR]), *store.problems())],
            "runs": runs,
            "other": [
                {"run": other.run, "files": other.files, "size_bytes": other.size_bytes, "note": other.note} for other in store.other_runs()
            ],
        }
        return responses.live_json(request, answer)

    def _static(self, name: str) -> Handler:
        def serve(request: Request) -> Response:
            path = self._static_directory / name
            try:
                status = path.stat()
                tag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
                return responses.tagged(request, tag, lambda: http_util.Respond(request, path.read_bytes(), STATIC_FILES[name]), weak=True)
            except OSError:
                raise NotLoggedError("no_data", f"static/{name} is not part of this installation; build the frontend") from None

        return serve
