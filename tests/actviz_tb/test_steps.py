"""Where step numbers come from: training forwards, an optimizer's steps, a callable."""

import copy
import math
import pickle
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compiled import fresh
from logged import assert_goes, counts_and_moments, of_tag, records
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

OPTIMIZERS: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    "SGD foreach": lambda parameters: torch.optim.SGD(parameters, lr=0.01, foreach=True),
    "Adam": lambda parameters: torch.optim.Adam(parameters),
    "Adam foreach": lambda parameters: torch.optim.Adam(parameters, foreach=True),
    "Adam fused": lambda parameters: torch.optim.Adam(parameters, fused=True),
    "SGD fused": lambda parameters: torch.optim.SGD(parameters, lr=0.01, fused=True),
}
every_optimizer = pytest.mark.parametrize("kind", OPTIMIZERS)


def small() -> nn.Sequential:
    """Its first layer puts out what it is given: a recorded mean tells which forward it was."""
    return nn.Sequential(nn.Identity(), nn.Linear(3, 2))


def steps(directory: Path) -> list[int]:
    return [step for tag, step, _ in records(directory) if tag == "actviz/step"]


def given(directory: Path, step: int) -> float:
    return counts_and_moments(directory, "0", step)[1]["mean"]


def forward(model: nn.Module, value: float) -> Tensor:
    """Loss of a batch that is all one value."""
    return model(torch.full((4, 3), value)).square().mean()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("options", "expected"), [({}, [0, 2, 4]), ({"step": 7}, [8, 10])])
def test_training_forwards_are_numbered_from_step_on(tmp_path: Path, options: dict[str, Any], expected: list[int]) -> None:
    model = small()
    with actviz_tb.watch(model, tmp_path, every=2, **options) as logger:
        assert logger.step is None
        for _ in range(5):
            forward(model, 1.0)
        assert logger.step == options.get("step", 0) + 4
    assert steps(tmp_path) == expected


@every_optimizer
def test_of_a_steps_forwards_the_first_is_recorded_once(tmp_path: Path, kind: str) -> None:
    model = small()
    optimizer = OPTIMIZERS[kind](list(model.parameters()))
    with actviz_tb.watch(model, tmp_path, every=2, optimizer=optimizer, step=100) as logger:
        for step in range(100, 105):
            for part in range(3):
                forward(model, step + part / 4).backward()
                assert logger.step == step
            optimizer.step()
            optimizer.zero_grad()
    assert steps(tmp_path) == [100, 102, 104]
    assert [given(tmp_path, step) for step in (100, 102, 104)] == [100.0, 102.0, 104.0]


@every_optimizer
def test_a_step_that_a_grad_scaler_skips_is_none(tmp_path: Path, kind: str) -> None:
    model = small()
    optimizer = OPTIMIZERS[kind](list(model.parameters()))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    numbers = []
    with actviz_tb.watch(model, tmp_path, every=1, optimizer=optimizer) as logger:
        for value in (0.0, 1.0, math.inf, 3.0, 4.0):
            scaler.scale(forward(model, value)).backward()
            numbers.append(logger.step)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())  # the scaler did skip
    assert numbers == [0, 1, 2, 2, 3]
    assert steps(tmp_path) == [0, 1, 2, 3]


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("scaled", [False, True])
@every_optimizer
def test_only_a_fused_optimizer_under_a_scaler_is_asked_whether_it_moved(tmp_path: Path, kind: str, scaled: bool) -> None:
    waits = []
    for watched in (False, True):
        model = small()
        optimizer = OPTIMIZERS[kind](list(model.parameters()))
        scaler = torch.amp.GradScaler("cpu", enabled=scaled)
        if watched:
            actviz_tb.watch(model, tmp_path, every=lambda step: False, optimizer=optimizer)
        with Waits() as counted:
            for _ in range(3):
                scaler.scale(forward(model, 1.0)).backward()
                scaler.step(optimizer)
                scaler.update()
        waits.append(counted.count)
    assert waits[1] - waits[0] == (3 if scaled and "fused" in kind else 0)


