"""What ``avatar-bridge speak`` is asked for: its arguments, and the audio they name."""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from app.core.pcm import MAX_RATE, MIN_RATE, SAMPLE_RATE, AudioFormat, Encoding
from app.speak.source import Source, open_source

WAV = AudioFormat(Encoding.WAV, SAMPLE_RATE, 1)
"""The header says the rest."""

SESSION_FIELDS = ("replica_id", "persona_id", "audio_path")
"""What of ``POST /sessions`` has a flag."""

VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".webm")
"""Of files that picture and sound can be saved to."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to speak, to whom and how."""

    url: str
    source: Source
    format: AudioFormat = WAV
    packet_bytes: tuple[int, ...] = (4096,)
    """Sizes of the messages, in turn; a pipe may give less at a time."""
    interrupt_after_s: float | None = None
    """Barge in so long after playing began."""
    save_frames: Path | None = None
    """Record the avatar's picture and sound there."""
    session: dict[str, str] = field(default_factory=dict)
    """The body of ``POST /sessions``."""
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """Take it from arguments that ``add_arguments`` named."""
        given = {name: getattr(args, name) for name in SESSION_FIELDS}
        return cls(
            url=args.url,
            source=args.source,
            format=args.format,
            packet_bytes=args.packet_bytes,
            interrupt_after_s=args.interrupt_after_s,
            save_frames=args.save_frames,
            session={name: value for name, value in given.items() if value is not None},
            api_key=args.api_key or os.environ.get("BRIDGE_API_KEY"),
        )

    @property
    def headers(self) -> dict[str, str]:
        """What every request shows."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name all arguments. Parsing opens the audio; wrong ones end with code 2, as usual."""
    add = parser.add_argument
    add("source", type=_source, metavar="FILE.wav", help="what to speak; - for standard input")
    add("--url", type=service_url, default="http://127.0.0.1:8080", help="default: %(default)s")
    add("--api-key", metavar="KEY", help="better in the environment, as BRIDGE_API_KEY")
    add(
        "--format",
        type=_format,
        default=WAV,
        metavar="ENCODING:RATE:CHANNELS",
        help="for bare samples, such as pcm_s16le:16000:1; default: a WAV file",
    )
    add(
        "--packet-bytes",
        type=_sizes,
        default=(4096,),
        metavar="N[,N...]",
        help="sizes of the messages, in turn, odd ones too; default: 4096",
    )
    add("--interrupt-after-s", type=_seconds, metavar="S", help="barge in S seconds into playing")
    add(
        "--save-frames",
        type=_video,
        metavar="FILE.mp4",
        help=f"record the avatar, picture and sound; or {', '.join(VIDEO_ENDINGS[1:])}",
    )
    add("--replica-id", metavar="ID", help="default: the service's")
    add("--persona-id", metavar="ID", help="default: the service's")
    add("--audio-path", choices=("echo", "track"), help="default: the service's")


def _source(name: str) -> Source:
    try:
        return open_source(name)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{name}: {error.strerror}") from None


def _video(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() not in VIDEO_ENDINGS:
        raise argparse.ArgumentTypeError(f"must end in {', '.join(VIDEO_ENDINGS)}")
    return path


def service_url(text: str) -> str:
    """Read the address of a service. Raises ArgumentTypeError."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("must start with http:// or https://")
    return text.rstrip("/")


def _format(text: str) -> AudioFormat:
    try:
        encoding, rate, channels = text.split(":")
        fmt = AudioFormat(Encoding(encoding), int(rate), int(channels))
    except ValueError:
        fmt = None
    if (
        fmt is None
        or fmt.encoding is Encoding.WAV
        or not MIN_RATE <= fmt.sample_rate <= MAX_RATE
        or fmt.channels not in {1, 2}
    ):
        known = ", ".join(encoding for encoding in Encoding if encoding is not Encoding.WAV)
        raise argparse.ArgumentTypeError(
            f"must be ENCODING:RATE:CHANNELS: one of {known}; {MIN_RATE} to {MAX_RATE}; 1 or 2"
        )
    return fmt


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split(",") if part.isascii() and part.isdigit())
    if len(sizes) != len(text.split(",")) or not all(sizes):
        raise argparse.ArgumentTypeError("must be numbers above 0, separated by commas")
    return sizes


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds, 0 or more")
    return value
