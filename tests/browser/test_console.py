"""The console page as people use it: in real Chromium, with its ears and eyes open.

In every test no error may stand in the browser's console, no policy may be broken, and nobody but
the service may be asked for anything (``tests.support.console``).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from websockets.sync.client import connect

from tests.support.console import KEY, PHONE, TALL, Visit, call
from tests.support.service import Service
from tests.support.speech import ESPEAK_RATE

LOUD = -35
"""dB; speech is above it, whatever a meter's moment."""

NOT_ALLOWED = """
void (navigator.mediaDevices.getUserMedia = () =>
  Promise.reject(new DOMException("no", "NotAllowedError")))
"""

DROP = """
([name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name));
  for (const type of ["dragover", "drop"]) {
    dispatchEvent(new DragEvent(type, { dataTransfer: transfer, cancelable: true }));
  }
}
"""


def heard_s(service: Service, session_id: str) -> float:
    """How many seconds the sandbox's replica has really said, of any loudness."""
    session = call(service, "GET", f"/sessions/{session_id}")
    log = call(service, "GET", f"/sandbox/rooms/{session['conversation_id']}/log")
    samples: list[int] = [each["samples"] for each in log if each["kind"] in {"played", "voice"}]
    return sum(samples) / 24_000


def test_newcomer_starts_and_hears_and_interrupts(visit: Visit) -> None:
    """Without a line written: a session, the sample, a moving mouth, sound, and a barge-in."""
    visit.open()
    expect(visit.page.get_by_label("Replica")).to_have_value("r4067604db72")
    expect(visit.page.get_by_label("Persona")).to_have_value("pipecat0")
    visit.page.get_by_label("A person in the room who speaks interrupts").check()
    visit.page.get_by_label("Go on in a new conversation when Tavus ends this one").check()
    with visit.page.expect_request(lambda request: request.method == "POST") as asked:
        visit.start_from_here()
    focused = visit.page.evaluate("document.activeElement.id")
    at_rest = visit.mouth()
    visit.press("Play the sample")
    visit.wait_for_level("The avatar's level", LOUD)
    visit.press("Pause")
    visit.press("Resume")
    speaking = visit.mouth(25)
    expect(visit.page.locator("#latency-figure")).to_contain_text("ms")
    expect(visit.page.locator("#utterances")).to_contain_text("hello played")
    visit.page.keyboard.press("Escape")
    cut = visit.wait_for_utterance("interrupted")
    visit.wait_for_silence("The avatar's level")
    wish = asked.value.post_data_json or {}

    assert "main" == focused
    assert (True, True) == (wish["interrupt_on_user_speech"], wish["renew"])
    assert 1 == at_rest
    assert speaking > 2
    assert "hello played, any voice flushed, interrupt me flushed" == cut["marks"]
    assert 0 < int(cut["played"]) <= int(cut["sent"]) < int(cut["received"])
    assert 1 == visit.mouth()
    assert {
        "utterance.done",
        "interrupt.accepted",
        "mark.reached",
        "playback.paused",
        "playback.resumed",
    } <= set(visit.events())


def test_microphone_is_spoken(visit: Visit, service: Service) -> None:
    """What the microphone hears, the avatar says; pressing again ends the utterance."""
    session_id = visit.start()
    visit.press("Microphone")
    visit.wait_for_level("Your level", LOUD)
    visit.wait_for_level("The avatar's level", LOUD)
    visit.press("Stop the microphone")
    said = visit.wait_for_utterance("played")
    visit.wait_for_silence("Your level")

    assert said["name"].startswith("microphone-")
    assert said["received"] == said["played"]
    assert int(said["played"]) / 1000 == pytest.approx(heard_s(service, session_id), abs=0.1)


def test_file_is_spoken_chosen_or_dropped(visit: Visit, spoken: Path) -> None:
    """A WAV file goes to the avatar as it is, under its name."""
    visit.start()
    visit.page.get_by_label("WAV file").set_input_files(spoken)
    chosen = visit.wait_for_utterance("played")
    visit.page.evaluate(DROP, ["my words.wav", list(spoken.read_bytes())])
    dropped = visit.wait_for_utterance("playing")
    said_ms = len(spoken.read_bytes()) / ESPEAK_RATE / 2 * 1000

    assert chosen["name"].startswith("greeting-")
    assert dropped["name"].startswith("my-words-")
    assert int(chosen["received"]) == int(chosen["played"]) == pytest.approx(said_ms, abs=5)


