import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_log
from served import Site
from synthetic_log import LAYERS, RunWriter
from werkzeug.test import Client

from tensorboard_plugin.actviz import histories, wire
from tensorboard_plugin.actviz.routes import STATIC_FILES, Routes
from tensorboard_plugin.actviz.series import COLUMNS, STATISTICS
from tensorboard_plugin.actviz.store import Store

STEPS = list(range(0, 200, 5))
NAMES = [layer.name for layer in LAYERS]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    top = tmp_path_factory.mktemp("log")
    synthetic_log.write_log(top, steps=len(STEPS))
    (top / "old").mkdir()
    (top / "old" / "events.out.tfevents.1").touch()
    return Site(top)


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    return RunWriter(tmp_path / "run")


def outputs(step: int, run: int = 0) -> dict[str, Any]:
    return synthetic_log.values_at(run, STEPS.index(step) / (len(STEPS) - 1), synthetic_log.digits())


def test_runs_lists_ours_and_the_others(site: Site) -> None:
    answer = site.json("runs")
    assert [run["run"] for run in answer["runs"]] == ["lr-0.01", "lr-0.1"]
    first = answer["runs"][0]
    assert (first["steps"], first["first_step"], first["last_step"], first["layers"]) == (40, 0, 195, 6)
    assert first["last_wall_time_s"] == synthetic_log.START_S + 40
    assert answer["other"] == [{"run": "old", "files": 1, "size_bytes": 0, "note": "nothing written yet"}]
    assert (answer["ready"], answer["version"], answer["logdir"], answer["notices"]) == (True, 1, str(site.logdir), [])
    assert answer["poll_interval_s"] == site.store.poll_interval_s


def test_runs_answers_before_the_first_look(tmp_path: Path) -> None:
    routes = Routes(Store({str(tmp_path): None}), str(tmp_path)).applications()
    answer = json.loads(Client(routes["/runs"]).get("/").data)
    assert (answer["ready"], answer["checked_ago_s"], answer["runs"]) == (False, None, [])


def test_runs_without_a_log_directory_says_so() -> None:
    routes = Routes(Store({}), None).applications()
    answer = json.loads(Client(routes["/runs"]).get("/").data)
    assert answer["logdir"] is None
    assert "--logdir" in answer["notices"][0]["message"]


def test_a_run_without_steps_has_null_where_there_is_nothing(tmp_path: Path, writer: RunWriter) -> None:
    synthetic_log.write_start(writer)
    writer.flush()
    site = Site(tmp_path)
    (run,) = site.json("runs")["runs"]
    assert (run["steps"], run["first_step"], run["last_step"], run["last_wall_time_s"], run["layers"]) == (0, None, None, None, 6)
    assert site.json("timeline", run="run")["steps"] == []
    assert site.record("stats", run="run", stat="mean").arrays["values"].shape == (6, 0)
    assert site.record("layer", run="run", layer="conv1").arrays["values"].shape == (len(COLUMNS), 0)
    assert site.record("histograms", run="run", layer="conv1").arrays["shares"].shape == (0, 0)
    assert site.record("channels", run="run", layer="conv1").arrays["mean"].shape == (0, 0)
    assert site.error("maps", run="run", layer="conv1", step=0) == (404, "no_data")


def test_timeline_has_every_step_and_the_marks(site: Site) -> None:
    answer = site.json("timeline", run="lr-0.1")
    assert answer["steps"] == STEPS
    assert answer["wall_times_s"] == [synthetic_log.START_S + 1 + index for index in range(40)]
    assert [(mark["step"], mark["text"]) for mark in answer["marks"]] == [(0, "epoch 0"), (150, "epoch 1")]
    assert answer["restarts"] == []


def test_model_lists_the_layers_in_execution_order_and_those_it_lacks(tmp_path: Path, writer: RunWriter) -> None:
    synthetic_log.write_start(writer, step=3)
    synthetic_log.write_step(writer, 5, {"surprise": np.ones((2, 3), np.float32)})
    writer.flush()
    answer = Site(tmp_path).json("model", run="run")
    assert [layer["name"] for layer in answer["layers"]] == [*NAMES, "surprise"]
    assert answer["layers"][0]["shape"] == [64, 16, 26, 26]
    assert answer["layers"][-1] == {"name": "surprise", "records": ["layer", "maps"]}
    (described,) = answer["models"]
    assert (described["name"], described["model"], described["step"]) == ("", "DigitsCNN", 3)
    assert described["session"]["source"] == "probe"
    assert "version" not in described["session"]


