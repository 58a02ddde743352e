"""What ``avatar-bridge doctor`` is asked for."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from app.speak.wish import service_url

ABSENT_S = 60
"""How long nobody comes, so that Tavus's ``participant_absent_timeout`` shows what it means."""


@dataclass(frozen=True, slots=True)
class LiveWish:
    """A guided test of what nobody knows about Tavus."""

    report: Path
    url: str
    """Of the running service."""
    api_key: str | None = field(default=None, repr=False)
    """For the service."""
    yes: bool = False
    """Nobody is there to be asked."""
    absent_s: int = ABSENT_S

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the service shows."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


@dataclass(frozen=True, slots=True)
class Wish:
    """What to do; a plain check-up when nothing else is asked for."""

    json: bool = False
    create_persona: bool = False
    live: LiveWish | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """Take it from arguments that ``add_arguments`` named."""
        live = None
        if args.live is not None:
            api_key = args.api_key or os.environ.get("BRIDGE_API_KEY")
            live = LiveWish(args.live, args.url, api_key, args.yes, args.absent_s)
        return cls(args.json, args.create_persona, live)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name all arguments; wrong ones end with code 2, as usual."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="tell it to a machine")
    what.add_argument(
        "--create-persona",
        action="store_true",
        help="make an echo persona for BRIDGE_AUDIO_PATH and print its line for .env",
    )
    what.add_argument(
        "--live",
        type=_report,
        metavar="REPORT.md",
        help="find out, through a running service, what is not known about Tavus; costs money",
    )
    live = parser.add_argument_group("with --live")
    add = live.add_argument
    add("--url", type=service_url, default="http://127.0.0.1:8080", help="default: %(default)s")
    add("--api-key", metavar="KEY", help="better in the environment, as BRIDGE_API_KEY")
    add("--yes", action="store_true", help="ask nothing: spend the money, hear nobody's opinion")
    add(
        "--absent-s",
        type=_seconds,
        default=ABSENT_S,
        metavar="S",
        help="how long nobody comes into a room (default: %(default)s)",
    )


def _report(name: str) -> Path:
    path = Path(name)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{name} cannot be written")
    return path


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 600):
        raise argparse.ArgumentTypeError("must be a whole number of seconds, 1 to 600")
    return int(text)
