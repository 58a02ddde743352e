"""Session tokens: signed, short-lived permissions for one session, and their single use.

A token is a JSON Web Token (RFC 7519), so it consists of base64url and dots alone and may stand in
a header, a subprotocol or a query. The service keeps none of them: the signature says whether one
is ours. HS384, because its 48 bytes fill 64 characters to the last bit: a token that was changed
anywhere is another token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import jwt

from app.core.roles import Role
from app.errors import RateLimited, Unauthorized

_ALGORITHM = "HS384"
_KIND = "avatar-bridge+jwt"
"""The header's ``typ`` (RFC 8725, 3.11): tells our tokens from everybody else's."""

_HEADER = re.compile(r"[A-Za-z0-9_-]{1,256}(?=\.)")
"""Ours have 60 characters."""
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

_CLAIMS = ("sub", "role", "exp", "jti")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says."""

    session_id: str
    role: Role
    expires_at: int
    """Unix time in seconds; from then on the token is worth nothing."""
    token_id: str
    """Tells it from all others."""


class Tokens:
    """Writes and reads tokens."""

    def __init__(self, key: bytes) -> None:
        """Sign with ``key``, of 48 bytes at least."""
        self._key = key

    def mint(self, grant: Grant) -> str:
        """Write a token down."""
        claims = {
            "sub": grant.session_id,
            "role": grant.role.value,
            "exp": grant.expires_at,
            "jti": grant.token_id,
        }
        return jwt.encode(claims, self._key, _ALGORITHM, headers={"typ": _KIND})

    def read(self, text: str, now_ms: int) -> Grant | None:
        """Return what a token grants at ``now_ms``, Unix time; None for what is no token of ours.

        Raises ``Unauthorized`` for one that was tampered with or has expired.
        """
        if not _is_ours(text):
            return None
        try:
            claims = jwt.decode(
                # The library would skip over characters that are none of base64url.
                text if _SHAPE.fullmatch(text) else "",
                self._key,
                algorithms=[_ALGORITHM],
                # The library would ask the machine's clock.
                options={"require": list(_CLAIMS), "verify_exp": False},
            )
            grant = Grant(claims["sub"], Role(claims["role"]), int(claims["exp"]), claims["jti"])
        except (jwt.InvalidTokenError, ValueError):
            raise Unauthorized("The session token is not valid") from None
        if now_ms >= grant.expires_at * 1000:
            raise Unauthorized("The session token has expired")
        return grant


def _is_ours(text: str) -> bool:
    """Whether this is or was a token of ours, by its header alone: the rest may be cut off."""
    header = _HEADER.match(text)
    if header is None:
        return False
    try:
        return jwt.get_unverified_header(f"{header[0]}..").get("typ") == _KIND
    except jwt.InvalidTokenError:
        return False


MAX_SPENT = 1000
"""Tokens of one session that may have been used up and not yet expired."""


class SpentTokens:
    """The tokens of one session that have opened a stream: each may do so once."""

    def __init__(self) -> None:
        """Remember none."""
        self._expiries: dict[str, int] = {}

    def spend(self, grant: Grant, now_ms: int) -> None:
        """Use a token up. Raises ``Unauthorized`` when it was before.

        Raises ``RateLimited`` when too many were: one that is forgotten could be used again.
        """
        spent = self._expiries
        if grant.token_id in spent:
            raise Unauthorized("The session token has opened a stream before: take a fresh one")
        if len(spent) >= MAX_SPENT:
            for token_id in [each for each, at in spent.items() if at * 1000 <= now_ms]:
                del spent[token_id]
        if len(spent) >= MAX_SPENT:
            soonest_ms = min(spent.values()) * 1000
            raise RateLimited(
                f"{MAX_SPENT} session tokens are used up and not yet expired",
                retry_after_ms=soonest_ms - now_ms,
            )
        spent[grant.token_id] = grant.expires_at
