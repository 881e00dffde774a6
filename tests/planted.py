"""Plant faults in training runs, and see whether the rules name them, at the right layer and step, and nothing in the healthy twins.

    python tests/planted.py [--seeds 3 4 5] [--only dead jump ...] [--jobs 2] [--markdown docs/health.md]

Each run is logged every 10 steps with a probe of 32 samples, read back from its event file, and examined with the default thresholds.
A fault is named where the first cascade begins at the expected layer, or at the one that it is made from, at the fault's step or at the
next logged one, and holds a finding of an expected rule at the expected layer that begins then. False are all findings in a healthy
twin, and those of a faulty run that begin before the fault.
Exit status 1: a fault that was not named, or more than two false findings in all.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from networks import TASKS, Faulty, Task, loss_of
from torch import nn

import actviz_tb
from tensorboard_plugin.actviz.health import Finding, Health, examine
from tensorboard_plugin.actviz.health.logged import history_of
from tensorboard_plugin.actviz.store import Store

EVERY = 10
BATCH, PROBE = 24, 32
MOST_FALSE = 2


@dataclass(frozen=True)
class Fault:
    """What is planted.

    Attributes:
        what: for the table. at: the step, None: from the start. last: of the run.
        rules: one of them must name it. layer: names of the layers that may show it, given the task.
        plant: does it, given model, task and optimizer.
        activation, half: the network that it is planted in.
    """

    what: str
    at: int
    last: int
    rules: tuple[str, ...]
    layer: Callable[[Task], tuple[str, ...]]
    plant: Callable[[nn.Module, Task, torch.optim.Optimizer], None]
    activation: Callable[[], nn.Module] = nn.ReLU
    half: bool = False


def _dead(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    with torch.no_grad():
        model.get_submodule(task.before_relu).bias.fill_(-1e3)  # type: ignore[operator, union-attr]


def _learning_rate(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    own = set(model.get_submodule(task.spoiled).parameters())
    for group in optimizer.param_groups:
        if own & set(group["params"]):
            group["lr"] *= 1000


def _nan(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    block = model.get_submodule(task.poisoned)
    assert isinstance(block, Faulty)
    block.poisoned = True


def _mode(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    model.get_submodule(task.modal).eval()


def _collapse(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    for module in model.children():
        if isinstance(module, Faulty) and module is not list(model.children())[-1]:
            module.constant = True


def _saturate(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight *= 30
            if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
                module.weight *= 30


def _large(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    with torch.no_grad():
        module = model.get_submodule(task.wide)
        module.weight *= 3e4 / _largest(model, module, task)  # type: ignore[operator]


def _largest(model: nn.Module, module: nn.Module, task: Task) -> float:
    seen = []
    handle = module.register_forward_hook(lambda module, args, output: seen.append(float(output.float().abs().max())))
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        model(task.batch(torch.Generator().manual_seed(99), BATCH)[0])
    handle.remove()
    return seen[0]


def _stale(model: nn.Module, task: Task, optimizer: torch.optim.Optimizer) -> None:
    module = model.get_submodule(task.modal)
    if isinstance(module, nn.BatchNorm2d):
        module.momentum = 0.0
        assert module.running_var is not None
        module.running_var.fill_(100.0)


FAULTS = {
    "dead": Fault("ReLU given a large negative bias", 300, 400, ("dead",), lambda task: (task.relu,), _dead),
    "jump": Fault(
        "learning rate of a layer x 1000", 500, 600, ("jump", "nonfinite", "exploding"), lambda task: (task.spoiled,), _learning_rate
    ),
    "nan": Fault("NaN in a block's input", 800, 860, ("nonfinite",), lambda task: (task.poisoned_first,), _nan),
    "saturated": Fault(
        "sigmoids with saturating init", 0, 150, ("saturated",), lambda task: (task.first_act,), _saturate, activation=nn.Sigmoid
    ),
    "mode": Fault("norm or dropout left in evaluation mode", 400, 500, ("mode",), lambda task: (task.modal,), _mode),
    "collapsed": Fault("two blocks put out a constant", 400, 500, ("collapsed",), lambda task: ("block1", "block1/add"), _collapse),
    "headroom": Fault("fp16 near overflow", 400, 450, ("headroom",), lambda task: (task.wide,), _large, half=True),
    "stale": Fault("running averages never updated", 100, 300, ("train_eval",), lambda task: (task.modal,), _stale),
}


def log_run(directory: Path, task: Task, fault: Fault, seed: int, *, planted: bool, **options: Any) -> None:
    """Train and log; `options`: of `watch`, where others are wanted than maps of one sample and four channels."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = task.build(fault.activation)
    own = list(model.get_submodule(task.spoiled).parameters())
    others = [each for each in model.parameters() if all(each is not mine for mine in own)]
    optimizer = task.optimizer([{"params": own}, {"params": others}])
    probe, wanted = task.batch(torch.Generator().manual_seed(1234), PROBE)
    labels = [task.label(*each) for each in zip(probe, wanted, strict=True)]
    at_once = fault.plant is _stale or fault.at == 0
    if planted and at_once:
        fault.plant(model, task, optimizer)
    options = {"samples": 1, "max_channels": 4, "stock_tabs": False} | options
    logger = actviz_tb.watch(model, directory, every=EVERY, probe=probe, probe_labels=labels, **options)
    for step in range(fault.last + 1):
        if planted and not at_once and step == fault.at:
            fault.plant(model, task, optimizer)
        inputs, targets = task.batch(generator, BATCH)
        with torch.autocast("cpu", torch.float16, enabled=fault.half):
            loss = loss_of(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logger.close()


def examined(directory: Path) -> Health:
    """Return what the rules find in the only run of a directory."""
    store = Store({str(directory): None})
    store.refresh()
    return examine(history_of(store, "."))


@dataclass(frozen=True)
class Row:
    """A faulty run, see the module's docstring.

    Attributes:
        first: the finding that names the fault, or else the first one. sentence: of the first cascade. early: findings before the fault.
    """

    task: str
    fault: str
    seed: int
    first: Finding | None
    named: bool
    sentence: str
    early: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Faulty runs of one network from one seed, and what was found in their healthy twins."""

    rows: tuple[Row, ...]
    healthy: int
    false: tuple[str, ...]


def try_all(job: tuple[str, int, tuple[str, ...], str]) -> Result:
    """Log the runs of (network, seed, faults), and examine them; a healthy run is the twin of all faults in the same kind of network.

    The last part is a directory to keep the logs in, and to take those from that are there, or empty.
    """
    task_name, seed, names, keep = job
    task = TASKS[task_name]
    rows, twins = [], {}
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = Path(keep or temporary) / f"{task_name}-{seed}".replace(" ", "_")
        for name in names:
            fault = FAULTS[name]
            kind = f"healthy-{fault.activation.__name__}{'-half' if fault.half else ''}"  # type: ignore[attr-defined]
            if kind not in twins or twins[kind].last < fault.last:
                twins[kind] = fault
            health = _logged(place / name, task, fault, seed, planted=True)
            early = tuple(_told(finding) for finding in health.findings if finding.first_step < fault.at)
            sentence = health.cascades[0].sentence if health.cascades else ""
            rows.append(Row(task_name, name, seed, *_named(health, fault, task), sentence, early))
        false = [
            f"{task_name}, seed {seed}, {kind}: {_told(finding)}"
            for kind, fault in twins.items()
            for finding in _logged(place / kind, task, fault, seed, planted=False).findings
        ]
    return Result(tuple(rows), len(twins), tuple(false))


def _logged(directory: Path, task: Task, fault: Fault, seed: int, *, planted: bool) -> Health:
    done = directory / "done"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        log_run(directory, task, fault, seed, planted=planted)
        done.touch()
    return examined(directory)


def _named(health: Health, fault: Fault, task: Task) -> tuple[Finding | None, bool]:
    """Return the finding that names the fault, or else the first one; and whether it does."""
    if not health.cascades:
        return None, False
    members = [health.findings[index] for index in health.cascades[0].findings]
    for finding in members:
        begins = fault.at <= members[0].first_step <= finding.first_step <= fault.at + EVERY
        at_place = members[0].layer in (*fault.layer(task), task.before_relu)
        if finding.rule in fault.rules and finding.layer in fault.layer(task) and begins and at_place:
            return finding, True
    return members[0], False


def _told(finding: Finding) -> str:
    return f"{finding.rule} {finding.layer} {finding.first_step}: {finding.sentence}"


def possible(task: str, fault: str) -> bool:
    """Say whether a fault can be planted: running averages need a BatchNorm."""
    return fault != "stale" or task != "transformer on text"


def table(rows: list[Row]) -> str:
    """Return the results in Markdown."""
    lines = ["| network | planted | expected | seed | found | at | told as | before |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        task, fault = TASKS[row.task], FAULTS[row.fault]
        expected = f"{' or '.join(fault.rules)}: `{fault.layer(task)[0]}`, {fault.at}"
        seen = "nothing" if row.first is None else f"{row.first.rule}: `{row.first.layer}`"
        at = "" if row.first is None else str(row.first.first_step)
        wrong = "" if row.named else " **not as expected**"
        lines.append(f"| {row.task} | {fault.what} | {expected} | {row.seed} | {seen}{wrong} | {at} | {row.sentence} | {len(row.early)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--only", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="put the table between this file's markers")
    parser.add_argument("--keep", default="", help="directory to keep the logs in, and to take those from that are there")
    arguments = parser.parse_args()
    jobs = [
        (task, seed, tuple(fault for fault in arguments.only if possible(task, fault)), arguments.keep)
        for task in arguments.tasks
        for seed in arguments.seeds
    ]
    started = time.monotonic()
    rows: list[Row] = []
    healthy, false = 0, []
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for result in pool.imap(try_all, jobs):
            rows += result.rows
            healthy += result.healthy
            false += [*result.false, *(f"{row.task}, seed {row.seed}, {row.fault}: {each}" for row in result.rows for each in row.early)]
            for row in result.rows:
                print("ok " if row.named else "BAD", row.task, row.fault, row.seed, row.sentence, *row.early, sep=" | ", flush=True)
    rows.sort(key=lambda row: (arguments.tasks.index(row.task), arguments.only.index(row.fault), row.seed))
    named = sum(row.named for row in rows)
    summary = (
        f"{named} of {len(rows)} faults named; {len(false)} false findings in {healthy} healthy runs and before the faults in the others"
    )
    print(summary, *false, f"({time.monotonic() - started:.0f} s)", sep="\n")
    if arguments.markdown:
        start, end = "<!-- planted: begin -->", "<!-- planted: end -->"
        before, _, rest = arguments.markdown.read_text().partition(start)
        listed = "".join(f"\n* {each}" for each in false)
        arguments.markdown.write_text(f"{before}{start}\n{summary}.{listed}\n\n{table(rows)}\n{end}{rest.partition(end)[2]}")
    return int(named < len(rows) or len(false) > MOST_FALSE)


if __name__ == "__main__":
    sys.exit(main())
