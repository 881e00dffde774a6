"""The tab in a real browser, on logs of real training runs, in a real TensorBoard."""

import json
import math
import re
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import EPOCHS
from playwright.sync_api import FrameLocator, Page, Route, expect
from tensorboard_process import TensorBoard, eventually, tensorboard
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

ROOT = Path(__file__).parent.parent
STEPS_AN_EPOCH = 25
DEMO_LAYERS = ["conv1", "relu1", "pool1", "fc1", "relu2", "fc2"]

pytestmark = pytest.mark.browser


def link_to(board: TensorBoard, **state: Any) -> str:
    return board.url + "#actviz" + "".join(f"&{name}={urllib.parse.quote(str(value), safe='')}" for name, value in state.items())


def open_tab(page: Page, board: TensorBoard, **state: Any) -> FrameLocator:
    """Open the tab with a state in its URL, and wait until it shows something."""
    if page.url.startswith(board.url):
        page.goto("about:blank")  # where only the hash is another, what is seen next may still be of the former one
    page.goto(link_to(board, **state))
    tab = page.frame_locator("iframe")
    expect(tab.get_by_test_id("layer-row").first).to_be_visible(timeout=30_000)
    after_drawing(tab)
    return tab


def after_drawing(tab: FrameLocator) -> None:
    """Wait until what the page does behind the drawing of what is there now is done: it measures its width, and tells the keys what they
    go through."""
    tab.locator("body").evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def current_step(tab: FrameLocator) -> int:
    return int(str(tab.get_by_test_id("current-step").get_attribute("data-step")))


def selected_layer(tab: FrameLocator) -> str:
    return str(tab.locator("[data-testid=layer-row][aria-selected=true]").get_attribute("data-layer"))


def expect_step(tab: FrameLocator, step: int) -> None:
    expect(tab.get_by_test_id("current-step")).to_have_attribute("data-step", str(step))


def expect_layer(tab: FrameLocator, layer: str) -> None:
    expect(tab.get_by_test_id("layer-title")).to_have_attribute("title", layer)  # the text is shortened


def test_the_tab_shows_runs_layers_in_execution_order_and_every_logged_step(page: Page, board: TensorBoard) -> None:
    page.goto(board.url)
    page.get_by_role("tab", name="Activations").click()
    tab = page.frame_locator("iframe")
    expect(tab.get_by_test_id("layer-row")).to_have_count(6, timeout=30_000)
    names = [row.get_attribute("data-layer") for row in tab.get_by_test_id("layer-row").all()]
    assert names == DEMO_LAYERS
    expect(tab.get_by_test_id("run-a")).to_have_value("lr-0.05")
    expect(tab.get_by_test_id("run-b")).to_have_value("lr-0.2")
    expect(tab.get_by_test_id("step-count")).to_have_text(f"{EPOCHS * STEPS_AN_EPOCH // 5} logged")
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-lanes", "12")


