from __future__ import annotations

import random
import struct
import wave
from collections.abc import Iterable
from io import BytesIO

import pytest

from app.core.pcm import AudioFormat, Encoding
from app.core.wav import HEADER_LIMIT, WavReader
from app.errors import FormatMismatch
from tests.support.audio import (
    GUID_TAIL,
    TAGS,
    chunk,
    extensible,
    fmt_body,
    noise,
    pieces,
    riff,
    wav,
)

S16 = AudioFormat(Encoding.S16LE, 16000, 1)
OTHER = AudioFormat(Encoding.MULAW, 8000, 2)
ANY_WAV = AudioFormat(Encoding.WAV)
SPEECH = noise(S16, 500)
FMT = chunk(b"fmt ", fmt_body(1, 1, 16000, 16))
DATA = chunk(b"data", SPEECH)

Segments = list[tuple[AudioFormat, bytes]]


def read(data: bytes, fmt: AudioFormat = ANY_WAV, *, declared: bool = True) -> Segments:
    """Read ``data`` in one piece and cut in several ways: the segments must be the same."""
    sizes = random.Random(len(data))
    whole = _read([data], fmt, declared=declared)
    for cut in (
        [1] * min(len(data), 2000),
        [7] * 200,
        [sizes.randrange(1, 90) for _ in range(200)],
        [44],
    ):
        assert whole == _read(pieces(data, cut), fmt, declared=declared)
    return whole


def _read(parts: Iterable[bytes], fmt: AudioFormat, *, declared: bool) -> Segments:
    reader = WavReader(fmt, declared=declared)
    segments: Segments = []
    found = [piece for part in parts for piece in reader.push(part)]
    for piece in [*found, *reader.end()]:
        if isinstance(piece, AudioFormat):
            segments.append((piece, b""))
        else:
            fmt, audio = segments[-1]
            segments[-1] = (fmt, audio + piece)
    return segments


# --- what a header may look like --------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 22050, 192000])
@pytest.mark.parametrize("encoding", TAGS)
def test_header_sets_the_format_and_is_removed(
    encoding: Encoding, rate: int, channels: int
) -> None:
    """Every encoding we take can come as WAV, plain or extensible."""
    fmt = AudioFormat(encoding, rate, channels)
    audio = noise(fmt, 30)
    bits = fmt.frame_bytes() // channels * 8
    body = extensible(TAGS[encoding], channels, rate, bits)

    assert [(fmt, audio)] == read(wav(fmt, audio))
    assert [(fmt, audio)] == read(riff(chunk(b"fmt ", body), chunk(b"data", audio)))


@pytest.mark.parametrize(("encoding", "width"), [(Encoding.S16LE, 2), (Encoding.S24LE, 3)])
def test_a_file_of_another_writer(encoding: Encoding, width: int) -> None:
    """What Python's own ``wave`` writes is read as it was meant."""
    fmt = AudioFormat(encoding, 44100, 2)
    audio = noise(fmt, 333)
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(width)
        writer.setframerate(44100)
        writer.writeframes(audio)

    assert [(fmt, audio)] == read(file.getvalue())


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000])
def test_unknown_size_means_until_the_end(size: int) -> None:
    """What streaming writers put for a length they do not know takes in all that comes."""
    header = wav(S16, b"", size)
    tail = wav(S16, SPEECH)

    assert [(S16, SPEECH + tail)] == read(header + SPEECH + tail)


@pytest.mark.parametrize(
    "file",
    [
        riff(chunk(b"JUNK", b"x" * 28), FMT, chunk(b"LIST", b"INFOisft"), DATA),
        riff(chunk(b"JUNK", b"odd"), FMT, chunk(b"fact", b"12345"), DATA, chunk(b"id3 ", b"abc")),
        riff(chunk(b"bext", b""), FMT, chunk(b"cue ", b""), DATA, chunk(b"LIST", b"x" * 100_000)),
        riff(chunk(b"fmt ", fmt_body(1, 1, 16000, 16, extra=b"\0\0")), DATA),
        riff(chunk(b"fmt ", fmt_body(1, 1, 16000, 16, extra=b"\0")), DATA),
        riff(FMT, chunk(b"LIST", b"picture" * 20_000), DATA),
        riff(chunk(b"JUNK", bytes(HEADER_LIMIT - 12 - 8 - len(FMT))), FMT, DATA),
        riff(FMT, DATA) + b"LIS",
        riff(FMT, DATA) + b"RIFF\x10\0\0\0WA",
        struct.pack("<4sI4s", b"RIFF", 3, b"WAVE") + FMT + DATA,
        riff(FMT, chunk(b"data", SPEECH[:400]), chunk(b"LIST", b""), chunk(b"data", SPEECH[400:])),
    ],
)
def test_other_chunks_are_skipped(file: bytes) -> None:
    """Whatever stands around the audio, of odd length or cut off, is not heard."""
    assert [(S16, SPEECH)] == read(file)
    assert [(S16, SPEECH)] == read(file, S16)


