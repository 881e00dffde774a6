"""What is packed for the one copy to the host comes out of it as it was. The copy itself needs a GPU; the packing does not."""

import numpy as np
import torch
from torch import Tensor

from actviz_tb.transfer import Transfer, pack, unpack

TENSORS = {
    "bytes, so that what follows is not aligned": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "float64": torch.tensor([[1.5, float("nan")], [float("inf"), -0.0]], dtype=torch.float64),
    "one byte": torch.tensor(7, dtype=torch.uint8),
    "no axes": torch.tensor(-3.25),
    "empty": torch.empty(0, 4),
    "int64": torch.tensor([2**62, -1]),
    "not contiguous": torch.arange(12.0).reshape(3, 4).t()[::2],
}


def same(array: np.ndarray, tensor: Tensor) -> bool:
    expected = tensor.contiguous().numpy()
    return array.shape == expected.shape and array.dtype == expected.dtype and array.tobytes() == expected.tobytes()


def test_tensors_of_any_type_and_shape_come_out_as_they_were() -> None:
    forms = [(tensor.shape, tensor.dtype) for tensor in TENSORS.values()]
    packed = pack(list(TENSORS.values())).numpy()
    for name, array, tensor in zip(TENSORS, unpack(packed, forms), TENSORS.values(), strict=True):
        assert same(array, tensor), name


def test_what_is_on_the_host_is_not_copied() -> None:
    tensor = torch.arange(5.0)
    transfer = Transfer([tensor])
    assert transfer.arrays()[0].ctypes.data == tensor.data_ptr()
    assert same(transfer.arrays()[0], tensor)
