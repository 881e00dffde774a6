"""Prove that watching changes nothing, and never fails, on models that the tests do not know: those of Hugging Face transformers.

    python -m pip install -c constraints.txt -e '.[torch]' -r tests/model_zoo/requirements.txt
    python tests/model_zoo/run.py [--only bert whisper ...] [--all] [--markdown FILE] [--jobs 2]

Each model type is built from its configuration, made small, with random weights; nothing is downloaded. A training forward and backward
and an evaluation forward run twice from the same weights and seeds: unwatched, and watched with everything on. Outputs, losses, gradients
and buffers must be equal bit for bit, and no hook may be left. Exit status 1: a crash, a difference, or fewer than 80 types ran.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import inspect
import io
import multiprocessing
import multiprocessing.connection
import os
import random
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto import modeling_auto

import actviz_tb
from tensorboard_plugin.actviz import wire

ENOUGH = 80
LIMIT_S = 90.0
MEMORY_BYTES = 8 << 30
MAX_PARAMETERS = 40_000_000

BATCH, LENGTH, VOCABULARY = 2, 12, 160
LAYERS, HEADS, WIDTH = 2, 4, 64
HEAD_WIDTH = WIDTH // HEADS

# Configurations -------------------------------------------------------------------------------------------------------------------

_SIZES: tuple[tuple[int, str], ...] = (
    (
        LAYERS,
        """num_hidden_layers num_layers n_layer n_layers encoder_layers decoder_layers num_encoder_layers num_decoder_layers depth
        num_blocks num_hidden_groups inner_group_num nb_spatial_layers num_spatial_layers num_temporal_layers num_auxiliary_layers
        speech_encoder_layers text_encoder_num_layers t2u_encoder_layers t2u_decoder_layers num_pooler_layers pred_num_hidden_layers
        depth_transformer_layers num_codebook_layers decoder_num_layers num_self_attends_per_block detector_layers n_enc_layer""",
    ),
    (
        HEADS,
        """num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads attention_heads
        num_encoder_attention_heads num_decoder_attention_heads speech_encoder_attention_heads pred_num_attention_heads
        encoder_num_attention_heads decoder_num_attention_heads num_query_groups linear_num_value_heads linear_num_key_heads
        num_experts num_local_experts n_routed_experts moe_num_experts num_self_attention_heads num_cross_attention_heads
        prompt_num_attention_heads decoder_num_heads""",
    ),
    (2, "num_experts_per_tok num_experts_per_token moe_k moe_topk top_k_experts num_selected_experts n_shared_experts index_n_heads"),
    (1, "n_group topk_group first_k_dense_replace num_nextn_predict_layers num_zero_experts"),
    (
        HEAD_WIDTH,
        """head_dim attention_head_dim d_kv v_head_dim kv_lora_rank q_lora_rank global_head_dim index_head_dim linear_key_head_dim
        linear_value_head_dim attention_head_size swa_head_dim mamba_d_head ssm_state_size state_size mamba_d_state mamba_head_dim
        mamba_headdim embedding_rank adapter_rank index_topk""",
    ),
    (HEAD_WIDTH // 2, "qk_rope_head_dim qk_nope_head_dim mamba_n_heads mamba_num_heads n_mamba_heads"),
    (
        WIDTH,
        """hidden_size d_model n_embd hidden_dim dim embed_dim embedding_size projection_dim encoder_hidden_size decoder_hidden_size
        output_hidden_size encoder_hidden_dim decoder_hidden_dim out_hidden_size word_embed_proj_dim emb_dim text_embed_dim output_dim
        vision_embed_dim n_embed embed_size d_embed d_latents cross_attention_hidden_size image_embed_dim pred_hidden_size
        qformer_hidden_size fusion_hidden_size encoder_embed_dim projector_hidden_size classifier_proj_size mask_feature_size
        feature_size input_embedding_size output_embedding_size lru_width hidden_size_per_layer_input neck_hidden_sizes""",
    ),
    (
        2 * WIDTH,
        """intermediate_size encoder_ffn_dim decoder_ffn_dim ffn_dim d_ff n_inner moe_intermediate_size ffn_hidden_size
        encoder_intermediate_size decoder_intermediate_size dim_feedforward d_inner feed_forward_size hidden_mlp_size mlp_dim
        shared_expert_intermediate_size moe_shared_expert_intermediate_size speech_encoder_intermediate_size intermediate_size_mlp
        expert_ffn_hidden_size shared_intermediate_size encoder_dim_feedforward decoder_dim_feedforward""",
    ),
    (VOCABULARY, "vocab_size text_vocab_size pronunciation_vocab_size shape_vocab_size vocab_size_per_layer_input"),
    (
        64,
        """max_position_embeddings n_positions n_ctx max_source_positions max_target_positions num_latents num_mel_bins max_length
        max_seq_len max_sequence_length image_seq_length""",
    ),
    (
        16,
        "num_conv_pos_embeddings num_queries num_query_tokens num_landmarks segment_means_seq_len codebook_size chunk_size mamba_chunk_size",
    ),
    (4, "num_conv_pos_embedding_groups max_2d_position_embeddings_unused"),
    (8, "sliding_window attention_window_size num_frames window_unused"),
)
SMALL: dict[str, int] = {name: size for size, names in _SIZES for name in names.split()}
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
FEW: dict[str, int] = {name: SMALL[name] for name in (*_SIZES[0][1].split(), *_EXPERTS, "vocab_size", "text_vocab_size")}
PER_STAGE = {
    "depths": lambda index: 1,
    "layers_per_stage": lambda index: 1,
    "hidden_sizes": lambda index: 32 << index,
    "embed_dims": lambda index: 32 << index,
    "encoder_hidden_sizes": lambda index: 32 << index,
    "num_heads": lambda index: 1 << index,
    "num_attention_heads": lambda index: 1 << index,
    "num_encoder_blocks": lambda index: 1,
    "conv_dim": lambda index: 32,
    "tdnn_dim": lambda index: 32,
}
"""Fields with one number for each stage of a network."""
CONFIGS: dict[str, dict[str, Any]] = {}
"""What generic shrinking does not get right, by model type; of sub-configurations by dotted names."""


def small_config(cls: type[PreTrainedConfig], sizes: Mapping[str, int], changes: Mapping[str, Any] | None = None) -> PreTrainedConfig:
    """Return a configuration whose sizes are small, as far as their names tell."""
    default = cls()
    return cls(**_shrunk(default, sizes, dict(changes or {})))


def _shrunk(default: PreTrainedConfig, sizes: Mapping[str, int], changes: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in vars(default).items() if not name.startswith("_")}
    fields: dict[str, Any] = {}
    layers = _layer_count(values)
    for name, value in values.items():
        if isinstance(value, PreTrainedConfig):
            below = {key.split(".", 1)[1]: each for key, each in changes.items() if key.startswith(name + ".")}
            fields[name] = type(value)(**_shrunk(value, sizes, below))
        elif isinstance(value, bool):
            continue
        elif isinstance(value, int) and name in sizes:
            fields[name] = min(value, sizes[name])
        elif isinstance(value, int) and name.endswith(("_token_id", "_token_index", "pad_token_id", "bos_token_id", "eos_token_id")):
            if value >= VOCABULARY:
                fields[name] = VOCABULARY - 1 - (len(fields) % 20)
        elif isinstance(value, (list, tuple)) and value and name in PER_STAGE and all(isinstance(each, int) for each in value):
            if sizes is SMALL or name in ("depths",):
                fields[name] = type(value)(PER_STAGE[name](index) for index in range(len(value)))
        elif isinstance(value, (list, tuple)) and len(value) == layers > LAYERS:
            kinds = list(dict.fromkeys(map(str, value)))
            firsts = [value[[str(each) for each in value].index(kind)] for kind in kinds]
            fields[name] = type(value)((firsts * LAYERS)[: _fewer(values)])
        elif isinstance(value, dict) and "mrope_section" in value and sizes is SMALL:
            total = sum(value["mrope_section"])
            section = [max(1, each * HEAD_WIDTH // 2 // total) for each in value["mrope_section"]]
            section[-1] += HEAD_WIDTH // 2 - sum(section)
            fields[name] = {**value, "mrope_section": section}
    if layers > LAYERS:
        for name in ("num_hidden_layers", "n_layer", "num_layers"):
            if name in fields:
                fields[name] = _fewer(values)
    if sizes is SMALL:
        for name in ("num_key_value_heads", "num_kv_heads", "num_global_key_value_heads", "swa_num_key_value_heads"):
            if isinstance(values.get(name), int):
                grouped = values[name] != values.get("num_attention_heads", values[name])
                fields[name] = min(values[name], 2 if grouped else HEADS)
        if isinstance(values.get("image_size"), int):
            patch = values.get("patch_size")
            fields["image_size"] = 4 * patch if isinstance(patch, int) and patch > 4 else 64
        elif isinstance(values.get("image_size"), (list, tuple)):
            fields["image_size"] = type(values["image_size"])([64, 64])
    return fields | {key: value for key, value in changes.items() if "." not in key}


def _layer_count(values: Mapping[str, Any]) -> int:
    return next((values[name] for name in ("num_hidden_layers", "n_layer", "num_layers") if isinstance(values.get(name), int)), 0)


def _fewer(values: Mapping[str, Any]) -> int:
    """Return as many layers as there are kinds of layers, and at least two."""
    layers = _layer_count(values)
    kinds = [len(set(map(str, each))) for each in values.values() if isinstance(each, (list, tuple)) and len(each) == layers]
    return min(layers, max(LAYERS, *kinds, LAYERS))


# Classes --------------------------------------------------------------------------------------------------------------------------

HEADS_OF_TASKS = """
    SPEECH_SEQ_2_SEQ SEQ_TO_SEQ_CAUSAL_LM IMAGE_TEXT_TO_TEXT MASKED_LM CAUSAL_LM CTC ZERO_SHOT_IMAGE_CLASSIFICATION
    ZERO_SHOT_OBJECT_DETECTION IMAGE_CLASSIFICATION OBJECT_DETECTION SEMANTIC_SEGMENTATION UNIVERSAL_SEGMENTATION DEPTH_ESTIMATION
    AUDIO_CLASSIFICATION VIDEO_CLASSIFICATION TIME_SERIES_PREDICTION PRETRAINING
    """


def classes(model_type: str) -> list[type[nn.Module]]:
    """Return a model type's class for its first task, and its bare one."""
    names: list[str] = []
    for task in HEADS_OF_TASKS.split():
        found = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES").get(model_type)
        if found and not names:
            names += [found] if isinstance(found, str) else list(found[:1])
    found = modeling_auto.MODEL_MAPPING_NAMES.get(model_type)
    names += [found] if isinstance(found, str) else list(found or ())[:1]
    return [getattr(transformers, name) for name in dict.fromkeys(names)]


