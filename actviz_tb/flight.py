"""The flight recorder: the cheap statistics of the last steps' outputs, written when something breaks.

From the start of each training forward to its end a small hook is on every selected module, and a glance at each output goes into the ring
(`ring`). What is looked for: values that are not finite where there were none, an RMS that jumps, an exception in forward or backward. Then
the rows of the steps before go to the writer, as ``step`` records. Outputs on the CPU are judged inside the hook, so that the maps of the
step at hand can still be taken, from the first broken module on; those on an accelerator when their row has landed, some forwards later.
"""

from __future__ import annotations

import atexit
import sys
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from actviz_tb import encode, native, outputs, ring
from actviz_tb.errors import ActvizWarning
from actviz_tb.glances import SKIPPED, EndHook, OutputHook, OutputHooks
from actviz_tb.hooks import MAX_CALLS, LayerOutput, add_hook, in_backward, is_of_first_replica, is_replica, part_name
from actviz_tb.recorder import Options
from actviz_tb.recording import Recording, Unrecordable
from actviz_tb.report import Break, Meter
from actviz_tb.ring import JUMPS, LATE, NONFINITE, DeviceRow, Landing, Ring, Row
from actviz_tb.statistics import Scratch
from actviz_tb.writer import BackgroundWriter

_KINDS = {NONFINITE: "nonfinite", JUMPS: "jump"}

Broken = dict[str, str]
"""The first layer, in execution order, that is broken in each way."""


