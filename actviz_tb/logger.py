"""`watch` and the logger that it returns: composes hooks, summaries, probe and writer."""

from __future__ import annotations

import os
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from actviz_tb import encode, maps, schedule, selection
from actviz_tb.errors import ActvizWarning, ArgumentError, ArgumentTypeError, LoggingError
from actviz_tb.hooks import RootGate
from actviz_tb.probe import Probe
from actviz_tb.recorder import StepRecorder
from actviz_tb.report import Meter, Report
from actviz_tb.writer import BackgroundWriter, drain_before_close, open_sink
from tensorboard_plugin.actviz.version import VERSION

OnError = Literal["warn", "raise"]


def watch(
    model: nn.Module,
    target: Any,
    *,
    every: int | schedule.Schedule | None = None,
    layers: selection.Layers | None = None,
    probe: Any = None,
    probe_labels: Sequence[object] | None = None,
    samples: int = 4,
    max_channels: int = 16,
    max_size: int = 64,
    stock_tabs: bool = True,
    step: int | Callable[[], int] = 0,
    on_error: OnError = "warn",
) -> ActivationLogger:
    """Log a model's activations from now on; the training loop stays as it is.

    On the steps that are due each layer's output is summarised inside a forward hook, and written in the background as TensorBoard
    events. Training forwards (``model.training`` and gradients enabled) count as steps; evaluation is neither counted nor recorded.
    The logger lives as long as the model, and writes what is left when it goes, or when the interpreter exits::

        import actviz_tb
        actviz_tb.watch(model, "runs/exp1")

        # The same inputs at every step, seen through the network as it learns:
        actviz_tb.watch(model, "runs/exp1", probe=images[:10], probe_labels=labels[:10], samples=10)

    Args:
        model: any module; also wrapped in DataParallel.
        target: a log directory, made if it is missing, or an open SummaryWriter (torch's or tensorboardX's).
        every: log one step in so many; or a callable ``step -> bool``; or a schedule of `actviz_tb.schedule`.
            Default: ``schedule.decades()``, each of the first 100 steps, then ever fewer.
        layers: globs on module names (``"encoder.*"``, ``"!*.dropout"``), module types, or a predicate ``(name, module) -> bool``.
            Default: every leaf module, and blocks whose output differs from their last child's.
        probe: a fixed input batch (tensor, tuple of positional or dict of keyword arguments). On each logged step it runs through the
            model before the training batch, in evaluation mode without gradients, and the maps are of it. Costs one
            forward of that batch a logged step. Without it, maps are of the training batch.
        probe_labels: one a probe sample.
        samples: inputs whose maps are kept, from the start of the batch.
        max_channels: channels a layer whose maps are kept, evenly spaced, the same ones at each step.
        max_size: pixels a side of a map; larger ones are averaged down.
        stock_tabs: also write what TensorBoard's Histograms, Distributions and Images tabs show.
        step: number of the first training forward, for a resumed run; or a callable that gives the current step's number.
        on_error: ``"warn"``: a fault in logging is reported once and counted, training goes on; ``"raise"``: `LoggingError`.

    Returns:
        The logger; there is no need to keep it.

    Raises:
        ArgumentTypeError: an argument of the wrong type, a model that is no Module, a target that is neither path nor writer.
        ArgumentError: a value out of range, a directory that cannot be written to, a closed writer.
        LayerNotFoundError: a layer pattern that matches nothing; the message lists the nearest names.
    """
    return ActivationLogger(
        model,
        target,
        every=every,
        layers=layers,
        probe=probe,
        probe_labels=probe_labels,
        samples=samples,
        max_channels=max_channels,
        max_size=max_size,
        stock_tabs=stock_tabs,
        step=step,
        on_error=on_error,
    )


