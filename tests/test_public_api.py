"""The public names, and their promise that viewing needs no torch."""

import doctest
import importlib
import subprocess
import sys

import pytest

import actviz_tb

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; import actviz_tb; "


def test_the_public_names() -> None:
    assert actviz_tb.__all__ == [
        "Activation",
        "ActivationLogger",
        "Activations",
        "ActvizError",
        "ActvizWarning",
        "ArgumentError",
        "ArgumentTypeError",
        "CostWarning",
        "LayerNotFoundError",
        "Log",
        "LoggingError",
        "NotLoggedError",
        "RecordError",
        "Report",
        "Run",
        "StopTraining",
        "__version__",
        "activation_propagation",
        "capture",
        "read",
        "schedule",
        "visualize_activation",
        "watch",
    ]
    for name in actviz_tb.__all__:
        assert getattr(actviz_tb, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'wach'"):
        actviz_tb.wach  # noqa: B018


def test_without_torch_the_package_imports_and_says_what_is_missing() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH + "print(actviz_tb.__version__)"], check=True, timeout=60)
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + "actviz_tb.watch"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert "ImportError: actviz_tb.watch needs PyTorch: pip install 'actviz-tb[torch]'" in result.stderr


@pytest.mark.parametrize("module", ["hooks", "mosaic", "outputs", "propagation", "schedule", "selection"])
def test_the_examples_in_docstrings_hold(module: str) -> None:
    found = importlib.import_module(f"actviz_tb.{module}")
    names = {"torch": importlib.import_module("torch"), "nn": importlib.import_module("torch.nn")}
    assert doctest.testmod(found, extraglobs=names).failed == 0
