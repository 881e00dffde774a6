"""On a GPU: nothing waits, and the training stays what it is. What the kernels compute is tested in test_kernels.py."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from logged import counts_and_moments, layers_of, of_tag, records
from torch import Tensor, nn

import actviz_tb
from actviz_tb import attention, gram, maps, statistics
from actviz_tb.transfer import Transfer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic products

WATCHED = {"every": 1, "gradients": True, "recorder": 5, "on_error": "raise"}


def test_gram_matrices_and_attention_are_those_of_the_cpu() -> None:
    x = torch.randn(48, 20, 9, 9, generator=torch.Generator().manual_seed(0))
    on_cpu, on_cuda = gram.centred_gram(x, 48), gram.centred_gram(x.cuda(), 48)
    assert on_cpu is not None
    assert on_cuda is not None
    torch.testing.assert_close(on_cuda.cpu(), on_cpu, rtol=1e-4, atol=1e-4 * on_cpu.abs().max().item())
    query, key, value = (torch.randn(3, 4, 40, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    function, limits = nn.functional.scaled_dot_product_attention, maps.Limits(3, 4, 64)
    found = [
        attention.of_call("scaled_dot_product_attention", function, each, {"is_causal": True}, limits, statistics.Scratch())
        for each in ((query, key, value), (query.cuda(), key.cuda(), value.cuda()))
    ]
    cpu, cuda = (Transfer(each.parts()).arrays() for each in found if each is not None)
    assert np.abs(cpu[0].astype(int) - cuda[0]).max() <= 1
    for ours, theirs in zip(cuda[1:], cpu[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


class Model(nn.Module):
    """Convolution, BatchNorm, in-place ReLU, both kinds of attention, dropout by module and by function, skip connections, an LSTM."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.attention = nn.MultiheadAttention(width, 4, dropout=0.1, batch_first=True)
        self.layer_norm, self.project = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.lstm, self.dropout, self.head = nn.LSTM(width, width, batch_first=True), nn.Dropout(0.3), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        query, key, value = self.project(self.layer_norm(x)).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=0.1 if self.training else 0.0)
        x = x + nn.functional.dropout(nn.functional.gelu(attended.transpose(1, 2).flatten(2)), 0.2, self.training)
        return self.head(self.dropout(self.lstm(x)[0].mean(1)))


def batch(seed: int, rows: int = 12) -> tuple[Tensor, Tensor]:
    x = torch.randn(rows, 1, 10, 10, generator=torch.Generator().manual_seed(seed))
    return x.cuda(), (torch.arange(rows) % 3).cuda()


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def trained(directory: Path | None, dtype: torch.dtype | None, steps: int = 20, **options: Any) -> tuple[list[float], list[Tensor]]:
    """Return the losses, and all that is left of a training under autocast (float16 with a GradScaler)."""
    torch.manual_seed(11)
    model = Model().cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cuda", enabled=dtype == torch.float16)
    if directory is not None:
        actviz_tb.watch(model, directory, **WATCHED, **options)
    losses = []
    for step in range(steps):
        x, target = batch(step)
        with nullcontext() if dtype is None else torch.autocast("cuda", dtype):
            loss = nn.functional.cross_entropy(model(x), target)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses, [*model.state_dict().values(), torch.cuda.get_rng_state()]


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("with_probe", [False, True], ids=["batch", "probe"])
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16], ids=str)
def test_training_is_the_same_to_the_last_bit(tmp_path: Path, dtype: torch.dtype | None, with_probe: bool) -> None:
    options: dict[str, Any] = {"probe": batch(99)[0]} if with_probe else {}
    losses, left = trained(None, dtype)
    watched_losses, watched_left = trained(tmp_path, dtype, **options)
    assert watched_losses == losses
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(watched_left, left, strict=True))
    assert len(of_tag(tmp_path, "actviz/step")) == 20
    assert len(of_tag(tmp_path, "actviz/gradients")) == 20


