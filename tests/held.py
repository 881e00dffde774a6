"""Requests of a page that wait until a test lets them go: what it looks at meanwhile is not there, however slow or fast the machine is."""

from __future__ import annotations

from playwright.sync_api import Page, Route


class Held:
    """Holds back what a page asks for."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._passing = False
        self._waiting: list[Route] = []
        page.route(pattern, self._take)

    def _take(self, route: Route) -> None:
        if self._passing:
            route.continue_()
        else:
            self._waiting.append(route)

    def let_go(self) -> None:
        """Let those go that wait now; what is asked for then waits in turn."""
        waiting, self._waiting = self._waiting, []
        for route in waiting:
            route.continue_()

    def pass_on(self) -> None:
        """Hold nothing back any more."""
        self._passing = True
        self.let_go()

    def hold(self) -> None:
        """Hold back again."""
        self._passing = False
