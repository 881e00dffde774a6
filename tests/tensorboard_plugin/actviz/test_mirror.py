"""A data provider without files: TensorBoard's own one, over a log that grows."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_log
from synthetic_log import RunWriter
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext

from tensorboard_plugin.actviz import mirror
from tensorboard_plugin.actviz.mirror import Mirror
from tensorboard_plugin.actviz.store import Store

KEPT = 4


class Mirrored:
    """A log, TensorBoard's sample of it, and the store that is shown."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writer = RunWriter(directory / "run")
        synthetic_log.write_start(self.writer)
        self.multiplexer = EventMultiplexer(tensor_size_guidance={"actviz": KEPT})
        self.provider = MultiplexerDataProvider(self.multiplexer, str(directory))
        self.mirror = Mirror(self.provider)
        self.store = Store({"the provider": None}, lambda _: self.mirror.runs())

    def write(self, *steps: int) -> None:
        for step in steps:
            self.writer.wall_time_s += 1
            values = {"a": np.full((2, 3, 4, 4), step, np.float32), "b": np.full((2, 8), -step, np.float32)}
            synthetic_log.write_step(self.writer, step, values)
        self.writer.flush()

    def refresh(self) -> None:
        self.multiplexer.AddRunsFromDirectory(str(self.directory))
        self.multiplexer.Reload()
        self.store.refresh()
        assert self.store.problems() == []

    def held(self, tag: str) -> list[int]:
        found = self.provider.read_blob_sequences(RequestContext(), experiment_id="", plugin_name="actviz", downsample=1 << 20)
        return [datum.step for datum in found["run"][tag]]

    def shown(self, kind: str, layer: str) -> dict[int, Any]:
        _, locations = self.store.locate("run", kind, layer)
        return {location.step: self.store.record(location) for location in locations}


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[Mirrored]:
    found = Mirrored(tmp_path)
    yield found
    found.writer.close()


def test_what_the_provider_holds_is_shown_as_it_was_logged(mirrored: Mirrored) -> None:
    mirrored.write(*range(0, 60, 3))
    mirrored.refresh()
    assert mirrored.store.runs() == ["run"]
    for kind, layer, tag in (("maps", "a", "actviz/maps/a"), ("layer", "b", "actviz/layer/b"), ("step", "", "actviz/step")):
        shown = mirrored.shown(kind, layer)
        assert len(shown) == KEPT
        assert list(shown) == sorted(mirrored.held(tag))
    assert all((record.arrays["low"] == step).all() for step, record in mirrored.shown("maps", "a").items())


def test_what_comes_later_is_shown_too_and_only_that_is_copied(mirrored: Mirrored) -> None:
    mirrored.write(0, 1)
    mirrored.refresh()
    ((path,),) = [run.paths for run in mirrored.mirror.runs()]
    before = os.path.getsize(path)
    mirrored.refresh()
    assert os.path.getsize(path) == before
    mirrored.write(2)
    mirrored.refresh()
    assert list(mirrored.shown("maps", "a")) == [0, 1, 2]
    assert before < os.path.getsize(path) < 2 * before


def test_copies_take_no_more_than_twice_what_is_held(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_SLACK_BYTES", 0)
    sizes = []
    for step in range(40):
        mirrored.write(step)
        mirrored.refresh()
        (run,) = mirrored.mirror.runs()
        sizes.append(os.path.getsize(run.paths[0]))
    assert max(sizes) < 3 * sizes[KEPT]
    assert len(os.listdir(os.path.dirname(run.paths[0]))) == 1
    assert set(mirrored.held("actviz/maps/a")) <= set(mirrored.shown("maps", "a"))


def test_records_are_asked_for_together_as_each_may_take_long(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    all_asked, first, read = threading.Barrier(8), iter(range(8)), mirrored.provider.read_blob

    def read_blob(*arguments: Any, **named: Any) -> bytes:
        if next(first, None) is not None:
            all_asked.wait(20)
        return bytes(read(*arguments, **named))

    monkeypatch.setattr(mirrored.provider, "read_blob", read_blob)
    mirrored.write(*range(8))
    mirrored.refresh()
    assert list(mirrored.shown("maps", "a")) == sorted(mirrored.held("actviz/maps/a"))


def test_a_run_that_the_provider_has_no_more_goes_with_its_copy(mirrored: Mirrored) -> None:
    mirrored.write(0)
    mirrored.refresh()
    ((path,),) = [run.paths for run in mirrored.mirror.runs()]
    mirrored.writer.close()
    shutil.rmtree(mirrored.directory / "run")
    mirrored.refresh()
    assert mirrored.store.runs() == []
    assert not os.path.exists(path)


def test_a_provider_that_fails_is_told_and_asked_again(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrored.write(0)
    mirrored.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(mirrored.provider, "read_blob_sequences", lambda *_, **__: 1 / 0)
        mirrored.store.refresh()
    (problem,) = mirrored.store.problems()
    assert "division by zero" in problem.message
    assert list(mirrored.shown("maps", "a")) == [0]
    mirrored.refresh()