def test_a_closure_that_runs_the_model_many_times_a_step_is_recorded_once(tmp_path: Path) -> None:
    model, forwards = small(), 0
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure() -> Tensor:
        nonlocal forwards
        forwards += 1
        optimizer.zero_grad()
        loss = forward(model, 1.0)
        loss.backward()
        return loss

    with actviz_tb.watch(model, tmp_path, every=1, optimizer=optimizer):
        for _ in range(3):
            optimizer.step(closure)
    assert forwards > 3
    assert steps(tmp_path) == [0, 1, 2]


def test_of_forwards_to_which_a_callable_gives_one_number_the_first_is_recorded(tmp_path: Path) -> None:
    model, clock = small(), {"step": 0}
    with actviz_tb.watch(model, tmp_path, every=5, step=lambda: clock["step"]) as logger:
        for clock["step"], value in ((0, 0.0), (0, 0.5), (3, 3.0), (5, 5.0), (5, 5.5), (20, 20.0)):
            forward(model, value)
            assert logger.step == clock["step"]
    assert steps(tmp_path) == [0, 5, 20]
    assert [given(tmp_path, step) for step in (0, 5, 20)] == [0.0, 5.0, 20.0]


def test_evaluation_between_the_forwards_of_a_step_changes_nothing(tmp_path: Path) -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with actviz_tb.watch(model, tmp_path, every=1, optimizer=optimizer):
        for step in range(3):
            with torch.no_grad():
                forward(model, -1.0)
            forward(model, float(step)).backward()
            forward(model.eval(), -1.0)
            model.train()
            optimizer.step()
    assert [given(tmp_path, step) for step in steps(tmp_path)] == [0.0, 1.0, 2.0]


def test_the_optimizer_keeps_neither_model_nor_logger_and_close_lets_go_of_it(tmp_path: Path) -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    logger = actviz_tb.watch(model, tmp_path, every=1, optimizer=optimizer)
    forward(model, 1.0).backward()
    optimizer.step()
    pickle.loads(pickle.dumps(copy.deepcopy(optimizer)))
    assert len(optimizer._optimizer_step_post_hooks) == 1
    logger.close()
    assert len(optimizer._optimizer_step_post_hooks) == 0
    logger = actviz_tb.watch(model, tmp_path, every=1, optimizer=optimizer)
    gone = weakref.ref(model), weakref.ref(logger)
    del model, logger
    assert_goes(*gone)
    optimizer.step()


def test_a_scheduler_that_wraps_the_optimizers_step_finds_it_as_it_was(tmp_path: Path) -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with actviz_tb.watch(model, tmp_path, every=1, optimizer=optimizer), warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's: lr_scheduler.step() before optimizer.step()
        warnings.simplefilter("ignore", actviz_tb.CostWarning)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=4)
        for _ in range(4):
            forward(model, 1.0).backward()
            optimizer.step()
            scheduler.step()
    assert steps(tmp_path) == [0, 1, 2, 3]


def test_a_resumed_optimizer_goes_on_from_step(tmp_path: Path) -> None:
    first = small()
    optimizer = torch.optim.Adam(first.parameters())
    for _ in range(3):
        forward(first, 1.0).backward()
        optimizer.step()
    model = small()
    resumed = torch.optim.Adam(model.parameters())
    with actviz_tb.watch(model, tmp_path, every=1, optimizer=resumed, step=3):
        resumed.load_state_dict(optimizer.state_dict())  # also after watch
        for _ in range(2):
            forward(model, 1.0).backward()
            resumed.step()
    assert steps(tmp_path) == [3, 4]


def test_a_compiled_step_of_the_optimizer_is_counted_and_compiles_nothing_of_ours(tmp_path: Path) -> None:
    frames = []
    for watched in (False, True):
        fresh()
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if watched:
            logger = actviz_tb.watch(model, tmp_path, every=1, optimizer=optimizer)
        step = torch.compile(lambda optimizer=optimizer: optimizer.step(), backend="eager")
        for _ in range(3):
            forward(model, 1.0).backward()
            step()
        frames.append({kind: dict(counters[kind]) for kind in ("frames", "stats", "graph_break")})
    logger.close()
    assert frames[1] == frames[0]
    assert steps(tmp_path) == [0, 1, 2]


