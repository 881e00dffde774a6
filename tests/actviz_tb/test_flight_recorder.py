"""The flight recorder: the steps before a break are in the log, with what broke first; nothing that the training computes changes."""

import copy
import itertools
import pickle
import re
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rank_training
import ranks
import torch
from logged import assert_goes, hooks_of, layers_of, of_tag, records
from odd_models import Around, batch, identical, trained
from served import Site
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import actviz_tb
from actviz_tb import ActvizWarning, ArgumentError, ArgumentTypeError, native, ring
from actviz_tb.report import Break, Meter
from tensorboard_plugin.actviz import wire


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.relu = nn.Linear(width, width), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.relu(self.linear(x))


class Net(nn.Module):
    """Its layers, blocks included, and what breaks: `before` is given the index of a block and what goes into it."""

    def __init__(self, before: Callable[[int, Tensor], Tensor] | None = None, width: int = 6) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, width), nn.Linear(width, 2)
        self.blocks = nn.ModuleList([Block(width), Block(width), Block(width)])
        self.before = before

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for index, block in enumerate(self.blocks):
            x = block(x if self.before is None else self.before(index, x))
        return self.last(x)  # type: ignore[no-any-return]


LAYERS = ["first", *(f"blocks.{index}{name}" for index in range(3) for name in (".linear", ".relu", "/add")), "last"]


@dataclass
class Reference:
    """An independent record: what each leaf and block put out at each step, copied before anything could overwrite it."""

    found: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    step: int = -1

    def on(self, model: nn.Module) -> "Reference":
        for name, module in model.named_modules():
            name = f"{name}/add" if isinstance(module, Block) else name
            if isinstance(module, Block) or not list(module.children()):
                module.register_forward_hook(lambda _module, _args, output, name=name: self._keep(name, output))
        return self

    def _keep(self, name: str, output: Tensor) -> None:
        self.found.setdefault(self.step, {})[name] = output.detach().float().numpy().copy()


def train(model: nn.Module, steps: range, reference: Reference | None = None, **options: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in steps:
        if reference is not None:
            reference.step = step
        loss = model(batch(16, seed=step), **options).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if torch.isfinite(loss):
            optimizer.step()


class At:
    """Changes what goes into a block at some steps; counts the forwards itself."""

    def __init__(self, steps: range, change: Callable[[Tensor], Tensor], block: int = 1) -> None:
        self.steps, self.change, self.block = steps, change, block
        self.step = -1

    def __call__(self, index: int, x: Tensor) -> Tensor:
        self.step += index == 0
        return self.change(x) if self.step in self.steps and index == self.block else x


def planted(x: Tensor) -> Tensor:
    x = x.clone()
    x[3, 2], x[5, 1] = torch.nan, torch.inf
    return x


def expected(values: np.ndarray) -> dict[str, float]:
    finite = values[np.isfinite(values)].astype(np.float64)
    known = {"rms": np.sqrt((finite**2).mean()), "min": finite.min(), "max": finite.max()} if finite.size else {}
    return {
        **dict.fromkeys(("rms", "min", "max"), np.nan),
        **known,
        "count": values.size,
        "nan": np.isnan(values).sum(),
        "posinf": np.isposinf(values).sum(),
        "neginf": np.isneginf(values).sum(),
    }


def breaks_of(logger: actviz_tb.ActivationLogger) -> list[tuple[int, str, str | None]]:
    return [(each.step, each.kind, each.layer) for each in logger.report().breaks]


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("at", [800, 795], ids=["at a logged step", "between logged steps"])
def test_a_planted_nan_gives_the_twenty_steps_before_it_and_the_first_broken_module(tmp_path: Path, at: int) -> None:
    torch.manual_seed(0)
    model = Net(At(range(at, at + 1), planted))
    reference = Reference().on(model)
    logger = actviz_tb.watch(model, tmp_path, every=100, recorder=20, on_error="raise")
    with pytest.warns(ActvizWarning, match=rf"step {at}: NaN or infinite values, first in 'blocks\.1\.linear' \(12 of 96\)"):
        train(model, range(810), reference)
    assert breaks_of(logger) == [(at, "nonfinite", "blocks.1.linear")]
    assert f"step {at}: NaN or infinite values, first in 'blocks.1.linear'" in str(logger.report())
    logger.close()

    run = actviz_tb.read(tmp_path).runs[0]
    before = [step for step in range(at - 20, at + 1) if step % 100]
    after = [at + 1] if at % 100 else []  # recorded in full, where the broken step was not
    assert run.steps.tolist() == sorted({*range(0, 801, 100), *before, *after})
    assert [(mark.step, mark.text) for mark in run.marks] == [(at, "NaN or infinite values, first in 'blocks.1.linear' (12 of 96)")]
    site = Site(tmp_path)
    for layer in LAYERS:
        stats = run.stats(layer)
        served = {name: site.record("stats", run=".", stat=name) for name in ("rms", "min", "max", "nonfinite")}
        for step in [*before, at]:
            row = stats.steps.tolist().index(step)
            for name, value in expected(reference.found[step][layer]).items():
                assert getattr(stats, name)[row] == pytest.approx(value, rel=1e-6, abs=1e-7, nan_ok=True), (layer, step, name)
                if name in served:
                    answer = served[name]
                    cell = answer.arrays["values"][answer.header["layers"].index(layer), answer.arrays["steps"].tolist().index(step)]
                    assert cell == pytest.approx(value, rel=1e-6, abs=1e-7, nan_ok=True)
    share = run.stats("blocks.1.linear").nonfinite
    assert share[run.steps.tolist().index(at)] == 12 / 96
    assert np.isnan(run.stats("first").mean[run.steps.tolist().index(at - 1)])  # not known: none rather than a wrong one


def test_a_block_goes_by_the_name_that_logged_steps_have_for_its_output(tmp_path: Path) -> None:
    model = Net(At(range(7, 8), planted))
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5), pytest.warns(ActvizWarning, match="first in 'blocks.1.linear'"):
        train(model, range(8))
    assert layers_of(tmp_path, 5) == layers_of(tmp_path, 0)
    assert "blocks.1/add" in layers_of(tmp_path, 5)


