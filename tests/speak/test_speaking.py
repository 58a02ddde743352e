from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.core.pcm import AudioFormat, Encoding
from tests.support.audio import noise, wav
from tests.support.service import Service
from tests.support.speaking import KEY, Command, speaking_service

FORMAT = AudioFormat(Encoding.S16LE, 24_000, 1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service with little room for audio."""
    with speaking_service(
        tmp_path_factory.mktemp("service"),
        BRIDGE_BUFFER_MS="2000",
        BRIDGE_HIGH_MS="400",
        BRIDGE_LOW_MS="200",
    ) as service:
        yield service


async def outcome(service: Service, command: Command) -> tuple[dict[str, Any], NDArray[np.int16]]:
    """Return the session as it is now, and what was heard of it."""
    async with service.client(KEY) as client:
        session = await client.session(command.session_id)
        return session, await client.heard(session["conversation_id"])


@pytest.mark.parametrize("path", ["echo", "track"])
async def test_file_is_heard_to_its_end(service: Service, tmp_path: Path, path: str) -> None:
    """A file goes out faster than it plays, every sample of it is heard, and the session ends."""
    pcm = noise(FORMAT, 60_000)
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(FORMAT, pcm))

    command = Command(service, str(file), "--packet-bytes", "1,3333,777", "--audio-path", path)
    code = command.end()
    session, heard = await outcome(service, command)

    assert (0, "") == (code, command.error)
    assert pcm == heard.tobytes()[: len(pcm)]
    assert ("ended", "deleted") == (session["status"], session["end_reason"])
    assert path == session["audio"]["path"]
    assert "flow.pause" in command.said
    assert "flow.resume" in command.said
    assert "buffer_overflow" not in command.said
    assert "played: 2500 of 2500 ms were played" in command.said
    assert re.search(r"^first byte to first played +\d+ ms$", command.said, re.MULTILINE)


async def test_pipe_of_unknown_length_is_heard(service: Service) -> None:
    """``espeak-ng --stdout | avatar-bridge speak -``: the header does not know how long it is."""
    pcm = noise(FORMAT, 12_000)

    command = Command(service, "-", audio=wav(FORMAT, pcm, 0xFFFFFFFF))
    code = command.end()
    _, heard = await outcome(service, command)

    assert (0, "") == (code, command.error)
    assert pcm == heard.tobytes()[: len(pcm)]


async def test_bare_samples_are_heard(service: Service) -> None:
    """``--format`` names what has no header."""
    pcm = noise(FORMAT, 12_000)

    command = Command(service, "-", "--format", "pcm_s16le:24000:1", audio=pcm)
    code = command.end()
    _, heard = await outcome(service, command)

    assert (0, "") == (code, command.error)
    assert pcm == heard.tobytes()[: len(pcm)]


async def test_barge_in_cuts_and_is_a_success(service: Service, tmp_path: Path) -> None:
    """``--interrupt-after-s`` cuts the speech in the middle; that is what was asked for."""
    pcm = noise(FORMAT, 240_000)
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(FORMAT, pcm))

    command = Command(service, str(file), "--interrupt-after-s", "0.3")
    code = command.end()
    _, heard = await outcome(service, command)

    assert (0, "") == (code, command.error)
    assert 0 < len(heard) < 240_000
    assert "interrupt.accepted" in command.said
    assert re.search(r"^interrupt to silence +\d+ ms$", command.said, re.MULTILINE)
    assert re.search(r"^interrupted: \d+ of \d+ ms were played", command.said, re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_the_session(
    service: Service, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, also twice, leaves no conversation behind that costs money; the exit code says so."""
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(FORMAT, noise(FORMAT, 240_000)))
    command = Command(service, str(file))
    command.until("utterance.started")

    command.signal(number)
    command.signal(number)
    code = command.end()
    session, _ = await outcome(service, command)

    assert (128 + number, f"avatar-bridge: stopped by {number.name}\n") == (code, command.error)
    assert ("ended", "deleted") == (session["status"], session["end_reason"])


async def test_session_that_ends_too_early_is_a_failure(service: Service, tmp_path: Path) -> None:
    """When somebody else ends the session, the reason is the one line."""
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(FORMAT, noise(FORMAT, 240_000)))
    command = Command(service, str(file))
    command.until("utterance.started")

    async with service.client(KEY) as client:
        await client.end(command.session_id)
    code = command.end()

    assert 1 == code
    assert "avatar-bridge: the session ended: deleted\n" == command.error


async def test_interrupt_by_somebody_else_is_a_failure(service: Service, tmp_path: Path) -> None:
    """What was cut without being asked for was not spoken."""
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(FORMAT, noise(FORMAT, 240_000)))
    command = Command(service, str(file))
    command.until("utterance.started")

    async with service.client(KEY) as client:
        await client.interrupt(command.session_id)
    code = command.end()

    assert 1 == code
    assert "avatar-bridge: the speech was interrupted by somebody else\n" == command.error


@pytest.mark.parametrize(
    ("audio", "line"),
    [
        (b"OggS" + bytes(1000), "the speech failed: format_mismatch: the audio opens with an Ogg"),
        (b"", "there was no audio to speak"),
    ],
)
def test_pipe_without_speech_is_a_failure(service: Service, audio: bytes, line: str) -> None:
    """A pipe is found wrong by the service; its words are the one line."""
    command = Command(service, "-", audio=audio)

    assert 1 == command.end()
    assert command.error.startswith(f"avatar-bridge: {line}")
    assert 1 == len(command.error.splitlines())


@pytest.mark.parametrize(
    ("audio", "line"),
    [
        (b"OggS" + bytes(1000), "format_mismatch: the audio opens with an Ogg file"),
        (wav(FORMAT, b""), "there was no audio to speak"),
    ],
)
def test_file_without_speech_costs_no_session(
    service: Service, tmp_path: Path, audio: bytes, line: str
) -> None:
    """A file is looked at before a session is made."""
    file = tmp_path / "speech.wav"
    file.write_bytes(audio)
    command = Command(service, str(file))

    assert 1 == command.end()
    assert command.error.startswith(f"avatar-bridge: {line}")
    assert "" == command.said


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--api-key", "wrong"], "the session was refused: unauthorized: "),
        (["--replica-id", "nobody"], "the session was refused: tavus_rejected: "),
        (["--url", "http://127.0.0.1:9"], "no service answers at http://127.0.0.1:9: "),
    ],
)
def test_refused_session_is_one_clear_line(
    service: Service, tmp_path: Path, arguments: list[str], line: str
) -> None:
    """What the service, or the network, says against it is told in its words."""
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(FORMAT, noise(FORMAT, 1000)))
    command = Command(service, str(file), *arguments)

    assert 1 == command.end()
    assert command.error.startswith(f"avatar-bridge: {line}")
    assert 1 == len(command.error.splitlines())


def test_lines_hold_no_secret(service: Service, tmp_path: Path) -> None:
    """Neither the key nor the resume token is shown."""
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(FORMAT, noise(FORMAT, 1000)))
    command = Command(service, str(file))

    assert 0 == command.end()
    assert KEY not in command.said
    assert "resume_token" not in command.said
