"""The event format, defined once and imported by the logging and by the viewing side.

A record is one ``Event`` with one ``Summary.Value``: its tag says what it is, and of which layer, or of which of several models
(`parse_tag`); its tensor is one string, a *container* (`pack`, `unpack`). The HTTP routes answer with the same container, so that a
browser and Python read one format.

Container, little endian::

    4 bytes   b"ACTV"
    uint32    length H of the header
    H bytes   header, JSON in UTF-8, padded with spaces so that the arrays start at a multiple of 8
    arrays    one after the other, each padded with zero bytes to a multiple of 8

The header holds ``version``, ``kind``, the fields of that kind, and ``arrays``: for each its ``name``, ``dtype``
(one of `DTYPES`), ``shape``, ``encoding`` (``raw``, or ``deflate`` for a zlib stream) and ``size`` in bytes before padding.

Kinds of record, and their arrays (L layers, C channels, S samples):

``session``  the logger's and torch's version and the options in force; written once a `watch`.
``model``    ``layers`` in execution order, ``modules``; written once, and again when it changes.
``inputs``   the samples that the maps are of, in the layout of ``maps``, with ``labels``, ``tokens`` (of each sample a list of
             text, or null), and ``digest`` (text: equal where the probe is the same, to the last bit, or null).
``mark``     ``text``: an epoch, or any event on the time line.
``step``     statistics of all layers at a step: ``counts`` int64 [L, len(COUNTS)], ``moments`` float32 [L, len(MOMENTS)]. Where they
             are of R merged processes, also of each one: ``rank_rms``, ``rank_absmax``, ``rank_nonfinite`` (count) float32 [R, L].
             With a probe also ``probe`` float32 [L, len(PROBE)], NaN where unknown. ``evaluating``: paths of the normalising and
             dropout modules that were in evaluation mode in this training forward.
``layer``    histogram ``bins`` int16 [B], ``counts`` uint32 [B]; channel profile ``channel_mean``, ``channel_max``
             (largest absolute value), ``channel_zero`` (fraction) float32 [C], and ``channels`` uint32 [C] where only some are kept.
``maps``     ``data`` uint8 [S, C, h, w], ``low``, ``high``, ``mean`` float32 [S, C]; value = low + data * (high - low) / MAP_LEVELS,
             data == MAP_NONFINITE where the value is NaN or infinite. Of a volume's middle slice; those of other slices are records
             of their own, see `slice_name`.
``gradients``, ``gradient``  as ``step`` and ``layer``, of the gradient of the loss with respect to each output.
``gram``     centred Gram matrix of the probe's first n samples: ``gram`` float32 [n (n + 1) / 2], its lower triangle row by row.
``attention``  weights as ``maps`` (a channel a head; ``queries`` where only some are kept), and float32 [S, H]: ``entropy`` (nats, mean
             over the queries that look at anything; NaN without any), ``largest_logit`` (NaN where the weights alone are known).

Counts are of elements; moments and channel profiles are over finite elements, NaN where there are none.

Of a step that only the flight recorder saw there is a ``step`` record alone: its min, max, rms, count, nan, posinf and neginf are known,
other moments are NaN, other counts NOT_APPLICABLE, zero included where it is neither none nor all. On accelerators moments are NaN where
any value is not finite, and where NaN and infinities come together nan counts all of them. Such records may lie after those of later
steps.
"""

from __future__ import annotations

import functools
import json
import math
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2

isal_zlib: ModuleType | None
try:
    from isal import isal_zlib
except ImportError:  # no wheel for this platform: the same stream, about three times slower
    isal_zlib = None

Array = npt.NDArray[Any]

PLUGIN_NAME = "actviz"
FORMAT_VERSION = 1

TAG_PREFIX = "actviz/"
HISTOGRAM_TAG_PREFIX = "activations/"
IMAGE_TAG_PREFIX = "activation_maps/"

