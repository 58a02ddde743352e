"""What is said to Tavus and what it answers, as plain values: REST bodies and app messages.

Nothing here talks to anybody; ``runtime/tavus_api`` and the rooms do. Facts are from Tavus's public
documentation (https://docs.tavus.io) unless said otherwise.
"""

from __future__ import annotations

import json
import math
import re
from binascii import b2a_base64
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.core.events import ConversationCreated
from app.core.limits import call_s, whole_s
from app.core.pcm import SAMPLE_RATE
from app.errors import (
    BridgeError,
    InvalidRequest,
    TavusConcurrencyLimit,
    TavusForbidden,
    TavusOutOfCredits,
    TavusRateLimited,
    TavusRejected,
    TavusUnauthorized,
    TavusUnavailable,
    TooLarge,
)

if TYPE_CHECKING:
    from app.core.spec import SessionSpec

MAX_MESSAGE_BYTES = 4096
"""Most bytes of one app message as JSON: Daily's documented limit for all its SDKs."""

MIN_LEFT_TIMEOUT_S = 60
"""Time to come back after losing the room. Tavus's default is 0: it ends at once."""

ABSENT_TIMEOUT_S = 300
"""Tavus's default for how long a conversation waits for somebody to join."""

MAX_DETAIL = 500
"""Most characters of Tavus's own words that are passed on."""

_TWINS = (("replica_id", "face_id"), ("persona_id", "pal_id"))
_LIMITS = ("max_call_duration", "participant_left_timeout", "participant_absent_timeout")
"""Reasons of a shutdown that sources write with and without " reached"."""
_CONCURRENCY = re.compile(r"concurren", re.IGNORECASE)
_CREDITS = re.compile(r"out of .*credits", re.IGNORECASE)


# --- REST -------------------------------------------------------------------------------------


def conversation_tag(instance: str, session_id: str, given: str | None) -> str:
    """Name a conversation so that this deployment can find its own: ``Call [bridge/sess_1]``."""
    return f"{given or 'Avatar Bridge'} [{instance}/{session_id}]"


def is_tagged(name: str, instance: str, session_id: str) -> bool:
    """Tell whether ``conversation_tag`` made this name, whatever name was given before the tag."""
    return name.rstrip().endswith(f" [{instance}/{session_id}]")


def create_body(
    spec: SessionSpec, *, name: str, callback_url: str | None, left_s: float
) -> dict[str, Any]:
    """Write the body of ``POST /v2/conversations`` for a session that has ``left_s`` seconds left.

    Ids go out under the names the caller used. What the caller put into ``spec.conversation`` is
    kept but for what the service needs itself; of two limits on the duration the smaller holds.
    """
    body = dict(spec.conversation)
    for twins, given in zip(_TWINS, (spec.face, spec.pal), strict=True):
        if given is not None:
            for twin in twins:
                body.pop(twin, None)
            body[given.name] = given.value
    body["conversation_name"] = name
    body.pop("callback_url", None)
    if callback_url is not None:
        body["callback_url"] = callback_url
    theirs = body.get("properties")
    properties: dict[str, Any] = dict(theirs) if isinstance(theirs, dict) else {}
    properties["max_call_duration"] = call_s(spec, left_s)
    properties["participant_left_timeout"] = max(
        MIN_LEFT_TIMEOUT_S, whole_s(properties.get("participant_left_timeout"), 0)
    )
    properties["participant_absent_timeout"] = max(
        math.ceil(spec.ready_timeout_s),
        whole_s(properties.get("participant_absent_timeout"), ABSENT_TIMEOUT_S),
    )
    body["properties"] = properties
    return body


def parse_conversation(body: object) -> ConversationCreated:
    """Read the answer to ``POST`` or ``GET /v2/conversations``.

    Raises ``TavusUnavailable`` when the id is missing, or the address of a conversation that is
    not over.
    """
    fields = body if isinstance(body, dict) else {}
    conversation_id = _text(fields.get("conversation_id"))
    conversation_url = _text(fields.get("conversation_url"))
    over = fields.get("status") == "ended"
    if conversation_id is None or (conversation_url is None and not over):
        raise TavusUnavailable("Tavus answered without the conversation's id or address")
    return ConversationCreated(
        conversation_id,
        conversation_url or "",
        meeting_token=_text(fields.get("meeting_token")),
        over=over,
    )