def test_typed_sentence_is_spoken_by_the_replica_itself(visit: Visit, service: Service) -> None:
    """It is no utterance of ours, but seen and heard all the same; the call can be copied."""
    session_id = visit.start()
    visit.page.get_by_label("Type a sentence").fill("It's me, your avatar.")
    visit.page.keyboard.press("Enter")
    visit.wait_for_level("The avatar's level", LOUD)
    expect(visit.page.get_by_label("Type a sentence")).to_have_value("")
    visit.wait_for_event("replica.stopped_speaking")
    visit.page.get_by_label("Show").select_option("Calls")
    visit.page.get_by_label("Filter").fill("echo me,")
    visit.page.get_by_role("button", name="messages").click()
    visit.press("Copy as curl")
    visit.page.get_by_role("button", name="Copied").wait_for()
    copied = visit.page.evaluate("navigator.clipboard.readText()")

    assert 0.3 < heard_s(service, session_id)
    assert [] == visit.utterances()
    assert f"/sessions/{session_id}/messages" in copied
    assert '"Authorization: Bearer $BRIDGE_API_KEY"' in copied
    assert """"text":"It'\\''s me, your avatar.\"""" in copied
    assert KEY not in copied


def test_reload_in_mid_speech_loses_nothing(visit: Visit) -> None:
    """The session goes on meanwhile; the page picks it up where it is."""
    session_id = visit.start()
    visit.press("Play the sample")
    before = visit.wait_for_utterance("playing")
    visit.page.reload()
    visit.ready()
    moving = visit.mouth(25)
    (known,) = visit.utterances()
    visit.hear()
    visit.wait_for_level("The avatar's level", LOUD)
    expect(visit.page.locator("#utterances")).to_contain_text("hello played")
    visit.press("Interrupt")
    done = visit.wait_for_utterance("interrupted")

    assert visit.page.url.endswith(f"#{session_id}")
    assert moving > 2
    assert (before["name"], "playing") == (known["name"], known["status"])
    assert (before["name"], "8647") == (done["name"], done["received"])
    assert int(done["played"]) > 1800
    assert "error" not in visit.events()


