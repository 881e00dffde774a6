"""The Similarity view in a real browser: its numbers against CKA and PCA of the raw activations, recomputed from the demo's checkpoints."""

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import FrameLocator, Locator, Page, expect
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from tensorboard_process import TensorBoard, eventually, tensorboard
from test_tab import STEPS_AN_EPOCH, current_step, expect_layer, expect_step, independent_forward, open_tab, probe_images
from torch import nn

import actviz_tb

LAYERS = ["conv1", "relu1", "pool1", "fc1", "relu2", "fc2"]
RUNS = ("lr-0.05", "lr-0.2")

pytestmark = pytest.mark.browser


def outputs(demo: Path, run: str, epoch: int) -> dict[str, np.ndarray]:
    """What each layer puts out for the probe's ten samples before an epoch, [10, features], float64."""
    samples = [independent_forward(demo / run / f"before-epoch-{epoch}.pt", image) for image in probe_images()]
    return {name: np.stack([sample[name].reshape(-1) for sample in samples]) for name in LAYERS}


def kernel(x: np.ndarray, estimator: str) -> np.ndarray:
    """The kernel whose inner products are HSIC: centred, or as Song et al. 2012 have it, written out in its U-centred form."""
    n = len(x)
    if estimator == "biased":
        centring = np.eye(n) - 1 / n
        return np.asarray(centring @ x @ x.T @ centring)
    k = x @ x.T
    np.fill_diagonal(k, 0)
    row = k.sum(axis=1, keepdims=True)
    k = k - row / (n - 2) - row.T / (n - 2) + k.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(k, 0)
    return np.asarray(k)


def cka(x: np.ndarray, y: np.ndarray, estimator: str) -> float:
    k, m = kernel(x, estimator), kernel(y, estimator)
    if not np.ptp(x, axis=0).any() or not np.ptp(y, axis=0).any():
        return math.nan
    return float((k * m).sum() / math.sqrt((k * k).sum() * (m * m).sum()))


def expected_matrix(one: dict[str, np.ndarray], other: dict[str, np.ndarray], estimator: str) -> np.ndarray:
    return np.array([[cka(one[a], other[b], estimator) for b in LAYERS] for a in LAYERS])


def number(text: str) -> float:
    return float(text.replace("\u2212", "-")) if text else math.nan


def shown_matrix(panel: Locator) -> tuple[dict[str, str], np.ndarray]:
    """What a matrix's canvas says that it shows, and the numbers that stand in its cells."""
    data = panel.locator("canvas").evaluate("canvas => ({ ...canvas.dataset })")
    texts = data["numbers"].split(" ")
    size = len(data["rows"].split("\n")), len(data["columns"].split("\n"))
    return data, np.array([number(text) for text in texts]).reshape(size)


def cells(tab: FrameLocator, matrix: str) -> Locator:
    return tab.get_by_test_id(matrix).locator(".matrix-cells")


