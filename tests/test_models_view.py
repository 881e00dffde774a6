"""Two models of one run in the tab: what is shown beside a layer is of that layer's model."""

import re
from collections.abc import Iterator

import gan
import pytest
import torch
from playwright.sync_api import FrameLocator, Page, expect
from tensorboard_process import TensorBoard, tensorboard
from test_tab import expect_layer, open_tab

import actviz_tb

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    top = tmp_path_factory.mktemp("gan")
    gan.train(top / "log" / "gan", gan.NAMES)
    for name in (None, "net"):  # one model each
        model = gan.make("discriminator")
        with actviz_tb.watch(model, top / "log" / (name or "plain"), name=name, every=1, probe=gan.probe("discriminator")):
            for _ in range(3):
                model(torch.ones(8, 1, 8, 8))
    with tensorboard(top / "out", "--logdir", str(top / "log")) as running:
        yield running


def layers_of(model: str) -> list[str]:
    return [f"{model}.{index}" if model else str(index) for index in range(5)]


def expect_rows(tab: FrameLocator, model: str) -> None:
    rows = tab.locator("[data-testid=score-row]")
    expect(rows).to_have_count(5)
    for index, layer in enumerate(layers_of(model)):
        expect(rows.nth(index)).to_have_attribute("data-layer", layer)


def expect_tiles(tab: FrameLocator, labels: list[str]) -> None:
    tiles = tab.get_by_test_id("sample-tile")
    expect(tiles).to_have_count(len(labels))
    for index, label in enumerate(labels):
        expect(tiles.nth(index)).to_have_attribute("aria-label", f"Sample {index}, label {label}")


def test_propagation_is_through_the_model_of_the_chosen_layer(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="gan", view="propagation", layer="generator.2", step=4)
    expect_rows(tab, "generator")
    expect_tiles(tab, gan.LATENT)
    tab.get_by_test_id("model").select_option("discriminator")
    expect_layer(tab, "discriminator.0")
    expect_rows(tab, "discriminator")
    expect_tiles(tab, gan.PICTURES[:4])  # of which maps are kept
    page.wait_for_url("**layer=discriminator.0**")


def test_the_keys_go_on_from_the_last_layer_of_a_model_to_the_next_ones_first(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="gan", view="propagation", layer="generator.4", step=4)
    expect_rows(tab, "generator")
    tab.get_by_test_id("score").focus()
    page.keyboard.press("ArrowDown")
    expect_layer(tab, "discriminator.0")
    expect_rows(tab, "discriminator")
    expect(tab.get_by_test_id("model")).to_have_value("discriminator")
    page.keyboard.press("ArrowUp")
    expect_layer(tab, "generator.4")
    expect_rows(tab, "generator")


def test_layer_and_compare_name_the_samples_of_the_layers_model(page: Page, board: TensorBoard) -> None:
    for view in ("layer", "compare"):
        for model, labels in zip(gan.NAMES, (gan.LATENT, gan.PICTURES), strict=True):
            tab = open_tab(page, board, run="gan", view=view, layer=f"{model}.0", step=4)
            expect(tab.get_by_test_id("sample").locator("option").nth(1)).to_have_text(f"1: {labels[1]}")
            page.goto("about:blank")


def test_similarity_is_within_the_model_of_the_chosen_layer(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="gan", view="similarity", layer="generator.1", step=4)
    for model, labels in zip(gan.NAMES, (gan.LATENT, gan.PICTURES), strict=True):
        tab.get_by_test_id("model").select_option(model)
        matrix = tab.get_by_test_id("matrix-within").locator("canvas")
        expect(matrix).to_have_attribute("data-rows", "\n".join(layers_of(model)))
        expect(matrix).to_have_attribute("aria-label", re.compile(f" {len(labels)} samples"))
        expect(tab.get_by_test_id("sample").locator("option").first).to_have_text(f"0: {labels[0]}")


def test_runs_whose_only_models_have_other_names_are_shown_and_compared(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="plain", runB="net", view="propagation", layer="1", step=2)
    expect_rows(tab, "")
    expect(tab.get_by_test_id("model")).to_have_count(0)
    tab = open_tab(page, board, run="plain", runB="net", focus="B", view="propagation", layer="1", step=2)
    expect_rows(tab, "net")
    expect(tab.get_by_test_id("sample-tile")).to_have_count(4)
    tab = open_tab(page, board, run="plain", runB="net", view="similarity", layer="1", step=2)
    matrix = tab.get_by_test_id("matrix-between").locator("canvas")
    expect(matrix).to_have_attribute("data-rows", "\n".join(layers_of("")))
    expect(matrix).to_have_attribute("data-columns", "\n".join(layers_of("net")))
