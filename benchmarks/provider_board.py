"""TensorBoard without our plugin, but with one that hands out our records as TensorBoard's data provider keeps them; see reading.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tensorboard import default, program
from tensorboard.context import RequestContext
from tensorboard.data.provider import RunTagFilter
from tensorboard.plugins import base_plugin
from werkzeug.wrappers import Request, Response


class Provided(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard is not typed
    plugin_name = "provided"

    def __init__(self, context: base_plugin.TBContext) -> None:
        super().__init__(context)
        self._provider = context.data_provider

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        return {"/count": Request.application(self._count), "/map": Request.application(self._map)}

    def is_active(self) -> bool:
        return False

    def _blobs(self, **which: Any) -> Any:
        return self._provider.read_blob_sequences(
            RequestContext(), experiment_id="", plugin_name="actviz", downsample=1 << 30, run_tag_filter=RunTagFilter(**which)
        )

    def _count(self, request: Request) -> Response:
        """Answer with the number of maps."""
        runs = self._provider.list_blob_sequences(RequestContext(), experiment_id="", plugin_name="actviz")
        tags = [tag for found in runs.values() for tag in found if tag.startswith("actviz/maps/")]
        return Response(str(sum(len(data) for found in self._blobs(tags=tags).values() for data in found.values()) if tags else 0))

    def _map(self, request: Request) -> Response:
        tag, step = request.args["tag"], int(request.args["step"])
        (data,) = self._blobs(runs=["run"], tags=[tag])["run"].values()
        (datum,) = [each for each in data if each.step == step]
        return Response(self._provider.read_blob(RequestContext(), blob_key=datum.values[0].blob_key))


def main() -> None:
    plugins = [loader for loader in default.get_plugins() if "actviz" not in repr(loader)]
    board = program.TensorBoard(plugins=[*plugins, Provided])
    board.configure(sys.argv)
    sys.exit(board.main())


if __name__ == "__main__":
    main()
