"""Arguments that a model of transformers takes, made by their names."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from models import VOCABULARY, WIDTH
from torch import Tensor
from transformers import PreTrainedConfig

BATCH, LENGTH = 2, 16
_MISMATCH = re.compile(r"(image|audio) features and .*tokens do not match\D*\d+\D*(\d+)", re.IGNORECASE | re.DOTALL)


def fitting_inputs(model: Any) -> dict[str, Any]:
    """Return inputs that the model takes, of several shapes that pictures and sounds may have; beside a text if it can.

    Raises:
        Exception: what the model raised at the first ones.
    """
    failures: list[Exception] = []
    for media in (True, False):
        for variant in range(3):
            tokens: dict[str, int] = {}  # positions of a row that stand for a picture or a sound: learned from what the model says of them
            for _ in range(4):
                made = _inputs(model, media, variant, tokens)
                try:
                    with torch.no_grad():
                        copy.deepcopy(model).eval()(**clones(made))
                    return made
                except Exception as error:
                    failures.append(error)
                    found = _MISMATCH.search(str(error))
                    if found is None:
                        break
                    kind, count = found[1].lower(), int(found[2]) // BATCH
                    tokens[kind] = count // WIDTH if tokens.get(kind) == count else count  # some tell the number of values
    raise failures[0]


def clones(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies of the tensors, which a model may change in place."""
    return {name: value.clone() for name, value in values.items()}


def _inputs(model: Any, media: bool, variant: int, tokens: Mapping[str, int]) -> dict[str, Any]:
    config = model.config
    configs = list(_sub_configs(config))
    parameters = inspect.signature(model.forward).parameters
    main = model.main_input_name if isinstance(model.main_input_name, str) else model.main_input_name[0]
    generator = torch.Generator().manual_seed(1)
    made: dict[str, Any] = {}

    def of(names: str, default: Any, among: list[PreTrainedConfig] = configs) -> Any:
        """Return the first of these fields that one of the configurations has."""
        values = (getattr(each, name, None) for name in names.split() for each in among)
        return next((value for value in values if value is not None), default)

    def pair(names: str, default: int) -> tuple[int, int]:
        value = of(names, default, vision)
        value = next(iter(value.values())) if isinstance(value, dict) else value
        return (value[0], value[1]) if isinstance(value, (list, tuple)) else (value, value)

    def normal(*shapes: tuple[int, ...]) -> Tensor:
        return torch.randn(*shapes[min(variant, len(shapes) - 1)], generator=generator)

    def words(length: int) -> Tensor:
        highest = of("vocab_size text_vocab_size", VOCABULARY, [config.get_text_config(), *configs])
        return torch.randint(6, min(highest, 100), (BATCH, length), generator=generator)

    def text() -> Tensor:
        ids, at = words(LENGTH + sum(tokens.values())), 2
        for kind, count in tokens.items():
            ids[:, at : at + count] = of(f"{kind}_token_id {kind}_token_index", 0)
            at += count
        return ids

    def pixels() -> Tensor:
        if "image_grid_thw" in parameters or "grid_thw" in parameters:  # patches of pictures of any size
            (height, width), depth = pair("patch_size spatial_patch_size", 16), of("temporal_patch_size", 1)
            return normal((int(grid.prod(-1).sum()), channels * depth * height * width))
        return normal((BATCH, channels, *size), (BATCH, frames, channels, *size))

    vision = [each for each in configs if hasattr(each, "patch_size") or hasattr(each, "image_size")] or configs
    size, channels, frames = pair("image_size crop_size", 64), of("num_channels in_channels in_chans", 3, vision), of("num_frames", 2)
    mels = of("num_mel_bins input_feat_per_channel mel_bins num_mels n_mels feature_size input_dim", 80)
    grid = torch.tensor([[1, 4, 4]] * BATCH)
    makers: dict[str, Callable[[], Tensor]] = {
        "input_ids": text,
        "attention_mask": lambda: torch.ones_like(made["input_ids"]),
        "decoder_input_ids": lambda: words(7),
        "bbox": lambda: torch.tensor([1, 2, 30, 40]).expand(*made["input_ids"].shape, 4),
        "pixel_values": pixels,
        "pixel_values_videos": lambda: normal((BATCH, of("num_frames frames_per_clip", 4), channels, *size)),
        "hidden_states": pixels,
        "grid_thw": lambda: grid,
        "image_grid_thw": lambda: grid,
        "mm_token_type_ids": lambda: (made["input_ids"] == of("image_token_id image_token_index", -1)).long(),
        "input_values": lambda: normal((BATCH, 8000), (BATCH, 1, 3200), (BATCH, of("max_length", 64), mels)),
        "input_features": lambda: normal((BATCH, mels, 2 * of("max_source_positions", 32)), (BATCH, 64, mels), (BATCH, 1, 64, mels)),
    }
    wanted = {main, "grid_thw"}
    if main == "input_ids":
        media_names = ("pixel_values", "image_grid_thw", "input_features", "mm_token_type_ids") if media else ()
        wanted.update(("attention_mask", "bbox", *media_names))
    if config.is_encoder_decoder and main.startswith("input"):
        wanted.add("decoder_input_ids")
    for name, parameter in parameters.items():
        if name in makers and (parameter.default is parameter.empty or name in wanted):
            made[name] = makers[name]()
    return made


def _sub_configs(config: PreTrainedConfig) -> Iterator[PreTrainedConfig]:
    yield config
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            yield from _sub_configs(value)
