"""The Compare view in a real browser: its pictures against numpy, and its labels against its pictures."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from held import Held
from panels import READ_TILES, check, entries, evaluated
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect
from tensorboard_process import TensorBoard, eventually, tensorboard
from test_tab import STEPS_AN_EPOCH, after_drawing, expect_layer, expect_step, independent_forward, open_tab, probe_images
from torch import nn

import actviz_tb
from tensorboard_plugin.actviz import wire

pytestmark = pytest.mark.browser

A, B = "lr-0.05", "lr-0.2"


def truth_of(demo: Path, run: str, step: int, layer: str, sample: int) -> np.ndarray:
    found = independent_forward(demo / run / f"before-epoch-{step // STEPS_AN_EPOCH}.pt", probe_images()[sample])[layer]
    return found if found.ndim == 3 else found[:, None, None]


def quantisation(values: np.ndarray, vector: bool) -> np.ndarray:
    """Half a 254th of each map's range, a little more for float32; a vector is one map."""
    axes = (0, 1, 2) if vector else (1, 2)
    span = values.max(axis=axes) - values.min(axis=axes)
    return np.broadcast_to(span / 254 / 2 * 1.01 + 1e-4 * np.abs(values).max(), len(values))


def panel(tab: FrameLocator, which: str) -> Locator:
    return tab.get_by_test_id(f"compare-{which}")


def expect_sides(tab: FrameLocator, a: tuple[str, int], b: tuple[str, int]) -> None:
    for letter, (run, step) in (("a", a), ("b", b)):
        side = tab.get_by_test_id(f"side-{letter}")
        expect(side).to_have_attribute("data-run", run)
        expect(side).to_have_attribute("data-step", str(step))
    for which in ("a", "b"):
        expect(panel(tab, which)).to_have_attribute("data-step-a", str(a[1]))
        expect(panel(tab, which)).to_have_attribute("data-step-b", str(b[1]))


def check_all(tab: FrameLocator, demo: Path, a: tuple[str, int], b: tuple[str, int], layer: str, sample: int) -> int:
    """Compare all three panels with an independent forward pass."""
    expect_sides(tab, a, b)
    one, other = (truth_of(demo, *side, layer, sample) for side in (a, b))
    vector = layer[:2] == "fc" or layer == "relu2"
    errors = [quantisation(values, vector) for values in (one, other)]
    check(panel(tab, "a"), "activations", one, errors[0])
    check(panel(tab, "b"), "activations", other, errors[1])
    return check(panel(tab, "difference"), "differences", other - one, errors[0] + errors[1])


@pytest.mark.parametrize("layer", ["conv1", "pool1", "fc1"])
def test_a_b_and_their_difference_are_what_numpy_gives(page: Page, board: TensorBoard, demo: Path, layer: str) -> None:
    tab = open_tab(page, board, view="compare", layer=layer, step=25, sample=3, scale="layer")
    assert check_all(tab, demo, (A, 25), (B, 25), layer, 3) >= 3
    assert panel(tab, "a").get_attribute("data-scale-high") == panel(tab, "b").get_attribute("data-scale-high")
    page.keyboard.press("x")
    check_all(tab, demo, (B, 25), (A, 25), layer, 3)


def test_each_side_has_its_own_step_by_key_click_and_url(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, view="compare", layer="conv1", step=50, sample=2, scale="layer")
    expect_sides(tab, (A, 50), (B, 50))
    expect(tab.get_by_test_id("playhead-b")).to_have_count(0)
    for _ in range(5):
        page.keyboard.press(",")
    check_all(tab, demo, (A, 50), (B, 25), "conv1", 2)
    expect(tab.get_by_test_id("playhead-b")).to_have_text("B 25")
    expect(tab.get_by_test_id("compare-table")).to_have_attribute("data-step-b", "25")
    expect(tab.get_by_test_id("channels-by-change")).to_contain_text("A step 50, B step 25")
    page.wait_for_url(re.compile("stepB=25"))
    page.keyboard.press("ArrowRight")
    expect_sides(tab, (A, 55), (B, 25))
    page.keyboard.press("x")
    expect_sides(tab, (B, 25), (A, 55))
    page.keyboard.press("c")
    expect_sides(tab, (B, 25), (A, 25))
    timeline = tab.get_by_test_id("timeline")
    box = timeline.bounding_box()
    assert box is not None
    timeline.click(position={"x": 44 + 0.5 * (box["width"] - 126), "y": 20}, modifiers=["Alt"])
    expect_sides(tab, (B, 25), (A, 35))
    expect_step(tab, 25)
    other = page.context.new_page()
    page.wait_for_url(re.compile("stepB=35"))
    other.goto(page.url)
    expect_sides(other.frame_locator("iframe"), (B, 25), (A, 35))


