"""The tools of others, each used as its documentation says, at every step and on every leaf module where it lets one choose."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

from contestants import Contestant, leaves, mosaic, statistics
from processes import children_cpu_s
from torch import Tensor, nn
from workloads import Trainer


class Wandb(Contestant):
    """Weights & Biases, offline: statistics, wandb.Histogram and wandb.Image of each activation."""

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_ERROR_REPORTING="false")
        import wandb

        super().__init__(trainer, directory)
        self.run = wandb.init(project="benchmark", dir=directory)
        self.values: dict[str, object] = {}
        for name, module in leaves(trainer.model):
            self._watch(wandb, name, module)

    def _watch(self, wandb: object, name: str, module: nn.Module) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output = output.detach()
            key = name
            while f"{key}/histogram" in self.values:  # a module that is called twice
                key += "+"
            self.values |= {f"{key}/{statistic}": value for statistic, value in statistics(output).items()}
            self.values[f"{key}/histogram"] = wandb.Histogram(output.numpy())
            self.values[f"{key}/maps"] = wandb.Image(mosaic(output).numpy())

        module.register_forward_hook(hook)

    def after_step(self) -> None:
        self.run.log(self.values)
        self.values = {}

    def settle(self) -> None:
        """Wait until its service, a process of its own, has done nothing for a while."""
        before = -1.0
        while (now := children_cpu_s()) != before:
            before = now
            time.sleep(0.05)

    def close(self) -> None:
        self.run.finish()


class Fastai(Contestant):
    """fastai's ActivationStats callback with histograms; it writes no files."""

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        from fastai.callback.hook import ActivationStats

        super().__init__(trainer, directory)
        self.callback = ActivationStats(with_hist=True, modules=[module for _, module in leaves(trainer.model)])
        self.callback.learn = SimpleNamespace(training=True, model=trainer.model)  # what the callback asks of a Learner
        self.callback.before_fit()

    def after_step(self) -> None:
        self.callback.after_batch()

    def close(self) -> None:
        self.callback.after_fit()


class Trainscope(Contestant):
    """trainscope with activations at every step; no maps, no histograms of activations."""

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        from trainscope import TrainScope
        from trainscope.core.config import TrainScopeConfig

        super().__init__(trainer, directory)
        config = TrainScopeConfig(run_dir=str(directory), activation_metrics_every_n_steps=1)
        self.scope = TrainScope(trainer.model, trainer.optimizer, config=config).attach()
        trainer.after_backward = lambda loss: self.scope.step(loss.item())

    def close(self) -> None:
        self.scope.detach()


class Torchinstruments(Contestant):
    """torchinstruments at every forward; no maps."""

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        from torchinstruments import AlwaysSampler, inject_observer, leaf_modules

        super().__init__(trainer, directory)
        inject_observer(trainer.model, output_dir=directory, sampler=AlwaysSampler(), selector=leaf_modules())

    def close(self) -> None:
        from torchinstruments import remove_observer

        remove_observer(self.trainer.model)


class Smdebug(Contestant):
    """SageMaker Debugger: reductions of each output; no maps, no histograms."""

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        import smdebug.pytorch as smd

        super().__init__(trainer, directory)
        self.hook = smd.Hook(
            out_dir=str(directory / "smdebug"),
            save_config=smd.SaveConfig(save_interval=1),
            reduction_config=smd.ReductionConfig(reductions=["min", "max", "mean", "std"], norms=["l2"]),
            include_regex=["_output_"],
        )
        self.hook.register_module(trainer.model)

    def close(self) -> None:
        self.hook.close()


class Delve(Contestant):
    """delve: the saturation of convolutional and linear layers only."""

    def __init__(self, trainer: Trainer, directory: Path) -> None:
        from delve import SaturationTracker

        super().__init__(trainer, directory)
        self.tracker = SaturationTracker(str(directory / "delve"), save_to="csv", modules=trainer.model, device="cpu")

    def after_step(self) -> None:
        self.tracker.add_saturations()

    def close(self) -> None:
        self.tracker.close()
