"""What is wrong with a run, and where it began: pure functions of its statistics. ``docs/health.md`` has the rules."""

from tensorboard_plugin.actviz.health.cascades import Cascade
from tensorboard_plugin.actviz.health.examine import RULES, Health, examine
from tensorboard_plugin.actviz.health.findings import Finding
from tensorboard_plugin.actviz.health.history import History, Layer
from tensorboard_plugin.actviz.health.parting import part
from tensorboard_plugin.actviz.health.thresholds import Thresholds

__all__ = ["RULES", "Cascade", "Finding", "Health", "History", "Layer", "Thresholds", "examine", "part"]
