"""Results as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import torch
from measure import Result
from registry import ENTRIES
from workloads import WORKLOADS

from actviz_tb import native
from tensorboard_plugin.actviz.version import VERSION

Results = Mapping[tuple[str, str], Result]
"""By workload and contestant."""


def report(results: Results, failures: Mapping[tuple[str, str], str], command: str) -> str:
    """Return the whole report."""
    workloads = [name for name in WORKLOADS if any(workload == name for workload, _ in [*results, *failures])]
    contestants = [name for name in ENTRIES if any(contestant == name for _, contestant in [*results, *failures])]
    lines = [f"{machine()} Command: `{command}`. {_versions()}", "", *_ratios(results, workloads, contestants)]
    for workload in workloads:
        if any(each == workload for each, _ in results):
            lines += ["", *_details(results, workload, contestants)]
    if failures:
        lines += ["", "Not measured:", ""]
        for contestant, reason in dict.fromkeys((contestant, reason) for (_, contestant), reason in failures.items()):
            where = [workload for workload in workloads if failures.get((workload, contestant)) == reason]
            lines.append(f"* {ENTRIES[contestant].title} ({', '.join(where)}): {reason}")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Return a sentence on what this runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    threads = f"torch {torch.__version__} with {torch.get_num_threads()} threads"
    compiled = "compiled" if native.available() else "not compiled"
    return f"{cores} cores ({model}), Python {platform.python_version()}, {threads}, actviz_tb {VERSION} ({compiled})."


def _versions() -> str:
    pins = [path.read_text().splitlines()[0].replace("==", " ") for path in sorted((Path(__file__).parent / "peers").glob("*.txt"))]
    return f"Others: {', '.join(pins)}."


def _ratios(results: Results, workloads: Sequence[str], contestants: Sequence[str]) -> Iterator[str]:
    yield "Time of a step, as a ratio to the bare step:"
    yield ""
    yield from _row("", *workloads)
    yield from _row("---", *["---:"] * len(workloads))
    bare_ms = [[result.bare_ms for (each, _), result in results.items() if each == workload] for workload in workloads]
    yield from _row("bare step, ms", *(_figure(median(values)) if values else "-" for values in bare_ms))
    for contestant in contestants:
        found = [results.get((workload, contestant)) for workload in workloads]
        yield from _row(ENTRIES[contestant].title, *(_ratio(each.ratio) if each else "-" for each in found))


def _details(results: Results, workload: str, contestants: Sequence[str]) -> Iterator[str]:
    yield f"{workload}: {WORKLOADS[workload].title}"
    yield ""
    yield from _row("", "ms a step", "added ms", "ratio", "95% interval", "CPU time", "kB a logged step", "MB above bare", "rounds")
    yield from _row("---", *["---:"] * 8)
    bare = results.get((workload, "bare"))
    for contestant in contestants:
        each = results.get((workload, contestant))
        if each is None:
            continue
        yield from _row(
            ENTRIES[contestant].title,
            _figure(each.ms),
            _figure((each.ratio - 1) * each.bare_ms),
            _ratio(each.ratio),
            f"{_ratio(each.ratio_low)} to {_ratio(each.ratio_high)}",
            _ratio(each.cpu_ratio),
            _figure(each.bytes_per_logged_step / 1e3) if ENTRIES[contestant].logs and each.bytes_per_logged_step else "-",
            f"{(each.peak_bytes - bare.peak_bytes) / 1e6:.0f}" if bare and each is not bare else "-",
            str(each.rounds),
        )


def _ratio(ratio: float) -> str:
    return f"{ratio:.4f}" if ratio < 1.01 else f"{ratio:.3f}" if ratio < 2 else f"{ratio:.1f}"


def _figure(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _row(*cells: str) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"
