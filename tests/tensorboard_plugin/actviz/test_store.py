import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import synthetic_log
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_log import RunWriter
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard_process import eventually

from tensorboard_plugin.actviz import eventfile, wire
from tensorboard_plugin.actviz.logdir import RunFiles, find_runs
from tensorboard_plugin.actviz.store import IDLE_POLL_INTERVAL_S, POLL_INTERVAL_S, NotLoggedError, OtherRun, Store

LAYERS = ["a", "b"]


def values(seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal((8, 16, 4, 4)).astype(np.float32) for name in LAYERS}


def write_steps(writer: RunWriter, steps: Any, seed: int = 0) -> None:
    for step in steps:
        writer.wall_time_s += 1
        synthetic_log.write_step(writer, step, values(seed + step))
    writer.flush()


def opened(path: Path) -> Store:
    store = Store({str(path): None})
    store.refresh()
    return store


def steps_of(store: Store, run: str = "run") -> list[int]:
    with store.run(run) as index:
        steps: list[int] = index.table.steps(index.table.order()).tolist()
        return steps


def notices(store: Store, run: str = "run") -> list[eventfile.Notice]:
    with store.run(run) as index:
        return index.notices()


def revision(store: Store, run: str = "run") -> str:
    with store.run(run) as index:
        return index.revision


def maps(store: Store, layer: str, step: int, run: str = "run") -> bytes:
    steps, locations = store.locate(run, "maps", layer)
    return store.container(locations[steps.tolist().index(step)])


def scalar_event(step: int) -> event_pb2.Event:
    return event_pb2.Event(step=step, summary=summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="loss", simple_value=1)]))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    made = RunWriter(tmp_path / "run")
    yield made
    made.close()


def test_every_record_is_found_and_read_as_tensorboard_reads_it(tmp_path: Path, writer: RunWriter) -> None:
    synthetic_log.write_start(writer)
    write_steps(writer, range(0, 100, 5))
    store = opened(tmp_path)
    expected = {}
    for data in event_file_loader.RawEventFileLoader(str(writer.path)).Load():
        event = event_pb2.Event.FromString(data)
        for value in event.summary.value:
            expected[value.tag, event.step] = value.tensor.string_val[0]
    for kind in ("layer", "maps"):
        for layer in LAYERS:
            steps, locations = store.locate("run", kind, layer)
            assert steps.tolist() == list(range(0, 100, 5))
            for location in locations:
                assert store.container(location) == expected[wire.layer_tag(kind, layer), location.step]
    with store.run("run") as index:
        for row, step in enumerate(range(0, 100, 5)):
            record = wire.unpack(expected["actviz/step", step])
            for name in wire.MOMENTS:
                stored = index.table.statistic(name, index.table.order(), LAYERS)[:, row]
                np.testing.assert_array_equal(stored, record.arrays["moments"][:, wire.MOMENTS.index(name)])
            stored = index.table.statistic("count", index.table.order(), LAYERS)[:, row]
            np.testing.assert_array_equal(stored, record.arrays["counts"][:, wire.COUNTS.index("count")])
        assert [layer["name"] for layer in index.layers()] == [layer.name for layer in synthetic_log.LAYERS] + LAYERS


def test_growth_shows_and_only_whole_steps(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, [0])
    store = opened(tmp_path)
    before = revision(store)
    store.refresh()
    assert revision(store) == before
    for step in range(1, 6):
        write_steps(writer, [step])
        store.refresh()
        assert steps_of(store) == list(range(step + 1))
    assert revision(store) != before


def test_a_restarted_run_keeps_every_step_and_the_last_write_wins(tmp_path: Path, writer: RunWriter) -> None:
    synthetic_log.write_start(writer)
    write_steps(writer, range(0, 50, 5))
    writer.close()
    again = RunWriter(tmp_path / "run", "events.out.tfevents.1764009999.synthetic.2.0", writer.wall_time_s + 100)
    synthetic_log.write_start(again, step=30)
    write_steps(again, range(30, 70, 5), seed=1000)
    store = opened(tmp_path)
    assert steps_of(store) == list(range(0, 70, 5))
    assert store.locate("run", "maps", "a")[0].tolist() == list(range(0, 70, 5))
    old, new = values(30)["a"], values(1030)["a"]
    assert not np.array_equal(old, new)
    shown = wire.unpack(maps(store, "a", 30)).arrays
    np.testing.assert_array_equal(shown["data"], synthetic_log.quantise(new[: synthetic_log.SAMPLES])["data"])
    with store.run("run") as index:
        mean = index.table.statistic("mean", index.table.order(), ["a"])[0, 6]
        assert mean == np.float32(new.astype(np.float64).mean())
        assert index.restarts() == [{"step": 30, "wall_time_s": writer.wall_time_s + 100}]


