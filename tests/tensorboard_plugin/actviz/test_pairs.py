"""The routes `differences` and `matching` against the values that were logged, in float64."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_extras
import synthetic_log
from scipy.optimize import linear_sum_assignment
from served import Site
from synthetic_log import LAYERS, RunWriter

from tensorboard_plugin.actviz import limits

STEPS = list(range(0, 60, 5))
NAMES = [layer.name for layer in LAYERS]
SIDES = {"run": "lr-0.01", "step": 20, "other_run": "lr-0.1", "other_step": 40}


def values(run: int, step: int) -> dict[str, Any]:
    found = synthetic_log.values_at(run, STEPS.index(step) / (len(STEPS) - 1), synthetic_log.digits())
    return {name: array.astype(np.float64) for name, array in found.items()}


ONE, OTHER = values(0, 20), values(1, 40)


def rms(array: Any) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


def cka(x: Any, y: Any) -> float:
    x, y = (each.reshape(len(each), -1) - each.reshape(len(each), -1).mean(axis=0) for each in (x, y))
    return float(np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y))


def shifted(x: Any, y: Any) -> float:
    """The share of values in other quarter octaves, from numpy's logarithm."""

    def shares(array: Any) -> dict[Any, float]:
        exponent = np.floor(np.log2(np.abs(array), where=array != 0, out=np.zeros_like(array)))
        quarter = np.floor((np.abs(array) / 2.0**exponent - 1) * 4)
        keys, counts = np.unique(
            np.stack([np.sign(array), exponent * (array != 0), quarter * (array != 0)], -1).reshape(-1, 3), axis=0, return_counts=True
        )
        return dict(zip(map(tuple, keys), counts / counts.sum(), strict=True))

    one, other = shares(x), shares(y)
    return sum(abs(one.get(key, 0) - other.get(key, 0)) for key in one.keys() | other.keys()) / 2


EXPECTED = {
    "rms": lambda x, y: (rms(y) - rms(x)) / rms(x),
    "mean": lambda x, y: (y.mean() - x.mean()) / rms(x),
    "histogram": shifted,
    "maps": lambda x, y: rms(y - x) / rms(x),
    "cka": lambda x, y: 1 - cka(x, y),
}


@pytest.mark.parametrize("measure", EXPECTED)
def test_each_measure_is_that_of_the_logged_values(examples: Site, measure: str) -> None:
    found = examples.record("differences", **SIDES, measure=measure)
    assert found.header["layers"] == NAMES
    assert found.header["same_inputs"] is True
    alive = [name for name in NAMES if np.ptp(OTHER[name], axis=0).max() > 0 or measure != "cka"]
    expected = [EXPECTED[measure](ONE[name], OTHER[name]) for name in alive]
    change = found.arrays["change"][[NAMES.index(name) for name in alive]]
    np.testing.assert_allclose(change, expected, rtol=2e-2 if measure == "maps" else 1e-4, atol=1e-4)
    np.testing.assert_allclose(found.arrays["rms"], [[rms(side[name]) for name in NAMES] for side in (ONE, OTHER)], rtol=1e-5)
    np.testing.assert_allclose(found.arrays["mean"], [[side[name].mean() for name in NAMES] for side in (ONE, OTHER)], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("measure", EXPECTED)
def test_nothing_differs_from_itself(examples: Site, measure: str) -> None:
    found = examples.record("differences", run="lr-0.01", step=20, measure=measure)
    np.testing.assert_allclose(found.arrays["change"], 0, atol=1e-6)


def test_what_is_not_finite_is_told_and_a_dead_layer_has_lost_all(examples: Site) -> None:
    found = examples.record("differences", run="lr-0.01", step=55, other_run="lr-0.1", measure="rms")
    assert found.arrays["nonfinite"][1][NAMES.index("fc2")] == pytest.approx(0.4)
    assert found.arrays["change"][NAMES.index("relu2")] == -1
    back = examples.record("differences", run="lr-0.1", step=55, other_run="lr-0.01", measure="maps")
    assert np.isposinf(back.arrays["change"][NAMES.index("relu2")])


def write(directory: Path, layers: dict[str, Any], labels: list[str] | None = None, step: int = 0) -> None:
    writer = RunWriter(directory)
    synthetic_log.write_start(writer, labels)
    synthetic_log.write_step(writer, step, layers)
    for name, array in layers.items():
        synthetic_extras.write_gram(writer, step, name, array)
    writer.close()


@pytest.fixture
def odd(tmp_path: Path) -> Site:
    """Runs whose layers, inputs, or sizes differ."""
    generator = np.random.default_rng(0)
    maps = generator.standard_normal((8, 16, 4, 4)).astype(np.float32)
    write(tmp_path / "one", {"a": maps, "mine": maps})
    write(tmp_path / "other", {"a": maps[:, ::-1] * 2, "theirs": maps})
    write(tmp_path / "wider", {"a": maps[..., :3], "mine": maps})
    write(tmp_path / "relabelled", {"a": maps}, list("abcdefgh"))
    return Site(tmp_path)


def test_layers_that_a_side_lacks_are_named(odd: Site) -> None:
    found = odd.record("differences", run="one", step=0, other_run="other")
    assert found.header["layers"] == ["a"]
    assert found.header["missing"] == [["theirs"], ["mine"]]


@pytest.mark.parametrize("measure", ["maps", "cka"])
def test_maps_and_cka_of_other_inputs_are_not_compared(odd: Site, measure: str) -> None:
    found = odd.record("differences", run="one", step=0, other_run="relabelled", measure=measure)
    assert found.header["same_inputs"] is False
    assert np.isnan(found.arrays["change"]).all()


def test_maps_of_another_size_are_not_compared(odd: Site) -> None:
    found = odd.record("differences", run="one", step=0, other_run="wider", measure="maps")
    assert found.header["layers"] == ["a", "mine"]
    assert np.isnan(found.arrays["change"]).tolist() == [True, False]


def test_channels_are_matched_as_scipy_matches_their_correlations(examples: Site) -> None:
    for layer in ("conv1", "fc1"):
        found = examples.record("matching", **SIDES, layer=layer)
        one, other = (np.moveaxis(side[layer], 1, 0).reshape(side[layer].shape[1], -1) for side in (ONE, OTHER))
        correlation = np.corrcoef(one, other)[: len(one), len(one) :]
        rows, columns = linear_sum_assignment(correlation, maximize=True)
        pairs = found.arrays["channels"], found.arrays["partners"]
        assert pairs[0].tolist() == rows.tolist()
        np.testing.assert_allclose(correlation[pairs].sum(), correlation[rows, columns].sum(), rtol=2e-3)
        np.testing.assert_allclose(found.arrays["correlation"], correlation[pairs], atol=2e-2)
        assert found.header["values"] == one.shape[1]


def test_reversed_channels_find_their_partners(odd: Site) -> None:
    found = odd.record("matching", run="one", layer="a", step=0, other_run="other")
    assert found.arrays["partners"].tolist() == list(range(15, -1, -1))
    np.testing.assert_allclose(found.arrays["correlation"], 1, atol=1e-6)


def test_a_dead_side_has_no_pairs(examples: Site) -> None:
    found = examples.record("matching", run="lr-0.01", layer="relu2", step=55, other_run="lr-0.1")
    assert [len(found.arrays[name]) for name in ("channels", "partners", "correlation")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"other_run": "relabelled"}, "show other inputs"),
        ({"other_run": "wider"}, "maps of other sizes"),
    ],
)
def test_channels_that_cannot_be_matched_are_refused_and_it_says_why(odd: Site, query: dict[str, Any], message: str) -> None:
    response = odd.get("matching", run="one", layer="a", step=0, **query)
    assert response.status_code == 400
    assert message in response.text