@pytest.mark.parametrize("stat", STATISTICS)
def test_stats_are_those_of_the_values(site: Site, stat: str) -> None:
    record = site.record("stats", run="lr-0.1", stat=stat)
    assert record.header["layers"] == NAMES
    assert record.arrays["steps"].tolist() == STEPS
    assert record.arrays["values"].dtype == np.float32
    for column, step in enumerate(STEPS[::13]):
        for row, values in enumerate(outputs(step, run=1).values()):
            moments = dict(zip(wire.MOMENTS, synthetic_log.layer_moments(values), strict=True))
            count = dict(zip(wire.COUNTS, synthetic_log.layer_counts(values), strict=True))
            expected = moments | {
                "zero": count["zero"] / count["count"],
                "near_zero": count["near_zero"] / count["count"],
                "saturated": np.nan,
                "nonfinite": np.count_nonzero(~np.isfinite(values)) / values.size,
                "dead_channels": count["dead_channels"] / count["channels"],
            }
            for array, name in (("values", stat), ("zero", "zero"), ("nonfinite", "nonfinite")):
                np.testing.assert_equal(record.arrays[array][row, 13 * column], np.float32(expected[name]))


def test_stats_since_a_revision_are_those_logged_after_it(tmp_path: Path, writer: RunWriter) -> None:
    for step in (0, 1):
        synthetic_log.write_step(writer, step, {"a": np.ones((2, 3), np.float32)})
    writer.flush()
    site = Site(tmp_path)
    revision = site.record("stats", run="run", stat="mean").header["revision"]
    unchanged = site.record("stats", run="run", stat="mean", since=revision)
    assert unchanged.arrays["values"].shape == (1, 0)
    assert (unchanged.header["since"], unchanged.header["revision"]) == (revision, revision)
    synthetic_log.write_step(writer, 2, {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32)})
    writer.flush()
    site.store.refresh()
    fresh = site.record("stats", run="run", stat="mean", since=revision)
    assert fresh.arrays["steps"].tolist() == [2]
    assert fresh.header["layers"] == ["a", "b"]
    for unknown in ("", "x.3", "nonsense", f"{revision}9"):
        whole = site.record("stats", run="run", stat="mean", since=unknown)
        assert whole.arrays["steps"].tolist() == [0, 1, 2]
        assert "since" not in whole.header


def test_a_layer_over_steps_has_all_statistics_and_limits(site: Site) -> None:
    record = site.record("layer", run="lr-0.01", layer="conv1")
    assert record.header["columns"] == list(COLUMNS)
    values = dict(zip(record.header["columns"], record.arrays["values"], strict=True))
    conv1 = {step: outputs(step)["conv1"] for step in STEPS}
    np.testing.assert_array_equal(values["mean"], [np.float32(conv1[step].astype(np.float64).mean()) for step in STEPS])
    assert values["count"].tolist() == [conv1[0].size] * len(STEPS)
    pooled = np.concatenate([array.ravel() for array in conv1.values()])
    assert record.header["abs_limit"] == pytest.approx(np.quantile(np.abs(pooled), 0.999), rel=0.08)
    assert record.header["low_limit"] == pytest.approx(np.quantile(pooled, 0.001), rel=0.08)
    assert record.header["high_limit"] == pytest.approx(np.quantile(pooled, 0.999), rel=0.08)


def test_histograms_and_channels_of_a_layer_are_those_of_the_values(site: Site) -> None:
    histograms = site.record("histograms", run="lr-0.01", layer="relu1").arrays
    assert histograms["steps"].tolist() == STEPS
    values = outputs(100)["relu1"].ravel()
    row = STEPS.index(100)
    zero = histograms["bins"] == 0
    assert histograms["shares"][row, zero] == np.float32(np.mean(values == 0))
    inside = (histograms["left"][:, None] <= values) & (values < histograms["right"][:, None])
    np.testing.assert_allclose(histograms["shares"][row, ~zero], inside.mean(axis=1)[~zero], rtol=1e-5)
    channels = site.record("channels", run="lr-0.1", layer="relu2")
    np.testing.assert_allclose(channels.arrays["mean"][row], outputs(100, run=1)["relu2"].mean(axis=0), rtol=1e-5)
    dead = dict(channels.header["dead_since"])
    assert dead
    for step in STEPS[::7]:
        assert not outputs(step, run=1)["relu2"][:, [channel for channel, since in dead.items() if since <= step]].any()


def test_maps_and_inputs_are_the_records_as_logged(site: Site) -> None:
    record = site.record("maps", run="lr-0.01", layer="conv1", step=55)
    assert (record.kind, record.header["layer"]) == ("maps", "conv1")
    expected = synthetic_log.quantise(outputs(55)["conv1"])
    assert all(np.array_equal(record.arrays[name], array) for name, array in expected.items())
    for step in (0, 3, 10**15):
        assert site.record("inputs", run="lr-0.01", step=step).header["labels"] == ["0", "1", "2", "3", "4", "5", "6", "7"]


