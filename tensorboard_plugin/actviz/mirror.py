"""What TensorBoard's data provider holds, as event files that the store reads like any others.

With ``--grpc_data_provider`` TensorBoard itself has no log directory, and the provider hands out a sample of each tag's records. They are
copied into a temporary directory: what is new is appended, and a run's file is written anew once more than half of it is no longer held.

Not thread-safe: `runs` is called by the thread that refreshes the store.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tensorboard.context import RequestContext

from tensorboard_plugin.actviz import eventfile, wire
from tensorboard_plugin.actviz.logdir import RunFiles

_EXPERIMENT = ""
_EVERY_STEP = 1 << 30
_SLACK_BYTES = 16 << 20
_AT_A_TIME = 32
"""So many records are asked for together: TensorBoard's data server takes 40 ms to answer, whatever it is asked for."""


class _Held(NamedTuple):
    """One record that the provider has; sorted, a step's own record comes after the others of its step."""

    wall_time_s: float
    is_step: bool
    step: int
    tag: str


@dataclass
class _Copy:
    """A run's file, and how many of its bytes each record takes that is still held."""

    path: str
    sizes: dict[_Held, int] = field(default_factory=dict)
    size_bytes: int = 0


class Mirror:
    """Copies of a data provider's runs.

    Args:
        provider: a `tensorboard.data.provider.DataProvider`.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._context = RequestContext()
        self._directory = tempfile.TemporaryDirectory(prefix="actviz-")
        self._copies: dict[str, _Copy] = {}
        self._files = 0

    def runs(self) -> list[RunFiles]:
        """Copy what is new, and return the provider's runs.

        Raises:
            Exception: the provider's own, when it cannot be asked.
        """
        found = self._provider.read_blob_sequences(
            self._context, experiment_id=_EXPERIMENT, plugin_name=wire.PLUGIN_NAME, downsample=_EVERY_STEP
        )
        for run in [run for run in self._copies if run not in found]:
            os.remove(self._copies.pop(run).path)
        for run, tags in found.items():
            self._update(run, dict(_records(tags)))
        return [RunFiles(run, (self._copies[run].path,)) for run in sorted(self._copies)]

    def _update(self, run: str, held: dict[_Held, str]) -> None:
        copy = self._copies.get(run)
        if copy is not None:
            copy.sizes = {record: size for record, size in copy.sizes.items() if record in held}
            if copy.size_bytes > 2 * sum(copy.sizes.values()) + _SLACK_BYTES:
                os.remove(copy.path)
                copy = None
        if copy is None:
            self._files += 1
            name = f"events.out.tfevents.{self._files:010d}.provider"
            copy = self._copies[run] = _Copy(os.path.join(self._directory.name, name))
        new = sorted(held.keys() - copy.sizes.keys())
        with open(copy.path, "ab") as file, ThreadPoolExecutor(_AT_A_TIME) as pool:
            for begin in range(0, len(new), _AT_A_TIME):
                records = new[begin : begin + _AT_A_TIME]
                containers = pool.map(lambda record: self._provider.read_blob(self._context, blob_key=held[record]), records)
                for record, container in zip(records, containers, strict=True):
                    event = wire.record_event(record.tag, container, record.step, record.wall_time_s)
                    written = file.write(eventfile.frame(event.SerializeToString()))
                    copy.sizes[record] = written
                    copy.size_bytes += written


def _records(tags: Any) -> Iterator[tuple[_Held, str]]:
    """Yield each record with the key of its blob."""
    for tag, data in tags.items():
        parsed = wire.parse_tag(tag)
        is_step = parsed is not None and parsed[0] in ("step", "gradients")
        for datum in data:
            for blob in datum.values:
                yield _Held(datum.wall_time, is_step, datum.step, tag), blob.blob_key
