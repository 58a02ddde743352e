"""What the SDK's error strings mean: there are no codes.

Source: daily-python 0.36.0, every string but those of the later join phases seen by provoking it.
None of them is passed on whole: they may hold the room's address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something did not go well."""

    reason: str
    again: bool
    """Whether it may go well another time."""


_CODE = re.compile(r'RoomInfoError\(Unhandled\("([\w -]{1,64})"\)\)')
_HTTP = re.compile(r"HTTP error: (\d{3})")
_TOO_LARGE = re.compile(
    r"too[ _-]?(?:large|big|long)|larger than|exceed|(?:size|length)[ _-]?limit", re.IGNORECASE
)

_KNOWN = (
    ("Failed to parse url", Refusal("Daily cannot read the room's address", again=False)),
    ("Invalid client settings", Refusal("Daily refused our settings", again=False)),
    ("NoLongerAvailable", Refusal("the room is closed: its conversation is over", again=False)),
    ("NotYetAvailable", Refusal("the room is not open yet", again=True)),
    ("RoomInfoError(Unauthorized)", Refusal("the room needs another token", again=False)),
    ("request timeout", Refusal("Daily did not answer", again=True)),
    ("Elapsed", Refusal("Daily did not answer", again=True)),
    ("Error(Connect", Refusal("Daily cannot be reached", again=True)),
    ("Signalling(", Refusal("the room's signalling failed", again=True)),
    ("MediasoupManagerError", Refusal("the room's media failed", again=True)),
    ("CreateSendTransportFailed", Refusal("the room's media failed", again=True)),
)


def refusal_for(error: str) -> Refusal:
    """Say what a failed join or request means for us."""
    if (code := _CODE.search(error)) is not None:
        return Refusal(f"the room refused us: {code[1]}", again=False)
    if (status := _HTTP.search(error)) is not None:
        return Refusal(f"Daily answered {status[1]}", again=status[1].startswith("5"))
    for part, refusal in _KNOWN:
        if part in error:
            return refusal
    return Refusal("the room could not be used", again=True)


def without(error: str, *secrets: str | None) -> str:
    """Take the room's address and its token out of an error, for the log."""
    for secret in filter(None, secrets):
        error = error.replace(secret, "[...]")
    return error


def is_too_large(error: str) -> bool:
    """Whether an app message was refused for its size.

    The SDK does not look at the size, and no error of its own (``AppMessage(Signalling(...))``, the
    names read from the library of 0.36.0) is about it; what Daily's service says is not documented.
    """
    return "Signalling(" not in error and _TOO_LARGE.search(error) is not None


def check_address(url: str, *texts: str | None) -> str | None:
    """Say what is wrong with a room's address, or with other text for the SDK; None: nothing.

    The SDK looks every host that is not Daily's up on a test system, silently, and spends 19 s on
    it; a NUL in any text makes it panic.
    """
    if "\0" in url or any("\0" in text for text in texts if text is not None):
        return "there is a NUL in the room's address, its token or our name"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        has_port = parts.port is not None
    except ValueError:
        return "the room's address cannot be read"
    if parts.scheme != "https" or has_port or parts.username is not None:
        return "the room's address is not a plain https address"
    if not re.fullmatch(r"[a-z0-9-]+\.daily\.co", host):
        return "the room's address is not one of Daily's"
    if not re.fullmatch(r"/[A-Za-z0-9_-]+/?", parts.path):
        return "the room's address names no room"
    return None
