"""Answers over steps: columns with extremes, gradients, ranks, ranges of steps, and 304 where nothing changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_extras
import synthetic_log
from hypothesis import given
from hypothesis import strategies as st
from served import Site
from synthetic_log import LAYERS, RunWriter

from tensorboard_plugin.actviz import limits
from tensorboard_plugin.actviz.series import COLUMNS, extremes, thinned, within

NAMES = [layer.name for layer in LAYERS]
STEPS = list(range(0, 60, 5))


def gradients(step: int) -> dict[str, Any]:
    """As `synthetic_extras.write_everything` writes them for the first run."""
    progress = STEPS.index(step) / (len(STEPS) - 1)
    values = synthetic_log.values_at(0, progress, synthetic_log.digits())
    return {name: (array * 1e-3 * (1 - progress)).astype(np.float32) for name, array in values.items()}


@pytest.mark.parametrize("columns", [1, 3, 5, 7, 11, 12, 13, 4096])
@pytest.mark.parametrize("stat", ["max", "nonfinite"])
def test_columns_hold_the_extremes_of_their_steps(examples: Site, stat: str, columns: int) -> None:
    whole = examples.record("stats", run="lr-0.1", stat=stat).arrays
    found = examples.record("stats", run="lr-0.1", stat=stat, columns=columns).arrays
    assert len(found["count"]) == min(columns, len(STEPS))
    assert found["count"].sum() == len(STEPS)
    assert found["count"].max() - found["count"].min() <= 1
    start = 0
    for column, count in enumerate(found["count"].tolist()):
        inside = slice(start, start + count)
        start += count
        assert (found["first"][column], found["last"][column]) == (STEPS[inside][0], STEPS[inside][-1])
        for name in ("values", "zero", "nonfinite"):
            np.testing.assert_array_equal(found[f"{name}_min"][:, column], np.fmin.reduce(whole[name][:, inside], axis=1))
            np.testing.assert_array_equal(found[f"{name}_max"][:, column], np.fmax.reduce(whole[name][:, inside], axis=1))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 10**6))
def test_no_extreme_vanishes_whatever_the_number_of_columns(steps: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.where(generator.random((3, steps)) < 0.3, np.nan, generator.standard_normal((3, steps)))
    low, high = extremes(values, np.arange(min(columns, steps)) * steps // min(columns, steps))
    np.testing.assert_array_equal(np.fmin.reduce(low, axis=1), np.fmin.reduce(values, axis=1).astype(np.float32))
    np.testing.assert_array_equal(np.fmax.reduce(high, axis=1), np.fmax.reduce(values, axis=1).astype(np.float32))


def test_columns_of_a_chunk_of_layers_are_those_of_the_whole(examples: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = examples.record("stats", run="lr-0.1", stat="max", columns=5).arrays
    monkeypatch.setattr("tensorboard_plugin.actviz.answers._CHUNK_CELLS", 2 * len(STEPS))
    for name, array in examples.record("stats", run="lr-0.1", stat="max", columns=5).arrays.items():
        np.testing.assert_array_equal(array, whole[name])


@given(st.integers(0, 3000), st.integers(2, 50))
def test_thinned_steps_are_even_few_enough_and_end_with_the_last(count: int, most: int) -> None:
    chosen = thinned(count, most).tolist()
    assert len(chosen) <= most
    assert chosen == list(range(count)) if count <= most else len(chosen) > most // 2
    assert not count or (chosen[0], chosen[-1]) == (0, count - 1)
    assert len(set(np.diff(chosen[:-1]).tolist())) <= 1
    if count > 2:  # while the log grows, what was chosen stays, until the distance doubles
        more = thinned(count + 1, most).tolist()
        assert set(chosen[:-1]) <= set(more) or more[1] - more[0] == 2 * (chosen[1] - chosen[0])


@pytest.mark.parametrize(
    ("span", "inside"),
    [((5, 20), [5, 10, 20]), ((6, 9), []), ((-9, 4), []), ((20, 20), [20]), ((21, 99), []), ((-(2**63), 2**63 - 1), [5, 10, 20])],
)
def test_a_span_includes_both_its_ends(span: tuple[int, int], inside: list[int]) -> None:
    steps = np.array([5, 10, 20])
    assert steps[within(steps, span)].tolist() == inside


@pytest.mark.parametrize("route", ["stats", "layer", "histograms", "channels", "ranks", "timeline"])
def test_from_and_to_bound_the_steps(examples: Site, route: str) -> None:
    query: dict[str, Any] = {"run": "lr-0.1", "stat": "mean", "layer": "conv1", "from": 15, "to": 29}
    if route == "timeline":
        answer = examples.json(route, **query)
        assert answer["steps"] == [15, 20, 25]
        assert len(answer["wall_times_s"]) == 3
        assert answer["marks"] == []
        assert [mark["step"] for mark in examples.json(route, **query | {"to": 30})["marks"]] == [30]
    else:
        record = examples.record(route, **query)
        assert record.arrays["steps"].tolist() == [15, 20, 25]
        assert record.header.get("logged", 3) == 3


def test_gradients_are_answered_apart_from_activations(examples: Site) -> None:
    stats = examples.record("stats", run="lr-0.01", stat="rms", of="gradients")
    layer = examples.record("layer", run="lr-0.01", layer="conv1", of="gradients")
    histograms = examples.record("histograms", run="lr-0.01", layer="conv1", of="gradients").arrays
    channels = examples.record("channels", run="lr-0.01", layer="conv1", of="gradients").arrays
    assert stats.header["of"] == layer.header["of"] == "gradients"
    for column, step in ((0, 0), (7, 35)):
        outputs = gradients(step)
        moments = np.array([synthetic_log.layer_moments(outputs[name]) for name in NAMES])
        np.testing.assert_array_equal(stats.arrays["values"][:, column], moments[:, 4])
        np.testing.assert_array_equal(layer.arrays["values"][: moments.shape[1], column], moments[0])
        bins, counts = synthetic_log.histogram(outputs["conv1"])
        shares = np.zeros(len(histograms["bins"]), np.float32)
        shares[np.searchsorted(histograms["bins"], bins)] = counts / counts.sum()
        np.testing.assert_array_equal(histograms["shares"][column], shares)
        np.testing.assert_array_equal(channels["mean"][column], synthetic_log.channel_profile(outputs["conv1"])["channel_mean"])
    pooled = np.abs(np.concatenate([gradients(step)["conv1"].ravel() for step in STEPS]))
    assert layer.header["abs_limit"] == pytest.approx(np.quantile(pooled, 0.999), rel=0.08)


def test_a_run_without_gradients_has_no_steps_of_them(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    synthetic_log.write_step(writer, 0, {"a": np.ones((2, 3), np.float32)})
    writer.close()
    site = Site(tmp_path)
    assert site.record("stats", run="run", stat="mean", of="gradients").arrays["values"].shape == (1, 0)
    assert site.record("stats", run="run", stat="mean", of="gradients", columns=3).arrays["values_min"].shape == (1, 0)
    assert site.record("layer", run="run", layer="a", of="gradients").arrays["values"].shape == (len(COLUMNS), 0)
    assert site.record("histograms", run="run", layer="a", of="gradients").arrays["shares"].shape == (0, 0)


def test_gradients_after_a_revision_come_with_since(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    values = {"a": np.ones((2, 3), np.float32)}
    for step in (0, 1):
        synthetic_log.write_step(writer, step, values)
    synthetic_extras.write_gradients(writer, 0, values)
    writer.flush()
    site = Site(tmp_path)
    revision = site.record("stats", run="run", stat="mean").header["revision"]
    synthetic_extras.write_gradients(writer, 1, values)  # a backward ends after its forward was read
    writer.close()
    site.store.refresh()
    fresh = site.record("stats", run="run", stat="mean", of="gradients", since=revision)
    assert fresh.arrays["steps"].tolist() == [1]
    assert site.record("stats", run="run", stat="mean", since=revision).arrays["steps"].tolist() == []
    assert site.json("timeline", run="run")["restarts"] == []


def test_a_restart_replaces_gradients_too(tmp_path: Path) -> None:
    values = {"a": np.ones((2, 3), np.float32)}
    for file, factor in (("events.out.tfevents.1", 1), ("events.out.tfevents.2", 5)):
        writer = RunWriter(tmp_path / "run", file)
        for step in (0, 1) if factor == 1 else (1,):
            synthetic_log.write_step(writer, step, values)
            synthetic_extras.write_gradients(writer, step, {"a": factor * values["a"]})
        writer.close()
    site = Site(tmp_path)
    assert site.record("stats", run="run", stat="mean", of="gradients").arrays["values"].tolist() == [[1, 5]]
    assert site.record("stats", run="run", stat="mean").arrays["values"].tolist() == [[1, 1]]


def test_ranks_are_those_of_the_parts_of_the_batch(examples: Site) -> None:
    found = examples.record("ranks", run="lr-0.1", layer="fc2")
    steps = [step for step in STEPS if step != 10]  # which a restart logged anew, by one process
    assert found.arrays["steps"].tolist() == steps
    assert found.header["logged"] == len(STEPS)
    for column, step in enumerate(steps):
        values = synthetic_log.values_at(1, STEPS.index(step) / (len(STEPS) - 1), synthetic_log.digits())["fc2"]
        for rank, part in enumerate(np.split(values.astype(np.float64), synthetic_extras.RANKS)):
            finite = part[np.isfinite(part)]
            expected = np.sqrt(np.mean(finite**2)), np.abs(finite).max(), part.size - finite.size
            got = [found.arrays[name][rank, column] for name in ("rms", "absmax", "nonfinite")]
            np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_ranks_come_and_go_and_those_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    values = {"a": np.ones((4, 3), np.float32), "b": np.ones((4, 3), np.float32)}
    three = {name: np.arange(6, dtype=np.float32).reshape(3, 2) for name in ("rank_rms", "rank_absmax", "rank_nonfinite")}
    synthetic_log.write_step(writer, 0, values, more=synthetic_extras.rank_arrays(values))
    synthetic_log.write_step(writer, 1, values, more=three)
    synthetic_log.write_step(writer, 2, values, more={name: array[:, :1] for name, array in three.items()})
    synthetic_log.write_step(writer, 3, values, more={"rank_rms": three["rank_rms"]})
    writer.close()
    site = Site(tmp_path)
    assert site.json("model", run="run")["ranks"] == 3
    found = site.record("ranks", run="run", layer="b").arrays
    assert found["steps"].tolist() == [0, 1]
    np.testing.assert_array_equal(found["absmax"], [[1, 1], [1, 3], [np.nan, 5]])


def test_without_ranks_there_is_no_data(examples: Site) -> None:
    assert examples.json("model", run="lr-0.01")["ranks"] == 0
    assert examples.error("ranks", run="lr-0.01", layer="fc2") == (404, "no_data")
    assert examples.error("ranks", run="lr-0.1", layer="nosuch") == (404, "no_layer")


def test_the_model_tells_what_was_logged_of_each_layer(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    values = {"a": np.ones((2, 3), np.float32)}
    synthetic_log.write_step(writer, 0, values, maps=False)
    synthetic_log.write_step(writer, 0, {"b": values["a"]})
    synthetic_extras.write_gradients(writer, 0, values)
    synthetic_extras.write_gram(writer, 0, "a", values["a"])
    synthetic_extras.write_attention(writer, 0, synthetic_extras.attention_weights(0))
    writer.close()
    model = Site(tmp_path).json("model", run="run")
    assert {layer["name"]: layer["records"] for layer in model["layers"]} == {"a": ["layer", "gradient", "gram"], "b": ["layer", "maps"]}
    assert model["attention"] == [synthetic_extras.ATTENTION]


DERIVED: list[tuple[str, dict[str, Any]]] = [
    ("timeline", {}),
    ("model", {}),
    ("stats", {"stat": "mean"}),
    ("layer", {"layer": "fc1"}),
    ("histograms", {"layer": "fc1"}),
    ("channels", {"layer": "fc1"}),
    ("ranks", {"layer": "fc1"}),
    ("similarity", {"step": 0}),
    ("differences", {"step": 0, "measure": "maps"}),
    ("matching", {"layer": "fc1", "step": 0}),
    ("projection", {"layer": "fc1"}),
    ("statistics.csv", {}),
    ("histograms.csv", {"layer": "fc1"}),
    ("channels.csv", {"layer": "fc1"}),
]


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, RunWriter]:
    top = tmp_path_factory.mktemp("growing")
    writer = RunWriter(top / "run")
    synthetic_extras.write_everything(writer, 1, 2)
    return Site(top), writer


@pytest.mark.parametrize(("route", "query"), DERIVED, ids=[route for route, _ in DERIVED])
def test_an_answer_holds_until_the_run_changes(growing: tuple[Site, RunWriter], route: str, query: dict[str, Any]) -> None:
    site, writer = growing
    first = site.get(route, run="run", **query)
    assert first.headers.getlist("Cache-Control") == ["private, no-cache"]
    tag = first.headers["ETag"]
    hidden = writer.path.rename(writer.path.with_name("moved"))  # so that nothing can be read
    again = site.get(route, headers={"If-None-Match": tag}, run="run", **query)
    hidden.rename(writer.path)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    writer.run_record("mark", 1000, {"text": route})
    writer.flush()
    site.store.refresh()
    fresh = site.get(route, headers={"If-None-Match": tag}, run="run", **query)
    assert fresh.status_code == 200
    assert fresh.headers["ETag"] != tag


def test_an_answer_about_two_runs_holds_until_either_changes(tmp_path: Path) -> None:
    writers = {name: RunWriter(tmp_path / name) for name in ("one", "other")}
    for writer in writers.values():
        synthetic_extras.write_gram(writer, 0, "a", np.eye(5, dtype=np.float32))
        writer.flush()
    site = Site(tmp_path)
    for name in writers:
        tag = site.get("similarity", run="one", step=0, other_run="other").headers["ETag"]
        assert site.get("similarity", headers={"If-None-Match": tag}, run="one", step=0, other_run="other").status_code == 304
        writers[name].run_record("mark", 0, {"text": "more"})
        writers[name].flush()
        site.store.refresh()
        assert site.get("similarity", headers={"If-None-Match": tag}, run="one", step=0, other_run="other").status_code == 200


def test_a_tag_that_a_proxy_made_weak_is_known(examples: Site) -> None:
    for route, query in (("maps", {"layer": "fc1", "step": 5}), ("stats", {"stat": "mean"})):
        tag = examples.get(route, run="lr-0.1", **query).headers["ETag"].removeprefix("W/")
        assert examples.get(route, headers={"If-None-Match": f"W/{tag}"}, run="lr-0.1", **query).status_code == 304


@pytest.mark.parametrize("columns", ["", "0", "-1", "x", "1.5", str(limits.COLUMNS + 1)])
@pytest.mark.parametrize("route", ["stats", "histograms", "channels", "ranks", "projection", "similarity"])
def test_a_number_of_columns_out_of_bounds_is_refused(examples: Site, route: str, columns: str) -> None:
    assert examples.error(route, run="lr-0.1", layer="fc1", stat="mean", columns=columns) == (400, "bad_request")


def test_columns_and_since_exclude_each_other(examples: Site) -> None:
    assert examples.error("stats", run="lr-0.1", stat="mean", columns=5, since="") == (400, "bad_request")


def test_json_and_csv_say_that_they_depend_on_what_the_client_accepts(examples: Site) -> None:
    for route in ("timeline", "statistics.csv"):
        plain, packed = (examples.get(route, headers={"Accept-Encoding": accept}, run="lr-0.1") for accept in ("identity", "gzip"))
        assert packed.headers["Content-Encoding"] == "gzip"
        assert len(packed.data) < len(plain.data)
        assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert json.loads(examples.get("timeline", run="lr-0.1").data)["run"] == "lr-0.1"
