"""The view Propagation in a real browser: what it draws is what the log holds, for each layer, step and sample."""

import re
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import EPOCHS
from held import Held
from playwright.sync_api import FrameLocator, Locator, Page, expect
from tensorboard_process import TensorBoard, eventually, tensorboard
from test_tab import STEPS_AN_EPOCH, after_drawing
from torch import Tensor, nn

import actviz_tb
from tensorboard_plugin.actviz import wire

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import digits_cnn  # noqa: E402

DIGITS = "digits/lr-0.05"
MIDDLE = 128  # the grey of a map whose values are all the same

pytestmark = pytest.mark.browser


class Block(nn.Module):
    """A residual block."""

    def __init__(self, taken: int, given: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(taken, given, 3, stride, 1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(given, given, 3, 1, 1)
        self.downsample = nn.Sequential(nn.Conv2d(taken, given, 1, stride)) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.relu(self.conv1(x))) + skip)


class SmallResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, 1, 1)
        self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.layer1(self.stem(x))).flatten(1))  # type: ignore[no-any-return]


class Odd(nn.Module):
    """One channel is not finite, one output has no maps, and attention has no layer of its own shape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.six = nn.Unflatten(1, (2, 1, 2))
        self.attend = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True, dropout=0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.attend(self.six(h).flatten(1)[:, :128].reshape(len(x), 8, 16).nan_to_num())  # type: ignore[no-any-return]


def train(model: nn.Module, logdir: Path, steps: int, size: int, probe: int) -> None:
    """Really train on digits, and log every step."""
    images, labels = digits_cnn.load_data()
    images = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with actviz_tb.watch(model, logdir, every=1, probe=images[:probe], probe_labels=labels[:probe]):
        for step in range(steps):
            batch = slice(20 + 16 * step, 36 + 16 * step)
            output = model(images[batch])
            loss = nn.functional.cross_entropy(output.flatten(1)[:, :10], labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@pytest.fixture(scope="module")
def logs(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    logdir = tmp_path_factory.mktemp("logs")
    (logdir / "digits").symlink_to(demo)
    torch.manual_seed(0)
    train(SmallResNet(), logdir / "resnet", steps=12, size=16, probe=6)
    odd = Odd()
    with torch.no_grad():
        odd.conv.weight[1] = torch.nan
    train(odd, logdir / "odd", steps=2, size=12, probe=3)
    return logdir


@pytest.fixture(scope="module")
def board(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(logs)) as running:
        yield running


def open_view(page: Page, board: TensorBoard, **state: Any) -> FrameLocator:
    state = {"view": "propagation", "run": DIGITS, "step": 0} | state
    page.goto(board.url + "#actviz" + "".join(f"&{name}={urllib.parse.quote(str(value), safe='')}" for name, value in state.items()))
    tab = page.frame_locator("iframe")
    expect(tab.get_by_test_id("score-row").first).to_be_visible(timeout=30_000)
    after_drawing(tab)
    return tab


def maps_of(tab: FrameLocator, layer: str) -> Locator:
    return tab.locator(f'[data-testid=score-maps][data-layer="{layer}"]')


def row_of(tab: FrameLocator, layer: str) -> Locator:
    return tab.locator(f'[data-testid=score-row][data-kind=layer][data-layer="{layer}"]')


def row_names(tab: FrameLocator) -> list[str]:
    return tab.get_by_test_id("score-row").evaluate_all("rows => rows.map(row => row.dataset.layer)")  # type: ignore[no-any-return]


READ = """(canvas) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const red = new Array(width * height);
  for (let pixel = 0; pixel < red.length; pixel++) red[pixel] = data[pixel * 4];
  return { ...canvas.dataset, width, height, red };
}"""


def check_picture(canvas: Locator, board: TensorBoard, kind: str = "maps") -> tuple[int, int]:
    """Compare a row's pixels with the record of what it says that it shows; return its step, and how many maps were compared."""
    return check_pixels(canvas.evaluate(READ), board, kind)