@pytest.mark.parametrize("options", [{}, {"probe": True}, {"gradients": True}, {"recorder": 5, "every": 10**6}], ids=str)
def test_a_logged_step_is_enqueued_while_the_device_is_still_busy(tmp_path: Path, options: dict[str, Any]) -> None:
    """Whatever would wait for the device, by whatever way, would wait for what the device was given before."""
    torch.manual_seed(0)
    model = Model().cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, target = batch(0)
    given = options | ({"probe": x} if "probe" in options else {})
    logger = actviz_tb.watch(model, tmp_path, on_error="raise", **({"every": 1} | given))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()

    for _ in range(5):  # buffers are allocated, kernels loaded
        step()
        torch.cuda.synchronize()
        logger.flush()
    torch.cuda._sleep(4_000_000_000)  # clock cycles: some seconds
    busy = torch.cuda.Event()
    busy.record()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not busy.query(), "the step waited for the device"
    torch.cuda.synchronize()
    logger.close()
    assert len(of_tag(tmp_path, "actviz/step")) == (1 if "recorder" in options else 6)


def test_what_is_logged_is_of_the_stream_that_the_model_runs_in(tmp_path: Path) -> None:
    model, stream = nn.Sequential(nn.Linear(2000, 2000), nn.ReLU()).cuda(), torch.cuda.Stream()
    x = torch.randn(512, 2000).cuda()
    expected = model(x).detach()
    torch.cuda.synchronize()
    with actviz_tb.watch(model, tmp_path, every=1), torch.cuda.stream(stream):
        for _ in range(4):
            torch.cuda._sleep(200_000_000)
            model(x.add(0))
    for step in range(4):
        counts, moments = counts_and_moments(tmp_path, "1", step)
        assert counts["count"] == expected.numel()
        assert moments["max"] == pytest.approx(expected.max().item(), rel=1e-5)
        assert moments["mean"] == pytest.approx(expected.mean().item(), rel=1e-4)


def test_a_model_on_two_devices_is_recorded_in_its_order(tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Linear(4, 5), nn.Linear(5, 6).cuda(), nn.Linear(6, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.third(self.second(self.first(x).cuda()).cpu())

    model = Both()
    with actviz_tb.watch(model, tmp_path, every=1, recorder=3, on_error="raise"):
        model(torch.randn(3, 4))
    assert layers_of(tmp_path)[:3] == ["first", "second", "third"]
    assert [counts_and_moments(tmp_path, name)[0]["count"] for name in ("first", "second", "third")] == [15, 18, 21]


def test_a_forward_that_a_graph_captures_is_left_alone(tmp_path: Path) -> None:
    def run(directory: Path | None) -> list[float]:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)).cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x, target = torch.randn(32, 8).cuda(), torch.arange(32).cuda() % 2
        if directory is not None:
            actviz_tb.watch(model, directory, every=1, recorder=5, gradients=True)

        def step() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
            return loss

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = step()
        losses = []
        for _ in range(5):
            graph.replay()
            losses.append(loss.item())
        return losses

    expected = run(None)
    with pytest.warns(actviz_tb.ActvizWarning, match="CUDA graph"):
        assert run(tmp_path) == expected
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1, 2]


def test_a_step_that_is_still_to_be_written_does_not_spoil_a_capture(tmp_path: Path) -> None:
    model, x = nn.Linear(8, 8).cuda(), torch.randn(4, 8).cuda()
    with actviz_tb.watch(model, tmp_path, every=1, on_error="raise") as logger:
        model(x)  # memory is allocated, kernels are loaded
        logger.flush()
        torch.cuda._sleep(1_000_000_000)  # half a second
        model(x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(torch.cuda.Stream()):
            graph.capture_begin()
            doubled = x * 2
            time.sleep(0.9)
            graph.capture_end()
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(doubled, x * 2)
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1]