def test_step_layer_channel_and_view_are_chosen_by_keyboard(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, step=20, layer="conv1", channel=15)
    for key, step in (("ArrowRight", 25), ("ArrowLeft", 20), ("Shift+ArrowRight", 70), ("Home", 0), ("ArrowLeft", 0), ("End", 70)):
        page.keyboard.press(key)
        expect_step(tab, step)
    for key, layer in (("ArrowDown", "relu1"), ("ArrowDown", "pool1"), ("ArrowUp", "relu1")):
        page.keyboard.press(key)
        expect_layer(tab, layer)
        expect(tab.locator("[data-testid=layer-row][aria-selected=true]")).to_have_attribute("data-layer", layer)
    page.keyboard.press("2")
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-layer", "relu1")
    for key, channel in (("]", 0), ("[", 15)):
        page.keyboard.press(key)
        expect(large).to_have_attribute("data-channel", str(channel))
    page.keyboard.press("x")
    expect(tab.get_by_test_id("run-a")).to_have_value("lr-0.2")
    page.keyboard.press("/")
    page.keyboard.type("fc*")
    expect(tab.get_by_test_id("layer-row")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(tab.get_by_test_id("layer-row")).to_have_count(6)
    page.keyboard.press("?")
    expect(tab.get_by_test_id("help")).to_be_visible()


NOTE_LABELS = """(button) => {
  button.dataset.labels = "";
  const note = () => { button.dataset.labels = `${button.dataset.labels} ${button.ariaLabel}`.trim(); };
  new MutationObserver(note).observe(button, { attributeFilter: ["aria-label"] });
}"""


def test_play_goes_through_the_steps_and_stops_at_the_last(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, step=50, layer="conv1", view="layer")
    expect(tab.get_by_test_id("map-large")).to_be_visible()
    play = tab.get_by_test_id("play")
    play.evaluate(NOTE_LABELS)
    page.keyboard.press(" ")
    expect_step(tab, 70)
    expect(play).to_have_attribute("data-labels", "Pause Play")


def test_the_time_line_and_the_quilt_are_scrubbed_with_the_pointer(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, step=0, layer="conv1")
    logged = EPOCHS * STEPS_AN_EPOCH // 5
    expect(tab.get_by_test_id("quilt")).to_have_attribute("data-cells", f"{logged},{logged}")
    for testid in ("timeline", "quilt"):
        plot = tab.get_by_test_id(testid)
        box = plot.bounding_box()
        assert box is not None
        left, right = 44, box["width"] - 82
        for share, step in ((0.5, 35), (1, 70), (0.02, 0)):
            plot.click(position={"x": left + share * (right - left), "y": box["height"] - 8})
            expect_step(tab, step)
    expect_layer(tab, "fc2")  # the quilt's last row


def independent_forward(checkpoint: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """The digits CNN in numpy, float64, from a saved checkpoint: one image [28, 28] through all its layers."""
    weights = {name: tensor.double().numpy() for name, tensor in torch.load(checkpoint, weights_only=True).items()}
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    conv1 = np.einsum("hwij,cij->chw", windows, weights["conv1.weight"][:, 0]) + weights["conv1.bias"][:, None, None]
    relu1 = np.maximum(conv1, 0)
    pool1 = relu1.reshape(16, 13, 2, 13, 2).max(axis=(2, 4))
    fc1 = weights["fc1.weight"] @ pool1.reshape(-1) + weights["fc1.bias"]
    relu2 = np.maximum(fc1, 0)
    return {
        "conv1": conv1,
        "relu1": relu1,
        "pool1": pool1,
        "fc1": fc1,
        "relu2": relu2,
        "fc2": weights["fc2.weight"] @ relu2 + weights["fc2.bias"],
    }


def probe_images() -> np.ndarray:
    """The probe of the example, [10, 28, 28]: the first of each digit among the 297 held out, enlarged."""
    sys.path.insert(0, str(ROOT / "examples"))
    import digits_cnn

    images, labels = digits_cnn.load_data()
    probe, _ = digits_cnn.probe_of_each_digit(images[:297], labels[:297])
    return np.asarray(probe[:, 0].double().numpy())


READ_PIXELS = """(canvas) => {
  const { cell, run, layer, step, sample, channel, scaleLow, scaleHigh, texture } = canvas.dataset;
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const red = (row, column) => data[(row * width + column) * 4];
  const [rows, columns] = [height / cell, width / cell];
  const values = [];
  let uniform = true;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const first = red(row * cell, column * cell);
      values.push(first);
      for (let y = 0; y < cell; y++) for (let x = 0; x < cell; x++) uniform &&= red(row * cell + y, column * cell + x) === first;
    }
  return { texture, run, layer, step: +step, sample: +sample, channel: +channel, low: +scaleLow, high: +scaleHigh, values, uniform };
}"""


def shown_values(tab: FrameLocator) -> tuple[dict[str, Any], np.ndarray, float]:
    """Read the enlarged map's pixels back: what it says that it shows, its values, and its quantisation step.

    With the grey scale from a map's own lowest to its highest value, code q of 0..254 has the grey round(255 q / 254): each its own.
    """
    shown = tab.get_by_test_id("map-large").evaluate(READ_PIXELS)
    grey = np.array(shown["values"], float)
    if shown["texture"] == "zero":
        return shown, np.zeros_like(grey), 0.0
    assert shown["uniform"], "each pixel of the map is one block of one colour"
    step = (shown["high"] - shown["low"]) / 254
    return shown, shown["low"] + np.rint(grey * 254 / 255) * step, step


@pytest.mark.parametrize("run", ["lr-0.05", "lr-0.2"])
def test_the_picture_of_a_run_layer_and_step_is_what_an_independent_forward_pass_gives(
    page: Page, board: TensorBoard, demo: Path, run: str
) -> None:
    images = probe_images()
    compared = 0
    for epoch in range(EPOCHS):
        tab = open_tab(page, board, run=run, view="layer", step=epoch * STEPS_AN_EPOCH, scale="map", colormap="grey", layer="conv1")
        large = tab.get_by_test_id("map-large")
        for layer in DEMO_LAYERS:
            expect(large).to_have_attribute("data-layer", layer, timeout=20_000)
            for sample in (0, 7):
                tab.get_by_test_id("sample").select_option(str(sample))
                expect(large).to_have_attribute("data-sample", str(sample))
                expected = independent_forward(demo / run / f"before-epoch-{epoch}.pt", images[sample])[layer]
                for _ in range(3 if expected.ndim == 3 else 1):
                    shown, values, step = shown_values(tab)
                    assert (shown["run"], shown["layer"], shown["step"], shown["sample"]) == (run, layer, epoch * STEPS_AN_EPOCH, sample)
                    truth = expected[shown["channel"]] if expected.ndim == 3 else expected
                    error = np.abs(values[: truth.size] - truth.reshape(-1))
                    assert error.max() <= step / 2 + 1e-4 * np.abs(truth).max(), (layer, sample, shown["channel"])
                    compared += int(truth.any())
                    page.keyboard.press("]")
            page.keyboard.press("ArrowDown")
    assert compared >= 30


def test_the_value_under_the_pointer_is_the_value(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", step=STEPS_AN_EPOCH, layer="conv1", sample=3, channel=5)
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-channel", "5")
    cell = int(str(large.get_attribute("data-cell")))
    large.hover(position={"x": cell * 10.5, "y": cell * 4.5})
    expect(tab.get_by_text("row 4 column 10")).to_be_visible()
    truth = independent_forward(demo / "lr-0.05" / "before-epoch-1.pt", probe_images()[3])["conv1"][5]
    text = tab.get_by_test_id("pixel-value").inner_text()
    assert float(text.replace("\u2212", "-")) == pytest.approx(truth[4, 10], abs=(truth.max() - truth.min()) / 254 / 2 * 1.01)


def test_scale_colours_and_sort_change_the_picture_and_a_locked_scale_stays_between_steps(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", step=0, layer="conv1")
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-step", "0")
    limits = (large.get_attribute("data-scale-low"), large.get_attribute("data-scale-high"))
    assert float(str(limits[0])) == -float(str(limits[1]))
    page.keyboard.press("End")
    expect(large).to_have_attribute("data-step", "70")
    assert (large.get_attribute("data-scale-low"), large.get_attribute("data-scale-high")) == limits
    tab.get_by_test_id("scale-mode").select_option("layer")
    expect(large).not_to_have_attribute("data-scale-high", str(limits[1]))
    tab.get_by_test_id("colormap").select_option("viridis")
    expect(large).to_have_attribute("data-colormap", "viridis")
    before = tab.get_by_test_id("maps-grid").screenshot()
    tab.get_by_test_id("sort").select_option("mean")
    eventually(lambda: tab.get_by_test_id("maps-grid").screenshot() != before)


def test_a_pasted_link_opens_the_same_picture(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.2", view="layer", step=30, layer="fc1", sample=4)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-sample", "4")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-layer", "relu2")
    page.wait_for_url(re.compile("layer=relu2.*step=35"))
    other = page.context.new_page()
    other.goto(page.url)
    large = other.frame_locator("iframe").get_by_test_id("map-large")
    for name, value in {"run": "lr-0.2", "layer": "relu2", "step": "35", "sample": "4"}.items():
        expect(large).to_have_attribute(f"data-{name}", value, timeout=20_000)


def test_scrubbing_never_shows_one_steps_picture_under_another_steps_label(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", step=0, layer="conv1")
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-step", "0")
    page.route("**/maps?*", lambda route: (page.wait_for_timeout(30), route.continue_()))
    for _ in range(12):
        page.keyboard.press("ArrowRight")
        label, picture = tab.locator(".large-panel").evaluate(
            "panel => [panel.querySelector('.hint').textContent, panel.querySelector('[data-testid=map-large]').dataset.step]"
        )
        assert label.endswith(f"step {picture}")
    expect(large).to_have_attribute("data-step", "60")
    page.unroute_all(behavior="wait")


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_a_log_of_a_thousand_logged_steps_shows_a_thousand_steps(page: Page, tmp_path: Path, load_fast: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with actviz_tb.watch(model, tmp_path / "log" / "long", every=1, stock_tabs=False):
        for _ in range(1000):
            model(torch.randn(8, 4))
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "log"), "--load_fast", load_fast) as board:
        tab = open_tab(page, board, view="layer", step=500)
        expect(tab.get_by_test_id("step-count")).to_have_text("1\u2009000 logged")
        for key, step in (("ArrowRight", 501), ("End", 999), ("ArrowLeft", 998), ("Home", 0)):
            page.keyboard.press(key)
            expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", str(step))


def test_a_new_step_appears_by_itself_and_follow_moves_to_it(page: Page, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    logger = actviz_tb.watch(model, tmp_path / "log" / "live", every=1)

    def train(steps: int) -> None:
        for _ in range(steps):
            model(torch.randn(8, 4))
        logger.flush()

    train(3)
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "log"), "--reload_interval", "0") as board:
        tab = open_tab(page, board)
        expect_step(tab, 2)
        train(1)
        expect(tab.get_by_test_id("step-count")).to_have_text("4 logged")
        expect_step(tab, 2)
        page.keyboard.press("f")
        expect_step(tab, 3)
        train(2)
        expect_step(tab, 5)
        page.keyboard.press("ArrowLeft")
        expect(tab.get_by_test_id("follow")).to_have_attribute("aria-checked", "false")
    logger.close()


def test_a_log_without_activations_says_how_to_add_them_and_fills_by_itself(page: Page, tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "log" / "plain")) as writer:
        writer.add_scalar("loss", 1.0, 0)
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "log")) as board:
        page.goto(board.url + "#actviz")
        tab = page.frame_locator("iframe")
        empty = tab.get_by_test_id("empty")
        expect(empty).to_contain_text("No activations in this log yet", timeout=30_000)
        expect(empty).to_contain_text('actviz_tb.watch(model, "runs/exp1")')
        expect(empty.get_by_role("row")).to_have_text(re.compile("plain.*1 event file.*scalars only"))
        model = nn.Linear(2, 2)
        with actviz_tb.watch(model, tmp_path / "log" / "run", every=1):
            model(torch.ones(1, 2))
        expect(tab.get_by_test_id("layer-row")).to_have_count(1)


