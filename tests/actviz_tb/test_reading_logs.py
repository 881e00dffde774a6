"""`read` on directories as they are in life: many runs, resumed, growing, of a SummaryWriter; what it costs and needs."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import fsspec
import numpy as np
import pytest
import synthetic_log
import torch
from small_log import write, write_run
from synthetic_log import RunWriter
from tensorboard.compat.proto import event_pb2, summary_pb2
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb
from actviz_tb import writer as writer_module
from actviz_tb.errors import NotLoggedError
from tensorboard_plugin.actviz import limits, wire


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    opened = RunWriter(tmp_path / "run")
    yield opened
    opened.close()


def test_a_log_maps_the_names_of_its_runs_to_them(tmp_path: Path) -> None:
    synthetic_log.write_log(tmp_path, steps=4)
    write_run(tmp_path / "deep" / "er", 0)
    (tmp_path / "empty").mkdir()
    log = actviz_tb.read(str(tmp_path))
    assert list(log) == [run.name for run in log.runs] == ["deep/er", *synthetic_log.RUNS]
    assert "lr-0.1" in log
    assert "lr-1" not in log
    with pytest.raises(NotLoggedError, match=r"^no run 'lr-1' with activations in .*; the nearest names: 'lr-0.1', 'lr-0.01'$"):
        log["lr-1"]
    assert repr(log).splitlines()[1:] == [
        "  Run('deep/er': 2 layers, 1 steps (0 to 0))",
        "  Run('lr-0.01': 6 layers, 4 steps (0 to 15))",
        "  Run('lr-0.1': 6 layers, 4 steps (0 to 15))",
    ]
    assert log.notices == ()


def test_the_synthetic_log_is_read_as_it_was_made_up(tmp_path: Path) -> None:
    synthetic_log.write_log(tmp_path, steps=6)
    run = actviz_tb.read(tmp_path)["lr-0.1"]
    assert run.steps.tolist() == [0, 5, 10, 15, 20, 25]
    assert run.layers == tuple(layer.name for layer in synthetic_log.LAYERS)
    made_up = [synthetic_log.values_at(1, index / 5, synthetic_log.digits()) for index in range(6)]
    for layer in run.layers:
        stats = run.stats(layer)
        for row, made in enumerate(made_up):
            finite = made[layer][np.isfinite(made[layer])]
            assert stats.rms[row] == pytest.approx(np.sqrt((finite.astype(np.float64) ** 2).mean()), rel=1e-6)
            assert stats.nan[row] == np.isnan(made[layer]).sum()
            assert stats.nonfinite[row] == pytest.approx(np.isnan(made[layer]).mean())
    logits = run.maps("fc2", 25)
    np.testing.assert_array_equal(np.isnan(logits.values), np.isnan(made_up[5]["fc2"]))
    dead = run.channels("relu2").dead_since
    assert dead == {
        unit: 5 * next(first for first in range(6) if all((made["relu2"][:, unit] == 0).all() for made in made_up[first:]))
        for unit in range(128)
        if (made_up[5]["relu2"][:, unit] == 0).all()
    }
    assert dead


class Doubling(nn.Module):
    """What a layer puts out is its input times a factor that the test sets."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.times = nn.Linear(3, 3, bias=False)
        self.times.weight.data = factor * torch.eye(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.times(x)


X = torch.arange(12.0).reshape(4, 3)


def test_of_a_resumed_run_every_step_is_there_and_the_last_write_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_file_numbers", count(9))  # by which the files of one second are told apart
    for factor, first in ((1.0, 0), (2.0, 3)):
        with actviz_tb.watch(model := Doubling(factor), tmp_path, every=1, step=first):
            for _ in range(5):
                model(X)
    (run,) = actviz_tb.read(tmp_path).runs
    assert run.steps.tolist() == list(range(8))
    assert run.stats("times").max.tolist() == [11.0] * 3 + [22.0] * 5
    assert [run.maps("times", step).high.max() for step in range(8)] == [11.0] * 3 + [22.0] * 5
    assert [restart.step for restart in run.restarts] == [3]


def test_a_log_that_grows_shows_what_is_new_after_refresh(tmp_path: Path) -> None:
    model = Doubling(1.0)
    with actviz_tb.watch(model, tmp_path / "run", every=1) as logger:
        model(X)
        logger.flush()
        log = actviz_tb.read(tmp_path)
        run = log["run"]
        assert run.steps.tolist() == [0]
        model(X)
        logger.flush()
        assert run.steps.tolist() == [0]
        log.refresh()
        assert run.steps.tolist() == run.histograms("times").steps.tolist() == [0, 1]
        write_run(tmp_path / "later", 0)
        log.refresh()
        assert list(log) == ["later", "run"]


def test_half_a_record_at_the_end_is_neither_shown_nor_warned_of(tmp_path: Path, writer: RunWriter) -> None:
    write(writer, 0, 1)
    with open(writer.path, "r+b") as file:
        file.truncate(writer.path.stat().st_size - 5)
    assert actviz_tb.read(tmp_path)["run"].steps.tolist() == [0]


def test_a_summary_writers_file_with_two_models_is_read(tmp_path: Path) -> None:
    generator, discriminator = Doubling(1.0), Doubling(3.0)
    with SummaryWriter(str(tmp_path)) as writer:
        actviz_tb.watch(generator, writer, every=1, name="generator", gradients=True)
        actviz_tb.watch(discriminator, writer, every=1, name="discriminator", gradients=True)
        for step in range(2):
            discriminator(generator(X)).sum().backward()
            writer.add_scalar("loss", 0.5, step)
    (run,) = actviz_tb.read(tmp_path).runs
    assert run.layers == ("generator.times", "discriminator.times")
    assert [(layer.name, layer.type, layer.shape) for layer in run.model.layers] == [
        ("generator.times", "Linear", (4, 3)),
        ("discriminator.times", "Linear", (4, 3)),
    ]
    assert {path for path, _, _ in run.model.modules} == {"generator", "generator.times", "discriminator", "discriminator.times"}
    assert run.stats("generator.times").max.tolist() == [11.0, 11.0]
    assert run.stats("discriminator.times").max.tolist() == [33.0, 33.0]
    assert run.stats("generator.times", of="gradients").mean.tolist() == [3.0, 3.0]
    assert run.stats("discriminator.times", of="gradients").mean.tolist() == [1.0, 1.0]


def test_what_each_process_saw_is_read(tmp_path: Path, writer: RunWriter) -> None:
    generator = np.random.default_rng(0)
    seen = {}
    for step, processes in ((1, 3), (0, 2)):
        seen[step] = generator.random((3, processes, 2)).astype(np.float32)
        arrays = dict(zip(("rank_rms", "rank_absmax", "rank_nonfinite"), seen[step], strict=True))
        counts, moments = np.ones((2, len(wire.COUNTS)), np.int64), np.ones((2, len(wire.MOMENTS)), np.float32)
        writer.layer_record("layer", "b", step, {}, {})
        writer.run_record("step", step, {"layers": ["a", "b"]}, {"counts": counts, "moments": moments, **arrays})
    writer.flush()
    found = actviz_tb.read(tmp_path)["run"].ranks("b")
    assert found.steps.tolist() == [0, 1]
    for index, array in enumerate((found.rms, found.absmax, found.nonfinite)):
        np.testing.assert_array_equal(array[0], [*seen[0][index, :, 1], np.nan])
        np.testing.assert_array_equal(array[1], seen[1][index, :, 1])


def test_reading_every_map_keeps_none(tmp_path: Path, writer: RunWriter) -> None:
    for step in range(20):
        synthetic_log.write_step(writer, step, {"a": np.random.default_rng(step).random((8, 16, 32, 32), np.float32)})
    writer.flush()
    one = 8 * 16 * 32 * 32
    run = actviz_tb.read(tmp_path)["run"]

    def read_all() -> None:
        for step in range(20):
            assert run.maps("a", step).values.nbytes == 4 * one
        run.histograms("a")
        run.channels("a")

    read_all()  # loads modules, where it is the first to
    tracemalloc.start()
    try:
        read_all()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < one / 4
    assert peak < 15 * one  # a few copies of one map; all twenty are 80 as float32, and 20 as they lie in the file


def test_no_record_is_too_large_to_be_read(tmp_path: Path, writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    write(writer, 0, 1)
    for bound in ("RECORD_BYTES", "READ_BYTES", "CELLS"):  # the tab's
        monkeypatch.setattr(limits, bound, 10)
    monkeypatch.setattr(limits, "READ_S", 0.0)
    run = actviz_tb.read(tmp_path)["run"]
    assert run.maps("a", 0).values.shape == (8, 16, 4, 4)
    assert run.histograms("a").steps.tolist() == run.channels("a").steps.tolist() == [0, 1]


def test_a_remote_directory_is_read(writer: RunWriter) -> None:
    write(writer, 0, 1)
    memory = fsspec.filesystem("memory")
    memory.pipe("/logs/run/events.out.tfevents.1", writer.path.read_bytes())
    try:
        log = actviz_tb.read("memory://logs")
        assert list(log) == ["run"]
        assert log["run"].maps("a", 1).values.shape == (8, 16, 4, 4)
        with pytest.raises(NotLoggedError, match="no activations in 'memory://other'; there is no event file"):
            actviz_tb.read("memory://other")
    finally:
        memory.rm("/logs", recursive=True)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    synthetic_log.write_log(tmp_path, steps=2)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"import actviz_tb; run = actviz_tb.read({str(tmp_path)!r})['lr-0.1']\n"
        "print(run.stats('conv1').steps.tolist(), run.maps('conv1', 5).values.shape, actviz_tb.Run, actviz_tb.Log)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("[0, 5] (8, 16, 26, 26)")


def test_nothing_is_warned_of_where_nothing_is_wrong(tmp_path: Path, writer: RunWriter) -> None:
    writer.event(event_pb2.Event(step=0, summary=summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="loss", simple_value=1)])))
    write(writer, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log = actviz_tb.read(tmp_path)
        log["run"].histograms("a")
        log["run"].channels("b")
        log["run"].table("saturated")
        log.refresh()
