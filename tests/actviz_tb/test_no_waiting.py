"""Nothing that runs in a hook waits for the device.

Tensors of the ``meta`` device stand for those of a GPU: torch takes the same paths for both, and no meta tensor has a value that the
host could ask for. What would have to be copied from the host to the device, for which torch waits as well, is told by `OnTheDevice`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from logged import layers_of, records
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import actviz_tb
from actviz_tb import attention, gram, maps, outputs, recording, ring, statistics

LIMITS = maps.Limits(samples=2, channels=4, size=8)


class OnTheDevice(TorchDispatchMode):
    """Every tensor that an operation takes is a given one, or was made by an operation on the device."""

    def __init__(self, *given: Tensor) -> None:
        super().__init__()
        self._known = {id(tensor): tensor for tensor in given}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):
                assert id(tensor) in self._known, f"{function} takes a tensor from the host: {tuple(tensor.shape)}"
        output = function(*args, **kwargs)
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                assert tensor.device.type == "meta", f"{function} makes a tensor on the host"
                self._known[id(tensor)] = tensor
        return output


def on_device(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn]
SHAPES = [(), (7,), (8, 5), (6, 9000), (3, 40, 30), (4, 32, 20, 20), (2, 3, 5, 20, 20), (2, 1, 1, 3, 4, 5), (4, 64, 70, 70)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_statistics_maps_and_gram_matrix_wait_for_no_value(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = on_device(*shape, dtype=dtype)
    with OnTheDevice(x):
        assert outputs.unrecordable(outputs.readable(x)) == "meta tensor without values"
        layout, channel_axis = maps.layout(x.shape)
        found = statistics.summarise(x, channel_axis, (0.0, 1.0), statistics.Scratch())
        if layout is not None:
            kept = maps.extract(x, layout, channel_axis, LIMITS)
            assert kept is not None
        matrix = gram.centred_gram(x, len(x) if x.ndim else 1)
    assert {tensor.device.type for tensor in found.parts} == {"meta"}
    assert (matrix is not None) == (len(shape) > 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_glance_of_the_flight_recorder_waits_for_no_value(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(ring, "Transfer", NeverLanded)
    x = on_device(*shape, dtype=dtype).requires_grad_()
    row = ring.DeviceRow()
    with OnTheDevice(x):
        for column in range(70):  # more than a row has room for at first
            row.add(column, x)
        assert row.land() is not None


QUERY = (3, 4, 9, 8)
MASKS = {
    "without a mask": {},
    "causal": {"is_causal": True},
    "boolean mask": {"attn_mask": on_device(9, 9, dtype=torch.bool)},
    "mask of numbers": {"attn_mask": on_device(3, 1, 9, 9)},
}


@pytest.mark.parametrize("largest", [attention.MAX_LOGITS, 100], ids=["all queries", "some queries"])
@pytest.mark.parametrize("options", MASKS.values(), ids=MASKS.keys())
def test_attention_waits_for_no_value(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], largest: int) -> None:
    monkeypatch.setattr(attention, "MAX_LOGITS", largest)
    function = nn.functional.scaled_dot_product_attention
    q, k, v = on_device(*QUERY), on_device(*QUERY), on_device(*QUERY)
    with OnTheDevice(q, k, v, *(value for value in options.values() if isinstance(value, Tensor))):
        found = attention.of_call("scaled_dot_product_attention", function, (q, k, v), options, LIMITS, statistics.Scratch())
    assert found is not None
    assert (found.queries is None) == (largest > 100)


@pytest.mark.parametrize("largest", [attention.MAX_LOGITS, 100], ids=["all queries", "some queries"])
def test_weights_that_a_module_returns_wait_for_no_value_and_leave_the_proof_for_later(
    monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(attention, "MAX_LOGITS", largest)
    weights = on_device(3, 4, 9, 9)
    with OnTheDevice(weights):
        found = attention.of_returned(weights, (), LIMITS)
    assert found is not None
    assert found.proof is not None
    assert (found.queries is None) == (largest > 100)


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 100)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        x, _ = self.lstm(x)
        x, _ = self.attention(x, x, x, need_weights=False)
        return {"logits": self.head(nn.functional.gelu(x)).softmax(-1)}


class NeverLanded:
    """In place of `transfer.Transfer`: of a meta tensor nothing can be copied."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        assert {tensor.device.type for tensor in tensors} <= {"meta"}
        self._tensors = tensors

    def arrays(self) -> list[np.ndarray]:
        return [torch.zeros(tensor.shape, dtype=tensor.dtype).numpy() for tensor in self._tensors]


@pytest.mark.parametrize("with_probe", [False, True])
def test_a_whole_recorded_step_waits_for_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_probe: bool) -> None:
    monkeypatch.setattr(outputs, "unrecordable", lambda tensor: None)  # else each would be passed over as a meta tensor
    monkeypatch.setattr(recording, "Transfer", NeverLanded)
    model, x = Everything().to("meta"), on_device(5, 3, 12, 12)
    options: dict[str, Any] = {"probe": x, "samples": 2} if with_probe else {"gradients": True}
    with actviz_tb.watch(model, tmp_path, every=1, max_channels=4, max_size=8, on_error="raise", **options) as logger:
        with OnTheDevice(x, *model.parameters(), *model.buffers(), *([logger._recorder._probe.first_tensor()] if with_probe else [])):
            model(x)["logits"].sum().backward()
        logger.flush()
    expected = ["conv", "norm", "relu", "lstm[0]", "attention[0]", "head"]
    assert [layer for layer in layers_of(tmp_path) if layer in expected] == expected
    tags = {tag for tag, _, _ in records(tmp_path)}
    assert {"actviz/attention/attention", "actviz/gram/conv" if with_probe else "actviz/gradient/conv"} <= tags
