"""From the device to the host: one packed copy for all that a step recorded, for which the training does not wait."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
_PATIENCE_S, _LOOK_EVERY_S = 1.0, 5e-4


class Transfer:
    """A copy that starts now and is waited for where `arrays` is called, which may be another thread.

    Arrays, and tensors on the CPU, are not copied. The others are packed into one buffer a device.
    """

    def __init__(self, parts: Sequence[Tensor | Array]) -> None:
        self._arrays: list[Array | None] = []
        by_device: dict[torch.device, dict[int, Tensor]] = {}
        for index, part in enumerate(parts):
            if isinstance(part, Tensor):
                if part.device.type != "cpu":
                    by_device.setdefault(part.device, {})[index] = part
                self._arrays.append(part.numpy() if part.device.type == "cpu" else None)
            else:
                self._arrays.append(part)
        self._forms = {index: (part.shape, part.dtype) for tensors in by_device.values() for index, part in tensors.items()}
        self._copies: list[tuple[list[int], Array, torch.cuda.Event | None]] = []
        for device, tensors in by_device.items():
            indices = list(tensors)
            if device.type == "cuda":
                arrived = torch.ones(1, dtype=torch.uint8, device=device)
                packed = pack([*tensors.values(), arrived])
                host = torch.empty(packed.shape, dtype=torch.uint8, device="cpu", pin_memory=True)
                host[-1] = 0
                host[:-1].copy_(packed[:-1], non_blocking=True)
                host[-1:].copy_(packed[-1:], non_blocking=True)
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record(torch.cuda.current_stream(device))
                self._copies.append((indices, host.numpy(), event))
            else:
                self._copies.append((indices, pack(list(tensors.values())).cpu().numpy(), None))

    def ready(self) -> bool:
        """Say whether `arrays` would not wait."""
        return all(event is None or host[-1] for _, host, event in self._copies)

    def arrays(self) -> list[Array]:
        """Return the parts' contents, with the same shapes and dtypes."""
        for indices, host, event in self._copies:
            if event is not None:
                _await(host, event)
            for index, array in zip(indices, unpack(host, [self._forms[index] for index in indices]), strict=True):
                self._arrays[index] = array
        self._copies = []
        return [array for array in self._arrays if array is not None]


def _await(host: Array, event: torch.cuda.Event) -> None:
    """Wait for a copy's last byte, which arrives after all others.

    To look at memory disturbs nobody; to ask CUDA spoils a graph that the training's thread is capturing. CUDA is asked only where it takes
    long, as the device may have failed.
    """
    until = time.monotonic() + _PATIENCE_S
    while not host[-1]:
        if time.monotonic() > until:
            event.synchronize()
            return
        time.sleep(_LOOK_EVERY_S)


def pack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the contents of tensors on one device, one after the other, uint8 [bytes]."""
    return torch.cat([tensor.contiguous().view(-1).view(torch.uint8) for tensor in tensors])


def unpack(packed: Array, forms: Sequence[tuple[torch.Size, torch.dtype]]) -> list[Array]:
    """Return what `pack` brought together, given its shapes and dtypes."""
    found, offset = [], 0
    for shape, torch_dtype in forms:
        dtype = torch.empty((), dtype=torch_dtype, device="cpu").numpy().dtype
        size_bytes = shape.numel() * dtype.itemsize
        # A copy, because numpy wants the data aligned.
        found.append(np.frombuffer(packed[offset : offset + size_bytes].tobytes(), dtype).reshape(shape))
        offset += size_bytes
    return found
