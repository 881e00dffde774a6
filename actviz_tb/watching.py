"""`watch`, the one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from actviz_tb import schedule, selection
from actviz_tb.logger import ActivationLogger, OnError
from actviz_tb.monitor import OnFinding
from tensorboard_plugin.actviz.health import Thresholds


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
    gradients: bool = False,
    attention: bool = True,
    functional: bool = True,
    stock_tabs: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
    step: int | Callable[[], int] = 0,
    name: str | None = None,
    merge_ranks: bool = False,
    max_overhead: float | None = None,
    recorder: int | None = None,
    recorder_factor: float = 10.0,
    health: Mapping[str, float] | Thresholds | None = None,
    on_finding: OnFinding | None = None,
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

    Under ``torch.compile`` the logged steps run eagerly, all others the compiled graph untouched. In a job of several processes every
    process makes the same call; rank 0 writes.

    Args:
        model: any module; also wrapped in DataParallel, DistributedDataParallel or ``torch.compile``. FSDP: watch it once it is sharded;
            with a probe, which all ranks then run, every rank must log the same steps.
        target: a log directory, made if it is missing, or an open SummaryWriter (torch's or tensorboardX's). Used on rank 0 only.
        every: log one step in so many; or a callable ``step -> bool``; or a schedule of `actviz_tb.schedule`.
            Default: ``schedule.decades()``, each of the first 100 steps, then ever fewer.
        layers: globs on module names (``"encoder.*"``, ``"!*.dropout"``), module types, or a predicate ``(name, module) -> bool``.
            Default: every leaf module, and blocks whose output differs from their last child's.
        probe: a fixed input batch (tensor, tuple of positional or dict of keyword arguments). On each logged step it runs through the
            model before the training batch, in evaluation mode without gradients, and the maps are of it. Costs one
            forward of that batch a logged step. Without it, maps are of the training batch.
        probe_labels: one a probe sample; of a text, the list of its tokens (str), which name the rows and columns of attention maps.
        samples: inputs whose maps are kept, from the start of the batch; 0: no maps.
        max_channels: channels a layer whose maps are kept, evenly spaced, the same ones at each step.
        max_size: pixels a side of a map; larger ones are averaged down.
        gradients: also statistics and histograms of the gradient of the loss with respect to each output.
        attention: also the weights of attention, recomputed for the shown samples, with their entropy and the largest logit.
        functional: also what runs inside a module without a module of its own (``F.relu`` in ``block1``: ``block1/relu``).
        stock_tabs: also write what TensorBoard's Histograms, Distributions and Images tabs show.
        optimizer: count its steps instead of training forwards, of which it may need several (accumulated gradients). The first
            forward of a step is the one that is recorded.
        step: number of the first step, for a resumed run; or a callable that gives the current step's number.
        name: of the model; stands before the names of all its layers. Two models that write to one SummaryWriter need one each.
        merge_ranks: statistics and histograms of the global batch, not of rank 0's share: one collective a logged step. Maps and
            gradients stay rank 0's, and "near zero" is in relation to the RMS of each rank's share. Every rank must make this call and
            log the same steps. When one does not come within half of the process group's timeout, a warning tells so, training goes
            on, and from then on statistics are of rank 0's share.
        max_overhead: fraction of the training's time that logging may take, such as 0.01: where it is more, the interval is widened,
            by powers of two.
        recorder: keep RMS, extremes and the number of non-finite values of each output of the last so many steps, also of those that are
            not due, and write them when something breaks: a value that is not finite, an RMS that jumps, an exception in forward or
            backward. Reads each output once a step. A compiled model keeps its graph, and shows only what it puts out.
        recorder_factor: an RMS jumps where it is more than this factor times what it was in over half of those steps.
        health: thresholds of the rules that say what is wrong with the run, by name (``{"jump": 8}``); the tab, `Run.findings` and
            `on_finding` then start from them. ``docs/health.md`` lists them.
        on_finding: called with each `Finding` in the training thread, at the first forward after it was found among the last 64 logged
            steps, or in `flush` or `close`; on the process that writes. It may raise `StopTraining`, which comes out of that
            forward; any other exception is a fault in logging.
        on_error: ``"warn"``: a fault in logging is reported once and counted, training goes on; ``"raise"``: `LoggingError`.

    Returns:
        The logger; there is no need to keep it.

    Raises:
        ArgumentTypeError: an argument of the wrong type, a model that is no Module, a target that is neither path nor writer.
        ArgumentError: a value out of range, a directory that cannot be written to, a closed writer, arguments that exclude each other.
        LayerNotFoundError: a layer pattern that matches nothing; the message lists the nearest names.
    """
    arguments_given = dict(locals())  # the logger takes the same
    return ActivationLogger(**arguments_given)
