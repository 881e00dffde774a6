"""Write a log like that of a small CNN in training, without torch: for the tests of the viewing side, and to try the tab on.

    python tests/synthetic_log.py DIR --steps 150 [--every 5] [--live SECONDS_PER_STEP]

Two runs: in ``lr-0.1`` layer ``relu2`` dies on the way, and ``fc2`` turns NaN later. Maps are smooth noise that moves with the steps; what
a ReLU cuts off is exactly zero. Statistics, histograms and channel profiles are those of the values that the maps are made of.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto import event_pb2

from tensorboard_plugin.actviz import eventfile, wire

Array = npt.NDArray[Any]

RUNS = ("lr-0.01", "lr-0.1")
START_S = 1764000000.0
BATCH = 64
SAMPLES = 8
MAP_CHANNELS = 16
STEPS_PER_EPOCH = 150


@dataclass(frozen=True)
class Layer:
    """What the log says of one layer, and how its values are made up."""

    name: str
    type: str
    shape: tuple[int, ...]
    layout: str
    parameters: int
    rectified: bool = False


LAYERS = (
    Layer("conv1", "Conv2d", (16, 26, 26), "channels", 160),
    Layer("relu1", "ReLU", (16, 26, 26), "channels", 0, rectified=True),
    Layer("pool1", "MaxPool2d", (16, 13, 13), "channels", 0, rectified=True),
    Layer("fc1", "Linear", (128,), "vector", 346240),
    Layer("relu2", "ReLU", (128,), "vector", 0, rectified=True),
    Layer("fc2", "Linear", (10,), "vector", 1290),
)


@dataclass
class RunWriter:
    """Writes the records of one run into one event file."""

    directory: Path
    name: str = "events.out.tfevents.1764000000.synthetic.1.0"
    wall_time_s: float = START_S
    _file: BinaryIO = field(init=False)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._file = open(self.directory / self.name, "ab")  # noqa: SIM115 - closed by close()
        if self._file.tell() == 0:
            self.event(event_pb2.Event(wall_time=self.wall_time_s, file_version="brain.Event:2"))

    @property
    def path(self) -> Path:
        return self.directory / self.name

    def event(self, event: event_pb2.Event) -> None:
        self._file.write(eventfile.frame(event.SerializeToString()))

    def record(self, tag: str, container: bytes, step: int) -> None:
        self.event(wire.record_event(tag, container, step, self.wall_time_s))

    def run_record(self, kind: str, step: int, fields: dict[str, Any], arrays: dict[str, Array] | None = None, *, model: str = "") -> None:
        self.record(wire.run_tag(kind, model), wire.pack(kind, fields, arrays), step)

    def layer_record(self, kind: str, layer: str, step: int, fields: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.record(wire.layer_tag(kind, layer), wire.pack(kind, fields, arrays), step)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        self.close()  # a test may leave it open, as a training does


def write_start(writer: RunWriter, labels: list[str] | None = None, step: int = 0) -> None:
    """Write what a `watch` writes once: session, model, inputs."""
    writer.run_record("session", step, {"actviz_tb": "0.1.0", "torch": "2.13.0", "source": "probe", "every": 5})
    layers = [
        {
            "name": layer.name,
            "path": layer.name,
            "type": layer.type,
            "call": 0,
            "shape": [BATCH, *layer.shape],
            "dtype": "float32",
            "layout": layer.layout,
            "parameters": layer.parameters,
        }
        for layer in LAYERS
    ]
    modules = [{"path": "", "type": "DigitsCNN", "parameters": sum(layer.parameters for layer in LAYERS)}]
    modules += [{"path": layer.name, "type": layer.type, "parameters": layer.parameters} for layer in LAYERS]
    writer.run_record("model", step, {"model": "DigitsCNN", "layers": layers, "modules": modules})
    fields = {
        "source": "probe",
        "layout": "channels",
        "shape": [SAMPLES, 1, 28, 28],
        "samples": list(range(SAMPLES)),
        "channels": [0],
        "pool": [1, 1],
        "labels": labels or [str(sample % 10) for sample in range(SAMPLES)],
    }
    writer.run_record("inputs", step, fields, quantise(digits()))


def write_step(writer: RunWriter, step: int, values: dict[str, Array], maps: bool = True, more: dict[str, Array] | None = None) -> None:
    """Write the records of one logged step, the step's own last, of the layers in `values`: float32 [N, C, h, w] or [N, D].

    Args:
        more: arrays to add to the step's own record.
    """
    counts = np.stack([layer_counts(array) for array in values.values()])
    moments = np.stack([layer_moments(array) for array in values.values()])
    for name, array in values.items():
        bins, bin_counts = histogram(array)
        profile = channel_profile(array)
        writer.layer_record("layer", name, step, {"layer": name, "subsampled": False}, {"bins": bins, "counts": bin_counts, **profile})
        if maps:
            write_maps(writer, name, step, array)
    writer.run_record("step", step, {"layers": list(values)}, {"counts": counts, "moments": moments} | (more or {}))


def write_maps(writer: RunWriter, name: str, step: int, array: Array) -> None:
    """Write the maps of a layer's first samples."""
    fields: dict[str, Any] = {"layer": name, "source": "probe", "shape": [BATCH, *array.shape[1:]]}
    fields |= {"samples": list(range(SAMPLES)), "pool": [1, 1]}
    if array.ndim == 4:
        fields |= {"layout": "channels", "channels": list(range(MAP_CHANNELS))}
        picture = array[:SAMPLES, :MAP_CHANNELS]
    else:
        fields |= {"layout": "vector", "channels": [0], "units": list(range(array.shape[1]))}
        picture = array[:SAMPLES, None, None, :]
    writer.layer_record("maps", name, step, fields, quantise(picture))