def test_odd_chunk_without_padding() -> None:
    """Writers that forget the padding byte are understood too."""
    u8 = AudioFormat(Encoding.U8, 8000, 1)
    unpadded = wav(u8, b"abc")[:-1] + chunk(b"LIST", b"odd")[:-1] + wav(u8, b"defg")

    assert [(u8, b"abc"), (u8, b"defg")] == read(unpadded)


def test_padding_alone_at_the_end_is_no_audio() -> None:
    """The padding byte of odd data is not heard."""
    u8 = AudioFormat(Encoding.U8, 8000, 1)

    assert [(u8, b"abc")] == read(wav(u8, b"abc"))


def test_bytes_behind_the_data_that_are_no_chunk_are_audio() -> None:
    """A size that was too small loses nothing, not even what may have been padding."""
    u8 = AudioFormat(Encoding.U8, 8000, 1)

    assert [(S16, SPEECH + b"\0")] == read(wav(S16, SPEECH) + b"\0")
    assert [(S16, SPEECH + b"\1 more")] == read(wav(S16, SPEECH) + b"\1 more")
    assert [(u8, b"abc\0\1\2")] == read(wav(u8, b"abc") + b"\1\2")


def test_file_that_ends_in_its_data() -> None:
    """A file cut off inside its data plays what is there."""
    assert [(S16, SPEECH[:333])] == read(wav(S16, SPEECH)[: 44 + 333])


def test_no_audio_at_all() -> None:
    """No bytes are no mismatch, nor is a header alone."""
    assert [] == read(b"")
    assert [] == read(b"", S16)
    assert [(S16, b"")] == read(wav(S16, b""))


# --- several headers --------------------------------------------------------------------------


def test_each_header_begins_a_segment() -> None:
    """Files in a row are segments in a row, each with its own format."""
    mulaw = noise(OTHER, 40)
    files = wav(S16, SPEECH) + wav(OTHER, mulaw) + wav(OTHER, mulaw) + wav(S16, SPEECH, 0)

    assert [(S16, SPEECH), (OTHER, mulaw), (OTHER, mulaw), (S16, SPEECH)] == read(files)
    assert [(S16, SPEECH), (OTHER, mulaw), (OTHER, mulaw), (S16, SPEECH)] == read(
        files, S16, declared=False
    )


def test_a_later_header_is_held_against_the_declaration() -> None:
    """Under a declared ``pcm_*`` a second file of another format is a mismatch."""
    with pytest.raises(FormatMismatch, match="declared as pcm_s16le mono at 16000 Hz"):
        read(wav(S16, SPEECH) + wav(OTHER, b"12345678"), S16)


@pytest.mark.parametrize(
    "second",
    [
        riff(kind=b"AVI ") + bytes(9),
        riff(DATA),
        wav(S16, SPEECH).replace(b"RIFF", b"RIFX"),
    ],
)
@pytest.mark.parametrize("fmt", [ANY_WAV, S16])
def test_a_later_header_must_be_one(fmt: AudioFormat, second: bytes) -> None:
    """What begins as a second file and is none we can read is refused, not heard."""
    with pytest.raises(FormatMismatch):
        read(wav(S16, SPEECH) + second, fmt)


# --- under pcm_* ------------------------------------------------------------------------------


def test_header_equal_to_the_declared_format_is_removed() -> None:
    """A client that strips no header is understood."""
    assert [(S16, SPEECH)] == read(wav(S16, SPEECH), S16)


def test_header_sets_what_nobody_declared() -> None:
    """The defaults of a zero-setup client give way to what the header says."""
    mulaw = noise(OTHER, 40)

    assert [(OTHER, mulaw)] == read(wav(OTHER, mulaw), AudioFormat(), declared=False)


@pytest.mark.parametrize(
    "declared",
    [
        AudioFormat(Encoding.S16BE, 16000, 1),
        AudioFormat(Encoding.S16LE, 24000, 1),
        AudioFormat(Encoding.S16LE, 16000, 2),
    ],
)
def test_header_that_says_something_else_is_a_mismatch(declared: AudioFormat) -> None:
    """Encoding, rate and channels must all be as declared."""
    with pytest.raises(FormatMismatch, match="its WAV header says pcm_s16le mono at 16000 Hz"):
        read(wav(S16, SPEECH), declared)


