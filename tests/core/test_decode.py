from __future__ import annotations

import struct
from itertools import accumulate, pairwise

import numpy as np
import pytest

from app.core.decode import Decoder
from app.core.pcm import AudioFormat, Encoding

BARE = [encoding for encoding in Encoding if encoding is not Encoding.WAV]


def decoded(encoding: Encoding, data: bytes, channels: int = 1) -> list[float]:
    """What ``data`` means, all at once, as parts of full scale."""
    floats = Decoder(AudioFormat(encoding, 8000, channels)).push(data)

    assert np.dtype(np.float32) == floats.dtype
    return [float(value) for value in floats / 32768]


@pytest.mark.parametrize(
    ("encoding", "data", "floats"),
    [
        (Encoding.S16LE, "0000 0080 ff7f 0040 0100", [0, -1, 32767 / 32768, 0.5, 2**-15]),
        (Encoding.S16BE, "0000 8000 7fff 4000 0001", [0, -1, 32767 / 32768, 0.5, 2**-15]),
        (Encoding.S24LE, "000000 000080 ffff7f 000040 010000", [0, -1, 1 - 2**-23, 0.5, 2**-23]),
        (Encoding.S24LE, "ffffff 0000c0", [-(2**-23), -0.5]),
        (Encoding.S32LE, "00000000 00000080 00000040 01000000", [0, -1, 0.5, 2**-31]),
        (Encoding.S32LE, "ffffff7f ffffffff", [1, -(2**-31)]),  # float32 has 24 bits
        (Encoding.U8, "80 00 ff 81 c0", [0, -1, 127 / 128, 1 / 128, 0.5]),
        (Encoding.MULAW, "ff 7f 80 00 ef 8f", [0, 0, 32124 / 32768, -32124 / 32768, 132 / 32768,
                                                 16764 / 32768]),
        (Encoding.ALAW, "d5 55 aa 2a c5 85", [8 / 32768, -8 / 32768, 32256 / 32768,
                                                -32256 / 32768, 264 / 32768, 4224 / 32768]),
    ],
)  # fmt: skip
def test_known_values(encoding: Encoding, data: str, floats: list[float]) -> None:
    """Full scale, the middle and the smallest step of every encoding are what they should be."""
    got = decoded(encoding, bytes.fromhex(data))

    assert floats == got


def levels(first: int, steps: list[int]) -> list[int]:
    """Positive G.711 levels: eight segments of sixteen; between two a step of their mean."""
    widths = [step for step in steps for _ in range(16)]
    gaps = [(a + b) // 2 for a, b in pairwise(widths)]
    return list(accumulate(gaps, initial=first))


def test_mulaw_table() -> None:
    """All 256 codes: segments that double their step from 8, sent inverted (ITU-T G.711)."""
    loudest_first = levels(0, [8 << segment for segment in range(8)])[::-1]
    in_order = [-level for level in loudest_first] + loudest_first
    got = decoded(Encoding.MULAW, bytes(range(256)))

    assert [level / 32768 for level in in_order] == got


def test_alaw_table() -> None:
    """All 256 codes: two segments of step 16, then doubling; even bits sent inverted (G.711)."""
    positive = levels(8, [16, 16, 32, 64, 128, 256, 512, 1024])
    in_order = [-level for level in positive] + positive
    got = decoded(Encoding.ALAW, bytes(code ^ 0x55 for code in range(256)))

    assert [level / 32768 for level in in_order] == got


def test_floats_are_made_safe() -> None:
    """Beyond ±1 is clipped, infinities too; NaN of any kind, signalling ones too, is 0."""
    strange = struct.pack("<6f", 1.5, -7e30, np.inf, -np.inf, 0.25, -1.0)
    nans = bytes.fromhex("0000c07f 0100807f ffffffff")

    assert [1, -1, 1, -1, 0.25, -1] == decoded(Encoding.F32LE, strange)
    assert [0, 0, 0] == decoded(Encoding.F32LE, nans)


def test_floats_are_clipped_before_they_are_averaged() -> None:
    """A channel that is far too loud weighs no more than full scale."""
    data = struct.pack("<4f", 9.0, 0.0, np.nan, -1.0)

    assert [0.5, -0.5] == decoded(Encoding.F32LE, data, channels=2)


@pytest.mark.parametrize("encoding", BARE)
def test_two_channels_are_averaged(encoding: Encoding) -> None:
    """Stereo is the mean of its channels, sample by sample."""
    random = np.random.default_rng(5)
    width = AudioFormat(encoding).frame_bytes()
    data = random.integers(0, 256, 2 * 50 * width, np.uint8)
    if encoding is Encoding.F32LE:
        data = random.uniform(-1, 1, 100).astype("<f4").view(np.uint8)
    frames = data.reshape(50, 2, width)
    left = decoded(encoding, frames[:, 0].tobytes())
    right = decoded(encoding, frames[:, 1].tobytes())
    mean = (np.array(left, np.float32) + np.array(right, np.float32)) / np.float32(2)

    assert mean.tolist() == decoded(encoding, data.tobytes(), channels=2)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", BARE)
def test_a_split_sample_is_put_together(encoding: Encoding, channels: int) -> None:
    """Byte by byte gives what all at once gives; what is no whole sample stays and is counted."""
    fmt = AudioFormat(encoding, 8000, channels)
    data = bytes(range(60, 60 + fmt.frame_bytes() * 5))
    whole = Decoder(fmt)
    bytewise = Decoder(fmt)
    one = whole.push(data)
    many = np.concatenate([bytewise.push(data[i : i + 1]) for i in range(len(data))])

    assert one.tobytes() == many.tobytes()
    assert (5, 0) == (bytewise.samples, bytewise.leftover())
    for left in range(fmt.frame_bytes()):
        assert left == bytewise.leftover()
        bytewise.push(data[left : left + 1])


def test_a_part_of_a_sample_can_be_dropped() -> None:
    """What comes behind it begins with a sample of its own."""
    decoder = Decoder(AudioFormat())
    first = decoder.push(b"\1\0\7")
    decoder.drop_leftover()

    assert 0 == decoder.leftover()
    assert [1, 2] == [*first, *decoder.push(b"\2\0")]
    assert 2 == decoder.samples


def test_words_are_not_copied() -> None:
    """Samples that need no decoding are a view of what came in."""
    data = bytes(range(8))
    words = Decoder(AudioFormat()).words(memoryview(data))

    assert [0x0100, 0x0302, 0x0504, 0x0706] == words.tolist()
    assert np.shares_memory(words, np.frombuffer(data, np.uint8))


def test_decoded_audio_keeps_nothing_of_the_buffer() -> None:
    """The caller's buffer can change as soon as the call is over."""
    buffer = bytearray(struct.pack("<2f", 0.5, 0.25))
    floats = Decoder(AudioFormat(Encoding.F32LE)).push(memoryview(buffer))
    buffer[:] = bytes(8)

    assert [0.5 * 32768, 0.25 * 32768] == floats.tolist()
