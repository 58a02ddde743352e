"""Bodies of requests and answers, as section "HTTP" of the README lists them.

Unknown fields are ignored: a client may be newer than the service. Fields are described in
``Field``: Pydantic reads docstrings out of the source, which takes 34 ms of every start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.core.pcm import SAMPLE_RATE
from app.core.persona import STOCK_PERSONAS
from app.core.roles import Role
from app.core.spec import AudioPathName, NamedId, SessionSpec, SessionView
from app.errors import InvalidRequest
from app.settings import RoomKind, Settings

TRACK_LEAD_MS = 40
"""How far ahead of its audio device a track may be fed, always."""

STOCK_REPLICA = "r4067604db72"
"""A stock replica of Tavus, which the sandbox knows too."""

UTTERANCE_ID = r"^[A-Za-z0-9._:-]{1,64}$"
"""As on the stream; Pydantic's ``$`` matches at the very end only."""

IdName = Literal["replica_id", "face_id", "persona_id", "pal_id"]
TavusId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=512)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


class RequestBody(BaseModel):
    """A JSON object from a client, of exactly the types it should have."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _is_json(cls, value: object) -> object:
        """Refuse what Python reads but JSON does not know, before it reaches Tavus."""
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError):
            raise ValueError("must be JSON with finite numbers and valid text") from None
        return value


# --- sessions ---------------------------------------------------------------------------------


class SessionCreate(RequestBody):
    """What a session shall be. Everything has a default if the service is configured so."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {},
                {
                    "replica_id": "r4067604db72",
                    "persona_id": "pipecat0",
                    "conversation_name": "Support call",
                    "metadata": {"customer": "42"},
                    "conversation": {"properties": {"enable_recording": True}},
                },
            ]
        }
    )

    replica_id: TavusId | None = None
    face_id: TavusId | None = Field(
        None,
        description="The newer name of `replica_id`; give one. Tavus is told the name you use.",
    )
    persona_id: TavusId | None = None
    pal_id: TavusId | None = Field(None, description="The newer name of `persona_id`; give one.")
    conversation_name: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        None, description="Shown in Tavus's lists, followed by a tag of the service."
    )
    audio_path: Literal["echo", "track"] | None = Field(
        None,
        description="`echo`: app messages. `track`: an audio track, which needs a persona that "
        "hears it.",
    )
    lead_ms: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="How far ahead of real time audio is handed over; on `track` always 40.",
    )
    ready_timeout_s: float | None = Field(
        None, gt=0, le=3600, description="How long to wait for the replica."
    )
    idle_timeout_s: float | None = Field(
        None, gt=0, le=86_400, description="The session ends after this long without any activity."
    )
    max_duration_s: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="The session ends after this long; without `renew` at Tavus's limit if that "
        "comes before.",
    )
    renew: bool = Field(
        False,
        description="Go on in another conversation when Tavus ends one at its limit (an hour, or "
        "less with `conversation.properties.max_call_duration`), until `max_duration_s`.",
    )
    interrupt_on_user_speech: bool = Field(
        False,
        description="Interrupt, with `reason` `user_speech`, when a person in the room speaks "
        "while the avatar does; once, until they have paused.",
    )
    metadata: Metadata = Field(
        default_factory=dict, description="At most 16 strings that come back with the session."
    )
    conversation: dict[str, Any] = Field(
        default_factory=dict,
        description="Merged into the request to Tavus; fields that the service needs itself win.",
    )

    @field_validator("face_id", "pal_id")
    @classmethod
    def _one_name(cls, value: str | None, info: ValidationInfo) -> str | None:
        older = "replica_id" if info.field_name == "face_id" else "persona_id"
        if value is not None and info.data.get(older) is not None:
            raise ValueError(f"give {older} or {info.field_name}, not both")
        return value

    @field_validator("conversation")
    @classmethod
    def _properties_are_an_object(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(value.get("properties", {}), dict):
            raise ValueError("properties must be an object")  # noqa: TRY004  # pydantic's protocol
        return value

    def spec(self, settings: Settings) -> SessionSpec:
        """Fill in the defaults. Raises `InvalidRequest` when nothing says who shall speak."""
        audio_path = AudioPathName(self.audio_path or settings.audio_path)
        sources = (
            vars(self),
            self.conversation,
            {
                "replica_id": settings.tavus_replica_id,
                "face_id": settings.tavus_face_id,
                "persona_id": settings.tavus_persona_id,
                "pal_id": settings.tavus_pal_id,
            },
        )
        face = _named_id("replica_id", "face_id", sources)
        pal = _named_id("persona_id", "pal_id", sources)
        if face is None and pal is None:
            if settings.room_kind is RoomKind.DAILY:
                raise InvalidRequest(
                    "replica_id or face_id is needed: none is configured",
                    fields=(("replica_id", "is needed"),),
                )
            face = NamedId("replica_id", STOCK_REPLICA)
        if pal is None:
            newer = face is not None and face.name == "face_id"
            pal = NamedId("pal_id" if newer else "persona_id", STOCK_PERSONAS[audio_path])
        lead_ms = settings.lead_ms if self.lead_ms is None else self.lead_ms
        return SessionSpec(
            face=face,
            pal=pal,
            conversation_name=self.conversation_name,
            audio_path=audio_path,
            lead_ms=TRACK_LEAD_MS if audio_path is AudioPathName.TRACK else lead_ms,
            ready_timeout_s=self.ready_timeout_s or settings.ready_timeout_s,
            idle_timeout_s=self.idle_timeout_s or settings.idle_timeout_s,
            max_duration_s=self.max_duration_s or settings.max_duration_s,
            renew=self.renew,
            interrupt_on_user_speech=self.interrupt_on_user_speech,
            metadata=self.metadata,
            conversation=self.conversation,
        )


def _named_id(
    older: IdName, newer: IdName, sources: Iterable[Mapping[str, object]]
) -> NamedId | None:
    """Take the id from the first source that has it under either name."""
    for source in sources:
        for name in (older, newer):
            value = source.get(name)
            if isinstance(value, str) and value:
                return NamedId(name, value)
    return None


class AnswerBody(BaseModel):
    """A JSON object for a client."""

    model_config = ConfigDict(from_attributes=True)


class Audio(AnswerBody):
    """How audio reaches the replica."""

    path: Literal["echo", "track"]
    sample_rate: int = Field(description="Of what the room gets, Hertz; input may have any rate.")
    lead_ms: int = Field(description="How far ahead of real time audio is handed over.")


class SessionError(AnswerBody):
    """Why the session failed."""

    code: str
    detail: str


class SessionTokens(AnswerBody):
    """One session token for each role, good for as long as the session may last."""

    produce: str = Field(description="Sends audio; may do all that the others may.")
    control: str = Field(
        description="Interrupts, pauses and sends messages; may do all that `observe` may."
    )
    observe: str = Field(description="Receives, and looks at the session.")


class Session(AnswerBody):
    """A session."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "sess_9f86d081884c7d65",
                    "status": "ready",
                    "room": "daily",
                    "conversation_id": "c123456",
                    "conversation_url": "https://tavus.daily.co/c123456",
                    "stream_url": "wss://bridge.example.com/sessions/sess_9f86d081884c7d65/stream",
                    "tokens": {
                        "produce": "eyJhbGciOi...",
                        "control": "eyJhbGciOi...",
                        "observe": "eyJhbGciOi...",
                    },
                    "audio": {"path": "echo", "sample_rate": 24000, "lead_ms": 1500},
                    "metadata": {"customer": "42"},
                    "created_at": "2026-11-22T08:53:00Z",
                    "ready_at": "2026-11-22T08:53:02.500000Z",
                    "expires_at": "2026-11-22T09:53:00Z",
                }
            ]
        }
    )

    id: str
    status: Literal["starting", "ready", "ended", "failed"]
    room: Literal["daily", "sandbox"]
    conversation_id: str | None
    conversation_url: str | None = Field(
        description="Where people join; another one after each renewal (`renew`)."
    )
    meeting_token: str | None = Field(
        None, description="Opens a private room (`require_auth`); for API keys only."
    )
    stream_url: str = Field(description="Where to send audio: a WebSocket. Holds no secret.")
    tokens: SessionTokens | None = Field(None, description="In the answer to a create only.")
    audio: Audio
    metadata: dict[str, str] = Field(description="As given.")
    created_at: datetime
    ready_at: datetime | None = Field(None, description="When the replica was in the room.")
    expires_at: datetime = Field(description="When the session ends at the latest.")
    ended_at: datetime | None = None
    end_reason: str | None = Field(
        None, description="The `reason` of the stream's `session.ended`."
    )
    error: SessionError | None = None

    @classmethod
    def of(cls, view: SessionView, stream_url: str, tokens: SessionTokens | None = None) -> Self:
        """Show a session; what it does not have is left unset."""
        optional = {
            "tokens": tokens,
            "meeting_token": view.meeting_token,
            "ready_at": view.ready_at,
            "ended_at": view.ended_at,
            "end_reason": view.end_reason,
            "error": view.error and SessionError(code=view.error.code, detail=view.error.detail),
        }
        return cls.model_validate(
            {
                "id": view.session_id,
                "status": view.status.value,
                "room": view.room,
                "conversation_id": view.conversation_id,
                "conversation_url": view.conversation_url,
                "stream_url": stream_url,
                "audio": Audio(
                    path=view.spec.audio_path.value,
                    sample_rate=SAMPLE_RATE,
                    lead_ms=view.spec.lead_ms,
                ),
                "metadata": view.spec.metadata,
                "created_at": view.created_at,
                "expires_at": view.expires_at,
                **{name: value for name, value in optional.items() if value is not None},
            }
        )


class SessionPage(AnswerBody):
    """Sessions, newest first."""

    data: list[Session]
    next_cursor: str | None = Field(
        description="Give it as `cursor` for the next page; null on the last."
    )


# --- tokens -----------------------------------------------------------------------------------


class TokenCreate(RequestBody):
    """What a session token shall allow."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "observe", "ttl_s": 600}]})

    role: Annotated[
        Role,
        Field(
            strict=False,
            description="`observe`: look and receive. `control`: also interrupt, pause and send "
            "messages. `produce`: also send audio.",
        ),
    ]
    ttl_s: int = Field(3600, ge=1, le=86_400, description="How long it is good.")


class SessionToken(AnswerBody):
    """A session token. It opens one stream; over HTTP it may be used again until it expires."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "eyJhbGciOi...",
                    "role": "observe",
                    "expires_at": "2026-11-22T09:03:00Z",
                }
            ]
        }
    )

    token: str
    role: Role
    expires_at: datetime


# --- what a session is told -------------------------------------------------------------------


class InterruptRequest(RequestBody):
    """A barge-in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{}, {"id": "int-1", "reason": "the user speaks"}]}
    )

    id: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        None, description="Comes back in `interrupt.accepted`."
    )
    utterance_id: Annotated[str, StringConstraints(pattern=UTTERANCE_ID)] | None = Field(
        None, description="A guard: nothing happens unless this one is playing, open or queued."
    )
    reason: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        None, description="For people; comes back in `interrupt.accepted`."
    )


