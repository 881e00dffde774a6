"""Several processes: rank 0 alone writes; the others take part where all must act together."""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from actviz_tb import summary as summaries
from actviz_tb.errors import ActvizError, ArgumentError
from actviz_tb.recording import HostStatistics, PendingStatistics, Ranks
from actviz_tb.summary import ActivationSummary
from actviz_tb.transfer import Array
from tensorboard_plugin.actviz import wire

_FIRST_CAPACITY = 1 << 16
_LENGTH_BYTES = 8

Part = tuple[ActivationSummary, Sequence[Array]]
Parts = list[bytes]
"""Of each rank its layers' summaries, packed."""


def rank() -> int:
    """Return this process's rank: of the default process group, or before there is one, as the launcher says."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def is_sharded(model: nn.Module) -> bool:
    """Say whether parameters are spread over ranks (FSDP), so that every rank must take part in each forward."""
    return any(hasattr(parameter, "placements") for parameter in model.parameters()) or any(
        "_fsdp_wrapped_module" in module._modules for module in model.modules()
    )


class NotMerged(ActvizError):
    """The ranks' statistics could not be brought together."""


class Merger:
    """Brings the statistics of all ranks together.

    One collective a logged step (a second one only when a rank has more to say than ever before), in a process group of its own: a rank
    that does not come can never pair it with a collective of the training. It waits half as long as those do, once: a training that
    goes on without such a rank is not made to wait too long for the one that waited here.

    Where there is a process group already, making a Merger is a collective, too; else the first exchange makes the group.

    Raises:
        ArgumentError: not every rank makes a Merger.
    """

    def __init__(self) -> None:
        self._capacity = _FIRST_CAPACITY
        self._group: Any = None
        self._failed = False
        if dist.is_available() and dist.is_initialized():
            try:
                self._group = _own_group()
            except Exception as error:
                message = (
                    f"merge_ranks=True, but some rank does not make the same call: {error}; all must call watch(..., merge_ranks=True)"
                )
                raise ArgumentError(message) from error

    def exchange(self, pending: PendingStatistics) -> Parts | None:
        """Return what each rank has, for `combined`. Every rank must call this at the same steps.

        Returns:
            None in a job of one process without a process group, and after a failure.

        Raises:
            NotMerged: a rank did not come in time, or there is no process group. There is no second attempt.
        """
        if self._failed or not _has_ranks():
            return None
        try:
            if self._group is None:
                self._group = _own_group()
            raw = pending.raw()
            own = {name: (replace(summary, parts=()), raw[name]) for name, summary in pending.summaries.items()}
            return self._exchange(wire.deflate(pickle.dumps(own)))
        except Exception as error:
            self._failed = True
            raise NotMerged(f"from now on statistics are of this rank's share of the batch alone: {error}") from error

    def _exchange(self, data: bytes) -> list[bytes]:
        while True:
            sent = np.zeros(_LENGTH_BYTES + self._capacity, np.uint8)
            sent[:_LENGTH_BYTES] = np.frombuffer(np.int64(len(data)).tobytes(), np.uint8)
            kept = data[: self._capacity]
            sent[_LENGTH_BYTES : _LENGTH_BYTES + len(kept)] = np.frombuffer(kept, np.uint8)
            gathered = [torch.empty(len(sent), dtype=torch.uint8, device="cpu") for _ in range(dist.get_world_size())]
            dist.all_gather(gathered, torch.from_numpy(sent), group=self._group)
            blocks = [each.numpy().tobytes() for each in gathered]
            lengths = [int(np.frombuffer(each[:_LENGTH_BYTES], np.int64)[0]) for each in blocks]
            if max(lengths) <= self._capacity:
                return [each[_LENGTH_BYTES : _LENGTH_BYTES + length] for each, length in zip(blocks, lengths, strict=True)]
            self._capacity = 2 * max(lengths)


def _has_ranks() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 or (dist.is_available() and dist.is_initialized())


def _own_group() -> Any:
    timeout = _default_timeout()
    return dist.new_group(backend="gloo", timeout=None if timeout is None else timeout / 2)


def _default_timeout() -> timedelta | None:
    """Return the timeout of the default process group, None where it does not tell."""
    group = dist.group.WORLD
    for device in map(torch.device, ("cpu", "cuda")):
        try:
            timeout = group._get_backend(device).options._timeout  # type: ignore[union-attr]
        except (RuntimeError, AttributeError):
            continue
        if isinstance(timeout, timedelta):
            return timeout
    return None


def combined(ranks: Parts) -> HostStatistics:
    """Return the statistics of the global batch, and what single ranks saw of it.

    Args:
        ranks: of `Merger.exchange`.
    """
    parts: list[Mapping[str, Part]] = [pickle.loads(zlib.decompress(data)) for data in ranks]
    names = list(dict.fromkeys(name for part in parts for name in part))
    layers, sampled_every = {}, {}
    spread = {key: np.full((len(parts), len(names)), np.nan, np.float32) for key in ("rms", "absmax", "nonfinite")}
    for column, name in enumerate(names):
        of_ranks = {number: part[name] for number, part in enumerate(parts) if name in part}
        for number, (summary, arrays) in of_ranks.items():
            found = summaries.moments(arrays)
            spread["rms"][number, column] = found["rms"]
            spread["absmax"][number, column] = max(abs(found["min"]), abs(found["max"]))
            spread["nonfinite"][number, column] = summary.count - arrays[0].sum()
        whole, arrays = summaries.combine(list(of_ranks.values()))
        layers[name] = summaries.finalise(whole, arrays)
        sampled_every[name] = whole.sampled_every
    return HostStatistics(layers, sampled_every, Ranks(**spread))
