"""The logger that `watch` returns: composes hooks, summaries, probe and writer."""

from __future__ import annotations

import os
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import nn

from actviz_tb import arguments, compiler, distributed, encode, maps, overhead, schedule, selection
from actviz_tb.errors import ActvizWarning, ArgumentError, ArgumentTypeError, LoggingError, StopTraining
from actviz_tb.flight import FlightRecorder
from actviz_tb.hooks import RootGate, add_pre_hook, is_of_first_replica, is_replica
from actviz_tb.monitor import Monitor, OnFinding
from actviz_tb.overhead import Overhead
from actviz_tb.probe import Probe
from actviz_tb.recorder import Options, StepRecorder
from actviz_tb.report import Meter, Report
from actviz_tb.steps import StepCounter
from actviz_tb.waiting import Waiting
from actviz_tb.writer import BackgroundWriter, Nowhere, drain_before_close, open_sink
from tensorboard_plugin.actviz.health import Thresholds
from tensorboard_plugin.actviz.version import VERSION

OnError = Literal["warn", "raise"]

_loggers: weakref.WeakSet[ActivationLogger] = weakref.WeakSet()


_graph_task = torch._C._current_graph_task_id
_is_grad_enabled = torch.is_grad_enabled
_is_captured: Callable[[], bool] = torch.cuda.is_current_stream_capturing if torch.version.cuda or torch.version.hip else bool


def _end_in_child() -> None:
    """Have the loggers of a process that was forked record nothing."""
    for logger in _loggers:
        logger._forked = True
        logger._meter.waiting.end()


if hasattr(os, "register_at_fork"):  # asking for the process's number at each forward takes as long as all else there
    os.register_at_fork(after_in_child=_end_in_child)


def _end(writer: BackgroundWriter, waiting: Waiting) -> None:
    """What remains to be done for a logger that goes, or is closed."""
    writer.close()
    if waiting.forwards:
        waiting.warn()


