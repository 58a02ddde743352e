"""What a client may say: protocol v1, from text to typed messages.

``parse`` turns one text message of the stream into a struct or raises a typed error; nothing else
comes out of it, whatever goes in. ``parse_format`` does the same for the query of the address.

Unknown fields are ignored, so that a newer client can speak to an older service. Every message
may carry an ``id`` of at most 128 characters: its answer returns it as ``id``, its ``error`` as
``ref``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta, Struct

from app.core.media import Choices, PictureChoice, PictureCodec
from app.core.pcm import MAX_RATE, MIN_RATE, SAMPLE_RATE, AudioFormat, Encoding
from app.errors import BadBase64, BadMessage, BridgeError, UnknownType, UnsupportedFormat

UtteranceId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$(?!\n)")]
"""The lookahead is for Python, whose ``$`` also matches before a last line feed."""

Label = Annotated[str, Meta(max_length=128)]
"""A short text that the service gives back as it came."""

_ENCODINGS = frozenset(encoding.value for encoding in Encoding)
_CHANNELS = (1, 2)


class Format(Struct, frozen=True):
    """An audio format as a client writes it.

    Fields left out have these defaults, not the values of the format before. For ``wav`` the rate
    and the channels are what the WAV header says.
    """

    encoding: Annotated[str, Meta(extra_json_schema={"enum": list(Encoding)})] = Encoding.S16LE
    """How one sample is written down."""
    sample_rate: Annotated[
        int, Meta(extra_json_schema={"minimum": MIN_RATE, "maximum": MAX_RATE})
    ] = SAMPLE_RATE
    """Hertz."""
    channels: Annotated[int, Meta(extra_json_schema={"enum": list(_CHANNELS)})] = 1
    """Two channels are averaged."""

    def __post_init__(self) -> None:
        """Raise ``UnsupportedFormat`` for a value out of range.

        Types are checked before, by the decoder: those are ``BadMessage``. The ranges are not left
        to the decoder, so that both mistakes keep their own code.
        """
        if self.encoding not in _ENCODINGS:
            raise UnsupportedFormat(f"encoding must be one of {', '.join(Encoding)}")
        _check_rate(self.sample_rate)
        if self.channels not in _CHANNELS:
            raise UnsupportedFormat("channels must be 1 or 2")

    def audio_format(self) -> AudioFormat:
        """Return the same as the audio path takes it."""
        return AudioFormat(Encoding(self.encoding), self.sample_rate, self.channels)


class VideoChoice(Struct, frozen=True):
    """The pictures that a viewer wants."""

    codec: Annotated[str, Meta(extra_json_schema={"enum": list(PictureCodec)})] = PictureCodec.JPEG
    max_fps: Annotated[int, Meta(ge=1, le=60)] = 25
    """Pictures a second, at most."""
    max_width: Annotated[int, Meta(ge=16, le=3840)] = 1280
    """Pixels; wider pictures are made smaller, in proportion."""

    def __post_init__(self) -> None:
        """Raise ``UnsupportedFormat`` for a codec that is none of ours."""
        if self.codec not in frozenset(PictureCodec):
            raise UnsupportedFormat(f"codec must be one of {', '.join(PictureCodec)}")

    def choice(self) -> PictureChoice:
        """Return the same as a room takes it."""
        return PictureChoice(PictureCodec(self.codec), self.max_fps, self.max_width)


class SoundChoice(Struct, frozen=True):
    """The sound that a viewer wants: mono s16le."""

    sample_rate: Annotated[
        int, Meta(extra_json_schema={"minimum": MIN_RATE, "maximum": MAX_RATE})
    ] = SAMPLE_RATE
    """Hertz."""

    def __post_init__(self) -> None:
        """Raise ``UnsupportedFormat`` for a rate out of range."""
        _check_rate(self.sample_rate)


class _Message(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    pass


class UtteranceStart(_Message, frozen=True, tag="utterance.start"):
    """Opens an utterance, closing an open one; the format holds until changed."""

    utterance_id: UtteranceId | None = None
    """Given by the service when left out; must differ from the session's last 1000."""
    format: Format | None = None
    epoch: Annotated[int, Meta(ge=0)] | None = None
    """The epoch the reply was made for: an older one than the session's is dead on arrival."""
    id: Label | None = None


class AudioAppend(_Message, frozen=True, tag="audio.append"):
    """Audio of the open utterance, for clients that pass on base64 from their TTS."""

    audio: bytes
    """Standard base64 with padding on the wire, any length; a sample may be split."""
    id: Label | None = None


class UtteranceEnd(_Message, frozen=True, tag="utterance.end"):
    """No more audio for the open utterance: what is there plays to its last sample."""

    utterance_id: UtteranceId | None = None
    """When given, must be the open one."""
    id: Label | None = None