def at_cell(panel: Locator, row: int, column: int, rows: int = 6, columns: int = 6) -> Any:
    """The middle of a cell, as a position on its panel."""
    box = panel.bounding_box()
    assert box is not None
    return {"x": box["width"] * (column + 0.5) / columns, "y": box["height"] * (row + 0.5) / rows}


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_the_numbers_in_the_cells_are_cka_of_the_raw_activations(page: Page, board: TensorBoard, demo: Path, estimator: str) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="fc1", step=0, estimator=estimator)
    for epoch in range(3):
        step = epoch * STEPS_AN_EPOCH
        a, b = (outputs(demo, run, epoch) for run in RUNS)
        for testid, expected in (
            ("matrix-within", expected_matrix(a, a, estimator)),
            ("matrix-between", expected_matrix(a, b, estimator)),
        ):
            panel = tab.get_by_test_id(testid)
            expect(panel.locator("canvas")).to_have_attribute("data-step", str(step))
            data, shown = shown_matrix(panel)
            assert (data["run"], data["estimator"]) == (RUNS[0], estimator)
            assert data["rows"].split("\n") == data["columns"].split("\n") == LAYERS
            np.testing.assert_allclose(shown, expected, atol=0.005 + 1e-4)
        for _ in range(STEPS_AN_EPOCH // 5):
            page.keyboard.press("ArrowRight")


def test_the_value_of_the_cell_under_the_pointer_has_four_decimals(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="conv1", step=25)
    a, b = (outputs(demo, run, 1) for run in RUNS)
    panel = cells(tab, "matrix-between")
    compared = 0
    for row, column in ((0, 0), (3, 0), (5, 1), (1, 5)):
        panel.hover(position=at_cell(panel, row, column))
        value = tab.get_by_test_id("matrix-between").get_by_test_id("cell-value")
        expect(value).to_contain_text(f"{LAYERS[row]} (A) and {LAYERS[column]} (B):")
        truth = cka(a[LAYERS[row]], b[LAYERS[column]], "unbiased")
        text = value.inner_text().split(": ")[1]
        if math.isnan(truth):
            assert text == "equal for all samples"
        else:
            assert number(text) == pytest.approx(truth, abs=1.5e-4)
            compared += 1
    assert compared
    assert current_step(tab) == 25
    expect_layer(tab, "conv1")  # hovering chooses nothing


STOPS = ["f3f7d9", "dff1b2", "c7e9b4", "7fcdbb", "41b6c4", "1d91c0", "225ea8", "253494", "0b1f5c"]


def test_a_cells_colour_is_its_values(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], layer="conv1", step=0, estimator="biased")
    panel = tab.get_by_test_id("matrix-within")
    expect(panel.locator("canvas")).to_have_attribute("data-step", "0")
    read = """canvas => [...Array(36).keys()].map(cell => {
      const [x, y] = [(cell % 6) / 6 * canvas.width + 6, Math.floor(cell / 6) / 6 * canvas.height + 6];
      return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
    })"""
    colours = np.array(panel.locator("canvas").evaluate(read))
    stops = np.array([[int(stop[at : at + 2], 16) for at in (0, 2, 4)] for stop in STOPS])
    values = expected_matrix(*[outputs(demo, RUNS[0], 0)] * 2, "biased").reshape(-1)
    place = np.clip((values - 0.5) / 0.5, 0, 1) * 8
    expected = np.stack([np.interp(place, np.arange(9), stops[:, part]) for part in range(3)], axis=1)
    assert np.abs(colours - expected).max() <= 4  # one entry of 256 of the table


def test_the_samples_lie_as_in_pca_up_to_rotation_and_the_head_says_what_is_explained(page: Page, board: TensorBoard, demo: Path) -> None:
    for layer, epoch in (("conv1", 0), ("fc1", 2), ("fc2", 1)):
        tab = open_tab(page, board, view="similarity", run=RUNS[0], layer=layer, step=epoch * STEPS_AN_EPOCH)
        page.reload()
        scatter = tab.get_by_test_id("scatter")
        expect(scatter).to_have_attribute("data-step", str(epoch * STEPS_AN_EPOCH), timeout=20_000)
        expect(scatter).to_have_attribute("data-layer", layer)
        points = np.array(str(scatter.get_attribute("data-points")).split(), float).reshape(10, 2)
        pca = PCA(n_components=2, svd_solver="full").fit(outputs(demo, RUNS[0], epoch)[layer])
        scores = pca.transform(outputs(demo, RUNS[0], epoch)[layer])
        distances, expected = (np.linalg.norm(each[:, None] - each[None], axis=-1) for each in (points, scores))
        np.testing.assert_allclose(distances, expected, atol=2e-4 * np.abs(scores).max())
        text = tab.get_by_test_id("explained").inner_text()
        found = [float(percent) for percent in re.findall(r"([\d.]+) %", text)]
        np.testing.assert_allclose(found, 100 * pca.explained_variance_ratio_, atol=0.051)


