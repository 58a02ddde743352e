from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from app.core.pcm import AudioFormat, Encoding
from app.speak.wish import Wish, add_arguments


@pytest.fixture
def speech(tmp_path: Path) -> str:
    """Make a file and return its name."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"audio")
    return str(path)


def wish(*arguments: str) -> Wish:
    """Read the arguments of ``speak``."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return Wish.of(parser.parse_args(arguments))


def test_file_alone_is_enough(speech: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the file has a default, and the session is left to the service's."""
    monkeypatch.delenv("BRIDGE_API_KEY", raising=False)

    assert Wish("http://127.0.0.1:8080", b"audio") == wish(speech)
    assert {} == wish(speech).headers


def test_every_flag_counts(speech: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags win over defaults and over the environment."""
    monkeypatch.setenv("BRIDGE_API_KEY", "from-the-environment")

    asked = wish(
        *(speech, "--url", "https://bridge.example/", "--api-key", "key"),
        *("--format", "pcm_mulaw:8000:2", "--packet-bytes", "1,999", "--interrupt-after-s", "0.5"),
        *("--save-frames", "films/Film.MP4"),
        *("--replica-id", "r1", "--persona-id", "p1", "--audio-path", "track"),
    )

    assert asked == Wish(
        url="https://bridge.example",
        source=b"audio",
        format=AudioFormat(Encoding.MULAW, 8000, 2),
        packet_bytes=(1, 999),
        interrupt_after_s=0.5,
        save_frames=Path("films/Film.MP4"),
        session={"replica_id": "r1", "persona_id": "p1", "audio_path": "track"},
        api_key="key",
    )
    assert {"Authorization": "Bearer from-the-environment"} == wish(speech).headers


def test_key_is_not_shown(speech: str) -> None:
    """A wish that is printed keeps its key."""
    assert "hidden" not in repr(wish(speech, "--api-key", "hidden"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "localhost:8080"], "must start with http://"),
        (["--format", "wav:24000:1"], "must be ENCODING:RATE:CHANNELS"),
        (["--format", "pcm_s16le"], "must be ENCODING:RATE:CHANNELS"),
        (["--format", "pcm_s16le:4000:1"], "must be ENCODING:RATE:CHANNELS"),
        (["--format", "pcm_s16le:16000:3"], "must be ENCODING:RATE:CHANNELS"),
        (["--packet-bytes", "0"], "must be numbers above 0"),
        (["--packet-bytes", "1,,2"], "must be numbers above 0"),
        (["--packet-bytes", "-5"], "must be numbers above 0"),
        (["--interrupt-after-s", "nan"], "must be a number of seconds"),
        (["--interrupt-after-s", "soon"], "must be a number of seconds"),
        (["--save-frames", "film.gif"], "must end in .mp4, .mov, .mkv, .webm"),
        (["--audio-path", "telephone"], "invalid choice"),
    ],
)
def test_wrong_flag_ends_with_2(
    speech: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flag that makes no sense is told in one line, before anything is asked of the service."""
    with pytest.raises(SystemExit) as error:
        wish(speech, *arguments)

    assert 2 == error.value.code
    assert said in capsys.readouterr().err


def test_missing_file_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is wrong use, and named."""
    with pytest.raises(SystemExit) as error:
        wish(str(tmp_path / "none.wav"))

    assert 2 == error.value.code
    assert "none.wav: No such file or directory" in capsys.readouterr().err
