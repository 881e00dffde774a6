"""One forward pass, every layer's activation: no training loop, no files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from actviz_tb import compiler, maps, outputs, selection
from actviz_tb.errors import ActvizWarning, ArgumentError, ArgumentTypeError, LayerNotFoundError, nearest
from actviz_tb.hooks import ForwardHooks, LayerOutput
from actviz_tb.mosaic import Scale, fold, mosaic
from actviz_tb.probe import Probe

_IMAGE_MODULES = (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.BatchNorm2d)


@dataclass(frozen=True, slots=True)
class Activation:
    """What one layer put out.

    Attributes:
        name: the layer's name, ``:n`` for its n-th call after the first, and the part of a structured output.
        type: the layer's class, such as ``"Conv2d"``; ``"input"`` for the model's input.
        tensor: the output, detached, a copy: later in-place operations do not change it.
        layout: how it is drawn: ``channels``, ``sequence``, ``vector``, or None when it cannot be.
        channel_axis: the axis of its channels, or None.
    """

    name: str
    type: str
    tensor: Tensor
    layout: str | None
    channel_axis: int | None

    def grid(self, sample: int = 0, *, columns: int | None = None, colormap: str = "activations", scale: Scale = "layer") -> Image.Image:
        """Draw one sample's maps: a cell a channel for images, one map for a sequence, a vector's values folded near-square.

        Args:
            sample: index in the batch.
            columns: cells a row; None: near-square.
            colormap: ``"activations"`` (diverging: blue positive, brown negative, white zero), viridis, cividis, inferno or grey.
            scale: one for all maps (``"layer"``), one each (``"map"``), or (low, high).

        Raises:
            ArgumentError: no such sample, colour map or scale, or the output is not one that can be drawn.
        """
        return mosaic(self._maps(sample), columns=columns, colormap=colormap, scale=scale)

    def _repr_png_(self) -> Any:
        return self.grid()._repr_png_() if self.layout is not None else None

    def _maps(self, sample: int) -> npt.NDArray[np.float32]:
        """Return one sample's maps, float32 [C, h, w]."""
        if self.layout is None:
            raise ArgumentError(
                f"{self.name!r} has shape {tuple(self.tensor.shape)} and cannot be drawn; expected 1 to 5 axes, the first one samples"
            )
        if not -len(self.tensor) <= sample < len(self.tensor):
            raise ArgumentError(f"sample={sample}, but {self.name!r} holds {len(self.tensor)} samples")
        values = self.tensor[sample].float().cpu()
        if self.layout == "vector":
            return fold(values.reshape(-1).numpy())[None]
        if self.layout == "sequence":
            return values[None].numpy()
        if self.channel_axis == self.tensor.ndim - 1:
            values = values.movedim(-1, 0)
        if values.ndim == 4:
            values = values[:, values.shape[1] // 2]
        return values.numpy()


class Activations(Mapping[str, Activation]):
    """The activations of one forward pass, by layer name, in the order in which the layers ran."""

    def __init__(self, activations: list[Activation], inputs: Activation | None) -> None:
        self.inputs = inputs
        self._by_name = {each.name: each for each in activations}

    def __getitem__(self, name: str) -> Activation:
        try:
            return self._by_name[name]
        except KeyError:
            message = f"no layer {name!r} among the {len(self)} that ran; {nearest(str(name), self)}"
            raise LayerNotFoundError(message) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        lines = (f"  {each.name}: {each.type} {tuple(each.tensor.shape)}" for each in self.values())
        return "\n".join([f"{len(self)} layers", *lines])

    def at(self, index: int) -> Activation:
        """Return the index-th activation in the order of execution, from 0; negative ones count from the end.

        Raises:
            LayerNotFoundError: out of range; the message says how many there are.
        """
        if not -len(self) <= index < len(self):
            raise LayerNotFoundError(f"layer index {index} is out of range: {len(self)} layers ran, 0 to {len(self) - 1}")
        return list(self.values())[index]

    def show(self, sample: int = 0, *, max_maps: int = 16, colormap: str = "activations") -> Image.Image:
        """Draw the whole propagation as one picture: the input, then a row a layer in the order of execution.

        Args:
            sample: index in the batch.
            max_maps: channels a row, evenly spaced.
            colormap: as for `Activation.grid`; each row has a scale of its own.
        """
        rows = []
        for each in ([self.inputs] if self.inputs is not None else []) + list(self.values()):
            if each.layout is None or each.tensor.numel() == 0:
                continue
            found = each._maps(sample if len(each.tensor) > 1 else 0)
            kept = found[list(maps.evenly(len(found), max_maps))]
            size = f"{len(kept)} of {len(found)} channels" if len(kept) < len(found) else ""
            label = [each.name, f"{each.type} {tuple(each.tensor.shape[1:])}", size]
            rows.append((label, mosaic(kept, columns=len(kept), colormap=colormap)))
        return _stack(rows)


def capture(model: nn.Module, x: Any, *, layers: selection.Layers | None = None) -> Activations:
    """Run one forward pass and return every layer's activation::

        acts = actviz_tb.capture(model, images[:1])
        list(acts)                       # ['conv1', 'relu', 'pool', 'fc1', 'relu:1', 'fc2']
        acts["relu"].tensor.shape        # torch.Size([1, 16, 26, 26])
        acts["relu"].grid().save("relu.png")
        acts.show().save("all.png")

    The model runs in evaluation mode without gradients; its training flags, buffers and the random state are afterwards as before.

    Args:
        model: any module.
        x: its input: a tensor, a tuple of positional or a dict of keyword arguments. A single sample may come without a batch
            axis: it gets one where the model needs it.
        layers: which layers, as for `watch`; default: every leaf module, and blocks whose output differs from their last child's.

    Raises:
        ArgumentTypeError: `model` is no Module, or `x` has no tensor.
        LayerNotFoundError: a pattern in `layers` matches nothing.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"model is a {type(model).__name__}; expected a torch.nn.Module")
    selected = selection.select(model, layers)
    if not isinstance(x, Tensor):
        return _run(model, selected, x)
    batched = x[None]
    try:
        activations = _run(model, selected, x)
    except Exception as error:
        try:
            return _run(model, selected, batched)
        except Exception:
            raise error from None
    if any(each.type in _IMAGE_TYPES and each.tensor.ndim == 3 for each in activations.values()):
        return _run(model, selected, batched)
    return activations


def activation_propagation(model: nn.Module, x: Any, layer_index: int | str) -> Tensor:
    """Return the output of one layer for an input, detached.

    Args:
        model: any module.
        x: its input, as for `capture`.
        layer_index: place in the order of execution, from 0 (negative: from the end); or the layer's name.

    Raises:
        LayerNotFoundError: no layer of that index (the message says how many ran) or name (it lists the nearest).
        ArgumentTypeError: `layer_index` is neither.
    """
    activations = capture(model, x)
    if isinstance(layer_index, str):
        return activations[layer_index].tensor
    if isinstance(layer_index, bool) or not isinstance(layer_index, int):
        raise ArgumentTypeError(f"layer_index={layer_index!r} is a {type(layer_index).__name__}; expected a whole number or a layer's name")
    return activations.at(layer_index).tensor


def visualize_activation(
    activation: Activation | Tensor,
    sample: int = 0,
    *,
    columns: int | None = None,
    colormap: str = "activations",
    scale: Scale = "layer",
) -> Image.Image:
    """Draw an activation as a grid of maps::

        visualize_activation(activation_propagation(model, image, 0)).save("conv1.png")

    Args:
        activation: what `activation_propagation` or `capture` returned: (N, C, H, W) gives C maps of sample `sample`, (N, D) that
            sample's D values folded near-square. A tensor of three axes is drawn as that many maps: (C, H, W) of one sample, or (N, T, D).
        sample, columns, colormap, scale: as for `Activation.grid`.

    Raises:
        ArgumentTypeError: not an activation.
        ArgumentError: no such sample, colour map or scale, or a shape that cannot be drawn.
    """
    if isinstance(activation, Activation):
        return activation.grid(sample, columns=columns, colormap=colormap, scale=scale)
    if not isinstance(activation, Tensor):
        raise ArgumentTypeError(f"activation is a {type(activation).__name__}; expected a tensor, or what capture() returns")
    tensor = activation.detach()
    if tensor.ndim in (1, 3):
        tensor = tensor[None]
    layout, channel_axis = maps.layout(tensor.shape)
    return Activation("activation", "tensor", tensor, layout, channel_axis).grid(sample, columns=columns, colormap=colormap, scale=scale)


_IMAGE_TYPES = frozenset(each.__name__ for each in _IMAGE_MODULES)


def _run(model: nn.Module, selected: list[selection.SelectedModule], x: Any) -> Activations:
    found: list[Activation] = []

    def sink(output: LayerOutput) -> bool:
        tensor = output.tensor.detach()
        if tensor.numel() == 0:
            warnings.warn(f"{output.name!r} has no element (shape {tuple(tensor.shape)}) and is left out", ActvizWarning, stacklevel=2)
            return False
        found.append(_activation(output.name, output.kind, tensor.clone(), output.module))
        return True

    def on_fault(layer: str, error: Exception) -> None:
        warnings.warn(f"capturing layer {layer!r} failed: {type(error).__name__}: {error}", ActvizWarning, stacklevel=2)

    probe = Probe(x)
    with compiler.EagerStep(), ForwardHooks(selected, sink, on_fault):
        probe.run(model)
    first = probe.first_tensor()
    return Activations(found, _activation("input", "input", first, None) if outputs.unrecordable(first) is None else None)


def _activation(name: str, kind: str, tensor: Tensor, module: nn.Module | None) -> Activation:
    layout, channel_axis = maps.layout(tensor.shape, module)
    return Activation(name, kind, tensor, layout if tensor.layout == torch.strided else None, channel_axis)


_MARGIN, _LABEL_WIDTH, _LINE_HEIGHT, _ROW_GAP = 8, 200, 14, 8


def _stack(rows: list[tuple[list[str], Image.Image]]) -> Image.Image:
    height = sum(max(picture.height, _LINE_HEIGHT * 3) + _ROW_GAP for _, picture in rows) + 2 * _MARGIN
    width = max((picture.width for _, picture in rows), default=0) + _LABEL_WIDTH + 2 * _MARGIN
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(11)
    top = _MARGIN
    for label, picture in rows:
        for line, text in enumerate(label):
            draw.text((_MARGIN, top + line * _LINE_HEIGHT), text, fill="#1b1f24" if line == 0 else "#57606a", font=font)
        canvas.paste(picture, (_MARGIN + _LABEL_WIDTH, top))
        top += max(picture.height, _LINE_HEIGHT * 3) + _ROW_GAP
    return canvas
