"""Under ``torch.compile`` due steps run eagerly, and all others the user's compiled graph, in which nothing was changed."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiled import (
    LAYERS,
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
    fresh,
    in_place_after_watch,
    in_place_before_watch,
    layer_outputs,
    module_inside_watched,
    train,
    wrapper_watched,
)
from logged import counts_and_moments, layers_of, of_tag, records
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

# torch compiles nothing of a Sequential compiled in place.
IN_PLACE = (in_place_before_watch, in_place_after_watch)
CASES = [
    *((Plain, way, fullgraph, first_step) for way in WAYS for fullgraph, first_step in ((False, 0), (True, 1))),
    *((make, way, True, 0) for make in (Listed, chain) for way in WAYS if not (make is chain and way in IN_PLACE)),
]
two_ways = pytest.mark.parametrize("way", [module_inside_watched, in_place_after_watch])


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


@pytest.mark.parametrize(("make", "way", "fullgraph", "first_step"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_due_steps_run_eagerly_and_all_others_the_same_graphs_as_without_watch(
    tmp_path: Path, make: Callable[[], nn.Module], way: Callable[..., Call], fullgraph: bool, first_step: int
) -> None:
    def run(watch: Watch) -> Training:
        model, backend = make(), Backend()
        call = way(model, watch, backend=backend, fullgraph=fullgraph)
        with torch._dynamo.config.patch(error_on_recompile=True):
            return train(call, model, batches(10), backend)

    watched, report = compared(run, tmp_path, every=3, step=first_step)
    steps = range(first_step, first_step + 10)
    due = [step for step in steps if step % 3 == 0]
    assert watched.executions == [int(step not in due) for step in steps]
    assert {step: layers_of(tmp_path, step) for step in of_tag(tmp_path, "actviz/step")} == dict.fromkeys(due, LAYERS[make])
    assert (report.steps, list(report.layers), report.never_fired) == (len(due), LAYERS[make], [])
    assert (report.skipped, report.faults) == ({}, {})


@two_ways
def test_recorded_numbers_are_those_of_an_independent_eager_forward(tmp_path: Path, way: Callable[..., Call]) -> None:
    model = Plain()
    with actviz_tb.watch(model, tmp_path, every=2) as logger:
        call = way(model, lambda model: None, backend="aot_eager", fullgraph=True)
        for step, x in enumerate(batches(5)):
            expected = layer_outputs(copy.deepcopy(model), x)
            train(call, model, [x])
            logger.flush()
            for layer, tensor in expected.items() if step % 2 == 0 else ():
                counts, moments = counts_and_moments(tmp_path, layer, step)
                values = tensor.numpy().astype(np.float64)
                assert (counts["count"], counts["zero"]) == (values.size, (values == 0).sum())
                assert [moments[name] for name in ("mean", "std", "min", "max")] == pytest.approx(
                    [values.mean(), values.std(), values.min(), values.max()], rel=1e-5, abs=1e-6
                ), (step, layer)


@two_ways
def test_keyword_arguments_pass_through(tmp_path: Path, way: Callable[..., Call]) -> None:
    def run(watch: Watch) -> Training:
        model, backend = Plain(), Backend()
        return train(way(model, watch, backend=backend), model, batches(4), backend, scale=2.0)

    compared(run, tmp_path, every=2)
    assert layers_of(tmp_path, 0) == [*LAYERS[Plain], "Plain"]


@pytest.mark.parametrize(
    ("options", "mark", "graphs"),
    [({}, False, 2), ({"dynamic": True}, False, 1), ({}, True, 1)],
    ids=["automatic", "dynamic=True", "mark_dynamic"],
)
def test_batches_of_other_sizes_compile_as_often_as_without_watch(tmp_path: Path, options: dict[str, Any], mark: bool, graphs: int) -> None:
    def run(watch: Watch) -> Training:
        model, backend, inputs = Plain(), Backend(), batches(11, (6, 6, 6, 4))
        for x in inputs if mark else ():
            torch._dynamo.mark_dynamic(x, 0)
        return train(module_inside_watched(model, watch, backend=backend, **options), model, inputs, backend)

    watched, _ = compared(run, tmp_path, every=5)
    assert watched.compilation["stats"]["unique_graphs"] == graphs
    assert watched.executions == [int(step % 5 != 0) for step in range(11)]


@pytest.mark.parametrize("way", [wrapper_watched, in_place_after_watch])
def test_the_probe_runs_eagerly_and_compiles_nothing(tmp_path: Path, way: Callable[..., Call]) -> None:
    def run(watch: Watch) -> Training:
        model, backend = Plain(), Backend()
        return train(way(model, watch, backend=backend, fullgraph=True), model, batches(4), backend)

    watched, _ = compared(run, tmp_path, every=3, step=1, probe=torch.ones(3, 4), samples=3)
    assert watched.executions == [1, 1, 0, 1]
    record = of_tag(tmp_path, "actviz/maps/first")[3]
    assert (record.header["source"], len(record.arrays["data"])) == ("probe", 3)


@two_ways
def test_gradients_arrive_at_due_steps(tmp_path: Path, way: Callable[..., Call]) -> None:
    def run(watch: Watch) -> Training:
        model, backend = Plain(), Backend()
        return train(way(model, watch, backend=backend), model, batches(4), backend)

    compared(run, tmp_path, every=2, gradients=True)
    found = {step: record.header["layers"] for step, record in of_tag(tmp_path, "actviz/gradients").items()}
    assert found == dict.fromkeys((0, 2), LAYERS[Plain])


class Twice(nn.Module):
    """An eager root around a part that it calls twice."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.first, self.part, self.back = nn.Linear(4, 5), part, nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.part(self.back(self.part(self.first(x))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_part_of_an_eager_model_goes_by_its_own_name(tmp_path: Path, in_place: bool) -> None:
    def run(watch: Watch) -> Training:
        part, backend = Head(), Backend()
        if in_place:
            part.compile(backend=backend, fullgraph=True)
        model = Twice(part if in_place else torch.compile(part, backend=backend, fullgraph=True))  # type: ignore[arg-type]
        watch(model)
        return train(model, model, batches(4), backend)

    watched, _ = compared(run, tmp_path, every=2)
    assert watched.executions == [0, 2, 0, 2]
    assert layers_of(tmp_path, 2) == ["first", "part.linear", "part/sigmoid", "back", "part.linear:1", "part/sigmoid:1"]
    modules = of_tag(tmp_path, "actviz/model")[0].header["modules"]
    assert [module["path"] for module in modules] == ["", "first", "part", "part.linear", "back"]


