"""Each view on each kind of network, from real trainings with a planted fault: by keyboard alone, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import real_runs
from playwright.sync_api import Locator, Page, expect
from tensorboard_process import TensorBoard, eventually, tensorboard
from test_tab import current_step, expect_layer, expect_step, open_tab

pytestmark = pytest.mark.browser

LAST = 160
FIRST_BAD = {"digits": ("block2.conv", 120), "resnet": ("block2.bn1", 120), "text": ("block1.down", 130)}
PICTURES = {
    "overview": ("quilt", "values"),
    "layer": ("maps-grid", "map-large", "histogram", "film-strip"),
    "propagation": ("score-maps",),
    "compare": ("compare-a", "compare-b", "overlaid"),
    "similarity": ("scatter", "pca-frames", "dimensions-plot"),
}
COLOURS = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""
NAMES_OF_ROWS = "body => [...body.querySelectorAll('[data-testid=layer-row]')].map(row => row.dataset.layer)"
IS_LEVEL = """body => {
  const [row, frame] = ["[data-testid=layer-row][aria-selected=true]", ".quilt-selection"].map(each => body.querySelector(each));
  return Math.abs(row.getBoundingClientRect().top - frame.getBoundingClientRect().top) <= 1;
}"""


@pytest.fixture(scope="module", params=real_runs.FAULTS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, TensorBoard]]:
    logdir = tmp_path_factory.mktemp(request.param)
    real_runs.log(logdir, request.param, LAST)
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(logdir)) as running:
        yield request.param, running


def test_by_keyboard_every_view_goes_to_the_fault_and_shows_it(page: Page, runs: tuple[str, TensorBoard]) -> None:
    kind, board = runs
    layer, step = FIRST_BAD[kind]
    tab = open_tab(page, board, run="healthy", runB="faulty", step=0)
    expect(tab.get_by_test_id("findings-b")).to_be_visible()
    expect(tab.get_by_text("Between the runs")).to_be_visible()  # the last in the list, whenever it comes
    for number, (view, pictures) in enumerate(PICTURES.items(), 1):
        for key in ("n",) if number == 1 else ("N", "n"):  # there, or away to the last finding and there again
            page.keyboard.press(key)
        expect_layer(tab, layer)
        expect_step(tab, step)
        page.keyboard.press(str(number))
        expect(tab.get_by_test_id(f"view-{view}")).to_have_attribute("aria-current", "page")
        for picture in pictures:
            expect_drawn(tab.get_by_test_id(picture).first, 1)  # a fault may leave one colour
        page.keyboard.press("ArrowLeft")
        expect_step(tab, step - 10)
        page.keyboard.press("ArrowUp")
        expect(tab.get_by_test_id("layer-title")).not_to_have_attribute("title", layer)
        for picture in pictures:
            expect_drawn(tab.get_by_test_id(picture).first, 5)
        assert current_step(tab) == step - 10
        expect(tab.get_by_role("alert")).to_have_count(0)


def test_the_frame_round_the_selected_row_is_level_with_it_however_far_down(page: Page, runs: tuple[str, TensorBoard]) -> None:
    page.set_viewport_size({"width": 1200, "height": 560})
    tab = open_tab(page, runs[1], run="healthy", runB="faulty", step=0)
    names = tab.locator("body").evaluate(NAMES_OF_ROWS)
    expect_layer(tab, names[0])
    here = 0
    for key, by in [("ArrowDown", 1)] * 12 + [("ArrowUp", -1)] * 9:
        page.keyboard.press(key)
        here = min(here + by, len(names) - 1)
        expect_layer(tab, names[here])
        eventually(lambda: tab.locator("body").evaluate(IS_LEVEL))


def expect_drawn(picture: Locator, colours: int) -> None:
    expect(picture).to_be_visible()
    canvas = picture if picture.evaluate("element => element.tagName") == "CANVAS" else picture.locator("canvas").first
    eventually(lambda: canvas.evaluate(COLOURS) >= colours)
