"""The ways in which hooks on models have failed their users, each with the test that proves that it does not happen here: `PROVED`.

Those that belong to one module of ours are proved beside its other tests; the rest is proved below.
"""

import ast
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from logged import assert_goes, counts_and_moments, layers_of
from odd_models import Around, batch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import actviz_tb

PROVED = {
    "an in-place ReLU overwrites what a hook kept": "test_logger.test_inplace_relu_does_not_change_the_recorded_conv_output",
    "backward hooks raise on in-place operations and pass over lists and dicts": (
        "test_gradients.test_in_place_operations_views_and_structured_outputs_have_gradients"
    ),
    "a module used twice, or under two names": "test_failure_modes.test_a_module_under_two_names_is_recorded_by_call_and_found_by_either",
    "tuples, dicts, ModelOutputs, packed sequences": "test_failure_modes.test_every_tensor_of_a_structured_output_is_recorded",
    "hooks added after the first compilation never fire": ("test_compiler.test_recorded_numbers_are_those_of_an_independent_eager_forward"),
    "compiled models are compiled again": ("test_compiler.test_due_steps_run_eagerly_and_all_others_the_same_graphs_as_without_watch"),
    "checkpointing runs hooks again": "test_training_loops.test_what_a_checkpoint_runs_again_is_recorded_once",
    "histograms of NaN only, of nothing, of fp8, of sparse tensors raise": "test_odd_tensors.test_what_has_values_is_recorded",
    "sums of squares overflow in fp16": "test_failure_modes.test_fp16_outputs_with_a_spread_of_300_have_a_finite_spread_and_norm",
    "reading a value in a hook stalls the device": "test_no_waiting.test_a_whole_recorded_step_waits_for_no_value",
    "memory is kept alive": "test_failure_modes.test_neither_outputs_nor_the_graph_outlive_the_step",
    "a watched model cannot be pickled, or its copy is logged": (
        "test_logger.test_a_watched_model_can_be_copied_and_pickled_and_the_copy_is_not_watched"
    ),
    "processes write over each other": (
        "test_distributed.test_ranks_train_to_the_same_bits_and_rank_0_alone_writes_what_a_plain_model_would"
    ),
    "wrappers change names, replicas record again": "test_replicas.test_of_the_replicas_the_first_one_is_recorded_once",
    "modules that never fire are not told of": "test_failure_modes.test_a_module_that_is_never_called_is_reported",
    "fused attention has no weights": "test_attention.test_weights_are_the_softmax_of_the_scaled_products",
    "a hook's value replaces the output, its exception ends the training": (
        "test_harmless.test_no_fault_anywhere_in_the_logging_changes_the_training"
    ),
}


def test_each_failure_mode_has_the_test_that_proves_it() -> None:
    for place in PROVED.values():
        name, test = place.split(".")
        tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text())
        assert test in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, place


# Structured outputs and names


@dataclass
class Output:
    logits: Tensor
    hidden_states: tuple[Tensor, ...]
    loss: Tensor | None = None