def test_inputs_are_those_in_force_at_the_step(tmp_path: Path, writer: RunWriter) -> None:
    for step in (10, 20):
        synthetic_log.write_start(writer, labels=[str(step)] * 8, step=step)
    writer.flush()
    site = Site(tmp_path)
    assert site.error("inputs", run="run", step=9) == (404, "no_data")
    for step, expected in ((10, "10"), (19, "10"), (20, "20"), (21, "20")):
        assert site.record("inputs", run="run", step=step).header["labels"][0] == expected


@pytest.mark.parametrize(
    ("route", "query", "expected"),
    [
        ("timeline", {}, (400, "bad_request")),
        ("timeline", {"run": "nosuch"}, (404, "no_run")),
        ("timeline", {"run": "old"}, (404, "no_run")),
        ("timeline", {"run": ""}, (404, "no_run")),
        ("timeline", {"run": "../lr-0.1"}, (404, "no_run")),
        ("timeline", {"run": "/etc"}, (404, "no_run")),
        ("timeline", {"run": "a\0b\ud7ff" * 1000}, (404, "no_run")),
        ("timeline", {"run": "a\0b\ud7ff" * 5000}, (400, "bad_request")),
        ("model", {}, (400, "bad_request")),
        ("model", {"run": "nosuch"}, (404, "no_run")),
        ("stats", {"run": "lr-0.1"}, (400, "bad_request")),
        ("stats", {"stat": "mean"}, (400, "bad_request")),
        ("stats", {"run": "lr-0.1", "stat": "count"}, (400, "bad_request")),
        ("stats", {"run": "lr-0.1", "stat": ""}, (400, "bad_request")),
        ("stats", {"run": "nosuch", "stat": "mean"}, (404, "no_run")),
        *(
            (route, query, expected)
            for route in ("layer", "histograms", "channels")
            for query, expected in (
                ({"run": "lr-0.1"}, (400, "bad_request")),
                ({"layer": "conv1"}, (400, "bad_request")),
                ({"run": "nosuch", "layer": "conv1"}, (404, "no_run")),
                ({"run": "lr-0.1", "layer": "nosuch"}, (404, "no_layer")),
                ({"run": "lr-0.1", "layer": ""}, (404, "no_layer")),
                ({"run": "lr-0.1", "layer": "../../../etc/hostname"}, (404, "no_layer")),
            )
        ),
        ("maps", {"run": "lr-0.1", "layer": "conv1"}, (400, "bad_request")),
        ("maps", {"run": "lr-0.1", "step": 5}, (400, "bad_request")),
        ("maps", {"layer": "conv1", "step": 5}, (400, "bad_request")),
        ("maps", {"run": "nosuch", "layer": "conv1", "step": 5}, (404, "no_run")),
        ("maps", {"run": "lr-0.1", "layer": "nosuch", "step": 5}, (404, "no_layer")),
        ("maps", {"run": "lr-0.1", "layer": "conv1", "step": 6}, (404, "no_data")),
        ("maps", {"run": "lr-0.1", "layer": "conv1", "step": -1}, (404, "no_data")),
        ("maps", {"run": "lr-0.1", "layer": "conv1", "step": 2**63 - 1}, (404, "no_data")),
        ("maps", {"run": "lr-0.1", "layer": "conv1", "step": -(2**63)}, (404, "no_data")),
        *(
            (route, {"run": "lr-0.1", "layer": "conv1", "step": step}, (400, "bad_request"))
            for route in ("maps", "inputs")
            for step in (
                "",
                " 5",
                "5 ",
                "x",
                "nan",
                "inf",
                "-Infinity",
                "1e3",
                "5.0",
                "0x5",
                "\u0665",
                "5\n",
                "+5",
                "--5",
                "9" * 5000,
                2**63,
                -(2**63) - 1,
            )
        ),
        ("inputs", {"run": "lr-0.1"}, (400, "bad_request")),
        ("inputs", {"run": "nosuch", "step": 5}, (404, "no_run")),
        ("inputs", {"run": "lr-0.1", "step": -1}, (404, "no_data")),
    ],
)
def test_a_bad_parameter_gets_the_documented_error(site: Site, route: str, query: dict[str, Any], expected: tuple[int, str]) -> None:
    assert site.error(route, **query) == expected


def test_errors_carry_the_values(site: Site) -> None:
    message = json.loads(site.get("maps", run="lr-0.1", layer="conv1", step=6).data)["message"]
    assert message == "No maps for run='lr-0.1', layer='conv1', step=6"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("route", ["runs", "maps", "static/index.js"])
