"""Who an ``Authorization`` header stands for."""

from __future__ import annotations

import pytest

from app.api.deps import authenticate
from app.errors import Unauthorized
from tests.support.api import settings


def test_without_keys_everybody_is_local() -> None:
    """No keys, no names: the guard lets only this machine in."""
    assert "local" == authenticate(settings(), None)
    assert "local" == authenticate(settings(), "Bearer anything")


def test_a_key_may_be_any_text() -> None:
    """Keys beyond ASCII are compared as the bytes that were sent."""
    keys = settings(api_keys="a:schlüssel,plain")
    sent = "schlüssel".encode().decode("latin-1")  # as a server hands headers over

    assert "a" == authenticate(keys, f"Bearer {sent}")
    assert "key-2" == authenticate(keys, "BEARER plain")
    with pytest.raises(Unauthorized):
        authenticate(keys, "Bearer 鍵")
