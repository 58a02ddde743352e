"""Every setting, typed, with its unit in its name.

Read from the environment and from ``.env``; a wrong value stops the start with one line a mistake
(``app.cli`` prints them). What does not fit together is told with the later of the settings, so
that all mistakes are found at once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class RoomKind(StrEnum):
    """Where replicas live."""

    DAILY = "daily"
    SANDBOX = "sandbox"


def _env(name: str) -> AliasChoices:
    return AliasChoices(name, name.lower())


class SandboxSettings(BaseSettings):
    """What the sandbox alone reads: it must start where the service itself could not."""

    model_config = SettingsConfigDict(
        env_prefix="BRIDGE_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    sandbox_api_key: SecretStr | None = None
    """The only key the sandbox accepts; empty: any."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"


class Settings(SandboxSettings):
    """The service's settings; see the table in the README."""

    # --- Tavus
    tavus_api_key: SecretStr | None = Field(None, validation_alias=_env("TAVUS_API_KEY"))
    tavus_base_url: str | None = Field(None, validation_alias=_env("TAVUS_BASE_URL"))
    """Empty: Tavus itself, or the sandbox that ``serve`` starts."""
    tavus_replica_id: str | None = Field(None, validation_alias=_env("TAVUS_REPLICA_ID"))
    tavus_face_id: str | None = Field(None, validation_alias=_env("TAVUS_FACE_ID"))
    tavus_persona_id: str | None = Field(None, validation_alias=_env("TAVUS_PERSONA_ID"))
    tavus_pal_id: str | None = Field(None, validation_alias=_env("TAVUS_PAL_ID"))
    tavus_timeout_s: float = Field(20.0, gt=0)
    """Longest wait for one answer of Tavus's REST API."""

    # --- the edge
    room: RoomKind | None = None
    """Empty: ``daily`` with a Tavus key, else ``sandbox``."""
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str | None = None
    api_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(default_factory=dict)
    """Name → key. From ``name:key`` or ``key``, comma-separated."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: str = "127.0.0.1"
    """Whose ``X-Forwarded-*`` to believe, comma-separated (uvicorn's ``forwarded_allow_ips``)."""

    # --- audio
    audio_path: Literal["echo", "track"] = "echo"
    lead_ms: int = Field(1500, ge=0, le=10_000)
    """How far ahead of real time audio may be handed over on ``echo``."""
    echo_overlap: Literal["hold", "send"] = "hold"
    """What an utterance does that comes after ``done``: wait until the replica stopped, or not."""
    echo_done: Literal["bool", "string"] = "bool"
    """How ``done`` is written: sources disagree whether Tavus wants true or ``"true"``."""
    track_auto_silence: bool = False
    """Whether the track sends silence between utterances (Daily only)."""
    resample_quality: Literal["QQ", "LQ", "MQ", "HQ", "VHQ"] = "HQ"
    """soxr's names. HQ looks ahead up to 37 ms, VHQ up to 76 ms."""
    low_delay: bool = False
    """Whether audio on ``echo`` waits for no more than 10 ms of it, in place of 40: in short
    packets twice as many messages."""
    buffer_ms: int = Field(120_000, ge=1000, le=3_600_000)
    high_ms: int = Field(30_000, ge=100)
    low_ms: int = Field(15_000, ge=0)
    queued_utterances: int = Field(64, ge=1, le=1000)
    late_audio_gap_ms: int = Field(300, ge=0)
    utterance_gap_ms: int = Field(1000, ge=50)
    user_speech_ms: int = Field(200, ge=50, le=2000)
    """How much a person must say while the replica speaks to cut it, where a session asks for that.

    Shorter are coughs and a single word of assent.
    """

    # --- session life
    rooms_per_worker: int = Field(4, ge=1, le=50)
    """Daily rooms in one process: so many go down with it."""
    max_sessions: int | None = Field(None, ge=1)
    """Empty: 10 with Daily, 100 with the sandbox."""
    ready_timeout_s: float = Field(120.0, gt=0, le=3600)
    idle_timeout_s: float = Field(300.0, gt=0, le=86_400)
    max_duration_s: float = Field(3600.0, gt=0, le=86_400)
    replica_lost_timeout_s: float = Field(15.0, gt=0, le=3600)
    replica_stall_s: float = Field(10.0, gt=0, le=3600)
    """How long a replica may show no life: no word of speaking, no picture while somebody watches.

    Clients of Tavus give it up to 5 s to tell of an interrupt; a healthy one begins within 1 s.
    """
    replace_stalled: bool = False
    """Whether a session whose replica stalls goes on in a new conversation."""
    resume_window_ms: int = Field(30_000, ge=0)
    drain_s: float = Field(3.0, ge=0, le=300)
    """How long a shutdown waits for the replicas to finish what they have."""
    instance: str = "bridge"
    """Tag in the name of every conversation, so that this deployment knows its own."""
    data_dir: Path = Path("data")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys: dict[str, str] = {}
        for number, entry in enumerate(
            filter(None, (part.strip() for part in value.split(","))), 1
        ):
            name, colon, key = (part.strip() for part in entry.partition(":"))
            if not colon:
                name, key = f"key-{number}", entry
            if not name or not key:
                raise ValueError(f"entry {number} must be name:key or key")
            if name in keys:
                raise ValueError(f"the name {name!r} is given twice")
            keys[name] = key
        return keys

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())

    @field_validator("public_url", "tavus_base_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        if not urlsplit(value).hostname:
            raise ValueError("names no host")
        return value.rstrip("/")

    @field_validator("room")
    @classmethod
    def _has_its_key(cls, room: RoomKind | None, info: ValidationInfo) -> RoomKind | None:
        if room is RoomKind.DAILY and not info.data.get("tavus_api_key"):
            raise ValueError("daily needs TAVUS_API_KEY")
        return room

    @field_validator("api_keys")
    @classmethod
    def _guards_the_host(
        cls, keys: dict[str, SecretStr], info: ValidationInfo
    ) -> dict[str, SecretStr]:
        if not keys and info.data.get("host", "localhost") not in LOOPBACK_HOSTS:
            raise ValueError(
                "needed because BRIDGE_HOST is not loopback: everybody could start conversations "
                "that you pay for"
            )
        return keys

    @field_validator("high_ms")
    @classmethod
    def _fits_the_buffer(cls, high_ms: int, info: ValidationInfo) -> int:
        if high_ms > info.data.get("buffer_ms", high_ms):
            raise ValueError("must be at most BRIDGE_BUFFER_MS")
        return high_ms

    @field_validator("low_ms")
    @classmethod
    def _is_below_the_high_mark(cls, low_ms: int, info: ValidationInfo) -> int:
        if low_ms >= info.data.get("high_ms", low_ms + 1):
            raise ValueError("must be less than BRIDGE_HIGH_MS")
        return low_ms

    @property
    def room_kind(self) -> RoomKind:
        """The kind of room in use."""
        if self.room is not None:
            return self.room
        return RoomKind.DAILY if self.tavus_api_key else RoomKind.SANDBOX

    @property
    def tavus_key(self) -> str:
        """What Tavus, or the sandbox in its place, is shown; a sandbox may take any key."""
        key = self.tavus_api_key or (
            self.sandbox_api_key if self.room_kind is RoomKind.SANDBOX else None
        )
        return key.get_secret_value() if key else "sandbox"

    @property
    def session_limit(self) -> int:
        """The most sessions at once."""
        if self.max_sessions is not None:
            return self.max_sessions
        return 10 if self.room_kind is RoomKind.DAILY else 100


LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
