"""The document and the routes agree: every example is the real answer, and what the tables list is all there is."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import http_examples
import pytest
from http_examples import Example
from served import Site
from tensorboard_process import WAIT_S, eventually, tensorboard

from tensorboard_plugin.actviz import limits, responses
from tensorboard_plugin.actviz.routes import HANDLERS
from tensorboard_plugin.actviz.series import STATISTICS

DOCUMENT = http_examples.PATH.read_text()
EXAMPLES = http_examples.examples(DOCUMENT)
TABLE = re.findall(r"^\| \[`([\w.]+)`\]\(#([\w.]+)\) \|(.*?)\| (JSON|container|CSV|NPY|PNG)", DOCUMENT, re.MULTILINE)
PARAMETERS = {route: set(re.findall(r"`(\w+)`", cell)) for route, _, cell, _ in TABLE}
REQUIRED = {route: re.findall(r"`(\w+)`", re.sub(r"\[`\w+`\]|`step` or `layer`", "", cell)) for route, _, cell, _ in TABLE}


@pytest.fixture(scope="module")
def get(example_log: Path) -> http_examples.Get:
    return http_examples.client(example_log)


def section(name: str) -> str:
    match = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert match, name
    return match.group(1)


def test_the_table_names_every_route_and_each_has_a_section_with_an_example() -> None:
    assert {route for route, *_ in TABLE} == {"runs", *HANDLERS}
    for route, anchor, _, _ in TABLE:
        assert anchor == route.replace(".", "")
        assert any(example.route == route for example in http_examples.examples(section(route))), route
    assert EXAMPLES, "none found"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.request)
def test_an_example_is_the_real_answer(get: http_examples.Get, example: Example) -> None:
    real = http_examples.written(example.request, get)
    assert http_examples.same(example.answer, real), f"{example.answer}\n\nbut the answer is\n\n{real}"


def test_the_examples_are_the_answers_of_a_tensorboard_process(example_log: Path, tmp_path: Path) -> None:
    with tensorboard(tmp_path / "out", "--logdir", str(example_log)) as board:
        eventually(lambda: board.json("runs")["ready"])

        def get(request: str) -> tuple[int, dict[str, str], bytes]:
            try:
                with urllib.request.urlopen(f"{board.url}data/plugin/actviz/{request}", timeout=WAIT_S) as response:
                    return response.status, dict(response.headers), response.read()
            except urllib.error.HTTPError as error:
                return error.code, dict(error.headers), error.read()

        for example in EXAMPLES:
            real = http_examples.written(example.request, get)
            assert http_examples.same(example.answer, real), f"{example.request}\n{example.answer}\n\nbut the answer is\n\n{real}"


@pytest.mark.parametrize(
    ("documented", "real"),
    [
        ("200 a, b", "200 a"),
        ('200 a\n{"x": 1}', '200 a\n{"x": 2}'),
        ('200 a\n{"x": 1}', '200 a\n{"x": 1, "y": 1}'),
        ('200 a\n{"x": "1"}', '200 a\n{"x": 1}'),
        ("200 a\n{}\nv f4 [2]: 1 2", "200 a\n{}\nv f8 [2]: 1 2"),
        ("200 a\n{}\nv f4 [2]: 1 2", "200 a\n{}\nv f4 [2]: 1 2.001"),
        ("200 a\n{}\nv f4 [2]: 1 2", "200 a\n{}\nv f4 [2]: 1 nan"),
        ("200 a\n{}\nv f4 [2]: 1 2", "200 a\n{}"),
    ],
)
def test_the_comparison_of_examples_sees_a_difference(documented: str, real: str) -> None:
    documented, real = (text if "\n" in text else f"{text}\n{{}}" for text in (documented, real))
    assert http_examples.same(documented, documented)
    assert not http_examples.same(documented, real)


@pytest.mark.parametrize("route", sorted(PARAMETERS))
def test_a_route_takes_the_parameters_that_the_table_gives_it_and_no_others(examples: Site, route: str) -> None:
    queries = [example.query for example in EXAMPLES if example.route == route and example.answer.startswith("200")]
    queries = [{name: value for name, value in query.items() if name != "since"} for query in queries]
    for name in sorted(set().union(*PARAMETERS.values()) - {"since"}):
        taken = any(examples.get(route, **{**query, name: "nonsense"}).status_code != 200 for query in queries)
        assert taken == (name in PARAMETERS[route]), name
    for name in REQUIRED[route]:
        for query in queries:
            assert examples.error(route, **{each: value for each, value in query.items() if each != name}) == (400, "bad_request")


def test_since_is_taken_where_the_table_says_so(examples: Site) -> None:
    assert {route for route, names in PARAMETERS.items() if "since" in names} == {"changes", "stats"}


def test_the_documented_statistics_are_those_there_are() -> None:
    (line,) = re.findall(r"`stat` is one of (.*?)\n\n", section("stats"), re.DOTALL)
    assert re.findall(r"`(\w+)`", line) == list(STATISTICS)


def test_the_documented_error_codes_are_those_there_are() -> None:
    (line,) = re.findall(r"An error is JSON, (.*?)\n\n", DOCUMENT, re.DOTALL)
    documented: dict[str, int] = {}
    for status, codes in re.findall(r"(\d{3})\s+\((.*?)\)", line):
        documented |= {code: int(status) for code in re.findall(r"`(\w+)`", codes)}
    assert documented == responses.STATUS


def test_the_documented_limits_are_those_in_force() -> None:
    numbers = [
        int(number.replace(",", ""))
        for number in re.findall(r"\b[\d,]*\d\b", "\n".join(re.findall(r"^\| (.*?) \|", section("Limits"), re.M)))
    ]
    mebibytes = 1 << 20
    assert numbers == [
        limits.CELLS,
        limits.RECORDS,
        limits.HEADS,
        limits.GRAMS,
        limits.MATCHED,
        limits.MATCHED_VALUES,
        limits.RECORD_BYTES // mebibytes,
        limits.READ_S,
        limits.RANGE_RECORDS,
        limits.RANGE_BYTES // mebibytes,
        limits.CSV_ROWS,
        limits.PICTURE_PIXELS,
        limits.JSON_BYTES // mebibytes,
    ]
    assert limits.RECORD_BYTES == limits.READ_BYTES == limits.NPY_BYTES
    assert f"at most {limits.NAME_CHARACTERS:,} characters" in section("Parameters")
    assert f"at most {limits.COLUMNS:,} |" in section("Parameters")
    assert f"more than {limits.REMOVED_RUNS:,} runs" in section("changes")
