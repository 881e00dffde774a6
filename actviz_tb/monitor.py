"""The rules of `health` in the training process: looks in the writer's thread, tells in the training's.

What is looked at is what the tab shows, of the last `REMEMBERED` logged steps; nothing is read back, and nothing more is computed on
the device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
from torch import nn

from actviz_tb import selection
from actviz_tb.errors import ArgumentTypeError, StopTraining
from actviz_tb.recording import LayerDescription
from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.health import Finding, Layer, Thresholds, examine
from tensorboard_plugin.actviz.health.logged import history_of_records

OnFinding = Callable[[Finding], object]
REMEMBERED = 64


class Monitor:
    """Looks at each logged step, and tells the user's callback what is new.

    Attributes:
        found: what was not told yet; a fault in looking is among it. The writer's thread appends, the training's takes.
    """

    def __init__(self, thresholds: Thresholds, on_finding: OnFinding) -> None:
        if not callable(on_finding):
            raise ArgumentTypeError(f"on_finding={on_finding!r} is a {type(on_finding).__name__}; expected a callable that takes a Finding")
        self.found: deque[Finding | Exception] = deque()
        self._thresholds = thresholds
        self._on_finding = on_finding
        self._records: deque[tuple[int, wire.Record]] = deque(maxlen=REMEMBERED)
        self._known: set[tuple[str, str]] = set()

    def observe(self, step: int, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], layers: Sequence[Layer]) -> None:
        """Take a logged step, as its ``step`` record has it. Called in the writer's thread; never raises."""
        try:
            self._records.append((step, wire.Record("step", dict(fields), dict(arrays))))
            findings = examine(history_of_records(layers, self._records), self._thresholds).findings
            going_on = [finding for finding in findings if finding.goes_on]
            self.found.extend(finding for finding in going_on if (finding.rule, finding.layer) not in self._known)
            self._known = {(finding.rule, finding.layer) for finding in going_on}
        except Exception as error:
            self.found.append(error)

    def tell(self, on_fault: Callable[[str, Exception], None]) -> None:
        """Call the callback with each new finding, in the training thread; what it raises is a fault, save `StopTraining`."""
        while self.found:
            finding = self.found.popleft()
            try:
                if isinstance(finding, Exception):
                    raise finding
                self._on_finding(finding)
            except StopTraining:
                raise
            except Exception as error:
                on_fault("", error)


def layers_of(model: nn.Module, name: str, described: Iterable[LayerDescription]) -> list[Layer]:
    """Return the layers of one forward as the rules see them.

    Args:
        name: that the model was given.
    """
    modules = selection.named_modules(selection.unwrapped(model), name)
    trained = {path for path, module in modules if any(each.requires_grad for each in module.parameters())}
    return [
        Layer(each.name, each.path, each.type, each.dtype, each.inputs, int(each.path in trained), each.path in trained)
        for each in described
    ]
