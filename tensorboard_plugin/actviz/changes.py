"""What has changed in the runs of a log directory since somebody last asked. Not thread-safe: `store` guards it with its lock."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from tensorboard_plugin.actviz import limits
from tensorboard_plugin.actviz.runindex import Clock, RunIndex


@dataclass(frozen=True, slots=True)
class ChangedRun:
    """A run that has changed since a token.

    Attributes:
        steps: logged steps now. new_steps: of these, those logged, or logged anew, since the token.
    """

    run: str
    revision: str
    steps: int
    new_steps: int
    last_step: int | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a token.

    Attributes:
        token: to ask with next time.
        full: whether the token was of no use, so that all there is is in `added`.
        added: runs that are new, or whose files were replaced. changed: those with more to read. removed: names.
    """

    token: str
    full: bool
    added: list[ChangedRun]
    changed: list[ChangedRun]
    removed: list[str]


class ChangeLog:
    """Numbers the changes of all runs, and remembers which ones went.

    Attributes:
        clock: that of the runs' indexes.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self._epoch = secrets.token_hex(4)
        self._removed: dict[str, int] = {}
        self._forgotten = 0

    def appeared(self, index: RunIndex) -> None:
        """Note that an index took the place of another one: what is in it was numbered before it could be seen."""
        index.appeared = self.clock.tick()

    def removed(self, index: RunIndex) -> None:
        """Note that a run's index is gone."""
        if not index.active:
            return
        self._removed.pop(index.run, None)
        self._removed[index.run] = self.clock.tick()
        if len(self._removed) > limits.REMOVED_RUNS:
            self._forgotten = self._removed.pop(next(iter(self._removed)))

    def since(self, token: str, indexes: Iterable[RunIndex]) -> Changes:
        """Return what has changed since `token` was returned; all there is, where it was not by this log or too long ago."""
        epoch, _, number = token.partition(".")
        known = epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 19
        after = int(number) if known else -1
        full = not self._forgotten <= after <= self.clock.now
        active = sorted((index for index in indexes if index.active), key=lambda index: index.run)
        new = [index for index in active if full or index.appeared > after]
        more = [index for index in active if not full and index.appeared <= after < index.sequence]
        gone = {run for run, at in self._removed.items() if not full and at > after} - {index.run for index in active}
        return Changes(
            token=f"{self._epoch}.{self.clock.now}",
            full=full,
            added=[_changed(index, -1) for index in new],
            changed=[_changed(index, after) for index in more],
            removed=sorted(gone),
        )


def _changed(index: RunIndex, after: int) -> ChangedRun:
    steps = index.table.steps(index.table.order())
    last = int(steps[-1]) if len(steps) else None
    return ChangedRun(index.run, index.revision, len(steps), index.table.entered_after(after), last)
