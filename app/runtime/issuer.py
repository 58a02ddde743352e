"""Issues session tokens and checks them, by the service's clock."""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime, timedelta

from app.core.roles import Role
from app.core.tokens import Grant, Tokens
from app.runtime.clock import Clock

_EPOCH = datetime.fromtimestamp(0, UTC)


class Issuer:
    """The service's."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        """Keep nothing but these."""
        self._tokens = tokens
        self._clock = clock

    def issue(self, session_id: str, role: Role, ttl_s: float) -> tuple[str, datetime]:
        """Make a token that is good for ``ttl_s``, up to the next whole second; and until when."""
        expires_at = math.ceil(self._clock.wall_ms() / 1000 + ttl_s)
        grant = Grant(session_id, role, expires_at, secrets.token_urlsafe(12))
        return self._tokens.mint(grant), _EPOCH + timedelta(seconds=expires_at)

    def check(self, text: str) -> Grant | None:
        """What a token grants now; None when it is none of ours. Raises ``Unauthorized``."""
        return self._tokens.read(text, self._clock.wall_ms())
