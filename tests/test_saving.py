"""Pictures, and plays as GIF, decoded by Pillow: pixels, frames and durations against what the page shows step by step."""

import base64
import io
import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FrameLocator, Page, Route, expect
from tensorboard_process import TensorBoard, eventually
from test_frame import AXIS_LEFT, AXIS_RIGHT, saved
from test_tab import current_step, expect_step, open_tab

pytestmark = pytest.mark.browser

STEPS = list(range(10, 45, 5))
SPEED = 20  # steps a second
LAST_MS = 500
MEAN_TOLERANCE, MOST_TOLERANCE = 1.0, 16  # of 255: a frame has 256 colours, chosen from 5 to 6 bits a channel
ACCENT = (0xE8, 0x64, 0x00)


def frames_of(gif: bytes) -> tuple[np.ndarray, list[int]]:
    """Return the frames of a GIF, [frames, height, width, 3], and their durations in ms."""
    image = Image.open(io.BytesIO(gif))
    assert image.format == "GIF"
    frames, durations = [], []
    for index in range(image.n_frames):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGB"), float))
        durations.append(int(image.info["duration"]))
    return np.stack(frames), durations


def save_gif(page: Page, tab: FrameLocator, panel: str) -> bytes:
    tab.get_by_test_id("save").click()
    name, gif = saved(page, lambda: tab.locator(f"[data-panel={panel}]").get_by_role("button", name="GIF").click())
    assert Path(name).suffix == ".gif"
    expect(tab.get_by_role("alert")).to_have_count(0)  # nothing was left out
    return gif


def pixels_of(tab: FrameLocator, testid: str) -> np.ndarray:
    """Return what a canvas shows on the white page, [height, width, 3]."""
    url = tab.get_by_test_id(testid).evaluate("canvas => canvas.toDataURL()")
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"), float)


def check_picture(png: bytes, shown: np.ndarray) -> np.ndarray:
    """Compare a saved picture with what a canvas shows, and return what stands below it."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), float)
    height, width = shown.shape[:2]
    times = round(1600 / width)
    assert picture.shape[1] >= width * times
    centre = times // 2
    enlarged = picture[: height * times, : width * times][centre::times, centre::times]
    same = np.abs(enlarged - shown).max(axis=2) <= 2
    assert same.mean() > 0.95  # but for the frames of marked pixels, whose lines are finer in the large picture
    return picture[height * times :]


def test_a_gif_has_a_frame_a_step_in_view_and_each_is_the_picture_of_its_step(page: Page, board: TensorBoard) -> None:
    state = {"run": "lr-0.05", "view": "layer", "layer": "conv1", "sample": 3, "channel": 5, "speed": SPEED}
    state["range"] = f"{STEPS[0]}..{STEPS[-1]}"
    tab = open_tab(page, board, step=30, **state)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", "30")
    frames, durations = frames_of(save_gif(page, tab, "map-large"))
    assert durations == [1000 // SPEED] * (len(STEPS) - 1) + [LAST_MS]
    shown = []
    for step in STEPS:
        if step == STEPS[0]:
            tab = open_tab(page, board, step=step, **state)
        else:
            page.keyboard.press("ArrowRight")
        expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", str(step))
        shown.append(pixels_of(tab, "map-large"))
    height, width = shown[0].shape[:2]
    assert frames.shape[1] > height, "the words stand below the picture"
    assert frames.shape[2] >= width
    difference = np.abs(frames[:, None, :height, :width] - np.stack(shown)[None])  # of each frame and each step
    own = difference[np.arange(len(STEPS)), np.arange(len(STEPS))]
    assert own.mean() <= MEAN_TOLERANCE
    assert own.max() <= MOST_TOLERANCE
    assert (difference.mean((2, 3, 4)).argmin(1) == np.arange(len(STEPS))).all(), "no frame is another step's"
    words = frames[:, height:]
    assert all((one != next_one).any() for one, next_one in itertools.pairwise(words)), "the words tell the step"


def test_in_a_gif_of_a_plot_over_steps_the_cursor_goes_through_them(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", layer="conv1", step=0, speed=SPEED)
    expect_step(tab, 0)
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-lanes", "6")
    expect(tab.get_by_test_id("values-a")).to_be_visible()
    frames, durations = frames_of(save_gif(page, tab, "values-a"))
    steps = np.arange(0, 75, 5)
    assert len(durations) == len(steps)
    left, right = AXIS_LEFT, frames.shape[2] - AXIS_RIGHT
    for frame, step in zip(frames, steps, strict=True):
        column = np.abs(frame - ACCENT).sum(2).mean(0).argmin()
        assert column == pytest.approx(left + step / steps[-1] * (right - left), abs=1)
    expect_step(tab, int(steps[-1]))


def test_what_a_gif_leaves_out_is_said(page: Page, board: TensorBoard) -> None:
    def let_through(route: Route) -> None:
        """The first step's maps; no others ever come."""
        if re.search(r"/maps\?.*step=0$", route.request.url):
            route.continue_()

    page.route(re.compile("plugin/actviz/maps"), let_through)
    tab = open_tab(page, board, run="lr-0.05", view="layer", layer="conv1", step=0)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", "0")
    tab.get_by_test_id("save").click()

    def save_and_stop() -> None:
        tab.locator("[data-panel=map-large]").get_by_role("button", name="GIF").click()
        eventually(lambda: current_step(tab) > int(str(tab.get_by_test_id("map-large").get_attribute("data-step"))))
        tab.get_by_role("button", name="Stop and save").click()

    _, durations = frames_of(saved(page, save_and_stop)[1])
    expect(tab.get_by_role("alert")).to_have_text(f"The GIF has {len(durations)} of the 15 steps in view.")
    assert len(durations) < 15


def test_a_picture_is_large_enough_for_print_and_has_its_scale(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", layer="conv1", sample=3, channel=5, step=30)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", "30")
    shown = pixels_of(tab, "map-large")
    tab.get_by_test_id("save").click()
    _, png = saved(page, lambda: tab.locator("[data-panel=map-large]").get_by_role("button", name="PNG").click())
    below = check_picture(png, shown).reshape(-1, 3)
    for end in ("5a3207", "0c2f66"):  # of the scale, which is symmetric about zero
        colour = [int(end[index : index + 2], 16) for index in (0, 2, 4)]
        assert np.any(np.abs(below - colour).max(axis=1) <= 1)


def test_a_drawing_has_its_lines_and_says_what_it_is_of(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", runB="lr-0.2", view="compare", layer="conv1", step=30)
    expect(tab.get_by_test_id("overlaid")).to_have_attribute("data-runs", "lr-0.05 lr-0.2")
    tab.get_by_test_id("save").click()
    _, svg = saved(page, lambda: tab.locator("[data-panel=overlaid]").get_by_role("button", name="SVG").click())
    drawing = ElementTree.fromstring(svg)
    paths = [path.get("d") or "" for path in drawing.iter("{http://www.w3.org/2000/svg}path")]
    assert len(paths) == 4, "an area and a line for each run"
    assert all(path.count("L") > 20 for path in paths)
    words = " ".join(text.text or "" for text in drawing.iter("{http://www.w3.org/2000/svg}text"))
    assert all(each in words for each in ("A lr-0.05", "B lr-0.2", "conv1", "step 30"))
