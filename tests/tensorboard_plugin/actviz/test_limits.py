"""No request takes more than its limit: what is beyond is refused, thinned or paged, and said so."""

import json
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_extras
import synthetic_log
from served import Site
from synthetic_log import RunWriter

from tensorboard_plugin.actviz import limits, wire
from tensorboard_plugin.actviz.series import StepTable

FULL = 12


@pytest.mark.parametrize(
    ("limit", "value", "route", "query"),
    [
        ("CELLS", 6 * FULL - 1, "stats", {"stat": "mean"}),
        ("CELLS", 6 * 4 - 1, "stats", {"stat": "mean", "columns": 4}),
        ("CELLS", 16 * FULL - 1, "layer", {"layer": "fc1"}),
        ("CELLS", FULL - 1, "timeline", {}),
        ("CELLS", FULL * 128 - 1, "channels", {"layer": "fc1"}),
        ("READ_BYTES", 1000, "histograms", {"layer": "fc1"}),
        ("READ_BYTES", 1000, "similarity", {"step": 5}),
        ("READ_BYTES", 1000, "projection", {"layer": "fc1"}),
        ("READ_BYTES", 1000, "ranks", {"layer": "fc1"}),
        ("READ_BYTES", 1000, "histograms.csv", {"layer": "fc1"}),
        ("RECORDS", FULL - 1, "channels.csv", {"layer": "fc1"}),
        ("CSV_ROWS", 6 * FULL - 1, "statistics.csv", {}),
        ("CSV_ROWS", 100, "histograms.csv", {"layer": "fc1"}),
        ("CSV_ROWS", FULL * 128 - 1, "channels.csv", {"layer": "fc1"}),
        ("NPY_BYTES", 8 * 128 * 4 - 1, "maps.npy", {"layer": "fc1", "step": 5}),
        ("PICTURE_PIXELS", 849 * 425 - 1, "maps.png", {"layer": "conv1", "step": 5}),
        ("RECORD_BYTES", 1000, "maps", {"layer": "conv1", "step": 5}),
        ("RECORD_BYTES", 1000, "attention.png", {"layer": synthetic_extras.ATTENTION, "step": 5}),
        ("JSON_BYTES", 500, "model", {}),
        ("JSON_BYTES", 300, "runs", {}),
    ],
)
def test_what_is_over_a_limit_is_too_large(
    example_log: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, route: str, query: dict[str, Any]
) -> None:
    site = Site(example_log)
    if route != "runs":
        query = {"run": "lr-0.1", **query}
    assert site.get(route, **query).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(limits, limit, value)
        response = Site(example_log).get(route, **query)
    answer = json.loads(response.data)
    assert (response.status_code, answer["code"]) == (413, "too_large")
    assert str(value) in answer["message"] or limit == "CELLS"
    with monkeypatch.context() as patch:
        patch.setattr(limits, limit, value + (1 if limit not in ("READ_BYTES", "RECORD_BYTES", "JSON_BYTES") else 10**6))
        if (limit, route) != ("CSV_ROWS", "histograms.csv"):
            assert Site(example_log).get(route, **query).status_code == 200


@pytest.mark.parametrize(
    ("route", "limit", "value"),
    [
        ("stats", "CELLS", 6),
        ("layer", "CELLS", 16),
        ("timeline", "CELLS", 1),
        ("statistics.csv", "CSV_ROWS", 1),
        ("histograms.csv", "CSV_ROWS", 100),
        ("channels.csv", "CSV_ROWS", 128),
    ],
)
def test_fewer_steps_are_within_the_limits(example_log: Path, monkeypatch: pytest.MonkeyPatch, route: str, limit: str, value: int) -> None:
    monkeypatch.setattr(limits, limit, value)
    site = Site(example_log)
    query = {"run": "lr-0.1", "layer": "fc1", "stat": "mean"}
    assert site.error(route, **query) == (413, "too_large")
    assert site.get(route, **query, **{"from": 5, "to": 9}).status_code == 200


