"""What a rule says, and since when; how repeated detections become one finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tensorboard_plugin.actviz.health.history import History

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one layer, from the first step at which it was seen to the last.

    Attributes:
        rule: its name, one of `rules.RULES`. severity: ``bad`` or ``warn``.
        layer: its name. first_step, last_step: logged steps. goes_on: it was still so at the last logged step.
        evidence: the numbers.
        sentence: what was seen. brief: the same in a few words. cause: what usually causes it.
        view: of the tab that shows it: ``layer``, ``overview``, ``compare`` or ``similarity``. channel: the one to look at, or None.
        cascade: number of the cascade that it belongs to.
    """

    rule: str
    severity: str
    layer: str
    first_step: int
    last_step: int
    goes_on: bool
    evidence: Mapping[str, float]
    sentence: str
    brief: str
    cause: str
    view: str = "layer"
    channel: int | None = None
    cascade: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, with the link to what shows it."""
        shown = {name: getattr(self, name) for name in self.__slots__ if name not in ("view", "channel")}
        link = {"view": self.view, "layer": self.layer, "step": self.first_step, "channel": self.channel}
        evidence = {name: value if np.isfinite(value) else None for name, value in self.evidence.items()}
        return {**shown, "evidence": evidence, "link": link}


class Span(NamedTuple):
    """Indices of the first and the last logged step of a state, and whether it still holds."""

    first: int
    last: int
    goes_on: bool


def spans(on: Flags, stay: Flags, window: int, release: int) -> list[Span]:
    """Return where a state holds: from `window` flags of `on` in a row, until `release` in a row without `stay`.

    >>> spans(np.array([0, 1, 1, 0, 1, 0, 0, 0], bool), np.array([0, 1, 1, 0, 1, 0, 0, 0], bool), 2, 2)
    [Span(first=1, last=4, goes_on=False)]

    Args:
        on, stay: [S]; `stay` is the laxer one, so that what wavers about a threshold is one state.
    """
    begins, ends = _in_a_row(on, window), _in_a_row(~stay, release)
    found: list[Span] = []
    place = 0
    while True:
        at = int(np.searchsorted(begins, place))
        if at == len(begins):
            return found
        first = int(begins[at])
        at = int(np.searchsorted(ends, first))
        if at == len(ends):
            return [*found, Span(first, _last(stay, first, len(on)), True)]
        place = int(ends[at])
        found.append(Span(first, _last(stay, first, place), False))


def _in_a_row(flags: Flags, number: int) -> npt.NDArray[np.intp]:
    """Return the indices from which `number` flags in a row are set."""
    if len(flags) < number:
        return np.empty(0, np.intp)
    sums = np.concatenate([[0], np.cumsum(flags)])
    return np.flatnonzero(sums[number:] - sums[:-number] == number)


def _last(stay: Flags, first: int, end: int) -> int:
    held = np.flatnonzero(stay[first:end])
    return first + (int(held[-1]) if len(held) else 0)


def layers_with(
    history: History, on: Flags, stay: Flags | None = None, *, window: int, release: int, known: Flags | None = None
) -> Iterator[tuple[int, Span]]:
    """Yield (layer, span) of a state of layers [L, S]; steps at which a layer is not `known` (by default: logged) do not count."""
    known = history.logged if known is None else known
    stay = on if stay is None else stay
    for layer in np.flatnonzero((on & known).any(axis=1)).tolist():
        kept = np.flatnonzero(known[layer])
        for span in spans(on[layer, kept], stay[layer, kept], window, release):
            yield layer, Span(int(kept[span.first]), int(kept[span.last]), span.goes_on)


Describe = Callable[[int, Span], dict[str, Any]]


def number(value: float) -> str:
    """Return a number with three significant digits, with a thin space between thousands.

    >>> number(0.012345), number(65504.0), number(3.0)
    ('0.0123', '65\\u2009500', '3')
    """
    if not np.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.2e}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}".replace(",", "\u2009") if abs(rounded) >= 100 else f"{rounded:g}"


def percent(share: float) -> str:
    """Return a share in per cent with one decimal, ``100`` only where it is all.

    >>> percent(0.9996), percent(1)
    ('>99.9 %', '100 %')
    """
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{100 * share:.4g} %" if share in (0, 1) else f"{100 * share:.1f} %"


def compared(factor: float) -> str:
    """Return a factor in words, up or down.

    >>> compared(12.3), compared(1 / 12.3)
    ('12.3x larger', '12.3x smaller')
    """
    return f"{number(factor)}x larger" if factor >= 1 else f"{number(1 / factor) if factor > 0 else 'infinitely'}x smaller"