@pytest.mark.parametrize(
    ("route", "query", "expected"),
    [
        ("differences", {"run": "lr-0.1", "step": 6}, (404, "no_data")),
        ("differences", {"run": "lr-0.1", "step": 5, "other_step": 6}, (404, "no_data")),
        ("differences", {"run": "lr-0.1", "step": 5, "other_run": "nosuch"}, (404, "no_run")),
        ("differences", {"run": "lr-0.1", "step": 5, "measure": "size"}, (400, "bad_request")),
        ("matching", {"run": "lr-0.1", "step": 5}, (400, "bad_request")),
        ("matching", {"run": "lr-0.1", "step": 5, "layer": "nosuch"}, (404, "no_layer")),
        ("matching", {"run": "lr-0.1", "step": 6, "layer": "conv1"}, (404, "no_data")),
    ],
)
def test_what_is_not_there_is_said_so(examples: Site, route: str, query: dict[str, Any], expected: tuple[int, str]) -> None:
    assert examples.error(route, **query) == expected


@pytest.mark.parametrize(
    ("limit", "value", "route", "query"),
    [
        ("RECORDS", 5, "differences", {}),
        ("READ_S", -1.0, "differences", {"measure": "histogram"}),
        ("MATCHED", 15, "matching", {"layer": "conv1"}),
        ("MATCHED_VALUES", 8 * 16 * 26 * 26 - 1, "matching", {"layer": "conv1"}),
    ],
)
def test_a_limit_holds(
    example_log: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, route: str, query: dict[str, Any]
) -> None:
    monkeypatch.setattr(limits, limit, value)
    assert Site(example_log).error(route, run="lr-0.01", step=20, **query) == (413, "too_large")


def test_token_batches_of_different_steps_are_not_taken_for_the_same(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    for step in (0, 1):
        writer.run_record("inputs", step, {"source": "train", "layout": None, "labels": None})
        array = np.random.default_rng(step).standard_normal((8, 4, 3, 3)).astype(np.float32)
        synthetic_log.write_step(writer, step, {"a": array}, maps=False)
        fields = {"layer": "a", "source": "train", "shape": [8, 4, 3, 3], "samples": list(range(8)), "pool": [1, 1], "layout": "channels"}
        writer.layer_record("maps", "a", step, fields | {"channels": list(range(4))}, synthetic_log.quantise(array))
    writer.close()
    site = Site(tmp_path)
    assert site.error("matching", run="run", layer="a", step=0, other_step=1) == (400, "bad_request")
    assert np.isnan(site.record("differences", run="run", step=0, other_step=1, measure="maps").arrays["change"]).all()
    assert site.record("differences", run="run", step=0, other_step=0, measure="maps").arrays["change"] == 0
