"""From the records of a log to what reading gives; `encode` is the way back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from actviz_tb.description import Layer, Model
from actviz_tb.results import Attention, Gram, Histogram, Inputs, Maps
from tensorboard_plugin.actviz import similarity, wire

_LAYER_FIELDS = [field.name for field in dataclasses.fields(Layer)]


def histogram(record: wire.Record, layer: str, of: str, step: int) -> Histogram:
    """Return the histogram of a ``layer`` or ``gradient`` record."""
    left, right = wire.bin_bounds(record.arrays["bins"])
    return Histogram(layer, of, step, left, right, record.arrays["counts"].astype(np.int64), int(record.header.get("sampled_every", 1)))


def maps(record: wire.Record, layer: str, step: int) -> Maps:
    """Return the maps of a ``maps`` or ``inputs`` record."""
    header, arrays = record.header, record.arrays
    layout = str(header["layout"])
    per_map = arrays["low"], arrays["high"], arrays["mean"]
    values = wire.dequantise(arrays["data"], arrays["low"], arrays["high"])
    if layout != "channels":  # their one map is no channel
        values = values[:, 0, 0] if layout == "vector" else values[:, 0]
        per_map = arrays["low"][:, 0], arrays["high"][:, 0], arrays["mean"][:, 0]
    return Maps(
        layer,
        step,
        str(header["source"]),
        layout,
        tuple(header["shape"]),
        values,
        *per_map,
        samples=np.array(header["samples"], np.int64),
        channels=np.array(header["channels"], np.int64) if layout == "channels" else None,
        units=np.array(header["units"], np.int64) if layout == "vector" else None,
        pool=(int(header["pool"][0]), int(header["pool"][1])),
    )


def attention(record: wire.Record, layer: str, step: int) -> Attention:
    """Return the weights of an ``attention`` record."""
    kept = maps(record, layer, step)
    assert kept.channels is not None
    queries = record.header["queries"]
    return Attention(
        layer,
        step,
        kept.source,
        kept.output_shape,
        kept.values,
        kept.low,
        kept.high,
        kept.samples,
        heads=kept.channels,
        queries=np.arange(kept.output_shape[2]) if queries is None else np.array(queries, np.int64),
        pool=kept.pool,
        entropy=record.arrays["entropy"],
        largest_logit=record.arrays["largest_logit"],
    )


def inputs(record: wire.Record, step: int) -> Inputs:
    """Return the samples of an ``inputs`` record."""
    header = record.header
    labels = header["labels"]
    return Inputs(
        step,
        str(header["source"]),
        None if labels is None else tuple(str(label) for label in labels),
        None if header["layout"] is None else maps(record, "inputs", step),
    )


def gram(record: wire.Record, layer: str, step: int) -> Gram:
    """Return the whole matrix of a ``gram`` record."""
    return Gram(layer, step, similarity.full(record.arrays["gram"], int(record.header["samples"])).astype(np.float32))


def model(header: Mapping[str, Any], step: int | None, layers: Iterable[Mapping[str, Any]], modules: Iterable[Mapping[str, Any]]) -> Model:
    """Return the model of a ``model`` record's header; fields that a record lacks are empty."""
    return Model(
        type=str(header.get("model", "")),
        step=step,
        layers=tuple(_layer(layer) for layer in layers),
        modules=tuple((str(each["path"]), str(each.get("type", "")), int(each.get("parameters", 0))) for each in modules),
    )


def _layer(described: Mapping[str, Any]) -> Layer:
    known = {name: described[name] for name in _LAYER_FIELDS if name in described}
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    return Layer(**fields)
