"""Two models, with a probe each, write to one run, as a GAN's do: nothing of one is shown as the other's, nothing of either is missing."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from gan import FROZEN_AT, LATENT, NAMES, PICTURES, STEPS, probe, train
from served import Site
from synthetic_log import RunWriter
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb
from actviz_tb.errors import NotLoggedError
from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.health.logged import history_of, thresholds_of


@dataclass(frozen=True)
class Trained:
    """The log of both models together, in ``both``, and of each alone, under its name."""

    directory: Path

    def site(self, run: str = "both") -> Site:
        return Site(self.directory / run)


def write_step(writer: RunWriter, step: int, model: str, **arrays: np.ndarray) -> None:
    """Write a named model's ``step`` record of one layer, ``fc``, whose statistics are all one."""
    ones = {"counts": np.ones((1, len(wire.COUNTS)), np.int64), "moments": np.ones((1, len(wire.MOMENTS)), np.float32)}
    writer.run_record("step", step, {"layers": [f"{model}.fc"]}, ones | arrays, model=model)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    directory = tmp_path_factory.mktemp("gan")
    for run, watched in (("both", NAMES), *((name, (name,)) for name in NAMES)):
        train(directory / run, watched)
    return Trained(directory)


@pytest.mark.parametrize("name", NAMES)
def test_the_inputs_of_each_are_its_own_probe(trained: Trained, name: str) -> None:
    labels = LATENT if name == "generator" else PICTURES
    for step in range(STEPS):
        record = trained.site().record("inputs", run=".", model=name, step=step)
        assert record.header["labels"] == labels
        assert record.header["shape"] == list(probe(name).shape)
    assert actviz_tb.read(trained.directory / "both").runs[0].inputs(model=name).labels == tuple(labels)


def test_inputs_of_no_model_are_not_guessed(trained: Trained) -> None:
    response = trained.site().get("inputs", run=".", step=0)
    assert (response.status_code, b"its models: 'generator', 'discriminator'" in response.data) == (404, True)
    (run,) = actviz_tb.read(trained.directory / "both").runs
    with pytest.raises(NotLoggedError, match="no inputs; there are those of model='generator', 'discriminator'"):
        run.inputs()
    with pytest.raises(NotLoggedError, match="no inputs of model='critic'; there are those of"):
        run.inputs(model="critic")


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_told_of_the_probe_and_of_modes_is_that_of_the_model_alone(trained: Trained, name: str) -> None:
    both, alone = (history_of(trained.site(run).store, ".") for run in ("both", name))
    rows = [row for row, layer in enumerate(both.layers) if layer.name.startswith(f"{name}.")]
    assert [both.layers[row].name for row in rows] == [layer.name for layer in alone.layers]
    for quantity, values in both.probe.items():
        assert np.isfinite(values[rows]).all(), quantity
        np.testing.assert_array_equal(values[rows], alone.probe[quantity])
    frozen = {FROZEN_AT: ("generator.1",)}
    assert [tuple(paths) for paths in both.evaluating] == [frozen.get(step, ()) for step in range(STEPS)]


@pytest.mark.parametrize("name", NAMES)
def test_similarity_is_of_one_model(trained: Trained, name: str) -> None:
    found = trained.site().record("similarity", run=".", model=name, step=2)
    alone = trained.site(name).record("similarity", run=".", model=name, step=2)
    assert found.header["layers"] == alone.header["layers"] == [f"{name}.{index}" for index in range(5)]
    assert found.header["samples"] == len(probe(name))
    np.testing.assert_array_equal(found.arrays["cka"], alone.arrays["cka"])


def test_similarity_of_no_model_is_refused(trained: Trained) -> None:
    assert trained.site().error("similarity", run=".", step=2) == (404, "no_data")


