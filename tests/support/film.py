"""Frames to make a film of, and what is in a film, whatever it was written by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import simplejpeg
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from app.core.frame_header import S16LE, UNKNOWN_OFFSET, FrameHeader, FrameKind, size

RATE = 24_000
PIECE = 480
"""Samples in a piece of sound."""

BEGAN_US = 1_700_000_000_000_000
"""The capture time of the beginning; Unix µs."""


def sound(at_ms: float, samples: NDArray[np.int16], flags: int = 0) -> bytes:
    """Make a frame of sound."""
    captured_us = BEGAN_US + round(at_ms * 1000)
    header = FrameHeader(
        FrameKind.AUDIO, S16LE, flags, 1, captured_us, 0, UNKNOWN_OFFSET, detail=RATE
    )
    return header.pack() + samples.astype("<i2").tobytes()


def picture(at_ms: float, luma: int, width: int = 320, height: int = 180) -> bytes:
    """Make a frame that is a picture of one brightness, 0 to 255."""
    header = FrameHeader(
        FrameKind.VIDEO, 1, 0, 1, BEGAN_US + round(at_ms * 1000), 0, 0, size(width, height)
    )
    jpeg: bytes = simplejpeg.encode_jpeg(np.full((height, width, 3), luma, np.uint8))
    return header.pack() + jpeg


def tone(samples: int) -> NDArray[np.int16]:
    """Make sound that every codec keeps."""
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(samples) / RATE)).astype(np.int16)


@dataclass(frozen=True)
class Film:
    """A file's pictures and its sound, on one timeline that begins with 0."""

    codecs: tuple[str, str]
    """Of the picture and of the sound."""
    times: list[float]
    """When each picture is shown, seconds."""
    pictures: list[NDArray[np.uint8]]
    """How bright they are, height × width, in the video range."""
    sound: NDArray[np.int16]
    """24 kHz mono, from the beginning of the timeline."""


def film(path: Path) -> Film:
    """Read a file as a player does."""
    times: list[float] = []
    pictures: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        for shown in container.decode(video):
            assert shown.time is not None
            times.append(shown.time)
            pictures.append(shown.reformat(format="gray").to_ndarray().astype(np.uint8))
        codec = video.codec.name
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        heard = list(container.decode(audio))
        resampler = AudioResampler("s16", "mono", RATE)
        pieces = [part for each in [*heard, None] for part in resampler.resample(each)]
        samples = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
        assert heard[0].time is not None
        begins = round(heard[0].time * RATE)
        silence = np.zeros(max(0, begins), "<i2")
        sound = np.concatenate([silence, samples[max(0, -begins) :]])
        return Film((codec, audio.codec.name), times, pictures, sound)
