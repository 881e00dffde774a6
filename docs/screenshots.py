"""Make the pictures of the README: train the demo, serve it, and photograph the tab.

make screenshots
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import browser  # noqa: E402  the tests' own helpers
from conftest import ARGUMENTS  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from tensorboard_process import tensorboard  # noqa: E402

PICTURES = {
    "overview": ("layer=relu1&step=100", False),
    "layer": ("view=layer&layer=conv1&step=300&sample=3", False),
    "propagation": ("view=propagation&layer=relu1&step=300&sample=3", False),
    "compare": ("view=compare&layer=relu1&step=20&sample=3", False),
    "similarity": ("view=similarity&layer=relu2&step=300", False),
    "layer-dark": ("view=layer&layer=relu1&focus=B&step=5&sample=3", True),
}


def main() -> None:
    out = ROOT / "docs" / "images"
    out.mkdir(exist_ok=True)
    chromium = browser.obtain(print)
    with tempfile.TemporaryDirectory() as directory:
        logdir = Path(directory) / "digits"
        subprocess.run([sys.executable, str(ROOT / "examples" / "digits_cnn.py"), "--logdir", str(logdir)], check=True)
        with tensorboard(Path(directory) / "out", "--logdir", str(logdir)) as board, sync_playwright() as playwright:
            opened = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, "--no-sandbox"])
            for name, (state, dark) in PICTURES.items():
                page = opened.new_page(viewport={"width": 1440, "height": 900})
                page.goto(f"{board.url}#actviz&run=lr-0.05&runB=lr-0.2&{state}")
                page.frame_locator("iframe").get_by_test_id("layer-row").first.wait_for()
                page.evaluate("dark => document.body.classList.toggle('dark-mode', dark)", dark)
                page.wait_for_timeout(3000)
                page.screenshot(path=out / f"{name}.png")
                page.close()


if __name__ == "__main__":
    main()