HOSTILE = ["<script>alert(1)<_script>", "with spaces", "a/b", "x" * 300, "naïve ☃", "%2e%2e", "quote\"'&", "<img src=x onerror=alert(1)>"]


def test_any_layer_name_is_shown_as_text_and_breaks_nothing(page: Page, tmp_path: Path) -> None:
    model = nn.Sequential()
    for name in HOSTILE:
        model.add_module(name, nn.Linear(2, 2))
    with actviz_tb.watch(model, tmp_path / "log" / "<b>run", every=1):
        model(torch.ones(1, 2))
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "log")) as board:
        tab = open_tab(page, board, view="layer", layer=HOSTILE[0])
        for name in HOSTILE:
            expect_layer(tab, name)
            expect(tab.get_by_test_id("map-large")).to_have_attribute("data-layer", name)
            page.keyboard.press("ArrowDown")
        assert [row.get_attribute("data-layer") for row in tab.get_by_test_id("layer-row").all()] == HOSTILE
        for row in tab.get_by_test_id("layer-row").all():
            box = row.bounding_box()
            assert box is not None
            assert box["width"] <= 264
        assert page.locator("iframe").content_frame.locator("body").evaluate("body => body.scrollWidth <= body.clientWidth")
    assert not dialogs


@pytest.mark.parametrize("view", ["overview", "layer"])
def test_dark_mode_follows_tensorboards(page: Page, board: TensorBoard, view: str) -> None:
    tab = open_tab(page, board, view=view, layer="relu1")
    body = tab.locator("body")
    expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    page.evaluate("document.body.classList.add('dark-mode')")
    expect(body).to_have_css("background-color", "rgb(31, 33, 36)")


