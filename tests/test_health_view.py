"""Findings in the tab, in a real browser, on a healthy training and one with a fault planted in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import planted
import pytest
from networks import TASKS
from playwright.sync_api import Browser, FrameLocator, Page, expect
from tensorboard_process import TensorBoard, tensorboard
from test_tab import current_step, open_tab, selected_layer

pytestmark = pytest.mark.browser

FAULT = replace(planted.FAULTS["dead"], at=200, last=300)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    logdir = tmp_path_factory.mktemp("runs")
    for name in ("healthy", "faulty"):
        planted.log_run(logdir / name, TASKS["digits CNN"], FAULT, 0, planted=name == "faulty")
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(logdir)) as running:
        yield running


def both(page: Page, board: TensorBoard, **state: object) -> FrameLocator:
    return open_tab(page, board, **{"run": "healthy", "runB": "faulty", **state})


def both_listed(page: Page, board: TensorBoard, **state: object) -> FrameLocator:
    """Open both, and wait until the list is whole: the fault and what follows from it, and where the runs part."""
    tab = both(page, board, **state)
    expect(tab.get_by_test_id("finding")).to_have_count(2)
    return tab


def test_the_fault_is_listed_with_run_layer_step_and_numbers(page: Page, board: TensorBoard) -> None:
    tab = both(page, board)
    first = tab.get_by_test_id("finding").first
    expect(first).to_have_attribute("data-layer", "fc1")
    expect(first).to_have_attribute("data-step", "200")
    expect(first).to_contain_text("RMS")
    expect(tab.get_by_test_id("findings")).to_contain_text("act2 dead from 200")
    expect(tab.get_by_test_id("findings-b")).to_have_text(re.compile("1 finding"))
    expect(tab.get_by_test_id("findings-a")).to_have_count(0)


def test_a_click_goes_to_layer_and_step_and_a_second_one_opens_the_view(page: Page, board: TensorBoard) -> None:
    tab = both_listed(page, board, step=0)
    first = tab.get_by_test_id("finding").first
    first.click()
    assert (selected_layer(tab), current_step(tab)) == ("fc1", 200)
    expect(tab.get_by_test_id("view-overview")).to_have_attribute("aria-current", "page")
    expect(first).to_have_attribute("aria-current", "true")
    first.click()
    expect(tab.get_by_test_id("view-layer")).to_have_attribute("aria-current", "page")


def test_n_goes_from_finding_to_finding(page: Page, board: TensorBoard) -> None:
    tab = both_listed(page, board, step=0)
    tab.get_by_role("button", name=re.compile("^▸")).first.click()
    rows = tab.get_by_test_id("finding")
    layers = [row.get_attribute("data-layer") for row in rows.all()]
    assert len(layers) >= 3
    tab.locator("body").press("n")
    assert selected_layer(tab) == layers[0]
    tab.locator("body").press("n")
    assert selected_layer(tab) == layers[1]
    tab.locator("body").press("Shift+N")
    assert selected_layer(tab) == layers[0]
    tab.locator("body").press("Shift+N")
    assert selected_layer(tab) == layers[-1]


def test_faulty_layers_have_marks_healthy_ones_a_dot(page: Page, board: TensorBoard) -> None:
    tab = both(page, board)
    expect(tab.get_by_test_id("finding").first).to_be_visible()
    mark = lambda name: tab.locator(f"[data-testid=layer-row][data-layer='{name}'] .mark")  # noqa: E731
    expect(mark("act2")).to_have_text("⊘")
    expect(mark("act2")).to_have_class(re.compile("bad"))
    expect(mark("fc1")).to_have_text("▲")
    expect(mark("conv1")).to_have_text("•")
    expect(tab.locator("[data-layer='act2'][data-testid=layer-row]")).to_have_attribute("title", re.compile("run B, from step 200: all"))


def test_thresholds_are_changed_in_the_page_and_kept_in_the_url(page: Page, board: TensorBoard) -> None:
    tab = both(page, board)
    expect(tab.get_by_test_id("finding").first).to_have_attribute("data-layer", "fc1")
    tab.get_by_test_id("thresholds-toggle").click()
    field = tab.get_by_test_id("threshold-jump")
    expect(field).to_have_value("4")
    field.fill("100000")
    field.press("Enter")
    expect(tab.get_by_test_id("finding").first).not_to_contain_text("RMS 3")
    expect(page).to_have_url(re.compile(r"thresholds=jump%3A100000"))
    page.reload()
    tab = page.frame_locator("iframe")
    tab.get_by_test_id("thresholds-toggle").click()
    expect(tab.get_by_test_id("threshold-jump")).to_have_value("100000")
    field = tab.get_by_test_id("threshold-window")
    field.fill("0")
    field.press("Tab")
    expect(field).to_have_value("3")
    tab.get_by_role("button", name="Defaults").click()
    expect(page).not_to_have_url(re.compile("thresholds"))


def test_a_healthy_run_is_told_to_be(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="healthy")
    tab.get_by_test_id("run-b").select_option("")
    expect(tab.get_by_test_id("no-findings")).to_contain_text("no rule finds anything wrong")


def test_thresholds_in_the_url_that_make_no_sense_are_told(chromium: Browser, board: TensorBoard) -> None:
    context = chromium.new_context()  # the browser's console complains of the refusal, which is meant
    tab = both(context.new_page(), board, thresholds="jump:0.5")
    expect(tab.get_by_test_id("findings")).to_contain_text("jump=0.5; expected a number from 1.1")
    context.close()
