from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve

from app.core.pcm import AudioFormat
from app.speak.recording import Recording
from app.speak.stream import SpeakFailed
from app.speak.watching import FIRST_NS, TAIL_NS, watching
from tests.support.audio import wav
from tests.support.clock import FakeClock
from tests.support.face import read_count
from tests.support.film import BEGAN_US, PIECE, RATE, film, picture, sound, tone
from tests.support.service import Service
from tests.support.speaking import KEY, Command, speaking_service
from tests.support.speech import speech

SYNC_S = 0.04
"""How far picture and sound may be apart."""

TEXT = "A film shows what is said, and says what is shown, to its last word."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service."""
    with speaking_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Make a file of some seconds of speech."""
    path = tmp_path / "spoken.wav"
    path.write_bytes(wav(AudioFormat(), words().tobytes()))
    return path


def words() -> NDArray[np.int16]:
    """Some seconds of speech."""
    samples: NDArray[np.int16] = (speech(TEXT, RATE)[:, 0] * 32767).astype("<i2")
    return samples


def found(said: NDArray[np.int16], heard: NDArray[np.int16]) -> tuple[int, float]:
    """Where in what was heard the words begin, in samples, and how much alike they are, 0 to 1."""
    size = said.size + heard.size
    one, other = said.astype(np.float64), heard.astype(np.float64)
    alike = np.fft.irfft(np.fft.rfft(other, size) * np.fft.rfft(one, size).conj(), size)
    at = int(np.argmax(alike[: heard.size]))
    there = other[at : at + said.size]
    likeness = alike[at] / np.sqrt((one**2).sum() * (there**2).sum())
    return at, float(likeness)


def frames(from_ms: int, to_ms: int) -> list[bytes]:
    """A tone and pictures of one colour, from one moment to another."""
    made = [picture(from_ms, 128)]
    return made + [sound(at_ms, tone(PIECE)) for at_ms in range(from_ms, to_ms, 20)]


