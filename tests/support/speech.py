"""Speech and tones to say, written down in any format, and what of them must be heard.

Speech is espeak-ng's, at its own 22.05 kHz; other rates are made from it, so that every case says
real words. A signal is a float32 array of full scale ±1, shaped (samples, channels).
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from app.core.decode import Decoder
from app.core.pcm import SAMPLE_RATE, AudioFormat, Encoding
from app.core.resample import resampled_length

ESPEAK_RATE = 22_050
"""Hertz; the rate of espeak-ng's usual voices."""

Signal = NDArray[np.float32]
Heard = NDArray[np.int16]


@functools.cache
def _spoken(text: str) -> Signal:
    command = ["espeak-ng", "--stdout", "-s", "180", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    pcm = wav[wav.index(b"data") + 8 :]
    words = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    signal: Signal = np.divide(words, 32768, dtype=np.float32)
    signal.flags.writeable = False
    return signal


def speech(text: str, rate: int = ESPEAK_RATE, *, channels: int = 1, ms: int = 0) -> Signal:
    """Return ``text`` spoken at ``rate`` Hz; with ``ms`` its first so many milliseconds.

    The second channel is the first at half its strength, so that channels taken for each other, or
    one of them left out, are heard.
    """
    mono = _spoken(text)
    if ms:
        # What espeak-ng says begins with some silence that no short word should consist of.
        loud = int(np.argmax(np.abs(mono) > 0.05))
        mono = mono[loud : loud + ESPEAK_RATE * ms // 1000]
    if rate != ESPEAK_RATE:
        mono = resample(mono, ESPEAK_RATE, rate)
    return _with_channels(mono, channels)


def tone(hertz: float, ms: int, rate: int, *, channels: int = 1, level: float = 0.5) -> Signal:
    """Return a sine that begins and ends at full strength: a lost edge is heard."""
    count = rate * ms // 1000
    phase = 2 * np.pi * hertz * np.arange(count) / rate + np.pi / 3
    return _with_channels((level * np.sin(phase)).astype(np.float32), channels)


def _with_channels(mono: Signal, channels: int) -> Signal:
    scales = np.array([1.0, 0.5][:channels], np.float32)
    return np.ascontiguousarray(mono[:, None] * scales)


def resample(mono: Signal, rate: int, to: int) -> Signal:
    """Return all of a signal at another rate, in one float32 HQ call: the reference."""
    resampled: Signal = soxr.resample(mono, rate, to, "HQ")
    return resampled


def encode(signal: Signal, encoding: Encoding) -> bytes:
    """Write a signal down, samples interleaved, as a TTS of this encoding would."""
    flat = signal.reshape(-1).astype(np.float64)
    match encoding:
        case Encoding.S16LE | Encoding.S16BE:
            order = "<i2" if encoding is Encoding.S16LE else ">i2"
            return bytes(_words(flat, 16).astype(order))
        case Encoding.S24LE:
            return bytes(_words(flat, 24).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3])
        case Encoding.S32LE:
            return bytes(_words(flat, 32).astype("<i4"))
        case Encoding.U8:
            return bytes((_words(flat, 8) + 128).astype(np.uint8))
        case Encoding.F32LE:
            return bytes(flat.astype("<f4"))
        case Encoding.MULAW | Encoding.ALAW:
            return _companded(flat, encoding)
        case _:
            raise ValueError(encoding)


def _words(flat: NDArray[np.float64], bits: int) -> NDArray[np.int64]:
    full = 2 ** (bits - 1)
    words: NDArray[np.int64] = np.clip(np.rint(flat * full), -full, full - 1).astype(np.int64)
    return words


def _companded(flat: NDArray[np.float64], encoding: Encoding) -> bytes:
    """Pick for every sample the nearest of the 256 values that the encoding has."""
    values = Decoder(AudioFormat(encoding, SAMPLE_RATE, 1)).push(bytes(range(256))) / 32768
    order = np.argsort(values, kind="stable")
    edges = (values[order][1:] + values[order][:-1]) / 2
    return bytes(order[np.searchsorted(edges, flat)].astype(np.uint8))


def expected(data: bytes, fmt: AudioFormat) -> Heard:
    """Return what must be heard of ``data``: decoded, one float32 HQ resampling, rounded once.

    A sample of 24 kHz mono 16 bits stands for itself. Raises ValueError for ``wav``.
    """
    if fmt.encoding is Encoding.WAV:
        raise ValueError("a WAV file says itself what it holds")
    mono = Decoder(fmt).push(data)
    if fmt.sample_rate != SAMPLE_RATE:
        mono = resample(mono, fmt.sample_rate, SAMPLE_RATE)
    whole: Heard = np.clip(np.rint(mono), -32768, 32767).astype(np.int16)
    assert len(whole) == resampled_length(len(data) // fmt.frame_bytes(), fmt.sample_rate)
    return whole


def slices(data: bytes, how: str, fmt: AudioFormat) -> Iterator[bytes]:
    """Cut ``data`` as clients do.

    ``20ms``: packets of a telephone; ``odd``: 1 to 4097 bytes, mostly through the middle of a
    sample; ``100ms``: most TTS; ``whole``: everything in one message.
    """
    if how == "whole":
        yield data
        return
    if how == "odd":
        sizes = np.random.default_rng(len(data)).choice([1, 3, 333, 1021, 4097], len(data))
    else:
        ms = int(how.removesuffix("ms"))
        sizes = np.full(len(data), max(1, fmt.sample_rate * ms // 1000) * fmt.frame_bytes())
    start = 0
    for size in sizes.tolist():
        if start >= len(data):
            return
        yield data[start : start + size]
        start += size


def pitch(samples: Heard, rate: int) -> float:
    """Return the frequency that prevails, Hertz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


def clicks(ms: int, rate: int) -> Signal:
    """Return somebody typing: 8 short bursts of noise a second, each dying away within 30 ms."""
    dice = np.random.default_rng(3)
    signal = np.zeros(rate * ms // 1000, np.float32)
    length = rate * 30 // 1000
    for at in dice.integers(0, len(signal) - length, 8 * ms // 1000):
        burst = dice.normal(0, 0.5, length) * np.exp(-np.arange(length) * 5 / length)
        signal[at : at + length] += burst.astype(np.float32)
    return _with_channels(signal, 1)
