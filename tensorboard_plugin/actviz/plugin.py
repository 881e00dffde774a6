"""The plugin as TensorBoard sees it.

Importing this module must stay cheap, and must not fail: that would stop TensorBoard from starting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tensorboard.plugins import base_plugin

if TYPE_CHECKING:
    from tensorboard_plugin.actviz.store import Store

PLUGIN_NAME = "actviz"
TAB_NAME = "Activations"


class ActvizPlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard is not typed
    """The Activations tab."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext, store: Store, logdir: str | None) -> None:
        """Serve a store that is being kept up to date; `logdir` is what the user gave, None if nothing."""
        super().__init__(context)
        self._store = store
        self._logdir = logdir

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """Return the WSGI applications by path; see ``http_api.md``."""
        from tensorboard_plugin.actviz.routes import Routes

        return Routes(self._store, self._logdir).applications()

    def is_active(self) -> bool:
        """Say whether any activations were seen; answers from memory."""
        return self._store.active

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Describe the tab. Its page polls by itself: TensorBoard's reload button has nothing to add."""
        return base_plugin.FrontendMetadata(es_module_path="/static/index.js", tab_name=TAB_NAME, disable_reload=True)


class ActvizLoader(base_plugin.TBLoader):  # type: ignore[misc]
    """Loads the plugin; the entry point."""

    def load(self, context: base_plugin.TBContext) -> ActvizPlugin:
        """Return the plugin, its index being built in the background."""
        from tensorboard_plugin.actviz.logdir import parse_logdir
        from tensorboard_plugin.actviz.mirror import Mirror
        from tensorboard_plugin.actviz.store import Store

        logdir = context.logdir or getattr(context.flags, "logdir", None)
        logdir_spec = getattr(context.flags, "logdir_spec", None)
        directories = parse_logdir(logdir, logdir_spec)
        if directories or context.data_provider is None:
            store = Store(directories)
        else:
            mirror = Mirror(context.data_provider)
            store = Store({"TensorBoard's data provider": None}, lambda _: mirror.runs())
        store.start()
        return ActvizPlugin(context, store, logdir or logdir_spec or None)
