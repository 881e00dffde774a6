"""What watching leaves as it was: the user's stance, fullgraph's promise, other compiled functions, and the model."""

import copy
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from compiled import (
    LAYERS,
    Backend,
    Call,
    Listed,
    Plain,
    Training,
    Watch,
    batches,
    compared,
    fresh,
    in_place_after_watch,
    module_inside_watched,
    train,
)
from logged import hooks_of, layers_of, of_tag
from torch import Tensor, fx, nn
from torch._dynamo import eval_frame
from torch._dynamo.exc import Unsupported

import actviz_tb

two_ways = pytest.mark.parametrize("way", [module_inside_watched, in_place_after_watch])


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


@two_ways
def test_after_close_the_model_runs_its_graph_as_if_it_had_never_been_watched(tmp_path: Path, way: Callable[..., Call]) -> None:
    model, backend = Plain(), Backend()
    loggers: list[actviz_tb.ActivationLogger] = []
    call = way(model, lambda model: loggers.append(actviz_tb.watch(model, tmp_path, every=2)), backend=backend, fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        train(call, model, batches(4), backend)
        loggers[0].close()
        assert hooks_of(model) == 0
        assert eval_frame._stance.stance == "default"
        assert train(call, model, batches(4), backend).executions == [1, 1, 1, 1]
    assert backend.graphs == 1
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 2]


@pytest.mark.parametrize("stance", ["force_eager", "eager_on_recompile", "fail_on_recompile", "default"])
def test_the_users_own_stance_is_as_before_after_a_due_step(tmp_path: Path, stance: str) -> None:
    model = Plain()
    call = torch.compile(model, backend="eager")
    call(batches(1)[0])
    with actviz_tb.watch(model, tmp_path, every=2), torch.compiler.set_stance(stance):
        for x in batches(4):
            call(x)
            assert eval_frame._stance.stance == stance
    assert eval_frame._stance.stance == "default"