RUN_KINDS = ("session", "model", "inputs", "mark", "step", "gradients")
LAYER_KINDS = ("layer", "maps", "gradient", "gram", "attention")

COUNTS = ("count", "zero", "near_zero", "saturated", "nan", "posinf", "neginf", "channels", "dead_channels")
MOMENTS = ("mean", "std", "min", "max", "rms", "kurtosis")
PROBE = ("rms", "variance", "participation")
"""Of the probe's outputs, in evaluation mode: root mean square; variance over samples, the trace of the centred Gram matrix over samples
and features; its participation ratio (see `similarity`)."""
NOT_APPLICABLE = -1
"""In a count: the quantity has no meaning for the layer (saturation of a layer that does not saturate), or is not known."""

MAP_LEVELS = 254
MAP_NONFINITE = 255

_MAGIC = b"ACTV"
_PREFIX = struct.Struct("<4sI")
_ALIGNMENT = 8
_COMPRESS_FROM_BYTES = 256
DTYPES = {"u1": "<u1", "i2": "<i2", "u4": "<u4", "i8": "<i8", "f4": "<f4", "f8": "<f8"}
_DTYPE_NAMES = {np.dtype(value): name for name, value in DTYPES.items()}


class WireError(ValueError):
    """The bytes are not a container of this format."""


class NewerFormatError(WireError):
    """The container was written by a later version of actviz_tb than this one."""


class OversizeError(WireError):
    """The container's arrays are more than the reader takes."""


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded container.

    Attributes:
        kind: what it holds, see the module's docstring.
        header: the fields of that kind.
        arrays: by name; read-only.
    """

    kind: str
    header: dict[str, Any]
    arrays: dict[str, Array]


def run_tag(kind: str, model: str = "") -> str:
    """Return the tag of a record that belongs to a run, or to one of several models that write to it, by its name.

    >>> run_tag("step"), run_tag("step", "generator")
    ('actviz/step', 'actviz/step/generator')
    """
    if kind not in RUN_KINDS:
        raise WireError(f"no such kind of run record: {kind!r}; one of {', '.join(RUN_KINDS)}")
    return f"{TAG_PREFIX}{kind}/{model}" if model else TAG_PREFIX + kind


def layer_tag(kind: str, layer: str) -> str:
    """Return the tag of a layer's record: ``layer_tag("maps", "conv1") == "actviz/maps/conv1"``."""
    if kind not in LAYER_KINDS:
        raise WireError(f"no such kind of layer record: {kind!r}; one of {', '.join(LAYER_KINDS)}")
    return f"{TAG_PREFIX}{kind}/{layer}"


_SLICE = "#depth="


def slice_name(layer: str, depth: int | None) -> str:
    """Return the name under which maps of a slice of a volume are recorded, for the middle one (None) the layer's own.

    >>> slice_name("conv1", 3), layer_of_slice("conv1#depth=3")
    ('conv1#depth=3', 'conv1')
    """
    return layer if depth is None else f"{layer}{_SLICE}{depth}"


def slices(names: Iterable[str]) -> dict[str, list[int]]:
    """Return which slices there are maps of among maps of these names, ascending, by layer; those of the middle have no name of their own.

    >>> slices(["conv1", "conv1#depth=7", "conv1#depth=0"])
    {'conv1': [0, 7]}
    """
    found: dict[str, list[int]] = {}
    for name in names:
        layer, _, depth = name.partition(_SLICE)
        if depth.isdecimal() and len(depth) < 10:
            found.setdefault(layer, []).append(int(depth))
    return {layer: sorted(depths) for layer, depths in found.items()}


def layer_of_slice(name: str) -> str:
    """Return the layer that maps of this name are of; see `slice_name`."""
    return name.partition(_SLICE)[0]