def test_two_models_that_train_against_each_other_each_count_their_own_optimizers_steps(tmp_path: Path) -> None:
    generator, critic = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(3, 1))
    optimizers = {"generator": torch.optim.Adam(generator.parameters()), "critic": torch.optim.Adam(critic.parameters(), fused=True)}
    with SummaryWriter(str(tmp_path)) as writer:
        for name, model in (("generator", generator), ("critic", critic)):
            actviz_tb.watch(model, writer, every=1, name=name, optimizer=optimizers[name])
        for _ in range(3):
            noise = torch.randn(4, 2)
            for _ in range(2):
                (critic(generator(noise).detach()).mean() - critic(torch.ones(4, 3)).mean()).backward()
                optimizers["critic"].step()
                optimizers["critic"].zero_grad()
            critic(generator(noise)).mean().backward()
            optimizers["generator"].step()
            writer.add_scalar("loss", 0.0, 0)
    assert list(of_tag(tmp_path, "actviz/step/generator")) == [0, 1, 2]
    assert list(of_tag(tmp_path, "actviz/step/critic")) == [0, 1, 2, 3, 4, 5, 6]
    assert of_tag(tmp_path, "actviz/layer/critic.0").keys() == set(range(7))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": object()}, actviz_tb.ArgumentTypeError, "optimizer is a object; expected a torch.optim.Optimizer"),
        ({"step": -1}, actviz_tb.ArgumentTypeError, "step=-1; expected the number of the first step"),
        ({"step": True}, actviz_tb.ArgumentTypeError, "step=True; expected"),
        ({"step": 1.5}, actviz_tb.ArgumentTypeError, "step=1.5; expected"),
        ({"optimizer": torch.optim.SGD([torch.ones(1)]), "step": lambda: 0}, actviz_tb.ArgumentError, "both optimizer and a callable step"),
    ],
)
def test_a_number_that_can_come_from_nowhere_is_refused(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        actviz_tb.watch(small(), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "schedule", [7, actviz_tb.schedule.decades(3), actviz_tb.schedule.warmup(4, 9)], ids=["interval", "decades", "warmup"]
)
def test_steps_between_logged_ones_are_counted_whatever_comes_between(tmp_path: Path, schedule: Any) -> None:
    """Of a schedule that can be foreseen the logger is not called back at each step; that must not be seen."""
    model = small()
    due = schedule if callable(schedule) else lambda step: step % schedule == 0
    expected: dict[int, int] = {}  # the forward that was recorded, by the number of the record
    marks = {}
    logger = actviz_tb.watch(model, tmp_path, every=schedule, step=1)
    for step in range(1, 40):
        if step == 13:
            logger.log()
        if step == 20:
            logger.log(1000)
        if step in (2, 16, 30):
            logger.mark(f"before {step}")
            marks[f"before {step}"] = step
        if step == 25:
            logger.pause()
        forward(model, float(step))
        assert logger.step == step
        if step == 29:
            logger.resume()
        if step == 20:
            expected[1000] = step
        elif (due(step) or step == 13) and not 25 <= step < 30:
            expected[step] = step
        forward(model.eval(), -1.0)
        with torch.no_grad():
            forward(model.train(), -1.0)
        assert logger.step == step
    logger.close()
    run = actviz_tb.read(tmp_path)["."]
    assert {int(number): given(tmp_path, number) for number in run.steps} == expected
    assert {mark.text: mark.step for mark in run.marks} == marks


def test_a_schedule_of_the_users_is_asked_at_each_step_and_never_for_later_ones(tmp_path: Path) -> None:
    asked: list[int] = []

    def due(step: int) -> bool:
        asked.append(step)
        return step == 5

    model = small()
    with actviz_tb.watch(model, tmp_path, every=due):
        for step in range(12):
            forward(model, 1.0)
            assert asked == list(range(step + 1))


def test_between_logged_steps_nothing_is_called_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    with actviz_tb.watch(model, tmp_path, every=100) as logger:
        for _ in range(6):
            forward(model, 1.0)
        counted: list[None] = []
        monkeypatch.setattr(logger._steps, "count", lambda: counted.append(None))
        for _ in range(90):
            forward(model, 1.0)
        assert not counted
        assert logger.step == 95
