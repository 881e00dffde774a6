"""The frame of the tab and its Overview in a real browser: step axis, quilt, many runs, layer tree, saving, states."""

import itertools
import json
import re
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_log
from playwright.sync_api import Download, FrameLocator, Page, expect
from tensorboard_process import TensorBoard, eventually, tensorboard
from test_tab import current_step, expect_layer, expect_step, open_tab

from tensorboard_plugin.actviz import wire

pytestmark = pytest.mark.browser

AXIS_LEFT, AXIS_RIGHT = 44, 82
STEPS = 6000  # more than the page asks for one by one, and than there are pixels
EPOCHS = {0: 0, 1000: 1, 5000: 2}  # first step -> epoch; of unequal lengths
SPIKE_STEP, SPIKE, NAN_STEP = 4321, 80.0, 2345
LAYERS = [
    "stem.conv",
    "stem.relu",
    *(f"body.{block}.{part}" for block in (0, 1) for part in ("conv", "relu")),
    "head.fully_connected_output_projection",
]
SPIKE_LAYER, NAN_LAYER = LAYERS[2], LAYERS[3]
EXTRA_RUNS = [f"sweep/seed-{seed}" for seed in range(6)]


def rms_of(run: int, step: int) -> np.ndarray:
    """The RMS of all layers, all positive; the layer with the spike has one in run 0."""
    rms = 1 + 0.1 * np.arange(len(LAYERS)) + 0.05 * np.sin(step / 40) + 0.5 * run
    if run == 0 and step == SPIKE_STEP:
        rms[LAYERS.index(SPIKE_LAYER)] = SPIKE
    return rms


def write_run(directory: Path, run: int, steps: range, restart: int | None = None) -> None:
    """Write statistics without maps."""
    writer = synthetic_log.RunWriter(directory)
    writer.run_record("session", 0, {"source": "train"})
    layers = [{"name": name, "path": name, "type": "Module", "call": 0, "shape": [8, 4], "layout": "vector"} for name in LAYERS]
    writer.run_record("model", 0, {"model": "Net", "layers": layers, "modules": []})
    for step in steps:
        writer.wall_time_s = synthetic_log.START_S + step
        if step in EPOCHS:
            writer.run_record("mark", step, {"text": f"epoch {EPOCHS[step]}"})
        if step == restart:
            writer.run_record("session", step, {"source": "train"})
        counts = np.zeros((len(LAYERS), len(wire.COUNTS)), np.int64)
        counts[:, wire.COUNTS.index("count")] = 100
        if run == 0 and step == NAN_STEP:
            counts[LAYERS.index(NAN_LAYER), wire.COUNTS.index("nan")] = 1
        moments = np.ones((len(LAYERS), len(wire.MOMENTS)), np.float32)
        moments[:, wire.MOMENTS.index("rms")] = rms_of(run, step)
        moments[:, wire.MOMENTS.index("mean")] = (-1) ** np.arange(len(LAYERS))
        writer.run_record("step", step, {"layers": LAYERS}, {"counts": counts, "moments": moments})
    writer.close()


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    """Two long runs, some short ones, and one with maps."""
    logdir = tmp_path_factory.mktemp("log")
    write_run(logdir / "a-long", 0, range(STEPS), restart=3000)
    write_run(logdir / "b-long", 1, range(STEPS))
    for number, name in enumerate(EXTRA_RUNS):
        write_run(logdir / name, number + 2, range(0, STEPS, 500))
    writer = synthetic_log.RunWriter(logdir / "with-maps")
    synthetic_log.write_start(writer)
    for step in range(0, 40, 5):
        synthetic_log.write_step(writer, step, synthetic_log.values_at(0, step / 40, synthetic_log.digits()))
    writer.close()
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(logdir)) as running:
        yield running


def open_long(page: Page, board: TensorBoard, **state: Any) -> FrameLocator:
    """Open the Overview of the long run, and wait until its quilt is there."""
    tab = open_tab(page, board, **{"run": "a-long", "layer": SPIKE_LAYER, "step": SPIKE_STEP} | state)
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-cells", re.compile(r"^\d\d"), timeout=20_000)
    return tab