READ_VIEW = """(view) => {
  const read = READ_TILES;
  const side = (letter) => {
    const head = view.querySelector(`[data-testid=side-${letter}]`);
    return { run: head.querySelector("strong").title, step: +head.querySelector(".side-step").textContent.replace(/\\D/g, "") };
  };
  const canvas = (which) => view.querySelector(`canvas[data-which=${which}]`);
  return canvas("A") && { a: side("a"), b: side("b"), tiles: ["A", "B", "difference"].map((which) => read(canvas(which))) };
}""".replace("READ_TILES", READ_TILES)


def logged(board: TensorBoard, run: str, step: int) -> np.ndarray:
    """The maps of conv1, of sample 1, as they are in the log: [C, h, w]."""
    arrays = board.record("maps", run=run, layer="conv1", step=step).arrays
    return wire.dequantise(*(arrays[name] for name in ("data", "low", "high")))[1].astype(float)


def test_labels_and_pictures_agree_while_stepping_and_swapping_quickly(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, view="compare", layer="conv1", step=0, sample=1, scale="layer")
    expect_sides(tab, (A, 0), (B, 0))
    held = Held(page, "**/maps?*")
    seen = set()

    def look() -> None:
        view = evaluated(tab.get_by_test_id("compare-view"), READ_VIEW)
        if view is None:  # no picture is not a wrong one
            return
        sides = [(view[letter]["run"], view[letter]["step"]) for letter in ("a", "b")]
        seen.add(tuple(sides))
        one, other = (logged(board, *side) for side in sides)
        for read, values, name in zip(view["tiles"], (one, other, other - one), ("activations", "activations", "differences"), strict=True):
            low, high = float(read["shown"]["scaleLow"]), float(read["shown"]["scaleHigh"])
            found = entries(np.reshape(read["tiles"], (-1, 3)), name).reshape(len(values), -1)
            expected = np.clip(255 * (values.reshape(len(values), -1) - low) / (high - low), 0, 255)
            assert np.abs(found - expected).max() <= 1.51, (sides, name)

    for keys, rest in (  # and where they lead
        (["Shift+ArrowRight", "ArrowRight"], ((A, 55), (B, 55))),
        (["x", "<", ".", "End", "x", "ArrowLeft"], ((A, 5), (B, 70))),
        (["c", "x", "Shift+ArrowLeft", ">"], ((B, 0), (A, 50))),
        (["x", "Home", "c"], ((A, 0), (B, 0))),
    ):
        held.hold()
        for key in keys:
            page.keyboard.press(key)
            look()
            held.let_go()
        held.pass_on()
        expect_sides(tab, *rest)
        look()
    assert len(seen) >= 4
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    check_all(tab, demo, (A, 25), (B, 25), "conv1", 1)


def test_with_one_run_b_is_that_run_at_its_first_step(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, run=A, view="compare", layer="conv1", step=50, scale="layer")
    expect(tab.get_by_test_id("compare-notes")).to_contain_text("B is this run at another step")
    assert check_all(tab, demo, (A, 50), (A, 0), "conv1", 0) == 16
    page.keyboard.press(".")
    expect_sides(tab, (A, 50), (A, 5))
    page.keyboard.press("x")
    expect_sides(tab, (A, 5), (A, 50))
    expect(tab.get_by_test_id("ranked-layers").get_by_role("option")).to_have_count(6)


def order(tab: FrameLocator, testid: str, attribute: str) -> list[str]:
    return [str(row.get_attribute(attribute)) for row in tab.get_by_test_id(testid).get_by_role("option").all()]


