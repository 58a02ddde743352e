from __future__ import annotations

import base64
from typing import Any

import pytest

from app.sandbox.echo import AudioEcho, TextEcho, is_audio_echo, parse_echo, without_audio

PCM = b"\x01\x00\x02\x00"
AUDIO = {"modality": "audio", "audio": base64.b64encode(PCM).decode()}


@pytest.mark.parametrize(
    ("properties", "echo"),
    [
        (AUDIO, AudioEcho(PCM, 16_000, None, done=False)),
        ({**AUDIO, "sample_rate": 24_000}, AudioEcho(PCM, 24_000, None, done=False)),
        ({**AUDIO, "inference_id": "u1"}, AudioEcho(PCM, 16_000, "u1", done=False)),
        ({**AUDIO, "done": True}, AudioEcho(PCM, 16_000, None, done=True)),
        ({**AUDIO, "done": "true"}, AudioEcho(PCM, 16_000, None, done=True)),
        ({**AUDIO, "done": False}, AudioEcho(PCM, 16_000, None, done=False)),
        ({**AUDIO, "done": "false"}, AudioEcho(PCM, 16_000, None, done=False)),
        ({"modality": "audio", "done": True}, AudioEcho(b"", 16_000, None, done=True)),
        ({"modality": "text", "text": "hi"}, TextEcho("hi", None)),
        ({"text": "hi", "inference_id": "u1"}, TextEcho("hi", "u1")),
    ],
)
def test_an_echo_is_understood(properties: dict[str, Any], echo: AudioEcho | TextEcho) -> None:
    """Modality defaults to text, the rate to 16000, done is a boolean or a string."""
    assert echo == parse_echo(properties)


@pytest.mark.parametrize(
    ("properties", "wrong"),
    [
        (None, "properties are missing"),
        ({}, "text is not a string"),
        ({**AUDIO, "inference_id": 7}, "inference_id is not a string"),
        ({"modality": "video"}, "modality is neither audio nor text"),
        ({**AUDIO, "audio": "?"}, "audio is not base64"),
        ({**AUDIO, "audio": 7}, "audio is not base64"),
        ({**AUDIO, "audio": "AAAA"}, "audio ends inside a sample"),
        ({**AUDIO, "sample_rate": 0}, "sample_rate is not a sensible integer"),
        ({**AUDIO, "sample_rate": True}, "sample_rate is not a sensible integer"),
        ({**AUDIO, "sample_rate": "24000"}, "sample_rate is not a sensible integer"),
    ],
)
def test_a_wrong_echo_is_named(properties: Any, wrong: str) -> None:
    """The log can say why an echo was not heard."""
    assert wrong == parse_echo(properties)


def test_the_log_keeps_no_audio() -> None:
    """Only its size is kept, and the message itself stays as it was."""
    message = {"event_type": "conversation.echo", "properties": dict(AUDIO)}

    assert "<8 characters>" == without_audio(message)["properties"]["audio"]
    assert AUDIO == message["properties"]
    assert "<not a string>" == without_audio({"properties": {"audio": 7}})["properties"]["audio"]
    assert "text" == without_audio("text")
    assert {"properties": {"text": "hi"}} == without_audio({"properties": {"text": "hi"}})


def test_audio_is_told_from_text() -> None:
    """By its modality, even when the rest is wrong."""
    assert is_audio_echo({"properties": {"modality": "audio"}})
    assert not is_audio_echo({"properties": {"text": "hi"}})
    assert not is_audio_echo({"properties": None})
