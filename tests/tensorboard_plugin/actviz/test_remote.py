"""Logs in object storage: a server that speaks S3, and TensorBoard's file layer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import small_log
import synthetic_log
from moto.server import ThreadedMotoServer
from served import Site
from synthetic_log import RunWriter
from tensorboard.compat.tensorflow_stub.io import gfile
from tensorboard_process import eventually, tensorboard

BUCKET = "logs"


class Storage:
    """The server, and what was asked of it."""

    def __init__(self, endpoint: str) -> None:
        self.client = boto3.client("s3", endpoint_url=endpoint)
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, directory: Path) -> None:
        for path in directory.rglob("*"):
            if path.is_file():
                self.client.put_object(Bucket=BUCKET, Key=f"tb/{path.relative_to(directory)}", Body=path.read_bytes())

    def remove(self, prefix: str) -> None:
        for each in self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", []):
            self.client.delete_object(Bucket=BUCKET, Key=each["Key"])


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "S3_ENDPOINT": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(gfile._REGISTERED_FILESYSTEMS, "s3", gfile.S3FileSystem())  # it looks for the endpoint when it is made
    yield Storage(os.environ["S3_ENDPOINT"])
    server.stop()


def test_a_tensorboard_process_shows_a_log_in_s3_and_what_is_added_to_it(tmp_path: Path, storage: Storage) -> None:
    local = tmp_path / "local"
    writer = RunWriter(local / "deep" / "run")
    synthetic_log.write_start(writer)
    small_log.write(writer, 0, 5)
    storage.put(local)
    with tensorboard(tmp_path / "out", "--logdir", f"s3://{BUCKET}/tb") as board:
        (run,) = eventually(lambda: board.json("runs")["runs"])
        assert (run["run"], run["last_step"], run["notices"]) == ("deep/run", 5, [])
        small_log.write(writer, 10)
        storage.put(local)
        eventually(lambda: board.json("runs")["runs"][0]["last_step"] == 10)
        for step in (0, 5, 10):
            expected = synthetic_log.quantise(small_log.values(step)["b"])
            found = board.record("maps", run="deep/run", layer="b", step=step)
            np.testing.assert_array_equal(found.arrays["data"], expected["data"])
            np.testing.assert_array_equal(found.arrays["low"], expected["low"])
        storage.remove("tb/deep/")
        eventually(lambda: board.json("runs")["runs"] == [])


def test_a_record_is_read_without_the_file_around_it(tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    small_log.write_run(tmp_path / "run", *range(100))
    storage.put(tmp_path)
    (path,) = (tmp_path / "run").iterdir()
    site = Site(f"s3://{BUCKET}/tb")
    received = 0
    read = boto3.session.Session.resource

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        resource = read(self, *arguments, **options)

        def add(http_response: Any = None, parsed: Any = None, **_: Any) -> None:
            nonlocal received
            received += int(parsed.get("ContentLength", 0)) if parsed else 0

        resource.meta.client.meta.events.register("after-call.s3.GetObject", add)
        return resource

    monkeypatch.setattr(boto3.session.Session, "resource", counted)
    assert site.record("maps", run="run", layer="a", step=42).arrays["data"].shape
    assert 0 < received < path.stat().st_size / 50
