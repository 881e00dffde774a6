"""Trainings that are killed in the middle of a write."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tensorboard_plugin.actviz.store import Store

KILLED = Path(__file__).with_name("killed.py")


def steps_by_tensorboard(directory: Path) -> set[int]:
    """Return the steps of our step records that TensorBoard's own reader finds."""
    (path,) = directory.iterdir()
    events = EventFileLoader(str(path)).Load()
    return {event.step for event in events for value in event.summary.value if value.tag == "actviz/step"}


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_what_was_flushed_before_a_kill_is_there_afterwards_whole(tmp_path: Path, kills: int) -> None:
    done = subprocess.run([sys.executable, KILLED, tmp_path, str(kills)], capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    flushed: dict[str, int] = json.loads(done.stdout)
    store = Store({str(tmp_path): None})
    store.refresh()
    assert store.problems() == []
    for run, last in flushed.items():
        with store.run(run) as index:
            assert index.notices() == [], run
        for kind in ("step", "layer", "maps"):
            steps, locations = store.locate(run, kind, "" if kind == "step" else "1")
            assert set(range(last + 1)) <= set(steps.tolist()), (run, kind)
            for location in locations:
                record = store.record(location)
                value = {"step": lambda a: a["moments"][-1][0], "layer": lambda a: a["channel_mean"][0], "maps": lambda a: a["low"][0, 0]}
                np.testing.assert_equal(float(value[kind](record.arrays)), location.step)
        assert steps_by_tensorboard(tmp_path / run) >= set(range(last + 1)), run
    assert sum(last > 1 for last in flushed.values()) > kills // 2, flushed
