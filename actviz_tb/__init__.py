"""Watch what happens inside a PyTorch network while it trains.

import actviz_tb
actviz_tb.watch(model, "runs/exp1")        # then: tensorboard --logdir runs, tab Activations
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorboard_plugin.actviz.version import VERSION as __version__

if TYPE_CHECKING:
    from actviz_tb import schedule
    from actviz_tb.errors import (
        ActvizError,
        ActvizWarning,
        ArgumentError,
        ArgumentTypeError,
        CostWarning,
        LayerNotFoundError,
        LoggingError,
        NotLoggedError,
        RecordError,
        StopTraining,
    )
    from actviz_tb.logger import ActivationLogger
    from actviz_tb.propagation import Activation, Activations, activation_propagation, capture, visualize_activation
    from actviz_tb.reading import Log, Run, read
    from actviz_tb.report import Report
    from actviz_tb.watching import watch

__all__ = [
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

_HOMES = {
    "propagation": ("Activation", "Activations", "activation_propagation", "capture", "visualize_activation"),
    "errors": (
        "ActvizError",
        "ActvizWarning",
        "ArgumentError",
        "ArgumentTypeError",
        "CostWarning",
        "LayerNotFoundError",
        "LoggingError",
        "NotLoggedError",
        "RecordError",
        "StopTraining",
    ),
    "logger": ("ActivationLogger",),
    "reading": ("Log", "Run", "read"),
    "report": ("Report",),
    "watching": ("watch",),
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: reading what was logged needs no torch."""
    import importlib

    if name == "schedule":
        return importlib.import_module("actviz_tb.schedule")
    for module, names in _HOMES.items():
        if name in names:
            try:
                return getattr(importlib.import_module(f"actviz_tb.{module}"), name)
            except ModuleNotFoundError as error:
                if error.name != "torch":
                    raise
                raise ImportError(f"actviz_tb.{name} needs PyTorch: pip install 'actviz-tb[torch]'", name="torch") from error
    raise AttributeError(f"module 'actviz_tb' has no attribute {name!r}")