def test_a_second_session_before_the_first_step_is_no_restart(tmp_path: Path, writer: RunWriter) -> None:
    synthetic_log.write_start(writer)  # as when two models are watched in one run
    synthetic_log.write_start(writer)
    write_steps(writer, [0, 1])
    with opened(tmp_path).run("run") as index:
        assert index.restarts() == []


def test_two_models_in_one_run_share_their_steps(tmp_path: Path, writer: RunWriter) -> None:
    for step in range(3):
        synthetic_log.write_step(writer, step, {"generator": values()["a"]})
        synthetic_log.write_step(writer, step, {"discriminator": values()["b"]})
    writer.flush()
    with opened(tmp_path).run("run") as index:
        assert np.isfinite(index.table.statistic("mean", index.table.order(), ["generator", "discriminator"])).all()
        assert len(index.table) == 3


def test_of_two_files_the_one_that_tensorboard_reads_last_wins_whenever_it_appears(tmp_path: Path) -> None:
    second = RunWriter(tmp_path / "run", "events.out.tfevents.2")
    write_steps(second, [0, 1], seed=200)
    store = opened(tmp_path)
    first = RunWriter(tmp_path / "run", "events.out.tfevents.1")
    write_steps(first, [1, 2], seed=100)
    store.refresh()
    assert steps_of(store) == [0, 1, 2]
    expected = synthetic_log.quantise(values(201)["a"][: synthetic_log.SAMPLES])["data"]
    np.testing.assert_array_equal(wire.unpack(maps(store, "a", 1)).arrays["data"], expected)
    with store.run("run") as index:
        assert index.table.statistic("mean", index.table.order(), ["a"])[0, 1] == np.float32(values(201)["a"].astype(np.float64).mean())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from(["maps/a", "maps/b", "step"])), max_size=25),
    st.sets(st.integers(0, 24)),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_order_of_writes_and_looks_the_last_write_wins(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, int, str]], looks: set[int]
) -> None:
    top = tmp_path_factory.mktemp("log")
    store = Store({str(top): None})
    writers: dict[int, RunWriter] = {}
    expected: dict[tuple[str, int], tuple[int, int]] = {}
    for number, (file, step, what) in enumerate(writes):
        if file not in writers:
            writers[file] = RunWriter(top / "run", f"events.out.tfevents.{file}")
        if what == "step":
            counts = np.full((1, len(wire.COUNTS)), number, np.int64)
            arrays: dict[str, Any] = {"counts": counts, "moments": np.zeros((1, len(wire.MOMENTS)), np.float32)}
            writers[file].run_record("step", step, {"layers": ["a"]}, arrays)
        else:
            writers[file].layer_record("maps", what[-1], step, {"number": number}, {})
        expected[what, step] = max(expected.get((what, step), (-1, -1)), (file, number))
        if number in looks:
            writers[file].flush()
            store.refresh()
    for writer in writers.values():
        writer.close()
    store.refresh()
    found: dict[tuple[str, int], int] = {}
    if writes:
        for layer in ("a", "b"):
            try:
                _, locations = store.locate("run", "maps", layer)
            except NotLoggedError:
                continue
            for location in locations:
                found[f"maps/{layer}", location.step] = wire.unpack(store.container(location)).header["number"]
        with store.run("run") as index:
            rows = index.table.order()
            for step, count in zip(index.table.steps(rows).tolist(), index.table.statistic("count", rows, ["a"])[0].tolist(), strict=True):
                found["step", step] = int(count)
    assert found == {key: number for key, (_, number) in expected.items()}


def test_what_was_logged_since_a_revision_is_known(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, [0, 1, 2])
    store = opened(tmp_path)
    with store.run("run") as index:
        sequence = index.sequence_of(index.revision)
        assert sequence is not None
        epoch = index.epoch
    write_steps(writer, [1, 3])
    store.refresh()
    with store.run("run") as index:
        assert index.table.steps(index.table.order(sequence)).tolist() == [1, 3]
        for unknown in (
            "",
            "x",
            "x.1",
            f"{epoch}.",
            f"{epoch}.-1",
            f"{epoch}.999",
            f"{epoch}.{'9' * 30}",
            f"{epoch}.1.1",
            f"{epoch}.\u0663",
        ):
            assert index.sequence_of(unknown) is None, unknown


