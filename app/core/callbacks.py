"""Addresses that only Tavus is told: the secret in the path says whose callback it is."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode

PATH = "/webhooks/tavus/"
"""What stands before the secret."""


class Callbacks:
    """Makes each session's address, and knows the session by it. Keeps nothing but the key."""

    def __init__(self, key: bytes, public_url: str | None) -> None:
        """Sign with ``key``. Without ``public_url`` Tavus cannot reach us, and is told nothing."""
        self._key = key
        self._public_url = public_url

    def url(self, session_id: str) -> str | None:
        """The ``callback_url`` of a session's conversations."""
        return self._public_url and f"{self._public_url}{PATH}{self._secret(session_id)}"

    def session_id(self, secret: str) -> str | None:
        """Whose secret this is; None when it is none of ours."""
        session_id = secret.rpartition(".")[0]
        # As bytes: text is compared only where it is ASCII.
        fits = hmac.compare_digest(self._secret(session_id).encode(), secret.encode())
        return session_id if fits else None

    def _secret(self, session_id: str) -> str:
        digest = hmac.digest(self._key, session_id.encode(), "sha256")
        return f"{session_id}.{urlsafe_b64encode(digest).decode().rstrip('=')}"
