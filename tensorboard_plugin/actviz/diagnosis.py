"""Findings, and where two runs part: parse, ask `health`, answer."""

from __future__ import annotations

import functools

from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import parameters, responses
from tensorboard_plugin.actviz.answers import Handler
from tensorboard_plugin.actviz.health import RULES, Health, Thresholds, examine, part, thresholds
from tensorboard_plugin.actviz.health.logged import history_of, thresholds_of
from tensorboard_plugin.actviz.parameters import BadRequestError
from tensorboard_plugin.actviz.series import Span
from tensorboard_plugin.actviz.store import Store

_KEPT = 32


def findings(store: Store, request: Request) -> Response:
    run, span, given, rules = parameters.text(request, "run"), parameters.span(request), _thresholds(request), _rules(request)

    def compute(revision: str) -> Response:
        own, wanted = _in_force(store, run, given)
        logged, health = _examined(store, run, revision, span, wanted, rules)
        answer = {
            "run": run,
            "revision": revision,
            "steps": logged,
            "findings": [finding.to_json() for finding in health.findings],
            "cascades": [{"sentence": each.sentence, "findings": each.findings} for each in health.cascades],
            "left_out": health.left_out,
            "thresholds": thresholds.described(own, wanted),
        }
        return responses.json_answer(request, answer)

    return responses.derived(request, store, [run], compute)


@functools.lru_cache(maxsize=_KEPT)
def _examined(store: Store, run: str, revision: str, span: Span, wanted: Thresholds, rules: frozenset[str]) -> tuple[int, Health]:
    """Return of how many logged steps, and what was found; kept for those who ask of the same revision."""
    history = history_of(store, run, span)
    return len(history.steps), examine(history, wanted, rules)


def parting(store: Store, request: Request) -> Response:
    run, other_run = parameters.text(request, "run"), parameters.text(request, "other_run")
    span, given = parameters.span(request), _thresholds(request)

    def compute(revision: str) -> Response:
        _, wanted = _in_force(store, run, given)
        finding, differ_from = part(history_of(store, run, span), history_of(store, other_run, span), wanted)
        answer = {"run": run, "revision": revision, "other_run": other_run, "differ_from": differ_from}
        return responses.json_answer(request, answer | {"finding": None if finding is None else finding.to_json()})

    return responses.derived(request, store, [run, other_run], compute)


def _thresholds(request: Request) -> dict[str, float]:
    given: dict[str, float] = {}
    for name in thresholds.NAMES:
        if parameters.given(request, name):
            text = parameters.text(request, name)
            try:
                given[name] = int(text) if name in thresholds.WHOLE else float(text)
            except ValueError:
                raise BadRequestError(f"{name}={text[:40]!r} is not a {'whole ' if name in thresholds.WHOLE else ''}number") from None
    return given


def _in_force(store: Store, run: str, given: dict[str, float]) -> tuple[Thresholds, Thresholds]:
    try:
        return thresholds_of(store, run, given)
    except ValueError as error:
        raise BadRequestError(str(error)) from error


def _rules(request: Request) -> frozenset[str]:
    if not parameters.given(request, "rules"):
        return frozenset(RULES)
    asked = frozenset(parameters.text(request, "rules").split(","))
    unknown = sorted(asked.difference(RULES))
    if unknown:
        raise BadRequestError(f"rules={unknown[0][:40]!r} is not known; expected some of {', '.join(RULES)}, with commas between")
    return asked


HANDLERS: dict[str, Handler] = {"findings": findings, "parting": parting}