class ModelOutput(OrderedDict[str, Any]):
    """As transformers has it: a mapping that can also be indexed by number."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else list(self.values())[key]


STRUCTURES: dict[str, tuple[Callable[[Tensor], Any], list[str]]] = {
    "tuple": (lambda x: (x, (x + 1, None)), ["odd[0]", "odd[1][0]"]),
    "dict": (lambda x: {"a": x, "b": {"c": x + 1}}, ["odd.a", "odd.b.c"]),
    "dataclass": (lambda x: Output(x, (x, x + 1)), ["odd.logits", "odd.hidden_states[0]", "odd.hidden_states[1]"]),
    "ModelOutput": (lambda x: ModelOutput(logits=x, past=(x + 1,)), ["odd.logits", "odd.past[0]"]),
    "PackedSequence": (lambda x: pack_sequence([x, x[:2]]), ["odd.data"]),
}


@pytest.mark.parametrize(("function", "expected"), STRUCTURES.values(), ids=STRUCTURES.keys())
def test_every_tensor_of_a_structured_output_is_recorded(tmp_path: Path, function: Callable[[Tensor], Any], expected: list[str]) -> None:
    model = Around(function)
    with actviz_tb.watch(model, tmp_path, every=1, functional=False) as logger:
        model(batch())
        assert not logger.report().skipped
    assert layers_of(tmp_path) == ["before", *expected, "after"]


def test_a_packed_sequence_is_recorded_without_padding(tmp_path: Path) -> None:
    model = Around(lambda x: pack_sequence([x, x[:2]]))
    with actviz_tb.watch(model, tmp_path, every=1):
        model(batch(5))
    assert counts_and_moments(tmp_path, "odd.data")[0]["count"] == (5 + 2) * 4


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.boxes, self.classes = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"boxes": self.boxes(x) * 1000, "classes": self.classes(x)}


def test_an_entry_named_as_a_child_module_does_not_take_the_childs_place(tmp_path: Path) -> None:
    model, x = nn.Sequential(OrderedDict(trunk=nn.Linear(4, 4), heads=Heads())), batch()
    with actviz_tb.watch(model, tmp_path, every=1, layers=["heads*"]):
        model(x)
    assert layers_of(tmp_path) == ["heads.boxes", "heads.classes", "heads[boxes]", "heads[classes]"]
    with torch.no_grad():
        own = model.heads.boxes(model.trunk(x)).double().numpy()
    assert counts_and_moments(tmp_path, "heads.boxes")[1]["rms"] == pytest.approx(np.sqrt((own**2).mean()), rel=1e-5)
    assert counts_and_moments(tmp_path, "heads[boxes]")[1]["rms"] == pytest.approx(1000 * np.sqrt((own**2).mean()), rel=1e-5)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 4)
        self.decoder = self.encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x).relu())


@pytest.mark.parametrize("layers", [None, "decoder", lambda name, module: name == "decoder"], ids=["default", "glob", "predicate"])
def test_a_module_under_two_names_is_recorded_by_call_and_found_by_either(tmp_path: Path, layers: Any) -> None:
    model, x = Tied(), batch()
    with actviz_tb.watch(model, tmp_path, every=1, functional=False, layers=layers):
        model(x)
    name = "encoder" if layers is None else "decoder"
    assert layers_of(tmp_path) == [name, f"{name}:1"]
    with torch.no_grad():
        first = model.encoder(x)
        second = model.encoder(first.relu())
    for layer, expected in ((name, first), (f"{name}:1", second)):
        assert counts_and_moments(tmp_path, layer)[1]["mean"] == pytest.approx(float(expected.double().mean()), abs=1e-6)


def test_dataparallels_prefix_is_not_part_of_a_name(tmp_path: Path) -> None:
    model = nn.DataParallel(Tied())
    with actviz_tb.watch(model, tmp_path, every=1, functional=False):
        model(batch())
    assert layers_of(tmp_path) == ["encoder", "encoder:1"]


# Numbers, memory, coverage


def test_fp16_outputs_with_a_spread_of_300_have_a_finite_spread_and_norm(tmp_path: Path) -> None:
    values = (torch.randn(64, 1000, generator=torch.Generator().manual_seed(0)) * 300).half()
    model = Around(lambda x: values)
    with actviz_tb.watch(model, tmp_path, every=1):
        model(batch())
    _, moments = counts_and_moments(tmp_path, "odd")
    expected = values.numpy().astype(np.float64)
    assert moments["std"] == pytest.approx(expected.std(), rel=1e-6)
    assert moments["rms"] == pytest.approx(np.sqrt((expected**2).mean()), rel=1e-6)
    assert moments["kurtosis"] == pytest.approx(((expected - expected.mean()) ** 4).mean() / expected.std() ** 4, rel=1e-5)


class Token:
    """Something that a weak reference can be made of."""


class Remembered(torch.autograd.Function):
    """The identity; the graph holds a token."""

    alive: ClassVar[list[weakref.ref[Any]]] = []

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.token = Token()
        output = x.clone()
        Remembered.alive += [weakref.ref(ctx.token), weakref.ref(output)]
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@pytest.mark.parametrize("backward", [True, False], ids=["with a backward", "without a backward"])
@pytest.mark.parametrize("options", [{}, {"gradients": True}, {"probe": batch(3)}], ids=str)
def test_neither_outputs_nor_the_graph_outlive_the_step(tmp_path: Path, options: dict[str, Any], backward: bool) -> None:
    model = Around(Remembered.apply, use=lambda output: output.relu())
    Remembered.alive.clear()
    with actviz_tb.watch(model, tmp_path, every=1, **options):
        loss = model(batch()).sum()
        assert any(reference() is not None for reference in Remembered.alive)
        if backward:
            loss.backward()
        del loss
        assert_goes(*Remembered.alive)


def test_a_module_that_is_never_called_is_reported(tmp_path: Path) -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.by_forward, self.called, self.attention = nn.Linear(4, 4), nn.Linear(4, 4), nn.MultiheadAttention(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, self.called(self.by_forward.forward(x)))[0]

    model = Direct()
    with actviz_tb.watch(model, tmp_path, every=1) as logger:
        assert not logger.report().never_fired  # nothing is known before the first logged step
        model(batch())
        assert logger.report().never_fired == ["attention.out_proj", "by_forward"]
        assert "never called: by_forward" in str(logger.report())
