import functools
import importlib.metadata
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_log
from served import Site
from synthetic_log import RunWriter
from tensorboard_process import WAIT_S, TensorBoard, eventually, tensorboard
from torch.utils.tensorboard import SummaryWriter

from tensorboard_plugin.actviz import wire

ENTRY_POINT = "tensorboard_plugin.actviz.plugin:ActvizLoader"
WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "actviz_tb"):
            print("IMPORTED", name, file=sys.stderr, flush=True)
            raise ImportError(name + " must not be imported here")
sys.meta_path.insert(0, Refuse())
from tensorboard import main
main.run_main()
"""


def shows(board: TensorBoard, step: int) -> bool:
    return [run["last_step"] for run in board.json("runs")["runs"]] == [step]


def ready(board: TensorBoard) -> Any:
    return eventually(lambda: (answer := board.json("runs"))["ready"] and answer)


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    points = importlib.metadata.entry_points(group="tensorboard_plugins")
    if ENTRY_POINT not in {point.value for point in points}:
        pytest.fail("the plugin is not installed: pip install -e .")


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_a_thousand_logged_steps_are_a_thousand_steps(tmp_path: Path, load_fast: str) -> None:
    writer = RunWriter(tmp_path / "logs" / "run")
    synthetic_log.write_start(writer)
    for step in range(1000):
        synthetic_log.write_step(writer, 7 * step, {"fc": np.full((8, 4), step, np.float32)})
    writer.close()
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "logs"), "--load_fast", load_fast) as board:
        assert ready(board)["runs"][0]["steps"] == 1000
        steps = [7 * step for step in range(1000)]
        assert board.json("timeline", run="run")["steps"] == steps
        stats = board.record("stats", run="run", stat="mean")
        row = stats.header["layers"].index("fc")
        assert stats.arrays["steps"].tolist() == steps
        assert stats.arrays["values"][row].tolist() == list(range(1000))
        assert board.record("histograms", run="run", layer="fc").arrays["steps"].tolist() == steps
        assert board.record("channels", run="run", layer="fc").arrays["steps"].tolist() == steps
        for step in range(1000):
            low = board.record("maps", run="run", layer="fc", step=7 * step).arrays["low"]
            assert (low == step).all()


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_the_tab_is_listed_active_and_the_other_tabs_still_work(tmp_path: Path, load_fast: str) -> None:
    torch_writer = SummaryWriter(str(tmp_path / "logs" / "scalars"))
    torch_writer.add_scalar("loss", 1.0, 0)
    torch_writer.close()
    synthetic_log.write_log(tmp_path / "logs", steps=5)
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "logs"), "--load_fast", load_fast) as board:
        ready(board)
        tab = board.listing()["actviz"]
        assert (tab["enabled"], tab["tab_name"]) == (True, "Activations")
        assert tab["loading_mechanism"] == {"type": "IFRAME", "module_path": "/data/plugin/actviz/static/index.js"}
        status, page = board.get("data/plugin_entry.html", name="actviz")
        assert status == 200
        assert b'<base href="plugin/actviz/" />' in page
        assert b'import("./static/index.js")' in page
        eventually(lambda: "loss" in json.loads(board.get("data/plugin/scalars/tags")[1]).get("scalars", {}))
        assert {run["run"] for run in board.json("runs")["runs"]} == {"lr-0.01", "lr-0.1"}
        (other,) = board.json("runs")["other"]
        assert (other["run"], other["note"]) == ("scalars", "scalars only")


def test_the_tab_is_inactive_without_records_and_wakes_when_they_come(tmp_path: Path) -> None:
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "later"), "--load_fast", "false") as board:
        assert ready(board)["runs"] == []
        assert board.listing()["actviz"]["enabled"] is False
        writer = RunWriter(tmp_path / "later" / "run")
        for step in range(5):
            synthetic_log.write_step(writer, step, {"fc": np.ones((8, 4), np.float32)})
            writer.flush()
            eventually(functools.partial(shows, board, step))
        assert board.listing()["actviz"]["enabled"] is True


def test_a_path_prefix_goes_before_every_route(tmp_path: Path) -> None:
    synthetic_log.write_log(tmp_path / "logs", steps=2)
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "logs"), "--path_prefix", "/some/where") as board:
        assert board.url.endswith("/some/where/")
        assert len(ready(board)["runs"]) == 2


def test_a_logdir_spec_gives_its_names(tmp_path: Path) -> None:
    synthetic_log.write_log(tmp_path / "logs", steps=2)
    with tensorboard(tmp_path / "out", "--logdir_spec", f"x:{tmp_path}/logs,{tmp_path}/logs/lr-0.1") as board:
        answer = ready(board)
        names = {run["run"] for run in answer["runs"]}
        assert names == set(eventually(lambda: json.loads(board.get("data/runs")[1])))
        assert answer["logdir"] == f"x:{tmp_path}/logs,{tmp_path}/logs/lr-0.1"


def test_without_a_log_directory_of_its_own_the_sample_of_the_data_provider_is_shown(tmp_path: Path) -> None:
    # It has no wheel for every platform; TensorBoard itself does without it there.
    server = pytest.importorskip("tensorboard_data_server").server_binary()
    synthetic_log.write_log(tmp_path / "logs", steps=30)
    port_file = tmp_path / "port"
    data_server = subprocess.Popen([server, "--logdir", str(tmp_path / "logs"), "--port", "0", "--port-file", str(port_file)])
    try:
        port = eventually(lambda: port_file.exists() and port_file.read_text().strip())
        with tensorboard(tmp_path / "out", "--grpc_data_provider", f"localhost:{port}") as board:
            answer = eventually(lambda: len((answer := board.json("runs"))["runs"]) == 2 and answer)
            assert answer["logdir"] is None
            assert "a sample of the steps" in answer["notices"][0]["message"]
            assert "--logdir" in answer["notices"][0]["message"]
            assert board.listing()["actviz"]["enabled"]
            steps = board.json("timeline", run="lr-0.1")["steps"]
            assert 5 <= len(steps) < 30
            whole = Site(tmp_path / "logs").record("stats", run="lr-0.1", stat="mean")
            sample = board.record("stats", run="lr-0.1", stat="mean")
            kept = np.isin(whole.arrays["steps"], sample.arrays["steps"])
            np.testing.assert_array_equal(sample.arrays["values"], whole.arrays["values"][:, kept])
    finally:
        data_server.terminate()
        data_server.wait(WAIT_S)


def test_the_plugin_imports_neither_torch_nor_the_logging_side(tmp_path: Path) -> None:
    synthetic_log.write_log(tmp_path / "logs", steps=3)
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "logs"), script=WITHOUT_TORCH) as board:
        assert len(ready(board)["runs"]) == 2
        run = {"run": "lr-0.1"}
        for route, query in (
            ("timeline", run),
            ("model", run),
            ("stats", run | {"stat": "zero"}),
            ("layer", run | {"layer": "conv1"}),
            ("histograms", run | {"layer": "conv1"}),
            ("channels", run | {"layer": "conv1"}),
            ("maps", run | {"layer": "conv1", "step": "5"}),
            ("inputs", run | {"step": "5"}),
        ):
            assert board.get(f"data/plugin/actviz/{route}", **query)[0] == 200, route
        assert "IMPORTED" not in board.log.read_text()


PATHS = [
    "//etc/hostname",
    "/etc/hostname",
    "../../../../../../etc/hostname",
    "..%2f..%2f..%2f..%2f..%2fetc%2fhostname",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/hostname",
    "%2e%2e%2f%2e%2e%2fplugin.py",
    "../plugin.py",
    "..\\plugin.py",
    "index.js/../../plugin.py",
    "index.js%00.txt",
    "secret.txt",
    "",
]


def test_no_path_leads_to_a_file_that_is_not_on_the_list(tmp_path: Path) -> None:
    secret = tmp_path / "logs" / "secret.txt"
    synthetic_log.write_log(tmp_path / "logs", steps=2)
    secret.write_text("the secret")
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "logs")) as board:
        ready(board)
        hostname = Path("/etc/hostname").read_bytes() if Path("/etc/hostname").exists() else b"the secret"
        answers = [raw_get(board, f"/data/plugin/actviz/static/{path}") for path in PATHS]
        answers += [raw_get(board, f"/data/plugin/actviz/{path}") for path in PATHS]
        for path in [*PATHS, str(secret), f"lr-0.1/../../{secret.name}", "lr-0.1/../lr-0.1"]:
            quoted = urllib.parse.quote(path, safe="%")
            answers += [
                raw_get(board, f"/data/plugin/actviz/{query}")
                for query in (
                    f"timeline?run={quoted}",
                    f"stats?stat=mean&run={quoted}",
                    f"stats?run=lr-0.1&stat={quoted}",
                    f"histograms?run=lr-0.1&layer={quoted}",
                    f"maps?run={quoted}&layer=conv1&step=5",
                    f"maps?run=lr-0.1&layer={quoted}&step=5",
                    f"maps?run=lr-0.1&layer=conv1&step={quoted}",
                    f"inputs?run=lr-0.1&step={quoted}",
                )
            ]
        for line, status, body in answers:
            assert status in (400, 404), line
            assert hostname not in body, line
            assert b"the secret" not in body, line
            assert b"TBLoader" not in body, line


def raw_get(board: TensorBoard, target: str) -> tuple[str, int, bytes]:
    """Send the target as it is: http.client and urllib would tidy some of these up."""
    import socket

    address = urllib.parse.urlparse(board.url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_S) as connection:
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: {address.netloc}\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return target, int(head.split()[1]), body


def test_loading_neither_waits_for_the_log_nor_fails_without_flags(tmp_path: Path) -> None:
    import argparse

    from tensorboard.plugins import base_plugin

    from tensorboard_plugin.actviz.plugin import ActvizLoader

    loader = ActvizLoader()
    parser = argparse.ArgumentParser()
    loader.define_flags(parser)
    loader.fix_flags(parser.parse_args([]))
    plugin = loader.load(base_plugin.TBContext())
    assert plugin.plugin_name == wire.PLUGIN_NAME
    assert plugin.is_active() is False
    assert plugin.frontend_metadata().es_module_path in plugin.get_plugin_apps()


def test_importing_the_plugin_is_cheap() -> None:
    script = "import sys, tensorboard_plugin.actviz.plugin; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split())
    assert "tensorboard_plugin.actviz.plugin" in loaded
    assert not loaded & {"numpy", "werkzeug", "isal", "google_crc32c", "torch", "tensorboard_plugin.actviz.wire"}
