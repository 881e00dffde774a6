"""The Layer view in a real browser, on real small trainings: every picture and number against numpy."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layer_page import data, layer_view, number, value_at
from layer_trainings import (
    DEAD,
    DIES,
    REVIVED,
    REVIVES,
    Trained,
    outputs,
    train_dying,
    train_signal,
    train_volume,
)
from playwright.sync_api import FrameLocator, Page, expect
from tensorboard_process import TensorBoard, eventually, tensorboard
from test_tab import READ_PIXELS, after_drawing, expect_step, open_tab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Trained]]:
    """A log directory with a run of each kind, and what was trained."""
    top = tmp_path_factory.mktemp("kinds")
    trained = {
        "dying": train_dying(top / "dying"),
        "louder": train_dying(top / "louder", scale=4.0),
        "signal": train_signal(top / "signal"),
        "volume": train_volume(top / "volume"),
    }
    train_dying(top / "batches", probed=False)
    return top, trained


@pytest.fixture(scope="module")
def trained(logs: tuple[Path, dict[str, Trained]]) -> dict[str, Trained]:
    return logs[1]


@pytest.fixture(scope="module")
def board(logs: tuple[Path, dict[str, Trained]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(logs[0])) as running:
        yield running


# Scale


def shown_greys(tab: FrameLocator) -> tuple[dict[str, Any], np.ndarray]:
    shown = tab.get_by_test_id("map-large").evaluate(READ_PIXELS)
    return shown, np.array(shown["values"], float)


def test_the_contrast_window_is_set_by_number_key_drag_and_url_and_paints_accordingly(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = layer_view(page, board, "dying", "0", step=2, colormap="grey", scale="layer", contrast="-1:2", channel=1)
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-scale-high", "2", timeout=20_000)
    shown, greys = shown_greys(tab)
    truth = outputs(trained["dying"], 2, 1)[0, shown["channel"]].reshape(-1)
    np.testing.assert_allclose(greys, np.clip((truth + 1) / 3, 0, 1) * 255, atol=2.5)
    expect(tab.get_by_test_id("scale-high")).to_have_value("≥ 2.00")
    tab.get_by_test_id("scale-high").focus()
    page.keyboard.press("Tab")
    expect(tab.get_by_test_id("scale-high")).to_have_value("≥ 2.00")  # also once the keyboard has been through it
    tab.get_by_test_id("scale-high").fill("1.5")
    tab.get_by_test_id("scale-high").press("Enter")
    expect(large).to_have_attribute("data-scale-high", "1.5")
    tab.get_by_test_id("scale-low").focus()
    tab.get_by_test_id("scale-low").press("ArrowUp")
    eventually(lambda: float(data(large, "scale-low")) > -1)
    tab.get_by_test_id("scale-low").press("Escape")
    page.keyboard.press("-")
    eventually(lambda: float(data(large, "scale-high")) > 1.5)
    page.wait_for_url(re.compile("contrast="))
    page.keyboard.press("0")
    expect(tab.get_by_test_id("contrast-reset")).to_have_count(0)
    low, high = (float(data(large, f"scale-{end}")) for end in ("low", "high"))
    everything = outputs(trained["dying"], 2, 1)
    assert (low, high) == pytest.approx((everything.min(), everything.max()), rel=1e-4)
    box = tab.get_by_test_id("legend").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 4, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 4, box["y"] + 90)
    page.mouse.up()
    eventually(lambda: float(data(large, "scale-high")) == pytest.approx(low + (high - low) / 2, rel=1e-3))
    tab.get_by_test_id("contrast-reset").click()
    eventually(lambda: float(data(large, "scale-high")) == high)


def test_a_scale_locked_over_runs_is_the_same_in_both_and_the_wider_of_the_two(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, run="dying", runB="louder", view="layer", layer="0", step=2)
    large = tab.get_by_test_id("map-large")
    limits = {}
    for letter, run in (("A", "dying"), ("B", "louder")):
        tab.get_by_role("button", name=f"Show run {letter}").click()
        expect(large).to_have_attribute("data-run", run, timeout=20_000)
        limits[run] = float(data(large, "scale-high"))
    assert limits["louder"] > 3 * limits["dying"]
    tab.get_by_test_id("scale-mode").select_option("runs")
    for letter, run in (("A", "dying"), ("B", "louder")):
        tab.get_by_role("button", name=f"Show run {letter}").click()
        expect(large).to_have_attribute("data-run", run)
        expect(large).to_have_attribute("data-scale-high", str(limits["louder"]))


def test_channels_are_sorted_by_change_since_the_reference_step(page: Page, board: TensorBoard, trained: dict[str, Trained]) -> None:
    tab = layer_view(page, board, "dying", "0", step=14, sort="change", reference=4, sample=2)
    grid = tab.get_by_test_id("maps-grid")
    expect(grid).to_have_attribute("data-step", "14", timeout=20_000)
    change = outputs(trained["dying"], 14, 1)[2] - outputs(trained["dying"], 4, 1)[2]
    expected = np.sqrt((change**2).mean(axis=(1, 2)))

    def order() -> list[int]:
        return [int(name) for name in data(grid, "order").split(",")]

    eventually(lambda: order() != list(range(8)))
    found = expected[order()]
    assert (np.diff(found) < 0.02 * found[:-1]).all()  # up to quantisation
    assert set(order()[:4]) == set(DEAD)
    expect(tab.get_by_test_id("most-changed")).to_contain_text("since step 4")
    assert {int(name) for name in re.findall(r"#(\d+)", tab.get_by_test_id("most-changed").inner_text())} <= set(DEAD)


def test_maps_lie_over_their_input_by_key_and_by_opacity(page: Page, board: TensorBoard, trained: dict[str, Trained]) -> None:
    tab = layer_view(page, board, "dying", "0", step=2, colormap="grey", scale="map", channel=1, sample=3)
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-overlay", "0", timeout=20_000)
    expect(large).to_have_attribute("data-sample", "3")
    alone = shown_greys(tab)[1].reshape(10, 10)
    page.keyboard.press("o")
    expect(large).to_have_attribute("data-overlay", "0.6")
    # The input's 12 x 12 pixels under the map's 10 x 10, both stretched over the same square: read where both are inside a pixel.
    both = large.evaluate("""(canvas) => {
      const context = canvas.getContext("2d");
      const size = canvas.width;
      return Array.from({ length: 100 }, (_, at) =>
        context.getImageData((at % 10 + 0.5) / 10 * size, (Math.floor(at / 10) + 0.5) / 10 * size, 1, 1).data[0]);
    }""")
    image = trained["dying"].probe[3, 0].double().numpy()
    image = (image - image.min()) / (image.max() - image.min()) * 255
    place = np.floor((np.arange(10) + 0.5) / 10 * 12).astype(int)
    under = image[np.ix_(place, place)]
    np.testing.assert_allclose(np.reshape(both, (10, 10)), 0.6 * alone + 0.4 * under, atol=4)
    tab.get_by_test_id("overlay").fill("0.3")
    expect(large).to_have_attribute("data-overlay", "0.3")
    page.wait_for_url(re.compile("overlay=0.3"))
    tab = layer_view(page, board, "signal", "0", step=2, overlay=0.5)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-overlay", "0", timeout=20_000)
    expect(tab.get_by_test_id("overlay")).to_have_count(0)


# Histograms and channels


def test_a_channels_own_histogram_counts_the_values_of_the_shown_samples(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = layer_view(page, board, "dying", "1", step=6, detail="channel", channel=7)
    histogram = tab.get_by_test_id("channel-histogram")
    expect(histogram).to_have_attribute("data-channel", "7", timeout=20_000)
    expect(histogram).to_have_attribute("data-step", "6")
    values = outputs(trained["dying"], 6, 2)[:, 7].reshape(-1)
    step = values.max() / 254
    shares = np.array([float(share) for share in data(histogram, "shares").split(",")])
    low, high, zero = (float(data(histogram, name)) for name in ("low", "high", "zero"))
    assert zero == pytest.approx((values < step / 2).mean(), abs=0.02)
    assert shares.sum() + zero == pytest.approx(1)
    edges = np.linspace(low, high, len(shares) + 1)
    for edge, below in zip(edges[1:], np.cumsum(shares), strict=True):  # cumulative, so that quantisation moves little
        few, many = ((values <= edge + sign * step) & (values >= step / 2) for sign in (-1, 1))
        if edge < high:
            assert few.mean() - 0.02 <= below <= many.mean() + 0.02
    expect(histogram).to_have_attribute("data-reference", "step 0")
    after_drawing(tab)
    page.keyboard.press("[")
    expect(histogram).to_have_attribute("data-channel", "6")


def test_deaths_and_revivals_are_marked_and_listed_and_told_under_the_pointer(page: Page, board: TensorBoard) -> None:
    tab = layer_view(page, board, "dying", "1", step=10, channel=4)
    summary = tab.get_by_test_id("life-summary")
    expect(summary).to_have_text(f"{len(DEAD)} died, {len(REVIVED)} revived", timeout=20_000)
    expect(tab.get_by_test_id("channel-means")).to_have_attribute("data-events", str(len(DEAD) + len(REVIVED)))
    summary.click()
    rows = tab.get_by_test_id("life-list").get_by_role("listitem")
    assert [re.sub("^. ", "", text) for text in rows.all_inner_texts()] == [
        *(f"channel {channel} died at {DIES}" for channel in DEAD),
        *(f"channel {channel} revived at {REVIVES}" for channel in REVIVED),
    ]
    rows.last.get_by_role("button").click()
    expect_step(tab, REVIVES)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-channel", str(REVIVED[-1]))
    strip = tab.get_by_test_id("channel-means")
    box = strip.bounding_box()
    assert box is not None
    middle = 44 + (box["width"] - 44 - 82) * 12 / 22  # step 12 of 0..22
    strip.hover(position={"x": middle, "y": box["height"] * 4.5 / 8})
    expect(tab.get_by_test_id("value-channel")).to_contain_text(f"channel 4, step 12: dead since {DIES}, revived at {REVIVES}")
    strip.hover(position={"x": middle, "y": box["height"] * 2.5 / 8})
    expect(tab.get_by_test_id("value-channel")).to_contain_text(f"channel 2, step 12: dead since {DIES}")


def test_the_top_sample_of_a_channel_at_each_step_is_the_one_with_the_largest_mean(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = layer_view(page, board, "dying", "1", step=0, channel=4)
    film = tab.get_by_test_id("film-strip")
    steps = sorted(trained["dying"].before)
    expect(film).to_have_attribute("data-frames", str(len(steps)), timeout=20_000)
    expected = []
    for step in steps:
        means = outputs(trained["dying"], step, 2)[:, 4].mean(axis=(1, 2))
        expected.append(str(means.argmax()) if means.any() else "")
    assert expected[DIES // 2] == ""
    expect(film).to_have_attribute("data-tops", ",".join(expected))


def test_without_a_probe_it_is_said_that_the_inputs_differ_and_nothing_compares_them(page: Page, board: TensorBoard) -> None:
    tab = layer_view(page, board, "batches", "1", step=4, channel=4, sort="change")
    film = tab.get_by_test_id("film-strip")
    expect(film).to_have_attribute("data-frames", "12", timeout=20_000)
    expect(tab.get_by_test_id("inputs-differ")).to_contain_text("watch(…, probe=batch) shows the same ones")
    assert not data(film, "tops").strip(",")
    expect(tab.get_by_test_id("layer-view")).not_to_contain_text("largest mean")
    expect(tab.get_by_test_id("sort")).to_contain_text("needs a probe")
    assert data(tab.get_by_test_id("maps-grid"), "order") == "0,1,2,3,4,5,6,7"
    assert "Δ" not in data(tab.get_by_test_id("maps-grid"), "captions")
    expect(tab.get_by_test_id("most-changed")).to_have_attribute("title", re.compile("training batches"))
    tab = layer_view(page, board, "dying", "1", step=4, channel=4)
    expect(tab.get_by_test_id("film-strip")).to_have_attribute("data-frames", "12", timeout=20_000)
    expect(tab.get_by_test_id("inputs-differ")).to_have_count(0)


def test_below_each_map_stand_its_channel_and_since_when_it_is_dead_or_its_mean(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = layer_view(page, board, "dying", "1", step=10, channel=4)
    grid = tab.get_by_test_id("maps-grid")
    expect(grid).to_have_attribute("data-step", "10", timeout=20_000)
    eventually(lambda: "since" in data(grid, "captions"))
    captions = json.loads(data(grid, "captions"))
    means = outputs(trained["dying"], 10, 2)[0].mean(axis=(1, 2))
    for channel, caption in enumerate(captions):
        name, _, rest = caption.partition(" ")
        assert name == str(channel)
        if channel in DEAD:
            assert rest == f"⊘ since {DIES}"
        else:
            assert number(rest) == pytest.approx(means[channel], abs=0.002)
    expect(tab.get_by_test_id("value-grid")).to_contain_text("below each: mean of this map")
    expect(tab.get_by_test_id("layer-view")).to_contain_text("dead4/8")


@pytest.mark.parametrize("size", [(1280, 640), (1440, 900), (1920, 1080)])
def test_the_maps_use_the_room_that_they_have(page: Page, board: TensorBoard, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    tab = layer_view(page, board, "dying", "0", step=4)
    grid = tab.get_by_test_id("maps-grid")
    expect(grid).to_have_attribute("data-step", "4", timeout=20_000)
    assert int(data(grid, "cell")) * 10 >= 80
    inside = grid.evaluate("grid => grid.getBoundingClientRect().bottom <= grid.closest('.layer-top').getBoundingClientRect().bottom")
    assert inside
    for values in tab.locator(".lane-values div").all():
        assert values.evaluate("values => { values.lastChild.data = '>99.9 %'; return values.scrollWidth <= values.clientWidth; }")
    assert tab.get_by_test_id("choose-channel").first.evaluate("choice => choice.getClientRects().length") == 1


def test_ridges_are_offered_and_stand_in_the_url(page: Page, board: TensorBoard) -> None:
    tab = layer_view(page, board, "dying", "0", step=4)
    strip = tab.get_by_test_id("values-strip")
    expect(strip).to_have_attribute("data-style", "heat", timeout=20_000)
    heat = strip.screenshot()
    tab.get_by_test_id("choose-ridge").click()
    expect(strip).to_have_attribute("data-style", "ridge")
    assert strip.screenshot() != heat
    page.wait_for_url(re.compile("values=ridge"))


def test_the_histogram_is_against_the_step_that_was_alt_clicked(page: Page, board: TensorBoard) -> None:
    tab = layer_view(page, board, "dying", "0", step=4)
    histogram = tab.get_by_test_id("histogram")
    expect(histogram).to_have_attribute("data-reference", "0", timeout=20_000)
    strip = tab.get_by_test_id("statistics")
    box = strip.bounding_box()
    assert box is not None
    strip.click(position={"x": 44 + (box["width"] - 126) * 14 / 22, "y": 20}, modifiers=["Alt"])
    expect(histogram).to_have_attribute("data-reference", "14")
    expect(histogram).to_have_attribute("data-step", "4")


# Kinds of output


def test_a_volume_shows_the_chosen_slice_and_says_which_it_is(page: Page, board: TensorBoard, trained: dict[str, Trained]) -> None:
    tab = layer_view(page, board, "volume", "0", step=4, scale="map", colormap="grey", channel=3, sample=2)
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-sample", "2", timeout=20_000)

    def check(depth: int) -> None:
        expect(tab.get_by_test_id("value-grid")).to_contain_text(f"slice {depth} of the depth; 8 slices are logged")
        shown, greys = shown_greys(tab)
        truth = outputs(trained["volume"], 4, 1)[2, 3, depth].reshape(-1)
        values = shown["low"] + greys / 255 * (shown["high"] - shown["low"])
        np.testing.assert_allclose(values, truth, atol=(truth.max() - truth.min()) / 254)

    check(5)
    page.keyboard.press(".")
    check(6)
    tab.get_by_test_id("depth").fill("0")
    check(0)
    page.wait_for_url(re.compile("depth=0"))
    page.keyboard.press("ArrowDown")  # the ReLU has the same slices
    expect(tab.get_by_test_id("value-grid")).to_contain_text("slice 0 of the depth")


def test_a_sequence_shows_channels_by_time_and_its_rows_are_chosen_by_key(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = layer_view(page, board, "signal", "0", step=4, sample=1, detail="channel")
    grid = tab.get_by_test_id("maps-grid")
    expect(grid).to_have_attribute("data-sample", "1", timeout=20_000)
    cell = float(data(grid, "cell"))
    told = value_at(grid, tab.get_by_test_id("value-grid"), 30.5 * cell, 2.5 * cell)
    truth = outputs(trained["signal"], 4, 1)[0]
    assert told == pytest.approx(truth[2, 30], abs=(truth.max() - truth.min()) / 254)
    expect(tab.get_by_test_id("value-grid")).to_contain_text("row 2 column 30")
    statistics = tab.get_by_test_id("statistics")
    expect(statistics).to_have_attribute("data-channel", "0")
    after_drawing(tab)
    page.keyboard.press("]")
    expect(statistics).to_have_attribute("data-channel", "1")


def test_a_vector_shows_samples_by_units_with_the_value_under_the_pointer(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = layer_view(page, board, "dying", "3", step=4, scale="map", colormap="grey", sample=1)
    large = tab.get_by_test_id("map-large")
    expect(large).to_have_attribute("data-sample", "1", timeout=20_000)
    cell = float(data(large, "cell"))
    truth = outputs(trained["dying"], 4, 4)[1]
    told = value_at(large, tab.locator(".readout"), 0.5 * cell, 1.5 * cell)  # three units, folded 2 x 2
    assert told == pytest.approx(truth[2], abs=(truth.max() - truth.min()) / 254)


def test_a_vectors_strongest_units_are_told_and_chosen(page: Page, board: TensorBoard, trained: dict[str, Trained]) -> None:
    tab = layer_view(page, board, "dying", "3", step=4, sample=1)
    buttons = tab.get_by_test_id("strongest").get_by_role("button")
    expect(buttons).to_have_count(3, timeout=20_000)
    truth = outputs(trained["dying"], 4, 4)[1]
    error = (truth.max() - truth.min()) / 254 + 0.005 * np.abs(truth).max()
    told = [re.fullmatch(r"#(\d+)\s+(\S+)", text.strip()) for text in buttons.all_inner_texts()]
    units = [int(match[1]) for match in told if match]
    assert units == np.argsort(-np.abs(truth)).tolist()
    for match in told:
        assert match is not None
        assert number(match[2]) == pytest.approx(truth[int(match[1])], abs=error)
    buttons.last.click()
    page.wait_for_url(re.compile(f"channel={units[-1]}"))
    expect(buttons.last).to_have_attribute("aria-pressed", "true")
    expect(tab.locator(".large-panel .readout")).to_contain_text(f"unit {units[-1]}")
    assert number(tab.get_by_test_id("pixel-value").inner_text()) == pytest.approx(truth[units[-1]], abs=error)


def test_the_value_stays_true_when_the_step_changes_under_a_resting_pointer(
    page: Page, board: TensorBoard, trained: dict[str, Trained]
) -> None:
    tab = layer_view(page, board, "dying", "0", step=2, channel=0, sample=0)
    grid, readout = tab.get_by_test_id("maps-grid"), tab.get_by_test_id("value-grid")
    expect(grid).to_have_attribute("data-step", "2", timeout=20_000)
    cell = float(data(grid, "cell"))
    for step, told in ((2, value_at(grid, readout, 4.5 * cell, 3.5 * cell)), (20, None)):
        if told is None:
            page.keyboard.press("End")
            page.keyboard.press("ArrowLeft")
            expect(grid).to_have_attribute("data-step", str(step))
            told = number(readout.locator("strong").inner_text())
        truth = outputs(trained["dying"], step, 1)[0, 0]
        assert told == pytest.approx(truth[3, 4], abs=(truth.max() - truth.min()) / 254)


def test_steps_ahead_are_fetched_in_one_request(page: Page, board: TensorBoard) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    tab = layer_view(page, board, "signal", "0", step=0)
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", "0", timeout=20_000)
    eventually(lambda: any("/maps_range?" in url for url in asked))
    for step in (2, 4):
        page.keyboard.press("ArrowRight")
        expect(tab.get_by_test_id("map-large")).to_have_attribute("data-step", str(step))
    assert not [url for url in asked if "/maps?" in url and re.search("step=[24]$", url)]
