"""A session's view as bytes, to be shown again by another process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from app.core.spec import SessionView
from app.errors import BridgeError


def write(view: SessionView) -> bytes:
    """Write down what a session shows, but neither its secret nor the body it was asked for with.

    The first is of no use once the session is over; the second may be large.
    """
    kept = replace(view, meeting_token=None, spec=replace(view.spec, conversation={}))
    return msgspec.json.encode(kept, enc_hook=_encode)


def read(snapshot: bytes) -> SessionView:
    """Read what ``write`` wrote. Raises msgspec.DecodeError."""
    return msgspec.json.decode(snapshot, type=SessionView, dec_hook=_decode)


def _encode(value: object) -> object:
    assert isinstance(value, BridgeError)  # all else is msgspec's to write
    return {"code": value.code, "detail": value.detail}


def _decode(_kind: type[Any], value: dict[str, str]) -> BridgeError:
    """Make the error again, of any class with its code: they differ in their names only."""
    kinds: list[type[BridgeError]] = [BridgeError]
    for kind in kinds:
        if kind.code == value["code"]:
            return kind(value["detail"])
        kinds += kind.__subclasses__()
    return BridgeError(value["detail"])