class ActivationLogger:
    """Logs one model's activations; made by `watch`, whose arguments it takes.

    A context manager; every method is called from the training thread.
    """

    def __init__(
        self,
        model: nn.Module,
        target: Any,
        *,
        every: int | schedule.Schedule | None,
        layers: selection.Layers | None,
        probe: Any,
        probe_labels: Sequence[object] | None,
        samples: int,
        max_channels: int,
        max_size: int,
        gradients: bool,
        attention: bool,
        functional: bool,
        stock_tabs: bool,
        optimizer: torch.optim.Optimizer | None,
        step: int | Callable[[], int],
        name: str | None,
        merge_ranks: bool,
        max_overhead: float | None,
        recorder: int | None,
        recorder_factor: float,
        health: Mapping[str, float] | Thresholds | None,
        on_finding: OnFinding | None,
        on_error: OnError,
    ) -> None:
        if isinstance(target, nn.Module) and not isinstance(model, nn.Module):
            raise ArgumentTypeError(f"model and target look swapped: expected watch(model, {model!r})")
        if not isinstance(model, nn.Module):
            raise ArgumentTypeError(f"model is a {type(model).__name__}; expected a torch.nn.Module")
        model = compiler.uncompiled(model)
        if on_error not in ("warn", "raise"):
            raise ArgumentError(f"on_error={on_error!r}; expected 'warn' or 'raise'")
        if name is not None and (not isinstance(name, str) or not name):
            raise ArgumentTypeError(f"name={name!r}; expected the model's name, such as 'generator'")
        due = schedule.decades() if every is None else schedule.resolve(every)
        self._steps = StepCounter(step, optimizer)
        whole = arguments.whole
        limits = maps.Limits(whole("samples", samples, 0), whole("max_channels", max_channels), whole("max_size", max_size))
        window = None if recorder is None else whole("recorder", recorder)
        factor = arguments.factor("recorder_factor", recorder_factor)
        selection.select(model, layers)  # tells of a pattern that matches nothing before anything is written
        if probe is None and probe_labels is not None:
            raise ArgumentError("probe_labels without a probe; give both, or leave both out")
        fixed = None if probe is None else Probe(probe, probe_labels)
        limit = overhead.checked_limit(max_overhead)
        if limit is not None and (merge_ranks or (fixed is not None and distributed.is_sharded(model))):
            raise ArgumentError("max_overhead with merge_ranks, or with a probe under FSDP: every rank must log the same steps; use every=")
        merger = distributed.Merger() if merge_ranks else None
        thresholds = arguments.thresholds(health)
        self._monitor = None if on_finding is None else Monitor(thresholds, on_finding)
        self._overhead = Overhead(due, every if isinstance(every, int) else None, limit)
        self._on_error = on_error
        self._name = name or ""
        self._forced: list[int | None] = []
        self._paused = False
        self._closed = False
        self._forked = False
        self._meter = Meter()
        self._told: set[tuple[str, str]] = set()
        self._model = weakref.ref(model)

        self._writes = writes = distributed.rank() == 0
        self._directory = arguments.directory(target)
        self._take_over(target)
        self._writer = BackgroundWriter(open_sink(target) if writes else Nowhere())
        _loggers.add(self)
        if writes and not isinstance(target, (str, os.PathLike)):
            drain_before_close(target, self._writer)
        options = Options(
            name=self._name,
            layers=layers,
            limits=limits if samples else None,
            gradients=gradients,
            attention=attention,
            functional=functional,
            stock_tabs=stock_tabs,
            merger=merger,
            monitor=self._monitor,
        )
        self._recorder = StepRecorder(
            options, fixed, writes=writes, meter=self._meter, overhead=self._overhead, submit=self._writer.submit, on_fault=self._fault
        )
        self._gate = RootGate(self._before_forward, self._steps)
        # First of all, so that the probe runs before what other hooks (FSDP's) prepare for the forward itself.
        self._handle = add_pre_hook(model, self._gate, prepend=True, with_kwargs=True)
        compiler.call_gate_first(model, self._gate.early)
        self._finalizer = weakref.finalize(self, _end, self._writer, self._meter.waiting)
        self._flight: FlightRecorder | None = None
        if window is not None and writes:
            self._flight = FlightRecorder(
                model, window, factor, options, self._recorder.aliases, self._meter, self._writer, on_break=self.log, on_fault=self._fault
            )
        session = {
            "actviz_tb": VERSION,
            "torch": torch.__version__,
            "source": "train" if fixed is None else "probe",
            "samples": samples,
            "max_channels": max_channels,
            "max_size": max_size,
            "health": asdict(thresholds) if health is not None else {},
        }
        self._write(encode.session_event(options.name, session, self._steps.next, time.time()))

    def _take_over(self, target: Any) -> None:
        """Close the logger that this one takes the place of; two models whose layers cannot be told apart would hide each other."""
        if self._directory is None:
            return
        for former in list(_loggers):
            if former._closed or former._directory != self._directory:
                continue
            watched = former._model()
            if watched is None or watched is self._model():
                former._close()
            elif isinstance(target, (str, os.PathLike)) or former._name == self._name:
                raise ArgumentError(
                    f"{self._directory!r} already takes the activations of a {type(watched).__name__}; close that logger first, "
                    "give this model a directory of its own, such as a subdirectory, or give both models one SummaryWriter and names "
                    "(name='generator')"
                )

    def __enter__(self) -> ActivationLogger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def step(self) -> int | None:
        """Number of the step that the newest training forward belongs to; None before the first."""
        return self._steps.current

    def log(self, step: int | None = None) -> None:
        """Record the next training forward whatever the schedule says; `step`: the number to record it under, None: its own."""
        self._forced.append(step)
        self._steps.wake()

    def mark(self, text: str) -> None:
        """Put a mark (an epoch or any event) on the time line, before the next step."""
        self._write(encode.mark_event(str(text), self._steps.next, time.time()))

    def pause(self) -> None:
        """Record nothing until `resume`; steps are still counted."""
        self._paused = True

    def resume(self) -> None:
        """Record again."""
        self._paused = False

    def flush(self) -> None:
        """Wait until every recorded step is in the event file."""
        try:
            self._writer.flush()
        except OSError as error:  # of a SummaryWriter whose own thread has failed to write
            self._fault("", error)
        self._tell_news()

    def close(self) -> None:
        """Write what is left and stop watching. Idempotent."""
        waiting = self._meter.waiting
        if not self._closed and self._steps.current is None and not self._forked and not waiting.forwards:
            waiting.warn()
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._handle.remove()
        model = self._model()
        if model is not None:
            compiler.forget_gate(model, self._gate.early)
        self._steps.close()
        if self._flight is not None:
            self._flight.close()
        self._recorder.stop()
        self._recorder.end_gradients()
        self._finalizer()
        self._tell_news()

    def report(self) -> Report:
        """Return coverage (layers recorded, never called, not recorded and why) and cost (ms and bytes a layer)."""
        self._writer.drain()
        return self._meter.report()

    def _before_forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Start recording if the forward that begins is due; say whether it did."""
        if self._forked or _graph_task() != -1:  # as `in_backward` says
            return False
        if _is_captured():
            self._tell_of_capture()
            return False
        called = model
        if "_is_replica" in model.__dict__ and is_replica(model):
            original = self._model()
            if original is None or not is_of_first_replica((args, kwargs), [original]):
                return False
            model = original
        try:
            if self._recorder.step is not None:
                self._recorder.stop()  # a forward that an interrupt ended left its hooks behind
            if not model.training or not _is_grad_enabled():
                if self._steps.current is None and self._writes:
                    self._meter.waiting.count(gradients=_is_grad_enabled())
                return False
            if self._monitor is not None and self._monitor.found:
                self._monitor.tell(self._fault)
            new = self._steps.count()
            step = self._steps.current
            assert step is not None
            self._meter.waiting.end()
            flight = None if self._paused else self._flight
            if flight is not None:
                flight.catch_up()
            due = new and self._overhead.due(step)
            logged = not self._paused and (due or bool(self._forced)) and self._record(model, called, args, kwargs, step)
            if not logged and flight is None and self._monitor is None:
                self._steps.expect(self._overhead.quiet_after(step))
            if flight is not None and self._writes:
                flight.begin(called, args, step, new=new, logged=logged, compiled=self._gate.compiled)
            return logged
        except (LoggingError, StopTraining):
            raise
        except Exception as error:
            self._recorder.stop()
            self._fault("", error)
            return False

    def _record(self, model: nn.Module, called: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> bool:
        """Record the forward that begins; say whether it is."""
        if self._forced:
            forced = self._forced.pop(0)
            step = step if forced is None else forced
        self._tell_news()
        if self._writes and distributed.rank() != 0:
            # Another process writes. There was no process group when watch() was called, and nothing that told the rank.
            self._writes = self._recorder.writes = False
            self._writer.discard()
            if self._flight is not None:
                self._flight.close()
                self._flight = None
        if self._recorder.runs_together(model) and not self._comes_first(called):
            raise RuntimeError(
                "the model was sharded after watch(), so the probe cannot run in this step, which is not recorded; later ones are: "
                "call watch() once the model is sharded"
            )
        return self._recorder.start(model, called, args, kwargs, step)

    def _comes_first(self, called: nn.Module) -> bool:
        """Say whether the other hooks of this forward are still to come; if not, have them do so from the next one on."""
        hooks: Any = called._forward_pre_hooks
        if self._handle.id not in hooks or next(iter(hooks)) == self._handle.id:
            return True
        hooks.move_to_end(self._handle.id, last=False)
        return False

    def _write(self, event: bytes) -> None:
        meter = self._meter
        self._writer.submit(lambda: meter.counted([(None, event)]))

    def _tell_news(self) -> None:
        fault = self._writer.take_fault()
        if fault is not None:
            self._fault("", fault)
        if self._monitor is not None:
            self._monitor.tell(self._fault)

    def _tell_of_capture(self) -> None:
        reason = "its forward was captured in a CUDA graph, whose replays call no hook; steps that run without it are recorded"
        if "CUDA graph" not in self._meter.skipped:
            self._meter.skipped["CUDA graph"] = reason
            warnings.warn(f"the watched model is not seen: {reason}", ActvizWarning, stacklevel=4)

    def _fault(self, layer: str, error: Exception) -> None:
        self._meter.faults[layer] += 1
        place = f"layer {layer!r}" if layer else "a step"
        reason = f"{type(error).__name__}: {error}"
        if self._on_error == "raise":
            raise LoggingError(f"recording {place} failed: {reason}") from error
        if (layer, type(error).__name__) not in self._told:
            self._told.add((layer, type(error).__name__))
            warnings.warn(f"recording {place} failed, training goes on: {reason}", ActvizWarning, stacklevel=2)