def parse_tag(tag: str) -> tuple[str, str] | None:
    """Return (kind, name of the layer or model, empty where it has none), or None for a tag that is not ours or of a kind that a later
    version added."""
    if not tag.startswith(TAG_PREFIX):
        return None
    kind, slash, name = tag[len(TAG_PREFIX) :].partition("/")
    if kind in LAYER_KINDS:
        return (kind, name) if slash else None
    return (kind, name) if kind in RUN_KINDS and bool(slash) == bool(name) else None


def deflate(data: bytes | memoryview) -> bytes:
    """Compress to a zlib stream, fast: level 1 of ISA-L, or zlib's run-length strategy where that is not installed."""
    if isal_zlib is not None:
        return bytes(isal_zlib.compress(data, 1))
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return compressor.compress(data) + compressor.flush()


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def pack(kind: str, fields: Mapping[str, Any], arrays: Mapping[str, Array] | None = None, raw: Collection[str] = ()) -> bytes:
    """Return a container.

    Args:
        kind: one of `RUN_KINDS` or `LAYER_KINDS`, or an HTTP route's own.
        fields: JSON values; no NaN (JSON has none).
        arrays: dtypes of `DTYPES`, any shape.
        raw: names of arrays that are not worth compressing.

    Raises:
        WireError: an array has a dtype that the format lacks.
    """
    entries = []
    chunks = []
    for name, array in (arrays or {}).items():
        dtype = _DTYPE_NAMES.get(array.dtype)
        if dtype is None:  # a byte order that is not the format's, or a dtype that it lacks
            dtype = _DTYPE_NAMES.get(array.dtype.newbyteorder("<"))
            if dtype is None:
                raise WireError(f"array {name!r} has dtype {array.dtype}; the format has {', '.join(map(str, _DTYPE_NAMES))}")
            array = array.astype(DTYPES[dtype])
        data = array.tobytes()
        encoding = "raw"
        if len(data) >= _COMPRESS_FROM_BYTES and name not in raw:
            compressed = deflate(data)
            if len(compressed) < len(data):
                data, encoding = compressed, "deflate"
        entries.append({"name": name, "dtype": dtype, "shape": array.shape, "encoding": encoding, "size": len(data)})
        chunks.append(data + bytes(-len(data) % _ALIGNMENT))
    header = {"version": FORMAT_VERSION, "kind": kind, **fields, "arrays": entries}
    text = _JSON.encode(header).encode("utf-8", "replace")
    text += b" " * (-(_PREFIX.size + len(text)) % _ALIGNMENT)
    return b"".join([_PREFIX.pack(_MAGIC, len(text)), text, *chunks])