# Inputs ---------------------------------------------------------------------------------------------------------------------------


def first_of(configs: list[Any], names: str, default: Any) -> Any:
    """Return the first of these fields that one of the configurations has."""
    for name in names.split():
        for config in configs:
            value = getattr(config, name, None)
            if value is not None:
                return value
    return default


def sub_configs(config: PreTrainedConfig) -> list[PreTrainedConfig]:
    """Return a configuration and all below it."""
    found = [config]
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            found += sub_configs(value)
    return found


def pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, (list, tuple)) else (int(value), int(value))


@dataclass
class Inputs:
    """Makes a forward's arguments by their names.

    Attributes:
        media: 'all': also pictures and sounds where text is the main input; 'text': none.
        tokens: how many positions of a row stand for a picture or sound, by modality.
    """

    model: nn.Module
    media: str
    tokens: dict[str, int] = field(default_factory=dict)

    def make(self) -> dict[str, Any]:
        config: Any = self.model.config
        configs = sub_configs(config)
        parameters = {
            name: each.default is each.empty
            for name, each in inspect.signature(self.model.forward).parameters.items()
            if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        }
        main = getattr(self.model, "main_input_name", "input_ids")
        main = main if isinstance(main, str) else main[0]
        generator = torch.Generator().manual_seed(1)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        vocabulary = min(first_of([config.get_text_config(), *configs], "vocab_size text_vocab_size", VOCABULARY), VOCABULARY)
        length = LENGTH + sum(self.tokens.values())
        vision = [each for each in configs if hasattr(each, "patch_size") or hasattr(each, "image_size")] or configs
        channels = first_of(vision, "num_channels in_channels in_chans", 3)
        channels = channels if isinstance(channels, int) else 3
        height, width = pair(first_of(vision, "image_size crop_size", 64))
        patch = (
            pair(first_of(vision, "patch_size spatial_patch_size", 16))[0]
            if not isinstance(first_of(vision, "patch_size", 16), dict)
            else 16
        )
        frames = first_of(configs, "num_frames frames_per_clip", 0)
        mels = first_of(configs, "num_mel_bins input_feat_per_channel mel_bins num_mels n_mels feature_size input_dim", 80)
        merge = first_of(configs, "temporal_patch_size", 1)
        grid = torch.tensor([[1, 4, 4]] * BATCH)

        def text(rows: int = BATCH, size: int = length) -> Tensor:
            ids = torch.randint(6, min(vocabulary, 100), (rows, size), generator=generator)
            at = 2
            for modality, count in self.tokens.items():
                token = first_of(configs, f"{modality}_token_id {modality}_token_index", None)
                if token is not None and size == length:
                    ids[:, at : at + count] = token
                at += count
            return ids

        def pixels() -> Tensor:
            if "image_grid_thw" in parameters or "grid_thw" in parameters:
                return normal(int(grid.prod(-1).sum()), channels * merge * patch * patch)
            if frames and ("timesformer vivit videomae xclip".find(config.model_type) >= 0):
                return normal(BATCH, frames, channels, height, width)
            return normal(BATCH, channels, height, width)

        def sound() -> Tensor:
            if config.model_type in ("audio-spectrogram-transformer",):
                return normal(BATCH, first_of(configs, "max_length", 64), mels)
            if hasattr(config, "audio_channels") or config.model_type in ("dac", "neucodec", "xcodec2", "wavtokenizer"):
                return normal(BATCH, 1, 3200)
            return normal(BATCH, 8000)

        def features() -> Tensor:
            positions = first_of(configs, "max_source_positions", 0)
            if (
                "conv1" in "".join(name for name, _ in self.model.named_modules())
                and positions
                and "speech_to_text" not in config.model_type
            ):
                return normal(BATCH, mels, 2 * positions)
            return normal(BATCH, 64, mels)

        makers: dict[str, Callable[[], Any]] = {
            "input_ids": text,
            "attention_mask": lambda: torch.ones(BATCH, length, dtype=torch.long),
            "decoder_input_ids": lambda: torch.randint(6, min(vocabulary, 100), (BATCH, 7), generator=generator),
            "bbox": lambda: torch.tensor([[1, 2, 30, 40]]).repeat(BATCH, length, 1),
            "pixel_values": pixels,
            "hidden_states": pixels,
            "grid_thw": lambda: grid,
            "image_grid_thw": lambda: grid,
            "mm_token_type_ids": lambda: (made["input_ids"] == first_of(configs, "image_token_id image_token_index", -1)).long(),
            "pixel_values_videos": lambda: normal(BATCH, frames or 4, channels, height, width),
            "input_values": sound,
            "input_features": features,
            "audio_mel": features,
            "past_values": lambda: normal(
                BATCH,
                first_of(configs, "context_length", 32) + max(first_of(configs, "lags_sequence", [0])),
                *([config.num_input_channels] if hasattr(config, "num_input_channels") else []),
            ),
            "past_time_features": lambda: normal(BATCH, made["past_values"].shape[1], first_of(configs, "num_time_features", 0)),
            "past_observed_mask": lambda: torch.ones_like(made["past_values"]),
            "inputs": lambda: normal(BATCH, length, config.d_model),
            "qformer_input_ids": lambda: text(BATCH, 6),
            "query_embeds": lambda: normal(BATCH, 8, config.hidden_size),
            "latents": lambda: normal(BATCH, config.hidden_size, 8),
        }
        optional = {"input_ids": ("attention_mask", "decoder_input_ids", "bbox"), "input_features": ("decoder_input_ids",)}.get(main, ())
        if main == "input_values":
            optional = ("decoder_input_ids",)
        media = ("pixel_values", "image_grid_thw", "input_features", "mm_token_type_ids") if self.media == "all" else ()
        made: dict[str, Any] = {}
        for name, required in parameters.items():
            wanted = required or name in (main, "grid_thw") or name in optional or (main == "input_ids" and name in media)
            if name == "decoder_input_ids" and not getattr(config, "is_encoder_decoder", False):
                continue
            if name == "bbox" and not hasattr(config, "max_2d_position_embeddings") and not required:
                continue
            if wanted and name in makers:
                made[name] = makers[name]()
        return made


