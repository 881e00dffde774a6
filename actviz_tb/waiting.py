"""Saying so where a model is never seen in training, and so nothing is logged."""

from __future__ import annotations

import warnings

from actviz_tb.errors import ActvizWarning

TELL_AFTER = 100


class Waiting:
    """Counts the forwards before the first one in training mode with gradients enabled.

    Attributes:
        forwards: so many; 0 once that one has come.
    """

    def __init__(self) -> None:
        self.forwards = 0
        self._with_gradients = 0

    def count(self, *, gradients: bool) -> None:
        """Count a forward; warn at the `TELL_AFTER`-th with gradients: it looks like a training in the wrong mode."""
        self.forwards += 1
        if gradients:
            self._with_gradients += 1
            if self._with_gradients == TELL_AFTER:
                self.warn()

    def end(self) -> None:
        """The first one in training has come, or nobody waits for it any more."""
        self.forwards = 0

    def warn(self) -> None:
        """Warn that none has come so far."""
        warnings.warn(str(self), ActvizWarning, stacklevel=3)

    def __str__(self) -> str:
        if not self.forwards:
            return (
                "no forward pass of the watched model was seen, so nothing was logged: call that object, and not from inside another "
                "compiled function, where no call is seen"
            )
        return (
            f"{self.forwards} forward pass{'' if self.forwards == 1 else 'es'}, none in training mode with gradients enabled: nothing "
            "was logged; call model.train() before the training loop, and have no torch.no_grad() around it"
        )
