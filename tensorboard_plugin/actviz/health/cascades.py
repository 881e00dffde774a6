"""Which findings follow from one another, and the sentence that tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from tensorboard_plugin.actviz.health.findings import Finding
from tensorboard_plugin.actviz.health.history import History

_FOLLOWS_WITHIN = 50
"""Logged steps: what begins later downstream of a fault that lasts is taken for another matter."""
_SPREADS_BACK_WITHIN = 10
"""Logged steps in which a fault reaches the layers before it, by their gradients."""
_TOLD = 4
_APART = frozenset(("frozen", "rank", "outliers"))
"""Rules that cause nothing."""
_ORDER = ("nonfinite", "dead", "dead_channels", "collapsed", "mode", "headroom", "saturated", "jump", "exploding", "vanishing")
"""Of the findings of one layer that begin at one step: what a reader looks for first, then what comes of it."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Findings that follow from one another, or one by itself.

    Attributes:
        sentence: tells them in the order of time. findings: their numbers, the first one first.
    """

    sentence: str
    findings: tuple[int, ...]


def ordered(history: History, findings: Sequence[Finding]) -> list[Finding]:
    """Return findings, the first bad layer at the first bad step first; at one step in execution order.

    Save where many layers jumped between two logged steps, as one bad update makes them do through the gradients of all: the one that
    gained most against its own inputs then comes first; where all dropped, the one that lost most.
    """

    def key(finding: Finding) -> tuple[int, int, int]:
        rank = _ORDER.index(finding.rule) if finding.rule in _ORDER else len(_ORDER)
        return finding.first_step, history.index.get(finding.layer, len(history.layers)), rank

    found: list[Finding] = []
    for _, group in groupby(sorted(findings, key=key), lambda finding: finding.first_step):
        together = list(group)
        if together[0].rule == "jump":
            jumps = [each for each in together if each.rule == "jump"]
            grown = [each for each in jumps if each.evidence["factor"] > 1]
            most = (max if grown else min)(grown or jumps, key=lambda each: each.evidence["gain"])
            together.remove(most)
            together.insert(0, most)
        found += together
    return found


def cascades(history: History, findings: Sequence[Finding]) -> tuple[list[Finding], list[Cascade]]:
    """Return ordered findings with the numbers of their cascades, and the cascades.

    A finding follows from an earlier one that still holds, or ended a few logged steps before, where it is of the same layer or of one
    made from its output; and of a layer before it, where it begins soon after: gradients go that way.
    """
    places = [history.index[finding.layer] for finding in findings]
    firsts = np.searchsorted(history.steps, [finding.first_step for finding in findings]).tolist()
    lasts = np.searchsorted(history.steps, [finding.last_step for finding in findings]).tolist()
    of: list[int] = []
    number = 0
    for late, place in enumerate(places):
        causes = [
            early
            for early in range(late)
            if findings[early].rule not in _APART
            and findings[late].rule != "mode"
            and firsts[late] <= lasts[early] + _SPREADS_BACK_WITHIN
            and _reaches(history, places[early], place, firsts[late] - firsts[early])
        ]
        if causes or (late and findings[late].rule == "mode" == findings[late - 1].rule and firsts[late] == firsts[late - 1]):
            of.append(of[max(causes, key=lambda early: firsts[early])] if causes else of[late - 1])
        else:
            of.append(number)
            number += 1
    numbered = [replace(finding, cascade=cascade) for finding, cascade in zip(findings, of, strict=True)]
    told = []
    for cascade in range(number):
        members = tuple(index for index, each in enumerate(of) if each == cascade)
        told.append(Cascade(_sentence([findings[index] for index in members]), members))
    return numbered, told


def _reaches(history: History, early: int, late: int, gap: int) -> bool:
    if early == late or history.upstream[late] >> early & 1:
        return gap <= _FOLLOWS_WITHIN
    return gap <= _SPREADS_BACK_WITHIN


def _sentence(findings: Sequence[Finding]) -> str:
    """Tell findings in the order of time: of those of one layer that begin together the most telling, equal ones of layers in one clause.

    ``conv2 jumped at 315, relu2 dead from 330, fc1 and 3 more NaN from 565``
    """
    together: dict[tuple[str, str], list[str]] = {}
    told: set[tuple[str, int]] = set()
    for each in sorted(findings, key=lambda each: each.first_step):
        if (each.layer, each.first_step) in told:
            continue
        told.add((each.layer, each.first_step))
        at_once = each.rule == "jump" or each.last_step == each.first_step
        together.setdefault((each.brief, f"{'at' if at_once else 'from'} {each.first_step}"), []).append(each.layer)
    clauses = [f"{_named(layers)} {brief} {when}" for (brief, when), layers in together.items()]
    if len(clauses) > _TOLD:
        left = len(clauses) - _TOLD + 1
        clauses = [*clauses[: _TOLD - 1], f"and {left} more"]
    return ", ".join(clauses)


def _named(layers: Sequence[str]) -> str:
    return f"{layers[0]} and {len(layers) - 1} more" if len(layers) > 2 else " and ".join(layers)