def test_directories_and_runs_come_and_go(tmp_path: Path) -> None:
    top = tmp_path / "later"
    store = opened(top)
    assert store.ready
    assert store.runs() == []
    assert not store.active
    writer = RunWriter(top / "run")
    write_steps(writer, [0])
    store.refresh()
    assert store.runs() == ["run"]
    assert store.active
    write_steps(RunWriter(top / "run" / "nested"), [0])
    store.refresh()
    assert store.runs() == ["run", "run/nested"]
    shutil.rmtree(top / "run" / "nested")
    store.refresh()
    assert store.runs() == ["run"]
    shutil.rmtree(top)
    store.refresh()
    assert store.runs() == []
    with pytest.raises(NotLoggedError, match="No run='run'") as error:
        store.locate("run", "maps", "a")
    assert error.value.code == "no_run"


def test_a_run_that_is_renamed_keeps_its_steps_and_goes_on(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, [0, 1])
    store = opened(tmp_path)
    (tmp_path / "run").rename(tmp_path / "better name")
    write_steps(writer, [2])  # by the training, which has the file open
    store.refresh()
    assert store.runs() == ["better name"]
    assert steps_of(store, "better name") == [0, 1, 2]
    assert wire.unpack(maps(store, "a", 2, "better name")).header["layer"] == "a"


def test_of_steps_that_are_counted_anew_each_epoch_the_last_epochs_are_shown(tmp_path: Path, writer: RunWriter) -> None:
    for epoch in range(3):
        write_steps(writer, range(10), seed=100 * epoch)
    store = opened(tmp_path)
    assert steps_of(store) == list(range(10))
    for step in range(10):
        expected = synthetic_log.quantise(values(200 + step)["a"][: synthetic_log.SAMPLES])
        np.testing.assert_array_equal(wire.unpack(maps(store, "a", step)).arrays["data"], expected["data"])


def test_a_clock_that_goes_back_changes_neither_steps_nor_values(tmp_path: Path, writer: RunWriter) -> None:
    synthetic_log.write_start(writer)
    write_steps(writer, [0, 1])
    writer.wall_time_s -= 86400
    write_steps(writer, [2, 3])
    another = RunWriter(tmp_path / "run", writer.name + ".later", wall_time_s=writer.wall_time_s - 86400)
    synthetic_log.write_start(another, step=3)
    write_steps(another, [3, 4], seed=1000)
    store = opened(tmp_path)
    assert steps_of(store) == [0, 1, 2, 3, 4]
    for step in range(5):
        expected = synthetic_log.quantise(values(step if step < 3 else 1000 + step)["a"][: synthetic_log.SAMPLES])
        np.testing.assert_array_equal(wire.unpack(maps(store, "a", step)).arrays["data"], expected["data"])


def test_a_file_that_is_gone_takes_its_steps_with_it(tmp_path: Path) -> None:
    write_steps(RunWriter(tmp_path / "run", "events.out.tfevents.1"), [0, 1])
    second = RunWriter(tmp_path / "run", "events.out.tfevents.2")
    write_steps(second, [1, 2])
    store = opened(tmp_path)
    before = revision(store)
    second.path.unlink()
    store.refresh()
    assert steps_of(store) == [0, 1]
    with store.run("run") as index:
        assert index.sequence_of(before) is None


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, range(5))
    store = opened(tmp_path)
    writer.close()
    writer.path.unlink()
    write_steps(RunWriter(tmp_path / "run"), [7])
    store.refresh()
    assert steps_of(store) == [7]
    assert maps(store, "a", 7)


def test_a_record_whose_place_another_one_took_is_not_handed_out(tmp_path: Path, writer: RunWriter) -> None:
    for step in (1, 2):
        writer.layer_record("maps", "a", step, {}, {})
    writer.flush()
    store = opened(tmp_path)
    _, (first, second) = store.locate("run", "maps", "a")
    data = writer.path.read_bytes()
    one, two = data[first.offset : second.offset], data[second.offset :]
    assert len(one) == len(two)
    writer.path.write_bytes(data[: first.offset] + two + one)
    with pytest.raises(eventfile.DamagedRecordError, match="another record than the index says"):
        store.container(first)
    assert notices(store)[0].byte == first.offset