def quantise(values: Array) -> dict[str, Array]:
    """Return the arrays of a ``maps`` record of float values [S, C, h, w]."""
    values = values.astype(np.float32)
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=(2, 3))
    high = np.where(finite, values, -np.inf).max(axis=(2, 3))
    empty = low > high
    low, high = np.where(empty, 0, low), np.where(empty, 0, high)
    span = np.where(high > low, high - low, 1)
    levels = np.round((np.where(finite, values, 0) - low[..., None, None]) / span[..., None, None] * wire.MAP_LEVELS)
    data = np.where(finite, np.clip(levels, 0, wire.MAP_LEVELS), wire.MAP_NONFINITE).astype(np.uint8)
    total = np.where(finite, values, 0).sum(axis=(2, 3))
    with np.errstate(invalid="ignore"):
        mean = total / finite.sum(axis=(2, 3))
    return {"data": data, "low": low.astype(np.float32), "high": high.astype(np.float32), "mean": mean.astype(np.float32)}


def layer_counts(values: Array) -> Array:
    """Return int64 [len(wire.COUNTS)] of a layer's output [N, C, ...]."""
    finite = values[np.isfinite(values)].astype(np.float64)
    rms = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    dead = np.all(values == 0, axis=(0, *range(2, values.ndim)))
    counts = {
        "count": values.size,
        "zero": np.count_nonzero(finite == 0),
        "near_zero": np.count_nonzero(np.abs(finite) <= 1e-3 * rms),
        "saturated": wire.NOT_APPLICABLE,
        "nan": np.count_nonzero(np.isnan(values)),
        "posinf": np.count_nonzero(np.isposinf(values)),
        "neginf": np.count_nonzero(np.isneginf(values)),
        "channels": values.shape[1],
        "dead_channels": np.count_nonzero(dead),
    }
    return np.array([counts[name] for name in wire.COUNTS], dtype=np.int64)


def layer_moments(values: Array) -> Array:
    """Return float32 [len(wire.MOMENTS)] of a layer's output, over its finite elements."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return np.full(len(wire.MOMENTS), np.nan, np.float32)
    std = finite.std()
    moments = {
        "mean": finite.mean(),
        "std": std,
        "min": finite.min(),
        "max": finite.max(),
        "rms": np.sqrt(np.mean(finite**2)),
        "kurtosis": np.mean((finite - finite.mean()) ** 4) / std**4 if std > 0 else np.nan,
    }
    return np.array([moments[name] for name in wire.MOMENTS], dtype=np.float32)


def histogram(values: Array) -> tuple[Array, Array]:
    """Return the bins that occur, int16, and their counts, uint32."""
    finite = values[np.isfinite(values)].astype(np.float32)
    bits = finite.view(np.uint32)
    magnitude = np.maximum((bits & 0x7FFFFFFF) >> wire.HISTOGRAM_SHIFT, 1).astype(np.int16)
    bins = np.where(finite == 0, 0, np.where(finite < 0, -magnitude, magnitude)).astype(np.int16)
    unique, counts = np.unique(bins, return_counts=True)
    return unique, counts.astype(np.uint32)


def channel_profile(values: Array) -> dict[str, Array]:
    """Return mean, largest absolute value and zero fraction of each channel of [N, C, ...]."""
    flat = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).astype(np.float64)
    finite = np.isfinite(flat)
    number = finite.sum(axis=1)
    kept = np.where(finite, flat, 0)
    with np.errstate(invalid="ignore"):
        mean = kept.sum(axis=1) / number
        zero = np.count_nonzero(finite & (flat == 0), axis=1) / number
    largest = np.where(number > 0, np.abs(kept).max(axis=1), np.nan)
    return {"channel_mean": mean.astype("f4"), "channel_max": largest.astype("f4"), "channel_zero": zero.astype("f4")}


def smooth_noise(seed: int, shape: tuple[int, ...], scale: int = 4) -> Array:
    """Return noise of unit variance, correlated over `scale` pixels along the last two axes."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal(shape))
    y = np.fft.fftfreq(shape[-2])[:, None]
    x = np.fft.rfftfreq(shape[-1])[None, :]
    noise = np.fft.irfft2(spectrum * np.exp(-((x**2 + y**2) * (np.pi * scale) ** 2)), s=shape[-2:])
    return np.asarray(noise / noise.std())


