from __future__ import annotations

import pytest

from app.core.callbacks import Callbacks

PUBLIC = "https://bridge.example/avatar"


def secret(callbacks: Callbacks, session_id: str = "sess_1") -> str:
    """Take the secret out of a session's address."""
    url = callbacks.url(session_id)
    assert url is not None
    return url.rpartition("/")[2]


def test_address_leads_back_to_its_session() -> None:
    """The address is below the public one, the same each time, and says whose it is."""
    callbacks = Callbacks(b"key", PUBLIC)
    url = callbacks.url("sess_1")

    assert url is not None
    assert url.startswith(f"{PUBLIC}/webhooks/tavus/sess_1.")
    assert url == Callbacks(b"key", PUBLIC).url("sess_1")
    assert "sess_1" == callbacks.session_id(secret(callbacks))


def test_nobody_is_told_an_address_that_leads_nowhere() -> None:
    """Without a public address there are no callbacks."""
    assert Callbacks(b"key", None).url("sess_1") is None


@pytest.mark.parametrize("other", ["", ".", "sess_1", "sess_1.", "x", "ä.ö", "\ufffd.\x00"])
def test_what_is_no_secret_is_nobodys(other: str) -> None:
    """Whatever somebody may try."""
    assert Callbacks(b"key", PUBLIC).session_id(other) is None


def test_secret_is_good_for_one_session_and_one_key() -> None:
    """It can neither be carried to another session nor be made without the key."""
    callbacks = Callbacks(b"key", PUBLIC)
    mine = secret(callbacks)

    assert callbacks.session_id(mine.replace("sess_1", "sess_2")) is None
    assert callbacks.session_id(mine[:-1]) is None
    assert callbacks.session_id(mine + "=") is None
    assert Callbacks(b"other", PUBLIC).session_id(mine) is None
