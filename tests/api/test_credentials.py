"""Who a credential stands for, and how a client is told that it may not come in."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from app.api.credentials import (
    ApiKey,
    Credentials,
    demand,
    identify,
    read_bearer,
    read_password,
    turn_away,
)
from app.core.roles import Role
from app.core.tokens import Grant, Tokens
from app.core.wire_out import PROTOCOL
from app.errors import Forbidden, SessionOver, Unauthorized
from app.runtime.issuer import Issuer
from tests.support.api import settings
from tests.support.clock import FakeClock

ISSUER = Issuer(Tokens(b"k" * 48), FakeClock())
KEYS = settings(api_keys="a:schlüssel,plain")
OPEN = settings()


def token(role: Role = Role.CONTROL) -> str:
    """Mint one."""
    return ISSUER.issue("sess_1", role, 60)[0]


def shown(*, query: str = "", **headers: str) -> Credentials:
    """Read a handshake with these headers, whose names have ``_`` for ``-``."""
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    protocols = headers.get("sec_websocket_protocol", "")
    return Credentials.of(
        {
            "type": "websocket",
            "headers": raw,
            "query_string": query.encode(),
            "subprotocols": [each.strip() for each in protocols.split(",") if each],
        }
    )


def role_of(credentials: Credentials) -> Role | None:
    """The role of who shows this; None for an API key."""
    caller = credentials.caller(KEYS, ISSUER)
    return caller.role if isinstance(caller, Grant) else None


# --- who it is


def test_without_keys_everybody_is_local() -> None:
    """No keys, no names: the guard lets only this machine in."""
    assert ApiKey("local") == identify(OPEN, ISSUER, None)
    assert ApiKey("local") == identify(OPEN, ISSUER, "anything")


def test_without_keys_a_session_token_counts_all_the_same() -> None:
    """Who shows one gets its role, and a bad one is refused: a page behaves as it will later."""
    forged = Issuer(Tokens(b"x" * 48), FakeClock()).issue("sess_1", Role.OBSERVE, 60)[0]
    caller = identify(OPEN, ISSUER, token(Role.OBSERVE))

    assert isinstance(caller, Grant)
    assert Role.OBSERVE is caller.role
    with pytest.raises(Unauthorized):
        identify(OPEN, ISSUER, forged)


def test_a_key_may_be_any_text() -> None:
    """Keys beyond ASCII are compared as the bytes that were sent."""
    sent = "schlüssel".encode().decode("latin-1")  # as a server hands headers over

    assert ApiKey("a") == identify(KEYS, ISSUER, sent)
    assert ApiKey("key-2") == identify(KEYS, ISSUER, "plain")
    for wrong in (None, "", "鍵", "plai", "plain "):
        with pytest.raises(Unauthorized):
            identify(KEYS, ISSUER, wrong)


@pytest.mark.parametrize(
    ("header", "bearer", "password"),
    [
        (None, None, None),
        ("Bearer x", "x", None),
        ("BEARER  x ", "x", None),
        ("Bearer", "", None),
        ("x", None, None),
        ("Basic " + b64encode(b"me:x:y").decode(), None, "x:y"),
        ("basic " + b64encode("me:ü".encode()).decode(), None, "Ã¼"),  # the bytes that came
        ("Basic " + b64encode(b"me").decode(), None, ""),
        ("Basic ?", None, None),
        ("Basic é", None, None),
    ],
)
def test_a_header_is_read(header: str | None, bearer: str | None, password: str | None) -> None:
    """One scheme each, in any case."""
    assert (bearer, password) == (read_bearer(header), read_password(header))


# --- a handshake


def test_a_session_token_is_taken_from_three_places() -> None:
    """Header, subprotocol and query mean the same."""
    given = token()

    assert Role.CONTROL is role_of(shown(authorization=f"Bearer {given}"))
    assert Role.CONTROL is role_of(shown(sec_websocket_protocol=f"{PROTOCOL}, bearer.{given}"))
    assert Role.CONTROL is role_of(shown(query=f"token={given}"))


def test_an_api_key_is_not_taken_from_the_query() -> None:
    """Addresses are written down in too many places."""
    with pytest.raises(Unauthorized, match="query"):
        role_of(shown(query="token=plain"))
    with pytest.raises(Unauthorized, match="query"):
        shown(query="token=anything").caller(OPEN, ISSUER)


def test_the_header_counts_first_and_a_password_never() -> None:
    """A browser may send the user's password along by itself: that is not the page's credential."""
    password = "Basic " + b64encode(b"me:plain").decode()
    offered = f"{PROTOCOL}, bearer.{token(Role.OBSERVE)}"

    assert role_of(shown(authorization="Bearer plain", sec_websocket_protocol=offered)) is None
    assert Role.OBSERVE is role_of(shown(authorization=password, sec_websocket_protocol=offered))
    with pytest.raises(Unauthorized):
        role_of(shown(authorization=password))


def test_credentials_are_not_shown() -> None:
    """What ends up in a log or a traceback says nothing."""
    shown_ = shown(authorization="Bearer s-1", sec_websocket_protocol="bearer.s-2", query="token=s")

    assert "Credentials(is_browser=True)" == repr(shown_)


# --- what it may do


def test_a_role_is_for_its_session_and_what_it_covers() -> None:
    """An API key may do all; a token as much as its role in its session."""
    grant = Grant("sess_1", Role.CONTROL, 0, "i")
    demand(ApiKey("a"), "sess_2", Role.PRODUCE)
    demand(grant, "sess_1", Role.OBSERVE)
    demand(grant, "sess_1", Role.CONTROL)

    with pytest.raises(Forbidden, match="another session"):
        demand(grant, "sess_2", Role.OBSERVE)
    with pytest.raises(Forbidden, match="role control: this needs produce"):
        demand(grant, "sess_1", Role.PRODUCE)


# --- how it is told


async def sent_to(credentials: Credentials, *, is_gone: bool = False) -> list[dict[str, Any]]:
    """What a client is sent that is turned away from a session that is over."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        if is_gone:
            raise OSError
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await turn_away({"type": "websocket"}, receive, send, SessionOver(), credentials)
    return sent


async def test_a_browser_gets_a_close_code_and_others_a_status() -> None:
    """Only a client that cannot read an answer is let in to be closed."""
    offered = f"{PROTOCOL}, bearer.x"
    accepted, closed = await sent_to(shown(sec_websocket_protocol=offered))
    answered, _ = await sent_to(shown(authorization="Bearer x"))
    no_protocol, _ = await sent_to(shown(sec_websocket_protocol="bearer.x"))

    assert PROTOCOL == accepted["subprotocol"]
    assert 4410 == closed["code"]
    assert [409, 409] == [answered["status"], no_protocol["status"]]


async def test_a_client_that_is_gone_is_told_nothing() -> None:
    """That is no error of ours."""
    assert [] == await sent_to(shown(), is_gone=True)
