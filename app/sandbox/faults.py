"""What the sandbox does wrong on purpose, and where nobody knows what Tavus really does.

Some switches are faults (a create that answers 500), others choose between behaviours that sources
disagree about (does a new ``inference_id`` queue or cut in?). A preset sets the second kind.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class NewId(StrEnum):
    """What an echo with a new ``inference_id`` does while another one is still playing."""

    QUEUE = "queue"
    CUT = "cut"


class DeadId(StrEnum):
    """What happens to audio under an ``inference_id`` that was interrupted."""

    DROP = "drop"
    PLAY = "play"


class Ids(StrEnum):
    """Whose ``inference_id`` the speaking events carry."""

    CLIENT = "client"
    TAVUS = "tavus"
    PREVIOUS = "previous"
    """That of the utterance before; none at first."""


class MessagesAs(StrEnum):
    """How app messages arrive: decoded, or as JSON text (both were seen with daily-python)."""

    OBJECT = "object"
    STRING = "string"


class Joins(StrEnum):
    """Whether the replica comes into the room."""

    ONCE = "once"
    TWICE = "twice"
    NEVER = "never"


class PictureSize(StrEnum):
    """Of the replica's picture, in pixels."""

    SMALL = "640x360"
    LARGE = "1280x720"

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        width, _, height = self.partition("x")
        return int(width), int(height)


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every switch with its honest default. ``*_ms`` are milliseconds; None means never or off."""

    # --- creating a conversation
    create_slow_ms: int = 0
    create_status: int | None = None
    """Answer this status instead: 400 is the concurrency limit, 500 is not even JSON."""
    create_reply_lost: bool = False
    """The conversation is made, but the connection closes without an answer."""
    max_conversations: int = 1000
    """Concurrency slots of the account."""
    known_replicas: list[str] | None = None
    """Ids that exist besides the stock ones; None: every ``r...``."""
    known_personas: list[str] | None = None
    """Ids that exist besides the stock ones; None: every ``p...``."""
    end_failures: int = 0
    """The first so many ``/end`` calls of a conversation answer 500."""
    killed_after_ms: int | None = None
    """Tavus ends the conversation as if its limit were reached."""

    # --- the replica as a participant
    replica_joins: Joins = Joins.ONCE
    replica_join_ms: int = 1000
    replica_leave_after_ms: int | None = None
    """Counted from its first sound, so that it leaves in the middle of a word."""
    replica_rejoin_after_ms: int | None = None
    """It comes back under a new participant id."""
    speech_stalls_after_ms: int | None = None
    """Counted from its coming: it stays, but falls silent, and neither speaks nor tells of it."""

    # --- its picture
    picture: PictureSize = PictureSize.SMALL
    video_stalls_after_ms: int | None = None
    """Counted from its coming: no picture any more, while sound and events go on."""
    video_stalls_ms: int | None = None
    """Then pictures come again; None: never."""

    # --- the link
    token_expired: bool = False
    """A meeting token is refused at the door."""
    link_lost_after_ms: int | None = None
    """Counted from a participant's join: no message passes, none is confirmed."""
    link_lost_ms: int = 2000
    drift_ppm: int = 0
    """Millionths by which the audio device of a track runs too slow."""

    # --- app messages
    strict_bytes: bool = True
    """Refuse messages of more than 4096 bytes, as Daily documents."""
    refuse_nth: int | None = None
    """The room's nth message (from 1) is refused."""
    refuse_probability: float = 0.0
    seed: int = 0
    """Of ``refuse_probability``."""
    messages_as: MessagesAs = MessagesAs.OBJECT
    omit_conversation_id: bool = False

    # --- speaking events
    speaking_late_ms: int = 0
    missing_started: bool = False
    missing_stopped: bool = False
    duplicated: bool = False
    out_of_order: bool = False
    """A stop is told before its start."""
    durations: bool = True
    """False: ``duration`` is null."""
    ids: Ids = Ids.CLIENT
    twins: bool = True
    """False: only the unified event with role ``pal``."""

    # --- understanding audio
    new_id: NewId = NewId.QUEUE
    dead_id: DeadId = DeadId.DROP
    hold_back_ms: int = 0
    """So much is kept back until ``done``, or until 3 s went by without audio."""

    # --- interrupts
    interrupt_ignored: bool = False
    interrupt_slow_ms: int = 0
    interrupt_again_after_ms: int | None = None
    """Obeyed a second time, which cuts what came after it."""
    interrupt_unacknowledged: bool = False
    """The replica stops but says nothing about it."""


PRESETS: dict[str, dict[str, Any]] = {
    "friendly": {},
    "hostile": {
        "new_id": "cut",
        "dead_id": "play",
        "ids": "tavus",
        "durations": False,
        "twins": True,
        "messages_as": "string",
    },
}


class UnknownFault(ValueError):
    """A fault has an unknown name or an impossible value; the text says which."""


def parse_faults(wishes: dict[str, Any]) -> Faults:
    """The faults that ``{"preset": ..., **overrides}`` asks for.

    Raises UnknownFault.
    """
    overrides = dict(wishes)
    preset = overrides.pop("preset", "friendly")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise UnknownFault(f"preset must be one of {', '.join(PRESETS)}")
    try:
        return msgspec.convert({**PRESETS[preset], **overrides}, Faults)
    except msgspec.ValidationError as error:
        raise UnknownFault(str(error)) from error


class FaultDesk:
    """Which faults the coming conversations get."""

    def __init__(self) -> None:
        """Begin friendly."""
        self.standing = Faults()
        self.next: Faults | None = None

    def put(self, body: dict[str, Any]) -> None:
        """Take a ``PUT /sandbox/faults`` body; all of it or, with UnknownFault, none.

        ``{"next": {...}}`` alone leaves the standing faults as they are.
        """
        wishes = dict(body)
        one_shot = wishes.pop("next", None)
        if one_shot is not None and not isinstance(one_shot, dict):
            raise UnknownFault("next must be an object or null")
        coming = None if one_shot is None else parse_faults(one_shot)
        if wishes or "next" not in body:
            self.standing = parse_faults(wishes)
        self.next = coming

    def take(self) -> Faults:
        """The faults of the conversation that is being created now."""
        faults, self.next = self.next or self.standing, None
        return faults

    def view(self) -> dict[str, Any]:
        """What is in force, as ``GET /sandbox/faults`` shows it."""
        shown: dict[str, Any] = msgspec.to_builtins(self.standing)
        shown["next"] = None if self.next is None else msgspec.to_builtins(self.next)
        return shown