def check_pixels(shown: dict[str, Any], board: TensorBoard, kind: str = "maps") -> tuple[int, int]:
    """The same of what was read.

    With the grey scale from each map's own lowest to its highest value, code q of 0..254 has the grey round(255 q / 254).
    """
    step, layer = int(shown["step"]), shown["layer"]
    record = board.record(kind, run=shown["run"], layer=layer, step=step)
    red = np.array(shown["red"], int).reshape(shown["height"], shown["width"])
    data, low, high = (record.arrays[name] for name in ("data", "low", "high"))
    compared = 0
    for panel, sample in enumerate(map(int, shown["samples"].split(","))):
        at = record.header["samples"].index(sample)
        for x, cell, codes, position in pictures(shown, record.header, data[at]):
            lowest, highest = low[at, position], high[at, position]
            if lowest == highest == 0 or (codes == wire.MAP_NONFINITE).any():
                continue  # a texture instead
            left = panel * int(shown["panel"]) + x
            height, width = codes.shape[0] * cell[1], codes.shape[1] * cell[0]
            grey = np.rint(255 * codes.astype(float) / 254) if lowest < highest else np.full(codes.shape, MIDDLE)
            expected = grey.repeat(cell[1], 0).repeat(cell[0], 1)
            assert np.array_equal(red[1 : 1 + height, left : left + width], expected), (layer, step, sample, x)
            compared += 1
    return step, compared