def test_a_damaged_length_keeps_what_is_before_and_other_files_and_names_the_place(tmp_path: Path) -> None:
    first = RunWriter(tmp_path / "run", "events.out.tfevents.1")
    write_steps(first, [0, 1])
    size = first.path.stat().st_size
    write_steps(first, [2])
    write_steps(RunWriter(tmp_path / "run", "events.out.tfevents.2"), [3])
    data = bytearray(first.path.read_bytes())
    data[size + 2] ^= 0x10
    first.path.write_bytes(data)
    store = opened(tmp_path)
    assert steps_of(store) == [0, 1, 3]
    (notice,) = notices(store)
    assert (notice.file, notice.byte) == ("run/events.out.tfevents.1", size)
    assert "damaged" in notice.message


def test_a_damaged_step_record_costs_that_step_only(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, [0])
    arrays: dict[str, Any] = {"counts": np.zeros((1, len(wire.COUNTS)), np.int64), "moments": np.zeros((1, len(wire.MOMENTS)), np.float32)}
    writer.run_record("step", 1, {"layers": ["a"]}, arrays)
    writer.flush()
    size = writer.path.stat().st_size
    write_steps(writer, [2])
    data = bytearray(writer.path.read_bytes())
    data[size - 40] ^= 1
    writer.path.write_bytes(data)
    store = opened(tmp_path)
    assert steps_of(store) == [0, 2]
    (notice,) = notices(store)
    assert "content does not match" in notice.message


def test_damage_found_at_reading_becomes_a_notice_and_the_rest_is_read(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, [0, 1, 2])
    store = opened(tmp_path)
    _, locations = store.locate("run", "layer", "a")
    data = bytearray(writer.path.read_bytes())
    data[locations[1].offset + 200] ^= 1
    writer.path.write_bytes(data)
    before = revision(store)
    assert [step for step, _ in store.decoded(locations)] == [0, 2]
    assert [notice.byte for notice in notices(store)] == [locations[1].offset]
    assert revision(store) != before
    assert [step for step, _ in store.decoded(locations)] == [0, 2]
    assert len(notices(store)) == 1


