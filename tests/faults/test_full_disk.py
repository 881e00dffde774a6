"""A disk that is full for some time: a file system of a megabyte."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("full_disk.py")
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]


def may_mount(directory: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, f"mount -t tmpfs none '{directory}'"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("target", ["own", "writer"])
def test_training_goes_on_the_user_is_told_once_and_recording_resumes(tmp_path: Path, target: str) -> None:
    if not may_mount(tmp_path):
        pytest.skip("no file system can be mounted here")
    command = f"mount -t tmpfs -o size=1m none '{tmp_path}' && exec '{sys.executable}' '{SCRIPT}' '{tmp_path}' {target}"
    done = subprocess.run([*NAMESPACE, command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["steps"]["full"][:10] == list(range(10))
    assert len(answer["steps"]["end"]) < 30
    if target == "own":  # a SummaryWriter's own thread ends with the first write that fails, and with it all that goes through it
        assert answer["steps"]["end"][-10:] == list(range(20, 30))
    (warning,) = [each for each in answer["warnings"] if "No space left" in each]
    assert warning.startswith("recording a step failed, training goes on: OSError")