def test_a_csv_of_too_many_rows_is_refused_before_anything_is_computed(example_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CSV_ROWS", 6 * FULL - 1)
    monkeypatch.delattr(StepTable, "statistic")
    assert Site(example_log).error("statistics.csv", run="lr-0.1") == (413, "too_large")


def test_more_records_than_an_answer_is_made_of_are_thinned(example_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(example_log)
    size = 2000 + sum(array.nbytes for array in site.store.over_steps("lr-0.1", "layer", "fc1")[1][0][1].arrays.values())
    monkeypatch.setattr(limits, "READ_BYTES", 2 * 5 * (size + 500))  # half of it is for what was not foreseen
    record = site.record("channels", run="lr-0.1", layer="fc1")
    assert record.arrays["steps"].tolist() == [0, 20, 40, 55]
    assert record.header["logged"] == FULL
    assert site.record("layer", run="lr-0.1", layer="fc1").arrays["steps"].size == FULL, "which come from memory"


def test_layers_are_thinned_as_steps_are(example_log: Path) -> None:
    record = Site(example_log).record("similarity", run="lr-0.1", step=5, columns=4)
    assert record.header["layers"] == ["conv1", "pool1", "relu2", "fc2"]
    assert record.header["logged"] == [6, 6]


def test_reading_that_takes_too_long_is_given_up_and_goes_on_when_asked_again(example_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(example_log)
    with monkeypatch.context() as patch:
        patch.setattr(limits, "READ_S", -1.0)
        for _ in range(FULL):  # one record further each time
            response = site.get("histograms", run="lr-0.1", layer="fc1")
            assert json.loads(response.data)["code"] == "too_large"
        assert site.record("histograms", run="lr-0.1", layer="fc1").arrays["steps"].size == FULL


def test_a_small_record_that_would_fill_the_memory_is_not_decoded(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    bomb = wire.pack("maps", {"layer": "a", "layout": "channels"}, {"data": np.zeros((1, 1, 9000, 9000), np.uint8)})
    assert len(bomb) < limits.RECORD_BYTES / 50
    writer.record(wire.layer_tag("maps", "a"), bomb, 0)
    writer.record(wire.layer_tag("gram", "a"), bomb, 0)
    writer.close()
    site = Site(tmp_path)
    tracemalloc.start()
    try:
        assert site.error("maps.npy", run="run", layer="a", step=0) == (413, "too_large")
        assert site.error("projection", run="run", layer="a") == (404, "no_data")
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert site.get("maps", run="run", layer="a", step=0).data == bomb, "verbatim, it is small"
    assert "81000000 bytes" in site.json("runs")["runs"][0]["notices"][0]["message"]


def test_a_record_that_is_too_long_costs_that_record_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RunWriter(tmp_path / "run")
    noise = np.random.default_rng(0).integers(0, 255, (8, 1, 50, 50), np.uint8)
    for step, size in enumerate((8, 2, 8)):
        arrays = {"data": noise[:size], "low": np.zeros((size, 1), np.float32), "high": np.ones((size, 1), np.float32)}
        writer.layer_record("maps", "a", step, {"layer": "a"}, arrays)
        writer.layer_record("layer", "a", step, {"layer": "a"}, {"bins": np.zeros(1, np.int16), "counts": np.ones(1, np.uint32), **arrays})
    writer.close()
    monkeypatch.setattr(limits, "RECORD_BYTES", 10_000)
    site = Site(tmp_path)
    record = site.record("maps_range", run="run", layer="a")
    assert (record.arrays["steps"].tolist(), record.header["unreadable"]) == ([1], [0, 2])
    assert site.record("histograms", run="run", layer="a").arrays["steps"].tolist() == [1]
    assert len(site.json("runs")["runs"][0]["notices"]) == 2


@pytest.mark.parametrize("name", ["run", "layer", "stat", "since", "of"])
def test_a_parameter_of_any_length_is_refused(examples: Site, name: str) -> None:
    query = {"run": "lr-0.1", "layer": "fc1", "stat": "mean"} | {name: "x" * (limits.NAME_CHARACTERS + 1)}
    response = examples.get("layer" if name == "layer" else "stats", **query)
    answer = json.loads(response.data)
    assert (response.status_code, answer["code"]) == (400, "bad_request")
    assert len(answer["message"]) < 200


def test_many_who_ask_while_the_log_grows_get_whole_answers(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    values = {"a": np.ones((8, 3), np.float32), "b": np.eye(8, 3, dtype=np.float32)}

    def write(step: int) -> None:
        for name, array in values.items():
            synthetic_extras.write_gram(writer, step, name, array + np.arange(8)[:, None] * step)
        synthetic_log.write_step(writer, step, values, more=synthetic_extras.rank_arrays(values))
        synthetic_extras.write_gradients(writer, step, values)
        writer.flush()

    write(0)
    site = Site(tmp_path)
    queries: list[tuple[str, dict[str, Any]]] = [
        ("stats", {"stat": "mean", "columns": 7}),
        ("stats", {"stat": "mean", "of": "gradients"}),
        ("histograms", {"layer": "a", "of": "gradients"}),
        ("ranks", {"layer": "b"}),
        ("maps_range", {"layer": "a"}),
        ("projection", {"layer": "b"}),
        ("similarity", {"step": 0}),
        ("statistics.csv", {}),
    ]
    failures: list[str] = []
    done = threading.Event()

    def ask(route: str, query: dict[str, Any]) -> None:
        while not done.is_set():
            response = site.get(route, run="run", **query)
            if response.status_code != 200:
                failures.append(f"{route}: {response.data!r}")
            elif not route.endswith(".csv"):
                arrays = wire.unpack(response.data).arrays
                lengths = {
                    arrays[name].shape[axis] for name, axis in (("steps", 0), ("values", 1), ("shares", 0), ("rms", 1)) if name in arrays
                }
                if len(lengths) > 1:
                    failures.append(f"{route}: {lengths}")

    threads = [threading.Thread(target=ask, args=each) for each in queries]
    for thread in threads:
        thread.start()
    for step in range(1, 25):
        write(step)
        site.store.refresh()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert site.record("projection", run="run", layer="b").arrays["steps"].tolist() == list(range(25))
