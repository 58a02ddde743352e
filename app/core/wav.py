"""Take the WAV headers out of an utterance's bytes, and refuse what is no PCM at all.

A header may come in any number of pieces, at the start of the utterance and again after every data
chunk of known size (a TTS that sends one file a sentence). The rules are section 3 of the wire
contract. Layout: Microsoft's "Multiple channel audio data and WAVE files" and RFC 2361.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum, auto

from app.core.pcm import MAX_RATE, MIN_RATE, AudioFormat, Encoding
from app.errors import FormatMismatch

HEADER_LIMIT = 65_536
"""Bytes within which a header's ``fmt `` chunk must end."""

Piece = AudioFormat | bytes | memoryview

_RIFF = {
    b"RIFF": None,
    b"RIFX": "a big-endian WAV file (RIFX)",
    b"RF64": "a 64-bit WAV file (RF64)",
    b"BW64": "a 64-bit WAV file (BW64)",
}
_FOREIGN = {
    b"OggS": "an Ogg file (Opus or Vorbis)",
    b"fLaC": "a FLAC file",
    b"ID3": "an ID3 tag, as MP3 files have",
}
_UNKNOWN_SIZES = frozenset({0, 0x7FFFFFFF, 0xFFFFFFFF})
"""What those write who do not know the length beforehand: the data goes on until the end."""

_FMT = struct.Struct("<HHIIHH")
"""Tag, channels, sample rate, bytes a second, bytes a frame, bits a sample."""

