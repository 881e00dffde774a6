"""Findings told in the training process, as they appear."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import actviz_tb
from actviz_tb.errors import ActvizWarning, ArgumentError, ArgumentTypeError, CostWarning, LoggingError
from tensorboard_plugin.actviz.health import Finding


def train(logdir: Path, steps: int = 30, die_at: int = 10, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    logger = actviz_tb.watch(model, logdir, every=1, stock_tabs=False, **arguments)
    try:
        for step in range(steps):
            if step == die_at:
                with torch.no_grad():
                    model[0].bias.fill_(-100)
            model(torch.randn(32, 8)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            logger.flush()
    finally:
        logger.close()
    return model


def test_each_finding_is_told_once_soon_after_it_began(tmp_path: Path) -> None:
    told: list[Finding] = []
    train(tmp_path, on_finding=told.append)
    names = [(each.rule, each.layer, each.first_step) for each in told]
    assert names[0] == ("jump", "0", 10)
    assert ("dead", "1", 10) in names
    assert len({(each.rule, each.layer) for each in told}) == len(told)
    logged = actviz_tb.read(tmp_path)["."].findings()
    assert {(each.rule, each.layer, each.first_step) for each in logged} == {(each.rule, each.layer, each.first_step) for each in told}


def test_nothing_is_told_of_a_healthy_training(tmp_path: Path) -> None:
    told: list[Finding] = []
    train(tmp_path, die_at=-1, on_finding=told.append)
    assert told == []


def test_the_callback_may_stop_the_training(tmp_path: Path) -> None:
    seen: list[Finding] = []

    def stop(finding: Finding) -> None:
        seen.append(finding)
        if finding.rule == "dead":
            raise actviz_tb.StopTraining(finding.sentence)

    with pytest.raises(actviz_tb.StopTraining, match="zero"):
        train(tmp_path, on_finding=stop)
    assert 12 <= actviz_tb.read(tmp_path)["."].steps[-1] <= 14


def test_what_else_it_raises_is_a_fault_in_logging(tmp_path: Path) -> None:
    def fail(finding: Finding) -> None:
        raise KeyError("mine")

    with pytest.warns(ActvizWarning, match="KeyError: 'mine'"):
        train(tmp_path / "warn", on_finding=fail)
    with pytest.raises(LoggingError, match="KeyError: 'mine'"):
        train(tmp_path / "raise", on_finding=fail, on_error="raise")


def test_thresholds_hold_for_the_callback_and_for_who_reads_the_log(tmp_path: Path) -> None:
    told: list[Finding] = []
    train(tmp_path, health={"jump": 1e5, "drift": 1e9, "window": 25}, on_finding=told.append)
    assert told == []
    run = actviz_tb.read(tmp_path)["."]
    assert len(run.findings()) == 0
    assert [each.rule for each in run.findings(window=3)] == ["dead"]


def test_logging_is_the_same_with_and_without_a_callback(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ActvizWarning)
        warnings.simplefilter("ignore", CostWarning)
        one, other = train(tmp_path / "one", on_finding=lambda finding: None), train(tmp_path / "other")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"health": {"jmp": 3}}, ArgumentError, "no threshold 'jmp'; the nearest names: 'jump'"),
        ({"health": {"jump": 0}}, ArgumentError, "jump=0; expected a number from"),
        ({"health": 8}, ArgumentTypeError, "expected thresholds by name"),
        ({"on_finding": "print"}, ArgumentTypeError, "expected a callable"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        actviz_tb.watch(nn.Linear(2, 2), tmp_path, **wrong)