class Broken(nn.Module):
    """What fullgraph=True refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        torch._dynamo.graph_break()
        return self.last(x)  # type: ignore[no-any-return]


def breaking(x: Tensor) -> Tensor:
    torch._dynamo.graph_break()
    return x + 1


def test_fullgraph_still_refuses_a_break_in_the_watched_model_and_in_other_functions(tmp_path: Path) -> None:
    model, x = Broken(), batches(1)[0]
    call, other = (torch.compile(each, backend="eager", fullgraph=True) for each in (model, breaking))
    with actviz_tb.watch(model, tmp_path, every=2, step=1):
        for due in (False, True, False, True):
            if due:
                call(x)
            else:
                with pytest.raises(Unsupported, match="graph_break"):
                    call(x)
            with pytest.raises(Unsupported, match="graph_break"):
                other(x)
    assert list(of_tag(tmp_path, "actviz/step")) == [2, 4]


def test_fullgraph_still_refuses_a_call_of_which_nothing_was_compiled(tmp_path: Path) -> None:
    model, other, x = Plain(), nn.Sequential(nn.ReLU()), batches(1)[0]
    call = torch.compile(model, backend="eager", fullgraph=True)
    other.compile(backend="eager", fullgraph=True)
    with actviz_tb.watch(model, tmp_path, every=2):
        for _ in range(4):
            call(x)
            with pytest.raises(RuntimeError, match="found no compiled frames"):
                other(x)


def test_breaks_that_the_user_accepts_are_as_many_as_without_watch(tmp_path: Path) -> None:
    def run(watch: Watch) -> Training:
        model, backend = Broken(), Backend()
        return train(module_inside_watched(model, watch, backend=backend), model, batches(6), backend)

    watched, _ = compared(run, tmp_path, every=3)
    assert watched.executions == [0, 2, 2, 0, 2, 2]


@pytest.mark.parametrize("fullgraph", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("make", [Plain, Listed])
def test_a_model_called_inside_a_compiled_function_is_left_alone_and_close_says_so(
    tmp_path: Path, make: Callable[[], nn.Module], compiled: bool, fullgraph: bool
) -> None:
    def run(watch: Watch) -> Training:
        model, backend = make(), Backend()
        watch(model)
        called: Call = torch.compile(model, backend=backend) if compiled else model
        step = torch.compile(lambda x: called(x * 2) + 1, backend=backend, fullgraph=fullgraph)
        with torch._dynamo.config.patch(error_on_recompile=True):
            return train(step, model, batches(4), backend)

    with pytest.warns(actviz_tb.ActvizWarning, match="not from inside another compiled function"):
        watched, _ = compared(run, tmp_path, every=1)
    assert watched.executions == [1, 1, 1, 1]
    assert not of_tag(tmp_path, "actviz/step")


@pytest.mark.parametrize("why", ["disabled", "hook"])
def test_a_model_that_a_compiled_function_calls_but_cannot_take_in_is_recorded(tmp_path: Path, why: str) -> None:
    def run(watch: Watch) -> Training:
        model = Plain()
        called: Call = torch.compiler.disable(model) if why == "disabled" else model
        if why == "hook":
            model.register_forward_hook(lambda *_: torch._dynamo.graph_break())
        watch(model)

        @torch.compile(backend="eager")
        def step(x: Tensor) -> Tensor:
            return called(x * 2).sin()  # type: ignore[no-any-return]

        return train(step, model, batches(5))

    compared(run, tmp_path, every=2)
    assert [layers_of(tmp_path, step) for step in (0, 2, 4)] == [LAYERS[Plain]] * 3
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 2, 4]


class Failing(Plain):
    """Raises after its first layer, where it is told to."""

    error: BaseException | None = None

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        if self.error is not None:
            self.first(x)
            raise self.error
        return super().forward(x, scale)


@pytest.mark.parametrize("error", [ValueError("half way"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_a_due_step_that_fails_gives_the_compiler_back(tmp_path: Path, error: BaseException) -> None:
    model, backend, x = Failing(), Backend(), batches(1)[0]
    call = torch.compile(model, backend=backend, fullgraph=True)
    with actviz_tb.watch(model, tmp_path, every=2):
        model.error = error
        with pytest.raises(type(error)):
            call(x)
        model.error = None
        call(x)
        assert backend.executions == 1
        assert eval_frame._stance.stance == "default"
        assert hooks_of(model) == 1  # the gate


def test_export_and_trace_count_no_step_and_find_no_hook(tmp_path: Path) -> None:
    model, x = Plain(), batches(1)[0]
    expected = model(x)
    with actviz_tb.watch(model, tmp_path, every=1) as logger:
        exported = torch.export.export(model, (x,)).module()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit's farewell
            traced = torch.jit.trace(model, (x,))
        assert logger.step is None
        assert torch.equal(exported(x), expected)
        assert torch.equal(traced(x), expected)
        model(x)
    assert list(of_tag(tmp_path, "actviz/step")) == [0]


def test_a_copy_of_a_compiled_model_is_not_watched(tmp_path: Path) -> None:
    model, x = Plain(), batches(1)[0]
    call = torch.compile(model, backend="eager")
    with actviz_tb.watch(call, tmp_path, every=1):
        call(x)
        for duplicate in (copy.deepcopy(call), torch.compile(pickle.loads(pickle.dumps(model)), backend="eager")):
            duplicate(x)
    assert list(of_tag(tmp_path, "actviz/step")) == [0]


@two_ways
def test_capture_shows_a_compiled_models_layers_and_compiles_nothing(way: Callable[..., Call]) -> None:
    model, backend, x = Plain(), Backend(), batches(1)[0]
    call = way(model, lambda model: None, backend=backend, fullgraph=True)
    expected = call(x)
    found = actviz_tb.capture(call, x)  # type: ignore[arg-type]
    assert list(found) == ["first", "relu", "head.linear", "head"]
    assert torch.equal(found["head"].tensor, expected)
    assert (backend.graphs, backend.executions) == (1, 1)


@two_ways
def test_a_torch_without_stances_runs_due_steps_eagerly_all_the_same(
    tmp_path: Path, way: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.compiler, "set_stance", raising=False)  # as before torch 2.6

    def run(watch: Watch) -> Training:
        model, backend = Plain(), Backend()
        return train(way(model, watch, backend=backend, fullgraph=True), model, batches(4), backend)

    watched, _ = compared(run, tmp_path, every=2)
    assert watched.executions == [0, 1, 0, 1]
    assert layers_of(tmp_path, 2) == LAYERS[Plain]


class Inductor(Backend):
    """Compiles by inductor, in one of its modes, and counts."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def __call__(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Call:
        from torch._inductor.compile_fx import compile_fx  # takes seconds

        code = compile_fx(graph, inputs, config_patches=torch._inductor.list_mode_options(self.mode))
        return self.counted(code)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_inductors_code_runs_between_due_steps(tmp_path: Path, mode: str) -> None:
    model, backend, inputs = Plain(), Inductor(mode), batches(4)
    call = torch.compile(model, backend=backend, fullgraph=True)
    start = copy.deepcopy(model.state_dict())
    expected = train(call, model, inputs, backend)
    model.load_state_dict(start)
    with actviz_tb.watch(model, tmp_path, every=2, step=1), torch._dynamo.config.patch(error_on_recompile=True):
        watched = train(call, model, inputs, backend)
    assert watched.executions == [1, 0, 1, 0]
    assert backend.graphs == 1
    torch.testing.assert_close(watched.outputs, expected.outputs)
    assert {step: layers_of(tmp_path, step) for step in of_tag(tmp_path, "actviz/step")} == dict.fromkeys((2, 4), LAYERS[Plain])
