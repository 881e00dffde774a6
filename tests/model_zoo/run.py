"""Prove that watching changes nothing, and never fails, on models that the other tests do not know: those of Hugging Face transformers.

    python -m pip install -c constraints.txt -e '.[torch]' -r tests/model_zoo/requirements.txt
    python tests/model_zoo/run.py [--only bert whisper ...] [--markdown docs/model_zoo.md] [--jobs 2]

Each model type is built from its configuration, made small by general rules, with random weights; nothing is downloaded. Those that the
rules do not make a running model of are passed over. A training forward and backward and an evaluation forward run from the same weights
and seeds: unwatched, watched as by default, and watched with a probe and gradients. Outputs, loss, gradients, buffers and random states
must be equal bit for bit, no hook may be left, and of each module must be told what became of it: recorded; passed on what one of its
children or functions, which is recorded, put out; never called; or not recorded for a reason.

Exit status 1: a crash, a difference, a module of which nothing is told, fewer than 80 types that ran, or a family without one.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import platform
import random
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import inputs
import models
import numpy as np
import torch
import transformers
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import actviz_tb
from tensorboard_plugin.actviz import wire

ENOUGH = 80
CPU_LIMIT_S, LIMIT_S, MEMORY_LIMIT_BYTES = 120, 1800, 6 << 30
NUMBERS = ["parameters", "modules", "recorded", "passed on", "never called", "functions", "gradients", "attention"]
Bits = tuple[torch.dtype, torch.Size, bytes]


@dataclass
class Row:
    """What became of one model type; `result`: "not built", "same", "differs", "crash" or "missed", a module of which nothing is told.

    `numbers` are by the names in `NUMBERS`, `not_recorded` by the reason.
    """

    model_type: str
    result: str = "not built"
    detail: str = "the process ended, or took too long"
    cls: str = ""
    family: str = ""
    numbers: Counter[str] = field(default_factory=Counter)
    not_recorded: Counter[str] = field(default_factory=Counter)


def steps(model: nn.Module, arguments: Mapping[str, Any]) -> dict[str, Bits]:
    """Train one forward and backward, evaluate one forward; return all that came of it."""
    seed()
    output = model.train()(**inputs.clones(arguments))
    found = {f"training output{name}": bits(each) for name, each in tensors(output)}
    loss = sum(((each.abs().float() ** 2).mean() for _, each in tensors(output) if each.requires_grad and each.numel()), torch.zeros(()))
    loss.backward()
    found |= {"loss": bits(loss), "torch's random state": bits(torch.get_rng_state())}
    found |= {"other random states": bits(torch.tensor([random.random(), np.random.rand()]))}
    found |= {f"gradient of {name}": bits(each.grad) for name, each in model.named_parameters() if each.grad is not None}
    found |= {f"buffer {name}": bits(each) for name, each in model.named_buffers()}
    seed()
    with torch.no_grad():
        found |= {f"evaluation output{name}": bits(each) for name, each in tensors(model.eval()(**inputs.clones(arguments)))}
    return found | {f"buffer {name} after evaluation": bits(each) for name, each in model.named_buffers()}


def seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def bits(tensor: Tensor) -> Bits:
    return tensor.dtype, tensor.shape, tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()


def differing(one: Mapping[str, Bits], other: Mapping[str, Bits]) -> list[str]:
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def tensors(value: object, caches: bool = True, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of a nested output, also of caches, which are objects."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, (Mapping, list, tuple)):
        for key, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from tensors(each, caches, f"{name}.{key}")
    elif caches and type(value).__module__ == "transformers.cache_utils":
        yield from tensors(vars(value), caches, name)


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that can be called, those aside that make weights, by the names that actviz_tb gives them."""
    found = {path or type(model).__name__: module for path, module in model.named_modules() if "parametrizations" not in path}
    containers = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    return {name: module for name, module in found.items() if not isinstance(module, containers)}


