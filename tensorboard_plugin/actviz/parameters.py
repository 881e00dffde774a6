"""The parameters of a request: each is checked, and bounded."""

from __future__ import annotations

import re
from collections.abc import Collection

from werkzeug.wrappers import Request

from tensorboard_plugin.actviz import limits
from tensorboard_plugin.actviz.series import EVERYTHING, Span

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_SHOWN = 40


class BadRequestError(ValueError):
    """A parameter is missing or makes no sense."""


def given(request: Request, name: str) -> bool:
    """Say whether a parameter is there."""
    return name in request.args


def text(request: Request, name: str, default: str | None = None) -> str:
    """Return a parameter's text; without a default it must be there."""
    value = request.args.get(name, default)
    if value is None:
        raise BadRequestError(f"parameter {name!r} is missing")
    if len(value) > limits.NAME_CHARACTERS:
        raise BadRequestError(f"parameter {name!r} has {len(value)} characters; at most {limits.NAME_CHARACTERS} are taken")
    return value


def step(request: Request, name: str = "step", default: int | None = None) -> int:
    """Return a step."""
    value = text(request, name, None if default is None else str(default))
    if not _WHOLE.fullmatch(value) or not EVERYTHING[0] <= int(value) <= EVERYTHING[1]:
        raise BadRequestError(f"{name}={value[:_SHOWN]!r} is not a step; expected a whole number of at most 64 bits")
    return int(value)


def span(request: Request) -> Span:
    """Return the steps that ``from`` and ``to`` bound, both included; without them, all."""
    first, last = step(request, "from", EVERYTHING[0]), step(request, "to", EVERYTHING[1])
    if first > last:
        raise BadRequestError(f"from={first} is beyond to={last}")
    return first, last


def number(request: Request, name: str, low: int, high: int, default: int | None = None) -> int:
    """Return a whole number from `low` to `high`."""
    value = text(request, name, None if default is None else str(default))
    if not _WHOLE.fullmatch(value) or not low <= int(value) <= high:
        raise BadRequestError(f"{name}={value[:_SHOWN]!r}; expected a whole number from {low} to {high}")
    return int(value)


def choice(request: Request, name: str, values: Collection[str], default: str | None = None) -> str:
    """Return one of some texts."""
    value = text(request, name, default)
    if value not in values:
        raise BadRequestError(f"{name}={value[:_SHOWN]!r} is not known; expected one of {', '.join(values)}")
    return value