class ConversationRow(Struct, frozen=True):
    """A conversation as a list shows it."""

    conversation_id: str
    name: str
    over: bool
    face_id: str | None
    """Rows carry either the old or the new names of this and of ``pal_id``."""
    pal_id: str | None


class ConversationPage(Struct, frozen=True):
    """One page of ``GET /v2/conversations``."""

    rows: tuple[ConversationRow, ...]
    length: int
    """Rows on the page, those that cannot be read too."""
    total: int | None
    """Rows on all pages, if Tavus says it."""


def parse_page(body: object) -> ConversationPage:
    """Read the answer to ``GET /v2/conversations``. Raises ``TavusUnavailable`` for another."""
    fields = body if isinstance(body, dict) else {}
    data = fields.get("data")
    if not isinstance(data, list):
        raise TavusUnavailable("Tavus answered with something else than a list")
    rows = filter(None, map(_row, data))
    total = fields.get("total_count")
    return ConversationPage(tuple(rows), len(data), total if isinstance(total, int) else None)


def _row(value: object) -> ConversationRow | None:
    fields = value if isinstance(value, dict) else {}
    conversation_id = _text(fields.get("conversation_id"))
    if conversation_id is None:
        return None
    face_id, pal_id = (_text(fields.get(old)) or _text(fields.get(new)) for old, new in _TWINS)
    return ConversationRow(
        conversation_id,
        _text(fields.get("conversation_name")) or "",
        over=fields.get("status") == "ended",
        face_id=face_id,
        pal_id=pal_id,
    )


def error_for(status: int, text: str, *, retry_after_ms: int | None = None) -> BridgeError:
    """Translate an answer of Tavus that is not a success.

    ``text`` is the raw body. Tavus tells the concurrency limit and used-up credits by their text,
    whatever the status.
    """
    words = _words(text)
    detail = f"Tavus ({status}): {words}" if words else f"Tavus answered {status}"
    client_error = 400 <= status < 500
    if client_error and _CONCURRENCY.search(words):
        return TavusConcurrencyLimit(detail, retry_after_ms=retry_after_ms)
    if status == 402 or (client_error and _CREDITS.search(words)):
        return TavusOutOfCredits(detail)
    if status == 401:
        return TavusUnauthorized(detail)
    if status == 403:
        return TavusForbidden(detail)
    if status == 429:
        return TavusRateLimited(detail, retry_after_ms=retry_after_ms)
    if client_error:
        return TavusRejected(detail)
    return TavusUnavailable(detail, retry_after_ms=retry_after_ms)


