import contextlib
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tensorboard_plugin.actviz import wire

ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=12),
    st.sampled_from(sorted(wire.DTYPES.values())).flatmap(
        lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    ),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.text(max_size=10).filter(lambda name: name not in ("version", "kind", "arrays")), JSON, max_size=5)


def header_of(container: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", container, 4)
    header: dict[str, Any] = json.loads(container[8 : 8 + length])
    return header


def with_header(container: bytes, **changes: Any) -> bytes:
    (length,) = struct.unpack_from("<I", container, 4)
    text = json.dumps(header_of(container) | changes).encode()
    text += b" " * (-(8 + len(text)) % 8)
    return struct.pack("<4sI", b"ACTV", len(text)) + text + container[8 + length :]


@given(FIELDS, ARRAYS)
@settings(deadline=None)
def test_unpack_returns_what_was_packed(fields: dict[str, Any], arrays: dict[str, Any]) -> None:
    record = wire.unpack(wire.pack("step", fields, arrays))
    assert record.kind == "step"
    assert record.header == {"version": wire.FORMAT_VERSION, **fields}
    assert list(record.arrays) == list(arrays)
    for name, array in arrays.items():
        assert record.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(record.arrays[name], array)


@given(ARRAYS)
@settings(deadline=None)
def test_arrays_start_at_multiples_of_8(arrays: dict[str, Any]) -> None:
    container = wire.pack("step", {"name": "x"}, arrays)
    _, start = wire.unpack_header(container)
    assert start % 8 == 0
    assert len(container) % 8 == 0


def test_every_truncation_is_an_error() -> None:
    container = wire.pack("maps", {"layer": "conv1"}, {"data": np.arange(200, dtype=np.uint8), "low": np.ones(3, np.float32)})
    for length in range(len(container) - 4):  # the last bytes pad
        with pytest.raises(wire.WireError):
            wire.unpack(container[:length])


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_container_raises_only_wire_errors(data: st.DataObject) -> None:
    container = bytearray(
        wire.pack("maps", {"layer": "conv1"}, {"data": np.arange(300, dtype=np.uint8) // 9, "low": np.ones(3, np.float32)})
    )
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(container) - 1))
        container[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(wire.WireError):
        wire.unpack(bytes(container))


def test_a_header_that_announces_too_much_does_not_fill_the_memory() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    container = wire.pack("maps", {}, {"data": np.zeros(1000, np.uint8)})
    entry = header_of(container)["arrays"][0] | {"size": len(bomb)}
    (length,) = struct.unpack_from("<I", container, 4)
    with pytest.raises(wire.WireError, match="inflates to 1001 bytes or more"):
        wire.unpack(with_header(container[: 8 + length] + bomb, arrays=[entry]))


@pytest.mark.parametrize("shape", [[34], [2**62, 4], ["3"], [1.5], "33", None, [[3]]])
def test_a_shape_that_does_not_fit_is_an_error(shape: Any) -> None:
    container = wire.pack("maps", {}, {"data": np.zeros(33, np.uint8)})
    entry = header_of(container)["arrays"][0] | {"shape": shape}
    with pytest.raises(wire.WireError):
        wire.unpack(with_header(container, arrays=[entry]))


def test_a_newer_version_says_what_to_do() -> None:
    container = with_header(wire.pack("step", {}), version=wire.FORMAT_VERSION + 1)
    with pytest.raises(wire.NewerFormatError, match=f"version {wire.FORMAT_VERSION + 1}.*upgrade"):
        wire.unpack(container)


def test_a_dtype_that_the_format_lacks_is_refused_by_name() -> None:
    with pytest.raises(wire.WireError, match="'x' has dtype complex128"):
        wire.pack("step", {}, {"x": np.zeros(3, complex)})


@given(st.sampled_from(wire.LAYER_KINDS), st.text())
def test_a_layers_tag_parses_to_the_layer(kind: str, layer: str) -> None:
    assert wire.parse_tag(wire.layer_tag(kind, layer)) == (kind, layer)


@given(st.sampled_from(wire.RUN_KINDS), st.text())
def test_a_runs_tag_parses_to_its_kind_and_model(kind: str, model: str) -> None:
    assert wire.parse_tag(wire.run_tag(kind, model)) == (kind, model)


@pytest.mark.parametrize(
    "tag", ["", "actviz", "actviz/", "actviz/later", "actviz/later/conv1", "actviz/step/", "loss", "activations/conv1"]
)
def test_other_tags_parse_to_none(tag: str) -> None:
    assert wire.parse_tag(tag) is None


@given(hnp.arrays(np.float32, 50, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_each_finite_value_lies_in_the_bin_of_its_bits(values: Any) -> None:
    magnitude = np.maximum((values.view(np.uint32) & 0x7FFFFFFF) >> wire.HISTOGRAM_SHIFT, 1).astype(np.int64)
    bins = np.where(values == 0, 0, np.where(values < 0, -magnitude, magnitude))
    left, right = wire.bin_bounds(bins)
    wide = values.astype(np.float64)
    assert np.all(np.where(bins == 0, wide == 0, np.where(bins > 0, (left <= wide) & (wide < right), (left < wide) & (wide <= right))))


def test_dequantised_values_are_within_half_a_level() -> None:
    values = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    low, high = values.min(axis=(2, 3)), values.max(axis=(2, 3))
    span = (high - low)[..., None, None]
    data = np.round((values - low[..., None, None]) / span * wire.MAP_LEVELS).astype(np.uint8)
    data[0, 0, 0, 0] = wire.MAP_NONFINITE
    restored = wire.dequantise(data, low, high)
    assert np.isnan(restored[0, 0, 0, 0])
    error = np.abs(restored - values)
    error[0, 0, 0, 0] = 0
    assert np.all(error <= span / wire.MAP_LEVELS * 0.501)


def test_slices_are_told_by_their_names_and_names_that_only_look_so_are_not() -> None:
    names = ["conv", wire.slice_name("conv", 12), wire.slice_name("conv", 3), wire.slice_name("conv", None)]
    odd = ["conv#depth=", "conv#depth=x", "conv#depth=-1", "conv#depth=" + "9" * 30, "#depth=1"]
    assert wire.slices([*names, *odd]) == {"conv": [3, 12], "": [1]}
    assert [wire.layer_of_slice(name) for name in names] == ["conv"] * 4
