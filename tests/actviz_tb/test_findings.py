"""Findings of a logged run: in Python, and as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic_log
from synthetic_log import RunWriter

import actviz_tb
from actviz_tb.__main__ import main
from actviz_tb.errors import ArgumentError

STEPS = range(0, 200, 10)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy run and one whose layer ``b`` is zero from step 100 on, jumping before."""
    directory = tmp_path_factory.mktemp("runs")
    for run in ("good", "bad"):
        writer = RunWriter(directory / run)
        for step in STEPS:
            generator = np.random.default_rng(step)
            values = {name: generator.standard_normal((8, 16, 4, 4)).astype(np.float32) for name in "ab"}
            if run == "bad" and step >= 90:
                values["a"] *= 9
                values["b"] *= step < 100
            writer.wall_time_s += 1
            synthetic_log.write_step(writer, step, values)
        writer.close()
    return directory


def test_findings_in_the_order_of_time(logdir: Path) -> None:
    log = actviz_tb.read(logdir)
    assert len(log["good"].findings()) == 0
    assert [(each.rule, each.layer, each.first_step, each.goes_on) for each in log["bad"].findings()] == [
        ("jump", "a", 90, True),
        ("dead", "b", 100, True),
    ]
    assert str(log["bad"].findings()) == "a jumped at 90, b dead from 100"
    assert [each.rule for each in log["bad"].findings(rules=["dead"])] == ["dead"]
    assert [each.rule for each in log["bad"].findings(jump=20)] == ["dead"]


def test_where_runs_part(logdir: Path) -> None:
    log = actviz_tb.read(logdir)
    finding, differ_from = log["bad"].parting(log["good"])
    assert finding is not None
    assert (finding.layer, finding.first_step, differ_from) == ("a", 90, 90)


def test_what_makes_no_sense_is_told(logdir: Path) -> None:
    run = actviz_tb.read(logdir)["bad"]
    with pytest.raises(ArgumentError, match="no threshold 'jmup'; the nearest names: 'jump'"):
        run.findings(jmup=3)
    with pytest.raises(ArgumentError, match=r"jump=0; expected a number from 1\.1 to"):
        run.findings(jump=0)
    with pytest.raises(ArgumentError, match="expected some of nonfinite, dead"):
        run.findings(rules=["deaf"])


def test_the_command_says_what_is_wrong(logdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(logdir)]) == 1
    text = capsys.readouterr().out
    assert "good: no findings" in text
    assert "bad: 1 finding\n  a jumped at 90, b dead from 100" in text
    assert main(["check", str(logdir), "--run", "good"]) == 0
    assert main(["check", str(logdir), "--rule", "nonfinite"]) == 0
    assert main(["check", str(logdir), "--threshold", "jump=20", "--json", "--run", "bad"]) == 1
    capsys.readouterr()
    main(["check", str(logdir), "--json"])
    assert [each["rule"] for each in json.loads(capsys.readouterr().out)["bad"]["findings"]] == ["jump", "dead"]


def test_a_run_without_steps_is_nothing_to_examine(logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in ("bad", "good"):
        (tmp_path / run).symlink_to(logdir / run)
    for run in ("empty", "also"):
        writer = RunWriter(tmp_path / run)
        synthetic_log.write_start(writer)
        writer.close()
    assert main(["check", str(tmp_path), "--run", "empty"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.partition(" (")[0]) == ("", "error: nothing to examine in 'empty': no logged steps")
    assert main(["check", str(tmp_path), "--run", "empty", "--run", "good", "--run", "also"]) == 2
    said = capsys.readouterr()
    assert said.out == "good: no findings\n"
    assert "in 'empty', 'also': no logged steps" in said.err
    assert main(["check", str(tmp_path)]) == 1
    assert "nothing to examine in 'also', 'empty'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["nowhere"], ["{logdir}", "--run", "other"], ["{logdir}", "--threshold", "jump"], ["{logdir}", "--threshold", "x=1"]]
)
def test_bad_input_is_told_with_status_2(logdir: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *(each.format(logdir=logdir) for each in wrong)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
