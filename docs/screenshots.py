"""Make the pictures of the README and docs: train the demo, a GAN and three real networks, serve them, and photograph the tab.

make screenshots
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # in this order: tests has a directory actviz_tb, too

import browser  # noqa: E402  the tests' own helpers
import real_runs  # noqa: E402
from conftest import ARGUMENTS  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402
from tensorboard_process import tensorboard  # noqa: E402

OUT = ROOT / "docs" / "images"
DEMO = "run=lr-0.05&runB=lr-0.2&"
PLANTED = "run=healthy&runB=faulty&"
PICTURES = {
    # README
    "overview": ("demo", DEMO + "layer=relu1&step=100"),
    "layer": ("demo", DEMO + "view=layer&layer=conv1&step=300&sample=3"),
    "dying-dark": ("demo", DEMO + "view=layer&layer=relu1&focus=B&step=5&sample=3"),
    "propagation": ("demo", DEMO + "view=propagation&layer=relu1&step=300&sample=3"),
    "compare": ("demo", DEMO + "view=compare&layer=relu1&step=20&sample=3"),
    "similarity": ("demo", DEMO + "view=similarity&layer=relu2&step=300"),
}
"""Name -> (log, state of the page); dark where the name ends so."""
BOTH = {
    # docs/views.md
    "text-overview": ("text", PLANTED + "layer=block1.down&step=510"),
    "text-gradients": ("text", PLANTED + "layer=block1.down&step=510&of=gradients"),
    "resnet-layer": ("resnet", PLANTED + "view=layer&focus=B&layer=block2.act1&step=290&sample=3"),
    "text-attention": ("text", PLANTED + "view=layer&layer=block1%2Fscaled_dot_product_attention&part=attention&step=500"),
    "resnet-propagation": ("resnet", PLANTED + "view=propagation&layer=block1.act1&step=290&sample=3"),
    "text-compare": ("text", PLANTED + "view=compare&layer=block1.down&step=510"),
    "gan-propagation": ("gan", "run=.&view=propagation&layer=generator.4&step=290&sample=1"),
    "digits-similarity": ("digits", PLANTED + "view=similarity&layer=fc1&step=800"),
}
PICTURES |= BOTH | {f"{name}-dark": of for name, of in BOTH.items()}


EXAMPLES = {"demo": "digits_cnn.py", "gan": "gan.py"}


def log(kind: str, directory: Path) -> None:
    if kind in EXAMPLES:
        subprocess.run([sys.executable, str(ROOT / "examples" / EXAMPLES[kind]), "--logdir", str(directory)], check=True)
    else:
        real_runs.log(directory, kind)


def photograph(opened: Browser, url: str, name: str) -> None:
    page = opened.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url)
    page.frame_locator("iframe").get_by_test_id("layer-row").first.wait_for()
    page.evaluate("dark => document.body.classList.toggle('dark-mode', dark)", name.endswith("-dark"))
    page.wait_for_timeout(3000)
    picture = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    picture.convert("RGB").save(OUT / f"{name}.webp", lossless=True, method=6)  # a third of a PNG


def main() -> None:
    OUT.mkdir(exist_ok=True)
    chromium = browser.obtain(print)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, "--no-sandbox"])
        for kind in dict.fromkeys(kind for kind, _ in PICTURES.values()):
            logdir = Path(directory) / kind
            log(kind, logdir)
            with tensorboard(Path(directory) / f"{kind}.out", "--logdir", str(logdir)) as board:
                for name, (of, state) in PICTURES.items():
                    if of == kind:
                        photograph(opened, f"{board.url}#actviz&{state}", name)


if __name__ == "__main__":
    main()