def pictures(shown: dict[str, Any], header: dict[str, Any], data: Any) -> Iterator[tuple[int, tuple[int, int], Any, int]]:
    """Yield left edge, size of a cell in pixels, codes [h, w] and position among the channels, of each picture of one sample."""
    channels = [int(name) for name in shown["channels"].split(",")]
    pitch, tile = int(shown["pitch"]), int(shown["tile"])
    if header["layout"] == "sequence":
        across, down = map(int, shown["cells"].split(","))
        yield 1, (across, down), data[0], 0
    elif header["layout"] == "vector":
        units = [header["units"].index(name) for name in channels]
        yield 1, (pitch, shown["height"] - 2), data[0, :, units].reshape(1, -1), 0
    else:
        cell = max(1, tile // max(data.shape[1:]))
        for column, name in enumerate(channels):
            position = header["channels"].index(name)
            yield 1 + column * pitch, (cell, cell), data[position], position


def test_each_row_shows_the_logged_maps_of_its_layer_step_and_sample(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, step=10, sample=7, scale="map", colormap="grey")
    assert row_names(tab) == ["conv1", "relu1", "pool1", "fc1", "relu2", "fc2"]
    compared = 0
    for step in (10, 15, 20):
        for layer in ("conv1", "relu1", "pool1", "fc1", "relu2"):
            canvas = maps_of(tab, layer)
            expect(canvas).to_have_attribute("data-step", str(step), timeout=10_000)
            expect(canvas).to_have_attribute("data-samples", "7")
            compared += check_picture(canvas, board)[1]
        page.keyboard.press("ArrowRight")
    assert compared >= 90
    text = row_of(tab, "conv1").inner_text()
    record = board.record("maps", run=DIGITS, layer="conv1", step=25)
    expect(maps_of(tab, "conv1")).to_have_attribute("data-step", "25")
    text = row_of(tab, "conv1").inner_text()
    assert "16\u00d726\u00d726" in text
    largest = re.search(r"max (\S+)", text)
    assert largest
    assert float(largest[1].rstrip(",")) == pytest.approx(record.arrays["high"][7].max(), rel=5e-3)


def test_the_pictures_of_a_network_with_skip_connections_and_its_arcs(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, run="resnet", step=3, sample=2, scale="map", colormap="grey")
    expect(maps_of(tab, "stem")).to_be_visible(timeout=10_000)
    arcs = tab.get_by_test_id("arc").evaluate_all("arcs => arcs.map(arc => [arc.dataset.from, arc.dataset.to])")
    # In the first block the stem's output is added to what conv2 makes of it. In the second one the downsampling runs first, so that
    # conv1, after it, takes the first block's output past it, and the addition the downsampling's past conv1 and conv2.
    assert sorted(arcs) == sorted(
        [
            ["stem", "layer1.0/add"],
            ["layer1.0/relu", "layer1.1.conv1"],
            ["layer1.1.downsample.0", "layer1.1/add"],
        ]
    )
    compared = 0
    for layer in ("stem", "layer1.0.conv1", "layer1.0/add", "layer1.1.downsample.0", "layer1.1/relu", "pool"):
        row = row_of(tab, layer)
        row.scroll_into_view_if_needed()
        canvas = maps_of(tab, layer)
        expect(canvas).to_have_attribute("data-step", "3", timeout=10_000)
        compared += check_picture(canvas, board)[1]
    assert compared >= 50


def test_quick_stepping_never_shows_a_picture_under_another_steps_label(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, run="resnet", step=0, sample=1, scale="map", colormap="grey")
    expect(maps_of(tab, "stem")).to_have_attribute("data-step", "0", timeout=10_000)
    held = Held(page, "**/maps?*")
    seen = set()
    at_once = """score => {
      const rows = [...score.querySelectorAll("[data-testid=score-row]")].flatMap(row => {
        const canvas = row.querySelector("[data-testid=score-maps]");
        const stale = row.querySelector("[data-testid=stale]");
        return canvas ? [[+canvas.dataset.step, stale && parseInt(stale.textContent.replace("step ", ""))]] : [];
      });
      const read = READ;
      return [rows, read(score.querySelector('[data-layer="layer1.0.conv1"] [data-testid=score-maps]'))];
    }""".replace("READ", READ)
    for pressed in range(11):
        page.keyboard.press("ArrowRight")
        rows, shown = tab.get_by_test_id("score").evaluate(at_once)
        current = pressed + 1
        expect(tab.get_by_test_id("current-step")).to_have_attribute("data-step", str(current))
        for picture, stale in rows:
            assert stale == (None if picture == current else picture)
            seen.add(picture == current)
        check_pixels(shown, board)
        held.let_go()
    assert False in seen, "the requests were slow enough that former pictures stood"
    held.pass_on()
    expect(maps_of(tab, "stem")).to_have_attribute("data-step", "11", timeout=20_000)
    expect(tab.get_by_test_id("stale")).to_have_count(0, timeout=20_000)
    for layer in ("stem", "layer1.0.conv1", "layer1.0.relu", "layer1.0/add"):
        assert check_picture(maps_of(tab, layer), board)[0] == 11


def test_the_layout_stands_still_while_steps_go_by(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, step=0)

    def boxes() -> Any:
        return tab.get_by_test_id("score-maps").evaluate_all(
            "all => all.map(each => { const box = each.getBoundingClientRect(); const { layer, scaleHigh, channels } = each.dataset;"
            " return [layer, box.x, box.y, box.width, box.height, scaleHigh, channels]; })"
        )

    expect(tab.locator("[data-testid=score-maps][data-step='0']")).to_have_count(6)
    before = boxes()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(tab.locator("[data-testid=score-maps][data-step='20']")).to_have_count(6)
    assert boxes() == before
    limits = board.record("layer", run=DIGITS, layer="fc1").header["abs_limit"]
    assert float(str(maps_of(tab, "fc1").get_attribute("data-scale-high"))) == pytest.approx(limits)


def test_the_prediction_and_its_probability_are_the_models(page: Page, board: TensorBoard, logs: Path) -> None:
    images, labels = digits_cnn.load_data()
    probe, _ = digits_cnn.probe_of_each_digit(images[:297], labels[:297])
    model = digits_cnn.DigitsCNN().double().eval()
    tab = open_view(page, board, step=0)
    for epoch in range(EPOCHS):
        step = epoch * STEPS_AN_EPOCH
        model.load_state_dict(torch.load(logs / DIGITS / f"before-epoch-{epoch}.pt", weights_only=True))
        with torch.no_grad():
            truth = torch.softmax(model(probe.double()), 1)
        page.keyboard.press("Home")
        for _ in range(step // 5):
            page.keyboard.press("ArrowRight")
        expect(maps_of(tab, "fc2")).to_have_attribute("data-step", str(step), timeout=10_000)
        for sample in (0, 4, 9):
            tab.locator(f'[data-testid=sample-tile][data-sample="{sample}"]').click()
            expect(maps_of(tab, "fc2")).to_have_attribute("data-samples", str(sample))
            text = tab.get_by_test_id("prediction").inner_text()
            units = [int(unit) for unit in re.findall(r"“(\d)”", text)]
            assert int(truth[sample].argmax()) in units
            low, high = probability_bounds(text)
            assert low <= float(truth[sample].max()) <= high, (step, sample, text)
    assert "softmax of fc2" in text


def probability_bounds(text: str) -> tuple[float, float]:
    """Return the interval that a written probability stands for."""
    found = re.search(r"p ([<>]?)\s*([\d.]+)(?:\u2013([\d.]+))?", text)
    assert found, text
    sign, first, last = found[1], float(found[2]), found[3]
    half = 0.5 * 10.0 ** -len(found[2].split(".")[1])
    if sign:
        return (0.0, first) if sign == "<" else (first, 1.0)
    return first - half, (float(last) if last else first) + half


def test_several_inputs_stand_side_by_side_with_the_same_channels(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, step=20, sample=3, scale="map", colormap="grey")
    tab.get_by_test_id("side-by-side").click()
    tab.locator('[data-testid=sample-tile][data-sample="8"]').click()
    canvas = maps_of(tab, "relu1")
    expect(canvas).to_have_attribute("data-samples", "3,4,8")
    captions = tab.get_by_test_id("panel-caption")
    expect(captions).to_have_count(3)
    assert [str(caption.inner_text())[:3] for caption in captions.all()] == ["“3”", "“4”", "“8”"]
    for layer in ("conv1", "pool1", "fc1"):
        step, compared = check_picture(maps_of(tab, layer), board)
        assert (step, compared > 2) == (20, True)
    page.wait_for_url(re.compile("samples=3%2C4%2C8"))
    tab.locator('[data-testid=sample-tile][data-sample="4"]').click()
    expect(canvas).to_have_attribute("data-samples", "3,8")
    tab.get_by_test_id("side-by-side").click()
    expect(canvas).to_have_attribute("data-samples", "3")


def test_layers_and_channels_are_chosen_and_opened(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, step=20, layer="conv1")
    expect(maps_of(tab, "pool1")).to_be_visible(timeout=10_000)
    pitch = int(str(maps_of(tab, "pool1").get_attribute("data-pitch")))
    maps_of(tab, "pool1").click(position={"x": 5 * pitch + 10, "y": 10})
    expect(tab.get_by_test_id("layer-title")).to_have_attribute("title", "pool1")
    expect(tab.locator(".score-chosen")).to_have_count(3)  # conv1, relu1, pool1 have as many channels
    page.wait_for_url(re.compile("channel=5"))
    page.keyboard.press("ArrowUp")
    expect(row_of(tab, "relu1")).to_have_class(re.compile("selected"))
    page.keyboard.press("]")
    page.wait_for_url(re.compile("channel=6"))
    before = page.url
    maps_of(tab, "conv1").hover(position={"x": 2 * pitch + 10, "y": 10})
    expect(tab.locator(".score-hover")).to_have_count(3)
    page.wait_for_timeout(300)
    assert page.url == before
    page.keyboard.press("Enter")
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-layer", "relu1")
    page.keyboard.press("3")
    row_of(tab, "fc1").get_by_test_id("row-name").click()
    expect(row_of(tab, "fc1")).to_have_class(re.compile("selected"))
    row_of(tab, "fc1").get_by_test_id("row-name").click()
    expect(tab.get_by_test_id("layer-view")).to_be_visible()


def test_blocks_fold_and_unfold(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, run="resnet", step=5, sample=0, scale="map", colormap="grey", layer="layer1.0.conv1")
    tab.locator('[data-testid=block-head][data-block="layer1.0"]').click()
    folded = tab.locator("[data-testid=score-row][data-kind=folded]")
    expect(folded).to_have_attribute("data-layer", "layer1.0/relu")
    expect(folded).to_have_class(re.compile("selected"))
    expect(tab.get_by_test_id("layer-title")).to_have_attribute("title", "layer1.0/relu")  # what was chosen inside gave way to it
    expect(maps_of(tab, "layer1.0/relu")).to_have_attribute("data-step", "5")
    check_picture(maps_of(tab, "layer1.0/relu"), board)
    assert tab.locator('[data-testid=arc][data-from="stem"]').count() == 0
    page.wait_for_url(re.compile("blocks=layer1.0"))
    page.keyboard.press("ArrowUp")
    expect(row_of(tab, "stem")).to_have_class(re.compile("selected"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(folded).to_have_count(0)
    tab.locator('[data-testid=block-head][data-block="layer1.0"]').click()
    tab.locator('[data-testid=layer-row][data-layer="layer1.0.conv1"]').click()  # in the tree: the block opens
    expect(row_of(tab, "layer1.0.conv1")).to_have_class(re.compile("selected"))


def test_play_runs_a_signal_through_the_layers_in_order(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, step=20)
    expect(maps_of(tab, "fc2")).to_be_visible(timeout=10_000)
    expect(page).to_have_url(re.compile("&layer=conv1&step=20"))
    before = page.url
    tab.get_by_test_id("score").evaluate(
        """score => {
          window.lit = [];
          new MutationObserver(changes => {
            for (const { target } of changes) if (target.dataset.lit === "true") window.lit.push(target.dataset.layer);
          }).observe(score, { subtree: true, attributes: true, attributeFilter: ["data-lit"] });
        }"""
    )

    def lit() -> Any:
        return tab.get_by_test_id("score").evaluate("() => window.lit")

    page.keyboard.press("p")
    eventually(lambda: "fc2" in lit())
    expect(tab.get_by_test_id("play-through")).to_have_attribute("aria-pressed", "false")
    assert lit() == ["conv1", "relu1", "pool1", "fc1", "relu2", "fc2"]
    assert page.url == before


def test_attention_sequences_what_has_no_maps_and_what_is_not_finite(page: Page, board: TensorBoard) -> None:
    tab = open_view(page, board, run="odd", step=1, sample=1, scale="map", colormap="grey")
    attention = maps_of(tab, "attend.self_attn")
    attention.scroll_into_view_if_needed(timeout=10_000)
    expect(attention).to_have_attribute("data-step", "1")
    assert check_picture(attention, board, "attention") == (1, 2)
    sequence = maps_of(tab, "attend.norm1")
    sequence.scroll_into_view_if_needed()
    assert check_picture(sequence, board) == (1, 1)
    six = row_of(tab, "six")
    six.scroll_into_view_if_needed()
    expect(six).to_contain_text("has no maps")
    conv = row_of(tab, "conv")
    conv.scroll_into_view_if_needed()
    expect(conv).to_contain_text("NaN or Inf")
    step, compared = check_picture(maps_of(tab, "conv"), board)
    assert (step, compared) == (1, 3)
    pitch, tile = (int(str(maps_of(tab, "conv").get_attribute(f"data-{name}"))) for name in ("pitch", "tile"))
    red = maps_of(tab, "conv").evaluate(
        "(canvas, [x, size]) => { const { data } = canvas.getContext('2d').getImageData(x, 1, size, size); let red = 0;"
        " for (let at = 0; at < data.length; at += 4) if (data[at] > data[at + 1] + 60) red++; return red; }",
        [1 + pitch, tile],
    )
    assert red > tile, "the hatch"


def test_of_a_wide_layer_the_strongest_channels_that_fit_are_shown_and_others_on_demand(page: Page, board: TensorBoard) -> None:
    page.set_viewport_size({"width": 900, "height": 900})
    tab = open_view(page, board, step=20, samples="0,1,2,3")
    canvas = maps_of(tab, "conv1")
    expect(canvas).to_be_visible(timeout=10_000)
    shown = str(canvas.get_attribute("data-channels")).split(",")
    assert 1 <= len(shown) < 16
    profile = board.record("channels", run=DIGITS, layer="conv1", columns=64).arrays["max"].max(0)
    strongest = sorted(np.argsort(-profile, kind="stable")[: len(shown)].tolist())
    assert strongest != list(range(len(shown)))
    assert shown == [str(channel) for channel in strongest]
    expect(maps_of(tab, "pool1")).to_have_attribute("data-channels", ",".join(shown))
    expect(row_of(tab, "conv1")).to_contain_text(f"{len(shown)} of 16, the strongest in the run")
    tab.get_by_test_id("channel-choice").select_option("index")
    expect(canvas).to_have_attribute("data-channels", ",".join(map(str, range(len(shown)))))
    expect(row_of(tab, "conv1")).to_contain_text(f"{len(shown)} of 16, the first")
    page.wait_for_url(re.compile("channels=index"))


@pytest.mark.parametrize("samples", ["2", "2,5"])
def test_the_value_of_the_unit_under_the_pointer_is_told_in_every_row_and_of_every_sample(
    page: Page, board: TensorBoard, samples: str
) -> None:
    several = {"samples": samples} if "," in samples else {"sample": samples}
    tab = open_view(page, board, step=20, **several)
    canvas = maps_of(tab, "relu2")
    expect(canvas).to_be_visible(timeout=10_000)
    pitch = int(str(canvas.get_attribute("data-pitch")))
    channels = [int(name) for name in str(canvas.get_attribute("data-channels")).split(",")]
    for column in (3, len(channels) - 1):
        canvas.hover(position={"x": column * pitch + pitch / 2, "y": 10})
        for layer in ("fc1", "relu2"):
            record = board.record("maps", run=DIGITS, layer=layer, step=20)
            low, high, codes = (record.arrays[name] for name in ("low", "high", "data"))
            unit = record.header["units"].index(channels[column])
            marks = row_of(tab, layer).locator(".score-hover span")
            expect(marks).to_have_count(len(samples.split(",")))
            expect(marks.first).to_contain_text(f"unit {channels[column]}: ")
            for panel, (mark, sample) in enumerate(zip(marks.all(), map(int, samples.split(",")), strict=True)):
                at = record.header["samples"].index(sample)
                value = low[at, 0] + codes[at].reshape(-1)[unit] * (high[at, 0] - low[at, 0]) / 254
                name, _, told = mark.inner_text().rpartition(": ")
                assert name == (f"unit {channels[column]}" if panel == 0 else "")
                assert float(told.replace("\u2212", "-").strip("<>")) == pytest.approx(value, rel=0.006, abs=0.001)
                expect(mark).to_be_in_viewport(ratio=1)


def test_only_rows_in_sight_are_fetched(page: Page, board: TensorBoard) -> None:
    asked: set[str] = set()

    def note(url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.path.endswith("/maps"):
            asked.update(urllib.parse.parse_qs(parts.query)["layer"])

    page.on("request", lambda request: note(request.url))
    page.set_viewport_size({"width": 1440, "height": 560})
    tab = open_view(page, board, run="resnet", step=4, layer="stem")
    expect(maps_of(tab, "layer1.0.conv1")).to_have_attribute("data-step", "4", timeout=10_000)
    page.wait_for_timeout(500)
    assert "stem" in asked
    assert not asked & {"layer1.1.conv2", "layer1.1/relu", "pool"}
    row_count = tab.get_by_test_id("score-row").count()
    for _ in range(14):
        page.keyboard.press("ArrowDown")
    expect(row_of(tab, "fc")).to_be_in_viewport()
    expect(maps_of(tab, "pool")).to_have_attribute("data-step", "4", timeout=10_000)
    assert tab.get_by_test_id("score-row").count() <= row_count + 6
