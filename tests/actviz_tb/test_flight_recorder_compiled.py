"""With the flight recorder a compiled model keeps its graphs; what it can see then, and what it says of the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiled import (
    WAYS,
    Backend,
    Call,
    Head,
    Listed,
    Plain,
    Training,
    Watch,
    batches,
    chain,
    compared,
    forward_compiled,
    fresh,
    in_place_after_watch,
    in_place_before_watch,
    module_inside_watched,
    train,
    wrapper_watched,
)
from logged import layers_of, of_tag
from torch import Tensor, nn

import actviz_tb
from actviz_tb import ActvizWarning
from tensorboard_plugin.actviz import wire

# torch compiles nothing of a Sequential compiled in place.
CASES = [
    pytest.param(make, way, marks=() if make is Plain or way is wrapper_watched else pytest.mark.slow)
    for make in (Plain, Listed, chain)
    for way in WAYS
    if make is not chain or "in_place" not in way.__name__
]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


@pytest.mark.parametrize(("make", "way"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_graphs_results_and_recompilations_are_those_of_a_training_without_watch(
    tmp_path: Path, make: Callable[[], nn.Module], way: Callable[..., Call]
) -> None:
    def run(watch: Watch) -> Training:
        model, backend = make(), Backend()
        call = way(model, watch, backend=backend, fullgraph=True)
        with torch._dynamo.config.patch(error_on_recompile=True):
            return train(call, model, batches(10), backend)

    watched, report = compared(run, tmp_path, every=4, recorder=3)
    assert watched.executions == [int(step % 4 != 0) for step in range(10)]
    assert report.breaks == ()
    assert any(name.startswith("flight recorder") for name in report.skipped)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_part_that_is_compiled_after_the_first_steps_keeps_its_graph(tmp_path: Path, in_place: bool) -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.part = nn.Linear(4, 5), Head()

        def forward(self, x: Tensor) -> Tensor:
            return self.part(self.first(x))  # type: ignore[no-any-return]

    def run(watch: Watch) -> Training:
        model, backend = Parts(), Backend()
        watch(model)
        train(model, model, batches(3), backend)
        if in_place:
            model.part.compile(backend=backend, fullgraph=True)
        else:
            model.part = torch.compile(model.part, backend=backend, fullgraph=True)  # type: ignore[assignment]
        return train(model, model, batches(9), backend)

    watched, report = compared(run, tmp_path, every=100, recorder=3)
    assert watched.executions == [1] * 9
    assert report.breaks == ()


def broken_at(way: Callable[..., Call], make: Callable[[], nn.Module], directory: Path, step: int) -> actviz_tb.ActivationLogger:
    model = make()
    loggers: list[actviz_tb.ActivationLogger] = []
    call = way(model, lambda model: loggers.append(actviz_tb.watch(model, directory, every=100, recorder=3)), backend="eager")
    inputs = batches(step + 1)
    inputs[step][0, 0] = torch.nan
    with pytest.warns(ActvizWarning, match=f"step {step}: NaN"):
        train(call, model, inputs)
    loggers[0].close()
    return loggers[0]


@pytest.mark.parametrize("way", [wrapper_watched, module_inside_watched, in_place_before_watch, in_place_after_watch, forward_compiled])
def test_of_a_compiled_model_what_it_puts_out_is_seen(tmp_path: Path, way: Callable[..., Call]) -> None:
    logger = broken_at(way, Plain, tmp_path, 8)
    report = logger.report()
    assert [(each.step, each.kind, each.layer) for each in report.breaks] == [(8, "nonfinite", "head/sigmoid")]
    assert any("graph" in reason for reason in report.skipped.values())
    found = of_tag(tmp_path, "actviz/step")
    assert list(found) == [0, *range(5, 9)]
    # The layer that logged steps have with this very output; nothing of the others.
    assert {step: layers_of(tmp_path, step) for step in (5, 6, 7)} == {step: ["head/sigmoid"] for step in (5, 6, 7)}


def test_its_numbers_are_those_of_the_outputs(tmp_path: Path) -> None:
    compiled: Any = torch.compile(Listed(), backend="eager")
    with actviz_tb.watch(compiled, tmp_path, every=100, recorder=3):
        put_out = [compiled(x).detach().double().numpy() for x in batches(6)]
        with pytest.warns(ActvizWarning):
            compiled(torch.full((2, 4), torch.nan))
    for step in (3, 4, 5):
        record = of_tag(tmp_path, "actviz/step")[step]
        rms = record.arrays["moments"][0][wire.MOMENTS.index("rms")]
        assert record.header["layers"] == ["layers.2"]
        assert rms == pytest.approx(np.sqrt((put_out[step] ** 2).mean()), rel=1e-6)


def test_of_a_container_of_torchs_own_that_is_compiled_nothing_is_seen_and_the_report_says_so(tmp_path: Path) -> None:
    model = chain()
    compiled: Any = torch.compile(model, backend="eager")
    with actviz_tb.watch(model, tmp_path, every=100, recorder=3) as logger:
        for x in [*batches(4), torch.full((2, 4), torch.nan)]:
            compiled(x)
        assert "nothing is seen" in logger.report().skipped["flight recorder"]
        assert logger.report().breaks == ()


def test_of_a_model_with_a_compiled_part_the_rest_is_seen(tmp_path: Path) -> None:
    part: Any = torch.compile(Head(), backend="eager")
    model = nn.Sequential(nn.Linear(4, 5), part, nn.Linear(3, 2))
    with actviz_tb.watch(model, tmp_path, every=100, recorder=3) as logger:
        for x in batches(4):
            model(x)
        with pytest.warns(ActvizWarning, match="first in '0'"):
            model(torch.full((2, 4), torch.nan))
    assert layers_of(tmp_path, 3) == ["0", "2"]
    assert "flight recorder: 1.linear" in logger.report().skipped


def test_an_exception_in_the_backward_of_a_compiled_model(tmp_path: Path) -> None:
    def fail(gradient: Tensor) -> Tensor:
        raise ValueError("planted")

    model = Plain()
    compiled: Any = torch.compile(model, backend="aot_eager")
    logger = actviz_tb.watch(model, tmp_path, every=100, recorder=3)
    train(compiled, model, batches(5))
    model.first.weight.register_hook(fail)
    with pytest.warns(ActvizWarning, match="step 5: exception in backward"), pytest.raises(ValueError, match="planted"):
        train(compiled, model, batches(1))
    assert list(of_tag(tmp_path, "actviz/step")) == [0, *range(2, 6)]
    logger.close()