def unpack_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the header and the offset at which the arrays start.

    Raises:
        NewerFormatError: written by a later version.
        WireError: not a container, or a damaged one.
    """
    if len(data) < _PREFIX.size:
        raise WireError(f"container of {len(data)} bytes; the shortest has {_PREFIX.size}")
    magic, length = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise WireError(f"container starts with {magic!r}; expected {_MAGIC!r}")
    end = _PREFIX.size + length
    if end > len(data):
        raise WireError(f"header of {length} bytes in a container of {len(data)}")
    try:
        header = json.loads(data[_PREFIX.size : end])
    except ValueError as error:
        raise WireError(f"header is not JSON: {error}") from error
    if not isinstance(header, dict) or not isinstance(header.get("version"), int):
        raise WireError("header has no version")
    if header["version"] > FORMAT_VERSION:
        raise NewerFormatError(
            f"record of format version {header['version']}; this actviz_tb reads up to {FORMAT_VERSION}: upgrade it to see the record"
        )
    return header, end


def unpack(data: bytes, limit_bytes: int | None = None, only: Collection[str] | None = None) -> Record:
    """Decode a container.

    Args:
        limit_bytes: of the arrays together, so that a small container cannot fill the memory; None: no limit.
        only: names of the arrays wanted, those that there are of them; None: all.

    Raises:
        NewerFormatError: written by a later version.
        OversizeError: over the limit.
        WireError: not a container, or a damaged one.
    """
    header, offset = unpack_header(data)
    arrays = {}
    total = 0
    try:
        for entry in header.pop("arrays"):
            size = int(entry["size"])
            chunk = data[offset : offset + size]
            if size < 0 or len(chunk) != size:
                raise WireError(f"array {entry['name']!r} has {size} bytes; the container ends after {len(chunk)}")
            offset += size + (-size % _ALIGNMENT)
            if only is not None and entry["name"] not in only:
                continue
            dtype = np.dtype(DTYPES[entry["dtype"]])
            shape = [int(extent) for extent in entry["shape"]]
            expected = math.prod(shape) * dtype.itemsize
            total += expected
            if limit_bytes is not None and total > limit_bytes:
                raise OversizeError(f"container holds arrays of {total} bytes or more; at most {limit_bytes} are read")
            if entry["encoding"] == "deflate":
                chunk = _inflate(chunk, expected)
            elif entry["encoding"] != "raw":
                raise WireError(f"array {entry['name']!r} has encoding {entry['encoding']!r}; expected 'raw' or 'deflate'")
            arrays[entry["name"]] = np.frombuffer(chunk, dtype).reshape(shape)
        kind = header.pop("kind")
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
        raise error if isinstance(error, WireError) else WireError(f"container is damaged: {error!r}") from error
    return Record(kind=kind, header=header, arrays=arrays)


def _inflate(data: bytes, expected_bytes: int) -> bytes:
    """Decompress at most what the header announced, so that a damaged record cannot fill the memory."""
    inflated = zlib.decompressobj().decompress(data, max(expected_bytes, 0) + 1)
    if len(inflated) != expected_bytes:
        raise WireError(f"array inflates to {len(inflated)} bytes or more; expected {expected_bytes}")
    return inflated


# Histogram bins: the sign, the exponent and the upper two bits of the mantissa of a float32, so a quarter of an
# octave each, the same at every step, layer and rank. Bin 0 holds exact zeros; bin +m the values in
# [lower(m), lower(m + 1)), bin -m their negatives, with lower(m) the float32 whose bits are m << 21.
HISTOGRAM_SHIFT = 21
HISTOGRAM_MAX_BIN = 1019
_EDGES = np.arange(HISTOGRAM_MAX_BIN + 2, dtype=np.uint32)
_EDGES <<= HISTOGRAM_SHIFT
LOWER_EDGES: npt.NDArray[np.float64] = _EDGES.view(np.float32).astype(np.float64)
"""float64 [HISTOGRAM_MAX_BIN + 2]: lower edge of each positive bin; the last one, the upper end of float32, is 2**128."""
LOWER_EDGES[-1] = 2.0**128
LOWER_EDGES[:2] = 0.0  # bin 1 also takes the subnormals below its edge, so that none is lost


def bin_bounds(bins: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (left, right) of histogram bins; both 0 for bin 0."""
    magnitude = np.abs(bins.astype(np.int64))
    low = LOWER_EDGES[magnitude]
    high = np.where(magnitude == 0, 0.0, LOWER_EDGES[np.minimum(magnitude + 1, HISTOGRAM_MAX_BIN + 1)])
    negative = bins < 0
    return np.where(negative, -high, low), np.where(negative, -low, high)


def dequantise(data: Array, low: Array, high: Array) -> npt.NDArray[np.float32]:
    """Return the float32 values [S, C, h, w] of quantised maps, NaN where the value was not finite."""
    span = (high - low)[..., None, None].astype(np.float32)
    values: npt.NDArray[np.float32] = low[..., None, None].astype(np.float32) + data.astype(np.float32) * (span / np.float32(MAP_LEVELS))
    values[data == MAP_NONFINITE] = np.nan
    return values