class Mark(_Message, frozen=True, tag="mark"):
    """Asks to be told when playback reaches the current input sample."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    id: Label | None = None


class PlaybackPause(_Message, frozen=True, tag="playback.pause"):
    """Holds what is not yet handed over to the room."""

    id: Label | None = None


class PlaybackResume(_Message, frozen=True, tag="playback.resume"):
    """Releases what ``playback.pause`` held."""

    id: Label | None = None


class SessionKeepalive(_Message, frozen=True, tag="session.keepalive"):
    """Counts as activity and does nothing else."""

    id: Label | None = None


class Ping(_Message, frozen=True, tag="ping"):
    """Asks for a ``pong``; does not count as activity."""

    ts: int | float | Label | None = None
    """Comes back as it is: a time of the client's own."""
    id: Label | None = None


class Interrupt(_Message, frozen=True, tag="interrupt"):
    """Barge-in: cuts the playing, the open and all queued utterances."""

    utterance_id: UtteranceId | None = None
    """A guard: unless this one is playing, open or queued, nothing happens."""
    reason: str | None = None
    id: Label | None = None


class TavusSend(_Message, frozen=True, tag="tavus.send"):
    """Sends one Tavus interaction; the service adds the envelope."""

    event_type: str
    """Such as ``conversation.respond``; audio echo and ``conversation.interrupt`` are refused."""
    properties: dict[str, Any] | None = None
    id: Label | None = None


class FramesSubscribe(_Message, frozen=True, tag="frames.subscribe"):
    """Asks for picture and sound on this connection, in place of what was asked before.

    At least one of them; what is left out is not wanted.
    """

    video: VideoChoice | None = None
    audio: SoundChoice | None = None
    """The avatar's sound."""
    user_audio: SoundChoice | None = None
    """The sound of the people in the room."""
    id: Label | None = None

    def choices(self) -> Choices:
        """Return the same as the session takes it. Raises ``BadMessage`` when nothing is asked."""
        if self.video is None and self.audio is None and self.user_audio is None:
            raise BadMessage("ask for video, audio or user_audio")
        return Choices(
            None if self.video is None else self.video.choice(),
            None if self.audio is None else self.audio.sample_rate,
            None if self.user_audio is None else self.user_audio.sample_rate,
        )


class FramesUnsubscribe(_Message, frozen=True, tag="frames.unsubscribe"):
    """No more frames; answered by a last ``frames.stats``."""

    id: Label | None = None


ClientMessage = (
    UtteranceStart
    | AudioAppend
    | UtteranceEnd
    | Mark
    | PlaybackPause
    | PlaybackResume
    | SessionKeepalive
    | Ping
    | Interrupt
    | TavusSend
    | FramesSubscribe
    | FramesUnsubscribe
)
"""Every text message a client may send."""


def _check_rate(sample_rate: int) -> None:
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise UnsupportedFormat(f"sample_rate must be from {MIN_RATE} to {MAX_RATE}")


_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_TYPES = frozenset(kind.__struct_config__.tag for kind in get_args(ClientMessage))


class _Head(Struct):
    """What tells the wrong messages apart, decoded only after a message was found wrong."""

    type: Any = None
    id: Label | None = None
    audio: Any = None


_head_decoder = msgspec.json.Decoder(_Head)
_WRONG = (msgspec.DecodeError, UnicodeEncodeError, RecursionError)
"""What msgspec raises for text that is no JSON, holds half a surrogate pair, or nests too deep."""


def parse(text: str) -> ClientMessage:
    """Return the message in ``text``.

    Raises:
        BadMessage: no JSON object, or a field missing, of the wrong type or out of its range.
        UnknownType: ``type`` names no message of this protocol version.
        UnsupportedFormat: an unknown encoding, or a rate or channel count out of range.
        BadBase64: ``audio`` is not base64.

    """
    try:
        return _decoder.decode(text)
    except _WRONG as error:
        raise _explain(text, error) from None


def ref_of(text: str) -> str | None:
    """Return the ``id`` of a message that ``parse`` refused, for the ``ref`` of its error.

    None when it has none, or none that can be read.
    """
    try:
        return _head_decoder.decode(text).id
    except _WRONG:
        return None


def starts_utterance(text: str) -> bool:
    """Return whether a message that ``parse`` refused was meant to open an utterance."""
    try:
        return bool(_head_decoder.decode(text).type == UtteranceStart.__struct_config__.tag)
    except _WRONG:
        return False


def parse_format(query: Mapping[str, str]) -> tuple[AudioFormat, bool]:
    """Return the format that an address's query asks for, and whether it asks for one at all.

    Reads ``encoding``, ``sample_rate`` and ``channels``. Raises UnsupportedFormat.
    """
    declared = {name: query[name] for name in Format.__struct_fields__ if name in query}
    try:
        parsed = msgspec.convert(declared, Format, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # of what is half a character
        raise UnsupportedFormat(str(error)) from None
    return parsed.audio_format(), bool(declared)


def _explain(text: str, error: Exception) -> BridgeError:
    try:
        head = _head_decoder.decode(text)
    except _WRONG:
        return BadMessage(str(error))
    if isinstance(head.type, str) and head.type not in _TYPES:
        return UnknownType(f"there is no message of type {head.type[:64]!r}")
    if head.type == AudioAppend.__struct_config__.tag and isinstance(head.audio, str):
        return BadBase64()
    return BadMessage(str(error))
