"""`watch` and the logger that it returns: composes hooks, summaries, probe and writer."""

from __future__ import annotations

import os
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from actviz_tb import encode, maps, schedule, selection
from actviz_tb.errors import ActvizWarning, ArgumentError, ArgumentTypeError, LoggingError
from actviz_tb.hooks import ForwardHooks, LayerOutput, RootGate
from actviz_tb.outputs import tensors, unrecordable
from actviz_tb.probe import Probe
from actviz_tb.recording import LayerDescription, Recording, Unrecordable
from actviz_tb.report import LayerReport, Report
from actviz_tb.statistics import Scratch
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
        self._limits = maps.Limits(_positive("samples", samples), _positive("max_channels", max_channels), _positive("max_size", max_size))
        self._due = schedule.decades() if every is None else schedule.resolve(every)
        self._layers = layers
        selection.select(model, layers)  # tells of a pattern that matches nothing before anything is written
        if probe is None and probe_labels is not None:
            raise ArgumentError("probe_labels without a probe; give both, or leave both out")
        self._probe = None if probe is None else Probe(probe, probe_labels)
        self._stock_tabs = stock_tabs
        self._on_error = on_error
        self._next_step = 0 if callable(step) else step
        self._step_source = step if callable(step) else None
        self._step: int | None = None
        self._forced: list[int | None] = []
        self._paused = False
        self._closed = False
        self._pid = os.getpid()

        self._scratch = Scratch()
        self._recording: Recording | None = None
        self._probe_recording: Recording | None = None
        self._hooks: ForwardHooks | None = None
        self._root_handle: Any = None
        self._logged_steps = 0
        self._model_signature: object = None
        self._cost = _Cost()
        self._told: set[tuple[str, str]] = set()

        self._model = weakref.ref(model)
        directory = _directory(target)
        if directory is not None:
            self._take_over(directory)
        self._writer = BackgroundWriter(open_sink(target))
        if directory is not None:
            _loggers[directory] = self
        if not isinstance(target, (str, Path)) and hasattr(target, "close"):
            drain_before_close(target, self._writer)
        self._gate = model.register_forward_pre_hook(RootGate(self._before_forward), with_kwargs=True)
        self._finalizer = weakref.finalize(self, self._writer.close)
        session = {
            "actviz_tb": VERSION,
            "torch": torch.__version__,
            "source": "train" if self._probe is None else "probe",
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
        self._stop_recording()
        self._finalizer()
        self._tell_writer_fault()

    def report(self) -> Report:
        """Return coverage (layers recorded, never called, not recorded and why) and cost (ms and bytes a layer)."""
        self._writer.drain()
        return self._cost.report(self._logged_steps)

    def _before_forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not model.training or not torch.is_grad_enabled() or os.getpid() != self._pid:
            return
        try:
            self._stop_recording()  # a forward that an interrupt ended left its hooks behind
            step = self._count_step()
            if self._paused or not (self._forced or self._due(step)):
                return
            if self._forced:
                forced = self._forced.pop(0)
                step = step if forced is None else forced
            self._tell_writer_fault()
            self._start_recording(model, args, kwargs, step)
        except LoggingError:
            raise
        except Exception as error:
            self._stop_recording()
            self._fault("", error)

    def _count_step(self) -> int:
        self._step = self._next_step if self._step_source is None else int(self._step_source())
        self._next_step = self._step + 1
        return self._step

    def _start_recording(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        started = time.perf_counter()
        wall_time_s = time.time()
        selected = selection.select(model, self._layers)
        self._probe_recording = self._run_probe(model, selected) if self._probe is not None else None
        recording = Recording(self._limits if self._probe_recording is None else None, with_statistics=True, scratch=self._scratch)
        if self._probe_recording is None:
            _add_inputs(recording, (*args, kwargs))
        self._recording = recording
        hooks = ForwardHooks(selected, self._sink(recording), self._fault)
        self._hooks = hooks
        self._cost.hooked.update(each.name for each in selected)

        def after_forward(model: nn.Module, args: Any, output: Any) -> None:
            ended = time.perf_counter()
            try:
                self._stop_recording()
                self._finish(model, recording, hooks, step, wall_time_s)
            except LoggingError:
                raise
            except Exception as error:
                self._fault("", error)
            finally:
                self._cost.seconds += time.perf_counter() - ended + before_s + sum(recording.seconds.values())

        hooks.attach()
        # After the layers' hooks, so that a hook on the root itself comes before it; also when the forward raises.
        self._root_handle = model.register_forward_hook(after_forward, always_call=True)
        before_s = time.perf_counter() - started

    def _run_probe(self, model: nn.Module, selected: list[selection.SelectedModule]) -> Recording | None:
        assert self._probe is not None
        recording = Recording(self._limits, with_statistics=False, scratch=self._scratch)
        _add_inputs(recording, (self._probe.first_tensor(),))
        try:
            with ForwardHooks(selected, self._sink(recording), self._fault):
                self._probe.run(selection.unwrapped(model))
        except Exception as error:
            shape = self._probe.shape
            self._probe = None
            message = (
                f"the model does not take the probe of shape {shape}: {error}; expected the model's own input. "
                "Maps are of the training batch instead"
            )
            self._fault("", ArgumentError(message))
            return None
        return recording

    def _sink(self, recording: Recording) -> Callable[[LayerOutput], None]:
        def sink(output: LayerOutput) -> None:
            try:
                recording.add(output)
            except Unrecordable as reason:
                self._cost.skipped[output.name] = str(reason)

        return sink

    def _stop_recording(self) -> None:
        if self._hooks is not None:
            self._hooks.detach()
            self._root_handle.remove()
            self._hooks = self._root_handle = self._recording = None

    def _finish(self, model: nn.Module, recording: Recording, hooks: ForwardHooks, step: int, wall_time_s: float) -> None:
        self._cost.fired |= hooks.fired
        if not hooks.fired:
            self._fault("", RuntimeError("no layer was called in a logged step; a compiled model is not supported yet"))
        training = recording.to_host()
        probe = None if self._probe_recording is None else self._probe_recording.to_host()
        self._probe_recording = None
        for name, seconds in recording.seconds.items():
            self._cost.add_layer(name, seconds)
        self._logged_steps += 1
        record = encode.StepRecord(
            step=step,
            wall_time_s=wall_time_s,
            training=training,
            probe=probe,
            labels=None if probe is None or self._probe is None else self._probe.labels,
            stock_histograms=self._stock_tabs,
            # The stock tab keeps ten pictures a tag.
            stock_images=self._stock_tabs and self._logged_steps & (self._logged_steps - 1) == 0,
        )
        described = self._describe(model, training.layers, step, wall_time_s)
        cost = self._cost

        def job() -> list[bytes]:
            events = described
            for layer, data in encode.step_events(record):
                cost.add_bytes(layer, len(data))
                events.append(data)
            return events

        self._writer.submit(job)

    def _describe(self, model: nn.Module, layers: list[LayerDescription], step: int, wall_time_s: float) -> list[bytes]:
        """Return the event of the model record when it differs from the last one, sizes of batches and lengths of sequences aside."""
        signature = [
            (layer.name, layer.type, layer.dtype, len(layer.shape), None if layer.channel_axis is None else layer.shape[layer.channel_axis])
            for layer in layers
        ]
        if signature == self._model_signature:
            return []
        self._model_signature = signature
        modules = [
            {"path": path, "type": type(module).__name__, "parameters": sum(parameter.numel() for parameter in module.parameters())}
            for path, module in selection.unwrapped(model).named_modules()
        ]
        return [encode.model_event(type(selection.unwrapped(model)).__name__, layers, modules, step, wall_time_s)]

    def _write_run(self, kind: str, fields: dict[str, Any], step: int) -> None:
        event = encode.run_event(kind, fields, step, time.time())
        self._writer.submit(lambda: [event])

    def _tell_writer_fault(self) -> None:
        fault = self._writer.take_fault()
        if fault is not None:
            self._fault("", fault)

    def _fault(self, layer: str, error: Exception) -> None:
        self._cost.faults[layer] += 1
        place = f"layer {layer!r}" if layer else "a step"
        reason = f"{type(error).__name__}: {error}"
        if self._on_error == "raise":
            raise LoggingError(f"recording {place} failed: {reason}") from error
        if (layer, type(error).__name__) not in self._told:
            self._told.add((layer, type(error).__name__))
            warnings.warn(f"recording {place} failed, training goes on: {reason}", ActvizWarning, stacklevel=2)


class _Cost:
    """Counts for the report; bytes are added by the writer's thread."""

    def __init__(self) -> None:
        self.hooked: set[str] = set()
        self.fired: set[str] = set()
        self.skipped: dict[str, str] = {}
        self.faults: Counter[str] = Counter()
        self.seconds = 0.0
        self._size_bytes = 0
        self._layer_steps: Counter[str] = Counter()
        self._layer_seconds: Counter[str] = Counter()
        self._layer_bytes: Counter[str] = Counter()

    def add_layer(self, name: str, seconds: float) -> None:
        self._layer_steps[name] += 1
        self._layer_seconds[name] += seconds  # type: ignore[assignment]

    def add_bytes(self, layer: str | None, size: int) -> None:
        self._size_bytes += size
        if layer is not None:
            self._layer_bytes[layer] += size

    def report(self, steps: int) -> Report:
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
        )


def _add_inputs(recording: Recording, arguments: tuple[Any, ...]) -> None:
    """Keep the maps of the model's first input tensor, where it is one that maps can be made of."""
    for _, tensor in tensors(arguments):
        if unrecordable(tensor) is None:
            layout, channel_axis = maps.layout(tensor.shape)
            recording.add_maps(encode.INPUTS, tensor.detach(), layout, channel_axis)
        return


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
