"""What a wheel holds, and what it needs."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tensorboard_plugin.actviz.version import VERSION

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    ours = (
        subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
        .stdout.decode()
        .split("\0")
    )
    for name in filter(None, ours):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    stray = source / "tensorboard_plugin/actviz/frontend/node_modules/stray/__init__.py"  # what a search for packages would take
    stray.parent.mkdir(parents=True)
    stray.touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), str(source)]
    subprocess.run(command, check=True, timeout=200)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name and not name.startswith("actviz_tb/_native.")}
    expected = {
        str(path.relative_to(ROOT))
        for package in ("actviz_tb", "tensorboard_plugin/actviz", "tensorboard_plugin/actviz/health")
        for pattern in ("*.py", "py.typed", "http_api.md", "static/*")
        for path in (ROOT / package).glob(pattern)
    }
    assert names == expected
    assert {f"tensorboard_plugin/actviz/static/{name}" for name in ("index.js", "index.css", "LICENSES.txt")} <= names
    assert {"actviz_tb/py.typed", "tensorboard_plugin/actviz/py.typed", "tensorboard_plugin/actviz/http_api.md"} <= names
    assert "tensorboard_plugin/__init__.py" not in names


def test_the_wheel_names_version_entry_point_and_what_each_side_needs(wheel: zipfile.ZipFile) -> None:
    info = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = message_from_bytes(wheel.read(info))
    assert (metadata["Name"], metadata["Version"], metadata["License"]) == ("actviz-tb", VERSION, "Apache-2.0")
    needs = metadata.get_all("Requires-Dist") or []
    viewing = {need.split(">")[0].strip() for need in needs if "extra ==" not in need}
    assert viewing == {"tensorboard", "numpy", "pillow", "protobuf", "google-crc32c", "isal", "threadpoolctl"}
    assert any(need.startswith("torch>=") and 'extra == "torch"' in need for need in needs)
    entry_points = wheel.read(info.replace("METADATA", "entry_points.txt")).decode()
    assert "[tensorboard_plugins]\nactviz = tensorboard_plugin.actviz.plugin:ActvizLoader" in entry_points
