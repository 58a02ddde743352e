"""Whether a persona (PAL) speaks what it is sent, and takes it the way we send it.

Facts are from Tavus's page on echo mode: the transport layer's microphone is off for audio in app
messages, and on for an audio track; with it on the replica repeats whatever comes down the room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from app.core.spec import AudioPathName, NamedId

STOCK_PERSONAS = {AudioPathName.ECHO: "pipecat0", AudioPathName.TRACK: "pipecat-stream"}
"""Tavus's stock personas that speak what they are sent, by the way they take audio."""

_STOCK_PATHS = {persona_id: path for path, persona_id in STOCK_PERSONAS.items()}

_NEEDED = {AudioPathName.ECHO: "off", AudioPathName.TRACK: "on"}
_OTHER = {AudioPathName.ECHO: AudioPathName.TRACK, AudioPathName.TRACK: AudioPathName.ECHO}


@dataclass(frozen=True, slots=True)
class Misfit:
    """One thing that keeps a persona from working."""

    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class Persona:
    """What of a persona decides whether it fits."""

    name: str = ""
    pipeline_mode: str | None = None
    microphone: bool | None = None
    """Whether the transport layer listens to the room; None: it does not say."""
    transport: str | None = None
    """``daily`` or ``livekit``; None: it does not say, which is Daily."""
    face_id: str | None = None
    """The replica it brings along."""

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Read it as Tavus shows it, in the words of ``persona`` or of ``pal``."""
        layers = _object(body.get("layers"))
        transport = _object(layers.get("transport"))
        return cls(
            name=_text(body.get("persona_name")) or _text(body.get("pal_name")) or "",
            pipeline_mode=_text(body.get("pipeline_mode")),
            microphone=_is_on(_object(transport.get("input_settings")).get("microphone")),
            transport=_text(transport.get("transport_type")),
            face_id=_text(body.get("default_replica_id")) or _text(body.get("default_face_id")),
        )

    def misfits(self, path: AudioPathName) -> list[Misfit]:
        """Find what keeps it from speaking audio that comes along ``path``."""
        found = []
        if self.pipeline_mode != "echo":
            mode = self.pipeline_mode or "not set"
            found.append(
                Misfit(
                    f"its pipeline_mode is {mode}, so it thinks for itself",
                    "use a persona with pipeline_mode echo: avatar-bridge doctor --create-persona",
                )
            )
        if self.transport not in {None, "daily"}:
            found.append(
                Misfit(
                    f"its transport is {self.transport}, not a Daily room",
                    "use a persona whose transport_type is daily",
                )
            )
        # Tavus's own smallest echo persona says nothing of a microphone: that is off enough.
        is_right = self.microphone if path is AudioPathName.TRACK else not self.microphone
        if not is_right:
            found.append(wrong_microphone(path))
        return found


def wrong_microphone(path: AudioPathName) -> Misfit:
    """Say that a persona listens to the room when it should not, or does not when it should."""
    effect = (
        "the replica would repeat everybody in the room"
        if path is AudioPathName.ECHO
        else "the replica would stay silent"
    )
    return Misfit(
        f"its microphone must be {_NEEDED[path]} for BRIDGE_AUDIO_PATH={path}: {effect}",
        f"make a fitting one with avatar-bridge doctor --create-persona, or set "
        f"BRIDGE_AUDIO_PATH={_OTHER[path]}",
    )


def stock_path(persona_id: str) -> AudioPathName | None:
    """Return the way a stock persona takes audio; None: it is none that we know."""
    return _STOCK_PATHS.get(persona_id)


def echo_persona(path: AudioPathName, name: str, face: NamedId | None) -> dict[str, Any]:
    """Write the body that makes a persona for ``path``, in the words that ``face`` uses.

    Without layers it is Tavus's documented smallest echo persona. ``"enabled"`` is the word that
    Pipecat, in code contributed by Tavus, looks for.
    """
    word = "pal" if face is not None and face.name == "face_id" else "persona"
    body: dict[str, Any] = {f"{word}_name": name, "pipeline_mode": "echo"}
    if face is not None:
        body[f"default_{face.name}"] = face.value
    if path is AudioPathName.TRACK:
        body["layers"] = {"transport": {"input_settings": {"microphone": "enabled"}}}
    return body


def _is_on(microphone: object) -> bool | None:
    """Read ``"enabled"``, ``{"isEnabled": true}`` or a bare bool; None for what says nothing."""
    match microphone:
        case bool():
            return microphone
        case str():
            return microphone == "enabled"
        case {"isEnabled": bool(on)}:
            return on
    return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