def test_only_get_is_possible(site: Site, route: str, method: str) -> None:
    response = site.get(route, method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("route", "query"),
    [
        ("runs", {}),
        ("changes", {}),
        ("timeline", {"run": "lr-0.1"}),
        ("timeline", {"run": "nosuch"}),
        ("stats", {"run": "lr-0.1", "stat": "mean"}),
        ("layer", {"run": "lr-0.1", "layer": "conv1"}),
    ],
)
def test_answers_are_not_stored_unless_tagged_nor_sniffed_nor_shared(site: Site, route: str, query: dict[str, str]) -> None:
    headers = site.get(route, headers={"Origin": "http://evil.example"}, **query).headers
    assert headers.getlist("Cache-Control") == ["private, no-cache" if "ETag" in headers else "no-store"]
    assert headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert not any(name.lower().startswith("access-control") for name, _ in headers)


def test_json_is_gzipped_and_containers_are_not(site: Site) -> None:
    accept = {"Accept-Encoding": "gzip"}
    assert site.get("timeline", headers=accept, run="lr-0.1").headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in site.get("stats", headers=accept, run="lr-0.1", stat="mean").headers


def test_maps_are_asked_for_again_without_being_read(tmp_path: Path, writer: RunWriter) -> None:
    synthetic_log.write_step(writer, 0, {"a": np.ones((8, 3), np.float32)})
    writer.flush()
    site = Site(tmp_path)
    first = site.get("maps", run="run", layer="a", step=0)
    assert first.headers.getlist("Cache-Control") == ["private, no-cache"]
    tag = first.headers["ETag"]
    path = writer.path.rename(tmp_path / "moved")  # so that nothing can be read
    again = site.get("maps", headers={"If-None-Match": tag}, run="run", layer="a", step=0)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert site.error("maps", run="run", layer="a", step=0) == (404, "no_data")
    path.rename(writer.path)
    synthetic_log.write_step(writer, 0, {"a": np.zeros((8, 3), np.float32)})
    writer.flush()
    site.store.refresh()
    renewed = site.get("maps", headers={"If-None-Match": tag}, run="run", layer="a", step=0)
    assert renewed.status_code == 200
    assert renewed.headers["ETag"] != tag


def test_damage_and_newer_formats_have_errors_of_their_own(tmp_path: Path, writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic_log.write_step(writer, 0, {"a": np.ones((8, 3), np.float32)})
    with monkeypatch.context() as patch:
        patch.setattr(wire, "FORMAT_VERSION", wire.FORMAT_VERSION + 1)
        synthetic_log.write_step(writer, 1, {"a": np.ones((8, 3), np.float32)})
    writer.record(wire.layer_tag("maps", "a"), b"this is no container", 2)
    writer.flush()
    site = Site(tmp_path)
    assert site.error("maps", run="run", layer="a", step=1) == (422, "newer_format")
    assert site.error("maps", run="run", layer="a", step=2) == (422, "damaged")
    data = bytearray(writer.path.read_bytes())
    data[data.index(b'"kind":"maps"')] ^= 1
    writer.path.write_bytes(data)
    assert site.error("maps", run="run", layer="a", step=0) == (422, "damaged")
    run = site.json("runs")["runs"][0]
    assert run["steps"] == 1
    assert len(run["notices"]) >= 2
    assert all(notice["file"] == f"run/{writer.name}" and notice["byte"] > 0 for notice in run["notices"])


def test_a_fault_of_ours_is_an_internal_error_in_json(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "limits", lambda records: 1 / 0)
    assert site.error("layer", run="lr-0.1", layer="conv1") == (500, "internal")


def test_strange_names_pass_through(tmp_path: Path) -> None:
    name = "blöck [0]/conv?&=%2f 'x'\n\"#"
    writer = RunWriter(tmp_path / "rün &=%2f")
    synthetic_log.write_step(writer, 0, {name: np.ones((8, 3), np.float32)})
    writer.flush()
    site = Site(tmp_path)
    assert site.json("runs")["runs"][0]["run"] == "rün &=%2f"
    assert site.record("maps", run="rün &=%2f", layer=name, step=0).header["layer"] == name
    assert site.record("stats", run="rün &=%2f", stat="mean").header["layers"] == [name]


def test_static_files_come_from_the_list_with_their_types(tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.js").write_text("export function render() {}")
    (static / "secret.txt").write_text("secret")
    site = Site(tmp_path / "log", static)
    response = site.get("static/index.js")
    assert (response.status_code, response.mimetype, response.data) == (200, "application/javascript", b"export function render() {}")
    assert response.headers.getlist("Cache-Control") == ["private, no-cache"]
    assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert site.get("static/index.js", headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    assert site.error("static/index.css") == (404, "no_data")
    assert {path for path in site.applications if path.startswith("/static")} == {f"/static/{name}" for name in STATIC_FILES}