def test_the_plane_of_b_is_turned_as_a_whole_onto_that_of_a(page: Page, board: TensorBoard) -> None:
    a, b = (board.record("projection", run=run, layer="fc1").arrays for run in RUNS)
    np.testing.assert_array_equal(a["steps"], b["steps"])
    known = (a["states"] == 0) & (b["states"] == 0)  # B's layer before it dies
    assert 1 < known.sum() < len(known)
    turn, _ = orthogonal_procrustes(b["points"][known].reshape(-1, 2), a["points"][known].reshape(-1, 2))
    assert not np.allclose(turn, np.eye(2), atol=0.05)
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], focus="B", layer="fc1", step=5)
    scatter = tab.get_by_test_id("scatter")
    expect(scatter).to_have_attribute("data-step", "5")
    expect(scatter).to_have_attribute("data-run", RUNS[1])
    expect(tab.get_by_role("main")).to_contain_text("aligned to the step before, B to A")
    points = np.array(str(scatter.get_attribute("data-points")).split(), float).reshape(-1, 2)
    expected = b["points"][b["steps"].tolist().index(5)] @ turn
    np.testing.assert_allclose(points, expected, atol=1e-4 * np.abs(expected).max())


def test_points_do_not_flip_between_steps_and_their_scale_stays(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], layer="relu2", step=30)
    scatter = tab.get_by_test_id("scatter")
    expect(scatter).to_have_attribute("data-step", "30")

    def points() -> np.ndarray:
        return np.array(str(scatter.get_attribute("data-points")).split(), float).reshape(10, 2)

    before, reach = points(), scatter.get_attribute("data-reach")
    for step in (35, 40, 45):
        page.keyboard.press("ArrowRight")
        expect(scatter).to_have_attribute("data-step", str(step))
        here = points()
        moved = np.linalg.norm(here - before)
        for flip in ([-1, 1], [1, -1], [-1, -1]):
            assert moved < np.linalg.norm(here * flip - before)
        assert scatter.get_attribute("data-reach") == reach
        before = here
    tab.get_by_test_id("scale-mode").select_option("layer")
    expect(scatter).not_to_have_attribute("data-reach", str(reach))


def test_the_dimensions_at_the_cursor_are_those_of_the_eigenvalues(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="fc1", step=25)
    variances = PCA(svd_solver="full").fit(outputs(demo, RUNS[0], 1)["fc1"]).explained_variance_[:9]
    shares = variances / variances.sum()
    values = tab.get_by_test_id("dimensions-values")
    expect(values).to_contain_text(f"{1 / (shares**2).sum():#.3g}")
    tab.get_by_test_id("measure").select_option("effective")
    expect(values).to_contain_text(f"{np.exp(-(shares * np.log(shares)).sum()):#.3g}")
    expect(tab.get_by_test_id("dimensions-plot")).to_have_attribute("data-measure", "effective")
    expect(values).to_contain_text("none")  # of B, whose fc1 is equal for all samples


def test_within_the_matrix_the_arrows_move_from_cell_to_cell_and_enter_chooses(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="relu1", step=0)
    panel, value = cells(tab, "matrix-within"), tab.get_by_test_id("matrix-within").get_by_test_id("cell-value")
    expect(panel).to_have_attribute("aria-label", re.compile(r"6 layers, A with A, step 0, 10 samples. Least alike: \w+ and fc2, \.\d\d"))
    panel.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    expect(value).to_contain_text("pool1 and relu1: 0.99")
    expect_layer(tab, "relu1")
    assert current_step(tab) == 0
    page.keyboard.press("Enter")
    expect_layer(tab, "pool1")
    page.wait_for_url(re.compile("layer=pool1.*pair=relu1"))
    panel.evaluate("panel => panel.blur()")
    page.keyboard.press("ArrowDown")
    expect_layer(tab, "fc1")


