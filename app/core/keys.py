"""One secret of the service, as many keys as it needs."""

from __future__ import annotations

import hmac


def derive(root: bytes, purpose: str) -> bytes:
    """Return the key for a purpose, 48 bytes; none of them tells of another, nor of the root.

    ``root`` must be random and at least 32 bytes: this is one block of HKDF's second step (RFC
    5869, 2.3), which is enough where the secret needs no extracting.
    """
    return hmac.digest(root, purpose.encode() + b"\x01", "sha384")
