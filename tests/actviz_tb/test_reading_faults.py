"""`read` says what is damaged, of a later format, gone or not there; nothing is left out in silence."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import synthetic_log
from small_log import flip, values, where, write, write_run
from synthetic_log import RunWriter
from torch.utils.tensorboard import SummaryWriter

import actviz_tb
from actviz_tb.errors import ActvizWarning, ArgumentError, ArgumentTypeError, LayerNotFoundError, NotLoggedError, RecordError
from tensorboard_plugin.actviz import wire


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    opened = RunWriter(tmp_path / "run")
    yield opened
    opened.close()


def test_a_damaged_map_is_an_error_that_names_file_and_byte_and_the_others_are_read(tmp_path: Path, writer: RunWriter) -> None:
    write(writer, 0, 1)
    byte = where(writer, "actviz/maps/a", 1)
    flip(writer, byte + 300)
    log = actviz_tb.read(tmp_path)
    with pytest.raises(RecordError, match=rf"actviz/maps/a of step 1 in run 'run' .*checksum \({writer.name}, byte {byte}\)$"):
        log["run"].maps("a", 1)
    assert [(notice.file, notice.byte) for notice in log.notices] == [(f"run/{writer.name}", byte)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log.refresh()  # what the error told is not warned of again
    np.testing.assert_allclose(log["run"].maps("a", 0).values, values(0)["a"], atol=0.02)
    np.testing.assert_allclose(log["run"].maps("b", 1).values, values(1)["b"], atol=0.02)


def test_what_a_history_leaves_out_is_warned_of_with_file_and_byte(tmp_path: Path, writer: RunWriter) -> None:
    write(writer, *range(5))
    bytes_ = [where(writer, "actviz/layer/a", step) for step in (1, 3)]
    for byte in bytes_:
        flip(writer, byte + 200)
    log = actviz_tb.read(tmp_path)
    with pytest.warns(ActvizWarning, match=rf"checksum \(run/{writer.name}, byte {bytes_[0]}\); log.notices has 1 more$") as told:
        found = log["run"].histograms("a")
    assert told[0].filename == __file__
    assert found.steps.tolist() == [0, 2, 4]
    assert [notice.byte for notice in log.notices] == bytes_
    with pytest.warns(ActvizWarning, match="^2 of 5 layer records in run 'run' cannot be read and are left out"):
        assert log["run"].channels("a").steps.tolist() == [0, 2, 4]


def test_damaged_statistics_are_warned_of_when_they_are_indexed(tmp_path: Path, writer: RunWriter) -> None:
    write(writer, 0, 1)
    byte = where(writer, "actviz/step", 1)
    flip(writer, byte + 100)
    with pytest.warns(ActvizWarning, match=rf"run/{writer.name}, byte {byte}\)$") as told:
        log = actviz_tb.read(tmp_path)
    assert told[0].filename == __file__
    assert log["run"].steps.tolist() == [0]
    write(writer, 2)
    flip(writer, where(writer, "actviz/step", 2) + 100)
    with pytest.warns(ActvizWarning, match="content does not match") as told:
        log.refresh()
    assert told[0].filename == __file__


def test_what_follows_a_broken_length_is_warned_of(tmp_path: Path, writer: RunWriter) -> None:
    write(writer, 0, 1)
    byte = where(writer, "actviz/layer/a", 1)
    flip(writer, byte)
    with pytest.warns(ActvizWarning, match=rf"what follows is not shown \(run/{writer.name}, byte {byte}\)"):
        log = actviz_tb.read(tmp_path)
    assert log["run"].steps.tolist() == [0]


def test_a_file_that_went_away_is_told(tmp_path: Path, writer: RunWriter) -> None:
    write(writer, 0, 1)
    write_run(tmp_path / "other", 0)
    log = actviz_tb.read(tmp_path)
    run = log["run"]
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RecordError, match=r"No such file.*log.refresh\(\)"):
        run.maps("a", 0)
    with pytest.warns(ActvizWarning, match="2 of 2 layer records in run 'run' cannot be read"):
        assert len(run.histograms("a").steps) == 0
    log.refresh()
    assert list(log) == ["other"]
    with pytest.raises(NotLoggedError, match="run 'run' is no longer in"):
        _ = run.steps


def test_a_later_format_says_so(tmp_path: Path, writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    write(writer, 0)
    with monkeypatch.context() as patch:
        patch.setattr(wire, "FORMAT_VERSION", wire.FORMAT_VERSION + 1)
        write(writer, 1)
        write_run(tmp_path / "later", 0)
    with pytest.warns(ActvizWarning, match=rf"format version {wire.FORMAT_VERSION + 1}; .*upgrade"):
        log = actviz_tb.read(tmp_path)
    assert log["run"].steps.tolist() == [0]
    with pytest.raises(RecordError, match=rf"format version {wire.FORMAT_VERSION + 1}; .*upgrade"):
        log["run"].maps("a", 1)
    with pytest.raises(NotLoggedError, match=rf"no statistics of layer 'a'.*format version {wire.FORMAT_VERSION + 1}"):
        log["later"].stats("a")


def test_a_record_of_another_tool_that_lacks_something_says_where(tmp_path: Path, writer: RunWriter) -> None:
    write(writer, 0)
    writer.layer_record("maps", "a", 1, {"layout": "channels"}, {})
    writer.flush()
    byte = where(writer, "actviz/maps/a", 1)
    with pytest.raises(RecordError, match=rf"lacks what it should hold: KeyError\('low'\) \({writer.name}, byte {byte}\)"):
        actviz_tb.read(tmp_path)["run"].maps("a", 1)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda run: run.maps("a", 7), NotLoggedError, "no maps of layer 'a' at step 7; the nearest: 5 and 10"),
        (lambda run: run.maps("a", -1), NotLoggedError, "at step -1; the nearest: 0"),
        (lambda run: run.histogram("a", 11), NotLoggedError, "no statistics of layer 'a' at step 11; the nearest: 10"),
        (lambda run: run.inputs(3), NotLoggedError, "run 'run' has no inputs up to step 3; the first are of step 5"),
        (lambda run: run.maps("a", 5.0), ArgumentTypeError, "step=5.0 is a float; expected a whole number"),
        (lambda run: run.stats("conv"), LayerNotFoundError, "no layer 'conv' among the 3 of run 'run'; the nearest names: 'conv1'"),
        (lambda run: run.maps("conv"), LayerNotFoundError, "the nearest names: 'conv1'"),
        (lambda run: run.channels("conv"), LayerNotFoundError, "the nearest names: 'conv1'"),
        (lambda run: run.ranks("conv"), LayerNotFoundError, "the nearest names: 'conv1'"),
        (lambda run: run.maps("conv1"), NotLoggedError, "no maps of layer 'conv1'; it has them of 'a', 'b'"),
        (
            lambda run: run.stats("a", of="gradients"),
            NotLoggedError,
            r"no gradients of layer 'a'; watch\(..., gradients=True\) records them",
        ),
        (lambda run: run.gram("a"), NotLoggedError, r"no Gram matrices of layer 'a'; watch\(..., probe=inputs\) records them"),
        (lambda run: run.attention("a"), NotLoggedError, "no attention weights of layer 'a'"),
        (lambda run: run.ranks("a"), NotLoggedError, r"watch\(..., merge_ranks=True\) records them"),
        (lambda run: run.stats("a", of="weights"), ArgumentError, "of='weights'; expected 'activations' or 'gradients'"),
        (lambda run: run.histogram("a", of="weights"), ArgumentError, "of='weights'"),
        (lambda run: run.table("median"), ArgumentError, "statistic='median' is not known; expected one of mean, std"),
        (lambda run: run.layers_with("map"), ArgumentError, "kind='map'; expected one of 'activations', 'gradients', 'maps'"),
    ],
)
def test_an_error_says_what_there_is(
    tmp_path: Path, writer: RunWriter, ask: Callable[[actviz_tb.Run], object], error: type[Exception], message: str
) -> None:
    write(writer, 0, 5, 10)
    fields = {"source": "probe", "layout": None, "shape": [], "samples": [], "channels": [], "pool": [1, 1], "labels": ["x"]}
    writer.run_record("inputs", 5, fields)
    synthetic_log.write_step(writer, 10, values(10, ["conv1"]), maps=False)
    writer.flush()
    run = actviz_tb.read(tmp_path)["run"]
    with pytest.raises(error, match=message):
        ask(run)
    assert run.inputs(7).maps is None
    assert run.inputs(7).labels == ("x",)


def test_a_directory_without_activations_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"there is no directory .*nowhere"):
        actviz_tb.read(tmp_path / "nowhere")
    with pytest.raises(ArgumentTypeError, match="directory=3 is a int; expected the path"):
        actviz_tb.read(3)  # type: ignore[arg-type]
    with pytest.raises(NotLoggedError, match="there is no event file"):
        actviz_tb.read(tmp_path)
    with SummaryWriter(str(tmp_path / "scalars")) as writer:
        writer.add_scalar("loss", 0.5, 0)
    write_run(tmp_path / "started")
    (tmp_path / "zeros").mkdir()
    (tmp_path / "zeros" / "events.out.tfevents.1").write_bytes(bytes(100))
    with pytest.raises(NotLoggedError) as told:
        actviz_tb.read(tmp_path)
    assert str(told.value) == (
        f"no activations in {str(tmp_path)!r}; found 'scalars' (scalars only), 'started' (nothing written yet), 'zeros' (damaged record: "
        "its length does not match the checksum; what follows is not shown (zeros/events.out.tfevents.1, byte 0))"
    )
    path = tmp_path / "zeros" / "events.out.tfevents.1"
    with pytest.raises(ArgumentError, match=r"is a file; give the directory that it is in, .*zeros'"):
        actviz_tb.read(path)
