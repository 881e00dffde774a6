"""What a log may hold beyond that of `synthetic_log`: gradients, Gram matrices, attention, ranks; and the log of the HTTP API's examples.

python tests/synthetic_extras.py DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import synthetic_log
from synthetic_log import BATCH, RUNS, SAMPLES, START_S, Array, RunWriter

HEADS, TOKENS = 2, 5
ATTENTION = "encoder.self_attn"
RANKS = 2
EXAMPLE_STEPS = 12


def write_gradients(writer: RunWriter, step: int, gradients: dict[str, Array]) -> None:
    """Write the gradients of layers' outputs, as `synthetic_log.write_step` writes the outputs."""
    for name, array in gradients.items():
        bins, counts = synthetic_log.histogram(array)
        arrays = {"bins": bins, "counts": counts, **synthetic_log.channel_profile(array)}
        writer.layer_record("gradient", name, step, {"layer": name, "sampled_every": 1}, arrays)
    counts = np.stack([synthetic_log.layer_counts(array) for array in gradients.values()])
    moments = np.stack([synthetic_log.layer_moments(array) for array in gradients.values()])
    writer.run_record("gradients", step, {"layers": list(gradients)}, {"counts": counts, "moments": moments})


def centred_gram(values: Array) -> Array:
    """Return float32 [n, n], as the logging side takes it of [n, ...]."""
    flat = values.reshape(len(values), -1).astype(np.float32)
    flat = flat - flat.mean(axis=0)
    return flat @ flat.T


def write_gram(writer: RunWriter, step: int, name: str, values: Array) -> None:
    """Write the Gram matrix of a layer's outputs [n, ...]."""
    gram = centred_gram(values)
    fields = {"layer": name, "source": "probe", "samples": len(gram)}
    writer.layer_record("gram", name, step, fields, {"gram": gram[np.tril_indices(len(gram))]})


def attention_weights(progress: float) -> Array:
    """Return float32 [SAMPLES, HEADS, TOKENS, TOKENS]: one head looks back, the other one where a sample says."""
    place = np.arange(TOKENS)
    back = -np.abs(place[:, None] - place[None, :] - 1) * (1 + 4 * progress)
    there = -np.abs(place[None, None, :] - (np.arange(SAMPLES) % TOKENS)[:, None, None]) * (0.5 + progress) * np.ones((1, TOKENS, 1))
    logits = np.stack([np.broadcast_to(back, there.shape), there], axis=1)
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), np.float32)


def write_attention(writer: RunWriter, step: int, weights: Array) -> None:
    """Write attention weights [S, H, T, S]."""
    fields = {
        "layer": ATTENTION,
        "source": "probe",
        "layout": "channels",
        "shape": [BATCH, *weights.shape[1:]],
        "samples": list(range(len(weights))),
        "channels": list(range(weights.shape[1])),
        "units": None,
        "pool": [1, 1],
        "queries": None,
    }
    entropy = -(weights * np.log(weights)).sum(axis=-1).mean(axis=-1)
    more = {"entropy": entropy.astype(np.float32), "largest_logit": np.zeros(weights.shape[:2], np.float32)}
    writer.layer_record("attention", ATTENTION, step, fields, synthetic_log.quantise(weights) | more)


def rank_arrays(values: dict[str, Array]) -> dict[str, Array]:
    """Return what single processes saw, were the batch divided among them."""
    found = np.zeros((3, RANKS, len(values)), np.float32)
    for column, array in enumerate(values.values()):
        for rank, part in enumerate(np.split(array.astype(np.float64), RANKS)):
            finite = part[np.isfinite(part)]
            found[:, rank, column] = np.sqrt(np.mean(finite**2)), np.abs(finite).max(), part.size - finite.size
    return dict(zip(("rank_rms", "rank_absmax", "rank_nonfinite"), found, strict=True))


def write_everything(writer: RunWriter, run: int, steps: int, every: int = 5) -> None:
    """Write a run with all kinds of record."""
    synthetic_log.write_start(writer)
    inputs = synthetic_log.digits()
    for index in range(steps):
        step, progress = index * every, index / max(1, steps - 1)
        writer.wall_time_s += 1.0
        if index % 6 == 0:
            writer.run_record("mark", step, {"text": f"epoch {index // 6}"})
        values = synthetic_log.values_at(run, progress, inputs)
        for name, array in values.items():
            if np.isfinite(array).all():
                write_gram(writer, step, name, array)
        write_attention(writer, step, attention_weights(progress))
        synthetic_log.write_step(writer, step, values, more=rank_arrays(values) if run == 1 else None)
        write_gradients(writer, step, {name: (array * 1e-3 * (1 - progress)).astype(np.float32) for name, array in values.items()})
    writer.flush()


def write_examples(directory: Path) -> None:
    """Write the log that the examples of ``http_api.md`` are answers from."""
    for run, name in enumerate(RUNS):
        writer = RunWriter(directory / name)
        write_everything(writer, run, EXAMPLE_STEPS)
        writer.close()
    (directory / "old").mkdir()
    (directory / "old" / "events.out.tfevents.1").touch()
    restarted = RunWriter(directory / RUNS[1], "events.out.tfevents.9", START_S + 500)
    synthetic_log.write_start(restarted)
    synthetic_log.write_step(restarted, 10, synthetic_log.values_at(1, 0.5, synthetic_log.digits()))
    restarted.close()
    with restarted.path.open("ab") as stream:
        stream.write(b"damaged" * 10)


if __name__ == "__main__":
    write_examples(Path(sys.argv[1]))
