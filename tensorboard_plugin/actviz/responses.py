"""HTTP answers: JSON, containers, files to save and errors, each with the headers that it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard.backend import http_util, json_util
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import limits, wire
from tensorboard_plugin.actviz.store import Store

STATUS = {
    "bad_request": 400,
    "no_run": 404,
    "no_layer": 404,
    "no_data": 404,
    "bad_method": 405,
    "too_large": 413,
    "damaged": 422,
    "newer_format": 422,
    "internal": 500,
}
_CONTAINER_TYPE = "application/octet-stream"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_FILE_NAME_CHARACTERS = 60


def live_json(request: Request, content: dict[str, Any], code: int = 200) -> Response:
    """Return an answer that holds now only."""
    return _with_headers(_json(request, content, code), "no-store")


def error(request: Request, code: str, message: str) -> Response:
    """Return what a request gets that cannot be answered."""
    return live_json(request, {"code": code, "message": message}, STATUS[code])


def json_answer(request: Request, content: dict[str, Any]) -> Response:
    """Return JSON, for `derived` to add its headers."""
    return _json(request, content, 200)


def container(kind: str, header: dict[str, Any], arrays: Mapping[str, npt.NDArray[np.generic]], raw: Sequence[str] = ()) -> Response:
    """Return a container, for `derived` or `tagged` to add its headers. Its arrays are compressed, so that it need not be."""
    return Response(wire.pack(kind, header, arrays, raw), mimetype=_CONTAINER_TYPE)


def verbatim(data: bytes) -> Response:
    """Return a record's own container, for `tagged` to add its headers."""
    return Response(data, mimetype=_CONTAINER_TYPE)


def download(request: Request, data: bytes, mimetype: str, *name: object) -> Response:
    """Return a file to save, for `derived` or `tagged` to add its headers.

    Args:
        name: its parts, the last one with the ending; whatever they hold, the name is letters, digits, dots, underscores and hyphens.
    """
    parts = [_UNSAFE.sub("-", str(part)).strip("-.")[:_FILE_NAME_CHARACTERS] for part in name]
    file_name = "_".join(["actviz", *filter(None, parts)])
    response: Response = http_util.Respond(request, data, mimetype)
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


def derived(request: Request, store: Store, runs: Sequence[str], compute: Callable[[str], Response]) -> Response:
    """Return what `compute` makes of the revision, or 304 without computing where the client has the answer of that revision.

    The revision is taken before `compute` looks at the runs: should they change meanwhile, the client will ask again.

    Args:
        runs: what the answer depends on, besides the request.
        compute: given the first run's revision.

    Raises:
        NotLoggedError: there is no such run.
    """
    revisions = [store.revision(run) for run in runs]
    return tagged(request, "+".join(dict.fromkeys(revisions)), lambda: compute(revisions[0]), weak=True)


def tagged(request: Request, tag: str, compute: Callable[[], Response], *, weak: bool = False) -> Response:
    """Return what `compute` makes, with an ETag; or 304 without computing where the client has it.

    Args:
        weak: whether the bytes may differ under the same tag, as with and without compression.
    """
    # A proxy that compresses makes strong tags weak ones: so each tag is compared as if it were weak.
    response = Response(status=304) if request.if_none_match.contains_weak(tag) else compute()
    response.set_etag(tag, weak)
    return _with_headers(response, "private, no-cache")


def _json(request: Request, content: dict[str, Any], code: int) -> Response:
    text = json.dumps(json_util.Cleanse(content))
    limits.check("bytes of JSON", len(text), limits.JSON_BYTES, "ask for fewer steps")
    response: Response = http_util.Respond(request, text, "application/json", code=code)
    return response


def _with_headers(response: Response, cache_control: str) -> Response:
    response.headers["Cache-Control"] = cache_control
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers.pop("Expires", None)
    return response