def hooks(model: nn.Module) -> dict[str, list[int]]:
    """Return how many hooks of each kind each module has; models of transformers have some of their own."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {name: [len(getattr(module, kind)) for kind in kinds] for name, module in named_modules(model).items()}


def calls(model: nn.Module, arguments: Mapping[str, Any]) -> tuple[dict[str, Bits], set[str], set[str]]:
    """Return what came of `steps`, and by torch's global hook which modules the training forward called, and which put out a new tensor."""
    names = {module: name for name, module in named_modules(model).items()}
    called, own, known = set[str](), set[str](), dict[int, Tensor]()

    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if model.training and module in names:
            called.add(names[module])
            found = {id(each): each for _, each in tensors(output, caches=False) if each.is_floating_point() and each.numel()}
            if found.keys() - known.keys() - {id(each) for _, each in tensors((args, kwargs))}:
                own.add(names[module])
            known.update(found)

    handle = register_module_forward_hook(hook, with_kwargs=True)
    try:
        return steps(model, arguments), called, own
    finally:
        handle.remove()


def watched(model: nn.Module, arguments: Mapping[str, Any], called: set[str], own: set[str], row: Row, options: Any) -> dict[str, Bits]:
    """Return what comes of `steps`, watched; enter into the row what is told of each module, called or not."""
    names = list(named_modules(model))
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("error", actviz_tb.ActvizWarning)
        warnings.simplefilter("ignore", actviz_tb.CostWarning)
        logger = actviz_tb.watch(model, directory, every=1, on_error="raise", **options)
        found = steps(model, arguments)
        report = logger.report()
        logger.close()
        events = [event for path in Path(directory).iterdir() for event in EventFileLoader(str(path)).Load()]
    values = {value.tag: value for event in events for value in event.summary.value}
    recorded = {layer["path"] for layer in wire.unpack(values["actviz/model"].tensor.string_val[0]).header["layers"]}
    reasons = {name: re.split(r" \(|:", reason)[0] for name, reason in report.skipped.items()}
    told = {re.split(r"\[|:", name)[0]: reason for name, reason in reasons.items()}
    kinds = Counter(tag.split("/")[1] for tag in values if tag.startswith("actviz/"))
    row.numbers.update({"functions": len(recorded.difference(names)), "gradients": kinds["gradient"], "attention": kinds["attention"]})
    row.numbers["modules"] = len(names)
    row.not_recorded.update(f"gradients: {reason}" for name, reason in reasons.items() if name.startswith("gradient of "))
    for name in names:
        if name in recorded:
            row.numbers["recorded"] += 1
        elif name not in called and name in report.never_fired:
            row.numbers["never called"] += 1
        elif name in told:
            row.not_recorded[told[name]] += 1
        elif name in called and (name not in own or name == names[0] or any(each.startswith(f"{name}/") for each in recorded)):
            row.numbers["passed on"] += 1
        else:
            row.result, row.detail = "missed", f"nothing is told of {name}"
    return found


def examine(model_type: str) -> Iterator[Row]:
    """Yield what is known of a model type: at last what came of it, before the model is watched what it is if the process ends there."""
    row, failures = Row(model_type), []
    for make in models.candidates(model_type):
        try:
            seed()
            model = make()
            arguments = inputs.fitting_inputs(model)
            plain = copy.deepcopy(model)
            expected = steps(plain, arguments)
            found, called, own = calls(copy.deepcopy(model), arguments)
            if found != expected:
                raise ValueError(f"not the same twice without watching: {differing(expected, found)[:3]}")
            break
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
    else:
        row.detail = failures[0]
        yield row
        return
    row.result, row.cls, row.family = "crash", type(model).__name__, models.family(model, arguments)
    yield row
    row.result, row.detail = "same", ""
    for options in ({}, {"probe": arguments, "gradients": True}):
        row.numbers, row.not_recorded = Counter(parameters=sum(each.numel() for each in model.parameters())), Counter()
        copied = copy.deepcopy(model)
        try:
            found = watched(copied, arguments, called, own, row, options)
            if hooks(copied) != hooks(plain):
                raise RuntimeError("hooks are left")
        except Exception as error:
            row.result, row.detail = "crash", "".join(traceback.format_exception(error))[-3000:]
            break
        if found != expected:
            row.result, row.detail = "differs", f"{differing(expected, found)[:6]} of {len(expected)} ({', '.join(options)})"
    yield row


