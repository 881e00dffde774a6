import os
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tensorboard.backend.event_processing import data_ingester, plugin_event_multiplexer

from tensorboard_plugin.actviz.logdir import find_runs, parse_logdir


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def tensorboards_runs(directories: dict[str, str | None]) -> set[str]:
    multiplexer: Any = plugin_event_multiplexer.EventMultiplexer()
    for path, name in directories.items():
        multiplexer.AddRunsFromDirectory(path, name)
    return set(multiplexer.Runs())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "logs"
    touch(
        top / "events.out.tfevents.1.host",
        top / "a" / "events.out.tfevents.2.host",
        top / "a" / "events.out.tfevents.1.host",
        top / "a" / "b c" / "deep" / "x.tfevents.1",
        top / "none" / "notes.txt",
        top / "profile" / "events.out.tfevents.1.profile-empty",
        tmp_path / "elsewhere" / "linked" / "events.out.tfevents.1",
        top / ".hidden" / "events.out.tfevents.1",
        top / "üñ" / "events.out.tfevents.1",
    )
    (top / "link").symlink_to(tmp_path / "elsewhere")
    return top


def test_runs_have_the_names_that_tensorboard_gives(tree: Path) -> None:
    directories = parse_logdir(str(tree), None)
    runs = {run.run for run in find_runs(directories)}
    assert runs == tensorboards_runs(directories)
    assert {".", "a", "a/b c/deep", "link/linked", "profile", "üñ"} <= runs


@pytest.mark.parametrize(
    "spec", ["{0}", "x:{0}", "x:{0}/a,{0}/link", "x:{0}/a,y:{0}/a", "x:{0}/a,x:{0}/link", "{0}/a:b", "x:{0}/missing,{0}/a"]
)
def test_a_logdir_spec_gives_the_runs_that_tensorboard_gives(tree: Path, spec: str) -> None:
    spec = spec.format(tree)
    directories = parse_logdir(None, spec)
    assert directories == data_ingester._parse_event_files_spec(spec)
    assert {run.run for run in find_runs(directories)} == tensorboards_runs(directories)


def test_logdir_wins_and_the_home_directory_is_expanded() -> None:
    assert parse_logdir("~/logs", "a:b") == {os.path.expanduser("~/logs"): None}
    assert parse_logdir(None, None) == parse_logdir("", "") == {}
    assert parse_logdir(None, "gs://bucket/logs,a:s3://bucket/x") == {"gs://bucket/logs": None, "s3://bucket/x": "a"}


def test_files_come_in_tensorboards_order_and_empty_profiles_are_no_files(tree: Path) -> None:
    runs = {run.run: run.paths for run in find_runs({str(tree): None})}
    assert [os.path.basename(path) for path in runs["a"]] == ["events.out.tfevents.1.host", "events.out.tfevents.2.host"]
    assert runs["profile"] == ()


def test_a_link_to_a_parent_ends(tree: Path) -> None:
    (tree / "a" / "up").symlink_to(tree)
    (tree / "a" / "self").symlink_to(tree / "a")
    assert "a/up" not in {run.run for run in find_runs({str(tree): None})}


def test_a_directory_that_does_not_exist_has_no_runs(tmp_path: Path) -> None:
    assert find_runs({str(tmp_path / "later"): None}) == []


def test_remote_runs_are_found_through_tensorboards_file_layer() -> None:
    memory = fsspec.filesystem("memory")
    try:
        memory.pipe_file("/logs/a/events.out.tfevents.1", b"")
        memory.pipe_file("/logs/events.out.tfevents.1", b"")
        directories = parse_logdir("memory://logs", None)
        runs = {run.run: run.paths for run in find_runs(directories)}
        assert set(runs) == tensorboards_runs(directories) == {".", "a"}
        assert runs["a"] == ("memory://logs/a/events.out.tfevents.1",)
        assert find_runs({"memory://nothing": None}) == []
    finally:
        memory.rm("/logs", recursive=True)
