"""The console in real Chromium: one visit of its page, and all that went wrong in it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    Route,
    ViewportSize,
    expect,
)

from tests.support.browser import chromium
from tests.support.service import DEADLINE_S, Service

KEY = "key-of-the-browser-tests"

DESK = ViewportSize(width=1280, height=900)
TALL = ViewportSize(width=1280, height=1160)
PHONE = ViewportSize(width=390, height=844)

QUIET = -60
"""dB; where a meter begins."""

MOUTH = (272, 196, 96, 68)
"""Where the sandbox's face has its mouth: x, y, width and height in a picture 640 wide."""

LOOK = """
([x, y, width, height, pictures]) => new Promise((done) => {
  const context = document.getElementById("screen").getContext("2d");
  const seen = [];
  const look = () => {
    const { data } = context.getImageData(x, y, width, height);
    seen.push(data.reduce((sum, value) => (Math.imul(sum, 31) + value) | 0, 0));
    if (seen.length < pictures) setTimeout(look, 40);
    else done(seen);
  };
  look();
})
"""


def launch(playwright: Playwright, microphone: Path) -> Browser:
    """Start the browser, with this WAV file for a microphone that nobody has to allow."""
    return playwright.chromium.launch(
        executable_path=chromium(),
        args=[
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ],
    )


class Visit:
    """The page as a user has it before them."""

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.service = service
        self.problems: list[str] = []
        """Errors in the page's console, broken policies, and calls to anybody else."""
        self.refusals_expected = False
        """Whether calls may be refused: Chromium writes an error for each."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._asked)

    @classmethod
    @contextmanager
    def of(cls, browser: Browser, service: Service, **context: Any) -> Iterator[Self]:
        """Open a page with nothing on it yet; at the end nothing may have gone wrong."""
        with _context(browser, **context) as opened:
            visit = cls(opened.new_page(), service)
            yield visit

            assert [] == visit.problems

    def open(self, session_id: str = "") -> None:
        """Go to the page, or to one session on it."""
        self.page.goto(f"{self.service.base_url}/#{session_id}")

    def let_in_only_the_page(self) -> None:
        """Show the service a key with the page and its files, and with nothing else."""

        def let_in(route: Route, request: Request) -> None:
            route.continue_(headers={**request.headers, "authorization": f"Bearer {KEY}"})

        place = re.escape(self.service.base_url)
        self.page.context.route(re.compile(f"{place}/(console/.*)?$"), let_in)

    def handshakes(self) -> list[dict[str, Any]]:
        """The header lines of every WebSocket's handshake from now on, as they are made."""
        seen: list[dict[str, Any]] = []
        devtools = self.page.context.new_cdp_session(self.page)
        devtools.on(
            "Network.webSocketWillSendHandshakeRequest",
            lambda event: seen.append(event["request"]["headers"]),
        )
        devtools.send("Network.enable")
        return seen

    def start(self) -> str:
        """Start a session as a newcomer does, and wait until it is ready; returns its id."""
        self.open()
        return self.start_from_here()

    def start_from_here(self) -> str:
        """Press the button of the form that is before us."""
        self.press("Start a session")
        self.ready()
        return self.page.url.partition("#")[2]

    def ready(self) -> None:
        """Wait until the session is ready and its picture is there."""
        self.page.locator("#state[data-status=ready]").wait_for()
        expect(self.page.locator("#fps")).not_to_be_empty()

    def hear(self) -> None:
        """Turn the sound on, where the browser has not done so by itself."""
        button = self.page.locator("#sound")
        if button.get_attribute("aria-pressed") == "false":
            button.click()
        expect(button).to_have_attribute("aria-pressed", "true")

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def mouth(self, pictures: int = 12) -> int:
        """How many different mouths are seen one after another, 40 ms each."""
        return len(set(self.page.evaluate(LOOK, [*MOUTH, pictures])))

    def level(self, name: str) -> int:
        """The level that a meter shows, dB."""
        return int(self.page.get_by_role("meter", name=name).get_attribute("aria-valuenow") or 0)

    def wait_for_level(self, name: str, at_least: int) -> None:
        """Wait until a meter shows so much."""
        self._wait(lambda: self.level(name) >= at_least, f"{name} stays low")

    def wait_for_silence(self, name: str) -> None:
        """Wait until a meter has come to rest."""
        self._wait(lambda: self.level(name) == QUIET, f"{name} stays up")

    def utterances(self) -> list[dict[str, str]]:
        """The timeline in words."""
        rows = self.page.eval_on_selector_all(
            "#utterances tr", "rows => rows.map((row) => [...row.cells].map((c) => c.textContent))"
        )
        names = ("number", "name", "status", "received", "sent", "played", "marks")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def wait_for_utterance(self, status: str, count: int = 1) -> dict[str, str]:
        """Wait until so many utterances have a status; returns the last of them."""
        expect(self.page.locator(f"#utterances [data-status={status}]")).to_have_count(count)
        return [each for each in self.utterances() if each["status"] == status][-1]

    def notice(self) -> str:
        """Wait for words on what went wrong, and return them."""
        self.page.locator("#notice").wait_for()
        return self.page.locator("#notice p").inner_text()

    def wait_for_event(self, kind: str) -> None:
        """Wait until the event log shows one of this type."""
        self.page.locator("#log .log-type:visible", has_text=kind).first.wait_for()

    def events(self) -> list[str]:
        """What the event log shows, the newest first."""
        shown = self.page.locator("#log li:visible .log-type")
        return shown.all_inner_texts()

    def screenshot(self, file: Path) -> None:
        """Take a picture of the window, as WebP."""
        devtools = self.page.context.new_cdp_session(self.page)
        shot = devtools.send("Page.captureScreenshot", {"format": "webp", "quality": 82})
        file.write_bytes(base64.b64decode(shot["data"]))
        devtools.detach()

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Look again and again: the page's policy lets no test do so inside of it."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, otherwise
            self.page.wait_for_timeout(50)

    def _said(self, message: ConsoleMessage) -> None:
        refused = message.text.startswith("Failed to load resource")
        if message.type == "error" and not (refused and self.refusals_expected):
            self.problems.append(message.text)

    def _asked(self, request: Request) -> None:
        own = (self.service.base_url, "data:", "blob:")
        if not request.url.startswith(own):
            self.problems.append(f"the page asked {request.url}")


@contextmanager
def _context(
    browser: Browser, *, signed_in: bool = True, **options: Any
) -> Iterator[BrowserContext]:
    context = browser.new_context(
        # What a user types when the browser asks for it.
        http_credentials={"username": "anybody", "password": KEY} if signed_in else None,
        viewport=options.pop("viewport", DESK),
        permissions=["microphone", "clipboard-read", "clipboard-write"],
        **options,
    )
    context.set_default_timeout(DEADLINE_S * 1000)
    expect.set_options(timeout=DEADLINE_S * 1000)
    try:
        yield context
    finally:
        context.close()


def call(service: Service, method: str, path: str, **body: Any) -> Any:
    """What a backend does meanwhile."""
    headers = {"Authorization": f"Bearer {KEY}"}
    content = json.dumps(body) if body else None
    with httpx.Client(base_url=service.base_url, headers=headers, trust_env=False) as http:
        answer = http.request(method, path, content=content)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None
