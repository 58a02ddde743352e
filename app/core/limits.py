"""How long a conversation and a session may last: of two limits the smaller holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.spec import SessionSpec

MAX_CALL_DURATION_S = 3600
"""Tavus's ceiling for most plans; it cuts larger values silently."""


def session_s(spec: SessionSpec) -> float:
    """The longest that the session may last, in seconds.

    With ``renew`` conversations follow each other, else its only one must not end before.
    """
    return spec.max_duration_s if spec.renew else min(spec.max_duration_s, _conversation_s(spec))


def call_s(spec: SessionSpec, left_s: float) -> int:
    """Tavus's ``max_call_duration`` for a conversation of a session that has ``left_s`` seconds.

    A second or two later than our own end, which says why it ended.
    """
    return min(math.ceil(left_s) + 1, _conversation_s(spec))


def whole_s(value: object, default: int) -> int:
    """Read a limit in whole seconds; one that makes no sense is as good as none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return math.ceil(value) if 0 < value < math.inf else default


def _conversation_s(spec: SessionSpec) -> int:
    """The longest that any conversation may last: the caller's wish, or Tavus's ceiling."""
    properties = spec.conversation.get("properties")
    wish = properties.get("max_call_duration") if isinstance(properties, dict) else None
    return min(whole_s(wish, MAX_CALL_DURATION_S), MAX_CALL_DURATION_S)
