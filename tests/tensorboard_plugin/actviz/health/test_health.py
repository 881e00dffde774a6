"""Each rule on made-up statistics: what it names, since when, and that it keeps still otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tensorboard_plugin.actviz.health import RULES, Finding, History, Layer, Thresholds, examine, part
from tensorboard_plugin.actviz.health.findings import Span, spans
from tensorboard_plugin.actviz.health.history import STATISTICS

Array = npt.NDArray[Any]
STEPS = np.arange(0, 400, 10)
NAMES = ("conv", "relu", "fc", "sigmoid", "out")


def healthy(steps: Array = STEPS, seed: int = 0) -> History:
    """Return a network in good health: conv -> relu -> fc -> sigmoid -> out, each statistic with a little noise."""
    generator = np.random.default_rng(seed)
    shape = (len(NAMES), len(steps))
    noise = lambda: np.exp(0.03 * generator.standard_normal(shape))  # noqa: E731
    rms = np.array([0.5, 0.4, 0.6, 0.5, 1.0])[:, None] * noise()
    statistics = {name: np.zeros(shape) for name in STATISTICS}
    statistics |= {"count": np.full(shape, 1024.0), "channels": np.full(shape, 16.0), "rms": rms, "std": 0.8 * rms, "mean": 0.2 * rms}
    statistics |= {"min": -3 * rms, "max": 3 * rms, "dead_channels": np.full(shape, np.nan)}
    statistics["zero"][1], statistics["dead_channels"][1] = 0.5, 0.1
    statistics["saturated"][[0, 1, 2, 4]] = np.nan
    layers = [
        Layer(name, name, kind, "float32", tuple(NAMES[place - 1 : place] if place else ()), parameters)
        for place, (name, kind, parameters) in enumerate(
            zip(NAMES, ("Conv2d", "ReLU", "Linear", "Sigmoid", "Linear"), (80, 0, 170, 0, 10), strict=True)
        )
    ]
    probe = {"rms": rms * noise(), "variance": 0.5 * rms**2 * noise(), "participation": 4 * noise()}
    return History(layers, steps, statistics, probe, evaluating=[()] * len(steps))


def with_values(history: History, layer: str, first: int, last: int = 10**9, probe: bool = False, **values: Any) -> History:
    """Return the history with other values of a layer from one step to another."""
    row = NAMES.index(layer)
    columns = np.flatnonzero((history.steps >= first) & (history.steps <= last))
    source = {name: array.copy() for name, array in (history.probe if probe else history.statistics).items()}
    for name, value in values.items():
        source[name][row, columns] = value(source[name][row, columns]) if callable(value) else value
    return replace(history, **{"probe" if probe else "statistics": source})


def times(factor: float) -> Callable[[Array], Array]:
    return lambda values: values * factor


def found(history: History, **thresholds: Any) -> list[tuple[str, str, int, int, bool]]:
    return [
        (each.rule, each.layer, each.first_step, each.last_step, each.goes_on)
        for each in examine(history, Thresholds(**thresholds)).findings
    ]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_in_good_health(seed: int) -> None:
    assert found(healthy(seed=seed)) == []


def test_one_value_that_is_not_finite_is_found_at_its_step() -> None:
    broken = with_values(healthy(), "fc", 200, 200, nonfinite=1 / 1024, nan=1.0)
    assert found(broken) == [("nonfinite", "fc", 200, 200, False)]


def test_a_mask_of_minus_infinity_from_the_start_is_none() -> None:
    assert found(with_values(healthy(), "fc", 0, nonfinite=0.5)) == []


def test_a_dead_layer_is_one_finding_from_its_first_step_on() -> None:
    dead = with_values(healthy(), "relu", 200, zero=1.0, rms=0.0, std=0.0, mean=0.0, min=0.0, max=0.0, dead_channels=1.0)
    assert found(dead) == [("dead", "relu", 200, 390, True)]


ZERO = {"zero": 1.0, "rms": 0.0, "std": 0.0, "mean": 0.0, "min": 0.0, "max": 0.0, "dead_channels": 1.0}


def test_zero_at_a_few_steps_is_no_death_but_the_lowest_of_drops() -> None:
    history = replace(with_values(healthy(), "fc", 200, 210, **ZERO), probe={})
    assert found(history) == [("jump", "fc", 200, 210, False)]
    (finding,) = examine(history).findings
    assert finding.brief == "dropped"
    assert (finding.evidence["rms"], finding.evidence["factor"], finding.evidence["gain"]) == (0, 0, 0)
    assert finding.sentence.endswith(" before, 0 now: every value zero")


def test_zero_at_the_last_steps_may_become_a_death_and_is_none_yet() -> None:
    history = replace(with_values(healthy(), "fc", 200, **ZERO), probe={})
    upto = lambda step: replace(  # noqa: E731
        history,
        steps=history.steps[history.steps <= step],
        statistics={name: array[:, history.steps <= step] for name, array in history.statistics.items()},
        evaluating=[()] * int((history.steps <= step).sum()),
    )
    assert [found(upto(step)) for step in (200, 210)] == [[], []]
    assert found(upto(220)) == [("dead", "fc", 200, 220, True)]


def test_a_layer_that_starts_from_zero_or_was_zero_now_and_then_from_the_first_steps_on_is_healthy() -> None:
    started = replace(with_values(healthy(), "fc", 0, 40, **ZERO), probe={})
    assert found(started, window=6) == []
    now_and_then = replace(healthy(), probe={})
    for step in range(10, 400, 50):
        now_and_then = with_values(now_and_then, "fc", step, step, **ZERO)
    assert found(now_and_then) == []


def almost_dead(history: History) -> History:
    """Return it with relu zero throughout at 200 and 210, then so in 15 of 16 channels, and its consumer fc after it."""
    history = with_values(history, "relu", 200, zero=0.999, dead_channels=15 / 16, rms=1e-5, max=1e-4, std=1e-5, mean=1e-6, min=0.0)
    history = with_values(history, "relu", 200, 210, **ZERO)
    history = with_values(history, "fc", 200, rms=1e-5, max=1e-4, std=1e-5, mean=1e-6, min=-1e-4)
    return replace(with_values(history, "fc", 200, 210, **ZERO, channels=16), probe={})


def test_steps_at_which_all_is_zero_count_for_dead_channels_and_for_what_vanishes() -> None:
    health = examine(almost_dead(healthy()))
    of_relu = [(each.rule, each.severity, each.first_step, each.goes_on) for each in health if each.layer == "relu"]
    assert of_relu == [("dead_channels", "bad", 200, True), ("jump", "warn", 200, True), ("vanishing", "bad", 200, True)]
    assert health.findings[0].layer == "relu"
    evidence = health.findings[0].evidence
    assert (evidence["dead"], evidence["channels"], evidence["least"]) == (16, 16, 15)
    assert health.findings[0].sentence == "16 of 16 channels zero for every input, 15 at step 390"
    assert health.findings[0].brief == "dead in 15 to 16 of 16 channels"
    assert [each.sentence for each in health.cascades] == ["relu dead in 15 to 16 of 16 channels from 200, fc dropped at 200"]


def test_dead_channels_are_not_told_beside_a_dead_layer() -> None:
    history = with_values(healthy(), "relu", 150, dead_channels=15 / 16)
    history = replace(with_values(history, "relu", 200, **ZERO), probe={})
    assert found(history) == [("dead_channels", "relu", 150, 190, True), ("dead", "relu", 200, 390, True)]
    evidence = examine(history).findings[1].evidence
    assert (evidence["dead"], evidence["channels"]) == (16, 16)


def test_layers_after_zeros_are_not_measured_against_them() -> None:
    history = with_values(with_values(healthy(), "relu", 200, 210, **ZERO), "fc", 220, 230, **ZERO)
    assert {each[0] for each in found(replace(history, probe={}))} == {"jump"}


def test_of_layers_that_drop_together_the_one_that_lost_most_against_its_inputs_comes_first() -> None:
    history = healthy()
    for name, factor in zip(NAMES, (0.2, 0.18, 1e-3, 1e-3, 1e-3), strict=True):
        history = with_values(history, name, 200, rms=times(factor))
    assert examine(replace(history, probe={})).findings[0].layer == "fc"


def test_a_drop_is_told_by_how_much_smaller_it_is() -> None:
    history = replace(with_values(healthy(), "fc", 200, rms=0.0006), probe={})
    finding = next(each for each in examine(history) if each.rule == "jump")
    assert re.fullmatch(r"RMS 0\.[56]\d* before, 0\.0006 now: (9\d\d|1\u20090\d\d)x smaller", finding.sentence)


def test_a_sentence_tells_equal_findings_together_and_unequal_ones_apart() -> None:
    history = healthy()
    for name, factor in zip(NAMES, (200, 10, 10, 0.1, 10), strict=True):
        history = with_values(history, name, 200, 200, rms=times(factor))
    (cascade,) = examine(replace(history, probe={})).cascades
    assert cascade.sentence == "conv and 3 more jumped at 200, sigmoid dropped at 200"
    assert len(cascade.findings) == 5


def test_dead_channels_are_of_rectifiers_only_and_waver_within_one_finding() -> None:
    dying = with_values(healthy(), "relu", 200, dead_channels=lambda values: 0.95 - 0.08 * (np.arange(len(values)) % 4 == 3))
    assert found(dying) == [("dead_channels", "relu", 200, 390, True)]
    assert found(with_values(healthy(), "fc", 200, dead_channels=1.0)) == []
    assert found(dying, dead_channels=0.99) == []


def test_saturation_of_the_networks_own_output_is_none() -> None:
    assert found(with_values(healthy(), "sigmoid", 100, saturated=0.8)) == [("saturated", "sigmoid", 100, 390, True)]
    assert found(with_values(healthy(), "out", 100, saturated=0.8)) == []


def test_a_jump_lasts_until_the_layer_is_back() -> None:
    jumped = replace(with_values(healthy(), "fc", 200, 300, rms=times(6)), probe={})
    assert found(jumped) == [("jump", "fc", 200, 300, False)]
    (finding,) = examine(jumped).findings
    assert finding.evidence["factor"] == pytest.approx(6, rel=0.15)
    assert found(jumped, jump=8) == []


def test_slow_growth_is_no_jump() -> None:
    assert "jump" not in {each[0] for each in found(with_values(healthy(), "fc", 0, rms=lambda values: values * 1.15 ** np.arange(40)))}


def test_a_signal_that_vanishes_through_depth() -> None:
    history = healthy()
    for power, name in enumerate(NAMES):
        history = with_values(history, name, 0, rms=times(1e-3**power))
    assert next(each[:3] for each in found(history)) == ("vanishing", "fc", 0)


def test_a_signal_that_explodes() -> None:
    assert found(with_values(healthy(), "out", 0, rms=times(1e5), min=times(1e5), max=times(1e5)))[0][:3] == ("exploding", "out", 0)


def test_outliers_need_size_and_ratio() -> None:
    assert found(with_values(healthy(), "fc", 100, max=200.0)) == [("outliers", "fc", 100, 390, True)]
    assert found(with_values(healthy(), "fc", 100, max=90.0)) == []


def test_a_layer_that_loses_its_inputs_differences_is_collapsed_those_after_it_are_not() -> None:
    history = with_values(with_values(healthy(), "fc", 150, probe=True, variance=0.0), "sigmoid", 150, probe=True, variance=0.0)
    assert found(history) == [("collapsed", "fc", 150, 390, True)]


def test_what_never_depended_on_the_input_is_not_collapsed() -> None:
    assert found(with_values(healthy(), "conv", 0, probe=True, variance=0.0)) == []


def test_samples_on_a_line_where_the_inputs_were_not() -> None:
    assert found(with_values(healthy(), "fc", 150, probe=True, participation=1.01)) == [("rank_collapse", "fc", 150, 390, True)]
    assert found(with_values(healthy(), "out", 150, probe=True, participation=1.01)) == []


def test_one_number_throughout_is_collapsed_without_a_probe() -> None:
    history = replace(with_values(healthy(), "fc", 150, std=0.0, mean=0.6, min=0.6, max=0.6), probe={})
    assert found(history) == [("collapsed", "fc", 150, 390, True)]


def test_frozen_while_others_learn() -> None:
    still = with_values(healthy(), "conv", 100, probe=True, rms=0.5, variance=0.1)
    assert found(still) == [("frozen", "conv", 110, 390, True)]
    layers = [replace(layer, trained=False) for layer in still.layers]
    assert found(replace(still, layers=layers)) == []


def test_all_still_is_no_finding() -> None:
    history = healthy()
    for name in NAMES:
        history = with_values(history, name, 100, probe=True, rms=0.5, variance=0.1)
    assert found(history) == []


def test_headroom_is_of_the_layers_format() -> None:
    large = with_values(healthy(), "fc", 200, max=20000.0, min=-20000.0, rms=times(1.5))
    assert [each[0] for each in found(large)] == ["outliers"]
    half = replace(large, layers=[replace(layer, dtype="float16") for layer in large.layers])
    assert ("headroom", "fc", 200, 390, True) in found(half)


def test_a_module_that_stays_in_evaluation_mode() -> None:
    history = healthy()
    late = replace(history, evaluating=[("fc",) if step >= 250 else () for step in STEPS])
    assert found(late) == [("mode", "fc", 250, 390, True)]
    assert [each.severity for each in examine(late).findings] == ["bad"]
    assert [each.severity for each in examine(replace(history, evaluating=[("fc",)] * 40)).findings] == ["warn"]


def test_evaluation_unlike_training_is_told_where_it_begins() -> None:
    history = healthy()
    for name in ("fc", "sigmoid", "out"):
        history = with_values(history, name, 0, probe=True, rms=times(0.1))
    assert found(history) == [("train_eval", "fc", 100, 390, True)]


def test_one_process_apart() -> None:
    history = healthy()
    ranks = np.repeat(history["rms"][None], 4, axis=0)
    ranks[2, 2, 20:] *= 5
    assert found(replace(history, rank_rms=ranks, rank_nonfinite=np.zeros_like(ranks))) == [("rank", "fc", 200, 390, True)]


def test_a_cascade_is_told_in_one_sentence_and_other_matters_apart() -> None:
    history = with_values(healthy(), "conv", 150, 160, rms=times(7))
    history = with_values(history, "relu", 160, zero=1.0, rms=0.0)
    history = with_values(history, "out", 200, nonfinite=1.0, nan=1024.0)
    history = replace(history, evaluating=[("sigmoid",)] * 40)
    health = examine(history)
    assert [each.sentence for each in health.cascades] == [
        "sigmoid in evaluation mode from 0",
        "conv jumped at 150, relu dead from 160, out NaN from 200",
    ]
    assert [each.cascade for each in health.findings] == [0, 1, 1, 1]


def test_of_layers_that_jump_together_the_one_that_gained_most_comes_first() -> None:
    history = healthy()
    for name, factor in zip(NAMES, (10, 11, 200, 210, 190), strict=True):
        history = with_values(history, name, 200, rms=times(factor))
    assert examine(history).findings[0].layer == "fc"


def test_only_the_rules_asked_for_are_tried() -> None:
    history = replace(with_values(with_values(healthy(), "fc", 200, rms=times(6)), "relu", 200, zero=1.0), probe={})
    assert {each.rule for each in examine(history).findings} == {"jump", "dead"}
    assert [each.rule for each in examine(history, only=["dead"]).findings] == ["dead"]


def test_layers_that_are_not_logged_and_runs_without_steps() -> None:
    history = with_values(healthy(), "fc", 0, **dict.fromkeys(STATISTICS, np.nan))
    assert found(history) == []
    assert found(healthy(STEPS[:0])) == []
    assert found(healthy(STEPS[:1])) == []


@pytest.mark.parametrize(
    ("flags", "window", "release", "expected"),
    [
        ("0110100000", 2, 3, [Span(1, 4, False)]),
        ("0110100", 2, 3, [Span(1, 4, True)]),
        ("1000001", 1, 3, [Span(0, 0, False), Span(6, 6, True)]),
        ("0101", 2, 2, []),
    ],
)
def test_spans(flags: str, window: int, release: int, expected: list[Span]) -> None:
    on = np.array([each == "1" for each in flags])
    assert spans(on, on, window, release) == expected


@pytest.mark.parametrize("wrong", [{"jump": 1.0}, {"window": 0}, {"window": 2.5}, {"jump": "4"}, {"jump": float("nan")}, {"window": True}])
def test_thresholds_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Thresholds(**wrong)


def test_where_two_runs_part() -> None:
    one = healthy()
    other = with_values(one, "fc", 250, rms=times(1.0001))
    other = with_values(other, "sigmoid", 300, rms=times(3))
    finding, differ_from = part(one, other)
    assert differ_from == 250
    assert finding is not None
    assert (finding.layer, finding.first_step, finding.goes_on) == ("sigmoid", 300, True)
    assert part(one, one) == (None, None)


def test_runs_of_other_seeds_part_only_beyond_how_far_they_were_apart() -> None:
    one, other = healthy(seed=1), healthy(seed=2)
    assert part(one, other)[0] is None
    parted, _ = part(one, with_values(other, "out", 200, nonfinite=1.0, rms=np.nan))
    assert isinstance(parted, Finding)
    assert (parted.layer, parted.first_step) == ("out", 200)


def test_every_rule_is_tried_here() -> None:
    assert len(RULES) == len(set(RULES)) == 15