def record_event(tag: str, container: bytes, step: int, wall_time_s: float) -> event_pb2.Event:
    """Return the event of one of our own records."""
    event = _event(tag, _metadata(PLUGIN_NAME, summary_pb2.DATA_CLASS_BLOB_SEQUENCE), step, wall_time_s)
    _put_strings(event, container)
    return event


def record_container(event: bytes) -> bytes:
    """Return the container in a serialised event of `record_event`.

    Raises:
        WireError: the event holds no such record.
    """
    try:
        message = event_pb2.Event.FromString(event)
        return bytes(message.summary.value[0].tensor.string_val[0])
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        raise WireError(f"event holds no actviz record: {error!r}") from error


def histogram_event(layer: str, bins: Array, counts: Array, step: int, wall_time_s: float) -> event_pb2.Event:
    """Return the event from which the stock Histograms and Distributions tabs show a layer's values.

    Args:
        layer: its name.
        bins, counts: as in the ``layer`` record, at least one bin.
        step, wall_time_s: of the logged step.
    """
    buckets = _stock_buckets(bins, counts)
    event = _event(HISTOGRAM_TAG_PREFIX + layer, _metadata("histograms", summary_pb2.DATA_CLASS_TENSOR), step, wall_time_s)
    tensor = event.summary.value[0].tensor
    tensor.dtype = types_pb2.DT_DOUBLE
    for extent in buckets.shape:
        tensor.tensor_shape.dim.add(size=extent)
    tensor.tensor_content = buckets.astype("<f8", copy=False).tobytes()
    return event


_STOCK_OCTAVES = 10


def _stock_buckets(bins: Array, counts: Array) -> Array:
    """Return float64 [k, 3]: left, right, count; without a gap, in full for the ten octaves below the largest magnitude.

    What is smaller could not be seen in those tabs, and shares one bucket with zero.
    """
    lowest, highest = int(bins[0]), int(bins[-1])
    inner = max(max(highest, -lowest) - 4 * _STOCK_OCTAVES, 1)  # the outermost bin of those that share a bucket
    below, above = max(-lowest - inner, 0), max(highest - inner, 0)
    edges = np.concatenate([-LOWER_EDGES[inner + 1 + below : inner : -1], LOWER_EDGES[inner + 1 : inner + 2 + above]])
    if lowest >= 0:
        edges[0] = 0.0
    elif highest <= 0:
        edges[-1] = 0.0
    outside = bins - np.minimum(np.maximum(bins, -inner), inner)
    buckets = np.empty((below + 1 + above, 3))
    buckets[:, 0], buckets[:, 1] = edges[:-1], edges[1:]
    buckets[:, 2] = np.bincount(outside + below, counts, len(buckets))
    return buckets


def image_event(layer: str, png: bytes, width: int, height: int, step: int, wall_time_s: float) -> event_pb2.Event:
    """Return the event from which the stock Images tab shows a layer's maps as one picture."""
    event = _event(IMAGE_TAG_PREFIX + layer, _metadata("images", summary_pb2.DATA_CLASS_BLOB_SEQUENCE), step, wall_time_s)
    _put_strings(event, str(width).encode(), str(height).encode(), png)
    return event


@functools.cache
def _metadata(plugin_name: str, data_class: Any) -> summary_pb2.SummaryMetadata:
    return summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin_name), data_class=data_class)


def _event(tag: str, metadata: summary_pb2.SummaryMetadata, step: int, wall_time_s: float) -> event_pb2.Event:
    """Return an event whose one value has no tensor yet: it is put in where it lies, since a message given to another is copied."""
    event = event_pb2.Event(wall_time=wall_time_s, step=step)
    event.summary.value.add(tag=tag, metadata=metadata)
    return event


def _put_strings(event: event_pb2.Event, *values: bytes) -> None:
    tensor = event.summary.value[0].tensor
    tensor.dtype = types_pb2.DT_STRING
    tensor.tensor_shape.dim.add(size=len(values))
    tensor.string_val.extend(values)
