"""Outputs of every kind: recorded where they have values, else listed with the reason; the training does not notice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from logged import counts_and_moments, layers_of, of_tag
from odd_models import Around, batch, identical, trained
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard

import actviz_tb


class Subclass(Tensor):
    """Stays what it is through torch's functions."""


@dataclass(frozen=True)
class Case:
    """A layer's function.

    Attributes:
        use: makes [n, 4] of its output, for the rest of the model; None: not used.
        values: the values in its output; None: they cannot be recorded.
        reason: why.
    """

    function: Callable[[Tensor], Any]
    use: Callable[[Any], Tensor] | None = None
    values: Callable[[Any], Tensor] | None = None
    reason: str | None = None


def recorded(function: Callable[[Tensor], Any], use: Callable[[Any], Tensor] | None = None, values: Any = lambda output: output) -> Case:
    return Case(function, use, values)


def passed_over(function: Callable[[Tensor], Any], reason: str | None, use: Callable[[Any], Tensor] | None = None) -> Case:
    return Case(function, use, reason=reason)


def in_inference_mode(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x * 2


def fake(x: Tensor) -> Tensor:
    with FakeTensorMode():
        return torch.empty(3, 4)


def masked(x: Tensor) -> Any:
    return torch.masked.masked_tensor(x.detach(), x > 0)


def itself(output: Tensor) -> Tensor:
    return output


RECORDED = {
    "float64": recorded(lambda x: x.double() * 1.1, lambda o: o.float()),
    "float16": recorded(lambda x: x.half(), lambda o: o.float()),
    "bfloat16": recorded(lambda x: x.bfloat16(), lambda o: o.float()),
    "float8_e4m3fn": recorded(lambda x: x.to(torch.float8_e4m3fn)),
    "float8_e5m2": recorded(lambda x: x.to(torch.float8_e5m2)),
    "quantised": recorded(lambda x: torch.quantize_per_tensor(x, 0.1, 3, torch.qint8), values=lambda o: o.dequantize()),
    "quantised by channel": recorded(
        lambda x: torch.quantize_per_channel(x, torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.zeros(4), 1, torch.qint8),
        values=lambda o: o.dequantize(),
    ),
    "all NaN": recorded(lambda x: x * float("nan")),
    "all infinite": recorded(lambda x: torch.full_like(x, float("-inf"))),
    "0 axes": recorded(lambda x: x.mean(), lambda o: o.expand(5, 4)),
    "one element": recorded(lambda x: x[:1, :1], lambda o: o.expand(5, 4)),
    "6 axes": recorded(lambda x: x.reshape(1, 1, 1, 1, 5, 4), lambda o: o.reshape(5, 4)),
    "expanded": recorded(lambda x: x[:1].expand(5, 4), itself),
    "every other": recorded(lambda x: x.repeat(2, 2)[::2, ::2], itself),
    "transposed": recorded(lambda x: x.t(), lambda o: o.t()),
    "flipped": recorded(lambda x: x.flip(0, 1), itself),
    "overlapping": recorded(lambda x: x.as_strided((5, 4), (2, 1)), itself),
    "channels_last": recorded(lambda x: x.reshape(1, 5, 2, 2).contiguous(memory_format=torch.channels_last) + 1, lambda o: o.reshape(5, 4)),
    "negative view": recorded(lambda x: torch.complex(x, x + 1).conj().imag, itself),
    "zero tensor": recorded(lambda x: torch._efficientzerotensor((3, 4))),
    "subclass": recorded(lambda x: x.as_subclass(Subclass), itself, lambda o: o.as_subclass(Tensor)),  # type: ignore[arg-type]
    "parameter": recorded(lambda x: nn.Parameter(x.detach())),
    "its input": recorded(itself, itself),
    "inference tensor": recorded(in_inference_mode),
}
PASSED_OVER = {
    "complex": passed_over(lambda x: torch.complex(x, x), "dtype torch.complex64", lambda o: o.abs()),
    "conjugate": passed_over(lambda x: torch.complex(x, x).conj(), "dtype torch.complex64", lambda o: o.abs()),
    "integers": passed_over(lambda x: (x * 10).long(), "dtype torch.int64"),
    "booleans": passed_over(lambda x: x > 0, "dtype torch.bool"),
    "several numbers an element": passed_over(
        lambda x: torch.zeros(5, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "dtype torch.float4_e2m1fn_x2"
    ),
    "sparse": passed_over(lambda x: x.to_sparse(), "layout torch.sparse_coo", lambda o: o.to_dense()),
    "sparse by row": passed_over(lambda x: x.to_sparse_csr(), "layout torch.sparse_csr", lambda o: o.to_dense()),
    "mkldnn": passed_over(lambda x: x.detach().to_mkldnn(), "layout torch._mkldnn"),
    "jagged": passed_over(
        lambda x: torch.nested.as_nested_tensor([x, x[:2]], layout=torch.jagged), "nested tensor", lambda o: o.unbind()[0]
    ),
    "nested": passed_over(lambda x: torch.nested.as_nested_tensor([x, x[:2]]), "nested tensor", lambda o: o.unbind()[0]),
    "no rows": passed_over(lambda x: x[:0], "no element (shape (0, 4))"),
    "no columns": passed_over(lambda x: x[:, :0], "no element (shape (5, 0))"),
    "meta": passed_over(lambda x: x.to("meta"), "meta tensor without values"),
    "fake": passed_over(fake, "a FakeTensor, which may hold no values of its own"),
    "masked": passed_over(masked, "a MaskedTensor, which may hold no values of its own"),
    "generator": passed_over(lambda x: (x * factor for factor in (1, 2)), "its output is a generator without a tensor", sum),
    "number": passed_over(lambda x: 3.0, "its output is a float without a tensor"),
    "array": passed_over(lambda x: x.detach().numpy(), "its output is a ndarray without a tensor"),
    "None": passed_over(lambda x: None, None),
}
CASES = RECORDED | PASSED_OVER


@pytest.mark.filterwarnings("ignore:.*MaskedTensor")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_training_is_the_same_bit_for_bit_whatever_a_layer_puts_out(tmp_path: Path, case: Case) -> None:
    unwatched = trained(lambda: Around(case.function, case.use))
    for options in ({"gradients": True}, {"probe": batch(seed=9)}):
        watched = trained(lambda: Around(case.function, case.use), tmp_path / next(iter(options)), on_error="raise", **options)
        assert identical(watched, unwatched)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("case", RECORDED.values(), ids=RECORDED.keys())
def test_what_has_values_is_recorded(tmp_path: Path, case: Case) -> None:
    model, x = Around(case.function, case.use), batch()
    with actviz_tb.watch(model, tmp_path, every=1, on_error="raise") as logger:
        model(x)
        assert not logger.report().skipped
    assert case.values is not None
    with torch.no_grad():
        values = case.values(case.function(model.before(x))).float().contiguous().clone().numpy().astype(np.float64)
    finite = values[np.isfinite(values)]
    counts, moments = counts_and_moments(tmp_path, "odd")
    assert counts["count"] == values.size
    assert counts["zero"] == (values == 0).sum()
    assert (counts["nan"], counts["posinf"], counts["neginf"]) == (
        np.isnan(values).sum(),
        np.isposinf(values).sum(),
        np.isneginf(values).sum(),
    )
    if finite.size:
        expected = {"mean": finite.mean(), "std": finite.std(), "min": finite.min(), "max": finite.max()}
        assert {name: moments[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)
    else:
        assert np.isnan(list(moments.values())).all()


@pytest.mark.filterwarnings("ignore:.*MaskedTensor")
@pytest.mark.parametrize("case", PASSED_OVER.values(), ids=PASSED_OVER.keys())
def test_what_has_no_values_is_listed_with_the_reason(tmp_path: Path, case: Case) -> None:
    model = Around(case.function, case.use)
    with actviz_tb.watch(model, tmp_path, every=1, functional=False, on_error="raise") as logger:
        model(batch())
        report = logger.report()
    assert report.skipped == ({} if case.reason is None else {"odd": case.reason})
    assert report.never_fired == []
    assert layers_of(tmp_path) == ["before", "after"]


@pytest.mark.usefixtures("implementation")
def test_channels_last_outputs_have_the_records_of_contiguous_ones(tmp_path: Path) -> None:
    values = torch.randn(3, 6, 9, 7, generator=torch.Generator().manual_seed(0)).relu()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model = Around(lambda x, to=memory_format: values.to(memory_format=to))  # type: ignore[misc]
        with actviz_tb.watch(model, tmp_path / str(memory_format), every=1):
            model(batch())
    for kind in ("layer", "maps"):
        one, other = (of_tag(directory, f"actviz/{kind}/odd")[0].arrays for directory in sorted(tmp_path.iterdir()))
        for name, array in one.items():
            np.testing.assert_allclose(array, other[name], rtol=1e-6, err_msg=name)


def test_an_input_that_is_a_negative_view_is_shown_with_its_own_sign(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.Linear(4, 4)), torch.complex(batch(), batch() + 1).conj().imag
    with actviz_tb.watch(model, tmp_path, every=1):
        model(x)
    record = of_tag(tmp_path, "actviz/inputs")[0]
    np.testing.assert_allclose(record.arrays["mean"][:, 0], x.resolve_neg()[: len(record.arrays["mean"])].mean(1), rtol=1e-5)


def test_all_samples_of_a_vmapped_forward_are_recorded(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.Tanh(), nn.Linear(4, 3)), batch(6)
    with actviz_tb.watch(model, tmp_path, every=1, on_error="raise"):
        torch.func.vmap(model)(x)
        torch.func.vmap(model, in_dims=1, out_dims=1)(x.t())
    with torch.no_grad():
        expected = {"0": x.tanh(), "1": model(x)}
    for step in (0, 1):
        for layer, values in expected.items():
            counts, moments = counts_and_moments(tmp_path, layer, step)
            assert (counts["count"], counts["channels"]) == (values.numel(), values.shape[1])
            assert moments["std"] == pytest.approx(values.double().numpy().std(), rel=1e-5)


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_of_distributed_tensors_whole_ones_are_recorded_and_parts_are_not(tmp_path: Path, mesh: DeviceMesh) -> None:
    def parts(x: Tensor) -> dict[str, Tensor]:
        return {"whole": DTensor.from_local(x, mesh, [Replicate()]), "part": DTensor.from_local(x, mesh, [Shard(0)])}

    model, x = Around(parts, lambda output: output["whole"].to_local()), batch()
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, on_error="raise") as logger:
        model(x).sum().backward()
        assert logger.report().skipped == {"odd.part": "a DTensor of which each rank holds a part"}
    with torch.no_grad():
        expected = model.before(x).double().numpy()
    assert counts_and_moments(tmp_path, "odd.whole")[1]["std"] == pytest.approx(expected.std(), rel=1e-5)
    assert "odd.whole" in of_tag(tmp_path, "actviz/gradients")[0].header["layers"]


def test_a_model_on_the_meta_device_trains_and_every_layer_is_listed(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).to("meta")
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, on_error="raise") as logger:
        model(batch().to("meta")).sum().backward()
        assert logger.report().skipped == {"0": "meta tensor without values", "1": "meta tensor without values"}
