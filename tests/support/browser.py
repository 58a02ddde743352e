"""A real Chromium, the system's, without a window: with a microphone that hears a file."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.support.face import read_count

WIDE, PHONE = ViewportSize(width=1000, height=800), ViewportSize(width=375, height=740)

READY_MS = 60_000
"""Longest wait for anything in a page; a loaded machine starts a browser slowly."""

GREY = """(canvas) => {
  const {data, width, height} = canvas.getContext("2d").getImageData(
    0, 0, canvas.width, canvas.height);
  let grey = "";
  for (let at = 0; at < data.length; at += 4) {
    grey += String.fromCharCode(
      (data[at] * 299 + data[at + 1] * 587 + data[at + 2] * 114) / 1000);
  }
  return [width, height, grey];
}"""
"""A picture as text, one character a pixel."""


def chromium() -> str:
    """Where the system's browser is. Raises AssertionError: ``make test`` installs Debian's."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "chromium is not installed"
    return program


@asynccontextmanager
async def browsing(microphone: Path | None = None) -> AsyncIterator[Browser]:
    """Start a browser; its microphone, which nobody has to allow, hears this file over and over."""
    arguments = [
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]
    if microphone is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def page_in(
    browser: Browser, size: ViewportSize = WIDE, *, dark: bool = False
) -> AsyncIterator[Page]:
    """Open a page of a visitor of its own; at the end nothing may have gone wrong in it."""
    context = await browser.new_context(
        viewport=size, color_scheme="dark" if dark else "light", permissions=["microphone"]
    )
    context.set_default_timeout(READY_MS)
    wrong: list[str] = []
    page = await context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    await context.close()

    assert [] == wrong


async def grey(page: Page, canvas: str) -> NDArray[np.uint8]:
    """The picture on a canvas, height × width."""
    width, height, pixels = await page.locator(canvas).evaluate(GREY)
    return np.frombuffer(pixels.encode("latin-1"), np.uint8).reshape(height, width)


async def count(page: Page, canvas: str) -> int | None:
    """How many samples the replica had played when the picture on a canvas was taken."""
    return read_count(await grey(page, canvas))
