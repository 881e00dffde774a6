"""Watching the ways in which models are trained: checkpointing, mixed precision, interrupts. Nothing they compute changes."""

from collections.abc import Callable
from pathlib import Path

import compiled
import numpy as np
import pytest
import torch
from compiled import Backend, Training, Watch, compared, layer_outputs
from logged import counts_and_moments, hooks_of, layers_of, of_tag, records
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import actviz_tb
from actviz_tb import logger as logger_module

# Checkpointing


class Block(nn.Module):
    """Random numbers, an in-place operation and a function, all of which a second forward repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.relu, self.dropout = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.dropout(self.relu(self.linear(x))))


class Checkpointed(nn.Module):
    def __init__(self, run: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.blocks, self.last = nn.Linear(4, 4), nn.Sequential(Block(), Block()), nn.Linear(4, 2)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.run(self.blocks, self.first(x)))  # type: ignore[no-any-return]


def each_block(use_reentrant: bool) -> Callable[[nn.Module, Tensor], Tensor]:
    def run(blocks: nn.Module, x: Tensor) -> Tensor:
        for block in blocks.children():
            x = checkpoint(block, x, use_reentrant=use_reentrant)
        return x

    return run


CHECKPOINTS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "reentrant": each_block(True),
    "not reentrant": each_block(False),
    "sequential": lambda blocks, x: checkpoint_sequential(blocks, 2, x, use_reentrant=False),
    "nested": lambda blocks, x: checkpoint(lambda x: each_block(False)(blocks, x), x, use_reentrant=False),
}
BLOCK = ["linear", "relu", "dropout", "tanh"]
LAYERS = [
    "first",
    *(f"blocks.{number}{'/' if name == 'tanh' else '.'}{name}" for number in (0, 1) for name in BLOCK),
    "last",
]


def train(model: nn.Module, call: Callable[[Tensor], Tensor] | None = None, backend: Backend | None = None) -> Training:
    return compiled.train(model if call is None else call, model, compiled.batches(4), backend)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_what_a_checkpoint_runs_again_is_recorded_once(tmp_path: Path, kind: str, gradients: bool) -> None:
    def run(watch: Watch) -> Training:
        model = Checkpointed(CHECKPOINTS[kind])
        watch(model)
        return train(model)

    _, report = compared(run, tmp_path, every=1, gradients=gradients)
    assert [layers_of(tmp_path, step) for step in range(4)] == [LAYERS] * 4
    assert report.faults == {}
    found = {step: record.header["layers"] for step, record in of_tag(tmp_path, "actviz/gradients").items()}
    if not gradients:
        assert found == {}
    elif kind == "reentrant":  # runs its forward without gradients; those of its inside are made in a second one
        assert found == {step: ["first", "last"] for step in range(4)}
        assert report.skipped.keys() == {f"gradient of {name}" for name in LAYERS[1:-1]}
        assert "use_reentrant=True" in report.skipped["gradient of blocks.0.linear"]
    else:
        assert found == dict.fromkeys(range(4), LAYERS)
        assert report.skipped == {}


def test_a_model_that_is_itself_run_again_is_one_step(tmp_path: Path) -> None:
    def run(watch: Watch) -> Training:
        model = Block()
        watch(model)
        return train(model, lambda x: checkpoint(model, x, use_reentrant=False))

    compared(run, tmp_path, every=1)
    assert [step for tag, step, _ in records(tmp_path) if tag == "actviz/step"] == [0, 1, 2, 3]


def test_what_runs_again_while_the_forward_goes_on_is_recorded_once(tmp_path: Path) -> None:
    class Force(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.energy = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))

        def forward(self, x: Tensor) -> Tensor:
            x = x.requires_grad_()
            energy = checkpoint(self.energy, x, use_reentrant=False)
            return torch.autograd.grad(energy.sum(), x, create_graph=True)[0]

    def run(watch: Watch) -> Training:
        model = Force()
        watch(model)
        return train(model)

    compared(run, tmp_path, every=1)
    assert [layers_of(tmp_path, step) for step in range(4)] == [["energy.0", "energy.1", "energy.2", "Force"]] * 4


@pytest.mark.parametrize("implementation", CheckpointImpl)
def test_a_checkpoint_wrapper_does_not_show_in_names(tmp_path: Path, implementation: CheckpointImpl) -> None:
    def run(watch: Watch) -> Training:
        model = Checkpointed(lambda blocks, x: blocks(x))
        model.blocks = nn.Sequential(*(checkpoint_wrapper(block, checkpoint_impl=implementation) for block in model.blocks))
        watch(model)
        return train(model)

    compared(run, tmp_path, every=1)
    assert layers_of(tmp_path) == LAYERS
    modules = of_tag(tmp_path, "actviz/model")[0].header["modules"]
    assert [module["path"] for module in modules if module["path"].startswith("blocks.0")] == [
        "blocks.0",
        *(f"blocks.0.{name}" for name in BLOCK[:3]),
    ]


def test_a_checkpoint_inside_a_compiled_model(tmp_path: Path) -> None:
    def run(watch: Watch) -> Training:
        model, backend = Checkpointed(CHECKPOINTS["not reentrant"]), Backend()
        watch(model)
        for block in model.blocks:
            block.dropout.p = 0.0  # whose random numbers are others in a graph
        return train(model, torch.compile(model, backend=backend, fullgraph=True), backend)

    compared(run, tmp_path, every=2)
    assert [layers_of(tmp_path, step) for step in (0, 2)] == [LAYERS] * 2


# Mixed precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_numbers_are_those_of_the_low_precision_outputs(tmp_path: Path, dtype: torch.dtype) -> None:
    model, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.LayerNorm(4)), torch.randn(32, 8) * 100
    with torch.autocast("cpu", dtype):
        expected = layer_outputs(model, x)
    with actviz_tb.watch(model, tmp_path, every=1) as logger, torch.autocast("cpu", dtype):
        model(x).float().sum().backward()
        assert logger.report().faults == {}
    described = of_tag(tmp_path, "actviz/model")[0].header["layers"]
    assert {layer["name"]: layer["dtype"] for layer in described} == {
        name: str(tensor.dtype).removeprefix("torch.") for name, tensor in expected.items()
    }
    assert described[0]["dtype"] == str(dtype).removeprefix("torch.")
    for name, tensor in expected.items():
        counts, moments = counts_and_moments(tmp_path, name)
        values = tensor.double().numpy()
        assert (counts["count"], counts["zero"]) == (values.size, (values == 0).sum())
        assert (moments["min"], moments["max"]) == (values.min(), values.max())
        assert [moments["mean"], moments["std"]] == pytest.approx([values.mean(), values.std()], rel=1e-5, abs=1e-5 * np.abs(values).max())


@pytest.mark.parametrize("gradients", [False, True])
def test_a_grad_scaler_scales_and_skips_as_without_watch(tmp_path: Path, gradients: bool) -> None:
    scales: list[list[float]] = []

    def run(watch: Watch) -> Training:
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        watch(model)
        optimizer = torch.optim.Adam(model.parameters())
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=2)
        outputs = []
        scales.append([])
        for value in (1.0, 1e4, 1.0, 2.0, 3.0):
            with torch.autocast("cpu", torch.float16):
                output = model(torch.full((3, 4), value))
                loss = output.float().square().mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            scales[-1].append(scaler.get_scale())
            outputs.append(output.detach())
        return Training(outputs, [parameter.detach() for parameter in model.parameters()], [], {})

    _, report = compared(run, tmp_path, every=1, gradients=gradients)
    assert scales[0] == scales[1]
    assert min(scales[0]) < 2.0**20  # it did skip
    assert (report.steps, report.faults) == (5, {})
    if gradients:
        counts, _ = counts_and_moments(tmp_path, "2", 1, "gradients")
        assert counts["posinf"] + counts["neginf"] + counts["nan"] > 0  # why it skipped


# Interrupts


def test_an_interrupted_step_is_not_ended_by_an_evaluation(tmp_path: Path) -> None:
    class Interrupted(nn.Sequential):
        error = True

        def forward(self, x: Tensor) -> Tensor:
            x = self[0](x)
            if self.error:
                raise KeyboardInterrupt
            return self[1](x)  # type: ignore[no-any-return]

    model = Interrupted(nn.Linear(3, 3), nn.ReLU())
    with actviz_tb.watch(model, tmp_path, every=lambda step: step == 0):
        with pytest.raises(KeyboardInterrupt):
            model(torch.ones(1, 3))
        model.error = False
        with torch.no_grad():
            model.eval()(torch.ones(1, 3))
        assert hooks_of(model) == 1
        model.train()(torch.ones(1, 3))
    assert not of_tag(tmp_path, "actviz/step")


# CUDA graphs: with a real one in test_cuda.py


def test_a_forward_in_a_capture_is_no_step_and_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(3, 2)
    captured = [False, True, True, False]
    monkeypatch.setattr(logger_module, "_is_captured", lambda: captured[0])

    def train() -> None:
        while captured:
            model(torch.randn(4, 3))
            captured.pop(0)

    with actviz_tb.watch(model, tmp_path, every=1, recorder=3) as logger:
        with pytest.warns(actviz_tb.ActvizWarning, match="captured in a CUDA graph") as caught:
            train()
        report = logger.report()
    assert len([each for each in caught if issubclass(each.category, actviz_tb.ActvizWarning)]) == 1
    assert "CUDA graph" in report.skipped
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1]
