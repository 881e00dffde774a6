"""Compile the kernels for GPUs, of which none is needed; print what was compiled. For test_kernels.py: not in the interpreter."""

from __future__ import annotations

import sys
from typing import Any

from triton import compile as build
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from actviz_tb import kernels, map_kernels

TARGETS = (GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32))
MAP = dict.fromkeys(map_kernels._SIZES[:-1], "i32")
POINTERS = {"x": "*bf16", "words": "*i64"}
BY_CHANNEL = {**POINTERS, **dict.fromkeys(("outer", "channels", "inner", "groups", "count", "stride", "histograms"), "i32")}
KERNELS: list[tuple[Any, dict[str, str], dict[str, Any]]] = [
    (kernels.by_channel, BY_CHANNEL, {"ROWS": 16, "COLUMNS": 64, "LAST": True}),
    (kernels.by_channel, BY_CHANNEL | {"count": "i64", "inner": "i64"}, {"ROWS": 1, "COLUMNS": 1024, "LAST": False}),
    (kernels.of_whole, {**POINTERS, "count": "i64", "near_zero": "fp32", "low": "fp32", "high": "fp32"}, {"BLOCK": 1024, "BOUNDED": True}),
    (kernels.glance, {**POINTERS, "count": "i32"}, {"BLOCK": 1024}),
    # Of tensors of one element: Triton makes constants of ones.
    (kernels.by_channel, BY_CHANNEL, {"channels": 1, "inner": 1, "ROWS": 1024, "COLUMNS": 1, "LAST": False}),
    (kernels.of_whole, {**POINTERS, "near_zero": "fp32", "low": "fp32", "high": "fp32"}, {"count": 1, "BLOCK": 1024, "BOUNDED": False}),
    (kernels.glance, POINTERS, {"count": 1, "BLOCK": 1024}),
    (map_kernels.pool, {"x": "*fp16", "pixels": "*fp32", "words": "*i64", **MAP}, {"BLOCK": 1024}),
    (map_kernels.picture, {"x": "*fp32", "data": "*u8", "levels": "*fp32", **MAP, "count": "i32"}, {"LEVELS": 254, "BLOCK": 256}),
    (
        map_kernels.quantise,
        {"pixels": "*fp32", "words": "*i64", "data": "*u8", "levels": "*fp32", "count": "i32", "size": "i32"},
        {"LEVELS": 254, "BLOCK": 1024},
    ),
]

for kernel, signature, constants in KERNELS:
    source = ASTSource(fn=kernel, signature=signature | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    for target in TARGETS:
        assert build(source, target=target).asm["cubin"]
        print(kernel.__name__, target.arch)
    sys.stdout.flush()