def test_compiled_with_graphs_the_other_steps_replay_and_the_due_ones_are_logged(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 2)).cuda()
    compiled = torch.compile(model, mode="reduce-overhead")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, target = torch.randn(32, 8).cuda(), torch.arange(32).cuda() % 2
    losses = []
    with actviz_tb.watch(compiled, tmp_path, every=4, on_error="raise"):
        for _ in range(12):
            torch.compiler.cudagraph_mark_step_begin()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(compiled(x), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 4, 8]
    assert counts_and_moments(tmp_path, "0", 8)[0]["count"] == 32 * 16


def test_training_goes_on_where_logging_finds_no_memory(tmp_path: Path) -> None:
    """The device has room for the training alone: logging may fail, and tells so, or needs no room."""

    def run(directory: Path | None) -> list[float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 1 << 14), nn.ReLU(inplace=True), nn.Linear(1 << 14, 2)).cuda()
        if directory is not None:
            actviz_tb.watch(model, directory, every=1, samples=0)
        losses = []
        for seed in range(3):
            x = torch.randn(1 << 14, 64, generator=torch.Generator().manual_seed(seed)).cuda()
            loss = model(x).square().mean()
            loss.backward()
            losses.append(loss.item())
        return losses

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    expected = run(None)
    room, whole = torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    while True:
        torch.cuda.empty_cache()
        room += 128 << 20
        torch.cuda.set_per_process_memory_fraction(room / whole)
        try:
            assert run(None) == expected
            break
        except torch.OutOfMemoryError:
            continue
    torch.cuda.empty_cache()
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert run(tmp_path) == expected
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    recorded = len(of_tag(tmp_path, "actviz/step"))
    assert recorded == 3 or any("OutOfMemoryError" in str(each.message) for each in told)


def test_the_flight_recorder_writes_the_steps_before_a_nan(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).cuda()
    expected = {}

    def train() -> None:
        with actviz_tb.watch(model, tmp_path, every=10**6, recorder=10):
            for step in range(60):
                x = torch.randn(16, 8, generator=torch.Generator().manual_seed(step)).cuda()
                spoils = step == 30
                handle = model[1].register_forward_hook(lambda _, __, output, by=torch.nan if spoils else 1: output * by, prepend=True)
                expected[step] = model[0](x).detach().square().mean().sqrt().item()
                model(x).sum().backward()
                handle.remove()

    with pytest.warns(actviz_tb.ActvizWarning, match=r"step 30: NaN .* first in '1'"):
        train()
    steps = of_tag(tmp_path, "actviz/step")
    assert set(range(20, 31)) <= set(steps)
    for step in range(20, 31):
        assert counts_and_moments(tmp_path, "0", step)[1]["rms"] == pytest.approx(expected[step], rel=1e-5)
    assert counts_and_moments(tmp_path, "1", 30)[0]["nan"] > 0
    assert counts_and_moments(tmp_path, "1", 29)[0]["nan"] == 0


def test_ddp_over_nccl_with_merged_ranks(tmp_path: Path) -> None:
    from torch import distributed

    distributed.init_process_group("nccl", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(Model().cuda(), device_ids=[0])
        with actviz_tb.watch(model, tmp_path / "run", every=1, merge_ranks=True, on_error="raise"):
            for seed in range(3):
                x, target = batch(seed)
                nn.functional.cross_entropy(model(x), target).backward()
    finally:
        distributed.destroy_process_group()
    assert list(of_tag(tmp_path / "run", "actviz/step")) == [0, 1, 2]
    assert "conv" in layers_of(tmp_path / "run")


def test_memory_does_not_grow(tmp_path: Path) -> None:
    model = Model().cuda()
    x, target = batch(0)
    sizes = []
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, recorder=5, probe=x) as logger:
        for step in range(60):
            nn.functional.cross_entropy(model(x), target).backward()
            if step % 20 == 19:
                logger.flush()
                sizes.append(torch.cuda.memory_allocated())
    assert sizes[1] == sizes[2]
    assert {tag for tag, _, _ in records(tmp_path)} >= {"actviz/step", "actviz/gradients", "actviz/gram/conv"}
