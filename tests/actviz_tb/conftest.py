"""Fixtures of the logging library's tests."""

import os

import pytest
import torch

from actviz_tb import native

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anybody imports Triton: see test_kernels.py


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """No test's random numbers depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(params=["compiled", "torch"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the two implementations of statistics and maps a test runs with."""
    if request.param == "torch":
        monkeypatch.setattr(native, "available", lambda: False)
    elif not native.available():
        pytest.skip("no compiler was there when the package was installed")
    return str(request.param)
