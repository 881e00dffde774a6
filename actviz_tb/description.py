"""What a log says of its model and of its time line, as reading gives it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """What the log says of one layer; empty where the model record lacks it.

    Attributes:
        name: as everywhere. path: of its module. type: of the module or function.
        call: 0 for the first call in a forward. shape, dtype: of its output when the record was written.
        layout: of its maps, or None. channel_axis: of its output, or None. parameters: of the module.
        inputs: the layers whose output it takes.
    """

    name: str
    path: str = ""
    type: str = ""
    call: int = 0
    shape: tuple[int, ...] = ()
    dtype: str = ""
    layout: str | None = None
    channel_axis: int | None = None
    parameters: int = 0
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """The watched model as it was last described.

    Attributes:
        type: its class. step: at which it was described; None: it never was.
        layers: in execution order. modules: (path, type, parameters) of all its modules.
    """

    type: str
    step: int | None
    layers: tuple[Layer, ...]
    modules: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """An epoch or another event on the time line: it stands before the step."""

    step: int
    text: str
    wall_time_s: float


@dataclass(frozen=True, slots=True)
class Restart:
    """Where a run was started again: the first step logged then."""

    step: int
    wall_time_s: float
