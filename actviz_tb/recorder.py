"""Recording one due step: the probe, the hooks, the summaries, and handing them to the writer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from actviz_tb import encode, selection
from actviz_tb.errors import ArgumentError, LoggingError
from actviz_tb.hooks import ForwardHooks, LayerOutput, OnFault
from actviz_tb.maps import Limits
from actviz_tb.probe import Probe
from actviz_tb.recording import LayerDescription, Recording, Unrecordable
from actviz_tb.report import Meter
from actviz_tb.statistics import Scratch
from actviz_tb.writer import Job


class StepRecorder:
    """Records the steps that it is told to; all between `start` and the end of the forward is its own.

    Args:
        layers: which modules, as for `watch`.
        probe: the fixed batch that the maps are of, or None: of the training batch.
        limits: what the maps keep.
        stock_tabs: also write what TensorBoard's own tabs show.
        submit: takes the job that makes the step's events.
        on_fault: is told of each fault, by layer (``""``: outside a layer); may raise `LoggingError`.
    """

    def __init__(
        self,
        layers: selection.Layers | None,
        probe: Probe | None,
        limits: Limits,
        *,
        stock_tabs: bool,
        meter: Meter,
        submit: Callable[[Job], None],
        on_fault: OnFault,
    ) -> None:
        self._layers = layers
        self._probe = probe
        self._limits = limits
        self._stock_tabs = stock_tabs
        self._meter = meter
        self._submit = submit
        self._on_fault = on_fault
        self._scratch = Scratch()
        self._hooks: ForwardHooks | None = None
        self._root_handle: RemovableHandle | None = None
        self._probe_recording: Recording | None = None
        self._model_signature: object = None

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """Run the probe and attach the hooks, just before the model's forward; they go when it ends, also by an exception."""
        started = time.perf_counter()
        wall_time_s = time.time()
        selected = selection.select(model, self._layers)
        probed = None if self._probe is None else self._run_probe(self._probe, model, selected)
        recording = Recording(self._limits if probed is None else None, with_statistics=True, scratch=self._scratch)
        if probed is None:
            recording.add_inputs((*args, kwargs))
        hooks = ForwardHooks(selected, self._sink(recording), self._on_fault)
        self._meter.hooked.update(each.name for each in selected)

        def after_forward(model: nn.Module, args: Any, output: Any) -> None:
            ended = time.perf_counter()
            try:
                self.stop()
                self._meter.fired |= hooks.fired
                if not hooks.fired:
                    self._on_fault("", RuntimeError("no layer was called in a logged step; a compiled model is not supported yet"))
                self._finish(model, recording, probed, step, wall_time_s)
            except LoggingError:
                raise
            except Exception as error:
                self._on_fault("", error)
            finally:
                self._meter.seconds += time.perf_counter() - ended + before_s + sum(recording.seconds.values())

        self._hooks = hooks
        hooks.attach()
        # After the layers' hooks, so that a hook on the root itself comes before it; also when the forward raises.
        self._root_handle = model.register_forward_hook(after_forward, always_call=True)
        before_s = time.perf_counter() - started

    def stop(self) -> None:
        """Take the hooks off, whatever became of the forward."""
        if self._hooks is not None:
            self._hooks.detach()
            self._hooks = None
        if self._root_handle is not None:
            self._root_handle.remove()
            self._root_handle = None

    def _run_probe(self, probe: Probe, model: nn.Module, selected: list[selection.SelectedModule]) -> Recording | None:
        recording = Recording(self._limits, with_statistics=False, scratch=self._scratch)
        recording.add_inputs(probe.first_tensor())
        try:
            with ForwardHooks(selected, self._sink(recording), self._on_fault):
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
        return recording

    def _sink(self, recording: Recording) -> Callable[[LayerOutput], None]:
        def sink(output: LayerOutput) -> None:
            try:
                recording.add(output)
            except Unrecordable as reason:
                self._meter.skipped[output.name] = str(reason)

        return sink

    def _finish(self, model: nn.Module, recording: Recording, probed: Recording | None, step: int, wall_time_s: float) -> None:
        meter = self._meter
        for name, seconds in recording.seconds.items():
            meter.add_layer(name, seconds)
        meter.steps += 1
        record = encode.StepRecord(
            step=step,
            wall_time_s=wall_time_s,
            training=recording.to_host(),
            probe=None if probed is None else probed.to_host(),
            labels=None if probed is None or self._probe is None else self._probe.labels,
            stock_histograms=self._stock_tabs,
            # The stock tab keeps ten pictures a tag.
            stock_images=self._stock_tabs and meter.steps & (meter.steps - 1) == 0,
        )
        described = self._describe(model, recording.layers, step, wall_time_s)

        def job() -> list[bytes]:
            events = described
            for layer, data in encode.step_events(record):
                meter.add_bytes(layer, len(data))
                events.append(data)
            return events

        self._submit(job)

    def _describe(self, model: nn.Module, layers: list[LayerDescription], step: int, wall_time_s: float) -> list[bytes]:
        """Return the event of the model record when it differs from the last one, sizes of batches and lengths of sequences aside."""
        signature = [
            (layer.name, layer.type, layer.dtype, len(layer.shape), None if layer.channel_axis is None else layer.shape[layer.channel_axis])
            for layer in layers
        ]
        if signature == self._model_signature:
            return []
        self._model_signature = signature
        own = selection.unwrapped(model)
        modules = [
            {"path": path, "type": type(module).__name__, "parameters": sum(parameter.numel() for parameter in module.parameters())}
            for path, module in own.named_modules()
        ]
        return [encode.model_event(type(own).__name__, layers, modules, step, wall_time_s)]
