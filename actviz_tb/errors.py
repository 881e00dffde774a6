"""Errors and warnings of the library."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ActvizError(Exception):
    """Base class of what this library raises."""


class ArgumentError(ActvizError, ValueError):
    """An argument's value cannot be used; the message says what was given, what was expected and what to do."""


class ArgumentTypeError(ActvizError, TypeError):
    """An argument has the wrong type; the message says what was given and what was expected."""


class LayerNotFoundError(ActvizError, KeyError, IndexError):
    """No layer has that name, index or pattern; the message lists the nearest names, or how many layers there are."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # a KeyError shows its argument quoted


class NotLoggedError(ActvizError, KeyError):
    """The log does not hold what was asked for; the message says what it holds instead."""

    __str__ = LayerNotFoundError.__str__


class RecordError(ActvizError, RuntimeError):
    """A record is in the log and cannot be read: damaged, of a later format, or its file is gone; the message says which."""


class LoggingError(ActvizError, RuntimeError):
    """Recording a step failed, and ``on_error="raise"`` asked to be told at once."""


class StopTraining(ActvizError):
    """To be raised by a callback given to ``watch(on_finding=...)``: ends the training. It comes out of the model's next forward."""


class ActvizWarning(UserWarning):
    """Something was not recorded, or cannot be read; what remains goes on. Each kind of fault is reported once a layer or record."""


class CostWarning(ActvizWarning):
    """Logging takes a large part of the training's time, and has taken some seconds in all."""


def nearest(name: str, names: Iterable[str], count: int = 5) -> str:
    """Return for an error message which names are most like `name`, or where none is, which there are.

    >>> nearest("conv9", ["conv1", "fc"]), nearest("x", ["conv1", "fc"])
    ("the nearest names: 'conv1'", "there are: 'conv1', 'fc'")
    """
    names = list(dict.fromkeys(names))
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    inside = [each for each in names if each not in close and (name in each or each in name)]
    like = (close + inside)[:count]
    shown = ", ".join(map(repr, like or names[: 2 * count]))
    if like:
        return f"the nearest names: {shown}"
    more = f" and {len(names) - 2 * count} more" if len(names) > 2 * count else ""
    return f"there are: {shown or 'none'}{more}"
