"""``python -m actviz_tb check LOGDIR``: are the runs of a log in good health? For scripts and CI; needs no torch.

Exit status: 0, no findings; 1, findings; 2, nothing to examine (no run, or one without logged steps), or arguments that make no sense.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from actviz_tb.errors import ActvizError
from actviz_tb.reading import Log, read
from tensorboard_plugin.actviz.health import RULES, Health

HEALTHY, FINDINGS, UNUSABLE = range(3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m actviz_tb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    check = parser.add_subparsers(dest="command", required=True).add_parser("check", help="say what is wrong with logged runs")
    check.add_argument("logdir", help="what TensorBoard's --logdir takes")
    check.add_argument("--run", action="append", help="only this run (may be repeated)")
    check.add_argument("--rule", action="append", choices=RULES, help="only this rule (may be repeated)")
    check.add_argument(
        "--threshold", action="append", default=[], metavar="NAME=NUMBER", help="another than the default, see docs/health.md"
    )
    check.add_argument("--json", action="store_true", help="the findings as JSON")
    given = parser.parse_args(arguments)
    try:
        log = read(given.logdir)
        runs = given.run or list(log)
        empty = [run for run in runs if not len(log[run].steps)]
        found = _examined(log, [run for run in runs if run not in empty], given.rule or RULES, dict(map(_threshold, given.threshold)))
    except ActvizError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    if found or given.json:
        print(json.dumps({run: _as_json(health) for run, health in found.items()}, indent=1) if given.json else _as_text(found))
    if empty:
        names = ", ".join(map(repr, empty))
        print(f"error: nothing to examine in {names}: no logged steps (was the model in training mode?)", file=sys.stderr)
    if any(len(health) for health in found.values()):
        return FINDINGS
    return UNUSABLE if empty else HEALTHY


def _examined(log: Log, runs: Sequence[str], rules: Sequence[str], thresholds: dict[str, float]) -> dict[str, Health]:
    return {run: log[run].findings(rules=rules, **thresholds) for run in runs}


def _threshold(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, int(value) if value.isdigit() else float(value)
    except ValueError:
        raise ActvizError(f"--threshold {text!r}; expected NAME=NUMBER, such as jump=8") from None


def _as_json(health: Health) -> dict[str, Any]:
    cascades = [{"sentence": each.sentence, "findings": each.findings} for each in health.cascades]
    return {"findings": [each.to_json() for each in health], "cascades": cascades, "left_out": health.left_out}


def _as_text(found: dict[str, Health]) -> str:
    lines = []
    for run, health in found.items():
        lines.append(f"{run}: {len(health.cascades) or 'no'} finding{'' if len(health.cascades) == 1 else 's'}")
        for cascade in health.cascades:
            lines.append(f"  {cascade.sentence}")
            first = health.findings[cascade.findings[0]]
            until = "still so" if first.goes_on else f"until step {first.last_step}"
            lines.append(f"    {first.severity}, {first.rule}, {first.layer}: {first.sentence}; {until}")
            lines.append(f"    usually: {first.cause}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
