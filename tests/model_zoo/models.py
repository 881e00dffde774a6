"""Models of transformers, made small by the names of their configurations' fields."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto import modeling_auto

MODEL_TYPES = list(modeling_auto.MODEL_MAPPING_NAMES)
FAMILIES = {"decoder", "encoder-decoder", "mixture of experts", "multi-modal", "speech and sound", "state space", "text encoder"}
FAMILIES |= {"transformer vision", "convolutional vision"}
MAX_PARAMETERS = 20_000_000
LAYERS, HEADS, HEAD_WIDTH, VOCABULARY = 2, 4, 16, 160
WIDTH = HEADS * HEAD_WIDTH

_FEW = {
    r"experts_per|moe_k|topk$|top_k|selected_experts|layer_period$": 2,
    r"shared_experts|zero_experts|n_group|topk_group|first_k_dense|nextn|layer_offset$|random_blocks": 1,
    r"experts$": 4,
    r"(?<!extract_)layers?$|^depth$|num_blocks$|hidden_groups$|inner_group_num|self_attends": LAYERS,
    r"vocab_size": VOCABULARY,
}
_SMALL = {
    r"expand$": 1,
    r"block_size$": 2,
    r"qk_.*head_dim$": HEAD_WIDTH // 2,
    r"(?<!d_)heads?$|query_groups$": HEADS,
    r"(head|rotary)_?(dim|size)$|d_kv$|rank$|state_size$|d_state$|index_topk|d_head$": HEAD_WIDTH,
    r"intermediate|ffn|d_ff$|inner$|feed_?forward|mlp": 2 * WIDTH,
    r"positions$|position_embeddings$|n_ctx|max_.*length$|num_latents|mel_bins|image_seq_length": 64,
    r"num_quer|landmarks|codebook_size|chunk_size|segment_means|conv_pos_embeddings": 16,
    r"sliding_window|attention_window|num_frames": 8,
    r"hidden|embed|embd|d_model|width|^dim$|_dim$|d_latents|proj|feature_size|output_size": WIDTH,
}
"""What the name of a field says of its size in a small model; the first pattern that is found in it counts."""
_STAGES: dict[str, Callable[[int], int]] = {
    r"depths|layers_per_stage|num_encoder_blocks": lambda stage: 1,
    r"(encoder_)?hidden_sizes|embed_dims": lambda stage: 32 << stage,
    r"num_heads|num_attention_heads": lambda stage: 1 << stage,
    r"conv_dim|tdnn_dim": lambda stage: 32,
}
"""The same of fields with one number for each stage of a network."""
_COUNTS = ("num_hidden_layers", "n_layer", "num_layers")
_TASKS = """SPEECH_SEQ_2_SEQ SEQ_TO_SEQ_CAUSAL_LM IMAGE_TEXT_TO_TEXT MASKED_LM CAUSAL_LM CTC ZERO_SHOT_IMAGE_CLASSIFICATION
    ZERO_SHOT_OBJECT_DETECTION IMAGE_CLASSIFICATION OBJECT_DETECTION SEMANTIC_SEGMENTATION UNIVERSAL_SEGMENTATION DEPTH_ESTIMATION
    AUDIO_CLASSIFICATION VIDEO_CLASSIFICATION PRETRAINING"""


def candidates(model_type: str) -> Iterator[Callable[[], nn.Module]]:
    """Yield functions that make a small model of this type, each in another way: with the head of its first task, or bare."""
    of_tasks = [getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES").get(model_type) for task in _TASKS.split()]
    found = [*[names for names in of_tasks if names][:1], modeling_auto.MODEL_MAPPING_NAMES[model_type]]
    for narrow in (True, False):
        for name in dict.fromkeys(names if isinstance(names, str) else names[0] for names in found):
            yield lambda name=name, narrow=narrow: _model(getattr(transformers, name), CONFIG_MAPPING[model_type], narrow)


def _model(cls: Any, config_class: type[PreTrainedConfig], narrow: bool) -> nn.Module:
    config = config_class(**_shrunk(config_class(), narrow))
    with torch.device("meta"):
        size = sum(each.numel() for each in cls(copy.deepcopy(config)).parameters())
    if size > MAX_PARAMETERS:
        raise ValueError(f"{size} parameters")
    model: nn.Module = cls(config)
    with torch.no_grad():
        for each in model.parameters():
            if each.is_floating_point() and not bool((each.abs() < 1e3).all()):
                each.normal_(0, 0.02)  # a constructor leaves it as the memory was
    return model


def _shrunk(default: PreTrainedConfig, narrow: bool) -> dict[str, Any]:
    """Return fields with few layers, experts and words, and if `narrow` of small width, as far as their names tell."""
    values = {name: value for name, value in vars(default).items() if not name.startswith("_")}
    layers = next((values[name] for name in _COUNTS if isinstance(values.get(name), int)), 0)
    # As many layers as there are kinds of layers, and at least two.
    kinds = [len(set(map(str, each))) for each in values.values() if isinstance(each, (list, tuple)) and len(each) == layers]
    few = min(layers, max([LAYERS, *kinds]))
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name in _COUNTS and isinstance(value, int):
            fields[name] = few
        elif isinstance(value, PreTrainedConfig):
            fields[name] = type(value)(**_shrunk(value, narrow))
        elif isinstance(value, int) and name.endswith(("_token_id", "_token_index")):
            fields[name] = value if value < VOCABULARY else VOCABULARY - 1 - sum(map(ord, name)) % 40
        elif isinstance(value, int) and not isinstance(value, bool):
            rules = (*_FEW.items(), *(_SMALL.items() if narrow else ()))
            fields[name] = min(value, _first(((size for pattern, size in rules if re.search(pattern, name))), value))
        elif isinstance(value, (list, tuple)) and value:
            stage = _first((size for pattern, size in _STAGES.items() if re.fullmatch(pattern, name)), None)
            if stage is not None and all(isinstance(each, int) for each in value) and (narrow or name == "depths"):
                fields[name] = type(value)(map(stage, range(len(value))))
            elif len(value) == layers > few:
                firsts = {str(each): each for each in reversed(value)}
                fields[name] = type(value)(([*firsts.values()][::-1] * LAYERS)[:few])
        elif name == "rope_parameters" and narrow and isinstance(value, dict):
            fields[name] = {**value, "mrope_section": [2, 3, 3]}  # together half of HEAD_WIDTH
    heads, patch, size = (values.get(name) for name in ("num_key_value_heads", "patch_size", "image_size"))
    if narrow and heads is not None and heads != values.get("num_attention_heads"):
        fields["num_key_value_heads"] = min(heads, HEADS // 2)
    if narrow and size is not None:
        side = 4 * patch if isinstance(patch, int) and patch > 4 else 64
        fields["image_size"] = side if isinstance(size, int) else type(size)([side, side])
    return fields


def _first(values: Iterable[Any], default: Any) -> Any:
    return next(iter(values), default)


def family(model: Any, inputs: Iterable[str]) -> str:
    """Return the one of `FAMILIES` that inputs of these names ran through, or "other"."""
    kinds = [any(re.match(kind, name) for name in inputs) for kind in ("input_ids", "input_values|input_features", "pixel_values|grid_thw")]
    parts = " ".join(type(module).__name__ for module in model.modules())
    if sum(kinds) != 1:
        return "multi-modal" if any(kinds) else "other"
    if not kinds[0]:
        return "speech and sound" if kinds[1] else "transformer vision" if "Attention" in parts else "convolutional vision"
    if re.search("Mamba|Rwkv|SSM|GatedDelta|Recurrent|LinearAttention|Lightning", parts):
        return "state space"
    if re.search("Expert|MoE|Moe", parts):
        return "mixture of experts"
    if model.config.is_encoder_decoder:
        return "encoder-decoder"
    causal = any(getattr(module, "is_causal", False) is True for module in model.modules())
    return "decoder" if causal or type(model).__name__ in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() else "text encoder"