def test_a_compiled_block_that_is_called_twice_is_one_layer_with_two_calls(tmp_path: Path) -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 4)
            self.inside = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.inside(super().forward(x)) * 2  # type: ignore[no-any-return]

    part: Any = torch.compile(Scaled(), backend="eager")
    model = nn.Sequential(part, part)
    with actviz_tb.watch(model, tmp_path, every=1, functional=False):
        model(torch.ones(2, 4))
    assert layers_of(tmp_path) == ["0.inside", "0", "0.inside:1", "0:1"]


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda part: torch.compile(part, backend="eager")], ids=["parallel", "compiled"])
def test_a_wrapper_is_no_layer_of_its_own(tmp_path: Path, wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(4, 5), wrap(Head()))
    with actviz_tb.watch(model, tmp_path, every=1, layers=lambda name, module: True, functional=False):
        model(batches(1)[0])
    assert layers_of(tmp_path) == ["0", "1.linear", "1", "Sequential"]


@pytest.mark.parametrize("given", ["wrapper", "module inside"])
def test_calls_of_the_wrapper_and_of_the_module_inside_it_are_one_models(tmp_path: Path, given: str) -> None:
    model, x = Plain(), batches(1)[0]
    call: Any = torch.compile(model, backend="eager", fullgraph=True)
    with actviz_tb.watch(call if given == "wrapper" else model, tmp_path, every=1) as logger:
        for step, each in enumerate((call, model, call)):
            each(x)
            assert logger.step == step
    assert [layers_of(tmp_path, step) for step in of_tag(tmp_path, "actviz/step")] == [LAYERS[Plain]] * 3


def test_two_compiled_models_keep_to_their_own_steps(tmp_path: Path) -> None:
    names = ("generator", "critic")
    backends, executions = {name: Backend() for name in names}, {name: [] for name in names}
    calls = {name: torch.compile(Listed(), backend=backends[name], fullgraph=True) for name in names}
    with SummaryWriter(str(tmp_path)) as writer:
        for name, every in zip(names, (2, 3), strict=True):
            actviz_tb.watch(calls[name], writer, every=every, name=name, on_error="raise")
        for x in batches(6):
            for name, call in calls.items():
                before = backends[name].executions
                call(x).sum().backward()
                executions[name].append(backends[name].executions - before)
    assert executions == {"generator": [0, 1, 0, 1, 0, 1], "critic": [0, 1, 1, 0, 1, 1]}
    found = [(step, tag.removeprefix("actviz/step/")) for tag, step, record in records(tmp_path) if record.kind == "step"]
    assert sorted(found) == [(0, "critic"), (0, "generator"), (2, "generator"), (3, "critic"), (4, "generator")]


def test_evaluation_of_a_compiled_model_is_neither_counted_nor_recorded(tmp_path: Path) -> None:
    model, backend = Plain(), Backend()
    call = torch.compile(model, backend=backend, fullgraph=True)
    with actviz_tb.watch(model, tmp_path, every=2) as logger:
        for x in batches(4):
            call(x)
            before = backend.executions
            model.eval()
            with torch.no_grad():
                call(x)
            model.train()
            assert backend.executions == before + 1
        assert logger.step == 3
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 2]
