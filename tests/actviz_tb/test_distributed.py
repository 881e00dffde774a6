"""Watching in several processes: DDP, FSDP, tensor parallelism, launchers, and the workers of a DataLoader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rank_training
import ranks
import torch
from logged import of_tag, records
from rank_training import KINDS, Trained
from torch import nn

import actviz_tb
from tensorboard_plugin.actviz import wire

PROBE = rank_training.images(99)[:3]


def structure(directory: Path) -> tuple[dict[str, Any], dict[str, dict[int, list[str]]]]:
    """What the model record says, and which layers each step has."""
    layers = {
        kind: {step: record.header["layers"] for step, record in of_tag(directory, f"actviz/{kind}").items()}
        for kind in ("step", "gradients")
    }
    return of_tag(directory, "actviz/model")[0].header, layers


def same(one: Trained, other: Trained) -> bool:
    return one.losses == other.losses and all(np.array_equal(values, other.state[name]) for name, values in one.state.items())


WAYS: dict[str, dict[str, Any]] = {
    "wrapped": {"every": 2, "gradients": True, "probe": PROBE, "merge_ranks": True},
    "inside": {"every": 2, "gradients": True, "probe": PROBE},
    "before": {"every": 2, "gradients": True, "merge_ranks": True},
}


@pytest.mark.parametrize(("kind", "world_size"), [*((kind, 2) for kind in KINDS), ("DDP", 4), ("FSDP", 4)])
def test_ranks_train_to_the_same_bits_and_rank_0_alone_writes_what_a_plain_model_would(tmp_path: Path, kind: str, world_size: int) -> None:
    ways = WAYS if world_size == 2 else {"wrapped": WAYS["wrapped"]}
    model = KINDS[kind][0]()
    with actviz_tb.watch(model, tmp_path / "plain", every=2, gradients=True):
        for step in range(rank_training.STEPS):
            model(rank_training.images(step)).sum().backward()
    for rank, trained in enumerate(ranks.run(rank_training.train_in_turn, world_size, tmp_path, kind, tmp_path, ways)):
        assert isinstance(trained, dict), trained
        for way in ways:
            assert same(trained[way], trained["not"]), (rank, way)
            assert trained[way].told == []
    for way in ways:
        assert [path.name for path in (tmp_path / way).iterdir()] == ["0"], way
        assert len(list((tmp_path / way / "0").iterdir())) == 1
        assert structure(tmp_path / way / "0") == structure(tmp_path / "plain"), way


def test_with_a_probe_every_rank_of_a_sharded_model_runs_it_and_maps_and_attention_are_the_probes(tmp_path: Path) -> None:
    for trained in ranks.run(rank_training.train_in_turn, 2, tmp_path, "FSDP", tmp_path, {"wrapped": WAYS["inside"]}):
        assert isinstance(trained, dict), trained
    torch.manual_seed(0)
    model = KINDS["FSDP"][0]().eval()
    maps = of_tag(tmp_path / "wrapped" / "0", "actviz/maps/conv")[0]
    shown = wire.dequantise(maps.arrays["data"], maps.arrays["low"], maps.arrays["high"])
    assert maps.header["source"] == "probe"
    np.testing.assert_allclose(shown, model.conv(PROBE).detach(), atol=0.02)
    attended = {tag for tag, _, _ in records(tmp_path / "wrapped" / "0") if tag.startswith("actviz/attention/")}
    assert attended == {f"actviz/attention/attention.{block}/scaled_dot_product_attention" for block in (0, 2)}


def test_a_model_sharded_after_watch_is_told_and_recorded_from_the_next_step_on(tmp_path: Path) -> None:
    for trained in ranks.run(rank_training.train_in_turn, 2, tmp_path, "FSDP, root resharded", tmp_path, {"before": WAYS["inside"]}):
        assert isinstance(trained, dict), trained
        assert same(trained["before"], trained["not"])
        (told,) = trained["before"].told
        assert "call watch() once the model is sharded" in told
    assert list(of_tag(tmp_path / "before" / "0", "actviz/step")) == [2]


def test_the_older_fsdp_wrapper_is_known_to_be_sharded_and_stands_in_no_name(tmp_path: Path) -> None:
    ((plain, wrapped, refused),) = ranks.run(rank_training.older_fsdp, 1, tmp_path, tmp_path / "run")
    assert (plain, wrapped) == (False, True)
    assert "every rank must log the same steps" in refused
    described = of_tag(tmp_path / "run", "actviz/model")[0].header
    assert described["model"] == "Sequential"
    assert [(layer["name"], layer["type"]) for layer in described["layers"]] == [("0", "Linear"), ("1", "ReLU")]
    assert [module["path"] for module in described["modules"]] == ["", "0", "1"]


@pytest.mark.parametrize("local", [True, False], ids=["local tensors", "DTensors"])
def test_outputs_that_are_whole_on_a_rank_are_recorded_and_the_others_listed_with_the_reason(tmp_path: Path, local: bool) -> None:
    for rank, found in enumerate(ranks.run(rank_training.tensor_parallel, 2, tmp_path, tmp_path / "run", local)):
        assert isinstance(found, tuple), found
        kind, report = found
        assert kind == ("AsyncCollectiveTensor" if local else "DTensor")
        assert report.faults == {}
        assert list(report.layers) == ([] if rank else ["0", "1", "2"] if local else ["2"])
        if not rank and not local:
            assert report.skipped == dict.fromkeys(["0", "1"], "a DTensor of which each rank holds a part")
    assert of_tag(tmp_path / "run", "actviz/maps/2")[0].header["source"] == "probe"
    assert of_tag(tmp_path / "run", "actviz/gradients")[0].header["layers"][-1] == "2"


@pytest.mark.parametrize(("launched", "files"), [(True, [(1, 1), (0, 0)]), (False, [(1, 1), (1, 0)])], ids=["by a launcher", "by itself"])
def test_rank_0_alone_writes_also_when_the_group_is_formed_after_watch(
    tmp_path: Path, launched: bool, files: list[tuple[int, int]]
) -> None:
    assert ranks.run(rank_training.watch_first, 2, tmp_path, tmp_path / "run", launched, join=False) == files
    steps = of_tag(tmp_path / "run", "actviz/step")
    assert list(steps) == [0, 1, 2]
    assert [record.arrays["counts"][0, 0] for record in steps.values()] == [6, 6, 6]  # of a global batch of 3 samples


def test_merged_statistics_exclude_an_interval_that_each_rank_chooses_for_itself(tmp_path: Path) -> None:
    with pytest.raises(actviz_tb.ArgumentError, match="every rank must log the same steps"):
        actviz_tb.watch(nn.Linear(2, 2), tmp_path, merge_ranks=True, max_overhead=0.01)
    assert not list(tmp_path.iterdir())


def test_workers_of_a_data_loader_write_nothing_and_do_not_hang(tmp_path: Path) -> None:
    (losses,) = ranks.run(rank_training.worker_processes, 1, tmp_path, tmp_path / "run")
    assert len(losses) == 4, losses
    assert list(of_tag(tmp_path / "run", "actviz/step")) == [0, 1, 2, 3]
    assert len(list((tmp_path / "run").iterdir())) == 1
