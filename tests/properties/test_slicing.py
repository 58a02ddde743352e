"""Where the bytes were cut must make no difference, and no byte may do harm."""

from __future__ import annotations

import random
import struct
from collections.abc import Collection
from contextlib import suppress
from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.core.audio_path import AudioPath
from app.core.chunk import ECHO, ECHO_AT_ONCE, TRACK, Framing
from app.core.decode import Decoder
from app.core.pcm import AudioFormat, Chunk, Encoding
from app.errors import FormatMismatch
from tests.support.audio import TAGS, chunk, fmt_body, noise, one_shot, riff, speech, wav

ALL = frozenset(Encoding)
BARE = ALL - {Encoding.WAV}

framings = st.sampled_from([ECHO, TRACK])
rates = st.one_of(
    st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000]), st.integers(8000, 192000)
)


@st.composite
def formats(draw: st.DrawFn, encodings: Collection[Encoding]) -> AudioFormat:
    """Any format in one of these encodings."""
    return AudioFormat(
        draw(st.sampled_from(sorted(encodings))), draw(rates), draw(st.integers(1, 2))
    )


@st.composite
def audio(draw: st.DrawFn, fmt: AudioFormat) -> bytes:
    """Up to 3000 samples of noise, perhaps with a part of one more."""
    data = noise(fmt, draw(st.integers(0, 3000)), seed=draw(st.integers(0, 99)))
    return data + b"\x55" * draw(st.integers(0, fmt.frame_bytes() - 1))


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A WAV file, mostly a good one."""
    fmt = draw(formats(TAGS))
    size = draw(st.sampled_from([None, None, None, 0, 0xFFFFFFFF, 17]))
    return wav(fmt, draw(audio(fmt)), size)


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[AudioFormat, list[bytes]]]:
    """Formats, each another than the one before, and the pieces of audio that come in each."""
    found = draw(st.lists(st.one_of(formats(TAGS), st.just(AudioFormat())), min_size=1, max_size=3))
    row = [fmt for fmt, _ in groupby(found)]
    return [(fmt, draw(st.lists(audio(fmt).filter(bool), min_size=1, max_size=6))) for fmt in row]


fragments = st.one_of(
    st.binary(max_size=40),
    files(),
    st.sampled_from([b"RIFF", b"RIFX", b"RIFF\0\0\0\0WAVE", b"OggS", b"fLaC", b"ID3", b"\0"]),
    st.builds(chunk, st.sampled_from([b"LIST", b"data", b"fmt ", b"\1\2\3\4"]), st.binary()),
    st.builds(
        lambda fields: chunk(b"fmt ", struct.pack("<HHIIHH", *fields)),
        st.tuples(*[st.integers(0, 2 ** (32 if i in {2, 3} else 16) - 1) for i in range(6)]),
    ),
    st.just(riff(chunk(b"fmt ", fmt_body(1, 1, 16000, 16)))),
)
junk = st.lists(fragments, max_size=5).map(b"".join)


@st.composite
def utterances(draw: st.DrawFn) -> tuple[AudioFormat, bool, bytes]:
    """A format, whether it was declared, and bytes that may or may not be in it."""
    kind = draw(st.sampled_from(["bare", "files", "junk"]))
    fmt = draw(formats(BARE if kind == "bare" else ALL))
    if kind == "bare":
        data = draw(audio(fmt))
    else:
        data = b"".join(draw(st.lists(files(), max_size=3))) if kind == "files" else draw(junk)
    return fmt, draw(st.booleans()), data


cuts = st.one_of(
    st.lists(st.integers(0, 30_000), max_size=20),
    st.lists(st.integers(0, 60), max_size=20),
    st.integers(0, 99).map(lambda seed: random.Random(seed).choices(range(30_000), k=300)),
)


def whole_samples(fmt: AudioFormat, data: bytes) -> bytes:
    """``data`` without the part of a sample at its end."""
    return data[: len(data) - len(data) % fmt.frame_bytes()]


def hear(
    framing: Framing,
    fmt: AudioFormat,
    declared: bool,
    data: bytes,
    at: list[int],
    *,
    at_hand: bool = False,
) -> tuple[list[Chunk], AudioFormat, bool] | None:
    """Everything an utterance gives, or None for a mismatch; what must always hold is checked.

    ``at_hand``: every other piece is fed with the next one at hand.
    """
    path = AudioPath(framing)
    path.begin(fmt, declared=declared)
    chunks: list[Chunk] = []
    received = [0]
    bounds = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    try:
        for number, (start, stop) in enumerate(pairwise(bounds)):
            more = at_hand and number % 2 == 0
            chunks += path.feed(memoryview(data)[start:stop], more=more) or ()
            received.append(path.received)

            assert sum(made.samples for made in chunks) <= path.received
        chunks += path.end()
    except FormatMismatch:
        return None
    received.append(path.received)

    assert received == sorted(received)
    assert sum(made.samples for made in chunks) == path.received
    assert all(len(made.pcm) == 2 * (made.samples + made.silence) for made in chunks)
    assert all(made.silence == 0 for made in chunks[:-1])
    return chunks, path.format, path.partial


@given(framings, utterances(), cuts)
def test_any_slicing_gives_the_same_chunks(
    framing: Framing, utterance: tuple[AudioFormat, bool, bytes], at: list[int]
) -> None:
    """Chunks, format, partial and mismatch depend on the bytes alone; samples are conserved."""
    fmt, declared, data = utterance

    whole = hear(framing, fmt, declared, data, [])

    assert whole == hear(framing, fmt, declared, data, at)
    assert whole == hear(framing, fmt, declared, data, at, at_hand=True)


@given(framings, rows(), st.booleans(), st.booleans(), cuts)
def test_headers_that_change_nothing_are_not_heard(
    framing: Framing,
    row: list[tuple[AudioFormat, list[bytes]]],
    is_announced: bool,
    is_endless: bool,
    at: list[int],
) -> None:
    """Any number of files of one format is one signal, another format begins one of its own."""
    announced = row[0][0] if is_announced else AudioFormat(Encoding.WAV)
    files = [wav(fmt, piece) for fmt, pieces in row for piece in pieces]
    if is_endless:
        fmt, pieces = row[-1]
        files[-1] = wav(fmt, b"", 0xFFFFFFFF) + pieces[-1]
    signals = [
        (fmt, b"".join(whole_samples(fmt, piece) for piece in pieces)) for fmt, pieces in row
    ]
    expected = b"".join(
        one_shot(Decoder(fmt).push(signal), fmt.sample_rate) for fmt, signal in signals
    )
    has_parts = any(piece != whole_samples(fmt, piece) for fmt, pieces in row for piece in pieces)
    heard = [
        hear(framing, announced, len(row) == 1, b"".join(files), at, at_hand=at_hand)
        for at_hand in (False, True)
    ]

    assert heard[0] is not None
    assert expected == speech(heard[0][0])
    assert (row[-1][0], has_parts) == heard[0][1:]
    assert heard[0] == heard[1]


@given(utterances(), cuts)
def test_what_does_not_wait_is_the_same_speech(
    utterance: tuple[AudioFormat, bool, bytes], at: list[int]
) -> None:
    """With the least delay chunks depend on the slicing; what is heard does not."""
    fmt, declared, data = utterance
    waiting = hear(ECHO, fmt, declared, data, at)
    at_once = hear(ECHO_AT_ONCE, fmt, declared, data, at)

    assert (waiting is None) == (at_once is None)
    if waiting is not None and at_once is not None:
        assert b"".join(c.pcm for c in waiting[0]) == b"".join(c.pcm for c in at_once[0])
        assert waiting[1:] == at_once[1:]
        assert all(c.samples >= 240 for c in at_once[0][:-1])


@given(formats(ALL), st.booleans(), junk, cuts)
def test_junk_is_audio_or_a_mismatch(
    fmt: AudioFormat, declared: bool, data: bytes, at: list[int]
) -> None:
    """No bytes raise anything but FormatMismatch, and the path is as good as new after them."""
    path = AudioPath(ECHO)
    path.begin(fmt, declared=declared)
    bounds = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    with suppress(FormatMismatch):
        for start, stop in pairwise(bounds):
            path.feed(data[start:stop])
        path.end()
    path.clear()
    path.begin(AudioFormat(), declared=True)

    assert [Chunk(b"\1\0" * 240, 240)] == path.feed(b"\1\0" * 240)


@given(framings, formats(BARE), st.data())
def test_the_length_is_the_protocols(
    framing: Framing, fmt: AudioFormat, data: st.DataObject
) -> None:
    """An utterance lasts its samples times 24000 / rate, halves rounded up, and no sample more."""
    speech = data.draw(audio(fmt))
    samples = len(speech) // fmt.frame_bytes()
    heard = hear(framing, fmt, True, speech, [])
    expected = (2 * samples * 24000 + fmt.sample_rate) // (2 * fmt.sample_rate)

    assert heard is not None
    assert expected == sum(made.samples for made in heard[0])
    assert (len(speech) % fmt.frame_bytes() > 0) == heard[2]