def drag(page: Page, tab: FrameLocator, testid: str, first: float, last: float, width: tuple[int, int] = (AXIS_LEFT, AXIS_RIGHT)) -> None:
    """Shift-drag between two shares of the step axis."""
    box = tab.get_by_test_id(testid).bounding_box()
    assert box is not None
    left, right = box["x"] + width[0], box["x"] + box["width"] - width[1]
    y = box["y"] + min(50, box["height"] / 2)
    page.keyboard.down("Shift")
    page.mouse.move(left + first * (right - left), y)
    page.mouse.down()
    page.mouse.move(left + last * (right - left), y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")


def range_of(tab: FrameLocator) -> tuple[int, int]:
    first, _, last = str(tab.get_by_test_id("quilt").get_attribute("data-range")).partition("..")
    return int(float(first)), int(float(last))


@pytest.mark.parametrize("testid", ["timeline", "quilt"])
def test_shift_drag_zooms_every_plot_to_all_steps_of_a_range_and_escape_returns(page: Page, board: TensorBoard, testid: str) -> None:
    tab = open_long(page, board)
    assert range_of(tab) == (0, STEPS - 1)
    columns = int(str(tab.get_by_test_id("quilt").get_attribute("data-cells")))
    assert columns < STEPS, "so many steps come in columns"
    drag(page, tab, testid, 0.5, 0.6)
    expect(tab.get_by_test_id("zoom")).to_be_visible()
    first, last = range_of(tab)
    assert first == pytest.approx(0.5 * STEPS, abs=10)
    assert last == pytest.approx(0.6 * STEPS, abs=10)
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-cells", str(last - first + 1), timeout=20_000)
    assert first <= current_step(tab) <= last
    page.wait_for_url(re.compile(f"range={first}\\.\\.{last}"))
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.frame_locator("iframe").get_by_test_id("quilt")).to_have_attribute("data-range", f"{first}..{last}", timeout=20_000)
    page.bring_to_front()
    page.keyboard.press("Escape")
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-range", f"0..{STEPS - 1}")


def test_by_keyboard_the_axis_is_zoomed_and_a_range_is_played_again_and_again(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board, step=3000)
    for _ in range(9):
        page.keyboard.press("z")
    first, last = range_of(tab)
    assert first <= 3000 <= last
    assert last - first < 40
    page.keyboard.press("Z")
    wider_first, wider_last = range_of(tab)
    assert wider_last - wider_first > last - first
    page.keyboard.press("z")
    first, last = range_of(tab)
    tab.get_by_test_id("speed").select_option("60")
    page.keyboard.press("Escape")  # leaves the zoom, not the choice of speed
    expect(tab.get_by_test_id("zoom")).to_have_count(0)
    tab = open_long(page, board, step=first, range=f"{first}..{last}", loop=1, speed=60)
    seen = [current_step(tab)]
    page.keyboard.press(" ")

    def wrapped() -> bool:
        seen.append(current_step(tab))
        return any(later < earlier for earlier, later in itertools.pairwise(seen))

    eventually(wrapped)
    assert all(first <= step <= last for step in seen)
    expect(tab.get_by_test_id("play")).to_have_attribute("aria-label", "Pause")


def test_the_axis_goes_by_step_time_or_epoch_in_every_plot(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board)
    last_epoch = 2 + (STEPS - 1 - 5000) / 2500  # as fast as over all the marks
    for testid in ("timeline", "quilt"):
        box = tab.get_by_test_id(testid).bounding_box()
        assert box is not None
        width = box["width"] - AXIS_LEFT - AXIS_RIGHT
        for mode, place, step in (
            ("epoch", 1 / last_epoch, 1000),
            ("epoch", 1.5 / last_epoch, 3000),
            ("step", 0.25, 1500),
            ("time", 0.5, 3000),
        ):
            tab.get_by_test_id("axis-mode").select_option(mode)
            tab.get_by_test_id(testid).click(position={"x": AXIS_LEFT + place * width, "y": box["height"] / 2})
            there = pytest.approx(step, abs=3 * STEPS / width)
            eventually(lambda there=there: current_step(tab) == there)
    page.wait_for_url(re.compile("axis=time"))
    timeline = tab.get_by_test_id("timeline")
    timeline.hover(position={"x": AXIS_LEFT + 0.5 * width, "y": 40})
    expect(timeline).to_have_attribute("title", re.compile("a-long was restarted at step 3\u2009000"))