def test_a_click_chooses_the_pair_and_a_pasted_link_shows_it(page: Page, board: TensorBoard) -> None:
    state = {"estimator": "biased", "dimensions": "effective", "comparison": "between"}
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="conv1", step=0, **state)
    panel = cells(tab, "matrix-between")
    panel.click(position=at_cell(panel, 4, 2))
    expect_layer(tab, "relu2")
    page.wait_for_url(re.compile("layer=relu2.*pair=pool1"))
    other = page.context.new_page()
    other.goto(page.url)
    pasted = other.frame_locator("iframe")
    matrix = pasted.get_by_test_id("matrix-between")
    expect(matrix.get_by_test_id("cell-value")).to_contain_text("relu2 (A) and pool1 (B): 0.", timeout=20_000)
    expect(matrix.locator("canvas")).to_have_attribute("data-estimator", "biased")
    expect(pasted.get_by_test_id("measure")).to_have_value("effective")
    panel.click(position=at_cell(panel, 4, 2))  # a second click on what is chosen opens it
    expect(tab.get_by_test_id("layer-view")).to_be_visible()


def test_the_steps_of_a_layer_are_compared_and_a_click_chooses_a_step(page: Page, board: TensorBoard, demo: Path) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="fc2", step=0)
    tab.get_by_test_id("comparison").select_option("steps")
    page.wait_for_url(re.compile("comparison=steps"))
    canvas = tab.get_by_test_id("matrix-steps").locator("canvas")
    expect(canvas).to_have_attribute("data-layer", "fc2")
    steps = [int(step) for step in str(canvas.get_attribute("data-rows")).split("\n")]
    assert steps == list(range(0, 75, 5))
    panel = cells(tab, "matrix-steps")
    truth = cka(outputs(demo, RUNS[0], 1)["fc2"], outputs(demo, RUNS[0], 2)["fc2"], "unbiased")
    panel.click(position=at_cell(panel, 5, 10, 15, 15))
    expect_step(tab, 25)
    text = tab.get_by_test_id("matrix-steps").get_by_test_id("cell-value").inner_text()
    assert text.startswith("steps 25 and 50: ")
    assert number(text.split(": ")[1]) == pytest.approx(truth, abs=1.5e-4)
    page.wait_for_url(re.compile("reference=50"))


def test_scrubbing_never_shows_one_steps_matrix_under_another_steps_label(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="conv1", step=0)
    panel = tab.get_by_test_id("matrix-within")
    expect(panel.locator("canvas")).to_have_attribute("data-step", "0")
    answers = {step: board.record("similarity", run=RUNS[0], step=step, estimator="unbiased").arrays["cka"] for step in range(0, 75, 5)}
    page.route("**/similarity?*", lambda route: (page.wait_for_timeout(30), route.continue_()))
    for _ in range(12):
        page.keyboard.press("ArrowRight")
        hint, data = panel.evaluate("panel => [panel.querySelector('.hint').textContent, { ...panel.querySelector('canvas').dataset }]")
        assert hint.startswith(f"A with A, step {data['step']}")
        np.testing.assert_allclose(
            [number(text) for text in data["numbers"].split(" ")], answers[int(data["step"])].reshape(-1), atol=0.0051
        )
    expect(panel.locator("canvas")).to_have_attribute("data-step", "60")
    page.unroute_all(behavior="wait")


def test_a_sample_is_told_under_the_pointer_and_chosen_by_a_click(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], layer="fc2", step=70)
    scatter = tab.get_by_test_id("scatter")
    expect(scatter).to_have_attribute("data-step", "70")
    points = np.array(str(scatter.get_attribute("data-points")).split(), float).reshape(10, 2)
    box, reach = scatter.bounding_box(), float(str(scatter.get_attribute("data-reach")))
    assert box is not None
    place = box["width"] / 2 * (1 + points[7] / reach * [1, -1])
    scatter.hover(position={"x": place[0], "y": place[1]})
    expect(tab.get_by_test_id("sample-value")).to_have_text("sample 7, label 7")
    assert "sample=" not in page.url
    scatter.click(position={"x": place[0], "y": place[1]})
    page.wait_for_url(re.compile("sample=7"))
    expect(tab.get_by_test_id("sample")).to_have_value("7")
    page.keyboard.press("2")
    expect(tab.get_by_test_id("map-large")).to_have_attribute("data-sample", "7")


