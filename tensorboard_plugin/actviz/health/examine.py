"""All rules over one run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from tensorboard_plugin.actviz.health import probing, rules, signal
from tensorboard_plugin.actviz.health.cascades import Cascade, cascades, ordered
from tensorboard_plugin.actviz.health.findings import Finding
from tensorboard_plugin.actviz.health.history import History
from tensorboard_plugin.actviz.health.thresholds import Thresholds

_CHECKS: tuple[tuple[Callable[[History, Thresholds], Iterator[Finding]], tuple[str, ...]], ...] = (
    (rules.nonfinite, ("nonfinite",)),
    (rules.dead, ("dead", "dead_channels")),
    (rules.saturated, ("saturated",)),
    (signal.depth, ("vanishing", "exploding")),
    (signal.jump, ("jump",)),
    (rules.outliers, ("outliers",)),
    (probing.collapsed, ("collapsed", "rank_collapse")),
    (probing.frozen, ("frozen",)),
    (rules.headroom, ("headroom",)),
    (rules.mode, ("mode",)),
    (probing.train_eval, ("train_eval",)),
    (rules.ranks, ("rank",)),
)
RULES = tuple(name for _, names in _CHECKS for name in names)
MOST_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong with a run, the first bad layer at the first bad step first; a collection of its findings.

    Attributes:
        findings: at most `MOST_FINDINGS`. cascades: how they follow from one another; each finding is in one.
        left_out: how many more there are.
    """

    findings: tuple[Finding, ...]
    cascades: tuple[Cascade, ...]
    left_out: int = 0

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        return "\n".join(cascade.sentence for cascade in self.cascades) or "no findings"


def examine(history: History, thresholds: Thresholds | None = None, only: Collection[str] = RULES) -> Health:
    """Return what the rules find in a run.

    Args:
        only: names of the rules wanted, see `RULES`.
    """
    wanted = Thresholds() if thresholds is None else thresholds
    found: list[Finding] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN is "not logged" here; comparisons and medians of it are meant
        for check, names in _CHECKS:
            if not set(names).isdisjoint(only):
                found += [finding for finding in check(history, wanted) if finding.rule in only]
    kept = ordered(history, found)
    numbered, told = cascades(history, kept[:MOST_FINDINGS])
    return Health(tuple(numbered), tuple(told), max(0, len(kept) - MOST_FINDINGS))