_loggers: weakref.WeakValueDictionary[str, ActivationLogger] = weakref.WeakValueDictionary()


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
        stock_tabs: bool,
        step: int | Callable[[], int],
        on_error: OnError,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentTypeError(f"model is a {type(model).__name__}; expected a torch.nn.Module")
        if on_error not in ("warn", "raise"):
            raise ArgumentError(f"on_error={on_error!r}; expected 'warn' or 'raise'")
        if not callable(step) and (isinstance(step, bool) or not isinstance(step, int) or step < 0):
            raise ArgumentTypeError(
                f"step={step!r}; expected the number of the first step (0 or more), or a callable that gives the current one"
            )
        self._due = schedule.decades() if every is None else schedule.resolve(every)
        limits = maps.Limits(_positive("samples", samples), _positive("max_channels", max_channels), _positive("max_size", max_size))
        selection.select(model, layers)  # tells of a pattern that matches nothing before anything is written
        if probe is None and probe_labels is not None:
            raise ArgumentError("probe_labels without a probe; give both, or leave both out")
        fixed = None if probe is None else Probe(probe, probe_labels)
        self._on_error = on_error
        self._next_step = 0 if callable(step) else step
        self._step_source = step if callable(step) else None
        self._step: int | None = None
        self._forced: list[int | None] = []
        self._paused = False
        self._closed = False
        self._pid = os.getpid()

        self._meter = Meter()
        self._told: set[tuple[str, str]] = set()

        self._model = weakref.ref(model)
        directory = _directory(target)
        if directory is not None:
            self._take_over(directory)
        self._writer = BackgroundWriter(open_sink(target))
        if directory is not None:
            _loggers[directory] = self
        if not isinstance(target, (str, os.PathLike)):
            drain_before_close(target, self._writer)
        self._recorder = StepRecorder(
            layers, fixed, limits, stock_tabs=stock_tabs, meter=self._meter, submit=self._writer.submit, on_fault=self._fault
        )
        self._gate = model.register_forward_pre_hook(RootGate(self._before_forward), with_kwargs=True)
        self._finalizer = weakref.finalize(self, self._writer.close)
        session = {
            "actviz_tb": VERSION,
            "torch": torch.__version__,
            "source": "train" if fixed is None else "probe",
            "samples": samples,
            "max_channels": max_channels,
            "max_size": max_size,
        }
        self._write_run("session", session, self._next_step)

    def _take_over(self, directory: str) -> None:
        """Close the logger of a directory whose model is this one or is gone; two models' records in one run would hide each other."""
        former = _loggers.get(directory)
        if former is None or former._closed:
            return
        watched = former._model()
        if watched is not None and watched is not self._model():
            raise ArgumentError(
                f"{directory!r} already takes the activations of a {type(watched).__name__}; close that logger first, "
                "or give this model a directory of its own, such as a subdirectory"
            )
        former.close()

    def __enter__(self) -> ActivationLogger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def step(self) -> int | None:
        """Number of the newest training forward; None before the first."""
        return self._step

    def log(self, step: int | None = None) -> None:
        """Record the next training forward whatever the schedule says; `step`: the number to record it under, None: its own."""
        self._forced.append(step)

    def mark(self, text: str) -> None:
        """Put a mark (an epoch or any event) on the time line, before the next step."""
        step = self._next_step if self._step_source is None else int(self._step_source())
        self._write_run("mark", {"text": str(text)}, step)

    def pause(self) -> None:
        """Record nothing until `resume`; steps are still counted."""
        self._paused = True

    def resume(self) -> None:
        """Record again."""
        self._paused = False

    def flush(self) -> None:
        """Wait until every recorded step is in the event file."""
        self._writer.flush()
        self._tell_writer_fault()

    def close(self) -> None:
        """Write what is left and stop watching. Idempotent."""
        self._closed = True
        self._gate.remove()
        self._recorder.stop()
        self._finalizer()
        self._tell_writer_fault()

    def report(self) -> Report:
        """Return coverage (layers recorded, never called, not recorded and why) and cost (ms and bytes a layer)."""
        self._writer.drain()
        return self._meter.report()

    def _before_forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not model.training or not torch.is_grad_enabled() or os.getpid() != self._pid:
            return
        try:
            self._recorder.stop()  # a forward that an interrupt ended left its hooks behind
            step = self._count_step()
            if self._paused or not (self._forced or self._due(step)):
                return
            if self._forced:
                forced = self._forced.pop(0)
                step = step if forced is None else forced
            self._tell_writer_fault()
            self._recorder.start(model, args, kwargs, step)
        except LoggingError:
            raise
        except Exception as error:
            self._recorder.stop()
            self._fault("", error)

    def _count_step(self) -> int:
        self._step = self._next_step if self._step_source is None else int(self._step_source())
        self._next_step = self._step + 1
        return self._step

    def _write_run(self, kind: str, fields: dict[str, Any], step: int) -> None:
        event = encode.run_event(kind, fields, step, time.time())
        self._writer.submit(lambda: [event])

    def _tell_writer_fault(self) -> None:
        fault = self._writer.take_fault()
        if fault is not None:
            self._fault("", fault)

    def _fault(self, layer: str, error: Exception) -> None:
        self._meter.faults[layer] += 1
        place = f"layer {layer!r}" if layer else "a step"
        reason = f"{type(error).__name__}: {error}"
        if self._on_error == "raise":
            raise LoggingError(f"recording {place} failed: {reason}") from error
        if (layer, type(error).__name__) not in self._told:
            self._told.add((layer, type(error).__name__))
            warnings.warn(f"recording {place} failed, training goes on: {reason}", ActvizWarning, stacklevel=2)


def _directory(target: Any) -> str | None:
    """Return the directory that a path or a writer writes to."""
    directory = getattr(target, "log_dir", None) or getattr(target, "logdir", None) or target
    return os.path.realpath(directory) if isinstance(directory, (str, os.PathLike)) else None


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(f"{name}={value!r} is a {type(value).__name__}; expected a whole number, 1 or more")
    if value < 1:
        raise ArgumentError(f"{name}={value}; expected 1 or more")
    return value