@pytest.mark.usefixtures("implementation")
def test_maps_of_the_step_at_hand_are_there_from_the_broken_module_on_and_the_next_step_is_logged(tmp_path: Path) -> None:
    model = Net(At(range(7, 8), planted))
    reference = Reference().on(model)
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5, samples=16), pytest.warns(ActvizWarning):
        train(model, range(10), reference)
    maps = {tag.removeprefix("actviz/maps/") for tag, step, _ in records(tmp_path) if step == 7 and tag.startswith("actviz/maps/")}
    assert maps == {each for each in layers_of(tmp_path, 0) if each not in ("first", "blocks.0.linear", "blocks.0.relu", "blocks.0/add")}
    run = actviz_tb.read(tmp_path).runs[0]
    for layer in ("blocks.1.linear", "last"):
        values, shown = reference.found[7][layer], run.maps(layer, 7).values.reshape(16, -1)
        assert np.array_equal(np.isnan(shown), ~np.isfinite(values))
        assert np.nanmax(np.abs(shown - np.where(np.isfinite(values), values, np.nan))) <= np.nanmax(np.abs(shown)) / 100
        assert run.histogram(layer, 7).counts.sum() == np.isfinite(values).sum()
        assert run.stats(layer).mean[run.steps.tolist().index(7)] == pytest.approx(values[np.isfinite(values)].mean(), abs=1e-6)
    assert np.allclose(run.inputs(7).maps.values.reshape(16, -1), batch(16, seed=7).numpy(), atol=0.05)
    assert "actviz/maps/first" in {tag for tag, step, _ in records(tmp_path) if step == 8}