def test_of_a_record_that_cannot_be_read_the_run_gets_a_notice(tmp_path: Path, writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    write_steps(writer, [0])
    with monkeypatch.context() as patch:
        patch.setattr(wire, "FORMAT_VERSION", wire.FORMAT_VERSION + 1)
        writer.layer_record("maps", "a", 1, {}, {})
        writer.flush()
    store = opened(tmp_path)
    _, (good, newer) = store.locate("run", "maps", "a")
    assert store.record(good).header["layer"] == "a"
    assert notices(store) == []
    with pytest.raises(eventfile.DamagedRecordError, match="upgrade"):
        store.record(newer)
    assert [notice.byte for notice in notices(store)] == [newer.offset]


def test_gradients_are_indexed_apart_from_the_outputs_own_statistics(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, [0, 1])
    for name, mean in (("a", 3.0), ("b", 4.0)):  # of two models: one record each under the same tag and step
        counts, moments = np.ones((1, len(wire.COUNTS)), np.int64), np.full((1, len(wire.MOMENTS)), mean, np.float32)
        writer.run_record("gradients", 1, {"layers": [name]}, {"counts": counts, "moments": moments})
    writer.flush()
    with opened(tmp_path).run("run") as index:
        assert index.table.steps(index.table.order()).tolist() == [0, 1]
        rows = index.gradients.order()
        assert index.gradients.steps(rows).tolist() == [1]
        assert index.gradients.statistic("mean", rows, LAYERS).tolist() == [[3.0], [4.0]]


def test_of_two_models_in_one_run_both_are_described_the_first_one_first(tmp_path: Path, writer: RunWriter) -> None:
    for at, step, name in ((2.0, 0, "d"), (1.0, 0, "g"), (9.0, 5, "g")):
        writer.wall_time_s = at
        layer = {"name": f"{name}.fc", "shape": [step]}
        writer.run_record("model", step, {"model": "Net", "layers": [layer], "modules": [{"path": name}]}, model=name)
    writer.flush()
    with opened(tmp_path).run("run") as index:
        assert index.layers() == [{"name": "g.fc", "shape": [5], "model": "g"}, {"name": "d.fc", "shape": [0], "model": "d"}]
        assert index.modules() == [{"path": "g"}, {"path": "d"}]
        assert index.model_names() == ["g", "d"]
        assert index.model.step == 5


def test_a_newer_format_is_named_and_the_rest_is_shown(tmp_path: Path, writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    write_steps(writer, [0])
    with monkeypatch.context() as patch:
        patch.setattr(wire, "FORMAT_VERSION", wire.FORMAT_VERSION + 1)
        write_steps(writer, [1])
    writer.record("actviz/later/a", b"?", 1)
    writer.record("actviz/later", b"?", 1)
    write_steps(writer, [2])
    store = opened(tmp_path)
    assert steps_of(store) == [0, 2]
    (notice,) = notices(store)
    assert "upgrade" in notice.message
    assert [step for step, _ in store.decoded(store.locate("run", "layer", "a")[1])] == [0, 2]


@pytest.mark.parametrize(
    ("kind", "fields", "arrays"),
    [
        ("step", {}, {}),
        ("step", {"layers": ["a"]}, {"counts": np.zeros((2, 9), np.int64), "moments": np.zeros((1, 6), np.float32)}),
        ("step", {"layers": 3}, {"counts": np.zeros((1, 9), np.int64), "moments": np.zeros((1, 6), np.float32)}),
        ("model", {}, {}),
        ("model", {"layers": "conv1"}, {}),
        ("mark", {}, {}),
    ],
)
def test_a_record_without_what_it_should_hold_is_a_notice(
    tmp_path: Path, writer: RunWriter, kind: str, fields: dict[str, Any], arrays: dict[str, Any]
) -> None:
    writer.run_record(kind, 0, fields, arrays)
    write_steps(writer, [1])
    store = opened(tmp_path)
    assert steps_of(store) == [1]
    assert len(notices(store)) == 1


def test_marks_of_one_step_are_all_kept_and_a_repeated_one_once(tmp_path: Path, writer: RunWriter) -> None:
    for text in ("epoch 1", "lr 0.01", "epoch 1"):
        writer.run_record("mark", 7, {"text": text})
    writer.flush()
    with opened(tmp_path).run("run") as index:
        assert sorted(index.marks) == [(7, "epoch 1"), (7, "lr 0.01")]


def test_runs_of_others_say_what_they_hold(tmp_path: Path) -> None:
    write_steps(RunWriter(tmp_path / "ours"), [0])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "events.out.tfevents.1").touch()
    RunWriter(tmp_path / "started").close()
    scalars = RunWriter(tmp_path / "scalars")
    scalars.event(scalar_event(1))
    scalars.close()
    mixed = RunWriter(tmp_path / "mixed")
    mixed.event(scalar_event(1))
    mixed.event(wire.image_event("x", b"", 1, 1, 0, 0.0))
    mixed.close()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "events.out.tfevents.1").write_bytes(bytes(100))
    notes = {other.run: other.note for other in opened(tmp_path).other_runs()}
    assert notes == {
        "empty": "nothing written yet",
        "started": "nothing written yet",
        "scalars": "scalars only",
        "mixed": "no activation records; has images, scalars",
        "damaged": "damaged record: its length does not match the checksum; what follows is not shown "
        "(damaged/events.out.tfevents.1, byte 0)",
    }
    assert opened(tmp_path / "scalars").other_runs() == [OtherRun(".", 1, scalars.path.stat().st_size, "scalars only")]


def test_a_file_that_cannot_be_read_is_a_notice(tmp_path: Path, writer: RunWriter) -> None:
    write_steps(writer, [0])
    (tmp_path / "run" / "events.out.tfevents.9").symlink_to(tmp_path / "nowhere")
    store = opened(tmp_path)
    assert steps_of(store) == [0]
    (notice,) = notices(store)
    assert notice.file == "run/events.out.tfevents.9"


def test_a_log_directory_that_cannot_be_listed_is_a_problem() -> None:
    store = Store({"nosuchscheme://bucket/logs": None})
    store.refresh()
    assert store.ready
    (problem,) = store.problems()
    assert "nosuchscheme" in problem.message or "nosuchscheme" in problem.file


def test_polling_goes_on_in_the_background_and_wakes_when_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorboard_plugin.actviz.store.IDLE_POLL_INTERVAL_S", 1e6)  # it does not look again by itself
    found = threading.Semaphore(0)

    def find(directories: dict[str, str | None]) -> list[RunFiles]:
        found.release()
        return find_runs(directories)

    store = Store({str(tmp_path): None}, find)
    assert store.checked_ago_s is None
    store.start()
    eventually(lambda: store.ready)
    write_steps(RunWriter(tmp_path / "run"), [0])
    store.touch()
    eventually(lambda: store.active)
    assert all(found.acquire(timeout=40) for _ in range(3))  # and now goes on