class CutUtterance(AnswerBody):
    """One utterance that was cut, as known at the cut."""

    utterance_id: str
    received_ms: int
    sent_ms: int
    played_ms: int
    dropped_ms: int


class InterruptResult(AnswerBody):
    """What an interrupt did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "int-1",
                    "interrupted": True,
                    "epoch": 3,
                    "utterance_id": "u7",
                    "dropped_ms": 1400,
                    "utterances": [
                        {
                            "utterance_id": "u7",
                            "received_ms": 4000,
                            "sent_ms": 2600,
                            "played_ms": 1200,
                            "dropped_ms": 1400,
                        }
                    ],
                },
                {"interrupted": False, "epoch": 3, "dropped_ms": 0, "utterances": []},
            ]
        }
    )

    id: str | None = None
    interrupted: bool = Field(
        description="False when there was nothing to cut, or when the guard stopped it."
    )
    epoch: int = Field(description="The session's epoch from here on.")
    utterance_id: str | None = Field(None, description="The one that was playing.")
    reason: str | None = Field(None, description="As given.")
    dropped_ms: int = Field(
        description="Received and never handed to the room, of all utterances together."
    )
    utterances: list[CutUtterance]


class MessageCreate(RequestBody):
    """One Tavus interaction; the service adds the envelope."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"event_type": "conversation.respond", "properties": {"text": "Hello!"}},
                {
                    "event_type": "conversation.echo",
                    "properties": {"modality": "text", "text": "Hello!"},
                },
            ]
        }
    )

    event_type: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    properties: dict[str, Any] = Field(default_factory=dict)


# --- the service itself -----------------------------------------------------------------------


class DefaultId(AnswerBody):
    """An id as a request would give it."""

    name: IdName
    value: str


class ConsoleDefaults(AnswerBody):
    """What a session would be that names nothing itself."""

    room: Literal["daily", "sandbox"]
    audio_path: Literal["echo", "track"]
    face: DefaultId | None
    pal: DefaultId | None = Field(
        description="Both null: none is configured, a request must give one."
    )
    needs_key: bool = Field(description="Whether calls need an API key.")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Fill in what an empty request would be filled in with."""
        try:
            spec = SessionCreate().spec(settings)
        except InvalidRequest:
            spec = None
        return cls.model_validate(
            {
                "room": settings.room_kind.value,
                "audio_path": settings.audio_path,
                "face": spec and spec.face,
                "pal": spec and spec.pal,
                "needs_key": bool(settings.api_keys),
            }
        )


class Health(AnswerBody):
    """The service does what was asked about."""

    status: Literal["ok"] = "ok"