def test_a_break_that_lasts_is_told_once_and_one_that_comes_back_later_again(tmp_path: Path) -> None:
    steps = [*range(10, 14), 30]
    model = Net(At(steps, planted))  # type: ignore[arg-type]
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5) as logger, pytest.warns(ActvizWarning) as told:
        train(model, range(40))
    assert [step for step, _, _ in breaks_of(logger)] == [10, 30]
    assert len([each for each in told if "NaN" in str(each.message)]) == 1
    assert list(of_tag(tmp_path, "actviz/step")) == [0, *range(5, 12), *range(25, 32)]


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize(("scale", "factor", "found"), [(20.0, 10.0, True), (5.0, 10.0, False), (5.0, 4.0, True)])
def test_a_jump_of_the_rms_is_a_break(tmp_path: Path, scale: float, factor: float, found: bool) -> None:
    torch.manual_seed(0)
    model = Net(At(range(50, 60), lambda x: x * scale))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with actviz_tb.watch(model, tmp_path, every=100, recorder=8, recorder_factor=factor) as logger:
            reference = Reference().on(model)
            train(model, range(52), reference)
    assert [(step, kind) for step, kind, _ in breaks_of(logger)] == ([(50, "jump")] if found else [])
    if found:
        (_, _, layer) = breaks_of(logger)[0]
        rms = {
            step: {name: np.sqrt((values.astype(np.float64) ** 2).mean()) for name, values in at.items()}
            for step, at in reference.found.items()
        }
        first = next(name for name in LAYERS if rms[50][name] > factor * np.median([rms[step][name] for step in range(42, 50)]))
        assert layer == first
        numbers = re.search(r"from ([\d.e+-]+) to ([\d.e+-]+)", logger.report().breaks[0].text)
        assert numbers is not None
        assert float(numbers[2]) == pytest.approx(rms[50][first], rel=0.01)
        assert layers_of(tmp_path, 43) == layers_of(tmp_path, 0)
    assert bool([each for each in told if "jumped" in str(each.message)]) == found


def test_a_training_that_goes_well_has_no_break_and_writes_only_what_is_due(tmp_path: Path) -> None:
    model = Net()
    with actviz_tb.watch(model, tmp_path, every=10, recorder=5, on_error="raise") as logger:
        train(model, range(60))
        assert logger.report().breaks == ()
        assert logger.report().skipped == {}
    assert list(of_tag(tmp_path, "actviz/step")) == list(range(0, 60, 10))


# Exceptions


def ended(run: Callable[[], object], look: Callable[[], Any]) -> tuple[Exception | None, Any]:
    """Return the exception that ended a run, and what was to be seen while it was handled, with nothing flushed or closed."""
    try:
        run()
    except Exception as error:
        return error, look()
    return None, None


def test_an_exception_in_forward_passes_on_unchanged_after_the_ring_is_written(tmp_path: Path) -> None:
    error = ValueError("planted")

    def fail(x: Tensor) -> Tensor:
        raise error

    model = Net(At(range(30, 31), fail))
    reference = Reference().on(model)
    actviz_tb.watch(model, tmp_path, every=100, recorder=5)
    with pytest.warns(ActvizWarning, match=r"step 30: ValueError in forward, after 'blocks\.0/add'"):
        caught, written = ended(lambda: train(model, range(40), reference), lambda: of_tag(tmp_path, "actviz/step"))
    assert caught is error
    assert caught.__context__ is None
    assert list(written) == [0, *range(25, 31)]
    assert written[30].header["layers"] == ["first", "blocks.0.linear", "blocks.0.relu", "blocks.0/add"]
    values = reference.found[30]["first"].astype(np.float64)
    assert written[30].arrays["moments"][0][wire.MOMENTS.index("rms")] == pytest.approx(np.sqrt((values**2).mean()), rel=1e-6)
    assert hooks_of(model) == len(LAYERS) + 2  # the reference's; the gate and what waits for the end


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, error: Exception | None) -> Tensor:
        context.error = error
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        if context.error is not None:
            raise context.error
        return gradient, None


def test_an_exception_in_backward_passes_on_unchanged_after_the_ring_is_written(tmp_path: Path) -> None:
    error = ValueError("planted")
    errors = iter([None] * 30 + [error] + [None] * 10)
    model = Net(lambda index, x: Fails.apply(x, next(errors)) if index == 1 else x)  # type: ignore[no-untyped-call]
    logger = actviz_tb.watch(model, tmp_path, every=100, recorder=5)
    with pytest.warns(ActvizWarning, match="step 30: exception in backward"):
        caught, written = ended(lambda: train(model, range(40)), lambda: of_tag(tmp_path, "actviz/step"))
    assert caught is error
    assert list(written) == [0, *range(25, 31)]
    train(model, range(31, 35))
    assert breaks_of(logger) == [(30, "backward", None)]
    logger.close()