def test_layers_and_channels_are_ranked_by_change_and_chosen_by_keyboard(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="compare", layer="conv1", step=40)
    rms = [board.record("stats", run=run, stat="rms") for run in (A, B)]
    at = [record.arrays["values"][:, 8].astype(float) for record in rms]
    change = (at[1] - at[0]) / at[0]
    expected = [rms[0].header["layers"][index] for index in np.argsort(-np.abs(change), kind="stable")]
    expect(tab.get_by_test_id("layers-by-change")).to_have_attribute("data-step-b", "40")
    assert order(tab, "ranked-layers", "data-layer") == expected
    tab.get_by_test_id("ranked-layers").focus()
    page.keyboard.press("Home")
    for name in expected[:4]:
        expect_layer(tab, name)
        page.keyboard.press("ArrowDown")
    expect_step(tab, 40)

    tab.locator("[data-testid=ranked-layers] [data-layer=conv1]").click()
    expect(panel(tab, "a")).to_have_attribute("data-layer", "conv1")
    after_drawing(tab)
    means = [board.record("channels", run=run, layer="conv1", **{"from": 40, "to": 40}).arrays["mean"][0] for run in (A, B)]
    ranked = np.argsort(-np.abs(means[1] - means[0]), kind="stable")
    eventually(lambda: order(tab, "ranked-channels", "data-channel") == [str(index) for index in ranked])
    tab.get_by_test_id("ranked-channels").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    chosen = tab.locator("[data-testid=ranked-channels] [aria-selected=true]")
    expect(chosen).to_have_attribute("data-channel", str(ranked[1]))
    places = json.loads(str(panel(tab, "a").get_attribute("data-places")))
    for mark in tab.locator(".compare-sides .chosen").all():  # the same place in all three
        style = str(mark.get_attribute("style"))
        assert f"left: {places['gutter'] + int(ranked[1]) % places['across'] * places['wide'] - 2}px" in style
    assert tab.locator(".compare-sides .chosen").count() == 3
    page.wait_for_url(re.compile(f"channel={ranked[1]}(&|$)"))
    page.keyboard.press("]")
    page.wait_for_url(re.compile(f"channel={(ranked[1] + 1) % 16}(&|$)"))


@pytest.mark.parametrize("measure", ["mean", "histogram", "maps", "cka"])
def test_each_measure_ranks_as_the_route_answers(page: Page, board: TensorBoard, measure: str) -> None:
    tab = open_tab(page, board, view="compare", layer="conv1", step=10)
    tab.get_by_test_id("rank-by").select_option(measure)
    found = board.record("differences", run=A, step=10, other_run=B, measure=measure)
    change = dict(zip(found.header["layers"], found.arrays["change"].tolist(), strict=True))
    eventually(lambda: len(order(tab, "ranked-layers", "data-layer")) == 6)
    names = order(tab, "ranked-layers", "data-layer")
    assert names == sorted(names, key=lambda name: -abs(change[name]))
    page.wait_for_url(re.compile(f"rank={measure}"))


def test_a_wipe_shows_a_left_and_b_right_of_its_edge(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="compare", layer="conv1", step=10, scale="layer")
    read = {which: evaluated(panel(tab, which), READ_TILES) for which in ("a", "b")}
    page.keyboard.press("d")
    wipe = panel(tab, "wipe")
    expect(wipe).to_have_attribute("data-step-b", "10")
    for _ in range(4):
        page.keyboard.press("-")
    columns = json.loads(str(wipe.get_attribute("data-places")))["columns"]
    cut = round(0.3 * columns)
    found = evaluated(wipe, READ_TILES)
    for tile in (0, 5, 12):
        for pixel, colour in enumerate(found["tiles"][tile]):
            if abs(pixel % columns - cut) > 1:
                assert colour == read["a" if pixel % columns < cut else "b"]["tiles"][tile][pixel]
    wipe.click(position={"x": 40 + json.loads(found["shown"]["places"])["gutter"], "y": 5})
    expect(tab.get_by_role("slider", name="Edge between A and B")).not_to_have_value("30")