@pytest.mark.parametrize("view", ["overview", "layer"])
@pytest.mark.parametrize("width", [900, 1440, 2560])
def test_the_layout_holds_from_narrow_to_wide(page: Page, board: TensorBoard, view: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    tab = open_tab(page, board, view=view, layer="fc1")
    expect(tab.get_by_test_id("quilt" if view == "overview" else "map-large")).to_be_visible()
    eventually(lambda: tab.locator(".view").evaluate("view => view.scrollWidth <= view.clientWidth"))
    for testid in ("timeline", "current-step", "layer-title"):
        expect(tab.get_by_test_id(testid)).to_be_in_viewport()


def test_a_run_that_turns_nan_is_marked_where_it_begins(page: Page, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with actviz_tb.watch(model, tmp_path / "log" / "bad", every=1):
        for step in range(20):
            if step == 12:
                with torch.no_grad():
                    model[0].bias[1] = math.nan
            model(torch.randn(8, 4))
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "log")) as board:
        tab = open_tab(page, board)
        expect(tab.locator("[data-testid=layer-row][data-layer='0']")).to_have_attribute("title", re.compile("from step 12: .* not finite"))
        page.keyboard.press("2")
        expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", "19")


def test_a_damaged_file_is_named_and_what_is_before_the_damage_is_shown(page: Page, tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with actviz_tb.watch(model, tmp_path / "log" / "run", every=1):
        for _ in range(10):
            model(torch.ones(1, 2))
    (path,) = (tmp_path / "log" / "run").glob("events*")
    data = bytearray(path.read_bytes())
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + 16 + int.from_bytes(data[starts[-1] : starts[-1] + 8], "little"))
    damaged = next(start for start in starts if start > len(data) // 2)
    data[damaged + 1] ^= 0xFF  # in the record's length
    path.write_bytes(data)
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "log")) as board:
        tab = open_tab(page, board)
        expect(tab.get_by_test_id("notices")).to_contain_text(path.name)
        expect(tab.get_by_test_id("current-step")).to_have_attribute("data-step", re.compile("^[1-8]$"))