def _work(model_type: str, connection: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    signal.alarm(LIMIT_S)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    for row in examine(model_type):
        connection.send(row)


def examine_all(model_types: list[str], jobs: int) -> Iterator[Row]:
    """Yield each model type's row, each from a process of its own."""
    context: Any = multiprocessing.get_context("fork")
    waiting = list(reversed(model_types))
    rows: dict[Any, Row] = {}
    while waiting or rows:
        while waiting and len(rows) < jobs:
            receiving, sending = context.Pipe(duplex=False)
            rows[receiving] = Row(waiting.pop())
            context.Process(target=_work, args=(rows[receiving].model_type, sending)).start()
            sending.close()
        for connection in wait(list(rows)):
            try:
                rows[connection] = connection.recv()
            except EOFError:
                yield rows.pop(connection)


def line(row: Row) -> str:
    """Return a row of the table."""
    if row.result == "not built":
        return f"{row.model_type} | not built: {' '.join(row.detail.split())[:200]}"
    reasons = "; ".join(f"{count} {reason}" for reason, count in row.not_recorded.most_common())
    return " | ".join((row.model_type, row.family, row.cls, *(str(row.numbers[each]) for each in NUMBERS), reasons, row.result))


def totals(rows: list[Row]) -> list[str]:
    """Return the sums, a line each."""
    ran = [row for row in rows if row.result != "not built"]
    results, families = Counter(row.result for row in rows), Counter(row.family for row in ran)
    total, reasons = Counter[str](), Counter[str]()
    for row in ran:
        total.update(row.numbers)
        reasons.update(row.not_recorded)
    return [
        f"{len(ran)} model types ran: {results['same']} the same, {results['crash']} crashes, {results['differs']} differences, "
        f"{results['missed']} with a module of which nothing is told. {results['not built']} were not built.",
        "Families: " + "; ".join(f"{name} {count}" for name, count in sorted(families.items())) + ".",
        f"{total['modules']} modules: {total['recorded']} recorded, {total['passed on']} passed on what is recorded of their parts, "
        f"{total['never called']} never called. Besides {total['functions']} functions, {total['gradients']} gradients and "
        f"{total['attention']} attention maps.",
        "Not recorded: " + "; ".join(f"{count} {reason}" for reason, count in reasons.most_common()) + ".",
    ]


def page(rows: list[Row]) -> str:
    """Return the document with the table."""
    title, commands, explanation, _ = (__doc__ or "").split("\n\n")
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}."
    columns = ["type", "family", "class", *NUMBERS, "not recorded", "result"]
    missing = ", ".join(row.model_type for row in rows if row.result == "not built")
    lines = ["# Models that the tests do not know", "", title, "", commands, "", explanation, ""]
    lines += [f"* {each}" for each in (versions, *totals(rows))]
    lines += ["", "timm's models are left out: timm cannot be imported without torchvision.", ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += [f"| {line(row)} |" for row in rows if row.result != "not built"]
    return "\n".join([*lines, "", f"Not built, as the rules do not fit them or a library is missing: {missing}.", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="TYPE", help="these model types; default: all that transformers has")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    _ = transformers.BertModel, actviz_tb.watch  # what all models need is imported once, not in each process
    rows: list[Row] = []
    for row in examine_all(options.only or models.MODEL_TYPES, options.jobs):
        rows.append(row)
        print(line(row), *([row.detail] if row.result not in ("same", "not built") else []), sep="\n", flush=True)
    rows.sort(key=lambda row: (row.family, row.model_type))
    print(*totals(rows), sep="\n")
    if options.markdown is not None:
        options.markdown.write_text(page(rows), encoding="utf-8")
    ran = [row for row in rows if row.result != "not built"]
    enough = options.only or (len(ran) >= ENOUGH and {row.family for row in ran} >= models.FAMILIES)
    return int(not enough or any(row.result != "same" for row in ran))


if __name__ == "__main__":
    sys.exit(main())
