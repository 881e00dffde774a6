"""Records through the user's own SummaryWriter."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import tensorboard.summary.writer.record_writer as torch_records
import tensorboardX.record_writer as tensorboardx_records
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboardX import SummaryWriter as TensorboardXWriter
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb
from actviz_tb import writer as writer_module

WRITERS = [(SummaryWriter, torch_records), (TensorboardXWriter, tensorboardx_records)]


def spy(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[int]:
    """Return a list that gets the size of each piece of data that the writer's own pure Python checks."""
    sizes: list[int] = []
    own = module.masked_crc32c

    def checksum(data: bytes) -> int:
        sizes.append(len(data))
        return int(own(data))

    monkeypatch.setattr(module, "masked_crc32c", checksum)
    return sizes


def tags(directory: Path) -> list[str]:
    """Tags of all records whose checksums hold; TensorBoard's reader ends at the first one whose do not."""
    (path,) = directory.glob("events.out.tfevents.*")
    return [value.tag for event in EventFileLoader(str(path)).Load() for value in event.summary.value]


def train(writer: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with actviz_tb.watch(model, writer, every=1) as logger:
        for step in range(3):
            model(torch.randn(2, 3))
            logger.flush()  # the writer itself checks what the user gives it before our first record
            writer.add_scalar("loss", 1.0, step)
    writer.close()


@pytest.mark.parametrize(("writer_class", "module"), WRITERS)
def test_a_watched_writer_checks_its_records_by_the_native_library_and_no_other_writer_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer_class: Any, module: Any
) -> None:
    writer = writer_class(str(tmp_path / "watched"))
    sizes = spy(monkeypatch, module)
    train(writer)
    assert not sizes
    assert tags(tmp_path / "watched").count("loss") == 3
    assert tags(tmp_path / "watched").count("actviz/step") == 3
    with writer_class(str(tmp_path / "other")) as other:
        other.add_scalar("loss", 1.0, 0)
    assert sizes


@pytest.mark.parametrize(("writer_class", "module"), WRITERS)
def test_a_writer_with_other_internals_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer_class: Any, module: Any
) -> None:
    writer = writer_class(str(tmp_path))
    sizes = spy(monkeypatch, module)
    monkeypatch.setattr(writer_module, "_RECORD_WRITERS", ("event_writer.renamed._writer", "gone"))
    train(writer)
    assert sizes
    assert tags(tmp_path).count("actviz/step") == 3


def test_the_thread_ends_where_the_garbage_collector_closes_it_as_it_begins_to_wait() -> None:
    background = writer_module.BackgroundWriter(writer_module.Nowhere())
    queued = background._jobs._qsize

    def collected() -> int:
        if not queued() and threading.current_thread() is background._thread:
            background.close()
        return queued()

    background._jobs._qsize = collected  # type: ignore[method-assign]  # asked just before it waits
    background.submit(list)
    background._thread.join(60)
    assert not background._thread.is_alive()