READ_LANE = """(canvas, [top, height]) => {
  const { data, width } = canvas.getContext("2d").getImageData(44, top, canvas.width - 44 - 82, height);
  const columns = [];
  for (let x = 0; x < width; x++) {
    const pixels = [];
    for (let y = 0; y < height; y++) pixels.push([...data.subarray((y * width + x) * 4, (y * width + x) * 4 + 3)]);
    columns.push(pixels);
  }
  return columns;
}"""


def lane_pixels(tab: FrameLocator, layer: str) -> np.ndarray:
    """Return what the quilt shows of a layer's only lane: [columns, rows, RGB]."""
    row = tab.locator(f"[data-testid=layer-row][data-layer='{layer}']").bounding_box()
    quilt = tab.get_by_test_id("quilt").bounding_box()
    assert row is not None
    assert quilt is not None
    return np.array(tab.get_by_test_id("quilt").evaluate(READ_LANE, [round(row["y"] - quilt["y"]) + 2, 16]))


def test_where_steps_outnumber_pixels_no_extreme_and_no_nan_vanishes(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board, step=0, thresholds="jump:1000000")  # else the sign of a jump stands there
    for zoom in (None, (0.3, 0.9)):
        if zoom:
            drag(page, tab, "timeline", *zoom)
            expect(tab.get_by_test_id("zoom")).to_be_visible()
            first, last = range_of(tab)
            expect(tab.get_by_test_id("quilt")).to_have_attribute("data-cells", str(last - first + 1))
        first, last = range_of(tab)
        pixels = lane_pixels(tab, SPIKE_LAYER)
        place = (SPIKE_STEP - first) / (last - first) * len(pixels)
        darkest = int(pixels.sum(axis=(1, 2)).argmin())
        assert darkest == pytest.approx(place, abs=3)
        assert pixels[darkest, 7].tolist() == [11, 31, 92], "the scale's last colour"
        red = (lane_pixels(tab, NAN_LAYER) == [194, 32, 28]).all(axis=2).any(axis=1)  # the colour of what is bad
        assert red.any()
        assert np.flatnonzero(red).mean() == pytest.approx((NAN_STEP - first) / (last - first) * len(red), abs=3)


def told_values(tab: FrameLocator) -> str:
    return tab.get_by_test_id("selected-values").inner_text().replace("\u2212", "-")


def test_the_value_at_the_cursor_is_the_steps_own_although_the_quilt_shows_extremes(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board)
    eventually(lambda: told_values(tab).endswith(f"at step {SPIKE_STEP}: A 80.0"))
    page.keyboard.press("ArrowLeft")
    truth = rms_of(0, SPIKE_STEP - 1)[LAYERS.index(SPIKE_LAYER)]
    eventually(lambda: told_values(tab).endswith(f"at step {SPIKE_STEP - 1}: A {truth:.2f}"))


def test_the_difference_to_a_is_that_of_the_values(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board, runB="b-long", step=SPIKE_STEP - 1, lanes="difference")
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-show", "difference")
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-cells", str(STEPS), timeout=30_000)
    eventually(lambda: told_values(tab).endswith("B +0.500"))
    page.keyboard.press("ArrowRight")
    truth = rms_of(1, SPIKE_STEP) - rms_of(0, SPIKE_STEP)
    eventually(lambda: told_values(tab).endswith(f"B {truth[LAYERS.index(SPIKE_LAYER)]:.1f}"))
    expect(tab.get_by_test_id("legend")).to_have_text(re.compile("^\u2212.*\\+"))
    tab.get_by_test_id("lanes").select_option("runs")
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-lanes", str(2 * len(LAYERS)))


def expect_level(tab: FrameLocator) -> None:
    """Tree and quilt begin at the same height, once the page has laid them out."""

    def top(selector: str) -> float:
        box = tab.locator(selector).bounding_box()
        return float("nan") if box is None else box["y"]

    eventually(lambda: abs(top(".tree") - top(".quilt-scroll")) <= 1)


