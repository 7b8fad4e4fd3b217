"""A page in headless Chromium, for tests of what readers see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, headless=True)
        try:
            yield browser
        finally:
            browser.close()


def watched(
    browser: Any, width: int = 1440, height: int = 900, theme: str = "light"
) -> tuple[Any, list[str], list[str]]:
    """A page, the addresses that it asks for, and what goes wrong in it."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    return page, asked, wrong


def outside(asked: list[str]) -> list[str]:
    """Of what was asked for, what is not the file itself or in it."""
    return [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
