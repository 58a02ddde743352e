from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import LOOPBACK_HOSTS, RoomKind, Settings
from tests.support.edge import settings_with


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start each test in a folder without ``.env`` and without settings around it."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("BRIDGE_", "TAVUS_")):
            monkeypatch.delenv(name)


def mistakes(**values: Any) -> dict[str, str]:
    """What is wrong with settings, by field."""
    with pytest.raises(ValidationError) as error:
        settings_with(**values)
    return {str(problem["loc"][0]): problem["msg"] for problem in error.value.errors()}


def test_defaults_are_those_of_the_contract() -> None:
    """Without any variable the service runs on loopback, with the contract's numbers."""
    settings = Settings()

    assert ("127.0.0.1", 8080) == (settings.host, settings.port)
    assert ("echo", 1500) == (settings.audio_path, settings.lead_ms)
    assert (120_000, 30_000, 15_000, 64) == (
        settings.buffer_ms,
        settings.high_ms,
        settings.low_ms,
        settings.queued_utterances,
    )
    assert (120, 300, 3600) == (
        settings.ready_timeout_s,
        settings.idle_timeout_s,
        settings.max_duration_s,
    )
    assert (30_000, 1000, 300) == (
        settings.resume_window_ms,
        settings.utterance_gap_ms,
        settings.late_audio_gap_ms,
    )


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own begin with ``BRIDGE_``, Tavus's with ``TAVUS_``; case makes no difference."""
    monkeypatch.setenv("BRIDGE_LEAD_MS", "0")
    monkeypatch.setenv("bridge_buffer_ms", "60000")
    monkeypatch.setenv("TAVUS_FACE_ID", "f1")
    monkeypatch.setenv("BRIDGE_TAVUS_TIMEOUT_S", "2.5")
    settings = Settings()

    assert (0, 60_000, "f1", 2.5) == (
        settings.lead_ms,
        settings.buffer_ms,
        settings.tavus_face_id,
        settings.tavus_timeout_s,
    )


