"""The routes `similarity` and `projection`: which Gram matrices they compare, and when they refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_extras
import synthetic_log
import torch
from served import Site
from sklearn.decomposition import PCA
from synthetic_log import LAYERS, RunWriter

import actviz_tb
from tensorboard_plugin.actviz import limits, similarity, wire

STEPS = list(range(0, 60, 5))
NAMES = [layer.name for layer in LAYERS]


def values(run: int, step: int) -> dict[str, Any]:
    return synthetic_log.values_at(run, STEPS.index(step) / (len(STEPS) - 1), synthetic_log.digits())


def cka(one: Any, other: Any) -> float:
    x, y = (each.reshape(len(each), -1).astype(np.float64) for each in (one, other))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    k, m = x @ x.T, y @ y.T
    return float((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m))


def test_layers_at_a_step_are_compared_in_execution_order(examples: Site) -> None:
    found = examples.record("similarity", run="lr-0.01", step=20)
    assert found.header["layers"] == found.header["other_layers"] == NAMES
    outputs = values(0, 20)
    expected = [[cka(outputs[one], outputs[other]) for other in NAMES] for one in NAMES]
    np.testing.assert_allclose(found.arrays["cka"], expected, atol=1e-4)


def test_layers_of_two_runs_at_two_steps_are_compared(examples: Site) -> None:
    found = examples.record("similarity", run="lr-0.01", step=20, other_run="lr-0.1", other_step=0)
    one, other = values(0, 20), values(1, 0)
    np.testing.assert_allclose(found.arrays["cka"], [[cka(one[a], other[b]) for b in NAMES] for a in NAMES], atol=1e-4)
    assert found.header["same_inputs"] is True


def test_steps_of_two_layers_are_compared(examples: Site) -> None:
    found = examples.record("similarity", **{"run": "lr-0.01", "layer": "fc1", "other_layer": "conv1", "from": 10, "to": 30})
    steps = [10, 15, 20, 25, 30]
    assert found.arrays["steps"].tolist() == found.arrays["other_steps"].tolist() == steps
    expected = [[cka(values(0, one)["fc1"], values(0, other)["conv1"]) for other in steps] for one in steps]
    np.testing.assert_allclose(found.arrays["cka"], expected, atol=1e-4)


def test_a_layer_without_a_matrix_at_the_step_is_left_out(examples: Site) -> None:
    found = examples.record("similarity", run="lr-0.1", step=55)  # fc2 is NaN by then
    assert found.header["layers"] == [name for name in NAMES if name != "fc2"]
    relu2 = found.header["layers"].index("relu2")  # which is dead
    assert np.isnan(found.arrays["cka"][relu2]).all()
    assert found.arrays["states"].tolist() == [similarity.EQUAL if name == "relu2" else 0 for name in found.header["layers"]]


def test_more_steps_than_columns_are_thinned_and_the_last_is_kept(examples: Site) -> None:
    found = examples.record("similarity", run="lr-0.01", layer="fc1", columns=5)
    assert found.arrays["steps"].tolist() == [0, 20, 40, 55]
    assert found.header["logged"] == [12, 12]
    projected = examples.record("projection", run="lr-0.01", layer="fc1", columns=5)
    assert projected.arrays["steps"].tolist() == [0, 20, 40, 55]
    assert projected.header["logged"] == 12


def test_a_projection_is_that_of_the_logged_outputs(examples: Site) -> None:
    found = examples.record("projection", run="lr-0.01", layer="conv1")
    outputs = [values(0, step)["conv1"] for step in STEPS]
    grams = np.stack([synthetic_extras.centred_gram(each)[np.tril_indices(synthetic_log.SAMPLES)] for each in outputs])
    expected = similarity.project(grams, synthetic_log.SAMPLES)
    np.testing.assert_array_equal(found.arrays["points"], expected.points)
    one = examples.record("projection", run="lr-0.01", layer="conv1", step=20)
    assert one.arrays["steps"].tolist() == [20]
    np.testing.assert_allclose(one.arrays["explained"][0], found.arrays["explained"][4])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"run": "lr-0.1"}, (400, "bad_request")),
        ({"run": "lr-0.1", "step": 5, "layer": "fc1"}, (400, "bad_request")),
        ({"run": "lr-0.1", "step": 6}, (404, "no_data")),
        ({"run": "lr-0.1", "step": 5, "other_step": 6}, (404, "no_data")),
        ({"run": "nosuch", "step": 5}, (404, "no_run")),
        ({"run": "lr-0.1", "step": 5, "other_run": "nosuch"}, (404, "no_run")),
        ({"run": "lr-0.1", "layer": "nosuch"}, (404, "no_layer")),
        ({"run": "lr-0.1", "layer": "encoder.self_attn"}, (404, "no_data")),
        ({"run": "lr-0.1", "layer": "fc1", "from": 6, "to": 9}, (404, "no_data")),
        ({"run": "lr-0.1", "layer": "fc1", "from": 9, "to": 6}, (400, "bad_request")),
        ({"run": "lr-0.1", "layer": "fc1", "columns": 1}, (400, "bad_request")),
        ({"run": "lr-0.1", "layer": "fc1", "columns": limits.GRAMS + 1}, (400, "bad_request")),
        ({"run": "lr-0.1", "step": 5, "estimator": "exact"}, (400, "bad_request")),
    ],
)
def test_what_cannot_be_compared_is_refused(examples: Site, query: dict[str, Any], expected: tuple[int, str]) -> None:
    assert examples.error("similarity", **query) == expected


def write_run(directory: Path, samples: int, labels: list[str] | None = None) -> None:
    writer = RunWriter(directory)
    synthetic_log.write_start(writer, labels)
    synthetic_log.write_step(writer, 0, {"a": np.eye(samples, dtype=np.float32)})
    synthetic_extras.write_gram(writer, 0, "a", np.eye(samples, 7, dtype=np.float32))
    writer.close()


def test_outputs_that_are_not_finite_are_told_from_equal_ones(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    synthetic_log.write_start(writer)
    for step, output in enumerate((np.eye(8), np.full((8, 8), np.nan), np.ones((8, 8)))):
        synthetic_log.write_step(writer, step, {"a": np.eye(8, dtype=np.float32)})
        synthetic_extras.write_gram(writer, step, "a", output.astype(np.float32))
    writer.close()
    site = Site(tmp_path)
    expected = [similarity.HAS_DIRECTION, similarity.NONFINITE, similarity.EQUAL]
    assert site.record("projection", run="run", layer="a").arrays["states"].tolist() == expected
    compared = site.record("similarity", run="run", layer="a", other_run="run", **{"from": 1}).arrays
    assert compared["states"].tolist() == compared["other_states"].tolist() == expected[1:]


def test_runs_with_other_samples_are_refused_or_told(tmp_path: Path) -> None:
    write_run(tmp_path / "one", 8)
    write_run(tmp_path / "fewer", 5)
    write_run(tmp_path / "relabelled", 8, list("abcdefgh"))
    site = Site(tmp_path)
    assert site.error("similarity", run="one", step=0, other_run="fewer") == (400, "bad_request")
    assert site.record("similarity", run="one", step=0, other_run="relabelled").header["same_inputs"] is False


@pytest.mark.parametrize(("digests", "same"), [((None, None), None), (("a", None), None), (("a", "a"), True), (("a", "b"), False)])
def test_inputs_that_cannot_be_drawn_are_told_by_their_digests(tmp_path: Path, digests: tuple[str | None, ...], same: bool | None) -> None:
    for name, digest in zip(("one", "other"), digests, strict=True):
        write_run(tmp_path / name, 8)
        writer = RunWriter(tmp_path / name)
        writer.run_record("inputs", 1, {"source": "probe", "layout": None, "labels": None, "digest": digest})
        writer.close()
    assert Site(tmp_path).record("similarity", run="one", step=0, other_run="other").header["same_inputs"] is same


def test_three_samples_are_too_few_for_the_unbiased_estimator(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 3)
    site = Site(tmp_path)
    assert site.error("similarity", run="run", step=0, estimator="unbiased") == (400, "bad_request")
    assert site.record("similarity", run="run", step=0).header["samples"] == 3


def test_a_matrix_that_makes_no_sense_is_passed_over(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    for step, array in enumerate((np.zeros(4, np.float32), np.zeros((3, 3), np.float32), np.ones(6, np.float32))):
        writer.layer_record("gram", "a", step, {"layer": "a"}, {"gram": array})
    writer.record(wire.layer_tag("gram", "a"), wire.pack("gram", {"layer": "a"}), 3)
    writer.close()
    site = Site(tmp_path)
    assert site.record("projection", run="run", layer="a").arrays["steps"].tolist() == [2]
    assert site.error("projection", run="run", layer="a", step=1) == (404, "no_data")


def test_what_a_watched_model_logged_is_compared_as_its_own_outputs_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 40), torch.nn.Tanh(), torch.nn.Linear(40, 9))
    probe = torch.randn(24, 6)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    outputs: list[list[Any]] = []
    with actviz_tb.watch(model, tmp_path / "run", every=1, probe=probe, gradients=True):
        for _ in range(3):
            with torch.no_grad():
                outputs.append([model[: layer + 1](probe).double().numpy() for layer in range(3)])
            optimizer.zero_grad()
            model(torch.randn(8, 6)).square().mean().backward()
            optimizer.step()
    site = Site(tmp_path)
    layers = site.record("similarity", run="run", step=0, other_step=2)
    assert layers.header["layers"] == ["0", "1", "2"]
    np.testing.assert_allclose(layers.arrays["cka"], [[cka(one, other) for other in outputs[2]] for one in outputs[0]], atol=1e-4)
    steps = site.record("similarity", run="run", layer="1").arrays
    np.testing.assert_allclose(steps["cka"], [[cka(one[1], other[1]) for other in outputs] for one in outputs], atol=1e-4)
    projected = site.record("projection", run="run", layer="1", step=2).arrays
    pca = PCA(n_components=2, svd_solver="full").fit(outputs[2][1])
    np.testing.assert_allclose(np.abs(projected["points"][0]), np.abs(pca.transform(outputs[2][1])), atol=1e-4)
    np.testing.assert_allclose(projected["explained"][0], pca.explained_variance_ratio_, rtol=1e-4)
    assert {tuple(layer["records"]) for layer in site.json("model", run="run")["layers"]} == {("layer", "maps", "gradient", "gram")}
    assert site.record("stats", run="run", stat="rms", of="gradients").arrays["steps"].tolist() == [0, 1, 2]