def test_blinking_is_by_hand_only_where_motion_is_unwanted(chromium: Browser, board: TensorBoard) -> None:
    context = chromium.new_context(reduced_motion="reduce", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    tab = open_tab(page, board, view="compare", layer="conv1", step=10, compare="blink")
    expect(panel(tab, "a")).to_be_visible()
    for _ in range(20):  # longer than two turns of a blink
        assert tab.get_by_test_id("blink-shown").inner_text() == "A"
        page.wait_for_timeout(100)
    page.keyboard.press("k")
    expect(panel(tab, "b")).to_be_visible()
    expect(tab.get_by_test_id("blink-shown")).to_have_text("B")
    context.close()


def test_blinking_goes_on_by_itself_otherwise(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="compare", layer="conv1", step=10, compare="blink")
    for which in ("b", "a"):
        expect(panel(tab, which)).to_be_visible()
    tab.get_by_role("button", name="hold", exact=True).click()
    expect(tab.get_by_role("button", name="blink", exact=True)).to_be_visible()


def log(directory: Path, model: nn.Module, inputs: list[torch.Tensor], probe: torch.Tensor | None) -> None:
    with actviz_tb.watch(model, directory, every=1, probe=probe, stock_tabs=False):
        for batch in inputs:
            model(batch)


def conv(seed: int, channels: int, kernel: int = 3) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, channels, kernel), nn.ReLU())


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    """Runs of other shapes, of permuted channels, without a probe, and with NaN and dead channels."""
    top = tmp_path_factory.mktemp("odd")
    images = torch.from_numpy(probe_images()).float()[:, None]
    batches = [images[index : index + 4] for index in range(3)]
    base = conv(0, 6)
    log(top / "base", base, batches, images)
    log(top / "more-channels", conv(1, 9), batches, images)
    log(top / "smaller-maps", conv(2, 6, 5), batches, images)
    permuted = conv(0, 6)
    turn = torch.tensor([3, 0, 5, 1, 2, 4])
    with torch.no_grad():
        permuted[0].weight[:] = base[0].weight[turn]
        permuted[0].bias[:] = base[0].bias[turn]
    log(top / "permuted", permuted, batches, images)
    log(top / "without-probe", conv(0, 6), batches, None)
    broken = conv(0, 6)
    with torch.no_grad():
        broken[0].weight[1, 0, 0, 0] = torch.nan
        broken[0].bias[2] = -1000
    log(top / "broken", broken, batches, images)
    with tensorboard(top / "out", "--logdir", str(top)) as running:
        eventually(lambda: len(running.json("runs")["runs"]) == 6)
        yield running


def test_other_shapes_are_said_and_not_drawn_over_each_other(page: Page, odd: TensorBoard) -> None:
    tab = open_tab(page, odd, view="compare", run="base", runB="more-channels", layer="0", step=1)
    words = tab.get_by_test_id("compare-words")
    expect(words).to_contain_text("A puts out 6 \u00d7 26 \u00d7 26, B 9 \u00d7 26 \u00d7 26")
    expect(panel(tab, "difference")).to_have_count(0)
    assert len(json.loads(str(panel(tab, "b").get_attribute("data-names")))) == 9
    for key, which in (("d", "wipe"), ("d", "a"), ("d", "difference")):
        page.keyboard.press(key)
        expect(words).to_contain_text("A puts out")
        expect(panel(tab, which)).to_have_count(0)
    page.keyboard.press("d")
    page.keyboard.press("m")
    expect(panel(tab, "difference")).to_be_visible()
    tab.get_by_test_id("run-b").select_option("smaller-maps")
    expect(words).to_contain_text("B 6 \u00d7 24 \u00d7 24: the maps have different sizes")
    expect(tab.get_by_test_id("compare-notes")).to_contain_text("Channels are not matched: ")


def test_permuted_channels_are_matched_and_then_do_not_differ(page: Page, odd: TensorBoard) -> None:
    tab = open_tab(page, odd, view="compare", run="base", runB="permuted", layer="0", step=1, scale="layer")
    difference = panel(tab, "difference")
    expect(difference).to_have_attribute("data-partners", "[0,1,2,3,4,5]")
    assert float(str(difference.get_attribute("data-scale-high"))) > 0.01
    page.keyboard.press("m")
    expect(difference).to_have_attribute("data-partners", "[1,3,4,0,5,2]")
    page.wait_for_url(re.compile("match=1"))
    assert float(str(difference.get_attribute("data-scale-high"))) in (1, pytest.approx(0, abs=1e-3))
    rows = tab.get_by_test_id("ranked-channels").get_by_role("option")
    expect(rows).to_have_count(6)
    pairs = {row.get_attribute("data-channel"): row.get_attribute("data-partner") for row in rows.all()}
    assert pairs == {"0": "1", "1": "3", "2": "4", "3": "0", "4": "5", "5": "2"}
    assert all(abs(float(str(row.get_attribute("data-change")))) < 1e-6 for row in rows.all())


