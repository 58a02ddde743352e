"""One browser and one service for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from app.core.pcm import AudioFormat, Encoding
from tests.support.audio import wav
from tests.support.console import KEY, Visit, call, launch
from tests.support.service import Service
from tests.support.speech import ESPEAK_RATE, encode, speech

FORMAT = AudioFormat(Encoding.S16LE, ESPEAK_RATE, 1)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a WAV file of a greeting, about 1 s."""
    file = tmp_path_factory.mktemp("audio") / "greeting.wav"
    file.write_bytes(wav(FORMAT, encode(speech("Hello there."), FORMAT.encoding)))
    return file


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start the service with an API key and its sandbox."""
    folder = tmp_path_factory.mktemp("service")
    with Service(folder, BRIDGE_API_KEYS=f"test:{KEY}") as service:
        call(service, "PUT", "/sandbox/faults", replica_join_ms=100)
        yield service


@pytest.fixture(scope="module")
def browser(spoken: Path) -> Iterator[Browser]:
    """Start the browser; its microphone hears the greeting again and again."""
    with sync_playwright() as playwright:
        browser = launch(playwright, spoken)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Visit]:
    """Visit the page with the key it needs."""
    with Visit.of(browser, service) as visit:
        yield visit