def test_a_model_that_checks_its_own_values_has_them_named_first(tmp_path: Path) -> None:
    class Checked(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = super().forward(x)
            if not torch.isfinite(x).all():
                raise RuntimeError("not finite")
            return x

    model = Checked(At(range(9, 10), planted))
    logger = actviz_tb.watch(model, tmp_path, every=100, recorder=5)
    with pytest.warns(ActvizWarning), pytest.raises(RuntimeError, match="not finite"):
        train(model, range(12))
    assert breaks_of(logger) == [(9, "nonfinite", "blocks.1.linear"), (9, "forward", None)]
    assert {tag for tag, step, _ in records(tmp_path) if step == 9} >= {"actviz/maps/blocks.1.linear", "actviz/mark"}


def test_an_exception_that_is_being_handled_elsewhere_is_none_of_the_models(tmp_path: Path) -> None:
    model = Net()
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5) as logger:
        try:
            raise KeyError("elsewhere")
        except KeyError:
            train(model, range(3))
        assert logger.report().breaks == ()


# Nothing changes


def test_training_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    for number, make in enumerate(
        [Net, lambda: Around(lambda x: x.relu_()), lambda: nn.Sequential(nn.LazyLinear(4), nn.Dropout(), nn.Tanh())]
    ):
        assert identical(trained(make), trained(make, tmp_path / str(number), recorder=3)), number


def test_between_forwards_only_two_hooks_are_on_the_model_and_none_after_close(tmp_path: Path) -> None:
    model, seen = Net(), []
    model.before = lambda index, x: seen.append(hooks_of(model)) or x  # type: ignore[func-returns-value]
    logger = actviz_tb.watch(model, tmp_path, every=100, recorder=5)
    train(model, range(3))
    assert hooks_of(model) == 2
    assert seen[-1] == 2 + len(LAYERS)
    seen.clear()
    model.eval()(batch())
    assert seen[-1] == 2
    logger.close()
    assert hooks_of(model) == 0


def test_a_copy_and_a_pickle_of_the_model_are_not_watched(tmp_path: Path) -> None:
    model = Net()
    copies: list[nn.Module] = []

    def copy_once(index: int, x: Tensor) -> Tensor:
        model.before = None
        copies.append(copy.deepcopy(model))  # in the forward, with all hooks on
        return x

    logger = actviz_tb.watch(model, tmp_path, every=100, recorder=5, on_error="raise")
    train(model, range(2))
    model.before = copy_once
    train(model, range(2, 3))
    copies += [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for each in copies:
        with torch.no_grad():
            each.first.weight.fill_(torch.nan)
        train(each, range(2))
    train(model, range(3, 6))
    assert logger.step == 5
    assert logger.report().breaks == ()
    logger.close()


@pytest.mark.filterwarnings("ignore::actviz_tb.ActvizWarning")
def test_a_fault_in_the_recorder_does_not_change_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken")

    reference = trained(Net)
    for place in ("begin", "fill", "cells"):
        with monkeypatch.context() as patch:
            patch.setattr(ring.Ring, place, broken)
            assert identical(reference, trained(Net, tmp_path / place, recorder=3)), place


def test_a_model_can_go_while_it_is_watched(tmp_path: Path) -> None:
    model = Net()
    actviz_tb.watch(model, tmp_path, every=100, recorder=5)
    train(model, range(3))
    gone = weakref.ref(model)
    del model
    assert_goes(gone)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_what_a_checkpoint_runs_again_is_not_seen_again(tmp_path: Path, use_reentrant: bool) -> None:
    class Checkpointed(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            for index, block in enumerate(self.blocks):
                x = checkpoint(block, x if self.before is None else self.before(index, x), use_reentrant=use_reentrant)
            return self.last(x)

    model = Checkpointed(At(range(9, 10), planted))
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5) as logger, pytest.warns(ActvizWarning):
        train(model, range(10))
    assert breaks_of(logger) == [(9, "nonfinite", "blocks.1.linear")]
    assert [each for each in layers_of(tmp_path, 6) if ":" in each] == []


def test_frozen_transformer_layers_run_fused_and_evaluation_is_as_without(tmp_path: Path) -> None:
    class Encoded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dropout=0.0)
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x[:, None]))

    def outputs(watch: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = Encoded()
        logger = actviz_tb.watch(model, tmp_path, every=100, recorder=3, on_error="raise") if watch else None
        found = [model(batch()) for _ in range(2)]
        model.eval()
        with torch.no_grad():
            found.append(model(batch()))
        model.train()
        model.encoder.requires_grad_(False).eval()
        found += [model(batch()) for _ in range(3)]
        if logger is not None:
            assert "inside a frozen transformer layer" in str(logger.report())
            logger.close()
        return found

    assert all(map(torch.equal, outputs(True), outputs(False)))


# Ways to train


def test_further_forwards_of_a_step_are_looked_at_as_well(tmp_path: Path) -> None:
    model = Net(At(range(25, 26), planted))  # the second forward of step 12
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def accumulate() -> None:
        for step in range(14):
            for part in range(2):
                output = model(batch(8, seed=2 * step + part)).square().mean()
                if torch.isfinite(output):
                    output.backward()
            optimizer.step()
            optimizer.zero_grad()

    with actviz_tb.watch(model, tmp_path, every=100, recorder=5, optimizer=optimizer) as logger, pytest.warns(ActvizWarning):
        accumulate()
    assert breaks_of(logger) == [(12, "nonfinite", "blocks.1.linear")]
    assert list(of_tag(tmp_path, "actviz/step")) == [0, *range(7, 14)]


def test_calls_and_parts_go_by_the_names_of_logged_steps(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.lstm = nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True)
            self.scale = 1.0

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(self.linear(x).relu())
            x, (hidden, _) = self.lstm(x[:, None] * self.scale)
            return hidden[-1] + x[:, 0]

    model = Odd()
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5, functional=False) as logger:
        train(model, range(8))
        model.scale = torch.nan
        with pytest.warns(ActvizWarning):
            train(model, range(8, 9))
    assert breaks_of(logger) == [(8, "nonfinite", "lstm[0]")]
    assert layers_of(tmp_path, 5) == layers_of(tmp_path, 0) == ["linear", "linear:1", "lstm[0]", "lstm[1][0]", "lstm[1][1]", "Odd"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_low_precision_outputs_are_looked_at(tmp_path: Path, dtype: torch.dtype) -> None:
    class Auto(Net):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype):
                return super().forward(x).float()

    model = Auto(At(range(7, 8), planted))
    reference = Reference().on(model)
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5, on_error="raise"), pytest.warns(ActvizWarning):
        train(model, range(8), reference)
    run = actviz_tb.read(tmp_path).runs[0]
    for step in range(2, 8):
        assert run.stats("last").rms[run.steps.tolist().index(step)] == pytest.approx(
            expected(reference.found[step]["last"])["rms"], rel=1e-6
        )