def test_the_page_says_when_tensorboard_is_gone(chromium: Any, demo: Path, tmp_path: Path) -> None:
    page = chromium.new_page()  # not the fixture's: a lost connection is an error on the console
    with tensorboard(tmp_path / "out", "--logdir", str(demo)) as board:
        tab = open_tab(page, board)
    expect(tab.get_by_test_id("notices")).to_contain_text("TensorBoard does not answer", timeout=15_000)
    expect(tab.get_by_test_id("layer-row").first).to_be_visible()
    page.close()


def test_it_works_below_a_path_prefix(page: Page, demo: Path, tmp_path: Path) -> None:
    with tensorboard(tmp_path / "out", "--logdir", str(demo), "--path_prefix", "/some/where") as board:
        tab = open_tab(page, board, view="layer", layer="conv1")
        expect(tab.get_by_test_id("map-large")).to_have_attribute("data-layer", "conv1")


WITHOUT_OUR_PLUGIN = """
import sys
from tensorboard import default
default.get_dynamic_plugins = lambda: []
from tensorboard import main
sys.exit(main.run_main())
"""


def test_a_mark_after_the_last_step_stands_at_the_right_end(page: Page, tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with actviz_tb.watch(model, tmp_path / "log" / "run", every=5) as logger:
        for _ in range(8):
            model(torch.ones(1, 2))
        logger.mark("the end")
    with tensorboard(tmp_path / "out", "--logdir", str(tmp_path / "log")) as board:
        tab = open_tab(page, board)
        line = tab.get_by_test_id("timeline")
        box = line.bounding_box()
        assert box is not None
        for x in range(int(box["width"]) - 1, 0, -4):  # from the right, where it is found soon
            line.hover(position={"x": x, "y": 10})
            if "the end" in str(line.get_attribute("title")):
                break
        expect(line).to_have_attribute("title", re.compile(r"^nearest logged step: 5\nthe end: step 8, "))


def test_a_link_that_the_page_is_told_of_late_is_not_written_over(page: Page, board: TensorBoard) -> None:
    page.add_init_script("""
        addEventListener("hashchange", event => {
            if (!event.isTrusted) return;
            event.stopImmediatePropagation();
            setTimeout(() => dispatchEvent(new HashChangeEvent("hashchange")), 1000);
        }, true);
    """)
    tab = open_tab(page, board, layer="conv1", step=30)
    page.wait_for_url("**step=30**")
    link = page.url.replace("step=30", "step=50")
    tab.locator("body").press("ArrowRight")
    page.evaluate("link => { location.href = link; }", link)  # within the 150 ms after which the step is written
    expect_step(tab, 50)
    assert page.url == link


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_the_stock_tabs_show_the_run_without_our_plugin(demo: Path, tmp_path: Path, load_fast: str) -> None:
    arguments = ("--logdir", str(demo), "--load_fast", load_fast)
    with tensorboard(tmp_path / "out", *arguments, script=WITHOUT_OUR_PLUGIN) as board:

        def ask(route: str, **query: Any) -> Any:
            status, body = board.get(f"data/plugin/{route}", **query)
            return json.loads(body) if status == 200 else None

        assert "actviz" not in board.listing()
        of_run = {"run": "lr-0.05", "tag": "activations/relu1"}
        for plugin in ("histograms", "distributions"):
            eventually(lambda plugin=plugin: "activations/fc2" in (ask(f"{plugin}/tags") or {}).get("lr-0.05", {}))
        every_step = EPOCHS * STEPS_AN_EPOCH // 5
        logged = eventually(lambda: len(found := ask("histograms/histograms", **of_run) or []) == every_step and found)
        assert sum(bucket[2] for bucket in logged[0][2]) == pytest.approx(60 * 16 * 26 * 26)
        eventually(lambda: len(ask("distributions/distributions", **of_run) or []) == every_step)
        pictures = {"run": "lr-0.05", "tag": "activation_maps/conv1", "sample": 0}
        images = eventually(lambda: len(found := ask("images/images", **pictures) or []) == 4 and found)
        assert [image["step"] for image in images] == [0, 5, 15, 35]
        status, png = board.get(f"data/plugin/images/individualImage?{images[0]['query']}")
        assert (status, png[:4]) == (200, b"\x89PNG")


def test_by_keyboard_the_step_becomes_the_reference_and_every_plot_says_so(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", layer="conv1", step=20)
    page.keyboard.press("r")
    head = tab.get_by_test_id("playhead-reference")
    expect(head).to_have_text("reference 20")
    page.keyboard.press("End")
    expect(tab.get_by_test_id("histogram")).to_have_attribute("data-reference", "20")
    expect(tab.locator(".plot .cursor.other").first).to_be_visible()
    expect(tab.locator(".plot:not(:has(.cursor.other))")).to_have_count(0)
    page.wait_for_url(re.compile("reference=20"))
    page.keyboard.press("Shift+R")
    expect(head).to_have_count(0)
    expect(tab.get_by_test_id("histogram")).to_have_attribute("data-reference", "0")


def test_after_a_choice_from_a_list_by_pointer_the_arrows_move_steps_again(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="compare", runB="lr-0.2", layer="conv1", step=20)
    mode = tab.get_by_label("Mode")
    mode.dispatch_event("pointerdown", {"bubbles": True})
    mode.focus()
    mode.select_option("wipe")
    page.keyboard.press("ArrowRight")
    expect_step(tab, 25)
    expect(mode).to_have_value("wipe")
    mode.focus()  # by keyboard, the arrows go on through the list
    page.keyboard.press("ArrowDown")
    expect(mode).not_to_have_value("wipe")
    assert current_step(tab) == 25


def test_keys_work_again_when_the_pointer_comes_back_from_tensorboards_own_bar(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", step=20)
    page.get_by_role("button", name="Menu for changing light or dark theme").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(page.locator(".cdk-overlay-backdrop")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    assert current_step(tab) == 20
    page.mouse.move(700, 20)
    page.mouse.move(700, 500)
    page.wait_for_function("document.activeElement.tagName === 'IFRAME'")
    page.keyboard.press("ArrowRight")
    expect_step(tab, 25)


@pytest.mark.parametrize("read", [["lr-0.05"], ["lr-0.05", "lr-0.2"]], ids=["not its run", "a part of its run"])
def test_a_link_waits_for_what_is_still_to_be_read(page: Page, board: TensorBoard, read: list[str]) -> None:
    being_read = True

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        if being_read and "runs" in body:
            runs = [run | {"revision": f"{run['revision']}9", "steps": 3} for run in body["runs"] if run["run"] in read]
            body |= {"ready": False, "runs": runs}
        elif being_read:
            body |= {"revision": f"{body['revision']}9", "steps": body["steps"][:3], "wall_times_s": body["wall_times_s"][:3]}
        route.fulfill(response=response, json=body)

    page.route(re.compile("/actviz/(runs$|timeline)"), answer)
    with page.expect_response("**/actviz/timeline?*"), page.expect_response("**/actviz/runs"):
        page.goto(link_to(board, run="lr-0.2", runB="lr-0.05", view="layer", layer="fc1", step=30))
    tab = page.frame_locator("iframe")
    expect(tab.get_by_test_id("layer-row").first).to_be_attached()
    being_read = False
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-run", "lr-0.2")
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-layer", "fc1")
    expect_step(tab, 30)
    expect(tab.get_by_test_id("absent")).to_have_count(0)
    page.unroute_all(behavior="wait")


def test_a_link_to_what_is_not_in_the_log_says_so(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.07", layer="conv9", step=7777)
    absent = tab.get_by_test_id("absent")
    expect(absent).to_contain_text("run “lr-0.07”; layer “conv9”; step 7\u2009777")
    absent.get_by_role("button").click()
    expect(absent).to_have_count(0)
    page.wait_for_url(re.compile("run=lr-0.05.*layer=conv1"))  # else the next link may be lost to what is still to be written there
    page.goto(link_to(board, run="lr-0.05", layer="conv1", step=20))
    expect_step(tab, 20)
    expect(absent).to_have_count(0)


def test_the_chosen_channel_stays_when_vectors_are_passed_and_no_pointer_is_left_behind(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="lr-0.05", view="layer", layer="conv1", step=30, channel=3)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-channel", "3")
    for key, layer in (*(("ArrowDown", each) for each in DEMO_LAYERS[1:]), *(("ArrowUp", each) for each in DEMO_LAYERS[-2::-1])):
        page.keyboard.press(key)
        expect_layer(tab, layer)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-channel", "3")
    tab.get_by_test_id("statistics").hover(position={"x": 300, "y": 10})
    expect(tab.locator(".cursor.hover").first).to_be_visible()
    page.keyboard.press("1")
    expect(tab.get_by_test_id("quilt")).to_be_visible()
    page.mouse.move(20, 300)
    expect(tab.locator(".cursor.hover")).to_have_count(0)
