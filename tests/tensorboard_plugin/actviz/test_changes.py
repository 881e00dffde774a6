"""Following a log by tokens."""

import shutil
import threading
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_extras
import synthetic_log
from served import Site
from synthetic_log import RunWriter

from tensorboard_plugin.actviz import limits, wire
from tensorboard_plugin.actviz.changes import ChangeLog
from tensorboard_plugin.actviz.eventfile import Found
from tensorboard_plugin.actviz.runindex import RunIndex
from tensorboard_plugin.actviz.store import Store

VALUES = {"a": np.ones((2, 3), np.float32)}


def write(directory: Path, *steps: int, file: str = "events.out.tfevents.1") -> None:
    writer = RunWriter(directory, file)
    for step in steps:
        synthetic_log.write_step(writer, step, VALUES)
    writer.close()


def names(answer: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    return [run["run"] for run in answer["added"]], [run["run"] for run in answer["changed"]], answer["removed"]


class Follower:
    """Asks with the token of its last answer."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.token = ""

    def look(self) -> dict[str, Any]:
        self.site.store.refresh()
        answer: dict[str, Any] = self.site.json("changes", since=self.token)
        self.token = answer["token"]
        return answer


def test_changes_tell_what_came_grew_and_went(tmp_path: Path) -> None:
    write(tmp_path / "one", 0, 5)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "events.out.tfevents.1").touch()
    follower = Follower(Site(tmp_path))
    first = follower.look()
    assert (first["full"], *names(first)) == (True, ["one"], [], [])
    assert (first["added"][0]["steps"], first["added"][0]["new_steps"], first["added"][0]["last_step"]) == (2, 2, 5)
    second = follower.look()
    assert (second["full"], *names(second)) == (False, [], [], [])
    write(tmp_path / "one", 10, 5)  # the last step logged is not the last one
    write(tmp_path / "two", 3)
    third = follower.look()
    assert names(third) == (["two"], ["one"], [])
    assert {name: third["changed"][0][name] for name in ("steps", "new_steps", "last_step")} == {
        "steps": 3,
        "new_steps": 2,
        "last_step": 10,
    }
    shutil.rmtree(tmp_path / "one")
    assert names(follower.look()) == ([], [], ["one"])
    write(tmp_path / "one", 0)
    assert names(follower.look()) == (["one"], [], [])
    assert names(follower.look()) == ([], [], [])


def test_a_run_that_changes_without_a_step_is_changed(tmp_path: Path) -> None:
    write(tmp_path / "run", 0)
    follower = Follower(Site(tmp_path))
    follower.look()
    writer = RunWriter(tmp_path / "run", "events.out.tfevents.1")
    writer.run_record("mark", 0, {"text": "epoch"})
    writer.close()
    (run,) = follower.look()["changed"]
    assert (run["steps"], run["new_steps"], run["last_step"]) == (1, 0, 0)


def test_a_run_whose_file_was_replaced_is_added_not_removed(tmp_path: Path) -> None:
    write(tmp_path / "run", 0, 1, 2)
    follower = Follower(Site(tmp_path))
    follower.look()
    (tmp_path / "run" / "events.out.tfevents.1").unlink()
    write(tmp_path / "run", 0, file="events.out.tfevents.2")
    answer = follower.look()
    assert names(answer) == (["run"], [], [])
    assert answer["added"][0]["steps"] == answer["added"][0]["new_steps"] == 1


def test_a_run_that_has_lost_its_records_is_removed(tmp_path: Path) -> None:
    write(tmp_path / "run", 0)
    follower = Follower(Site(tmp_path))
    follower.look()
    (tmp_path / "run" / "events.out.tfevents.1").unlink()
    (tmp_path / "run" / "events.out.tfevents.2").touch()
    assert names(follower.look()) == ([], [], ["run"])


def test_a_revision_from_changes_serves_as_since_of_stats(tmp_path: Path) -> None:
    write(tmp_path / "one", 0)
    write(tmp_path / "two", 0)
    follower = Follower(Site(tmp_path))
    revisions = {run["run"]: run["revision"] for run in follower.look()["added"]}
    write(tmp_path / "one", 5)
    (changed,) = follower.look()["changed"]
    stats = follower.site.record("stats", run="one", stat="mean", since=revisions["one"])
    assert stats.arrays["steps"].tolist() == [5]
    assert stats.header["revision"] == changed["revision"]


@pytest.mark.parametrize(
    "token", ["", "x", "0", "-1", "{0}.", "{0}.-1", "{0}.999", "{0}.1.1", "{0}.\u0663", "{0}." + "9" * 30, "00000000.1"]
)
def test_an_unknown_token_gets_everything(tmp_path: Path, token: str) -> None:
    write(tmp_path / "run", 0)
    site = Site(tmp_path)
    epoch = site.json("changes")["token"].partition(".")[0]
    answer = site.json("changes", since=token.format(epoch))
    assert (answer["full"], *names(answer)) == (True, ["run"], [], [])


def test_a_token_from_before_forgotten_removals_gets_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMOVED_RUNS", 2)
    runs = [f"run{number}" for number in range(4)]
    for run in runs:
        write(tmp_path / run, 0)
    site = Site(tmp_path)
    tokens = [site.json("changes")["token"]]
    for run in runs[:3]:
        shutil.rmtree(tmp_path / run)
        site.store.refresh()
        tokens.append(site.json("changes")["token"])
    assert [names(site.json("changes", since=token)) for token in tokens[1:]] == [
        ([], [], ["run1", "run2"]),
        ([], [], ["run2"]),
        ([], [], []),
    ]
    assert site.json("changes", since=tokens[0])["full"]


def test_whoever_follows_misses_nothing_while_runs_are_written_and_replaced(tmp_path: Path) -> None:
    """What a follower pieces together from changes is what there is in the end."""
    write(tmp_path / "steady", 0)
    store = Store({str(tmp_path): None})
    store.refresh()
    known: dict[str, int] = {}
    token = ""
    done = threading.Event()

    def follow() -> None:
        nonlocal token
        last = False
        while not last:
            last = done.is_set()
            changes = store.changes(token)
            token = changes.token
            if changes.full:
                known.clear()
            for run in changes.removed:
                known.pop(run, None)  # it may have come and gone since the last look
            known.update({run.run: 0 for run in changes.added})
            for run in [*changes.added, *changes.changed]:
                if run.run == "steady":  # each step once
                    known[run.run] += run.new_steps
                else:
                    known[run.run] = run.steps

    thread = threading.Thread(target=follow)
    thread.start()
    for number in range(30):
        write(tmp_path / "steady", number + 1)
        if number % 3 == 0:
            shutil.rmtree(tmp_path / "replaced", ignore_errors=True)
            write(tmp_path / "replaced", *range(number), file=f"events.out.tfevents.{number}")
        if number % 5 == 0:
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)
        elif number % 5 == 1:
            write(tmp_path / "gone", 0)
        store.refresh()
    done.set()
    thread.join()
    assert known == {"steady": 31, "replaced": 27, "gone": 1}


def test_a_replaced_run_is_added_also_for_whoever_asked_while_it_was_being_read() -> None:
    changes = ChangeLog()

    def index(steps: int) -> RunIndex:
        made = RunIndex("run", changes.clock)
        made.add_path("events.out.tfevents.1")
        made.add(0, Found({wire.layer_tag("maps", "a").encode(): (array("q", range(steps)), array("Q", range(steps)))}, []))
        return made

    old = index(2)
    new = index(1)  # not yet shown
    token = changes.since("", [old]).token
    changes.removed(old)
    changes.appeared(new)
    answer = changes.since(token, [new])
    assert ([run.revision for run in answer.added], answer.changed, answer.removed) == ([new.revision], [], [])


def test_gradients_change_a_run(tmp_path: Path) -> None:
    write(tmp_path / "run", 0)
    follower = Follower(Site(tmp_path))
    follower.look()
    writer = RunWriter(tmp_path / "run", "events.out.tfevents.1")
    synthetic_extras.write_gradients(writer, 0, VALUES)
    writer.close()
    assert names(follower.look()) == ([], ["run"], [])