_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""Behind the format tag in the GUID of every subformat that has a tag."""

_ENCODINGS = {
    (1, 8): Encoding.U8,
    (1, 16): Encoding.S16LE,
    (1, 24): Encoding.S24LE,
    (1, 32): Encoding.S32LE,
    (3, 32): Encoding.F32LE,
    (6, 8): Encoding.ALAW,
    (7, 8): Encoding.MULAW,
}
"""By format tag and bits a sample."""


class _State(Enum):
    OPENING = auto()
    """Nothing is known: the few bytes that decide are held."""
    HEADER = auto()
    """``RIFF`` was seen: all is held until ``fmt `` is whole."""
    CHUNK = auto()
    """A header was accepted: at the head of a chunk, which is held."""
    SKIPPED = auto()
    """Inside a chunk that is no audio."""
    DATA = auto()
    """Inside a data chunk of known size."""
    AUDIO = auto()
    """All that comes is audio."""


class WavReader:
    """Tells audio from headers in one utterance; each format comes before its audio."""

    def __init__(self, fmt: AudioFormat, *, declared: bool) -> None:
        """Make one for a new utterance.

        ``fmt`` holds for audio without a header, unless it is ``wav``. When it was not
        ``declared`` by the client a header may say something else.
        """
        self._fmt = fmt
        self._bound = declared and fmt.encoding is not Encoding.WAV
        self._state = _State.OPENING
        self._held = bytearray()
        self._at = 0
        self._left = 0
        self._odd = False
        self._accepted = False

    @property
    def is_bare(self) -> bool:
        """Whether all that comes is audio of the last format: ``push`` would yield it as it is."""
        return self._state is _State.AUDIO

    def push(self, data: bytes | memoryview) -> Iterator[Piece]:
        """Yield the format of every header, the same again or not, and the audio in the last one.

        Raises FormatMismatch; the utterance is then over.
        """
        rest = data if self._state is _State.AUDIO else memoryview(data)
        while rest:
            if self._state is _State.AUDIO:
                yield rest
                return
            if self._state in (_State.DATA, _State.SKIPPED):
                piece, rest = rest[: self._left], rest[self._left :]
                self._left -= len(piece)
                if self._state is _State.DATA:
                    yield piece
                if not self._left:
                    self._state = _State.CHUNK
                continue
            self._held += rest
            understood = self._understand()
            if understood is None:
                return
            used, fmt = understood
            rest = memoryview(bytes(self._held))[used:]
            self._held.clear()
            if fmt is not None:
                yield fmt

    def end(self) -> Iterator[Piece]:
        """Yield what was held and turned out to be audio; a piece of a later header is none.

        Raises FormatMismatch when there was no header although ``wav`` was declared.
        """
        if self._held and not self._accepted:
            _, fmt = self._no_header("the data ended before a WAV header was complete")
            yield fmt
            yield bytes(self._held)

    def _understand(self) -> tuple[int, AudioFormat | None] | None:
        """Bytes used up, and the format they set; None when more bytes are needed to tell."""
        match self._state:
            case _State.OPENING:
                return self._read_opening()
            case _State.HEADER:
                return self._read_header()
            case _:
                return self._read_chunk()

    def _read_opening(self) -> tuple[int, AudioFormat | None] | None:
        head = bytes(self._held[:4])
        for magic, name in _FOREIGN.items():
            if head.startswith(magic):
                raise FormatMismatch(
                    f"the audio opens with {name}; send PCM, µ-law or A-law, bare or as WAV"
                )
        if head in _RIFF:
            self._begin_header()
            return 0, None
        if any(magic.startswith(head) for magic in (*_FOREIGN, *_RIFF)):
            return None
        return self._no_header(f"the audio opens with the bytes {head.hex(' ')}")

    def _begin_header(self) -> None:
        self._state = _State.HEADER
        self._at = len(b"RIFF....WAVE")
        self._odd = False

    def _read_header(self) -> tuple[int, AudioFormat | None] | None:
        held = self._held
        if len(held) < len(b"RIFF....WAVE"):
            return None
        if held[8:12] != b"WAVE":
            return self._no_header("there is a RIFF file that is no WAVE")
        if relative := _RIFF[bytes(held[:4])]:
            raise FormatMismatch(f"there is {relative}; send little-endian RIFF/WAVE, or bare PCM")
        while (chunk := self._chunk_at(self._at)) is not None:
            name, body, size = chunk
            end = body + size
            if name != b"fmt ":
                if name in (b"", b"data") or end > HEADER_LIMIT:
                    return self._no_header("there is a WAV header without a `fmt ` chunk")
                self._at = end
                self._odd = size % 2 == 1
                continue
            if not _FMT.size <= size <= HEADER_LIMIT - body:
                return self._no_header(f"there is a WAV header with a `fmt ` chunk of {size} bytes")
            if len(held) < end:
                break
            fields = _FMT.unpack_from(held, body)
            if not (fields[1] and fields[2]):
                return self._no_header("there is a WAV header with no channels or no sample rate")
            self._odd = size % 2 == 1
            return end, self._accept(_format(bytes(held[body:end])))
        return None

    def _accept(self, found: AudioFormat) -> AudioFormat:
        if self._bound and found != self._fmt:
            raise FormatMismatch(
                f"the audio was declared as {_say(self._fmt)}, but its WAV header says "
                f"{_say(found)}; declare that, or the encoding `wav`"
            )
        self._accepted = True
        self._state = _State.CHUNK
        return found

    def _read_chunk(self) -> tuple[int, AudioFormat | None] | None:
        chunk = self._chunk_at(0)
        if chunk is None:
            return None
        name, body, size = chunk
        if not name:
            # Better heard than lost: a size that was too small is likelier than noise at the end.
            self._state = _State.AUDIO
            return 0, None
        if name in _RIFF:
            self._begin_header()
            return body - 8, None
        self._left = size
        self._odd = size % 2 == 1
        if name != b"data":
            self._state = _State.SKIPPED
        elif size in _UNKNOWN_SIZES:
            self._state = _State.AUDIO
        else:
            self._state = _State.DATA
        return body, None

    def _chunk_at(self, at: int) -> tuple[bytes, int, int] | None:
        """Name, start of the body and its size; an empty name where no chunk can be."""
        if self._odd and self._held[at : at + 1] == b"\0":
            at += 1  # the padding of an odd chunk, which some writers leave out
        head = bytes(self._held[at : at + 8])
        if not all(0x20 <= octet < 0x7F for octet in head[:4]):
            return b"", at, 0
        if len(head) < 8:
            return None
        name, size = struct.unpack("<4sI", head)
        return name, at + 8, size

    def _no_header(self, found: str) -> tuple[int, AudioFormat]:
        if self._accepted or self._fmt.encoding is Encoding.WAV:
            raise FormatMismatch(
                f"{found}, where a WAV header must be; send one with every file, or declare the "
                "encoding of the bare samples, such as pcm_s16le"
            )
        self._state = _State.AUDIO
        return 0, self._fmt


def _format(chunk: bytes) -> AudioFormat:
    """Read the body of a ``fmt `` chunk. Raises FormatMismatch for what we do not take."""
    tag, channels, rate, _, block, bits = _FMT.unpack_from(chunk)
    if tag == _EXTENSIBLE and chunk[26:40] == _GUID_TAIL:
        tag = int.from_bytes(chunk[24:26], "little")
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None:
        raise FormatMismatch(
            f"the WAV file holds format {tag:#06x} with {bits} bits a sample; send PCM of 8, 16, "
            "24 or 32 bits, 32-bit float, µ-law or A-law"
        )
    if not (MIN_RATE <= rate <= MAX_RATE and 1 <= channels <= 2):
        raise FormatMismatch(
            f"the WAV file has {channels} channels at {rate} Hz; send 1 or 2 channels at "
            f"{MIN_RATE} to {MAX_RATE} Hz"
        )
    fmt = AudioFormat(encoding, rate, channels)
    if block != fmt.frame_bytes():
        raise FormatMismatch(
            f"the WAV header says {block} bytes for {channels} samples of {bits} bits; "
            "send packed samples"
        )
    return fmt


def _say(fmt: AudioFormat) -> str:
    channels = "mono" if fmt.channels == 1 else "stereo"
    return f"{fmt.encoding} {channels} at {fmt.sample_rate} Hz"