def test_a_saved_matrix_is_the_one_shown(page: Page, board: TensorBoard) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], layer="fc2", step=10)
    panel = tab.get_by_test_id("matrix-between")
    expect(panel.locator("canvas")).to_have_attribute("data-step", "10")
    with page.expect_download() as download:
        panel.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "cka_lr-0.05_lr-0.2_step-10.csv"
    head, *rows = csv.reader(io.StringIO(Path(download.value.path()).read_text()))
    assert head == ["Between runs", *LAYERS]
    assert [row[0] for row in rows] == LAYERS
    found = board.record("similarity", run=RUNS[0], other_run=RUNS[1], step=10, estimator="unbiased").arrays["cka"]
    np.testing.assert_allclose([[float(cell or "nan") for cell in row[1:]] for row in rows], found, rtol=1e-6)


def train(directory: Path, steps: int, every: int = 1, nan_at: int | None = None, moving: bool = False, **options: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
    with actviz_tb.watch(model, directory, every=every, **options):
        for step in range(steps):
            if step == nan_at:
                with torch.no_grad():
                    model[2].bias[1] = math.nan
            model(torch.randn(8, 6))
            if moving:
                with torch.no_grad():
                    model[0].weight += 0.01 * torch.randn_like(model[0].weight)


PROBE = torch.linspace(-1, 1, 12 * 6).reshape(12, 6).sin()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    """Runs of a small network: with NaN, long, of other steps, of other probes, without one."""
    top = tmp_path_factory.mktemp("small")
    train(top / "bad", 20, nan_at=12, probe=PROBE)
    train(top / "long", 600, probe=PROBE, stock_tabs=False, moving=True)
    train(top / "a", 20, probe=PROBE, samples=4)
    train(top / "b", 20, every=2, probe=PROBE + 1, samples=4)
    train(top / "c", 20, probe=PROBE[:7], samples=4)
    train(top / "d", 20)
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(top)) as running:
        yield running


def test_what_is_equal_or_not_finite_has_words_and_no_number(page: Page, board: TensorBoard, small: TensorBoard) -> None:
    tab = open_tab(page, board, view="similarity", run=RUNS[0], runB=RUNS[1], focus="B", layer="relu2", step=70)
    frames = tab.get_by_test_id("pca-frames").nth(1)
    expect(frames).to_have_attribute("data-states", re.compile("^0 .*1$"))
    expect(frames).to_have_attribute("aria-label", re.compile("equal for all samples at .* of 15 steps"))
    expect(tab.get_by_test_id("samples")).to_contain_text("equal for all samples")
    expect(tab.get_by_test_id("matrix-within").get_by_test_id("cell-value")).to_contain_text("relu2, fc2: equal for all samples")
    tab = open_tab(page, small, view="similarity", run="bad", layer="2", step=15)
    expect(tab.get_by_test_id("samples")).to_contain_text("NaN or infinity")
    expect(tab.get_by_test_id("scatter")).to_have_attribute("data-points", "")
    expect(tab.get_by_test_id("pca-frames")).to_have_attribute("data-states", re.compile("^0 .*2$"))
    expect(tab.get_by_test_id("matrix-within").get_by_test_id("cell-value")).to_have_text("2: NaN or infinity")
    expect(tab.get_by_test_id("dimensions-values")).to_contain_text("NaN")