def test_any_run_is_found_and_up_to_six_have_lanes_level_with_the_tree(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board, runB="b-long")
    expect_level(tab)
    tab.get_by_test_id("more-runs").click()
    chooser = tab.get_by_test_id("chooser")
    expect(chooser.get_by_role("textbox")).to_be_focused()
    page.keyboard.type("seed-*")
    expect(chooser.get_by_role("listitem")).to_have_count(0)
    page.keyboard.press("Control+a")
    page.keyboard.type("*seed-*")
    expect(chooser.get_by_role("listitem")).to_have_count(len(EXTRA_RUNS))
    for run in EXTRA_RUNS[:4]:
        chooser.get_by_label(f"show {run} too").click()
    expect(chooser.get_by_label(f"show {EXTRA_RUNS[4]} too")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(chooser).to_have_count(0)
    expect(tab.get_by_test_id("pinned-run")).to_have_count(4)
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-lanes", str(6 * len(LAYERS)), timeout=20_000)
    expect_level(tab)
    page.wait_for_url(re.compile("pinned="))
    tab.get_by_label(f"Show run {EXTRA_RUNS[0]} no longer").click()
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-lanes", str(5 * len(LAYERS)))
    page.wait_for_url(re.compile("pinned=sweep%2Fseed-1"))
    page.reload()
    expect(page.frame_locator("iframe").get_by_test_id("pinned-run")).to_have_count(3, timeout=20_000)


def test_blocks_nest_and_fold_by_pointer_and_by_key_and_the_arrows_go_through_what_is_shown(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board, layer="body.0.conv")
    groups = tab.get_by_test_id("group-row")
    assert [group.get_attribute("data-group") for group in groups.all()] == ["stem", "body", "body.0", "body.1", "head"]
    assert [group.get_attribute("aria-level") for group in groups.all()] == ["1", "1", "2", "2", "1"]
    tab.locator("[data-testid=group-row][data-group='body.1']").click()
    expect(tab.get_by_test_id("layer-row")).to_have_count(len(LAYERS) - 2)
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-lanes", str(len(LAYERS) - 1))  # the folded block has a lane
    page.keyboard.press("-")
    expect(tab.locator("[data-testid=group-row][data-group='body.0']")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("-")
    expect(tab.locator("[data-testid=group-row][data-group='body']")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowDown")
    expect_layer(tab, LAYERS[-1])
    page.keyboard.press("ArrowUp")
    expect_layer(tab, "stem.relu")
    page.wait_for_url(re.compile("folded="))
    name = tab.locator(f"[data-testid=layer-row][data-layer='{LAYERS[-1]}'] .name").inner_text()
    assert re.fullmatch("fully.*\u2026.*tion", name), "cut in the middle"


def test_the_values_of_a_layer_are_drawn_in_its_row_when_asked_for(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="with-maps", layer="conv1", step=20)
    row = tab.locator("[data-testid=layer-row][data-layer=relu1]")
    before = row.bounding_box()
    page.keyboard.press("v")
    strip = tab.get_by_test_id("layer-strip")
    expect(strip).to_have_attribute("data-layer", "conv1")
    after = row.bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] > before["y"] + 40
    inked = "canvas => new Set(canvas.getContext('2d').getImageData(44, 0, canvas.width - 126, canvas.height).data).size > 20"
    eventually(lambda: strip.evaluate(inked))
    page.wait_for_url(re.compile("strips=conv1"))
    page.keyboard.press("v")
    expect(strip).to_have_count(0)


def test_panels_are_resized_by_keyboard_and_by_pointer_and_stay_so(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board)
    for testid, key, panel, side in (
        ("left-splitter", "ArrowRight", ".left", "width"),
        ("quilt-splitter", "ArrowUp", ".quilt-scroll", "height"),
    ):
        splitter = tab.get_by_test_id(testid)
        size = lambda panel=panel, side=side: tab.locator(panel).bounding_box()[side]  # type: ignore[index,misc]  # noqa: E731
        before, step, layer = size(), current_step(tab), tab.get_by_test_id("layer-title").get_attribute("title")
        splitter.focus()
        page.keyboard.press(key)
        by = 16 if key == "ArrowRight" else -16
        eventually(lambda size=size, before=before, by=by: abs(size() - before - by) <= 2)
        assert (current_step(tab), tab.get_by_test_id("layer-title").get_attribute("title")) == (step, layer), "the arrows did nothing else"
    box = tab.get_by_test_id("left-splitter").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] - 117, box["y"] + 200, steps=3)
    page.mouse.up()
    eventually(lambda: tab.locator(".left").bounding_box()["width"] == pytest.approx(160, abs=3))  # type: ignore[index]
    expect(tab.locator(".layer-row canvas")).to_have_count(0)  # mark and name only
    page.reload()
    tab = page.frame_locator("iframe")
    eventually(lambda: tab.locator(".left").bounding_box()["width"] == pytest.approx(160, abs=3))  # type: ignore[index]
    tab.get_by_test_id("left-splitter").dblclick()
    eventually(lambda: tab.locator(".left").bounding_box()["width"] == 264)  # type: ignore[index]


