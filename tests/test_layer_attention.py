"""The Layer view's attention in a real browser, against an independent softmax."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attending import entropies, float64, multi_head_logits, softmax
from layer_page import data, layer_view, number, value_at
from layer_trainings import HEADS, TOKENS, TextModel, Trained, train_text
from playwright.sync_api import FrameLocator, Page, expect
from tensorboard_process import TensorBoard, tensorboard
from test_tab import after_drawing, current_step, expect_step

pytestmark = pytest.mark.browser

LONG = 150
BESIDE = "19"
"""Pixels beside an enlarged head whose tokens are characters."""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Trained]]:
    """A log directory with a short and a long text, and what was trained."""
    top = tmp_path_factory.mktemp("texts")
    return top, {"text": train_text(top / "text"), "long": train_text(top / "long", steps=3, length=LONG)}


@pytest.fixture(scope="module")
def trained(logs: tuple[Path, dict[str, Trained]]) -> dict[str, Trained]:
    return logs[1]


@pytest.fixture(scope="module")
def board(logs: tuple[Path, dict[str, Trained]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(logs[0])) as running:
        yield running


def attention_view(page: Page, board: TensorBoard, run: str, layer: str, step: int, **state: Any) -> FrameLocator:
    """Open a layer's attention, and wait until its tokens are there: they come after the heads, and move them."""
    tab = layer_view(page, board, run, layer, step, part="attention", **state)
    expect(tab.get_by_test_id("head-large")).to_have_attribute("data-left", BESIDE)
    after_drawing(tab)
    return tab


