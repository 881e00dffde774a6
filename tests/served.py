"""The plugin's routes over a log, without a server."""

import json
from pathlib import Path
from typing import Any

from werkzeug.test import Client, TestResponse

from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.routes import Routes
from tensorboard_plugin.actviz.store import Store


class Site:
    """The routes over a log, called as TensorBoard calls them."""

    def __init__(self, logdir: Path | str, static: Path | None = None) -> None:
        self.logdir = logdir
        self.store = Store({str(logdir): None})
        self.store.refresh()
        self.applications = Routes(self.store, str(logdir), *([static] if static else [])).applications()

    def get(self, route: str, headers: dict[str, str] | None = None, method: str = "GET", **query: Any) -> TestResponse:
        return Client(self.applications[f"/{route}"]).open("/", query_string=query, headers=headers, method=method)

    def json(self, route: str, **query: Any) -> Any:
        response = self.get(route, **query)
        assert (response.status_code, response.mimetype) == (200, "application/json"), response.data
        return json.loads(response.data)

    def record(self, route: str, **query: Any) -> wire.Record:
        response = self.get(route, **query)
        assert (response.status_code, response.mimetype) == (200, "application/octet-stream"), response.data
        return wire.unpack(response.data)

    def error(self, route: str, **query: Any) -> tuple[int, str]:
        response = self.get(route, **query)
        answer = json.loads(response.data)
        assert set(answer) == {"code", "message"}
        return response.status_code, answer["code"]