def test_paused_it_sees_nothing(tmp_path: Path) -> None:
    model = Net(At(range(5, 7), planted))
    with actviz_tb.watch(model, tmp_path, every=100, recorder=5) as logger:
        train(model, range(5))
        logger.pause()
        train(model, range(5, 7))
        logger.resume()
        train(model, range(7, 9))
        assert logger.report().breaks == ()
    assert hooks_of(model) == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"recorder": 0}, ArgumentError),
        ({"recorder": 2.5}, ArgumentTypeError),
        ({"recorder": True}, ArgumentTypeError),
        ({"recorder": 5, "recorder_factor": 1.0}, ArgumentError),
        ({"recorder": 5, "recorder_factor": float("nan")}, ArgumentError),
        ({"recorder": 5, "recorder_factor": "ten"}, ArgumentTypeError),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"recorder(_factor)?="):
        actviz_tb.watch(Net(), tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_older_steps_may_come_after_newer_ones_in_a_log_that_is_being_read(tmp_path: Path) -> None:
    model = Net(At(range(27, 28), planted))
    logger = actviz_tb.watch(model, tmp_path, every=5, recorder=8)
    train(model, range(27))
    logger.flush()
    site = Site(tmp_path)
    known = site.record("stats", run=".", stat="rms")
    assert known.arrays["steps"].tolist() == [0, 5, 10, 15, 20, 25]
    with pytest.warns(ActvizWarning):
        train(model, range(27, 29))
    logger.close()
    site.store.refresh()
    fresh = site.record("stats", run=".", stat="rms", since=known.header["revision"])
    assert fresh.arrays["steps"].tolist() == [19, 21, 22, 23, 24, 26, 27, 28]
    whole = site.record("stats", run=".", stat="rms").arrays["steps"].tolist()
    assert whole == actviz_tb.read(tmp_path).runs[0].steps.tolist() == [0, 5, 10, 15, *range(19, 29)]


# A glance


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_nonfinite() -> Tensor:
    x = normal(4, 8, 60, 60)
    x[0, 0, 0, 0], x[1, 1, 0, 0], x[1, 2, 0, 0], x[3, 7] = torch.nan, torch.inf, -torch.inf, torch.nan
    return x


CASES = {
    "normal, a million elements": normal(4, 256, 32, 32),
    "one": torch.tensor([-3.0]),
    "a scalar": torch.tensor(2.5),
    "all zero": torch.zeros(5, 3000),
    "positive": normal(5, 3000).abs() + 1,
    "negative": -normal(5, 3000).abs() - 1,
    "with NaN and Inf": with_nonfinite(),
    "NaN only": torch.full((3, 4), torch.nan),
    "huge": normal(3, 7, 5000) * 1e37,
    "tiny": normal(3, 7, 5000) * 1e-36,
    "blocks huge and tiny": torch.cat([normal(5000) * 1e30, normal(5000) * 1e-30, normal(5000)]),
    "bf16": normal(16, 33).bfloat16(),
    "fp16": (normal(64, 1000) * 300).half(),
    "float64": normal(16, 33).double(),
    "not contiguous": normal(6, 10, 8).transpose(0, 2)[1:],
    "channels last": normal(4, 16, 9, 9).to(memory_format=torch.channels_last),
}


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("x", CASES.values(), ids=CASES.keys())
def test_a_glance_is_what_numpy_finds(x: Tensor) -> None:
    kept = ring.Ring(3, 10.0)
    row = kept.begin(0, 0.0)
    flags = kept.fill(row, kept.column("x"), x)
    names, cells = kept.cells(row)
    values = expected(x.float().numpy())
    assert names == ["x"]
    assert flags == int(values["nan"] + values["posinf"] + values["neginf"] > 0)
    for name in ("count", "nan", "posinf", "neginf"):
        assert cells[name][0] == values[name], name
    if values["count"] > values["nan"]:
        assert cells["rms"][0] == pytest.approx(values["rms"], rel=1e-5)
        assert (cells["low"][0], cells["high"][0]) == (np.float32(values["min"]), np.float32(values["max"]))


@pytest.mark.usefixtures("implementation")
def test_the_ring_grows_by_columns_and_forgets_old_rows() -> None:
    kept = ring.Ring(3, 10.0)
    for step in range(40):
        row = kept.begin(step, 0.0)
        for number in range(step * 5, step * 5 + 10):
            kept.fill(row, kept.column(f"layer {number}"), torch.full((3,), float(step)))
    assert [each.step for each in kept.before(row)] == [36, 37, 38]
    for each in (*kept.before(row), row):
        names, cells = kept.cells(each)
        assert names == [f"layer {number}" for number in range(each.step * 5, each.step * 5 + 10)]
        assert set(cells["rms"]) == {each.step}


def test_of_exact_zeros_the_log_has_what_is_known(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].bias.fill_(-100)
    with actviz_tb.watch(model, tmp_path, every=100, recorder=3):
        train(model, range(6))
        with torch.no_grad():
            model[3].weight.fill_(torch.nan)
        with pytest.warns(ActvizWarning):
            train(model, range(6, 7))
    run = actviz_tb.read(tmp_path).runs[0]
    at = run.steps.tolist().index(5)
    assert [run.stats(layer).zero[at] for layer in ("0", "1", "2")] == [0.0, 1.0, 1.0]


@pytest.fixture
def _late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs on the CPU take the way of those on an accelerator; what is copied arrives three forwards later."""

    begun = itertools.count()

    class Late:
        def __init__(self, parts: list[Tensor]) -> None:
            self._parts = [part.clone() for part in parts]
            self._number = next(begun)

        def ready(self) -> bool:
            return self._number + 3 <= next(copy.copy(begun))

        def arrays(self) -> list[np.ndarray]:
            return [part.numpy() for part in self._parts]

    monkeypatch.setattr(ring, "Transfer", Late)
    monkeypatch.setattr(ring, "is_on_host", lambda x: False)
    monkeypatch.setattr(native, "available", lambda: False)


@pytest.mark.usefixtures("_late")
def test_on_an_accelerator_a_break_is_found_late_and_the_steps_before_it_are_written_all_the_same(tmp_path: Path) -> None:
    model = Net(At(range(30, 31), planted))
    reference = Reference().on(model)
    logger = actviz_tb.watch(model, tmp_path, every=100, recorder=5, on_error="raise")
    train(model, range(31), reference)
    logger.flush()
    assert list(of_tag(tmp_path, "actviz/step")) == [0]
    with pytest.warns(ActvizWarning, match=r"step 30: NaN or infinite values, first in 'blocks\.1\.linear' \(12 of 96\)"):
        train(model, range(31, 37), reference)
    logger.close()
    assert breaks_of(logger) == [(30, "nonfinite", "blocks.1.linear")]
    run = actviz_tb.read(tmp_path).runs[0]
    assert run.steps.tolist()[:7] == [0, *range(25, 31)]
    assert run.steps.tolist()[7] in range(31, 36)  # the step at which it was found, in full
    for layer in LAYERS:
        stats = run.stats(layer)
        for step in range(25, 31):
            row, values = stats.steps.tolist().index(step), expected(reference.found[step][layer])
            nonfinite = values["nan"] + values["posinf"] + values["neginf"]
            assert stats.nan[row] + stats.posinf[row] + stats.neginf[row] == nonfinite
            for name in ("rms", "min", "max"):
                assert getattr(stats, name)[row] == pytest.approx(np.nan if nonfinite else values[name], rel=1e-5, abs=1e-7, nan_ok=True)


@pytest.mark.usefixtures("_late")
def test_on_an_accelerator_a_break_just_before_the_end_or_an_exception_is_written_too(tmp_path: Path) -> None:
    model = Net(At(range(8, 9), planted))
    with pytest.warns(ActvizWarning, match="step 8: NaN"), actviz_tb.watch(model, tmp_path / "closed", every=100, recorder=3) as logger:
        train(model, range(9))
    assert breaks_of(logger) == [(8, "nonfinite", "blocks.1.linear")]

    model = Net(At(range(8, 9), planted))
    logger = actviz_tb.watch(model, tmp_path / "raised", every=100, recorder=3)
    train(model, range(9))
    with pytest.warns(ActvizWarning), pytest.raises(RuntimeError):
        model(torch.ones(2, 3))
    assert breaks_of(logger) == [(8, "nonfinite", "blocks.1.linear"), (9, "forward", None)]


def test_a_report_shows_breaks() -> None:
    meter = Meter()
    meter.breaks.append(Break(3, "jump", "conv1", "RMS of 'conv1' jumped from 1 to 20"))
    assert "step 3: RMS of 'conv1' jumped from 1 to 20" in str(meter.report())


# Other machines


@pytest.mark.parametrize("kind", rank_training.KINDS)
def test_ranks_train_to_the_same_bits(tmp_path: Path, kind: str) -> None:
    ways = {"wrapped": {"every": 3, "recorder": 2}}
    for trained_rank in ranks.run(rank_training.train_in_turn, 2, tmp_path, kind, tmp_path, ways):
        assert isinstance(trained_rank, dict), trained_rank
        recorded, plain = trained_rank["wrapped"], trained_rank["not"]
        assert recorded.losses == plain.losses
        assert all(np.array_equal(values, plain.state[name]) for name, values in recorded.state.items())
        assert recorded.told == []
    assert list(of_tag(tmp_path / "wrapped" / "0", "actviz/step")) == [0, 3]


def test_a_model_in_data_parallel_goes_by_its_own_names(tmp_path: Path) -> None:
    for place in ("around", "inside"):
        model = Net(At(range(5, 6), planted))
        parallel = nn.DataParallel(model)
        logger = actviz_tb.watch(parallel if place == "around" else model, tmp_path / place, every=100, recorder=3)
        with logger, pytest.warns(ActvizWarning):
            train(parallel, range(6))
        assert breaks_of(logger) == [(5, "nonfinite", "blocks.1.linear")]
        assert layers_of(tmp_path / place, 3) == layers_of(tmp_path / place, 0)


def test_an_input_that_the_model_has_changed_since_is_not_shown(tmp_path: Path) -> None:
    class Doubles(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.mul_(2))

    model = Doubles(At(range(5, 6), planted))
    with actviz_tb.watch(model, tmp_path, every=100, recorder=3), pytest.warns(ActvizWarning):
        train(model, range(6))
    shown = of_tag(tmp_path, "actviz/inputs")
    assert "data" in shown[0].arrays
    assert shown[5].arrays == {}