def test_a_copied_link_opens_the_same_picture(page: Page, board: TensorBoard) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = open_long(page, board, range="4000..4500", stat="mean", axis="epoch")
    tab.get_by_test_id("copy-link").click()
    link = eventually(lambda: page.evaluate("navigator.clipboard.readText()"))
    other = page.context.new_page()
    other.goto(link)
    copy = other.frame_locator("iframe")
    expect(copy.get_by_test_id("quilt")).to_have_attribute("data-range", "4000..4500", timeout=20_000)
    expect(copy.get_by_test_id("stat")).to_have_value("mean")
    expect(copy.get_by_test_id("axis-mode")).to_have_value("epoch")
    expect_step(copy, SPIKE_STEP)


def saved(page: Page, act: Callable[[], None]) -> tuple[str, bytes]:
    with page.expect_download(timeout=60_000) as information:
        act()
    download: Download = information.value
    return download.suggested_filename, Path(download.path()).read_bytes()


def test_what_is_drawn_can_be_saved_as_picture_drawing_data_and_film(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="with-maps", layer="conv1", step=20, speed=60)
    expect(tab.get_by_test_id("values-a")).to_be_visible(timeout=20_000)
    tab.get_by_test_id("save").click()
    quilt = tab.locator("[data-panel=quilt]")
    name, png = saved(page, lambda: quilt.get_by_role("button", name="PNG").click())
    assert name == "actviz_overview_quilt_conv1_step-20.png"
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    names = tab.get_by_test_id("quilt").evaluate("canvas => JSON.parse(canvas.dataset.rowNames).map((row) => row.label)")
    assert set(names) == {row.get_attribute("data-layer") for row in tab.get_by_test_id("layer-row").all()}
    width = 2 * tab.get_by_test_id("quilt").evaluate("canvas => canvas.width")
    assert int.from_bytes(png[16:20], "big") > width, "the names of the layers stand beside the quilt"
    _, svg = saved(page, lambda: quilt.get_by_role("button", name="SVG").click())
    shapes = ElementTree.fromstring(svg).findall("{http://www.w3.org/2000/svg}rect")
    assert len(shapes) > 6 * 8, "a rectangle a layer and step, at least"
    _, csv = saved(page, lambda: quilt.get_by_role("button", name="CSV").click())
    assert csv == board.get("data/plugin/actviz/statistics.csv", run="with-maps")[1]
    name, film = saved(page, lambda: tab.locator("[data-panel=values-a]").get_by_role("button", name="film").click())
    assert name.endswith((".webm", ".mp4"))
    assert film[:4] == b"\x1a\x45\xdf\xa3" or film[4:8] == b"ftyp"
    expect_step(tab, 35)  # the last
    page.keyboard.press("Escape")
    expect(tab.get_by_test_id("save-sheet")).to_have_count(0)


