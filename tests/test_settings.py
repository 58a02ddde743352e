from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import LOOPBACK_HOSTS, RoomKind
from tests.support.edge import settings_with


@pytest.mark.parametrize(
    ("values", "kind", "limit"),
    [
        ({}, RoomKind.SANDBOX, 100),
        ({"tavus_api_key": "k"}, RoomKind.DAILY, 10),
        ({"tavus_api_key": "k", "room": "sandbox"}, RoomKind.SANDBOX, 100),
        ({"room": "sandbox", "max_sessions": 3}, RoomKind.SANDBOX, 3),
    ],
)
def test_room_follows_the_key(values: dict[str, Any], kind: RoomKind, limit: int) -> None:
    """Without a word about the room, a Tavus key means Daily; the limit follows the room."""
    settings = settings_with(**values)

    assert (kind, limit) == (settings.room_kind, settings.session_limit)


def test_api_keys_have_names() -> None:
    """Keys come as ``name:key`` or bare, with spaces around them, and may hold colons."""
    settings = settings_with(api_keys=" ci:a:b , plain ,, ")

    assert {"ci": "a:b", "key-2": "plain"} == {
        name: key.get_secret_value() for name, key in settings.api_keys.items()
    }


@pytest.mark.parametrize("keys", ["a:x,a:y", ":x", "a:"])
def test_unusable_api_keys_are_refused(keys: str) -> None:
    """A name twice, no name and no key are mistakes."""
    with pytest.raises(ValidationError, match="1 validation error"):
        settings_with(api_keys=keys)


def test_secrets_do_not_show() -> None:
    """Printing the settings shows no key."""
    settings = settings_with(tavus_api_key="hidden", api_keys="a:hidden", sandbox_api_key="hidden")

    assert "hidden" not in repr(settings)


def test_origins_are_a_list_without_slashes() -> None:
    """Origins are comma-separated; a trailing slash, which browsers never send, is dropped."""
    settings = settings_with(allowed_origins="https://a.example/, http://b.example:81")

    assert ("https://a.example", "http://b.example:81") == settings.allowed_origins


@pytest.mark.parametrize("name", ["public_url", "tavus_base_url"])
def test_addresses_are_absolute(name: str) -> None:
    """An address has a scheme, and is kept without a trailing slash; empty means none."""
    with pytest.raises(ValidationError, match="must start with http"):
        settings_with(**{name: "example.org"})

    assert "https://a.example" == getattr(settings_with(**{name: "https://a.example/"}), name)
    assert getattr(settings_with(**{name: ""}), name) is None


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"low_ms": 500, "high_ms": 500}, "BRIDGE_LOW_MS < BRIDGE_HIGH_MS"),
        ({"high_ms": 5000, "low_ms": 100, "buffer_ms": 4999}, "<= BRIDGE_BUFFER_MS"),
        ({"room": "daily"}, "needs TAVUS_API_KEY"),
        ({"host": "0.0.0.0"}, "set BRIDGE_API_KEYS"),
    ],
)
def test_settings_must_fit_together(values: dict[str, Any], mistake: str) -> None:
    """What no single value shows is found by comparing them."""
    with pytest.raises(ValidationError, match=mistake):
        settings_with(**values)


@pytest.mark.parametrize("host", sorted(LOOPBACK_HOSTS))
def test_loopback_needs_no_key(host: str) -> None:
    """A service that only this machine can reach may run open."""
    assert {} == settings_with(host=host).api_keys


def test_lead_is_counted_in_samples() -> None:
    """24 samples a millisecond."""
    assert 36_000 == settings_with(lead_ms=1500).lead_samples