def digits() -> Array:
    """Return float32 [SAMPLES, 1, 28, 28]: strokes that look a little like digits."""
    y, x = np.mgrid[0:28, 0:28]
    pictures = []
    for sample in range(SAMPLES):
        ring = np.abs(np.hypot(x - 14, (y - 14) * (0.6 + 0.05 * sample)) - 7) < 1.6
        bar = (np.abs(x - 14 + (y - 14) * 0.15 * (sample - 3)) < 1.6) & (np.abs(y - 14) < 9)
        pictures.append((ring if sample % 2 == 0 else bar) | (bar & (sample % 3 == 0)))
    return np.stack(pictures)[:, None].astype(np.float32)


def values_at(run: int, progress: float, inputs: Array) -> dict[str, Array]:
    """Return the outputs of all layers, float32, when a share `progress` of the training is done."""
    learnt = 1 - np.exp(-4 * progress)
    conv = np.empty((SAMPLES, 16, 26, 26))
    filters = smooth_noise(11, (16, 28, 28), 2)
    later = smooth_noise(13 + run, (16, 28, 28), 5)
    for channel in range(16):
        field_now = (1 - learnt) * filters[channel] + learnt * later[channel]
        edge = np.roll(inputs[:, 0], channel % 4 - 2, axis=1 + channel % 2) - inputs[:, 0]
        conv[:, channel] = (0.4 * field_now + (0.5 + 1.5 * learnt) * edge * (1 if channel % 3 else -1))[:, 1:27, 1:27]
    conv += 0.05 * smooth_noise(int(progress * 1e6), conv.shape, 2)
    if run == 1:
        conv[:, 5] -= 6 * progress
    relu1 = np.maximum(conv, 0)
    pool1 = relu1.reshape(SAMPLES, 16, 13, 2, 13, 2).max(axis=(3, 5))
    weights = np.random.default_rng(5).standard_normal((pool1[0].size, 128)) / np.sqrt(pool1[0].size)
    fc1 = pool1.reshape(SAMPLES, -1) @ weights * (1 + learnt)
    if run == 1:
        fc1 -= max(0.0, progress - 0.25) * 14
    relu2 = np.maximum(fc1, 0)
    fc2 = relu2 @ (np.random.default_rng(6).standard_normal((128, 10)) / 8) + 0.1 * np.arange(10) * learnt
    if run == 1 and progress > 0.8:
        fc2[:, ::3] = np.nan
    values = {"conv1": conv, "relu1": relu1, "pool1": pool1, "fc1": fc1, "relu2": relu2, "fc2": fc2}
    return {name: array.astype(np.float32) for name, array in values.items()}


def write_run(writer: RunWriter, run: int, steps: int, every: int = 5) -> Iterator[int]:
    """Write a run's records, one logged step for each item taken from the iterator."""
    write_start(writer)
    inputs = digits()
    epoch = -1
    for index in range(steps):
        step = index * every
        writer.wall_time_s += 1.0
        if step // STEPS_PER_EPOCH != epoch:
            epoch = step // STEPS_PER_EPOCH
            writer.run_record("mark", step, {"text": f"epoch {epoch}"})
        write_step(writer, step, values_at(run, index / max(1, steps - 1), inputs))
        writer.flush()
        yield step


def write_log(directory: Path, steps: int = 150, every: int = 5, seconds_per_step: float = 0.0) -> None:
    """Write both runs, in step with each other."""
    writers = [RunWriter(directory / name, wall_time_s=time.time() if seconds_per_step else START_S) for name in RUNS]
    for _ in zip(*(write_run(writer, run, steps, every) for run, writer in enumerate(writers)), strict=True):
        time.sleep(seconds_per_step)
    for writer in writers:
        writer.close()


def main() -> None:
    """Parse the command line and write the log."""
    parser = argparse.ArgumentParser(description="Write a log like that of a small CNN in training.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=150, help="logged steps a run")
    parser.add_argument("--every", type=int, default=5, help="training steps between two logged ones")
    parser.add_argument("--live", type=float, default=0.0, metavar="SECONDS", help="pause between two logged steps")
    arguments = parser.parse_args()
    write_log(arguments.directory, arguments.steps, arguments.every, arguments.live)


if __name__ == "__main__":
    main()
