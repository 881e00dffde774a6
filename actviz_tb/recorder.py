"""Recording one due step: the probe, the hooks, the summaries, and handing them to the writer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from actviz_tb import compiler, distributed, encode, fused, selection
from actviz_tb.distributed import Merger
from actviz_tb.errors import ArgumentError, LoggingError
from actviz_tb.functions import Functions
from actviz_tb.gradients import GradientRecording
from actviz_tb.hooks import ForwardHooks, LayerOutput, OnFault, add_hook
from actviz_tb.maps import Limits
from actviz_tb.monitor import Monitor, layers_of
from actviz_tb.overhead import Overhead
from actviz_tb.probe import Probe
from actviz_tb.recording import LayerDescription, PendingStatistics, Recording, Unrecordable
from actviz_tb.report import Meter
from actviz_tb.selection import SelectedModule
from actviz_tb.statistics import Scratch
from actviz_tb.writer import Job

_MODAL = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
"""Modules whose output depends on the mode that they are in."""
MAX_AWAITED = 8
"""So many forwards may await their backward and still be recorded where it is interrupted; those that are not have no limit."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is recorded of a step.

    Attributes:
        name: of the model, in a run of several; stands before the names of all its layers. Empty without.
        layers, limits, gradients, attention, functional, stock_tabs: as for `watch`; limits None: no maps.
        merger: brings the ranks' statistics together, or None.
        monitor: looks at what is recorded, or None.
    """

    name: str
    layers: selection.Layers | None
    limits: Limits | None
    gradients: bool
    attention: bool
    functional: bool
    stock_tabs: bool
    merger: Merger | None
    monitor: Monitor | None


class StepRecorder:
    """Records a step from `start`, before the model's forward, until that forward ends. Keeps nothing of the model between steps.

    Attributes:
        step: the one that is being recorded.
        aliases: of the last recorded step, see `hooks.ForwardHooks`; always the same mapping.

    Args:
        options: what is recorded.
        probe: the fixed batch, or None.
        writes: this process writes the record; may be set later.
        meter, overhead: told what was recorded, and what it cost.
        submit: takes the job that makes the step's events.
        on_fault: told of each fault, which must not stop the training.
    """

    def __init__(
        self,
        options: Options,
        probe: Probe | None,
        *,
        writes: bool,
        meter: Meter,
        overhead: Overhead,
        submit: Callable[[Job], None],
        on_fault: OnFault,
    ) -> None:
        self.writes = writes
        self._options = options
        self._probe = probe
        self._meter = meter
        self._overhead = overhead
        self._submit = submit
        self._on_fault = on_fault
        self._scratch = Scratch()
        self.step: _Step | None = None
        self.aliases: dict[str, str] = {}
        self._awaited: deque[GradientRecording] = deque(maxlen=MAX_AWAITED)
        self._model_signature: object = None

    def runs_together(self, model: nn.Module) -> bool:
        """Say whether every rank must run the probe, also one that records nothing."""
        return self._probe is not None and distributed.is_sharded(model)

    def start(self, model: nn.Module, called: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> bool:
        """Run the probe and attach the hooks, just before the model's forward; they go when it ends, also by an exception.

        Args:
            model: what is recorded.
            called: the module whose forward begins: the model, or a replica of it.
            args, kwargs: that forward's.
            step: its number.

        Returns:
            Whether the forward is recorded: on ranks that do not write it may not be.
        """
        started = time.perf_counter()
        self._end_interrupted_backwards()
        options = self._options
        records = self.writes or options.merger is not None
        if not records and not self.runs_together(model):
            return False
        observed = selection.select(model, None, options.name)
        selected = observed if options.layers is None else selection.select(model, options.layers, options.name)
        probed = None if self._probe is None or _has_lazy_parameters(model) else self._run_probe(self._probe, model, selected, observed)
        if not records:
            return False
        recording = Recording(options.limits if probed is None and self.writes else None, with_statistics=True, scratch=self._scratch)
        if probed is None:
            with torch._C.DisableTorchFunction():  # as wherever we compute: it is none of the business of the user's function modes
                recording.add_inputs((*args, kwargs))
        alone = fused.fused(model)
        if alone:
            selected, observed = self._outside(fused.inside(alone), selected, observed)
        self._meter.hooked.update(each.name for each in selected)
        gradients = self._gradient_recording(step) if options.gradients and self.writes else None
        if gradients is not None:
            self._awaited.append(gradients)
        self.step = _Step(
            *self._observers(recording, selected, observed, alone, gradients),
            recording,
            probed,
            [each.name for each in observed if not each.module.training and isinstance(each.module, _MODAL)],
            step,
            time.time(),
            lambda: self._finish(model),
        )
        self.step.start(called, (args, kwargs), time.perf_counter() - started)
        return True

    def stop(self) -> None:
        """Take the hooks off, whatever became of the forward."""
        if self.step is not None:
            self.step.stop()
            self.step = None

    def end_gradients(self) -> None:
        """Await no gradients any more; hand over those that there are."""
        for each in self._awaited:
            each.end()
        self._awaited.clear()

    def _end_interrupted_backwards(self) -> None:
        """Hand over what a backward that did not come to its end left; forget the recordings that are complete."""
        begun = [each for each in self._awaited if each.started]
        for each in begun:
            each.end()
            self._awaited.remove(each)

    def _outside(
        self, inside: frozenset[nn.Module], selected: list[SelectedModule], observed: list[SelectedModule]
    ) -> tuple[list[SelectedModule], list[SelectedModule]]:
        """Return what is left without the modules inside fused layers."""
        for each in selected:
            if each.module in inside:
                self._skip(each.name, "inside a frozen transformer layer, which runs as one fused kernel")
        return [each for each in selected if each.module not in inside], [each for each in observed if each.module not in inside]

    def _observers(
        self,
        recording: Recording,
        selected: list[SelectedModule],
        observed: list[SelectedModule],
        alone: frozenset[nn.Module] = frozenset(),
        gradients: GradientRecording | None = None,
    ) -> tuple[ForwardHooks, Functions]:
        options = self._options
        one_at_a_time = threading.Lock()  # models that run branches in threads of their own

        def sink(output: LayerOutput) -> bool:
            try:
                with one_at_a_time:
                    recording.add(output)
            except Unrecordable as reason:
                self._skip(output.name, str(reason))
                return False
            if gradients is not None:
                gradients.add(output)
            return True

        functions = Functions(
            sink,
            self._on_fault,
            self._skip,
            observed[0],
            named=bool(options.name),
            selected=frozenset(each.name for each in selected),
            functional=options.functional,
            attended=recording.add_attention if options.attention else None,
            returned=recording.add_returned_attention if options.attention else None,
            fused=alone,
        )
        return ForwardHooks(selected, sink, self._on_fault, self._skip, functions, observed, fused.hookless(alone)), functions

    def _skip(self, name: str, reason: str) -> None:
        self._meter.skipped[name] = reason

    def _run_probe(
        self, probe: Probe, model: nn.Module, selected: list[SelectedModule], observed: list[SelectedModule]
    ) -> Recording | None:
        recording = Recording(self._options.limits, with_statistics=False, scratch=self._scratch, gram_samples=probe.samples)
        with torch._C.DisableTorchFunction():
            recording.add_inputs(probe.first_tensor())
        hooks, functions = self._observers(recording, selected, observed)
        eager = compiler.EagerStep()
        eager.start()
        try:
            if self.writes:
                hooks.attach()
                functions.start(())
            probe.run(selection.unwrapped(model))
        except LoggingError:
            raise
        except Exception as error:
            self._probe = None
            message = (
                f"the model does not take the probe of shape {probe.shape}: {error}; expected the model's own input. "
                "Maps are of the training batch instead"
            )
            self._on_fault("", ArgumentError(message))
            return None
        finally:
            functions.stop()
            hooks.detach()
            eager.stop()
        return recording

    def _gradient_recording(self, step: int) -> GradientRecording:
        model, wall_time_s, meter, overhead = self._options.name, time.time(), self._meter, self._overhead

        def on_cost(layer: str, seconds: float) -> None:
            meter.add_gradient(layer, seconds)
            overhead.add(seconds)

        def on_end(gradients: GradientRecording) -> None:
            if not gradients.summaries:
                return
            pending = PendingStatistics(gradients.summaries)
            self._submit(lambda: meter.counted(encode.gradient_events(model, pending.to_host(), step, wall_time_s)))

        return GradientRecording(self._scratch, on_end, on_cost, self._on_fault, self._skip)

    def _finish(self, model: nn.Module) -> None:
        """The forward of the step at hand has ended: hand its record over."""
        ended = time.perf_counter()
        step = self.step
        assert step is not None
        self.stop()
        try:
            with torch._C.DisableTorchFunction():
                self._hand_over(model, step)
        except LoggingError:
            raise
        except Exception as error:  # whatever goes wrong here must not stop the training
            self._on_fault("", error)
        finally:
            cost_s = time.perf_counter() - ended + step.before_s + sum(step.recording.seconds.values())
            self._meter.seconds += cost_s
            self._overhead.add(cost_s)

    def _hand_over(self, model: nn.Module, step: _Step) -> None:
        meter, options = self._meter, self._options
        meter.fired |= step.hooks.fired
        self.aliases.clear()
        self.aliases.update(step.hooks.aliases)
        pending = step.recording.start_transfer()
        ranks = None if options.merger is None else self._of_all_ranks(options.merger, pending.statistics)
        if not step.hooks.fired:
            self._on_fault("", RuntimeError("no layer was called in a logged step"))
        if not self.writes:
            return
        for name, seconds in step.recording.seconds.items():
            meter.add_layer(name, seconds)
        meter.steps += 1
        probed = None if step.probed is None else step.probed.start_transfer()
        # The job, which another thread runs, must hold neither model nor logger.
        name, number, wall_time_s, evaluating = options.name, step.number, step.wall_time_s, step.evaluating
        described = self._describe(model, step.recording.layers, number, wall_time_s)
        # The stock Images tab keeps ten pictures a tag.
        stock_images = options.stock_tabs and meter.steps & (meter.steps - 1) == 0
        monitor = options.monitor
        layers = [] if monitor is None else layers_of(model, options.name, step.recording.layers)
        told = encode.UNTOLD if probed is None or self._probe is None else self._probe.told

        def job() -> list[bytes]:
            record = encode.StepRecord(
                model=name,
                step=number,
                wall_time_s=wall_time_s,
                training=pending.to_host(None if ranks is None else distributed.combined(ranks)),
                probe=None if probed is None else probed.to_host(),
                told=told,
                evaluating=evaluating,
                stock_histograms=options.stock_tabs,
                stock_images=stock_images,
            )
            if monitor is not None:
                monitor.observe(number, *encode.step_parts(record), layers)
            return meter.counted((*described, *encode.step_events(record)))

        self._submit(job)

    def _of_all_ranks(self, merger: Merger, pending: PendingStatistics) -> distributed.Parts | None:
        try:
            return merger.exchange(pending)
        except distributed.NotMerged as error:
            self._on_fault("", error)
            return None

    def _describe(self, model: nn.Module, layers: list[LayerDescription], step: int, wall_time_s: float) -> list[tuple[None, bytes]]:
        """Return the event of the model record when it differs from the last one, sizes of batches and lengths of sequences aside.

        It comes with None, as the event of no single layer.
        """
        own = selection.unwrapped(model)
        signature = [layer.signature() for layer in layers], [each.requires_grad for each in own.parameters()]
        if signature == self._model_signature:
            return []
        self._model_signature = signature
        name = self._options.name
        modules = [
            {
                "path": path,
                "type": selection.class_name(module),
                "parameters": sum(parameter.numel() for parameter in module.parameters()),
            }
            for path, module in selection.named_modules(own, name)
            if not selection.is_wrapper(module)
        ]
        parameters = {module["path"]: module["parameters"] for module in modules}
        trained = {path for path, module in selection.named_modules(own, name) if any(each.requires_grad for each in module.parameters())}
        listed = [{**asdict(layer), "parameters": parameters.get(layer.path, 0), "trained": layer.path in trained} for layer in layers]
        return [(None, encode.model_event(name, selection.class_name(own), listed, modules, step, wall_time_s))]


def _has_lazy_parameters(model: nn.Module) -> bool:
    """Say whether the next forward draws parameters (``nn.LazyLinear``): it must be the training's own, or its random state differs."""
    return any(is_lazy(each) for each in (*model.parameters(), *model.buffers()))


class _Step:
    """A step that is being recorded."""

    def __init__(
        self,
        hooks: ForwardHooks,
        functions: Functions,
        recording: Recording,
        probed: Recording | None,
        evaluating: list[str],
        number: int,
        wall_time_s: float,
        on_end: Callable[[], None],
    ) -> None:
        self.hooks = hooks
        self.recording = recording
        self.probed = probed
        self.evaluating = evaluating
        self.number = number
        self.wall_time_s = wall_time_s
        self.before_s = 0.0
        self._functions = functions
        self._on_end = on_end
        self._eager = compiler.EagerStep()
        self._root_handle: RemovableHandle | None = None

    def start(self, called: nn.Module, inputs: object, before_s: float) -> None:
        started = time.perf_counter()
        self.hooks.attach()

        def ended(module: nn.Module, *_: object) -> None:
            if module is called:  # replicas share their hooks
                self._on_end()

        self._root_handle = add_hook(called, ended, always_call=True)
        self._eager.start()
        self._functions.start(inputs)
        self.before_s = before_s + time.perf_counter() - started

    def stop(self) -> None:
        self._functions.stop()
        self.hooks.detach()
        if self._root_handle is not None:
            self._root_handle.remove()
        self._eager.stop()
