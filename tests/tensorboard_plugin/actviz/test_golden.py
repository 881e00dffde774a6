"""The container that the page's unit tests decode is still what Python writes and reads."""

from pathlib import Path

import make_golden
import numpy as np

from tensorboard_plugin.actviz import wire

COMMITTED = Path(wire.__file__).parent / "frontend" / "test" / "golden.actviz"


def test_the_committed_container_decodes_to_what_was_packed() -> None:
    for data in (COMMITTED.read_bytes(), make_golden.golden()):
        record = wire.unpack(data)
        assert {name: record.header[name] for name in make_golden.FIELDS} == make_golden.FIELDS
        assert list(record.arrays) == list(make_golden.ARRAYS)
        for name, array in make_golden.ARRAYS.items():
            np.testing.assert_array_equal(record.arrays[name], array)
            assert record.arrays[name].dtype == array.dtype
