"""Where the number of a step comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from actviz_tb.compiler import never_compile
from actviz_tb.errors import ArgumentError, ArgumentTypeError


class StepCounter:
    """Numbers training forwards: by themselves, by an optimizer's steps, or by a callable.

    Args:
        step: the first forward's number, or a callable that gives the current one.
        optimizer: None, or a ``torch.optim.Optimizer`` whose steps are counted from `step` on. A step that a GradScaler skips is none.

    Attributes:
        quiet: how many of the forwards announced by `expect` are still to come; who sees one subtracts it.
    """

    def __init__(self, step: int | Callable[[], int], optimizer: Any = None) -> None:
        if not callable(step) and (isinstance(step, bool) or not isinstance(step, int) or step < 0):
            raise ArgumentTypeError(
                f"step={step!r}; expected the number of the first step (0 or more), or a callable that gives the current one"
            )
        self.quiet = 0
        self._last: int | None = None
        self._source = step if callable(step) else None
        self._next = 0 if callable(step) else step
        self._handle: RemovableHandle | None = None
        if optimizer is None:
            return
        if not hasattr(optimizer, "register_step_post_hook"):
            raise ArgumentTypeError(f"optimizer is a {type(optimizer).__name__}; expected a torch.optim.Optimizer")
        if callable(step):
            raise ArgumentError("both optimizer and a callable step are given; the number can come from one only")
        steps = _OptimizerSteps(step)
        self._source = steps.number
        self._handle = optimizer.register_step_post_hook(steps.stepped)

    @property
    def current(self) -> int | None:
        """Number of the newest forward; None before the first."""
        return None if self._last is None else self._last - self.quiet

    @property
    def next(self) -> int:
        """Number of the forward that comes next."""
        return self._next - self.quiet if self._source is None else int(self._source())

    def expect(self, forwards: int) -> None:
        """Number so many forwards in advance, where they number themselves: `quiet` then counts them, and `count` is not called."""
        if self._source is None and self._last is not None:
            self.quiet = forwards
            self._next += forwards
            self._last += forwards

    def wake(self) -> None:
        """Expect nothing any more: `count` is called for the next forward."""
        if self._last is not None:
            self._last -= self.quiet
        self._next -= self.quiet
        self.quiet = 0

    def count(self) -> bool:
        """Number the forward that starts now as `current`; False where it goes on with the step of the one before it."""
        if self._source is None:
            self.wake()
            self._last = self._next
            self._next += 1
            return True
        number = self.next
        repeated = number == self._last
        self._last = number
        return not repeated

    def close(self) -> None:
        """Let go of the optimizer."""
        if self._handle is not None:
            self._handle.remove()


class _OptimizerSteps:
    """Counts an optimizer's steps; knows nothing of the logger, so that the optimizer does not keep it alive."""

    def __init__(self, start: int) -> None:
        self._number = start

    def number(self) -> int:
        return self._number

    @never_compile  # where the optimizer's step is compiled
    def stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        # A fused optimizer is stepped by the GradScaler also when it must not move: it is told so on the device.
        found_inf = getattr(optimizer, "found_inf", None)
        if not (isinstance(found_inf, Tensor) and bool(found_inf.item())):
            self._number += 1
