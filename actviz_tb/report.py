"""What a logger recorded, what it did not and why, and what it cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from actviz_tb.waiting import Waiting
from tensorboard_plugin.actviz.eventfile import frame

_FRAME_BYTES = len(frame(b""))


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer's share.

    Attributes:
        steps: logged steps at which it was recorded.
        time_ms: time spent in its hooks, its gradient's included, a logged step on average.
        size_bytes: bytes written for it, a logged step on average.
    """

    steps: int
    time_ms: float
    size_bytes: float


@dataclass(frozen=True, slots=True)
class Break:
    """What the flight recorder saw break.

    Attributes:
        step: at which.
        kind: ``nonfinite``, ``jump`` (of a layer's RMS), ``forward`` or ``backward`` (an exception in it).
        layer: the first one, in execution order, that is broken so; None for an exception.
        text: all of it in a sentence, as on the time line.
    """

    step: int
    kind: str
    layer: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """Coverage and cost of a logger; ``print(logger.report())`` shows it as a table.

    Attributes:
        steps: logged steps.
        layers: the recorded layers, in execution order.
        never_fired: modules that were hooked but not called in any logged forward.
        skipped: outputs that were not recorded, and why.
        faults: how often recording failed, by layer (``""``: outside a layer).
        time_ms: time taken from the training loop, a logged step on average.
        size_bytes: bytes written in all, also those of no layer.
        breaks: what the flight recorder saw break, in the order in which it did.
        waiting: what to do, where forwards were seen and none of them in training; else empty.
    """

    steps: int
    layers: dict[str, LayerReport]
    never_fired: list[str]
    skipped: dict[str, str]
    faults: dict[str, int]
    time_ms: float
    size_bytes: int
    breaks: tuple[Break, ...] = ()
    waiting: str = ""

    def __str__(self) -> str:
        lines = [
            f"{self.steps} logged steps, {len(self.layers)} layers, {self.time_ms:.2f} ms a logged step, {self.size_bytes} bytes in all"
        ]
        lines += [self.waiting] if self.waiting else []
        width = max(map(len, self.layers), default=5)
        if self.layers:
            lines.append(f"{'layer':{width}}  {'steps':>7}  {'ms/step':>8}  {'bytes/step':>10}")
        for name, layer in self.layers.items():
            lines.append(f"{name:{width}}  {layer.steps:>7}  {layer.time_ms:>8.3f}  {layer.size_bytes:>10.0f}")
        lines += [f"never called: {name}" for name in self.never_fired]
        lines += [f"not recorded: {name}: {reason}" for name, reason in self.skipped.items()]
        lines += [f"failed {count} times: {name or 'outside a layer'}" for name, count in self.faults.items()]
        lines += [f"step {each.step}: {each.text}" for each in self.breaks]
        return "\n".join(lines)


class Meter:
    """Counts what a report tells; bytes are added by the writer's thread, all else by the training thread."""

    def __init__(self) -> None:
        self.waiting = Waiting()
        self.steps = 0
        self.hooked: set[str] = set()
        self.fired: set[str] = set()
        self.skipped: dict[str, str] = {}
        self.faults: Counter[str] = Counter()
        self.seconds = 0.0
        self.breaks: list[Break] = []
        self._size_bytes = 0
        self._layer_steps: Counter[str] = Counter()
        self._layer_seconds: defaultdict[str, float] = defaultdict(float)
        self._layer_bytes: Counter[str] = Counter()

    def add_layer(self, name: str, seconds: float) -> None:
        """Enter a logged step of a layer."""
        self._layer_steps[name] += 1
        self._layer_seconds[name] += seconds

    def add_gradient(self, name: str, seconds: float) -> None:
        """Enter what a layer's gradient took."""
        self._layer_seconds[name] += seconds
        self.seconds += seconds

    def counted(self, events: Iterable[tuple[str | None, bytes]]) -> list[bytes]:
        """Return the events, and enter the bytes that each takes in the event file under its layer."""
        found = []
        for layer, data in events:
            size_bytes = len(data) + _FRAME_BYTES
            self._size_bytes += size_bytes
            if layer is not None:
                self._layer_bytes[layer] += size_bytes
            found.append(data)
        return found

    def report(self) -> Report:
        steps = self.steps
        layers = {
            name: LayerReport(count, self._layer_seconds[name] / count * 1e3, self._layer_bytes[name] / count)
            for name, count in self._layer_steps.items()
        }
        return Report(
            steps=steps,
            layers=layers,
            never_fired=sorted(self.hooked - self.fired) if steps else [],
            skipped=dict(self.skipped),
            faults=dict(self.faults),
            time_ms=self.seconds / steps * 1e3 if steps else 0.0,
            size_bytes=self._size_bytes,
            breaks=tuple(self.breaks),
            waiting=str(self.waiting) if self.waiting.forwards else "",
        )
