"""From the device to the host: one packed copy for all that a step recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Return the tensors' contents as arrays of the same shapes and dtypes.

    Tensors on the CPU are not copied. The others are packed into one buffer a device, so that however many layers there are
    the host waits once a device.
    """
    arrays: list[npt.NDArray[Any] | None] = [tensor.numpy() if tensor.device.type == "cpu" else None for tensor in tensors]
    by_device: dict[torch.device, list[int]] = {}
    for index, array in enumerate(arrays):
        if array is None:
            by_device.setdefault(tensors[index].device, []).append(index)
    for indices in by_device.values():
        packed = torch.cat([tensors[index].contiguous().view(-1).view(torch.uint8) for index in indices]).cpu().numpy()
        offset = 0
        for index in indices:
            tensor = tensors[index]
            size = tensor.numel() * tensor.element_size()
            dtype = torch.empty((), dtype=tensor.dtype).numpy().dtype
            # A copy, because numpy wants the data aligned.
            arrays[index] = np.frombuffer(packed[offset : offset + size].tobytes(), dtype).reshape(tensor.shape)
            offset += size
    return [array for array in arrays if array is not None]