_MISMATCH = re.compile(
    r"(image|video|audio) features and .*tokens do not match\D*tokens: (\d+),? *features:? *(\d+)", re.IGNORECASE | re.DOTALL
)


def fitting_inputs(model: nn.Module, media: str) -> dict[str, Any]:
    """Return inputs that the model takes; how many positions a picture needs is learned from what the model says of them."""
    maker = Inputs(model, media)
    for _ in range(4):
        made = maker.make()
        try:
            with torch.no_grad():
                copy.deepcopy(model).eval()(**clones(made))
            return made
        except Exception as error:
            found = _MISMATCH.search(str(error))
            if found is None:
                raise
            maker.tokens[found[1].lower()] = int(found[3]) // BATCH
    raise ValueError("no fitting number of picture or sound tokens found")


# Running --------------------------------------------------------------------------------------------------------------------------


def clones(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in values.items()}


def tensors(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of a nested output, also of caches, which are objects."""
    if isinstance(value, Tensor):
        yield name, value
    elif depth > 8:
        return
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from tensors(each, f"{name}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            yield from tensors(each, f"{name}[{index}]", depth + 1)
    elif type(value).__module__.startswith("transformers") and hasattr(value, "__dict__") and not isinstance(value, nn.Module):
        yield from tensors(vars(value), name, depth + 1)


def seed() -> None:
    random.seed(0)
    np.random.seed(0)  # what some models of transformers draw their masks from
    torch.manual_seed(0)


def steps(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Train one forward and backward, evaluate one forward; return all that came of it."""
    found: dict[str, Tensor] = {}
    seed()
    model.train()
    output = model(**clones(inputs))
    parts = [each for name, each in tensors(output) if each.requires_grad and "past_key_values" not in name]
    loss = sum(((each.abs().float() ** 2).mean() for each in parts if each.numel()), torch.zeros(()))
    found["loss"] = loss.detach().clone()
    found |= {f"training output {name}": each.detach().clone() for name, each in tensors(output)}
    loss.backward()
    found |= {f"gradient {name}": each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    found |= {f"buffer {name}": each.clone() for name, each in model.named_buffers()}
    seed()
    model.eval()
    with torch.no_grad():
        found |= {f"evaluation output {name}": each.clone() for name, each in tensors(model(**clones(inputs)))}
    found |= {f"buffer after evaluation {name}": each.clone() for name, each in model.named_buffers()}
    found["random state"] = torch.get_rng_state()
    return found


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Return the names of what is not the same bit for bit."""
    names = [*one, *(name for name in other if name not in one)]
    return [name for name in names if name not in one or name not in other or not _equal(one[name], other[name])]


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hooks(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return how many hooks of each kind each module has."""
    return {name: tuple(len(getattr(module, kind)) for kind in _HOOKS) for name, module in model.named_modules()}


def left_hooks(model: nn.Module, unwatched: nn.Module, root: int) -> list[str]:
    """Return the modules that have more hooks than in the unwatched model, `root` forward pre-hooks of the root aside."""
    own = hooks(unwatched)
    own[""] = (own[""][0], own[""][1] + root, *own[""][2:])
    return [name or "the root" for name, counts in hooks(model).items() if counts != own[name]]


@dataclass
class Row:
    """What became of one model type; `result`: same, differs, crash, not built."""

    model_type: str
    result: str = "not built"
    detail: str = ""
    cls: str = ""
    inputs: str = ""
    parameters: int = 0
    modules: int = 0
    recorded: int = 0
    never_called: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    attention: int = 0
    gradients: int = 0
    finite: bool = True
    seconds: float = 0.0
    attempts: list[str] = field(default_factory=list)


def watched_steps(model: nn.Module, unwatched: nn.Module, inputs: Mapping[str, Any], row: Row, on_error: Any) -> dict[str, Tensor]:
    """Do the same, watched; fill in the row. Raises what watching raises, and a RuntimeError for hooks that stay."""
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        logger = actviz_tb.watch(
            model, directory, probe=dict(inputs), gradients=True, attention=True, functional=True, every=1, on_error=on_error
        )
        found = steps(model, inputs)
        left = left_hooks(model, unwatched, 1)
        logger.flush()
        report = logger.report()
        logger.close()
        left += [f"{name} after close()" for name in left_hooks(model, unwatched, 0)]
        row.recorded, row.never_called, row.skipped = len(report.layers), report.never_fired, report.skipped
        tags = [wire.parse_tag(value.tag) for path in Path(directory).glob("**/*tfevents*") for value in _values(path)]
        kinds = Counter(tag[0] for tag in tags if tag is not None)
        row.attention, row.gradients = kinds["attention"], kinds["gradient"]
    told = [str(each.message) for each in caught if issubclass(each.category, actviz_tb.ActvizWarning)]
    told = [text for text, each in zip(told, caught, strict=False) if not issubclass(each.category, actviz_tb.CostWarning)]
    if left:
        raise RuntimeError(f"hooks are left: {left[:5]}")
    if on_error == "raise" and (report.faults or told):
        raise RuntimeError(f"faults: {report.faults} {told[:3]}")
    return found


def _values(path: Path) -> Iterator[Any]:
    for event in EventFileLoader(str(path)).Load():
        yield from event.summary.value


def build(model_type: str, row: Row) -> tuple[nn.Module, dict[str, Any]]:
    """Return a small model and inputs that it takes; the first that works of several ways. Raises the last one's error."""
    config_class = CONFIG_MAPPING[model_type]
    errors = row.attempts
    for sizes, named in ((SMALL, "small"), (FEW, "few layers")):
        for cls in classes(model_type):
            for media in ("all", "text"):
                try:
                    seed()
                    config = small_config(config_class, sizes, CONFIGS.get(model_type))
                    _check_size(cls, config)
                    model: Any = cls(copy.deepcopy(config))
                    _fill_in(model)
                    inputs = fitting_inputs(model, media)
                    row.cls, row.inputs = cls.__name__, " ".join(inputs)
                    return model, inputs
                except Exception as error:
                    place = traceback.extract_tb(error.__traceback__)[-1]
                    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                    errors.append(f"{cls.__name__} {named} {media}: {reason} ({Path(place.filename).name}:{place.lineno})")
    raise ValueError(" | ".join(dict.fromkeys(errors)) or "no class")


def _check_size(cls: Any, config: PreTrainedConfig) -> None:
    try:
        with torch.device("meta"):
            count = sum(each.numel() for each in cls(copy.deepcopy(config)).parameters())
    except Exception:
        return  # a constructor that needs values; the process's memory limit holds
    if count > MAX_PARAMETERS:
        raise ValueError(f"{count} parameters")


def _fill_in(model: nn.Module) -> None:
    """Give values to parameters that a constructor leaves as the memory was."""
    with torch.no_grad():
        for each in model.parameters():
            if each.is_floating_point() and not bool((each.abs() < 1e3).all()):
                each.normal_(0, 0.02)


def examine(model_type: str) -> Row:
    """Run one model type, unwatched and watched."""
    started = time.perf_counter()
    row = Row(model_type)
    try:
        model, inputs = build(model_type, row)
        row.parameters = sum(each.numel() for each in model.parameters())
        row.modules = sum(1 for _ in model.modules())
        plain = copy.deepcopy(model)
        expected = steps(plain, inputs)
        again = steps(copy.deepcopy(model), inputs)
    except Exception as error:
        row.detail = str(error) if isinstance(error, ValueError) else _tail(error)
        return row
    row.finite = bool(torch.isfinite(expected["loss"]))
    if differing(expected, again):
        row.detail = f"not the same twice without watching: {differing(expected, again)[:3]}"
        return row
    row.result = "same"
    try:
        found = watched_steps(copy.deepcopy(model), plain, inputs, row, "raise")
    except Exception as error:
        row.result, row.detail = "crash", _tail(error)
        try:
            different = differing(expected, watched_steps(copy.deepcopy(model), plain, inputs, row, "warn"))
            row.detail += f"\nwith on_error='warn': {f'differs: {different[:6]}' if different else 'the same results'}"
        except Exception as second:
            row.detail += f"\nwith on_error='warn' too: {_tail(second)}"
    else:
        different = differing(expected, found)
        if different:
            row.result, row.detail = "differs", f"{len(different)} of {len(expected)}: {', '.join(different[:6])}"
    row.seconds = time.perf_counter() - started
    return row


def _tail(error: BaseException, lines: int = 24) -> str:
    return "\n".join("".join(traceback.format_exception(error)).rstrip().split("\n")[-lines:])


# One process a model --------------------------------------------------------------------------------------------------------------


def _work(model_type: str, connection: multiprocessing.connection.Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            row = examine(model_type)
        except BaseException as error:
            row = Row(model_type, detail=_tail(error))
    connection.send(row)
    connection.close()


def examine_all(model_types: list[str], jobs: int) -> Iterator[Row]:
    """Yield each model type's row, each from a process of its own that may take `LIMIT_S`."""
    context: Any = multiprocessing.get_context("fork")
    waiting = list(model_types)
    running: dict[Any, tuple[Any, str, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(waiting[0], sending))
            process.start()
            sending.close()
            running[receiving] = (process, waiting.pop(0), time.monotonic())
        ready = multiprocessing.connection.wait(list(running), timeout=1.0)
        for connection, (process, model_type, started) in list(running.items()):
            late = time.monotonic() - started > LIMIT_S
            if connection not in ready and not late:
                continue
            try:
                row = connection.recv() if connection in ready else None
            except EOFError:
                row = None
            if row is None:
                process.kill()
                process.join()
                row = Row(model_type, "crash", f"took longer than {LIMIT_S:.0f} s" if late else f"died with status {process.exitcode}")
            process.join()
            del running[connection]
            yield row


# The table ------------------------------------------------------------------------------------------------------------------------

COLUMNS = ("type", "class", "parameters", "modules", "recorded", "gradients", "attention", "never called", "not recorded", "result")


def general(reason: str) -> str:
    """Return a reason without its numbers."""
    return re.sub(r"\(shape .*\)", "", reason).strip()


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table."""
    reasons = Counter(
        ("gradient: " if name.startswith("gradient of ") else "") + general(reason) for name, reason in row.skipped.items()
    ).most_common(2)
    skipped = f"{len(row.skipped)}" + (f" ({'; '.join(f'{count} {reason}' for reason, count in reasons)})" if reasons else "")
    result = row.result + ("" if row.finite else " (loss not finite)")
    sizes = (row.parameters, row.modules, row.recorded, row.gradients, row.attention, len(row.never_called))
    return row.model_type, row.cls, *map(str, sizes), skipped, result


def table(rows: list[Row]) -> str:
    """Return all that ran as a Markdown table, with what did not after it."""
    ran = [row for row in rows if row.result != "not built"]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in ran]
    return "\n".join([*lines, "", *totals(rows), ""])


def totals(rows: list[Row]) -> list[str]:
    """Return the sums, and what is to be told of single types, a line each."""
    results = Counter(row.result for row in rows)
    ran = [row for row in rows if row.result != "not built"]
    reasons = Counter(
        ("gradient: " if name.startswith("gradient of ") else "") + general(reason) for row in ran for name, reason in row.skipped.items()
    )
    lines = [
        f"{len(ran)} model types ran: {results['same']} the same, {results['differs']} differ, {results['crash']} crashed; "
        f"{results['not built']} not built.",
        f"{sum(row.modules for row in ran)} modules; {sum(row.recorded for row in ran)} layers recorded, "
        f"{sum(row.gradients for row in ran)} with gradients, {sum(row.attention for row in ran)} attention layers; "
        f"{sum(len(row.never_called) for row in ran)} modules never called.",
        "Not recorded: " + ("; ".join(f"{count} {reason}" for reason, count in reasons.most_common(8)) or "nothing") + ".",
    ]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these model types")
    parser.add_argument("--all", action="store_true", help="every model type of transformers, also those that are known not to build")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--verbose", action="store_true", help="also what was tried first to build a model")
    options = parser.parse_args()
    model_types = options.only or list(modeling_auto.MODEL_MAPPING_NAMES)
    torch.set_num_threads(1)
    os.nice(10)
    transformers.logging.set_verbosity_error()
    started, rows = time.monotonic(), []
    print(" | ".join(COLUMNS))
    for row in examine_all(model_types, options.jobs):
        rows.append(row)
        if row.result == "not built":
            print(f"{row.model_type} | not built: {row.detail}", flush=True)
            continue
        print(" | ".join(cells(row)), f"| {row.seconds:.1f} s", flush=True)
        if row.result != "same":
            print(row.detail, flush=True)
        if options.verbose:
            print(*(f"    {attempt}" for attempt in row.attempts), sep="\n", flush=True)
    rows.sort(key=lambda row: model_types.index(row.model_type))
    print(*totals(rows), f"{time.monotonic() - started:.0f} s.", sep="\n")
    if options.markdown is not None:
        options.markdown.write_text(table(rows))
    failed = any(row.result in ("crash", "differs") for row in rows)
    few = not options.only and sum(row.result != "not built" for row in rows) < ENOUGH
    return int(failed or few)


if __name__ == "__main__":
    sys.exit(main())