@pytest.mark.parametrize(
    ("asked", "took_s", "expected_s"),
    [
        (False, 0.1, IDLE_POLL_INTERVAL_S),
        (True, 0.1, POLL_INTERVAL_S),
        (True, 3.0, 6.0),
        (True, 100.0, 10.0),
    ],
)
def test_the_log_is_looked_at_less_often_where_nobody_asks_or_a_look_takes_long(
    monkeypatch: pytest.MonkeyPatch, asked: bool, took_s: float, expected_s: float
) -> None:
    clock_s = 1000.0
    monkeypatch.setattr("tensorboard_plugin.actviz.store.time", SimpleNamespace(monotonic=lambda: clock_s))

    def find(directories: dict[str, str | None]) -> list[RunFiles]:
        nonlocal clock_s
        clock_s += took_s
        return []

    store = Store({}, find)
    store.refresh()
    if asked:
        store.touch()
    assert store.poll_interval_s == expected_s


def test_questions_while_the_log_grows_and_is_restarted_get_consistent_answers(tmp_path: Path) -> None:
    store = Store({str(tmp_path): None})
    done = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)
                done.set()

        return run

    def write() -> None:
        for attempt in range(3):
            writer = RunWriter(tmp_path / "run", f"events.out.tfevents.{attempt}", synthetic_log.START_S + 1000 * attempt)
            synthetic_log.write_start(writer)
            write_steps(writer, range(10 * attempt, 10 * attempt + 40), seed=attempt)
            writer.close()
        done.set()

    def refresh() -> None:
        while not done.is_set():
            store.refresh()

    def ask() -> None:
        seen: list[int] = []
        while not done.is_set():
            try:
                now = steps_of(store)
                assert set(seen) <= set(now)
                seen = now
                steps, locations = store.locate("run", "maps", "a")
                assert np.all(np.diff(steps) > 0)
                assert set(now) <= set(steps.tolist())  # a step's own record comes last
                for location in locations[-3:]:
                    wire.unpack(store.container(location))
                store.decoded(store.locate("run", "layer", "b")[1])
                store.other_runs()
            except NotLoggedError:
                continue

    threads = [threading.Thread(target=guarded(work)) for work in (write, refresh, refresh, ask, ask, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    store.refresh()
    assert steps_of(store) == list(range(60))


def test_the_cache_of_decoded_records_is_bounded(tmp_path: Path, writer: RunWriter) -> None:
    from tensorboard_plugin.actviz.records import RecordReader

    write_steps(writer, range(20))
    _, locations = opened(tmp_path).locate("run", "layer", "a")
    reader = RecordReader(lambda location, notice: None, cache_bytes=10_000)
    assert [step for step, _ in reader.decoded(locations)] == list(range(20))
    assert 0 < reader._cached_bytes <= 10_000
    assert sum(size for _, size in reader._cache.values()) == reader._cached_bytes


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_bit_flip_in_a_log_gives_wrong_data(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    top = tmp_path_factory.mktemp("log")
    writer = RunWriter(top / "run")
    small = {"a": np.arange(64, dtype=np.float32).reshape(2, 2, 4, 4)}
    for step in (1, 2, 3):
        synthetic_log.write_step(writer, step, {"a": small["a"] + step})
    writer.close()
    good = opened(top)
    expected = {
        (location.tag, location.step): good.container(location)
        for kind in ("layer", "maps")
        for location in good.locate("run", kind, "a")[1]
    }
    content = bytearray(writer.path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    writer.path.write_bytes(content)
    store = opened(top)
    if store.runs() == []:
        return
    with store.run("run") as index:
        rows = index.table.order()
        steps = index.table.steps(rows).tolist()
        assert set(steps) <= {1, 2, 3}
        for step, mean in zip(steps, index.table.statistic("mean", rows, ["a"])[0].tolist(), strict=True):
            assert mean == 31.5 + step
        assert index.layer_names() in ([], ["a"])
    for kind in ("layer", "maps"):
        try:
            _, locations = store.locate("run", kind, "a")
        except NotLoggedError:
            continue
        for location in locations:
            try:
                assert store.container(location) == expected[location.tag, location.step]
            except eventfile.DamagedRecordError:
                assert notices(store)
