"""What is fuzzed runs, and fails on what must not happen."""

import pytest
from fuzz import targets
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.store import Store


@pytest.mark.parametrize("name", targets.TARGETS)
def test_any_bytes_are_taken(name: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(data=st.binary(max_size=400))
    def take(data: bytes) -> None:
        targets.TARGETS[name](data)

    take()


def test_a_fault_of_the_index_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "_scan", lambda *_: 1 / 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        targets.event_file(b"\1")


def test_an_internal_error_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    targets.request(b"")
    monkeypatch.setattr(wire, "pack", lambda *_: 1 / 0)
    monkeypatch.setattr(wire, "unpack", lambda *_: 1 / 0)
    with pytest.raises(AssertionError, match="internal"):
        [targets.request(bytes([0, route])) for route in range(40)]
