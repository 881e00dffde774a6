"""Files to save: their contents, names and headers."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_extras
import synthetic_log
from PIL import Image
from served import Site
from synthetic_log import LAYERS, RunWriter

from actviz_tb.mosaic import fold, mosaic
from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.series import COLUMNS

NAMES = [layer.name for layer in LAYERS]
STEPS = list(range(0, 60, 5))
SAVED: list[tuple[str, dict[str, Any]]] = [
    ("statistics.csv", {}),
    ("histograms.csv", {"layer": "fc1"}),
    ("channels.csv", {"layer": "fc1"}),
    ("maps.npy", {"layer": "fc1", "step": 5}),
    ("maps.png", {"layer": "fc1", "step": 5}),
    ("attention.npy", {"layer": synthetic_extras.ATTENTION, "step": 5}),
    ("attention.png", {"layer": synthetic_extras.ATTENTION, "step": 5}),
]


def rows(site: Site, route: str, **query: Any) -> list[dict[str, str]]:
    response = site.get(route, **query)
    assert response.status_code == 200, response.data
    return list(csv.DictReader(io.StringIO(response.data.decode())))


def values(run: int, step: int) -> dict[str, Any]:
    return synthetic_log.values_at(run, STEPS.index(step) / (len(STEPS) - 1), synthetic_log.digits())


@pytest.mark.parametrize("of", ["activations", "gradients"])
def test_statistics_as_csv_are_those_of_the_layer_route(examples: Site, of: str) -> None:
    found = rows(examples, "statistics.csv", run="lr-0.1", of=of)
    assert [(row["layer"], int(row["step"])) for row in found] == [(name, step) for name in NAMES for step in STEPS]
    times = {int(row["step"]): float(row["wall_time_s"]) for row in found}
    if of == "activations":
        timeline = examples.json("timeline", run="lr-0.1")
        assert times == dict(zip(timeline["steps"], timeline["wall_times_s"], strict=True))
    for name in NAMES:
        expected = examples.record("layer", run="lr-0.1", layer=name, of=of).arrays["values"]
        own = [[float(row[column] or "nan") for row in found if row["layer"] == name] for column in COLUMNS]
        np.testing.assert_allclose(own, expected, rtol=1e-8)
        assert rows(examples, "statistics.csv", run="lr-0.1", layer=name, of=of) == [row for row in found if row["layer"] == name]


def test_statistics_as_csv_keep_large_counts_and_leave_out_what_was_not_logged(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    synthetic_log.write_step(writer, 0, {"a": np.ones((2, 3), np.float32)})
    synthetic_log.write_step(writer, 1, {"b": np.full((2, 3), np.nan, np.float32)})
    counts = synthetic_log.layer_counts(np.ones((2, 3)))
    counts[0] = 2**53
    moments = synthetic_log.layer_moments(np.ones((2, 3)))
    writer.run_record("step", 2, {"layers": ["a"]}, {"counts": counts[None], "moments": moments[None]})
    writer.close()
    found = rows(Site(tmp_path), "statistics.csv", run="run")
    assert [(row["layer"], row["step"], row["count"]) for row in found] == [("a", "0", "6"), ("a", "2", str(2**53)), ("b", "1", "6")]
    assert (found[2]["mean"], found[2]["nan"], found[2]["nonfinite"]) == ("", "6", "1")


def test_histograms_as_csv_are_those_of_the_values(examples: Site) -> None:
    found = rows(examples, "histograms.csv", **{"run": "lr-0.01", "layer": "relu1", "from": 5, "to": 10})
    for step in (5, 10):
        output = values(0, step)["relu1"].ravel()
        own = [row for row in found if row["step"] == str(step)]
        assert sum(int(row["count"]) for row in own) == output.size
        for row in own:
            left, right = float(row["left"]), float(row["right"])
            inside = output == 0 if left == right else (left <= output) & (output < right)
            assert int(row["count"]) == np.count_nonzero(inside)
    assert {row["step"] for row in found} == {"5", "10"}


def test_channel_profiles_as_csv_are_those_of_the_values(examples: Site) -> None:
    found = [row for row in rows(examples, "channels.csv", run="lr-0.01", layer="conv1") if row["step"] == "20"]
    expected = synthetic_log.channel_profile(values(0, 20)["conv1"])
    assert [int(row["channel"]) for row in found] == list(range(16))
    for column, name in (("mean", "channel_mean"), ("max_abs", "channel_max"), ("zero", "channel_zero")):
        np.testing.assert_array_equal(np.array([row[column] for row in found], np.float32), expected[name])


@pytest.mark.parametrize("kind", ["maps", "attention"])
def test_maps_as_npy_are_the_values_up_to_quantisation(examples: Site, kind: str) -> None:
    layer = {"maps": "conv1", "attention": synthetic_extras.ATTENTION}[kind]
    found = np.load(io.BytesIO(examples.get(f"{kind}.npy", run="lr-0.1", layer=layer, step=30).data), allow_pickle=False)
    expected = values(1, 30)["conv1"] if kind == "maps" else synthetic_extras.attention_weights(6 / 11)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    half = (expected.max(axis=(2, 3), keepdims=True) - expected.min(axis=(2, 3), keepdims=True)) / wire.MAP_LEVELS / 2
    assert np.all(np.abs(found - expected) <= half * 1.01)


@pytest.mark.parametrize("layer", ["conv1", "fc2"])
@pytest.mark.parametrize("sample", [None, 0, 7])
def test_maps_as_png_are_the_picture_of_the_stock_images_tab(examples: Site, layer: str, sample: int | None) -> None:
    query = {} if sample is None else {"sample": sample}
    with Image.open(io.BytesIO(examples.get("maps.png", run="lr-0.1", layer=layer, step=55, **query).data)) as image:
        found = np.asarray(image)
    maps = np.load(io.BytesIO(examples.get("maps.npy", run="lr-0.1", layer=layer, step=55).data))
    maps = maps if sample is None else maps[sample : sample + 1]
    if layer == "fc2":
        maps = np.stack([[fold(each[0, 0])] for each in maps])
    channels = maps.shape[1]
    expected = mosaic(maps.reshape(-1, *maps.shape[2:]), columns=channels if channels > 1 else None)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_sample_that_was_not_kept_is_no_data(examples: Site) -> None:
    assert examples.error("maps.png", run="lr-0.1", layer="conv1", step=5, sample=8) == (404, "no_data")
    assert examples.error("maps.png", run="lr-0.1", layer="conv1", step=5, sample=-1) == (400, "bad_request")


@pytest.mark.parametrize(("route", "query"), SAVED, ids=[route for route, _ in SAVED])
def test_a_file_is_saved_not_shown(examples: Site, route: str, query: dict[str, Any]) -> None:
    response = examples.get(route, run="lr-0.1", **query)
    assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert re.fullmatch(rf'attachment; filename="actviz_lr-0\.1_[\w.-]*{re.escape(route)}"', response.headers["Content-Disposition"])
    again = examples.get(route, headers={"If-None-Match": response.headers["ETag"]}, run="lr-0.1", **query)
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["../../etc/passwd", 'a"b\r\nX: y', "..", "\u202egnp.exe", "x" * 3000, "C:\\new\0", "höhe/1"])
def test_file_names_are_safe_whatever_the_names_logged(tmp_path: Path, name: str) -> None:
    writer = RunWriter(tmp_path / "run")
    synthetic_log.write_step(writer, -7, {name: np.ones((8, 3), np.float32)})
    writer.close()
    site = Site(tmp_path)
    for route, query in (("statistics.csv", {}), ("maps.npy", {"step": -7})):
        response = site.get(route, run="run", layer=name, **query)
        assert response.status_code == 200
        match = re.fullmatch(r'attachment; filename="(actviz_[A-Za-z0-9._-]+)"', response.headers["Content-Disposition"])
        assert match
        assert len(match.group(1)) < 250
        assert match.group(1).endswith(route)
        assert "X" not in response.headers


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_name_becomes_a_formula(tmp_path: Path, start: str) -> None:
    name = f'{start}HYPERLINK("http://evil.example","x")'
    writer = RunWriter(tmp_path / "run")
    synthetic_log.write_step(writer, 0, {name: np.full((8, 3), -1, np.float32)})
    writer.close()
    (row,) = list(csv.reader(io.StringIO(Site(tmp_path).get("statistics.csv", run="run").data.decode(), newline="")))[1:]
    assert row[0] == f"'{name}"
    assert float(row[3]) == -1, "a number keeps its sign"


def test_maps_that_make_no_sense_are_damaged(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    good = synthetic_log.quantise(np.ones((1, 1, 2, 2)))
    wrong = np.zeros((1, 2), np.float32)
    senseless = [{"low": wrong}, {"low": wrong, "high": wrong}, {"data": np.zeros((1, 1, 0, 2), np.uint8)}, {"data": good["data"][0]}]
    for step, arrays in enumerate([{}, *(good | each for each in senseless)]):
        writer.layer_record("maps", "a", step, {"layer": "a", "layout": "channels"}, arrays)
    writer.close()
    site = Site(tmp_path)
    for step in range(1 + len(senseless)):
        for route in ("maps.npy", "maps.png"):
            assert site.error(route, run="run", layer="a", step=step) == (422, "damaged")


@pytest.mark.parametrize(
    ("route", "query", "expected"),
    [
        ("statistics.csv", {"run": "nosuch"}, (404, "no_run")),
        ("statistics.csv", {"run": "lr-0.1", "layer": "nosuch"}, (404, "no_layer")),
        ("statistics.csv", {"run": "lr-0.1", "of": "weights"}, (400, "bad_request")),
        ("histograms.csv", {"run": "lr-0.1"}, (400, "bad_request")),
        ("channels.csv", {"run": "lr-0.1", "layer": "nosuch"}, (404, "no_layer")),
        ("maps.npy", {"run": "lr-0.1", "layer": "fc1", "step": 6}, (404, "no_data")),
        ("attention.png", {"run": "lr-0.1", "layer": "fc1", "step": 5}, (404, "no_data")),
    ],
)
def test_what_cannot_be_saved_is_an_error_and_no_file(examples: Site, route: str, query: dict[str, Any], expected: tuple[int, str]) -> None:
    assert examples.error(route, **query) == expected
    assert "Content-Disposition" not in examples.get(route, **query).headers
