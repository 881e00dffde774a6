"""Gradients in the tab: in Overview and Layer, against what autograd says."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from held import Held
from layer_page import layer_view, number
from playwright.sync_api import Page, expect
from tensorboard_process import TensorBoard, tensorboard
from test_tab import open_tab
from torch import nn

import actviz_tb

pytestmark = pytest.mark.browser
STEPS = 6
Truth = dict[int, np.ndarray]
"""The gradient of the loss with respect to what the first layer puts out, by step."""


def train(directory: Path, *, gradients: bool) -> Truth:
    torch.manual_seed(1)
    model, truth = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with actviz_tb.watch(model, directory, every=1, gradients=gradients):
        for step in range(STEPS):
            x, target = torch.randn(32, 6), torch.randint(3, (32,))
            alike = copy.deepcopy(model)
            hidden = alike[0](x).detach().requires_grad_()
            nn.functional.cross_entropy(alike[2](alike[1](hidden)), target).backward()
            assert hidden.grad is not None
            truth[step] = hidden.grad.numpy()
            loss = nn.functional.cross_entropy(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return truth


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    top = tmp_path_factory.mktemp("gradients")
    train(top / "without", gradients=False)
    return top, train(top / "with", gradients=True)


@pytest.fixture(scope="module")
def board(logs: tuple[Path, Truth], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(logs[0])) as running:
        yield running


def rms(gradient: np.ndarray) -> float:
    return float(np.sqrt(np.square(gradient, dtype=np.float64).mean()))


def test_overview_tree_and_link_tell_of_gradients(page: Page, board: TensorBoard, logs: tuple[Path, Truth]) -> None:
    tab = open_tab(page, board, run="with", layer="0", step=3)
    told = tab.get_by_test_id("selected-values")
    expect(told).to_have_text(re.compile(r"^RMS of 0 at step 3: A \d"))
    before = told.inner_text()
    held = Held(page, "**/stats?*")
    with page.expect_request("**/stats?*of=gradients*"):
        tab.get_by_test_id("quantity").select_option("gradients")
    expect(told).to_have_text(before)  # what was chosen before, under its own name
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-of", "activations")
    expect(tab.locator(".stat").first).to_contain_text(re.compile("^RMS"))
    held.pass_on()
    expect(told).to_have_text(re.compile(r"^gradient RMS of 0 at step 3: A \d"))
    assert number(told.inner_text().rpartition("A ")[2]) == pytest.approx(rms(logs[1][3]), rel=5e-3)
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-of", "gradients")
    expect(tab.get_by_test_id("values")).to_contain_text("Gradients of 0 over steps")
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-csv", "statistics.csv?run=with&of=gradients")
    expect(tab.locator(".stat").first).to_contain_text("gradient RMS")
    page.wait_for_url("**of=gradients**")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.frame_locator("iframe").get_by_test_id("selected-values")).to_contain_text("gradient RMS of 0 at step 3: A ")


def test_the_layers_plots_are_of_its_gradient_and_its_maps_stay(page: Page, board: TensorBoard, logs: tuple[Path, Truth]) -> None:
    tab = layer_view(page, board, "with", "0", step=2, statScale="linear")
    maps, pixels = tab.get_by_test_id("map-large"), "canvas => canvas.toDataURL()"
    before = maps.evaluate(pixels)
    tab.get_by_test_id("choose-gradient").first.click()
    for title in ("Gradient values", "Gradient channel means", "Gradient statistics"):
        expect(tab.get_by_role("heading", name=title, exact=True)).to_be_visible()
    truth = logs[1][2]
    numbers = dict(each.rsplit(" ", 1) for each in str(tab.get_by_test_id("statistics").get_attribute("data-numbers")).split(", "))
    assert number(numbers["max"]) == pytest.approx(truth.max(), rel=0.05)
    assert number(numbers["mean"]) == pytest.approx(truth.mean(), rel=0.05)
    assert maps.evaluate(pixels) == before
    page.keyboard.press("ArrowRight")
    expect(tab.get_by_test_id("statistics")).not_to_have_attribute("data-numbers", ", ".join(f"{k} {v}" for k, v in numbers.items()))
    tab.get_by_test_id("choose-layer").first.click()
    expect(tab.get_by_role("heading", name="Statistics", exact=True)).to_be_visible()


def test_propagation_gives_no_gradients_zeros_as_its_maps(page: Page, board: TensorBoard) -> None:
    for of in ("activations", "gradients"):
        tab = open_tab(page, board, run="with", view="propagation", layer="1", step=3, of=of)
        linear, relu = (tab.locator(f'[data-testid=score-row][data-layer="{name}"]') for name in "01")
        expect(relu).to_contain_text("max")
        expect(tab.locator(".stat").first).to_contain_text("gradient RMS" if of == "gradients" else "RMS")
        expect(relu.get_by_text(re.compile("zero$"))).to_have_count(1 if of == "activations" else 0)
        expect(linear.get_by_text(re.compile("zero$"))).to_have_count(0)  # half of its gradient is, behind the ReLU


def test_where_no_gradients_were_logged_there_is_no_choice_and_a_link_says_so(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="without", layer="0", step=3)
    expect(tab.get_by_test_id("selected-values")).to_contain_text("RMS of 0")
    expect(tab.get_by_test_id("quantity")).to_have_count(0)
    tab = layer_view(page, board, "without", "0", step=3, of="gradients")
    expect(tab.locator(".layer-words").last).to_contain_text("gradient")
    tab.get_by_test_id("choose-layer").first.click()
    expect(tab.get_by_role("heading", name="Statistics", exact=True)).to_be_visible()
