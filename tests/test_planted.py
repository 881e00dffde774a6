"""Planted faults are named, and nothing is found in their healthy twins; the whole of it is `planted`'s own command."""

from __future__ import annotations

from dataclasses import replace

import planted
import pytest


def _try(task: str, fault: str, seed: int) -> None:
    result = planted.try_all((task, seed, (fault,), ""))
    (row,) = result.rows
    assert row.named, (row.first, row.sentence)
    assert (row.early, result.false) == ((), ())


@pytest.mark.parametrize("fault", ["dead", "mode", "saturated"])
def test_a_fault_in_a_short_training_is_named(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = planted.FAULTS[fault]
    monkeypatch.setitem(planted.FAULTS, fault, replace(short, at=min(short.at, 120), last=170))
    _try("digits CNN", fault, 7)


@pytest.mark.slow
@pytest.mark.parametrize("task", planted.TASKS)
@pytest.mark.parametrize("fault", planted.FAULTS)
def test_every_fault_is_named(task: str, fault: str) -> None:
    if not planted.possible(task, fault):
        pytest.skip("cannot be planted in this network")
    _try(task, fault, 6)