def test_other_client_takes_over_and_ends_the_session(visit: Visit, service: Service) -> None:
    """What others do with the session is seen here, and said with what to do about it."""
    session_id = visit.start()
    stream_url = call(service, "GET", f"/sessions/{session_id}")["stream_url"]
    visit.press("Microphone")
    visit.wait_for_utterance("playing")
    with connect(stream_url, additional_headers={"Authorization": f"Bearer {KEY}"}, proxy=None):
        about_other = visit.notice()
        expect(visit.page.locator("#microphone")).to_have_attribute("aria-pressed", "false")
    call(service, "POST", f"/sessions/{session_id}/interrupt", reason="elsewhere")
    visit.wait_for_event("interrupt.accepted")
    expect(visit.page.locator("#fps")).to_contain_text("pictures a second")
    call(service, "DELETE", f"/sessions/{session_id}")
    visit.page.locator("#state[data-status=ended]").wait_for()
    counts_pictures = visit.page.locator("#fps").is_visible()

    assert "Another client speaks in this session. Speak again to take over." == about_other
    assert not counts_pictures
    expect(visit.page.locator("#state")).to_have_text("over: deleted")
    expect(visit.page.locator("#notice")).to_be_hidden()
    for name in ("Play the sample", "Microphone", "Say", "Pause", "End session"):
        expect(visit.page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    expect(visit.page.locator("#sessions .current")).to_contain_text("ended: deleted")


def test_wrong_is_said_with_what_to_do(visit: Visit, tmp_path: Path) -> None:
    """A file that is none, a microphone that is not allowed, and a session that is none."""
    visit.refusals_expected = True
    visit.start()
    other = tmp_path / "notes.wav"
    other.write_bytes(b"not a sound")
    visit.page.get_by_label("WAV file").set_input_files(other)
    about_file = visit.notice()
    visit.press("Dismiss")
    visit.page.evaluate(NOT_ALLOWED)
    visit.press("Microphone")
    about_microphone = visit.notice()
    visit.press("Dismiss")
    expect(visit.page.locator("#microphone")).to_have_attribute("aria-pressed", "false")
    visit.page.evaluate("location.hash = 'sess_0000000000000000'")
    about_session = visit.notice()

    assert "This is not a WAV file. Choose another file." == about_file
    assert "Allow it beside the address" in about_microphone
    assert "There is no such session" in about_session
    assert "Start a new one" in about_session
    expect(visit.page.get_by_role("button", name="Start a session")).to_be_visible()


def test_key_is_asked_for_and_goes_to_no_socket(browser: Browser, service: Service) -> None:
    """A wrong one is refused with words; the right one works, and is kept nowhere unasked.

    The page comes through, its calls are refused: as when the keys were changed meanwhile.
    """
    with Visit.of(browser, service, signed_in=False) as visit:
        visit.refusals_expected = True
        visit.let_in_only_the_page()
        handshakes = visit.handshakes()
        visit.open()
        field = visit.page.get_by_label("API key", exact=True)
        field.fill("wrong")
        visit.press("Continue")
        visit.page.get_by_text("The service does not accept this key.").wait_for()
        field.fill(KEY)
        visit.press("Continue")
        visit.start_from_here()
        kept = visit.page.evaluate("JSON.stringify([sessionStorage, localStorage, location.href])")

        assert len(handshakes) >= 2
        assert all("bearer." in shown["Sec-WebSocket-Protocol"] for shown in handshakes)
        assert KEY not in str(handshakes)
        assert KEY not in kept


def test_page_is_accessible(visit: Visit) -> None:
    """Axe finds nothing wrong in either theme (names, roles, contrast), and Tab reaches all."""
    visit.open()
    expect(visit.page.get_by_role("button", name="Start a session")).to_be_enabled()
    reports = [Axe().run(visit.page)]
    visit.start_from_here()
    reports.append(Axe().run(visit.page))
    visit.page.emulate_media(color_scheme="dark")
    reports.append(Axe().run(visit.page))
    visit.page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges()")
    reached = []
    for _ in range(30):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("document.activeElement.id"))
    wanted = ["room", "end", "sound", "say", "microphone", "sample", "interrupt", "pause", "log"]

    assert [] == [each.generate_report() for each in reports if each.violations_count]
    assert wanted == [name for name in reached if name in wanted]


def test_pictures_for_the_readme(visit: Visit, tmp_path: Path) -> None:
    """A desk and a phone, light and dark, in mid-speech; nothing is wider than its screen.

    ``make screenshots`` puts them where the README shows them.
    """
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    page = visit.page
    visit.start()
    visit.press("Play the sample")
    visit.wait_for_level("The avatar's level", LOUD)
    page.keyboard.press("Escape")
    visit.press("Play the sample")
    expect(page.locator("#utterances [data-status=playing]")).to_contain_text("hello played")
    for name, scheme, viewport in (
        ("console-light", "light", TALL),
        ("console-dark", "dark", TALL),
        ("console-phone", "light", PHONE),
    ):
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.wait_for_timeout(300)  # until it is drawn anew
        visit.screenshot(folder / f"{name}.webp")
        width = page.evaluate("document.documentElement.scrollWidth")

        assert viewport["width"] == width
        assert 10_000 < (folder / f"{name}.webp").stat().st_size < 150_000


def test_service_that_is_gone(visit: Visit, service: Service) -> None:
    """The page says so and what to do. The last test: after it there is no service."""
    visit.refusals_expected = True
    visit.start()
    service.send_signal(signal.SIGKILL)
    words = visit.notice()
    visit.page.get_by_text("No answer").wait_for()

    assert "make run" in words or "shutting down" in words
    visit.problems = [each for each in visit.problems if "WebSocket" not in each]
