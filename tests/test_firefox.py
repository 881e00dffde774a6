"""What the tab promises, in Firefox: every view is drawn, picture and label go together, links open the same, saving saves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import firefox as stock
import numpy as np
import pytest
from conftest import watched_page
from playwright.sync_api import Browser, FrameLocator, Page, Playwright, expect
from tensorboard_process import TensorBoard, eventually
from test_saving import check_picture, frames_of, pixels_of
from test_tab import expect_step, open_tab

pytestmark = pytest.mark.browser

VIEWS = {
    "overview": {"quilt", "values-a", "values-b"},
    "layer": {"maps-grid", "map-large", "histogram", "film-strip", "values-strip", "channel-means", "statistics"},
    "propagation": {"score-maps"},
    "compare": {"compare-a", "compare-b", "compare-difference", "overlaid"},
    "similarity": {"scatter", "pca-frames", "dimensions-plot"},
}
COLOURS_OF_CANVASES = """body => [...body.querySelectorAll("canvas[data-testid]")].map(canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.dataset.testid, new Set(new Uint32Array(data.buffer)).size];
})"""


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def firefox(playwright: Playwright, downloads: Path) -> Iterator[Browser]:
    path = browser.firefox()
    if path is None:
        names = " or ".join(browser.FIREFOX_NAMES)
        pytest.skip(f"no Firefox: {browser.FIREFOX_VARIABLE} names none, and no {names} is on the PATH")
    opened = stock.launch(playwright, path, downloads)
    yield opened
    opened.close()


@pytest.fixture
def page(firefox: Browser) -> Iterator[Page]:
    with watched_page(firefox) as opened:
        yield opened


def saved(tab: FrameLocator, downloads: Path, panel: str, kind: str, ending: str) -> bytes:
    """Save a panel, and return the file. Playwright tells of no downloads in Firefox 153."""
    before = set(downloads.iterdir())
    tab.locator(f"[data-panel={panel}]").get_by_role("button", name=kind).click()

    def there() -> list[Path]:
        return [path for path in set(downloads.iterdir()) - before if path.suffix == ending and path.stat().st_size > 0]

    (path,) = eventually(there)
    return path.read_bytes()


def test_every_view_is_drawn(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", runB="lr-0.2", layer="conv1", step=35)
    for number, (view, names) in enumerate(VIEWS.items(), 1):
        page.keyboard.press(str(number))
        expect(tab.get_by_test_id(f"view-{view}")).to_have_attribute("aria-current", "page")

        def drawn(names: set[str] = names) -> bool:
            colours = dict(tab.locator("body").evaluate(COLOURS_OF_CANVASES))
            return names <= colours.keys() and min(colours.values()) > 1

        eventually(drawn)
        expect(tab.get_by_test_id("view-error")).to_have_count(0)


def test_keys_change_picture_and_label_together(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", layer="conv1", step=20, scale="map")
    large = tab.get_by_test_id("map-large")
    pictures: dict[int, np.ndarray] = {}
    for key, step in (("ArrowRight", 25), ("ArrowRight", 30), ("ArrowLeft", 25), ("Home", 0), ("End", 70)):
        page.keyboard.press(key)
        expect_step(tab, step)
        expect(large).to_have_attribute("data-step", str(step))
        shown = pixels_of(tab, "map-large")
        assert (pictures.setdefault(step, shown) == shown).all(), "the same step, the same picture"
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)
    page.keyboard.press("/")
    page.keyboard.type("fc*")
    expect(tab.get_by_test_id("layer-row")).to_have_count(2)
    expect(tab.get_by_test_id("search")).to_have_value("fc*")  # not Firefox's own search
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(tab.get_by_test_id("layer-row")).to_have_count(6)


def test_the_pointer_scrubs_and_zooms(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", layer="conv1", step=0)
    box = tab.get_by_test_id("timeline").bounding_box()
    assert box is not None
    left, right, y = box["x"] + 44, box["x"] + box["width"] - 82, box["y"] + 50
    page.mouse.move(left + 2, y)
    page.mouse.down()
    page.mouse.move((left + right) / 2, y, steps=4)
    expect_step(tab, 35)
    page.mouse.up()
    page.keyboard.down("Shift")
    page.mouse.move(left + 0.5 * (right - left), y)
    page.mouse.down()
    page.mouse.move(left + 0.9 * (right - left), y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(tab.get_by_test_id("zoom")).to_be_visible()
    page.wait_for_url(re.compile(r"range=35\.\.60"))


def test_a_link_opens_the_same_picture(page: Page, firefox: Browser, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", layer="conv1", step=20, channel=5)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-layer", "relu1")
    page.keyboard.press("]")
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-channel", "6")
    page.wait_for_url(re.compile("layer=relu1.*step=25.*channel=6"))
    with watched_page(firefox) as other:
        other.goto(page.url)
        copy = other.frame_locator("iframe")
        shown = tab.get_by_test_id("map-large")
        for attribute in ("data-layer", "data-step", "data-channel", "data-scale-high"):
            expect(copy.get_by_test_id("map-large")).to_have_attribute(attribute, attribute_of(shown, attribute), timeout=20_000)
        assert (pixels_of(copy, "map-large") == pixels_of(tab, "map-large")).all()


def attribute_of(locator: Any, name: str) -> str:
    return str(locator.get_attribute(name))


def test_picture_film_and_gif_are_saved(page: Page, board: TensorBoard, downloads: Path) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", layer="conv1", step=20, range="20..40", speed=20)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", "20", timeout=20_000)
    tab.get_by_test_id("save").click()
    shown = pixels_of(tab, "map-large")
    check_picture(saved(tab, downloads, "map-large", "PNG", ".png"), shown)
    film = saved(tab, downloads, "map-large", "film", ".webm")
    assert film[:4] == b"\x1a\x45\xdf\xa3"
    expect_step(tab, 40)
    frames, _ = frames_of(saved(tab, downloads, "map-large", "GIF", ".gif"))
    assert len(frames) == 5
    assert len({frame.tobytes() for frame in frames}) == 5