def test_layers_of_both_models_compare_over_the_steps_where_their_probes_are_as_large(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    for model, digest in (("a", "one"), ("b", "other"), ("c", "one")):
        writer.run_record("inputs", 0, {"digest": digest, "labels": None, "layout": None}, model=model)
        write_step(writer, 0, model)
        writer.layer_record("gram", f"{model}.fc", 0, {"layer": f"{model}.fc"}, {"gram": np.eye(3, dtype=np.float32)[np.tril_indices(3)]})
    writer.flush()
    site = Site(tmp_path)
    same = {other: site.record("similarity", run="run", layer="a.fc", other_layer=f"{other}.fc").header["same_inputs"] for other in "abc"}
    assert same == {"a": True, "b": False, "c": True}


def test_differences_are_of_each_models_own_inputs(trained: Trained) -> None:
    found = trained.site().record("differences", run=".", step=0, other_step=4, measure="maps")
    assert found.header["layers"] == [f"{name}.{index}" for name in NAMES for index in range(5)]
    assert found.header["same_inputs"] is True
    assert np.isfinite(found.arrays["change"]).all()


def test_differences_are_left_out_of_the_model_alone_whose_inputs_changed(tmp_path: Path) -> None:
    train(tmp_path, NAMES, probed=NAMES[:1])  # the other's maps are of its own batches
    found = Site(tmp_path).record("differences", run=".", step=0, other_step=4, measure="maps")
    assert found.header["same_inputs"] is False
    finite = dict(zip(found.header["layers"], np.isfinite(found.arrays["change"]).tolist(), strict=True))
    assert finite == {f"{name}.{index}": name == "generator" for name in NAMES for index in range(5)}
    assert Site(tmp_path).record("matching", run=".", layer="generator.0", step=0, other_step=4).header["same_inputs"] is True
    assert Site(tmp_path).error("matching", run=".", layer="discriminator.0", step=0, other_step=4) == (400, "bad_request")


def test_the_models_are_told_apart(trained: Trained) -> None:
    answer = trained.site().json("model", run=".")
    assert [(each["name"], each["model"], each["session"]["source"]) for each in answer["models"]] == [
        (name, "Sequential", "probe") for name in NAMES
    ]
    assert [layer["model"] for layer in answer["layers"]] == ["generator"] * 5 + ["discriminator"] * 5


def test_a_run_that_both_resume_shows_one_restart(tmp_path: Path) -> None:
    train(tmp_path, NAMES)
    assert Site(tmp_path).json("timeline", run=".")["restarts"] == []
    train(tmp_path, NAMES, range(STEPS, 2 * STEPS))
    timeline = Site(tmp_path).json("timeline", run=".")
    assert timeline["steps"] == list(range(2 * STEPS))
    assert [restart["step"] for restart in timeline["restarts"]] == [STEPS]


def test_a_restart_is_at_the_first_step_that_its_own_model_logs(tmp_path: Path) -> None:
    for file, at, first in (("events.out.tfevents.1", 0, {"a": 0, "b": 0}), ("events.out.tfevents.2", 3, {"a": 10, "b": 20})):
        writer = RunWriter(tmp_path / "run", file, wall_time_s=1e9 + at)
        for model in first:
            writer.run_record("session", at, {}, model=model)
        for model, step in first.items():
            writer.wall_time_s += 1
            write_step(writer, step, model)
        writer.close()
    assert [restart["step"] for restart in Site(tmp_path).json("timeline", run="run")["restarts"]] == [10, 20]


def test_a_run_that_is_resumed_twice_from_one_step_shows_two_restarts(tmp_path: Path) -> None:
    for steps in (range(6), range(4, 5), range(4, 8)):
        train(tmp_path, NAMES, steps)
    restarts = Site(tmp_path).json("timeline", run=".")["restarts"]
    assert [restart["step"] for restart in restarts] == [4, 4]
    assert restarts[0]["wall_time_s"] < restarts[1]["wall_time_s"]


def test_thresholds_are_those_that_any_of_them_was_given(tmp_path: Path) -> None:
    models = {name: nn.Linear(2, 2) for name in "abc"}
    with SummaryWriter(str(tmp_path)) as writer, ExitStack() as loggers:
        for name, health in (("a", {"jump": 8}), ("b", {"window": 4}), ("c", None)):
            loggers.enter_context(actviz_tb.watch(models[name], writer, name=name, health=health))
            models[name](torch.ones(1, 2))
    own, _ = thresholds_of(Site(tmp_path).store, ".", {})
    assert (own.jump, own.window) == (8, 4)


def test_of_one_named_model_the_inputs_need_no_name(trained: Trained) -> None:
    (run,) = actviz_tb.read(trained.directory / "generator").runs
    assert run.inputs().labels == tuple(LATENT)


def test_the_steps_before_a_break_are_those_of_the_model_that_broke(tmp_path: Path) -> None:
    models = {name: nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for name in NAMES}
    with SummaryWriter(str(tmp_path)) as writer:
        for name, model in models.items():
            actviz_tb.watch(model, writer, every=100, name=name, recorder=5, probe=torch.ones(2, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step in range(12):
                models["generator"](torch.ones(2, 4)).sum().backward()
                models["discriminator"](torch.full((2, 4), float("nan") if step == 10 else 1.0)).sum().backward()
    (run,) = actviz_tb.read(tmp_path).runs
    assert run.stats("discriminator.0").steps.tolist() == [0, *range(5, 12)]
    assert run.stats("generator.0").steps.tolist() == [0]
    assert [each["name"] for each in Site(tmp_path).json("model", run=".")["models"]] == list(NAMES)


def test_what_each_process_saw_is_of_the_layers_own_model(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    seen = {("a", 0): [1.0, 2.0], ("b", 0): [3.0, 4.0, 5.0], ("b", 1): [6.0, 7.0, 8.0]}
    for (model, step), values in seen.items():
        ranks = {name: np.array(values, np.float32)[:, None] for name in ("rank_rms", "rank_absmax", "rank_nonfinite")}
        write_step(writer, step, model, **ranks)
        writer.layer_record("layer", f"{model}.fc", step, {}, {})
    writer.flush()
    site, (run,) = Site(tmp_path), actviz_tb.read(tmp_path).runs
    for model in "ab":
        steps = [step for each, step in seen if each == model]
        expected = np.array([seen[model, step] for step in steps], np.float32).T
        answer = site.record("ranks", run="run", layer=f"{model}.fc")
        assert answer.arrays["steps"].tolist() == run.ranks(f"{model}.fc").steps.tolist() == steps
        np.testing.assert_array_equal(answer.arrays["rms"], expected)
        np.testing.assert_array_equal(run.ranks(f"{model}.fc").rms, expected.T)
    nan = np.nan
    np.testing.assert_array_equal(history_of(site.store, "run").rank_rms[:, 0], [[1, nan], [2, nan], [nan, nan]])
    np.testing.assert_array_equal(history_of(site.store, "run").rank_rms[:, 1], [[3, 6], [4, 7], [5, 8]])


def test_a_layer_that_no_model_record_lists_is_still_its_models(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    write_step(writer, 0, "net")
    writer.flush()
    assert Site(tmp_path).json("model", run="run")["layers"] == [{"name": "net.fc", "model": "net", "records": []}]