@pytest.mark.parametrize(
    "audio",
    [
        SPEECH,
        b"R",
        b"ID",
        b"fLa",
        b"Ogg2" + SPEECH,
        b"RIFE" + SPEECH,
        b"RIFF" + SPEECH,
        wav(S16, SPEECH)[:11],
        wav(S16, SPEECH)[:15],
        wav(S16, SPEECH)[:35],
        riff(kind=b"AVI ") + SPEECH,
        riff(DATA, FMT),
        riff(chunk(b"fmt ", b"too short")) + SPEECH,
        riff(chunk(b"fmt ", fmt_body(1, 0, 16000, 16)), DATA),
        riff(chunk(b"fmt ", fmt_body(1, 1, 0, 16)), DATA),
        riff(chunk(b"fmt ", b"", 0xFFFFFFFF)) + bytes(2 * HEADER_LIMIT),
        riff(chunk(b"\0\1\2\3", b"junk"), FMT, DATA),
        riff(chunk(b"JUNK", bytes(HEADER_LIMIT)), FMT, DATA),
        riff(chunk(b"JUNK", bytes(HEADER_LIMIT + 2 - 12 - 8 - len(FMT))), FMT, DATA),
    ],
)
def test_what_is_no_complete_header_is_audio(audio: bytes) -> None:
    """Under ``pcm_*`` nothing is lost that only looked like a header, however short."""
    assert [(S16, audio)] == read(audio, S16)
    assert [(S16, audio)] == read(audio, S16, declared=False)


@pytest.mark.parametrize("data", [SPEECH[:4], b"RIFE", b"\0"])
def test_audio_is_not_held_back(data: bytes) -> None:
    """Bytes that cannot begin a header come out at once."""
    assert [S16, data] == list(WavReader(S16, declared=True).push(data))


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", [S16, ANY_WAV, OTHER])
@pytest.mark.parametrize(
    ("opening", "words"),
    [
        (b"OggS\0\2", "an Ogg file"),
        (b"fLaC\0\0\0\x22", "a FLAC file"),
        (b"ID3\4\0", "an ID3 tag"),
        (wav(S16, SPEECH).replace(b"RIFF", b"RIFX"), "big-endian"),
        (wav(S16, SPEECH).replace(b"RIFF", b"RF64"), "64-bit"),
        (wav(S16, SPEECH).replace(b"RIFF", b"BW64"), "64-bit"),
    ],
)
@pytest.mark.parametrize("declared", [True, False])
def test_other_containers_are_refused(
    opening: bytes, words: str, fmt: AudioFormat, declared: bool
) -> None:
    """Compressed audio is never played as noise, whatever was declared."""
    with pytest.raises(FormatMismatch, match=words):
        read(opening + SPEECH, fmt, declared=declared)


@pytest.mark.parametrize("fmt", [S16, ANY_WAV])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (fmt_body(3, 1, 16000, 64), "0x0003 with 64 bits"),
        (fmt_body(1, 1, 16000, 12, block=2), "0x0001 with 12 bits"),
        (fmt_body(2, 1, 16000, 4, block=1), "0x0002 with 4 bits"),
        (fmt_body(0x55, 1, 16000, 0), "0x0055"),
        (fmt_body(1, 1, 7999, 16), "1 channels at 7999 Hz"),
        (fmt_body(1, 1, 192001, 16), "192001 Hz"),
        (fmt_body(1, 3, 16000, 16), "3 channels"),
        (fmt_body(1, 1, 16000, 24, block=4), "4 bytes for 1 samples of 24 bits"),
        (fmt_body(0xFFFE, 1, 16000, 16), "0xfffe"),
        (extensible(1, 1, 16000, 16)[:38], "0xfffe"),
        (extensible(1, 1, 16000, 16, tail=GUID_TAIL[::-1]), "0xfffe"),
        (extensible(3, 1, 16000, 64), "0x0003 with 64 bits"),
    ],
)
def test_formats_we_cannot_play_are_refused(body: bytes, words: str, fmt: AudioFormat) -> None:
    """A header we understand and cannot follow is a mismatch that says what was found."""
    with pytest.raises(FormatMismatch, match=words):
        read(riff(chunk(b"fmt ", body), DATA), fmt)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SPEECH, "opens with the bytes"),
        (b"R", "ended before"),
        (wav(S16, SPEECH)[:20], "ended before"),
        (riff(kind=b"AVI ") + SPEECH, "no WAVE"),
        (riff(DATA, FMT), "without a `fmt ` chunk"),
        (riff(chunk(b"fmt ", b"too short")), "chunk of 9 bytes"),
        (riff(chunk(b"fmt ", fmt_body(1, 0, 16000, 16)), DATA), "no channels"),
        (riff(chunk(b"JUNK", bytes(HEADER_LIMIT)), FMT, DATA), "without a `fmt ` chunk"),
    ],
)
def test_wav_needs_a_header(data: bytes, words: str) -> None:
    """Under ``wav`` audio without a header is a mismatch that says what to do."""
    with pytest.raises(FormatMismatch, match=words) as caught:
        read(data)

    assert "declare the encoding" in caught.value.detail


def test_a_long_junk_header_is_read_once() -> None:
    """64 KiB of empty chunks, byte by byte, are each looked at once: no quadratic work."""
    header = b"RIFF\0\0\0\0WAVE" + chunk(b"JUNK", b"") * (HEADER_LIMIT // 8)
    reader = WavReader(S16, declared=True)
    out = [piece for i in range(len(header)) for piece in reader.push(header[i : i + 1])]

    assert S16 == out[0]
    assert header == b"".join(piece for piece in out[1:] if not isinstance(piece, AudioFormat))
