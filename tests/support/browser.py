"""Headless Chromium, where there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)


@contextmanager
def page(width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A page of a fresh browser; the test is skipped where no Chromium is installed."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


def shot(shown: Page, name: str) -> None:
    """Keep a picture of the page in the folder that CALLSHEET_SCREENSHOTS names; nothing without it."""
    folder = os.environ.get("CALLSHEET_SCREENSHOTS")
    if folder:
        shown.wait_for_timeout(1500)
        shown.screenshot(path=str(Path(folder) / f"{name}.png"))