class FlightRecorder:
    """Keeps the last steps of one model in little, and writes them when something breaks.

    Args:
        model: what is watched; not kept alive.
        window: so many steps before the one that breaks are written.
        factor: an RMS that is more than `factor` times what it was in over half of them is a break.
        options: of the recorder of logged steps.
        aliases: names under which logged steps have an output that a module merely passes on.
        meter, writer: told of breaks, and of what is to be written.
        on_break: called after a break that another recorded step can show.
        on_fault: told of each fault, which must not stop the training.
    """

    def __init__(
        self,
        model: nn.Module,
        window: int,
        factor: float,
        options: Options,
        aliases: dict[str, str],
        meter: Meter,
        writer: BackgroundWriter,
        *,
        on_break: Callable[[], None],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self.active = False
        self.forward = 0
        self.last: Any = None
        self.recording: Recording | None = None
        self.ring = Ring(window, factor)
        self.address = self.ring.address
        self.glance = native.glance()
        self._model = weakref.ref(model)
        self._options = options
        self._scratch = Scratch()
        self._aliases = aliases
        self._meter = meter
        self._writer = writer
        self._on_break = on_break
        self._on_fault = on_fault
        self._hooks = OutputHooks(self, model, options, meter)
        self._row: Row | None = None
        self._called: nn.Module | None = None
        self._input: Tensor | None = None
        self._input_version = 0
        self._logged = self._compiled = self._ends = False
        self._handled: BaseException | None = None
        self._broken: Broken = {}
        self._devices: dict[torch.device, DeviceRow] = {}
        self._under_way: deque[tuple[Row, bool, Broken, list[Landing]]] = deque()
        self._seen: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._warned: set[tuple[str, str | None]] = set()
        self._end_hook = EndHook(self)
        self._handle = add_hook(model, self._end_hook, always_call=True)
        weak = weakref.WeakMethod(self.settle)
        self._at_exit = atexit.register(lambda: (settle := weak()) and settle())

    # A forward, from begin to end

    def catch_up(self, wait: bool = False) -> None:
        """Look at the rows that have landed; `wait`: at all."""
        while self._under_way:
            row, logged, broken, landings = self._under_way[0]
            if not (wait or len(self._under_way) > LATE or all(each.ready() for each in landings)):
                return
            self._under_way.popleft()
            names = list(self.ring.columns)
            for landing in landings:
                for column, flags in landing.into(self.ring, row):
                    self._note(broken, names[column], flags)
            self._judge(row, broken, logged)

    def begin(self, called: nn.Module, inputs: tuple[Any, ...], step: int, *, new: bool, logged: bool, compiled: bool) -> None:
        """A forward begins, after the probe's.

        Args:
            called: the module whose forward it is: the model, or a replica of it.
            inputs: its arguments.
            step: its number. new: it is not one more forward of the step before.
            logged: it is recorded in full. compiled: it runs as a compiled graph, in which no hook may be.
        """
        if self.active:
            self._detach()  # a forward that an interrupt ended, or whose end a compiled graph does not tell
            if self._compiled and not self._ends:
                self._meter.skipped[SKIPPED] = "the model runs as one compiled graph, with its root's hooks in it: nothing is seen"
        if not compiled and (logged or self._hooks.may_differ()):
            self._hooks.choose()
        if new or self._row is None:
            self._row = self.ring.begin(step, time.time())
        self._row.recorded |= logged
        self.forward += 1
        self._called, self._logged, self._compiled = called, logged, compiled
        if inputs and type(inputs[0]) is Tensor and not inputs[0].is_inference():
            self._input = inputs[0]
            self._input_version = self._input._version
        self._handled = sys.exc_info()[1]
        self._broken = {}
        if compiled:
            self._meter.skipped.setdefault(SKIPPED, "the model is compiled, and its graph left alone: only what the model puts out is seen")
        else:
            self._hooks.attach()
        self.active = True

    def end(self, module: nn.Module, output: Any) -> None:
        """The forward has ended, with an output or by an exception."""
        error = sys.exc_info()[1]
        error = None if error is self._handled else error
        row = self._row
        assert row is not None
        self._ends |= self._compiled and not self._logged  # which runs eagerly
        try:
            if error is None and (self._hooks.root_selected or self._compiled):
                self._hooks.root(module, (), output)
            landings = [landing for each in self._devices.values() if (landing := each.land()) is not None]
            if landings or self._under_way:
                self._under_way.append((row, self._logged, self._broken, landings))
                self.catch_up(wait=error is not None)
            elif self._broken:
                self._judge(row, self._broken, self._logged)
            if error is not None:
                names = self.ring.cells(row)[0]
                after = f"after {self._named(names[-1])!r}" if names else "before any layer's output"
                self._tell(row, [("forward", None, f"{type(error).__name__} in forward, {after}")], self._logged, wait=True)
        finally:
            self._detach()
        if error is None:
            self._await_backward(output, row)

    def _detach(self) -> None:
        self.active = False
        self.last = self._called = self._handled = self.recording = None
        self._input = None
        self._hooks.detach()

    def settle(self) -> None:
        """Look at all that is still under way."""
        try:
            self.catch_up(wait=True)
        except Exception as error:
            self._on_fault("", error)

    def close(self) -> None:
        """Write what is to be written, and take all hooks off."""
        atexit.unregister(self._at_exit)
        self._detach()
        self._handle.remove()
        self._end_hook.flight = None
        self.settle()

    # An output

    @outputs.outside_transforms
    def see(self, hook: OutputHook, module: nn.Module, output: Any) -> None:
        """Take a glance at what a module put out, whatever it is."""
        if in_backward() or (is_replica(module) and not self._is_first_replica(output)):
            return
        with torch._C.DisableTorchFunction():
            call = hook.calls
            hook.calls += 1
            passed_on = [] if hook.always else [tensor for _, tensor in outputs.tensors(self.last)]
            self.last = output
            for suffix, tensor in outputs.tensors(output) if call < MAX_CALLS else ():
                if not any(tensor is each for each in passed_on):
                    name = hook.of_call(call) + part_name(hook.name, suffix, self._hooks.paths)
                    column = self._glance(name, hook, module, call, tensor)
                    if column is not None and tensor is output and call == len(hook.columns):
                        hook.columns.append(column)

    def _is_first_replica(self, output: Any) -> bool:
        model = self._model()
        return model is not None and is_of_first_replica(output, [model])

    def _glance(self, name: str, hook: OutputHook, module: nn.Module, call: int, tensor: Tensor) -> int | None:
        x = outputs.readable(tensor).detach()
        if outputs.unrecordable(x) is not None:
            return None
        assert self._row is not None
        column = self.ring.column(name)
        if ring.is_on_host(x):
            self.notice(name, hook, module, call, tensor, self.ring.fill(self._row, column, x))
        else:
            device = self._devices.get(x.device)
            if device is None:
                device = self._devices[x.device] = DeviceRow()
            device.add(column, x)
        return column

    def notice(self, name: str, hook: OutputHook, module: nn.Module, call: int, tensor: Tensor, flags: int) -> None:
        """Something is wrong with an output, or with one before it in this forward: keep its maps and statistics."""
        assert self._row is not None
        if flags:
            self._note(self._broken, name, flags)
            if self.recording is None and not self._logged and any(self._is_news(kind, self._row) for kind in self._broken):
                self.recording = Recording(self._options.limits, with_statistics=True, scratch=self._scratch)
        if self.recording is not None:
            try:
                name = self._named(name)
                self.recording.add(LayerOutput(name, hook.name, type(module).__name__, module, call, tensor))
            except Unrecordable:
                pass

    # A break

    @staticmethod
    def _note(broken: Broken, name: str, flags: int) -> None:
        for flag, kind in _KINDS.items():
            if flags & flag:
                broken.setdefault(kind, name)

    def _is_news(self, kind: str, row: Row) -> bool:
        """Say whether a break is not that of the row before it, and none of its kind was told of for a whole window."""
        return row.index - self._seen.get(kind, -2) > 1 and row.index - self._told.get(kind, -self.ring.window - 1) > self.ring.window

    def _judge(self, row: Row, broken: Broken, logged: bool) -> None:
        news = [kind for kind in broken if self._is_news(kind, row)]
        for kind in broken:
            self._seen[kind] = row.index
        if news:
            self._told.update(dict.fromkeys(news, row.index))
            self._tell(row, [(kind, self._named(broken[kind]), self._describe(row, kind, broken[kind])) for kind in news], logged)
            if not logged:
                self._on_break()

    def _named(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _describe(self, row: Row, kind: str, name: str) -> str:
        column = self.ring.columns[name]
        cell = self.ring.cell(row, column)
        if kind == "jump":
            former = sorted(self.ring.former_rms(row, column))
            return f"RMS of {self._named(name)!r} jumped from {former[len(former) // 2]:.3g} to {cell['rms']:.3g}"
        nonfinite = cell["nan"] + cell["posinf"] + cell["neginf"]
        return f"NaN or infinite values, first in {self._named(name)!r} ({nonfinite} of {cell['count']})"

    def _tell(self, row: Row, found: Sequence[tuple[str, str | None, str]], logged: bool, wait: bool = False) -> None:
        """Write the rows before, this one unless it is logged, and marks; warn; enter it in the report.

        Args:
            found: (kind, layer, text), as in `report.Break`.
            wait: until it is written.
        """
        rows = [each for each in self.ring.before(row) if not each.recorded]
        if not logged:
            rows.append(row)
        for each in rows:
            each.recorded = True
        self._write(rows, row, [text for _, _, text in found])
        if wait:
            self._writer.drain()
        for kind, layer, text in found:
            self._meter.breaks.append(Break(row.step, kind, layer, text))
            if (kind, layer) not in self._warned:
                self._warned.add((kind, layer))
                warnings.warn(f"step {row.step}: {text}; the log has the statistics of the steps before it", ActvizWarning, stacklevel=2)

    def _write(self, rows: Sequence[Row], broken: Row, marks: Sequence[str]) -> None:
        found = [(each.step, each.wall_time_s, *self.ring.cells(each)) for each in rows]
        model = self._options.name
        glanced = [(model, step, at, [self._named(name) for name in names], cells) for step, at, names, cells in found if names]
        pending, recording = None, self.recording
        if recording is not None and recording.layers and broken is self._row:
            with torch._C.DisableTorchFunction():
                if self._input is not None and self._input._version == self._input_version:
                    recording.add_inputs(self._input)
                pending = recording.start_transfer()
        meter, stock, step, wall_time_s = self._meter, self._options.stock_tabs, broken.step, broken.wall_time_s

        def job() -> list[bytes]:
            events: list[tuple[str | None, bytes]] = [(None, encode.glance_event(*each)) for each in glanced]
            if pending is not None:
                # Of the same step as the last one: of what is in both, the later record is read.
                record = encode.StepRecord(
                    model=model,
                    step=step,
                    wall_time_s=wall_time_s,
                    training=pending.to_host(),
                    probe=None,
                    told=encode.UNTOLD,
                    evaluating=(),
                    stock_histograms=stock,
                    stock_images=False,
                )
                events += encode.step_events(record)
            events += [(None, encode.mark_event(text, step, wall_time_s)) for text in marks]
            return meter.counted(events)

        self._writer.submit(job)

    # Backward

    def _await_backward(self, output: Any, row: Row) -> None:
        flight = weakref.ref(self)

        def began(_gradients: Any) -> None:
            torch.autograd.Variable._execution_engine.queue_callback(_Backward(flight, row))

        for tensor in [output] if type(output) is Tensor else [tensor for _, tensor in outputs.tensors(output)]:
            node = outputs.unwrapped(tensor).grad_fn
            if node is not None:
                node.register_prehook(began)

    def end_backward(self, row: Row) -> None:
        """A backward through a row's forward has ended by an exception."""
        self.settle()
        if self._told.get("backward") != row.index:
            self._told["backward"] = row.index
            self._tell(row, [("backward", None, "exception in backward")], row.recorded, wait=True)


class _Backward:
    """Waits in autograd's engine for the end of a backward; where it is thrown away before, an exception ended that.

    The engine lets go of it before the exception comes back to who called ``backward()``.
    """

    def __init__(self, flight: weakref.ref[FlightRecorder], row: Row) -> None:
        self._flight: weakref.ref[FlightRecorder] | None = flight
        self._row = row

    def __call__(self) -> None:
        self._flight = None

    def __del__(self) -> None:
        flight = None if self._flight is None else self._flight()
        if flight is not None:
            flight.end_backward(self._row)