def attention_of(trained: Trained, step: int, causal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return (logits, weights) [N, H, T, T] of the probe, in float64, by a softmax of our own."""
    model = trained.before[step]
    assert isinstance(model, TextModel)
    with torch.no_grad():
        given = model.attended(trained.probe)
        if not causal:
            logits = multi_head_logits(model.attend, given, given)
        else:
            inner = given + model.attend(given, given, given, need_weights=False)[0]
            weight, bias = float64(model.causal.qkv.weight), float64(model.causal.qkv.bias)
            q, k, _ = np.split(float64(inner) @ weight.T + bias, 3, axis=-1)
            q, k = (part.reshape(*part.shape[:2], HEADS, -1).swapaxes(1, 2) for part in (q, k))
            logits = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            logits[..., np.triu(np.ones(logits.shape[-2:], bool), 1)] = -np.inf
    return logits, softmax(logits)


@pytest.mark.parametrize(("layer", "causal"), [("attend[0]", False), ("causal/scaled_dot_product_attention", True)])
def test_a_heads_weights_entropy_and_logit_are_those_of_an_independent_softmax(
    page: Page, board: TensorBoard, trained: dict[str, Trained], layer: str, causal: bool
) -> None:
    tab = attention_view(page, board, "text", layer, step=6, head=2, sample=1)
    logits, weights = attention_of(trained["text"], 6, causal)
    large = tab.get_by_test_id("head-large")
    for name, value in {"step": "6", "head": "2", "sample": "1"}.items():
        expect(large).to_have_attribute(f"data-{name}", value, timeout=20_000)
    cell, left = float(data(large, "cell")), float(data(large, "left"))
    for query, key in ((0, 0), (7, 3), (TOKENS - 1, 5), (12, 12)):
        told = value_at(large, tab.get_by_test_id("value-large"), left + (key + 0.5) * cell, left + (query + 0.5) * cell)
        head = weights[1, 2]
        assert told == pytest.approx(head[query, key], abs=(head.max() - head.min()) / 254 / 2 + 1e-5)
        expect(tab.get_by_test_id("value-large")).to_contain_text(f"query {query}")
        expect(tab.get_by_test_id("value-large")).to_contain_text(f"key {key}")
    grid = tab.get_by_test_id("heads-grid")
    assert value_at(grid, tab.get_by_test_id("value-grid"), 3, 3) == pytest.approx(weights[1, :, 0, 0].mean(), abs=0.005)
    expected = entropies(weights)[1]
    for head in range(HEADS):
        row = tab.locator(".head-numbers tbody tr").nth(head).locator("td")
        assert number(row.nth(0).inner_text()) == pytest.approx(expected[head], abs=0.006)
        assert number(row.nth(1).inner_text()) == pytest.approx(logits[1, head].max(), abs=0.006)


def test_the_picture_of_a_head_has_the_colours_of_its_weights(page: Page, board: TensorBoard, trained: dict[str, Trained]) -> None:
    tab = attention_view(page, board, "text", "attend[0]", step=4, head=1, colormap="grey", scale="map")
    large = tab.get_by_test_id("head-large")
    expect(large).to_have_attribute("data-head", "1", timeout=20_000)
    greys = large.evaluate("""(canvas) => {
      const [cell, left] = [+canvas.dataset.cell, +canvas.dataset.left];
      const context = canvas.getContext("2d");
      return Array.from({ length: 24 * 24 }, (_, at) =>
        context.getImageData(left + (at % 24 + 0.5) * cell, left + (Math.floor(at / 24) + 0.5) * cell, 1, 1).data[0]);
    }""")
    head = attention_of(trained["text"], 4, causal=False)[1][0, 1].reshape(-1)
    np.testing.assert_allclose(np.array(greys) / 255 * float(data(large, "scale-high")), head, atol=head.max() / 254 * 1.1)


def test_heads_over_steps_are_those_of_each_steps_softmax_and_are_chosen_by_key(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = attention_view(page, board, "text", "attend[0]", step=0)
    heat = tab.get_by_test_id("heads-heat")
    expect(heat).to_have_attribute("data-heads", str(HEADS), timeout=20_000)
    steps = sorted(trained["text"].before)
    entropy = np.array([entropies(attention_of(trained["text"], step, False)[1]).mean(0) for step in steps])
    largest = np.array([attention_of(trained["text"], step, False)[0].max((0, 2, 3)) for step in steps])
    assert (float(data(heat, "low")), float(data(heat, "high"))) == pytest.approx((entropy.min(), entropy.max()), rel=1e-4)
    large = tab.get_by_test_id("head-large")
    expect(large).to_have_attribute("data-head", "mean")
    for head in range(HEADS):
        page.keyboard.press("]")
        expect(large).to_have_attribute("data-head", str(head))
        page.keyboard.press("End" if head % 2 else "Home")
        expect_step(tab, steps[-1 if head % 2 else 0])
        index = steps.index(current_step(tab))
        for strip, values in (("heads-entropy", entropy), ("heads-logit", largest)):
            told = tab.locator(".plot", has=tab.get_by_test_id(strip)).locator(".lane-values div").first
            expect(told).to_contain_text(f"head {head}")
            assert number(told.inner_text().replace(f"head {head}", "")) == pytest.approx(values[index, head], abs=0.006)
    page.keyboard.press("]")
    expect(large).to_have_attribute("data-head", "mean")


def test_a_long_sequence_is_reduced_and_says_so(page: Page, board: TensorBoard, trained: dict[str, Trained]) -> None:
    tab = attention_view(page, board, "long", "attend[0]", step=2, head=0)
    large = tab.get_by_test_id("head-large")
    expect(large).to_have_attribute("data-step", "2", timeout=20_000)
    pool = -(-LONG // 64)
    expect(tab.get_by_test_id("attention-note").first).to_contain_text(f"means of {pool} \u00d7 {pool} weights")
    cell, left = float(data(large, "cell")), float(data(large, "left"))
    told = value_at(large, tab.get_by_test_id("value-large"), left + 1.5 * cell, left + 2.5 * cell)
    head = attention_of(trained["long"], 2, causal=False)[1][0, 0]
    expected = head[2 * pool : 3 * pool, pool : 2 * pool].mean()
    assert told == pytest.approx(expected, rel=0.05)
    expect(tab.get_by_test_id("value-large")).to_contain_text(f"query {2 * pool}\u2013{3 * pool - 1}")