def test_channels_without_spread_are_left_unmatched_at_the_end_and_that_is_said(page: Page, odd: TensorBoard) -> None:
    tab = open_tab(page, odd, view="compare", run="base", runB="broken", layer="0", step=1, match=1)
    difference = panel(tab, "difference")
    expect(difference).to_have_attribute("data-partners", "[0,2,3,4,5,null]")  # B's channel 1 is NaN
    assert json.loads(str(difference.get_attribute("data-names"))) == [0, 2, 3, 4, 5, 1]
    expect(tab.get_by_test_id("ranked-channels").get_by_role("option")).to_have_count(5)
    expect(tab.get_by_test_id("channels-by-change")).to_contain_text("; 1 of A without a partner")
    page.keyboard.press("ArrowDown")
    expect(difference).to_have_attribute("data-layer", "1")
    zero = {run: (odd.record("maps", run=run, layer="1", step=1).arrays["high"] == 0).all(axis=0) for run in ("base", "broken")}
    assert zero["base"].any()
    alive = [int(channel) for channel in np.flatnonzero(~zero["base"] & ~zero["broken"]) if channel != 1]
    dead = [channel for channel in range(6) if channel not in alive]
    eventually(lambda: json.loads(str(difference.get_attribute("data-names"))) == [*alive, *dead])
    assert json.loads(str(difference.get_attribute("data-partners"))) == [*alive, *([None] * len(dead))]


@pytest.mark.parametrize(("size", "layer", "least"), [((1366, 860), "relu1", 2), ((1366, 860), "fc2", 48), ((1280, 640), "pool1", 2)])
def test_tiles_are_as_large_as_width_and_height_allow(
    page: Page, board: TensorBoard, size: tuple[int, int], layer: str, least: int
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    tab = open_tab(page, board, view="compare", layer=layer, step=10)
    expect(panel(tab, "difference")).to_have_attribute("data-layer", layer, timeout=20_000)
    assert json.loads(str(panel(tab, "a").get_attribute("data-places")))["cell"] >= least
    if size[1] >= 860:
        assert tab.locator(".view").evaluate("view => view.scrollHeight - view.clientHeight") <= 0
    words = tab.get_by_test_id("change-words").locator("span")
    colours = words.evaluate_all("words => words.map((word) => getComputedStyle(word).color)")
    assert [np.argmax([int(part) for part in re.findall(r"\d+", colour)]) for colour in colours] == [2, 1]  # purple, green


def test_training_batches_of_different_steps_are_not_subtracted(page: Page, odd: TensorBoard) -> None:
    tab = open_tab(page, odd, view="compare", run="without-probe", layer="0", step=2)
    expect(tab.get_by_test_id("compare-words")).to_contain_text("different inputs (training batches of step 2 and of step 0)")
    expect(panel(tab, "a")).to_be_visible()
    expect(panel(tab, "difference")).to_have_count(0)
    page.keyboard.press("Home")
    expect(panel(tab, "difference")).to_be_visible()
    tab.get_by_test_id("run-b").select_option("base")
    expect(tab.get_by_test_id("compare-words")).to_contain_text("different inputs")


def test_nan_is_hatched_dead_is_dotted_and_the_broken_layer_comes_first(page: Page, odd: TensorBoard) -> None:
    tab = open_tab(page, odd, view="compare", run="base", runB="broken", layer="1", step=1, scale="layer")
    expect(panel(tab, "difference")).to_have_attribute("data-layer", "1")
    dead, nan = 2, 1
    for which in ("b", "difference"):
        read = evaluated(panel(tab, which), READ_TILES)
        assert any(red > green + 40 for red, green, _ in read["tiles"][nan])
    found = evaluated(panel(tab, "b"), READ_TILES)
    assert (entries(found["tiles"][dead], "activations") < 0).any()
    first = tab.get_by_test_id("ranked-layers").get_by_role("option").first
    expect(first).to_have_attribute("title", re.compile("NaN or infinity in B"))
    row = tab.locator("[data-testid=ranked-channels] [data-channel='2']")
    expect(row).to_contain_text("⊘")


@pytest.mark.parametrize("mode", ["side", "wipe", "blink", "difference"])
@pytest.mark.parametrize("width", [900, 1440, 2560])
def test_the_layout_holds_in_each_mode(page: Page, board: TensorBoard, mode: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    tab = open_tab(page, board, view="compare", compare=mode, layer="fc1", step=10, match=1)
    expect(tab.get_by_test_id("side-b")).to_have_attribute("data-step", "10")
    expect(tab.get_by_test_id("layers-by-change")).to_have_attribute("data-step-a", "10")
    assert tab.locator(".view").evaluate("view => view.scrollWidth - view.clientWidth") <= 0
    assert tab.locator(".view").evaluate("view => view.scrollTop") == 0
    for testid in ("timeline", "current-step", "layer-title", "side-a", "mode"):
        expect(tab.get_by_test_id(testid)).to_be_in_viewport()