def test_dotenv_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``.env`` of the current folder fills in what is not set; what is unknown in it is ignored."""
    (tmp_path / ".env").write_text("BRIDGE_PORT=1\nBRIDGE_LEAD_MS=2\nOTHER=3\nBRIDGE_ROOM=\n")
    monkeypatch.setenv("BRIDGE_PORT", "4")
    monkeypatch.setenv("BRIDGE_LEAD_MS", "")
    settings = Settings()

    assert (4, 2, None) == (settings.port, settings.lead_ms, settings.room)


@pytest.mark.parametrize(
    ("values", "kind", "limit"),
    [
        ({}, RoomKind.SANDBOX, 100),
        ({"tavus_api_key": "k"}, RoomKind.DAILY, 10),
        ({"tavus_api_key": "k", "room": "daily"}, RoomKind.DAILY, 10),
        ({"tavus_api_key": "k", "room": "sandbox"}, RoomKind.SANDBOX, 100),
        ({"room": "sandbox", "max_sessions": 3}, RoomKind.SANDBOX, 3),
    ],
)
def test_room_follows_the_key(values: dict[str, Any], kind: RoomKind, limit: int) -> None:
    """Without a word about the room, a Tavus key means Daily; the limit follows the room."""
    settings = settings_with(**values)

    assert (kind, limit) == (settings.room_kind, settings.session_limit)


def test_api_keys_have_names() -> None:
    """Keys come as ``name:key`` or bare, with spaces around each part, and may hold colons."""
    settings = settings_with(api_keys=" ci : a:b , plain ,, ")

    assert {"ci": "a:b", "key-2": "plain"} == {
        name: key.get_secret_value() for name, key in settings.api_keys.items()
    }


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ("a:x,a:y", "the name 'a' is given twice"),
        ("x,key-1:y", "the name 'key-1' is given twice"),
        ("x,:y", "entry 2 must be name:key or key"),
        ("a:", "entry 1 must be name:key or key"),
        ("a: ,b:y", "entry 1 must be name:key or key"),
    ],
)
def test_unusable_api_keys_are_refused(keys: str, mistake: str) -> None:
    """A name twice, no name and no key are mistakes; no key is ever part of the message."""
    assert {"api_keys": f"Value error, {mistake}"} == mistakes(api_keys=keys)


def test_keys_and_origins_may_be_given_as_what_they_are() -> None:
    """From Python they need not be text."""
    settings = settings_with(api_keys={"a": "x"}, allowed_origins=("https://a.example",))

    assert "x" == settings.api_keys["a"].get_secret_value()
    assert ("https://a.example",) == settings.allowed_origins


def test_secrets_do_not_show() -> None:
    """Printing the settings shows no key."""
    settings = settings_with(tavus_api_key="hidden", api_keys="a:hidden", sandbox_api_key="hidden")

    assert "hidden" not in repr(settings)


def test_origins_are_a_list_without_slashes() -> None:
    """Origins are comma-separated; a trailing slash, which browsers never send, is dropped."""
    settings = settings_with(allowed_origins="https://a.example/, http://b.example:81,")

    assert ("https://a.example", "http://b.example:81") == settings.allowed_origins


@pytest.mark.parametrize("name", ["public_url", "tavus_base_url"])
def test_addresses_are_absolute(name: str) -> None:
    """An address has a scheme and a host and is kept without a trailing slash; empty means none."""
    assert {name: "Value error, must start with http:// or https://"} == mistakes(
        **{name: "example.org"}
    )
    assert {name: "Value error, names no host"} == mistakes(**{name: "http://"})
    assert "https://a.example" == getattr(settings_with(**{name: "https://a.example/"}), name)
    assert getattr(settings_with(**{name: ""}), name) is None


@pytest.mark.parametrize(
    ("values", "field", "mistake"),
    [
        ({"low_ms": 500, "high_ms": 500}, "low_ms", "must be less than BRIDGE_HIGH_MS"),
        ({"low_ms": 30_000}, "low_ms", "must be less than BRIDGE_HIGH_MS"),
        ({"buffer_ms": 29_999}, "high_ms", "must be at most BRIDGE_BUFFER_MS"),
        ({"room": "daily"}, "room", "daily needs TAVUS_API_KEY"),
        ({"room": "daily", "tavus_api_key": ""}, "room", "daily needs TAVUS_API_KEY"),
        (
            {"host": "0.0.0.0"},
            "api_keys",
            (
                "needed because BRIDGE_HOST is not loopback: everybody could start conversations "
                "that you pay for"
            ),
        ),
    ],
)
def test_settings_must_fit_together(values: dict[str, Any], field: str, mistake: str) -> None:
    """What no single value shows is found by comparing them, defaults too."""
    assert {field: f"Value error, {mistake}"} == mistakes(**values)


def test_settings_that_just_fit() -> None:
    """The high mark may be the whole buffer and the low one just below it."""
    assert 4999 == settings_with(buffer_ms=5000, high_ms=5000, low_ms=4999).low_ms


def test_all_mistakes_are_told_at_once() -> None:
    """Mistakes of one value and of several come together, and none is told twice."""
    found = mistakes(port=70_000, room="daily", host="0.0.0.0", buffer_ms=1, low_ms=40_000)

    assert {"port", "room", "api_keys", "buffer_ms", "low_ms"} == set(found)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", -1),
        ("port", 65_536),
        ("lead_ms", -1),
        ("lead_ms", 10_001),
        ("audio_path", "video"),
        ("echo_overlap", "maybe"),
        ("echo_done", "int"),
        ("resample_quality", "hq"),
        ("buffer_ms", 999),
        ("queued_utterances", 0),
        ("max_sessions", 0),
        ("ready_timeout_s", 0),
        ("idle_timeout_s", 0),
        ("max_duration_s", 86_401),
        ("tavus_timeout_s", 0),
        ("drain_s", -1),
        ("room", "zoom"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("max_duration_s", "nan"),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: object) -> None:
    """Each such value is a mistake of its own setting and of no other."""
    assert {field} == set(mistakes(**{field: value}))


@pytest.mark.parametrize("host", sorted(LOOPBACK_HOSTS))
def test_loopback_needs_no_key(host: str) -> None:
    """A service that only this machine can reach may run open."""
    assert {} == settings_with(host=host).api_keys


def test_a_host_for_all_needs_a_key() -> None:
    """With a key the service may listen anywhere."""
    assert "0.0.0.0" == settings_with(host="0.0.0.0", api_keys="k").host


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "sandbox"),
        ({"sandbox_api_key": "s"}, "s"),
        ({"tavus_api_key": "t"}, "t"),
        ({"tavus_api_key": "t", "sandbox_api_key": "s", "room": "sandbox"}, "t"),
    ],
)
def test_tavus_is_shown_the_key_that_fits(settings: dict[str, str], key: str) -> None:
    """A sandbox takes its own key or, without one, any."""
    assert key == settings_with(**settings).tavus_key