def test_a_panel_of_pixels_says_that_it_is_no_drawing(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="with-maps", layer="conv1", step=20, view="layer")
    expect(tab.get_by_test_id("map-large")).to_be_visible(timeout=20_000)
    tab.get_by_test_id("save").click()
    drawing = tab.locator("[data-panel=map-large]").get_by_role("button", name="SVG")
    expect(drawing).to_be_disabled()
    assert "pixels" in str(drawing.get_attribute("title"))
    expect(tab.locator("[data-panel=histogram]").get_by_role("button", name="SVG")).to_be_enabled()


def test_what_is_wrong_with_one_run_is_told_and_keeps_no_other_from_being_shown(chromium: Any, board: TensorBoard) -> None:
    page = chromium.new_page()  # not the fixture's: the error answer is an error on the console
    answer = {"code": "damaged", "message": "the statistics of this run cannot be read"}
    page.route(
        re.compile(r"/stats\?run=b-long"),
        lambda route: route.fulfill(status=422, content_type="application/json", body=json.dumps(answer)),
    )
    tab = open_long(page, board, runB="b-long")
    expect(tab.get_by_test_id("notices")).to_contain_text("Run b-long: the statistics of this run cannot be read")
    expect(tab.get_by_test_id("layer-row")).to_have_count(len(LAYERS))
    expect_level(tab)
    page.unroute_all()
    expect(tab.get_by_test_id("notices")).to_have_count(0, timeout=20_000)
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-cells", re.compile(r"\d+,\d\d+"))
    page.close()


def test_the_narrow_page_has_all_within_reach(page: Page, board: TensorBoard) -> None:
    page.set_viewport_size({"width": 900, "height": 700})
    tab = open_long(page, board, runB="b-long", pinned="\n".join(EXTRA_RUNS[:4]))
    eventually(lambda: tab.locator(".left").bounding_box()["width"] < 200)  # type: ignore[index]
    for element in ("body", ".view", ".title-line", ".view-row", ".transport", ".left"):
        eventually(lambda element=element: tab.locator(element).evaluate("each => each.scrollWidth <= each.clientWidth + 1"))
    eventually(lambda: tab.locator(".transport").evaluate("each => each.scrollHeight <= each.clientHeight + 1"))
    for testid in ("save", "copy-link", "play", "follow", "axis-mode", "search"):
        expect(tab.get_by_test_id(testid)).to_be_in_viewport()


@contextmanager
def notebook(html: str) -> Iterator[str]:
    """Serve a page on another origin than TensorBoard's, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode() if self.path == "/" else b"")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_it_works_in_a_frame_of_another_origin_as_in_notebooks_and_editors(page: Page, board: TensorBoard) -> None:
    frame = f'<iframe width=1300 height=850 src="{board.url}#actviz&run=a-long&step=4000&range=3990..4010"></iframe>'
    with notebook(frame) as address:
        page.goto(address)
        tab = page.frame_locator("iframe").frame_locator("iframe")
        expect(tab.get_by_test_id("quilt")).to_have_attribute("data-range", "3990..4010", timeout=30_000)
        expect_step(tab, 4000)
        tab.get_by_test_id("timeline").press("ArrowRight")
        expect_step(tab, 4001)


def test_with_no_page_around_it_the_state_stands_in_its_own_address(chromium: Any, board: TensorBoard) -> None:
    page = chromium.new_page()  # not the fixture's: TensorBoard has no icon for this page, which is an error on the console
    page.goto(f"{board.url}data/plugin_entry.html?name=actviz#actviz&run=a-long&step=4000")
    expect(page.get_by_test_id("layer-row").first).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("current-step")).to_have_attribute("data-step", "4000")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"data/plugin_entry\.html\?name=actviz#actviz.*step=4001"))
    page.close()


def test_the_key_sheet_names_every_key_of_the_frame(page: Page, board: TensorBoard) -> None:
    tab = open_long(page, board)
    page.keyboard.press("?")
    told = tab.get_by_test_id("help").inner_text()
    for key in ("← →", "Home End", "↑ ↓", "- +", "v", "[ ]", "space", "l", "f", "z Z", "1 … 5", "x", "/", "Esc", "?", "Shift-drag"):
        assert key in told.split("\n"), key
    page.keyboard.press("Escape")
    expect(tab.get_by_test_id("help")).to_have_count(0)
