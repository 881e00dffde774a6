"""A model that is never seen in training logs nothing, and that is told."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from logged import ending
from torch import nn

import actviz_tb

TOLD = r"{} forward passes, none in training mode with gradients enabled: nothing was logged; call model\.train\(\)"


@contextmanager
def told() -> Iterator[list[str]]:
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    found += [str(warning.message) for warning in caught if issubclass(warning.category, actviz_tb.ActvizWarning)]


def call(model: nn.Module, forwards: int) -> None:
    for _ in range(forwards):
        model(torch.zeros(2, 4))


def test_it_is_told_at_close_and_in_the_report(tmp_path: Path) -> None:
    model = nn.Linear(4, 4).eval()
    logger = actviz_tb.watch(model, tmp_path)
    call(model, 7)
    assert TOLD.format(7).replace("\\", "") in str(logger.report())
    with pytest.warns(actviz_tb.ActvizWarning, match=TOLD.format(7)):
        logger.close()


def test_forwards_without_gradients_are_none_in_training(tmp_path: Path) -> None:
    model = nn.Linear(4, 4)
    logger = actviz_tb.watch(model, tmp_path)
    with torch.no_grad():
        call(model, 3)
    with pytest.warns(actviz_tb.ActvizWarning, match=TOLD.format(3)):
        logger.close()


def test_a_training_in_evaluation_mode_is_told_of_once_while_it_runs(tmp_path: Path) -> None:
    model = nn.Linear(4, 4).eval()
    logger = actviz_tb.watch(model, tmp_path)
    with told() as messages:
        call(model, 99)
        with torch.no_grad():
            call(model, 50)
    assert messages == []
    with told() as messages:
        call(model, 1)
        with torch.no_grad():
            call(model, 1)
        call(model, 300)
    assert len(messages) == 1
    assert messages[0].startswith("150 forward passes")
    with pytest.warns(actviz_tb.ActvizWarning, match=TOLD.format(451)):
        logger.close()


def test_no_forward_at_all_is_told_at_close(tmp_path: Path) -> None:
    logger = actviz_tb.watch(nn.Linear(4, 4), tmp_path)
    with pytest.warns(actviz_tb.ActvizWarning, match="no forward pass of the watched model was seen, so nothing was logged"):
        logger.close()
    assert logger.report().waiting == ""


@pytest.mark.parametrize("before", [0, 5])
def test_a_model_that_is_evaluated_before_and_after_its_training_is_not_told_of(tmp_path: Path, before: int) -> None:
    model = nn.Linear(4, 4).eval()
    with told() as messages:
        logger = actviz_tb.watch(model, tmp_path)
        call(model, before)
        model.train()
        call(model, 2)
        model.eval()
        call(model, 200)
        logger.close()
    assert messages == []
    assert logger.report().waiting == ""


def test_a_logger_that_goes_with_its_model_tells_it(tmp_path: Path) -> None:
    with told() as messages:
        model = nn.Linear(4, 4).eval()
        ended = ending(actviz_tb.watch(model, tmp_path))
        call(model, 4)
        del model
        ended()
    assert [message.partition(":")[0] for message in messages] == [TOLD.format(4).partition(":")[0]]


SCRIPT = "import sys, torch, actviz_tb; m = torch.nn.Linear(2, 2).eval(); actviz_tb.watch(m, sys.argv[1]); m(torch.zeros(1, 2))"


def test_a_script_that_ends_without_close_tells_it(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=240, check=True)
    assert ended.stderr.count("1 forward pass, none in training mode") == 1
