"""The rows of the table, in its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers
from contestants import Contestant, HandWritten, Idle, Ours
from workloads import Trainer


@dataclass(frozen=True, slots=True)
class Entry:
    """A row.

    Attributes:
        title: of the row.
        attach: makes the contestant.
        cycle: steps of which one is logged.
        logs: whether it logs anything.
        skip: logged steps at the start that cost more than later ones, and are neither timed nor counted.
        seconds: of measuring a workload.
        peer: its requirements are in peers/<peer>.txt.
    """

    title: str
    attach: Callable[[Trainer, Path], Contestant]
    cycle: int = 1
    logs: bool = True
    skip: int = 0
    seconds: float = 10.0
    peer: str | None = None


# Pictures for the stock Images tab come with the 1st, 2nd, 4th, 8th... logged step.
_STOCK_IMAGES = 8
OURS = {
    "idle": Entry("actviz_tb, idle", Idle, logs=False, seconds=45),
    "recorder": Entry("actviz_tb, flight recorder", partial(Idle, recorder=20), logs=False, seconds=45),
    "every": Entry("actviz_tb, every step", Ours, skip=_STOCK_IMAGES, seconds=25),
    "tenth": Entry("actviz_tb, every 10th step", partial(Ours, every=10), cycle=10, skip=_STOCK_IMAGES, seconds=25),
    "nomaps": Entry("actviz_tb, every step, no maps", partial(Ours, samples=0), skip=_STOCK_IMAGES, seconds=25),
}
PEERS = {
    "wandb": Entry("wandb.Histogram + wandb.Image", peers.Wandb, peer="wandb"),
    "fastai": Entry("fastai ActivationStats", peers.Fastai, peer="fastai"),
    "trainscope": Entry("trainscope", peers.Trainscope, peer="trainscope"),
    "torchinstruments": Entry("torchinstruments", peers.Torchinstruments, peer="torchinstruments"),
    "smdebug": Entry("smdebug, reductions", peers.Smdebug, peer="smdebug"),
    "delve": Entry("delve, conv and linear", peers.Delve, peer="delve"),
}
ENTRIES = {
    "bare": Entry("bare", Contestant, logs=False, seconds=15),
    **OURS,
    "summarywriter": Entry("hooks + SummaryWriter by hand", HandWritten),
    **PEERS,
}
