"""The document and the routes agree: each documented key, array and dtype is in a real answer, and nothing else is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import synthetic_log
from werkzeug.test import Client

import tensorboard_plugin.actviz.routes as routes
from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.series import STATISTICS
from tensorboard_plugin.actviz.store import Store

DOCUMENT = (Path(routes.__file__).parent / "http_api.md").read_text()
QUERY = {
    "runs": {},
    "timeline": {"run": "lr-0.1"},
    "model": {"run": "lr-0.1"},
    "stats": {"run": "lr-0.1", "stat": "mean"},
    "layer": {"run": "lr-0.1", "layer": "relu2"},
    "histograms": {"run": "lr-0.1", "layer": "relu2"},
    "channels": {"run": "lr-0.1", "layer": "relu2"},
    "maps": {"run": "lr-0.1", "layer": "relu2", "step": "5"},
    "inputs": {"run": "lr-0.1", "step": "5"},
}
TABLE = re.findall(r"^\| `(\w+)` \|(.*?)\| (JSON|container): ", DOCUMENT, re.MULTILINE)
DTYPES = {"f8": "<f8", "f4": "<f4", "u4": "<u4", "i2": "<i2"}


def section(name: str) -> str:
    match = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert match, name
    return match.group(1)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    top = tmp_path_factory.mktemp("log")
    synthetic_log.write_log(top, steps=12)
    (top / "old").mkdir()
    (top / "old" / "events.out.tfevents.1").touch()
    restarted = synthetic_log.RunWriter(top / "lr-0.1", "events.out.tfevents.9", synthetic_log.START_S + 500)
    synthetic_log.write_start(restarted)
    synthetic_log.write_step(restarted, 10, synthetic_log.values_at(1, 0.5, synthetic_log.digits()))
    restarted.close()
    with restarted.path.open("ab") as stream:
        stream.write(b"damaged" * 10)
    store = Store({str(top): None})
    store.refresh()
    applications = routes.Routes(store, str(top)).applications()
    found = {route: Client(applications[f"/{route}"]).get("/", query_string=query) for route, query in QUERY.items()}
    assert {response.status_code for response in found.values()} == {200}
    return {route: response.data for route, response in found.items()}


def assert_same_shape(documented: Any, real: Any, where: str) -> None:
    if isinstance(documented, dict):
        if where.endswith((".session", ".layers[0]")):  # as the logging side wrote them, which may say more
            assert set(documented) <= set(real), where
        else:
            assert set(real) == set(documented), where
        for name in documented:
            assert_same_shape(documented[name], real[name], f"{where}.{name}")
    elif isinstance(documented, list):
        assert isinstance(real, list), where
        for index in range(1 if documented else 0):
            assert real, f"{where}: the log of this test should have one"
            assert_same_shape(documented[index], real[index], f"{where}[{index}]")
    elif type(documented) in (int, float):
        assert type(real) in (int, float), where
    else:
        assert type(real) is type(documented), where


def test_the_table_names_every_route_and_its_parameters() -> None:
    assert [route for route, _, _ in TABLE] == list(QUERY)
    for route, parameters, _ in TABLE:
        required = re.sub(r"`\w+` \(optional\)", "", parameters)
        assert re.findall(r"`(\w+)`", required) == list(QUERY[route]), route


@pytest.mark.parametrize("route", [route for route, _, kind in TABLE if kind == "JSON"])
def test_json_answers_have_the_documented_keys(answers: dict[str, bytes], route: str) -> None:
    example = "\n".join(re.findall(r"^    (.*)$", section(route), re.MULTILINE))
    runs = json.loads(answers[route])
    if route == "runs":
        runs["runs"] = [run for run in runs["runs"] if run["run"] == "lr-0.1"]
    assert_same_shape(json.loads(example), runs, route)


@pytest.mark.parametrize("route", ["stats", "layer", "histograms", "channels"])
def test_containers_have_the_documented_header_and_arrays(answers: dict[str, bytes], route: str) -> None:
    text = re.sub(r"\([^()]*\)", "", section(route))
    match = re.search(r"Header: (.*?)\.\s+Arrays: (.*?)(?:\.|: the share|\n\n|\Z)", text, re.DOTALL)
    assert match
    header = re.findall(r"`(\w+)`", match.group(1))
    arrays: dict[str, tuple[str, int]] = {}
    for names, dtype, shape in re.findall(r"((?:`\w+`(?:, )?)+) (\w\d) \[(.*?)\]", re.sub(r"\([^()]*\)", "", match.group(2))):
        arrays |= {name: (DTYPES[dtype], shape.count(",") + 1) for name in re.findall(r"`(\w+)`", names)}
    record = wire.unpack(answers[route])
    assert set(record.header) == {"version", *header}
    assert {name: (array.dtype.str, array.ndim) for name, array in record.arrays.items()} == arrays


@pytest.mark.parametrize("route", ["maps", "inputs"])
def test_records_have_the_documented_header(answers: dict[str, bytes], route: str) -> None:
    (line,) = re.findall(rf"Header fields of `{route}`: (.*?)(?:\. |\n\n)", section("maps, inputs"), re.DOTALL)
    documented = re.findall(r"`(\w+)`", re.sub(r"\([^()]*\)", "", line))
    record = wire.unpack(answers[route])
    assert set(documented) <= set(record.header)
    assert set(record.arrays) == {"data", "low", "high", "mean"}


def test_the_documented_statistics_are_those_there_are() -> None:
    (line,) = re.findall(r"`stat` is one of (.*?)\n\n", section("stats"), re.DOTALL)
    assert re.findall(r"`(\w+)`", line) == list(STATISTICS)


def test_the_documented_error_codes_are_those_there_are() -> None:
    (line,) = re.findall(r"An error is JSON, (.*?)\n\n", DOCUMENT, re.DOTALL)
    documented: dict[str, int] = {}
    for status, codes in re.findall(r"(\d{3})\s+\((.*?)\)", line):
        documented |= {code: int(status) for code in re.findall(r"`(\w+)`", codes)}
    assert documented == routes._STATUS