def told(type_: str, at_ms: int = 0, **fields: Any) -> str:
    """Make a message of the service's."""
    return json.dumps({"type": type_, "ts_ms": BEGAN_US // 1000 + at_ms, **fields})


class Stopped:
    """Keeps what a recording was broken off with."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def __call__(self, error: BaseException | None) -> None:
        self.errors.append(str(error))


@asynccontextmanager
async def a_session(
    show: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[dict[str, Any]]:
    """Run a service that takes one viewer, does ``show`` and then waits for its close."""

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        assert "Bearer observer" == connection.request.headers["Authorization"]
        assert "frames.subscribe" == json.loads(await connection.recv())["type"]
        await show(connection)
        await connection.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield {"stream_url": f"ws://127.0.0.1:{port}", "tokens": {"observe": "observer"}}


async def test_film_goes_on_to_the_end_of_the_speech(tmp_path: Path) -> None:
    """That it is over may be told before its last sound has come; time stands still here."""
    path = tmp_path / "film.mp4"
    recording, stopped = Recording(path), Stopped()

    async def show(connection: ServerConnection) -> None:
        for frame in frames(0, 200):
            await connection.send(frame)
        await connection.send(told("utterance.done", 500))
        for frame in frames(200, 520):
            await connection.send(frame)

    async with (
        a_session(show) as session,
        watching(session, recording, FakeClock(), stopped) as began,
    ):
        await began()
    recording.close()

    assert 0.52 == pytest.approx(film(path).sound.size / RATE, abs=0.05)


async def test_film_ends_without_its_last_sound(tmp_path: Path) -> None:
    """Sound that does not come is not waited for longer than a moment."""
    recording, clock, stopped = Recording(tmp_path / "film.mp4"), FakeClock(), Stopped()

    async def show(connection: ServerConnection) -> None:
        for frame in frames(0, 200):
            await connection.send(frame)

    async def patience() -> None:
        await clock.until_waited_for()
        clock.advance(TAIL_NS)

    async with (
        a_session(show) as session,
        asyncio.TaskGroup() as group,
        watching(session, recording, clock, stopped) as began,
    ):
        await began()
        group.create_task(patience())

    assert str(recording.close()).endswith(": 0.2 s, 1 pictures")


async def test_avatar_without_a_picture_is_not_waited_for(tmp_path: Path) -> None:
    """It is spoken to all the same, and at the end it is told that there is nothing to see."""
    recording, clock, stopped = Recording(tmp_path / "film.mp4"), FakeClock(), Stopped()

    async def show(connection: ServerConnection) -> None:
        await connection.send(told("session.ready"))
        await connection.send(told("session.ready"))
        await clock.until_waited_for()
        clock.advance(FIRST_NS)
        await connection.send(told("utterance.done", 500))
        await connection.send(sound(500, tone(PIECE)))

    with pytest.raises(SpeakFailed, match=r"^there was no picture to save$"):
        async with (
            a_session(show) as session,
            watching(session, recording, clock, stopped) as began,
        ):
            await began()

    assert recording.close() is None


@pytest.mark.parametrize(
    ("last", "code", "errors"),
    [
        ([], 4508, ["the pictures broke off: 4508 too slow"]),
        ([told("session.ended", reason="idle")], 4410, []),
    ],
)
async def test_stream_that_ends_too_early_stops_the_speech(
    tmp_path: Path, last: list[str], code: int, errors: list[str]
) -> None:
    """A film that would lack its end is a failure; the session's end is told by the speaker."""
    path = tmp_path / "film.mp4"
    recording, stopped = Recording(path), Stopped()

    async def show(connection: ServerConnection) -> None:
        for frame in frames(0, 200):
            await connection.send(frame)
        for message in last:
            await connection.send(message)
        await connection.close(code, "too slow")

    async with a_session(show) as session, watching(session, recording, FakeClock(), stopped):
        pass
    recording.close()

    assert errors == stopped.errors
    assert film(path).pictures


def test_film_shows_what_is_said(service: Service, tmp_path: Path, spoken: Path) -> None:
    """Each picture stands where the sound is that it was made of, and the sound is the speech."""
    path = tmp_path / "film.mp4"
    command = Command(service, str(spoken), "--save-frames", str(path))
    code = command.end()
    seen, said = film(path), words()
    begins, likeness = found(said, seen.sound)
    counts = [
        (at, count)
        for at, picture in zip(seen.times, seen.pictures, strict=True)
        if (count := read_count(picture)) and count <= said.size
    ]

    assert (0, "") == (code, command.error)
    assert f"saved   {path}: " in command.said
    assert likeness > 0.95
    assert max(abs(at - (begins + count) / RATE) for at, count in counts) < SYNC_S
    # A busy machine makes fewer pictures, but the speech is there from its first to its last.
    assert len(counts) > 20
    assert counts[-1][1] > said.size - RATE / 2
    assert seen.times[-1] >= (begins + said.size) / RATE - SYNC_S
    assert begins + said.size <= seen.sound.size
    assert seen.sound.size / RATE == pytest.approx(seen.times[-1], abs=0.5)


def test_film_is_whole_after_a_signal(service: Service, tmp_path: Path, spoken: Path) -> None:
    """Ctrl-C ends the film where it is."""
    path = tmp_path / "film.mp4"
    command = Command(service, str(spoken), "--save-frames", str(path))
    command.until("utterance.started")
    command.signal(signal.SIGINT)
    code = command.end()

    assert (130, "avatar-bridge: stopped by SIGINT\n") == (code, command.error)
    assert "saved " in command.said
    assert film(path).pictures


async def test_film_is_whole_after_the_sessions_end(
    service: Service, tmp_path: Path, spoken: Path
) -> None:
    """Whoever ended it: the reason is told as ever, and what there is can be seen."""
    path = tmp_path / "film.mp4"
    command = Command(service, str(spoken), "--save-frames", str(path))
    command.until("utterance.started")
    async with service.client(KEY) as client:
        await client.end(command.session_id)
    code = command.end()

    assert (1, "avatar-bridge: the session ended: deleted\n") == (code, command.error)
    assert "saved " in command.said
    assert film(path).pictures


async def test_full_disk_is_a_failure(service: Service, tmp_path: Path, spoken: Path) -> None:
    """A film that cannot be written is one line, and the session is not left behind."""
    path = tmp_path / "film.mp4"
    path.symlink_to("/dev/full")
    command = Command(service, str(spoken), "--save-frames", str(path))
    code = command.end()
    async with service.client(KEY) as client:
        session = await client.session(command.session_id)

    assert (1, f"avatar-bridge: {path}: No space left on device\n") == (code, command.error)
    assert "saved " not in command.said
    assert "deleted" == session["end_reason"]


def test_film_that_cannot_be_made_costs_no_session(
    service: Service, tmp_path: Path, spoken: Path
) -> None:
    """A wrong folder is told before a session is made."""
    path = tmp_path / "none" / "film.mp4"
    command = Command(service, str(spoken), "--save-frames", str(path))
    code = command.end()

    assert (1, f"avatar-bridge: {path}: No such file or directory\n") == (code, command.error)
    assert "" == command.said
