"""Records as they were logged, one and many."""

from pathlib import Path

import numpy as np
import pytest
import synthetic_extras
import synthetic_log
from served import Site
from synthetic_log import RunWriter

from tensorboard_plugin.actviz import limits, wire

STEPS = list(range(0, 60, 5))


def parts(record: wire.Record) -> dict[int, bytes]:
    """Return the containers of a range, by step, as the document says that they lie."""
    data, offsets = record.arrays["containers"].tobytes(), record.arrays["offsets"].tolist()
    steps = record.arrays["steps"].tolist()
    assert (offsets[0], offsets[-1], len(offsets)) == (0, len(data), len(steps) + 1)
    return {int(step): data[start:stop] for step, start, stop in zip(steps, offsets[:-1], offsets[1:], strict=True)}


def test_a_range_holds_what_maps_answers_with(examples: Site) -> None:
    record = examples.record("maps_range", **{"run": "lr-0.1", "layer": "fc1", "from": 5, "to": 24})
    assert record.header["next"] is None
    found = parts(record)
    assert list(found) == [5, 10, 15, 20]
    for step, container in found.items():
        assert container == examples.get("maps", run="lr-0.1", layer="fc1", step=step).data
        assert len(container) % 8 == 0


@pytest.mark.parametrize(("bytes_", "records"), [(1, 512), (10_000, 512), (10**9, 5), (10**9, 1)])
def test_going_on_from_next_brings_every_step_once(examples: Site, monkeypatch: pytest.MonkeyPatch, bytes_: int, records: int) -> None:
    monkeypatch.setattr(limits, "RANGE_BYTES", bytes_)
    monkeypatch.setattr(limits, "RANGE_RECORDS", records)
    following: int | None = 0
    steps: list[int] = []
    while following is not None:
        record = examples.record("maps_range", **{"run": "lr-0.1", "layer": "fc1", "from": following})
        assert record.arrays["containers"].size <= bytes_ or len(record.arrays["steps"]) == 1
        assert 1 <= len(record.arrays["steps"]) <= records
        steps += parts(record)
        following = record.header["next"]
    assert steps == STEPS


def test_a_range_that_takes_too_long_says_where_to_go_on(examples: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_S", -1.0)
    record = examples.record("maps_range", **{"run": "lr-0.1", "layer": "fc1", "from": 5})
    assert (record.header["next"], record.arrays["steps"].tolist()) == (5, [])


def test_a_range_without_steps_is_empty(examples: Site) -> None:
    record = examples.record("maps_range", **{"run": "lr-0.1", "layer": "fc1", "from": 56})
    assert (record.header["next"], parts(record)) == (None, {})


def test_a_range_names_the_records_that_cannot_be_read(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    for step in range(3):
        synthetic_log.write_step(writer, step, {"a": np.full((8, 3), step, np.float32)})
    writer.record(wire.layer_tag("maps", "a"), b"this is no container", 3)
    writer.close()
    site = Site(tmp_path)
    data = bytearray(writer.path.read_bytes())
    place = [index for index in range(len(data)) if data.startswith(b'"kind":"maps"', index)][1]
    data[place] ^= 1
    writer.path.write_bytes(data)
    record = site.record("maps_range", run="run", layer="a")
    assert (list(parts(record)), record.header["unreadable"]) == ([0, 2], [1, 3])


def test_a_range_holds_until_a_step_in_it_is_logged_anew(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    for step in range(3):
        synthetic_log.write_step(writer, step, {"a": np.full((8, 3), step, np.float32)})
    writer.flush()
    site = Site(tmp_path)
    query = {"run": "run", "layer": "a", "to": 2}
    tag = site.get("maps_range", **query).headers["ETag"]
    hidden = writer.path.rename(writer.path.with_name("moved"))
    assert site.get("maps_range", headers={"If-None-Match": tag}, **query).status_code == 304
    assert site.get("maps_range", headers={"If-None-Match": tag}, **query | {"to": 1}).status_code == 404  # another range, another tag
    hidden.rename(writer.path)
    synthetic_log.write_step(writer, 5, {"a": np.zeros((8, 3), np.float32)})
    writer.flush()
    site.store.refresh()
    assert site.get("maps_range", headers={"If-None-Match": tag}, **query).status_code == 304
    synthetic_log.write_step(writer, 1, {"a": np.zeros((8, 3), np.float32)})
    writer.flush()
    site.store.refresh()
    assert site.get("maps_range", headers={"If-None-Match": tag}, **query).status_code == 200


def test_attention_is_the_record_as_logged(examples: Site) -> None:
    record = examples.record("attention", run="lr-0.01", layer=synthetic_extras.ATTENTION, step=30)
    weights = synthetic_extras.attention_weights(6 / 11)
    values = wire.dequantise(record.arrays["data"], record.arrays["low"], record.arrays["high"])
    np.testing.assert_allclose(values, weights, atol=0.5 / wire.MAP_LEVELS)
    assert examples.error("attention", run="lr-0.01", layer=synthetic_extras.ATTENTION, step=31) == (404, "no_data")
    assert examples.error("attention", run="lr-0.01", layer="conv1", step=30) == (404, "no_data")
    assert examples.error("attention", run="lr-0.01", layer="nosuch", step=30) == (404, "no_layer")
