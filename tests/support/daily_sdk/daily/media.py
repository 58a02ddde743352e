"""What the renderers hand out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioData:
    """Interleaved 16-bit PCM."""

    bits_per_sample: int
    sample_rate: int
    num_channels: int
    num_audio_frames: int
    audio_frames: bytes


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture."""

    buffer: bytes
    width: int
    height: int
    timestamp_us: int
    color_format: str
