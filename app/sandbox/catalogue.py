"""Which faces and PALs exist, in the words of before and after the renaming of 2026.

Source: Tavus's documentation of both word pairs; the stock ids are those that Pipecat
(``pipecat0``, ``pipecat-stream``) and LiveKit's plugin (``pb87e71797da``) use.
"""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from typing import Any

STOCK_FACE = "r4067604db72"
"""Tavus's own stock replica that LiveKit's plugin and others use."""

DEFAULT_PAL = "pipecat0"
"""Of a conversation that names only a face: its replica speaks what it is sent."""

OLD_WORDS = ("replica", "persona")
NEW_WORDS = ("face", "pal")


@dataclass(slots=True)
class Pal:
    """A persona, as Tavus called it until 2026."""

    pal_id: str
    name: str
    fields: dict[str, Any]
    """What the client wrote, without the id, the name and the default face."""
    face_id: str = STOCK_FACE
    user_made: bool = False
    created_at: str = "2026-01-01T00:00:00.000000Z"

    def view(self, word: str) -> dict[str, Any]:
        """The PAL in the words of ``persona`` or ``pal``."""
        face = "replica" if word == "persona" else "face"
        return {
            f"{word}_id": self.pal_id,
            f"{word}_name": self.name,
            f"default_{face}_id": self.face_id,
            **self.fields,
            "created_at": self.created_at,
            "updated_at": self.created_at,
        }


class BadPatch(ValueError):
    """A JSON Patch that cannot be applied; the text says why."""


class Catalogue:
    """All PALs and faces of the account; most ids are simply believed."""

    def __init__(self) -> None:
        """Know the stock."""
        self._pals: dict[str, Pal] = {}
        for pal_id, microphone in (
            ("pipecat0", "disabled"),
            ("pipecat-stream", "enabled"),
            ("pb87e71797da", "disabled"),
        ):
            self._pals[pal_id] = _echo_pal(pal_id, "Echo Assistant", microphone)

    def pal(self, pal_id: str, known: list[str] | None) -> Pal | None:
        """A PAL; unless ``known`` lists all others, any id of the right kind is one."""
        if pal_id in self._pals:
            return self._pals[pal_id]
        if pal_id.startswith("p") and (known is None or pal_id in known):
            return _echo_pal(pal_id, f"Echo Assistant {pal_id}", "disabled")
        return None

    def has_face(self, face_id: str, known: list[str] | None) -> bool:
        """Whether the face exists; unless ``known`` lists all others, by the kind of id."""
        return face_id == STOCK_FACE or (
            face_id.startswith("r") and (known is None or face_id in known)
        )

    def pals(self, *, user_made: bool | None) -> list[Pal]:
        """The stock and what was made, of one kind or both, newest first."""
        return [
            pal
            for pal in reversed(self._pals.values())
            if user_made is None or pal.user_made is user_made
        ]

    def create(self, body: dict[str, Any], word: str, created_at: str) -> Pal:
        """Make a PAL from a request body in the words of ``persona`` or ``pal``."""
        fields = dict(body)
        name = fields.pop(f"{word}_name", None) or f"New {word}"
        face = "replica" if word == "persona" else "face"
        face_id = fields.pop(f"default_{face}_id", None) or STOCK_FACE
        fields.setdefault("pipeline_mode", "full")
        pal = Pal(f"p{uuid.uuid4().hex[:11]}", name, fields, face_id, True, created_at)
        self._pals[pal.pal_id] = pal
        return pal

    def delete(self, pal: Pal) -> None:
        """Forget a PAL that somebody made; the stock stays."""
        if pal.user_made:
            self._pals.pop(pal.pal_id, None)

    def patch(self, pal: Pal, word: str, operations: list[dict[str, Any]]) -> None:
        """Apply add, replace and remove operations of a JSON Patch. Raises BadPatch."""
        shown = copy.deepcopy(pal.view(word))
        for operation in operations:
            _apply(shown, operation)
        for fixed in (f"{word}_id", "created_at", "updated_at"):
            shown.pop(fixed, None)
        face = "replica" if word == "persona" else "face"
        pal.name = str(shown.pop(f"{word}_name", pal.name))
        pal.face_id = str(shown.pop(f"default_{face}_id", pal.face_id))
        pal.fields = shown
        self._pals[pal.pal_id] = pal


def face_view(face_id: str, word: str) -> dict[str, Any]:
    """A face in the words of ``replica`` or ``face``."""
    return {
        f"{word}_id": face_id,
        f"{word}_name": "Sandbox face" if face_id == STOCK_FACE else f"Sandbox face {face_id}",
        "thumbnail_video_url": "",
        "training_progress": "100/100",
        "status": "completed",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "updated_at": "2026-01-01T00:00:00.000000Z",
        f"{word}_type": "system",
    }


def _echo_pal(pal_id: str, name: str, microphone: str) -> Pal:
    transport = {"transport_type": "daily", "input_settings": {"microphone": microphone}}
    fields = {"pipeline_mode": "echo", "layers": {"transport": transport}}
    return Pal(pal_id, name, fields)


def _apply(document: dict[str, Any], operation: dict[str, Any]) -> None:
    """One operation of RFC 6902, on objects only: a PAL has no lists worth patching."""
    verb, path = operation.get("op"), operation.get("path")
    if verb not in ("add", "replace", "remove") or not isinstance(path, str):
        raise BadPatch("each operation needs an op (add, replace, remove) and a path")
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    place: Any = document
    for part in parents:
        place = place.setdefault(part, {}) if verb == "add" else place.get(part)
        if not isinstance(place, dict):
            raise BadPatch(f"{path} does not exist")
    if verb == "add":
        place[last] = operation.get("value")
    elif last not in place:
        raise BadPatch(f"{path} does not exist")
    elif verb == "replace":
        place[last] = operation.get("value")
    else:
        del place[last]
