from __future__ import annotations

import random
import struct
import tracemalloc
from itertools import chain

import numpy as np
import pytest

from app.core.audio_path import MOST_AT_ONCE_MS, AudioPath
from app.core.chunk import ECHO, ECHO_AT_ONCE, TRACK, Chunker, Framing
from app.core.decode import Decoder
from app.core.pcm import AudioFormat, Encoding, ms_to_samples
from app.core.resample import Resampler, to_s16
from app.errors import FormatMismatch
from tests.support.audio import TAGS, noise, one_shot, pieces, speak, speech, wav

RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000]
S16 = AudioFormat(Encoding.S16LE, 16000, 1)
AS_IT_IS = AudioFormat(Encoding.S16LE, 24000, 1)


def slicings(data: bytes, packet: int) -> dict[str, list[bytes]]:
    """Five ways to cut the same bytes."""
    sizes = random.Random(len(data))
    return {
        "whole": [data],
        "packets of 20 ms": list(pieces(data, [packet] * 100)),
        "single bytes": list(pieces(data, [1] * 500)),
        "odd packets": list(pieces(data, [333] * 500)),
        "at random": list(pieces(data, [sizes.randrange(1500) for _ in range(500)])),
    }


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("encoding", Encoding)
def test_speech_is_the_one_shot_resampling(encoding: Encoding, rate: int) -> None:
    """In every encoding and rate, mono and stereo, however cut, each bit is that of one shot."""
    for channels in (1, 2):
        inner = AudioFormat(
            Encoding.S16LE if encoding is Encoding.WAV else encoding, rate, channels
        )
        audio = noise(inner, rate // 25 + 1)
        expected = one_shot(Decoder(inner).push(audio), rate)
        is_wav = encoding is Encoding.WAV
        data = wav(inner, audio) if is_wav else audio
        for name, parts in slicings(data, rate // 50 * inner.frame_bytes()).items():
            path = AudioPath(ECHO)
            path.begin(AudioFormat(Encoding.WAV) if is_wav else inner, declared=True)
            chunks = speak(path, parts)

            assert expected == speech(chunks), name
            assert len(expected) // 2 == path.received
            assert (inner, False) == (path.format, path.partial)


@pytest.mark.parametrize("framing", [ECHO, ECHO_AT_ONCE, TRACK])
@pytest.mark.parametrize("quality", ["QQ", "LQ", "HQ", "VHQ"])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 24000, 44100, 96000])
def test_what_waits_holds_nothing_up(rate: int, quality: str, framing: Framing) -> None:
    """Each piece brings the very chunks that it would if every stage got it at once."""
    fmt = AudioFormat(Encoding.S16LE, rate, 2)
    chance = random.Random(rate)
    decoder, resampler, chunker = Decoder(fmt), Resampler(rate, quality), Chunker(framing)
    path = AudioPath(framing, quality)
    path.begin(fmt, declared=True)
    waited = 0
    for _ in range(200):
        piece = chance.randbytes(chance.choice([60, 100, 4 * rate // 50, chance.randrange(9000)]))
        at_once = chunker.push(to_s16(resampler.push(decoder.push(piece))))
        chunks = path.feed(piece)
        waited += chunks is None

        assert at_once == (chunks or [])
    assert waited > 20


@pytest.mark.parametrize("framing", [ECHO, ECHO_AT_ONCE, TRACK])
@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 96000])
def test_headers_hold_nothing_up(rate: int, framing: Framing) -> None:
    """Nor do parts of samples before them: each piece brings the chunks that it is enough for."""
    fmt = AudioFormat(Encoding.S16LE, rate, 2)
    chance = random.Random(rate)
    decoder, resampler, chunker = Decoder(fmt), Resampler(rate, "HQ"), Chunker(framing)
    path = AudioPath(framing)
    path.begin(AudioFormat(Encoding.WAV), declared=True)
    waited = 0
    for file in range(150):
        is_last = file == 149
        parts = [chance.randbytes(chance.choice([1, 62, 63, 64, 1000])) for _ in range(3)]
        if is_last:
            parts += [chance.randbytes(chance.randrange(1, 9 * rate // 1000)) for _ in range(200)]
        header = wav(fmt, b"", 0 if is_last else len(b"".join(parts)))
        decoder.drop_leftover()

        assert [] == path.feed(header)
        for part in parts:
            at_once = chunker.push(to_s16(resampler.push(decoder.push(part))))
            chunks = path.feed(part)
            waited += chunks is None

            assert at_once == (chunks or [])
    assert waited > 20


@pytest.mark.parametrize("fmt", [S16, AS_IT_IS])
def test_what_is_at_hand_is_worked_on_together(fmt: AudioFormat) -> None:
    """Pieces wait for more that is there, for so long; then all is as without it."""
    second = fmt.sample_rate * 2
    path, calm = AudioPath(ECHO), AudioPath(ECHO)
    for each in (path, calm):
        each.begin(fmt, declared=True)
        each.feed(noise(fmt, 100))
    data = noise(fmt, 5 * second // 2)
    parts = list(pieces(data, [second // 50] * 250))
    got = [path.feed(part, more=True) or [] for part in parts] + [path.feed(b"") or []]
    together = [sum(chunk.samples for chunk in chunks) for chunks in got if chunks]

    assert [made for part in parts for made in calm.feed(part) or ()] == list(chain(*got))
    assert 13 < len(together) < 20
    assert max(together) <= ms_to_samples(MOST_AT_ONCE_MS + 60)


def test_empty_pieces_are_not_kept() -> None:
    """Pieces of nothing take no memory, however many come while others wait."""
    path = AudioPath(ECHO)
    path.begin(AS_IT_IS, declared=True)
    path.feed(noise(AS_IT_IS, 100))
    tracemalloc.start()
    answers = {path.feed(b"") is None for _ in range(10_000)}
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert {True} == answers
    assert kept < 8_000


@pytest.mark.parametrize("encoding", TAGS)
def test_encodings_inside_wav(encoding: Encoding) -> None:
    """A WAV file of any encoding sounds like its bare samples."""
    fmt = AudioFormat(encoding, 22050, 2)
    audio = noise(fmt, 500)
    bare = AudioPath(TRACK)
    bare.begin(fmt, declared=True)
    path = AudioPath(TRACK)
    path.begin(AudioFormat(Encoding.WAV), declared=True)

    assert speak(bare, [audio]) == speak(path, [wav(fmt, audio)])
    assert fmt == path.format


@pytest.mark.parametrize("framing", [ECHO, TRACK])
def test_24_khz_mono_passes_unchanged(framing: Framing) -> None:
    """What is already right keeps every bit, and the way through floats would keep it too."""
    audio = np.arange(-32768, 32768).astype("<i2").tobytes()
    path = AudioPath(framing)
    path.begin(AS_IT_IS, declared=True)
    swapped = np.frombuffer(audio, "<i2").astype(">i2").tobytes()
    through_floats = AudioPath(framing)
    through_floats.begin(AudioFormat(Encoding.S16BE), declared=True)

    assert audio == speech(speak(path, pieces(audio, [959] * 100)))
    assert audio == speech(speak(through_floats, [swapped]))


def test_a_short_word_is_heard_whole() -> None:
    """100 ms at 8 kHz are 2400 samples: no head is lost, the filter's tail comes out."""
    fmt = AudioFormat(Encoding.MULAW, 8000, 1)
    word = noise(fmt, 800)
    path = AudioPath(TRACK)
    path.begin(fmt, declared=True)
    chunks = speak(path, pieces(word, [160] * 5))

    assert [(480, 0)] * 5 == [(chunk.samples, chunk.silence) for chunk in chunks]
    assert one_shot(Decoder(fmt).push(word), 8000) == speech(chunks)


def test_quality_is_soxrs() -> None:
    """The setting reaches the resampler."""
    data = noise(S16, 1000)
    heard = {}
    for quality in ("LQ", "HQ"):
        path = AudioPath(ECHO, quality)
        path.begin(S16, declared=True)
        heard[quality] = speech(speak(path, [data]))

    assert one_shot(Decoder(S16).push(data), 16000) == heard["HQ"]
    assert len(heard["HQ"]) == len(heard["LQ"])
    assert heard["HQ"] != heard["LQ"]


@pytest.mark.parametrize("unknown", [0, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("fmt", [S16, AS_IT_IS, AudioFormat(Encoding.F32LE, 44100, 2)])
def test_files_of_one_format_are_one_signal(fmt: AudioFormat, declared: bool, unknown: int) -> None:
    """A header that says what is in effect leaves no seam, however often one comes."""
    parts = [noise(fmt, 333, seed) for seed in range(10)]
    data = b"".join([wav(fmt, part) for part in parts[:-1]] + [wav(fmt, parts[-1], unknown)])
    bare = AudioPath(TRACK)
    bare.begin(fmt, declared=True)
    expected = speak(bare, [b"".join(parts)])
    for announced in (fmt, AudioFormat(Encoding.WAV)):
        for name, cut in slicings(data, fmt.sample_rate // 50 * fmt.frame_bytes()).items():
            path = AudioPath(TRACK)
            path.begin(announced, declared=declared)

            assert expected == speak(path, cut), name
            assert (bare.received, fmt, False) == (path.received, path.format, path.partial)


def test_files_of_one_format_are_as_long_as_one() -> None:
    """100 pieces of 333 samples at 16 kHz are 49950 samples, though each has a header."""
    path = AudioPath(ECHO)
    path.begin(AudioFormat(Encoding.WAV), declared=True)
    tone = np.rint(9000 * np.sin(np.arange(33_300) * (2 * np.pi * 440 / 16_000))).astype("<i2")
    chunks = speak(path, [wav(S16, tone[at : at + 333].tobytes()) for at in range(0, 33_300, 333)])
    ideal = 9000 * np.sin(np.arange(49_950) * (2 * np.pi * 440 / 24_000))
    heard = np.frombuffer(speech(chunks), "<i2")

    assert one_shot(Decoder(S16).push(tone.tobytes()), 16_000) == heard.tobytes()
    assert 49_950 == path.received == heard.size
    assert np.abs(heard - ideal)[500:-500].max() < 2


def test_first_header_says_the_format_in_effect() -> None:
    """A header tells the format also when nothing has to be done for it."""
    path = AudioPath(ECHO)
    path.begin(S16, declared=False)
    chunks = speak(path, [wav(AS_IT_IS, b"abcd")])

    assert b"abcd" == speech(chunks)
    assert (2, AS_IT_IS) == (path.received, path.format)


def test_segments_are_sample_exact_by_themselves() -> None:
    """WAV files of different formats are each resampled as if alone; chunks go on over the seam."""
    first, second = S16, AudioFormat(Encoding.ALAW, 44100, 2)
    one, two = noise(first, 1001), noise(second, 777)
    path = AudioPath(ECHO)
    path.begin(AudioFormat(Encoding.WAV), declared=True)
    chunks = speak(path, [wav(first, one) + wav(second, two)])
    expected = one_shot(Decoder(first).push(one), 16000)
    expected += one_shot(Decoder(second).push(two), 44100)

    assert expected == speech(chunks)
    assert 1502 + 423 == path.received
    assert [240, 960, 725] == [chunk.samples for chunk in chunks]
    assert second == path.format


def test_received_counts_what_was_fed() -> None:
    """Speech counts from the moment it is taken, also while the resampler still holds it."""
    path = AudioPath(ECHO)
    path.begin(S16, declared=True)

    assert 0 == path.received
    assert [] == path.feed(bytes(2 * 3 + 1))
    assert 5 == path.received  # 4.5, halves go up
    path.feed(bytes(1))
    assert 6 == path.received
    assert 6 == sum(chunk.samples for chunk in path.end())
    assert 6 == path.received


def test_a_header_counts_as_nothing() -> None:
    """Neither bytes held for a decision nor a header are speech."""
    path = AudioPath(ECHO)
    path.begin(S16, declared=True)
    file = wav(S16, bytes(320))

    assert [] == path.feed(file[:40])
    assert 0 == path.received
    path.feed(file[40:])
    assert 240 == path.received


def test_a_part_of_a_sample_is_told() -> None:
    """The whole samples play, and ``partial`` says that something was left."""
    path = AudioPath(ECHO)
    path.begin(S16, declared=True)
    data = noise(S16, 100) + b"x"
    chunks = speak(path, [data])

    assert path.partial
    assert one_shot(Decoder(S16).push(data), 16000) == speech(chunks)


def test_a_part_of_a_sample_before_a_header_is_told() -> None:
    """Half a sample at the end of one file never becomes half of the next file's first."""
    path = AudioPath(ECHO)
    path.begin(AudioFormat(Encoding.WAV), declared=True)
    data = noise(AS_IT_IS, 100)
    chunks = speak(path, [wav(AS_IT_IS, b"xyz"), wav(AS_IT_IS, data)])

    assert path.partial
    assert b"xy" + data == speech(chunks)


@pytest.mark.parametrize("rate", [16000, 24000])
@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_part_of_a_sample_leaves_no_seam(part: int, rate: int) -> None:
    """It alone is dropped, whether it came with what is before it or on its own."""
    fmt = AudioFormat(Encoding.S16LE, rate, 2)
    one, two = noise(fmt, 333), noise(fmt, 400, seed=2)
    for apart in (False, True):
        path = AudioPath(ECHO)
        path.begin(AudioFormat(Encoding.WAV), declared=True)
        file = wav(fmt, one + bytes(part))
        split = len(file) - part - part % 2 if apart else 0
        chunks = speak(path, [file[:split], file[split:] + wav(fmt, two, 0)])

        assert path.partial
        assert one_shot(Decoder(fmt).push(one + two), rate) == speech(chunks)
        assert len(speech(chunks)) == 2 * path.received


@pytest.mark.parametrize("data", [b"R", b"ID", b"Ogg", b"fLa", b"RIF", b"\0"])
def test_an_utterance_of_a_few_bytes_is_not_lost(data: bytes) -> None:
    """What might have become a header is heard when the utterance ends first."""
    fmt = AudioFormat(Encoding.U8, 24000, 1)
    path = AudioPath(ECHO)
    path.begin(fmt, declared=True)

    assert np.array([(octet - 128) * 256 for octet in data], "<i2").tobytes() == speech(
        speak(path, [data])
    )


@pytest.mark.parametrize("encoding", Encoding)
def test_no_audio_gives_no_chunk(encoding: Encoding) -> None:
    """An empty utterance is no mistake."""
    path = AudioPath(TRACK)
    path.begin(AudioFormat(encoding, 16000), declared=True)

    assert [] == speak(path, [b""])
    assert (0, False) == (path.received, path.partial)


def test_undeclared_format_is_the_headers() -> None:
    """A zero-setup client may send a WAV file of any format."""
    fmt = AudioFormat(Encoding.F32LE, 48000, 2)
    data = noise(fmt, 500)
    path = AudioPath(ECHO)
    path.begin(AudioFormat(), declared=False)
    chunks = speak(path, [wav(fmt, data)])

    assert one_shot(Decoder(fmt).push(data), 48000) == speech(chunks)
    assert fmt == path.format


def test_mismatch_while_feeding_and_at_the_end() -> None:
    """Both calls may find that this is not what was announced; then ``clear`` and go on."""
    path = AudioPath(ECHO)
    path.begin(S16, declared=True)
    with pytest.raises(FormatMismatch):
        path.feed(wav(AS_IT_IS, bytes(100)))
    path.clear()
    path.begin(AudioFormat(Encoding.WAV), declared=True)
    path.feed(b"RIFF")
    with pytest.raises(FormatMismatch):
        path.end()
    path.clear()
    path.begin(AS_IT_IS, declared=True)

    assert b"abcd" == speech(speak(path, [b"abcd"]))


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("sent", [1, 3, 640, 641, 20_000])
def test_nothing_of_the_utterance_before_is_heard(sent: int, clear: bool) -> None:
    """After ``clear``, as after ``begin``, every stage is as new: bytes, filter, chunk, counts."""
    path = AudioPath(TRACK)
    path.begin(S16, declared=True)
    path.feed(noise(S16, 10_000, seed=3)[:sent])
    if clear:
        path.clear()

        assert (0, S16) == (path.received, path.format)
    else:
        path.begin(S16, declared=True)
    data = noise(S16, 1000)
    new = AudioPath(TRACK)
    new.begin(S16, declared=True)

    assert speak(new, [data]) == speak(path, [data])
    assert 1500 == path.received
    assert not path.partial


def test_input_buffers_may_be_reused() -> None:
    """Nothing that is held looks into the caller's memory."""
    for fmt in (S16, AS_IT_IS):
        data = noise(fmt, 700) + b"1"
        path = AudioPath(TRACK)
        path.begin(fmt, declared=True)
        buffer = bytearray(data)
        chunks = path.feed(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
        calm = AudioPath(TRACK)
        calm.begin(fmt, declared=True)

        assert speak(calm, [data]) == (chunks or []) + path.end()


def test_nan_and_infinity_do_no_harm() -> None:
    """The worst floats make ordinary samples, and nothing behind them is spoilt."""
    fmt = AudioFormat(Encoding.F32LE, 24000, 1)
    path = AudioPath(ECHO)
    path.begin(fmt, declared=True)
    data = struct.pack("<6f", np.nan, np.inf, -np.inf, 3.0, 0.5, -0.5)
    samples = np.frombuffer(speech(speak(path, [data])), "<i2").tolist()

    assert [0, 32767, -32768, 32767, 16384, -16384] == samples
