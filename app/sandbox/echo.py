"""Understand ``conversation.echo`` messages as Tavus does.

Source: Tavus's event schema of ``conversation.echo`` (``modality``, ``sample_rate`` default 16000,
``done``, a missing ``inference_id``) and the clients that run against it (``done`` as boolean or
string, headerless s16le mono).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

DEFAULT_RATE = 16_000
"""Tavus's documented default: 24 kHz audio without ``sample_rate`` plays slow."""


@dataclass(frozen=True, slots=True)
class AudioEcho:
    """Audio to be spoken as it is."""

    pcm: bytes
    """s16le mono."""
    sample_rate: int
    inference_id: str | None
    done: bool


@dataclass(frozen=True, slots=True)
class TextEcho:
    """Text to be spoken with Tavus's own voice."""

    text: str
    inference_id: str | None


def parse_echo(properties: Any) -> AudioEcho | TextEcho | str:
    """The echo in a message's ``properties``, or what is wrong with it."""
    if not isinstance(properties, dict):
        return "properties are missing"
    inference_id = properties.get("inference_id")
    if inference_id is not None and not isinstance(inference_id, str):
        return "inference_id is not a string"
    match properties.get("modality", "text"):
        case "audio":
            return _audio(properties, inference_id)
        case "text" if isinstance(text := properties.get("text"), str):
            return TextEcho(text, inference_id)
        case "text":
            return "text is not a string"
        case _:
            return "modality is neither audio nor text"


def _audio(properties: dict[str, Any], inference_id: str | None) -> AudioEcho | str:
    audio = properties.get("audio", "")
    try:
        pcm = base64.b64decode(audio, validate=True)
    except (TypeError, ValueError, binascii.Error):
        return "audio is not base64"
    if len(pcm) % 2:
        return "audio ends inside a sample"
    rate = properties.get("sample_rate", DEFAULT_RATE)
    if type(rate) is not int or not 1000 <= rate <= 192_000:  # a bool is no rate
        return "sample_rate is not a sensible integer"
    return AudioEcho(pcm, rate, inference_id, done=properties.get("done") in (True, "true"))


def is_audio_echo(message: dict[str, Any]) -> bool:
    """Whether this app message, an echo, carries audio to be spoken."""
    properties = message.get("properties")
    return isinstance(properties, dict) and properties.get("modality") == "audio"


def without_audio(message: Any) -> Any:
    """The message as a log may keep it: with the size of its audio instead of the audio."""
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict):
        return message
    audio = message["properties"].get("audio")
    if audio is None:
        return message
    size = f"<{len(audio)} characters>" if isinstance(audio, str) else "<not a string>"
    return {**message, "properties": {**message["properties"], "audio": size}}
