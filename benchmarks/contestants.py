"""What is measured: nothing, this library, and hooks as one writes them by hand. The other tools are in peers.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from workloads import Trainer


class Contestant:
    """Something attached to a model in training. This one is nothing: the bare step.

    Args:
        trainer: whose model is to be watched.
        directory: an empty one for its files.
    """

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        self.trainer = trainer
        self.directory = directory

    def beside(self, trainer: Trainer) -> Contestant:
        """Return the bare step that this one is compared with, given another model like its own."""
        return Contestant(trainer, self.directory)

    def log_next(self) -> None:
        """Log the next step whatever the interval."""

    def prepare(self) -> None:
        """Make ready for a step; not timed."""

    def after_step(self) -> None:
        """What the user calls once a step; timed."""

    def drain(self) -> None:
        """Wait for the threads of this process that write; timed."""

    def settle(self) -> None:
        """Wait for other processes; not timed."""

    def close(self) -> None:
        """Write what is left; detach. Not timed."""


class Ours(Contestant):
    """This library. Any options but these are its defaults."""

    def __init__(self, trainer: Trainer, directory: Path, every: int = 1, **options: int) -> None:
        import actviz_tb

        super().__init__(trainer, directory)
        self.logger = actviz_tb.watch(trainer.model, directory, every=every, **options)

    def log_next(self) -> None:
        self.logger.log()

    def drain(self) -> None:
        self.logger.flush()

    def close(self) -> None:
        self.logger.close()


class Idle(Ours):
    """This library after its first step, with nothing due, so that there is nothing to wait for.

    Compared with the very same model without the hooks that are left: what is to be seen is a thousandth of a step, and two models alike
    differ by more.
    """

    def __init__(self, trainer: Trainer, directory: Path, **options: int) -> None:
        super().__init__(trainer, directory, every=1_000_000, **options)
        model = trainer.model
        hooks = (
            model._forward_pre_hooks,
            model._forward_pre_hooks_with_kwargs,
            model._forward_hooks,
            model._forward_hooks_always_called,
        )
        self.hooks = [(each, dict(each)) for each in hooks]

    def beside(self, trainer: Trainer) -> Contestant:
        return _Unwatched(self)

    def prepare(self) -> None:
        for hooks, own in self.hooks:
            hooks.update(own)

    def drain(self) -> None:
        if self.logger.step == 0:
            super().drain()


class _Unwatched(Contestant):
    def __init__(self, watched: Idle) -> None:
        super().__init__(watched.trainer, watched.directory)
        self.watched = watched

    def prepare(self) -> None:
        for hooks, _ in self.watched.hooks:
            hooks.clear()


class HandWritten(Contestant):
    """Forward hooks that call a SummaryWriter: scalars, a histogram and a picture for each layer."""

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(trainer, directory)
        self.writer = SummaryWriter(directory)
        self.step = 0
        self.handles = [module.register_forward_hook(self._hook(name)) for name, module in leaves(trainer.model)]

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output = output.detach()
            for statistic, value in statistics(output).items():
                self.writer.add_scalar(f"{name}/{statistic}", value, self.step)
            self.writer.add_histogram(name, output, self.step)
            self.writer.add_image(name, mosaic(output), self.step, dataformats="HW")

        return hook

    def after_step(self) -> None:
        self.step += 1

    def drain(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.writer.close()


def leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in model.named_modules() if not any(module.children()))


def statistics(x: Tensor) -> dict[str, float]:
    return {
        "mean": x.mean().item(),
        "std": x.std().item(),
        "min": x.min().item(),
        "max": x.max().item(),
        "zeros": (x == 0).float().mean().item(),
    }


def mosaic(x: Tensor) -> Tensor:
    """Return uint8 [height, width]: 4 samples x 16 channels as cells of at most 64 x 64, a sequence's of 128 x 128."""
    match x.ndim:
        case 4:
            cells, side = x[:4, :16], 64
        case 3:
            cells, side = x[:4, None], 128
        case _:
            cells, side = x.reshape(1, 1, len(x), -1), 128
    cells = functional.adaptive_avg_pool2d(cells, [min(size, side) for size in cells.shape[2:]])
    low, high = cells.amin((2, 3), keepdim=True), cells.amax((2, 3), keepdim=True)
    grey = ((cells - low) / (high - low).clamp_min(1e-12) * 255).to(torch.uint8)
    return grey.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