def test_a_step_between_those_of_a_thinned_answer_is_turned_onto_the_one_before(page: Page, small: TensorBoard) -> None:
    whole = small.record("projection", run="long", layer="0").arrays
    assert 301 not in whole["steps"]
    before = whole["points"][whole["steps"].tolist().index(300)]
    alone = small.record("projection", run="long", layer="0", step=301).arrays["points"][0]
    tab = open_tab(page, small, view="similarity", run="long", layer="0", step=301)
    scatter = tab.get_by_test_id("scatter")
    expect(scatter).to_have_attribute("data-step", "301")
    points = np.array(str(scatter.get_attribute("data-points")).split(), float).reshape(12, 2)
    distances, expected = (np.linalg.norm(each[:, None] - each[None], axis=-1) for each in (points, alone))
    np.testing.assert_allclose(distances, expected, atol=1e-4 * np.abs(alone).max())
    assert np.linalg.norm(points - before) < 0.2 * np.linalg.norm(before)
    assert np.linalg.norm(points - before) <= np.linalg.norm(alone - before) + 1e-6
    page.keyboard.press("ArrowLeft")
    expect(scatter).to_have_attribute("data-step", "300")


def test_without_a_probe_the_page_says_how_to_give_one(page: Page, small: TensorBoard) -> None:
    tab = open_tab(page, small, view="similarity", run="d")
    expect(tab.get_by_test_id("without-probe")).to_contain_text("probe=images[:64], probe_labels=labels[:64]")


def test_what_two_runs_cannot_compare_is_said(page: Page, chromium: Any, small: TensorBoard) -> None:
    tab = open_tab(page, small, view="similarity", run="a", runB="b", step=10)
    words = tab.locator(".matrix").nth(1)
    expect(words).to_contain_text("different inputs")
    page.keyboard.press("ArrowRight")
    expect(words).to_contain_text("Run B did not log step 11.")
    tab.get_by_test_id("run-b").select_option("d")
    expect(words).to_contain_text("Run B has no probe.")
    expect(tab.locator(".frame-row")).to_contain_text("Run B has no probe.")
    expect(tab.get_by_test_id("matrix-within").locator("canvas")).to_have_attribute("data-step", "11")
    refused = chromium.new_page()  # not the fixture's: a refusal is an error on the console
    tab = open_tab(refused, small, view="similarity", run="a", runB="c", step=11)
    expect(tab.locator(".matrix").nth(1)).to_contain_text("12 and of 7 samples")
    refused.close()


def test_one_run_shows_its_steps_beside_its_layers(page: Page, small: TensorBoard) -> None:
    tab = open_tab(page, small, view="similarity", run="a", layer="1", step=3)
    expect(tab.get_by_test_id("matrix-steps").locator("canvas")).to_have_attribute("data-layer", "1")
    assert tab.get_by_test_id("comparison").count() == 0
    page.keyboard.press("ArrowDown")
    expect(tab.get_by_test_id("matrix-steps").locator("canvas")).to_have_attribute("data-layer", "2")


@pytest.mark.parametrize("width", [900, 1440, 2560])
def test_the_view_fits_from_narrow_to_wide_and_in_the_dark(page: Page, board: TensorBoard, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    tab = open_tab(page, board, view="similarity", layer="fc1", step=20)
    expect(tab.get_by_test_id("pca-frames")).to_have_count(2)
    assert tab.locator(".view").evaluate("view => view.scrollWidth - view.clientWidth") <= 0
    for testid in ("timeline", "current-step", "layer-title", "matrix-within"):
        expect(tab.get_by_test_id(testid)).to_be_in_viewport()
    pixel = "canvas => [...canvas.getContext('2d').getImageData(9, 9, 1, 1).data.slice(0, 3)]"
    canvas = tab.get_by_test_id("matrix-within").locator("canvas")
    assert canvas.evaluate(pixel) == [0x0B, 0x1F, 0x5C]
    page.evaluate("document.body.classList.add('dark-mode')")
    eventually(lambda: canvas.evaluate(pixel) == [0xED, 0xF8, 0xB1])
