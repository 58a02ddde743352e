"""What the service says: protocol v1, from typed messages to text.

Every message is one struct, named after its ``type``. ``encode`` adds the stamp: ``ts_ms``, and
``seq`` for what concerns the session. The base says which it is: a ``SessionMessage`` goes to
every connection, numbered, and may be replayed; a ``ConnectionMessage`` goes to one, without a
number, and is never replayed. ``session.ready`` and ``error`` are both: it depends on what they
are about.

Fields that end in ``_ms`` are whole milliseconds, rounded down. Optional fields that are None are
left out.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from app.core.pcm import AudioFormat
from app.core.roles import Role
from app.core.spec import Status
from app.core.wire_in import SoundChoice, VideoChoice
from app.errors import BridgeError

PROTOCOL = "avatar-bridge.v1"
"""The protocol's name: the WebSocket subprotocol, and ``protocol`` in ``hello``."""

Source = Literal["replica", "track", "clock"]
"""Who knows a position: Tavus's speaking events, the audio device, or an estimate."""

Millis = Annotated[int, Meta(ge=0)]
"""Whole milliseconds, or a count."""


class ServerMessage(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Any text message to a client."""


class SessionMessage(ServerMessage, frozen=True):
    """Concerns the session: carries ``seq``, goes to every connection."""


class ConnectionMessage(ServerMessage, frozen=True):
    """Concerns one connection: carries no ``seq``, is never replayed."""


# --- the connection ---------------------------------------------------------------------------


class OpenUtterance(Struct, frozen=True):
    """The utterance that a producer may go on with."""

    utterance_id: str
    accepted_bytes: Millis
    """Bytes of it taken so far: base64 decoded, headers included."""


class Limits(Struct, frozen=True):
    """The limits that a client has to know."""

    max_message_bytes: Millis
    buffer_ms: Millis
    """The most audio that may wait; a message that does not fit whole is refused."""
    high_ms: Millis
    """``flow.pause`` comes above this much waiting audio."""
    low_ms: Millis
    """``flow.resume`` comes below this much waiting audio."""
    queued_utterances: Millis
    resume_window_ms: Millis
    idle_timeout_ms: Millis


class Hello(ConnectionMessage, frozen=True, tag="hello"):
    """The first message on every connection."""

    protocol: Annotated[str, Meta(extra_json_schema={"const": PROTOCOL})]
    version: str
    """The service's version."""
    session: str
    """The session's id."""
    role: Role
    """What this connection may send."""
    room: Annotated[str, Meta(extra_json_schema={"enum": ["daily", "sandbox"]})]
    format: AudioFormat
    """What audio is taken for, unless ``utterance.start`` says otherwise."""
    epoch: Millis
    """Counts the session's interrupts."""
    seq: Millis
    """The number of the session's last message before this connection's first."""
    received: Millis
    """Messages of this producer stream handled so far, text and binary."""
    resume_token: str
    """A secret, for ``?resume=`` after a lost connection; works once and keeps the role.
    One that is not known any more begins a new stream, in at most that role unless ``?role=`` asks
    for another."""
    resumed: bool
    limits: Limits
    heartbeat_ms: Millis
    """The period of the WebSocket pings."""
    open_utterance: OpenUtterance | None = None


class Pong(ConnectionMessage, frozen=True, tag="pong"):
    """The answer to ``ping``."""

    ts: int | float | str | None = None
    """As it came."""
    id: str | None = None


class AudioAck(ConnectionMessage, frozen=True, tag="audio.ack"):
    """How much audio has been taken: held in memory, not played."""

    utterance_id: str
    accepted_bytes: Millis
    """Bytes of this utterance: base64 decoded, headers included."""
    received: Millis
    """Messages of this producer stream handled so far, text and binary, refused ones too."""
    buffered_ms: Millis
    """Audio that waits in the session, paused audio included."""


class AudioDiscarded(ConnectionMessage, frozen=True, tag="audio.discarded"):
    """Audio came that belongs to nothing; one message a burst."""

    ms: Millis
    reason: Literal["interrupted", "no_utterance", "refused"]
    utterance_id: str | None = None


class FlowPause(ConnectionMessage, frozen=True, tag="flow.pause"):
    """More audio waits than is useful: send no more until ``flow.resume``."""

    buffered_ms: Millis
    high_ms: Millis
    low_ms: Millis


class FlowResume(ConnectionMessage, frozen=True, tag="flow.resume"):
    """There is room again: go on sending."""

    buffered_ms: Millis
    high_ms: Millis
    low_ms: Millis


class PlaybackProgress(ConnectionMessage, frozen=True, tag="playback.progress"):
    """How far an utterance has been played; never goes back. Asked for by ``?progress_ms=``."""

    utterance_id: str
    played_ms: Millis
    source: Source


class FramesSubscribed(ConnectionMessage, frozen=True, tag="frames.subscribed"):
    """What this connection gets from now on, as far as the room has it."""

    video: VideoChoice | None = None
    audio: SoundChoice | None = None
    user_audio: SoundChoice | None = None
    id: str | None = None


class FramesStats(ConnectionMessage, frozen=True, tag="frames.stats"):
    """What became of this connection's frames so far; told now and then, and at the end."""

    sent: Millis
    dropped: Millis
    """Left out, because the connection did not take them in time."""
    id: str | None = None
    """That of the ``frames.unsubscribe``."""


# --- speech -----------------------------------------------------------------------------------


class UtteranceOpened(SessionMessage, frozen=True, tag="utterance.opened"):
    """An utterance has begun to be received."""

    utterance_id: str
    number: Annotated[int, Meta(ge=1)]
    """1, 2, ... in the session."""
    format: AudioFormat
    implicit: bool
    """Whether audio opened it rather than ``utterance.start``."""
    id: str | None = None
    """That of the ``utterance.start``."""


class UtteranceStarted(SessionMessage, frozen=True, tag="utterance.started"):
    """The first sample was really played; at most once an utterance."""

    utterance_id: str
    number: Annotated[int, Meta(ge=1)]
    source: Source


class Latency(Struct, frozen=True):
    """How long an utterance's first sample took, from its first audio received."""

    first_sent_ms: Millis | None
    """Until it was handed to the room; null when it never was."""
    started_ms: Millis | None
    """Until it was played; null when it never was."""


class UtteranceDone(SessionMessage, frozen=True, tag="utterance.done"):
    """What became of an utterance: exactly once for every ``utterance.opened``.

    Always played_ms <= sent_ms <= received_ms.
    """

    utterance_id: str
    number: Annotated[int, Meta(ge=1)]
    status: Literal["played", "interrupted", "failed"]
    received_ms: Millis
    sent_ms: Millis
    """Handed to the room."""
    played_ms: Millis
    dropped_ms: Millis
    """Received and never handed to the room."""
    source: Source
    """Who knows ``played_ms``."""
    latency: Latency
    code: str | None = None
    """The error's code when it failed."""


class MarkReached(SessionMessage, frozen=True, tag="mark.reached"):
    """What became of a mark: exactly once for every ``mark``, in order."""

    name: str
    offset_ms: Millis
    """Where it stands in its utterance."""
    outcome: Literal["played", "flushed"]
    """``flushed``: its audio will not be played to here."""
    utterance_id: str | None = None


class CutUtterance(Struct, frozen=True):
    """One utterance that an interrupt cut, as known at the cut."""

    utterance_id: str
    received_ms: Millis
    sent_ms: Millis
    played_ms: Millis
    dropped_ms: Millis


class InterruptAccepted(SessionMessage, frozen=True, tag="interrupt.accepted"):
    """From here on no sample received before the interrupt is handed to the room."""

    interrupted: bool
    """False when there was nothing to cut, or when the guard ``utterance_id`` stopped it."""
    epoch: Millis
    """The session's epoch from here on."""
    dropped_ms: Millis
    """Of all utterances together."""
    utterances: tuple[CutUtterance, ...]
    utterance_id: str | None = None
    """The one that was playing."""
    reason: str | None = None
    """As whoever interrupted gave it, at most 256 characters; ``user_speech``: the service did it
    itself, because a person speaks (``interrupt_on_user_speech``)."""
    id: str | None = None
    """That of the ``interrupt``."""


class PlaybackPaused(SessionMessage, frozen=True, tag="playback.paused"):
    """Playback is held; what the room already has plays on."""

    unsent_ms: Millis
    """Audio held back."""
    plays_on_ms: Millis
    """Audio the room already has."""
    id: str | None = None
    """That of the ``playback.pause``."""


class PlaybackResumed(SessionMessage, frozen=True, tag="playback.resumed"):
    """Playback goes on."""

    id: str | None = None
    """That of the ``playback.resume``."""


# --- the session's life -----------------------------------------------------------------------


class SessionState(SessionMessage, frozen=True, tag="session.state"):
    """The session has a new status."""

    status: Status
    reason: str | None = None


class SessionReady(SessionMessage, ConnectionMessage, frozen=True, tag="session.ready"):
    """The replica listens. Without ``seq`` right after ``hello`` when it did so before."""


class ReplicaJoined(SessionMessage, frozen=True, tag="replica.joined"):
    """The replica is in the room."""


class ReplicaLeft(SessionMessage, frozen=True, tag="replica.left"):
    """The replica left the room; it may come back."""


class ReplicaStartedSpeaking(SessionMessage, frozen=True, tag="replica.started_speaking"):
    """The replica speaks, as Tavus reports it; its doubled events are reported once."""


class ReplicaStoppedSpeaking(SessionMessage, frozen=True, tag="replica.stopped_speaking"):
    """The replica speaks no more, as Tavus reports it; its doubled events are reported once."""

    duration_ms: Millis | None = None
    interrupted: bool | None = None


class ParticipantJoined(SessionMessage, frozen=True, tag="participant.joined"):
    """A person came into the room."""

    participant_id: str
    number: Annotated[int, Meta(ge=1)]
    """1, 2, ... in the session; names the person in audio frames."""
    name: str


class ParticipantLeft(SessionMessage, frozen=True, tag="participant.left"):
    """A person left the room."""

    participant_id: str
    number: Annotated[int, Meta(ge=1)]
    """As in ``participant.joined``."""
    name: str


class TavusEvent(SessionMessage, frozen=True, tag="tavus.event"):
    """An app message of the room, raw."""

    event: Any


class SessionExpiring(SessionMessage, frozen=True, tag="session.expiring"):
    """The session will end, 60 s and 10 s ahead.

    ``tavus_shutdown``: its conversation will, and the next one (``renew``) is not ready yet.
    """

    in_ms: Millis
    reason: Annotated[
        str, Meta(extra_json_schema={"enum": ["idle", "max_duration", "tavus_shutdown"]})
    ]


class SessionRenewing(SessionMessage, frozen=True, tag="session.renewing"):
    """The session will go on in another room, at the next pause in speech: people join there now.

    Where the room is private, ``GET /sessions/{id}`` has its ``meeting_token`` from now on.
    """

    conversation_id: str
    conversation_url: str
    in_ms: Millis
    """At the latest, from now, if no pause comes."""


class SessionRenewed(SessionMessage, frozen=True, tag="session.renewed"):
    """From now on the replica speaks in this room; the room before is closed."""

    conversation_id: str
    conversation_url: str


_END_REASONS = [
    "deleted",
    "idle",
    "max_duration",
    "replica_timeout",
    "replica_lost",
    "tavus_shutdown",
    "room_failed",
    "drained",
    "internal",
]


class SessionEnded(SessionMessage, frozen=True, tag="session.ended"):
    """The session's last message; the close frame follows."""

    reason: Annotated[str, Meta(extra_json_schema={"enum": _END_REASONS})]
    detail: str | None = None


class ServerDraining(SessionMessage, frozen=True, tag="server.draining"):
    """The service shuts down: the session ends when the time is over."""

    deadline_ms: Millis
    """From now."""


class Error(SessionMessage, ConnectionMessage, frozen=True, tag="error"):
    """Something went wrong. With ``seq`` when it concerns the session, else without."""

    code: str
    """Stable; the table in the README lists them all."""
    message: str
    """For people."""
    retryable: bool
    """Whether the same can succeed later."""
    retry_after_ms: Millis | None = None
    ref: str | None = None
    """The ``id`` of the message that was wrong."""
    accepted_bytes: Millis | None = None
    """Of the utterance, with ``buffer_overflow``: what was taken before and still plays."""


def error_message(
    error: BridgeError, ref: str | None = None, *, accepted_bytes: int | None = None
) -> Error:
    """Return ``error`` as the stream tells it; ``ref`` is the ``id`` of the message at fault."""
    return Error(
        code=error.code,
        message=error.detail,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
        ref=ref,
        accepted_bytes=accepted_bytes,
    )


# --- text -------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder()


def encode(message: ServerMessage, *, ts_ms: int, seq: int | None = None) -> str:
    """Return ``message`` as one JSON object, stamped.

    ``ts_ms`` is Unix time in milliseconds; ``seq`` the session's number for the message, None for
    what concerns one connection. NaN becomes null and half a surrogate pair ``?``: lax JSON
    parsers let both into app messages of the room. Raises RecursionError for an event that nests
    about 1000 deep.
    """
    try:
        body = _encoder.encode(message)
    except UnicodeEncodeError:
        lax = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        body = _encoder.encode(json.loads(lax.encode(errors="replace")))
    text = body.decode()
    after_type = len(f'{{"type":"{message.__struct_config__.tag}"')
    number = "" if seq is None else f'"seq":{seq},'
    return f'{text[:after_type]},{number}"ts_ms":{ts_ms}{text[after_type:]}'
