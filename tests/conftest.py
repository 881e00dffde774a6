"""Fixtures of the browser tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import browser
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

# Chromium's own requests to the network are none of the tests' business.
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    path = browser.obtain(print)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS + sandbox)
        yield opened
        opened.close()


def is_error(message: ConsoleMessage) -> bool:
    """Whether a script complains. Neither a TensorBoard that the test has ended is an error of the page's, nor are TensorBoard's own
    fonts, which it asks for without the path prefix."""
    return message.type == "error" and "net::ERR_" not in message.text and "/font-roboto/" not in message.location["url"]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of 1440 x 900; the test fails when a script on it does."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if is_error(message) else None)
    yield opened
    context.close()
    assert not errors