def _words(text: str) -> str:
    """Find what Tavus says went wrong: ``message``, ``error``, ``detail``, else all of it."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    said: object = text
    if isinstance(body, dict):
        said = next((body[key] for key in ("message", "error", "detail") if body.get(key)), text)
    words = said if isinstance(said, str) else json.dumps(said)
    words = " ".join(words.split())
    return words if len(words) <= MAX_DETAIL else words[: MAX_DETAIL - 1] + "…"


# --- app messages, out ------------------------------------------------------------------------


def echo_message(
    conversation_id: str, inference_id: str, pcm: bytes, *, done: bool, done_as_string: bool
) -> str:
    """Write one ``conversation.echo`` with 24 kHz mono s16le; 40 ms fit into 4096 bytes.

    ``done_as_string`` writes ``"true"`` for ``true``: Tavus's schema and its example disagree.
    """
    said = "true" if done else "false"
    if done_as_string:
        said = f'"{said}"'
    return (
        '{"message_type":"conversation","event_type":"conversation.echo","conversation_id":'
        f"{encode_basestring_ascii(conversation_id)}"
        f',"properties":{{"modality":"audio","sample_rate":{SAMPLE_RATE},"inference_id":'
        f"{encode_basestring_ascii(inference_id)}"
        f',"done":{said},"audio":"{b2a_base64(pcm, newline=False).decode("ascii")}"}}}}'
    )


def interrupt_message(conversation_id: str) -> str:
    """Write ``conversation.interrupt``: the replica stops. Tavus defines no acknowledgement."""
    return (
        '{"message_type":"conversation","event_type":"conversation.interrupt","conversation_id":'
        f"{encode_basestring_ascii(conversation_id)}}}"
    )


def interaction_message(conversation_id: str, event_type: str, properties: dict[str, Any]) -> str:
    """Write any other interaction of a client.

    Raises ``InvalidRequest`` for audio and for an interrupt, which would go past the positions
    that the service keeps, and for what is not JSON; ``TooLarge`` above 4096 bytes.
    """
    if event_type == "conversation.interrupt":
        raise InvalidRequest(
            "Interrupt with the session's own interrupt call",
            fields=(("event_type", "conversation.interrupt is not passed on"),),
        )
    if event_type == "conversation.echo" and (
        "audio" in properties or properties.get("modality", "text") != "text"
    ):
        raise InvalidRequest(
            "Send audio over the session's stream",
            fields=(("properties", "an echo of audio is not passed on"),),
        )
    envelope = {
        "message_type": "conversation",
        "event_type": event_type,
        "conversation_id": conversation_id,
        "properties": properties,
    }
    try:
        message = json.dumps(envelope, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(message.encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(
            "The interaction cannot be written as JSON",
            fields=(("properties", "must be JSON with finite numbers and valid text"),),
        ) from error
    if size > MAX_MESSAGE_BYTES:
        raise TooLarge(f"The interaction has {size} bytes; {MAX_MESSAGE_BYTES} fit")
    return message


# --- app messages and callbacks, in -----------------------------------------------------------


class ReplicaStarted(Struct, frozen=True):
    """The replica can be heard."""

    form: str
    """Which of the twin events this was: Tavus says the same thing under several names."""
    inference_id: str | None
    """Ours, one that Tavus made, or none."""


class ReplicaStopped(Struct, frozen=True):
    """The replica cannot be heard any more."""

    form: str
    inference_id: str | None
    duration_samples: int | None
    """Samples at 24 kHz heard since the start, if Tavus says it."""
    interrupted: bool | None


class ReplicaPresent(Struct, frozen=True):
    """The replica is in the room: it joined, or this is its heartbeat."""


class ShutDown(Struct, frozen=True):
    """Tavus ended the conversation."""

    reason: str


AppEvent = ReplicaStarted | ReplicaStopped | ReplicaPresent | ShutDown

_PRESENT = frozenset(
    {
        "system.replica_joined",
        "system.pal_joined",
        "system.replica_present",
        "system.pal_present",
    }
)
_REPLICA_ROLES = frozenset({"pal", "replica"})


def read_app_message(message: dict[str, Any] | str) -> AppEvent | None:
    """Read what a room's message means for us; None for all others and for junk. Never raises.

    Callbacks (webhooks) have the same shape, and bring those of the type ``system``.

    daily-python delivers a dict or a JSON string. Since 2026 every speaking event of the replica
    comes up to three times: legacy name, role ``pal``, role ``replica``.
    """
    fields = _object(message)
    event_type = fields.get("event_type")
    if not isinstance(event_type, str):
        return None
    if event_type in _PRESENT:
        return ReplicaPresent()
    properties = _object(fields.get("properties"))
    if event_type == "system.shutdown":
        reason = _text(properties.get("shutdown_reason")) or _text(fields.get("shutdown_reason"))
        return ShutDown(_as_documented(reason or "unknown"))
    if event_type.startswith("conversation.replica."):
        form = event_type
    else:
        role = properties.get("role")
        if not isinstance(role, str) or role not in _REPLICA_ROLES:
            return None
        form = f"{event_type}/{role}"
    # Old events carry the id inside properties, new ones on the envelope.
    inference_id = _text(fields.get("inference_id")) or _text(properties.get("inference_id"))
    match event_type.removeprefix("conversation.").removeprefix("replica."):
        case "started_speaking":
            return ReplicaStarted(form, inference_id)
        case "stopped_speaking":
            interrupted = properties.get("interrupted")
            return ReplicaStopped(
                form,
                inference_id,
                _samples(properties.get("duration")),
                interrupted if isinstance(interrupted, bool) else None,
            )
    return None


def _as_documented(reason: str) -> str:
    """Write a shutdown's reason always the same: the room and the callback may differ."""
    limit = next((limit for limit in _LIMITS if reason.startswith(limit)), None)
    return reason if limit is None else f"{limit} reached"


def _object(value: object) -> dict[str, Any]:
    """Take ``value`` as a JSON object: a dict, or its text; anything else is an empty one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _samples(duration_s: object) -> int | None:
    """Turn a duration in seconds into samples; None for what is no duration."""
    if isinstance(duration_s, bool) or not isinstance(duration_s, int | float):
        return None
    try:
        samples = float(duration_s) * SAMPLE_RATE
    except OverflowError:
        return None
    return round(samples) if 0 <= samples < math.inf else None
