"""Several processes: rank 0 alone writes; the others take part where all must act together."""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from actviz_tb import statistics
from actviz_tb.recording import HostStatistics, PendingStatistics, Ranks
from actviz_tb.statistics import ActivationSummary
from actviz_tb.transfer import Array
from tensorboard_plugin.actviz import wire

_FIRST_CAPACITY = 1 << 16
_LENGTH_BYTES = 8

Part = tuple[ActivationSummary, list[Array]]


def rank() -> int:
    """Return this process's rank: of the default process group, or before there is one, as the launcher says."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def is_sharded(model: nn.Module) -> bool:
    """Say whether parameters are spread over ranks (FSDP), so that every rank must take part in each forward."""
    return any(hasattr(parameter, "placements") for parameter in model.parameters())


class Merger:
    """Brings the statistics of all ranks together: those of the global batch.

    One collective a logged step (a second one only when a rank has more to say than ever before), in a process group of its own: a rank
    that does not come can never pair it with a collective of the training.
    """

    def __init__(self) -> None:
        self._capacity = _FIRST_CAPACITY
        self._group: Any = None

    def merge(self, pending: PendingStatistics) -> HostStatistics:
        """Exchange, and return the same statistics on every rank. Every rank must call this at the same steps.

        Raises:
            RuntimeError: of torch.distributed: a rank did not come within the process group's timeout.
            ValueError: there is no process group.
        """
        if self._group is None:
            self._group = dist.new_group(backend="gloo", timeout=_default_timeout())
        raw = pending.raw()
        own = {name: (replace(summary, **_NO_TENSORS), raw[name]) for name, summary in pending.summaries.items()}
        return _combined([pickle.loads(zlib.decompress(data)) for data in self._exchange(wire.deflate(pickle.dumps(own)))])

    def _exchange(self, data: bytes) -> list[bytes]:
        while True:
            sent = np.zeros(_LENGTH_BYTES + self._capacity, np.uint8)
            sent[:_LENGTH_BYTES] = np.frombuffer(np.int64(len(data)).tobytes(), np.uint8)
            kept = data[: self._capacity]
            sent[_LENGTH_BYTES : _LENGTH_BYTES + len(kept)] = np.frombuffer(kept, np.uint8)
            gathered = [torch.empty(len(sent), dtype=torch.uint8) for _ in range(dist.get_world_size())]
            dist.all_gather(gathered, torch.from_numpy(sent), group=self._group)
            blocks = [each.numpy().tobytes() for each in gathered]
            lengths = [int(np.frombuffer(each[:_LENGTH_BYTES], np.int64)[0]) for each in blocks]
            if max(lengths) <= self._capacity:
                return [each[_LENGTH_BYTES : _LENGTH_BYTES + length] for each, length in zip(blocks, lengths, strict=True)]
            self._capacity = 2 * max(lengths)


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


_NO_TENSORS: dict[str, Any] = dict.fromkeys(("finite", "total", "low", "high", "zero", "moments", "extra", "histogram"), torch.empty(0))


def _combined(parts: list[Mapping[str, Part]]) -> HostStatistics:
    names = list(dict.fromkeys(name for part in parts for name in part))
    layers, sampled_every = {}, {}
    spread = {key: np.full((len(parts), len(names)), np.nan, np.float32) for key in ("rms", "absmax", "nonfinite")}
    for column, name in enumerate(names):
        of_ranks = {number: part[name] for number, part in enumerate(parts) if name in part}
        for number, (summary, arrays) in of_ranks.items():
            found = statistics.finalise(summary, arrays)
            spread["rms"][number, column] = found.moments["rms"]
            spread["absmax"][number, column] = max(abs(found.moments["min"]), abs(found.moments["max"]))
            spread["nonfinite"][number, column] = found.counts["nan"] + found.counts["posinf"] + found.counts["neginf"]
        whole, arrays = statistics.combine(list(of_ranks.values()))
        layers[name] = statistics.finalise(whole, arrays)
        sampled_every[name] = whole.sampled_every
    return HostStatistics(layers, sampled_every, Ranks(**spread))
