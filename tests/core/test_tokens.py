from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import jwt
import pytest

from app.core.roles import Role
from app.core.tokens import MAX_SPENT, Grant, SpentTokens, Tokens
from app.errors import RateLimited, Unauthorized

KEY = b"k" * 48
NOW_S = 1_800_000_000
GRANT = Grant("sess_1", Role.CONTROL, NOW_S + 60, "id-1")


def read(text: str, now_s: float = NOW_S) -> Grant | None:
    """Read a token as the service would."""
    return Tokens(KEY).read(text, int(now_s * 1000))


def foreign(claims: dict[str, object], key: bytes = KEY, typ: str = "avatar-bridge+jwt") -> str:
    """Write a token that the service would not."""
    return jwt.encode(claims, key, "HS384", headers={"typ": typ})


# --- what a token says


@pytest.mark.parametrize("role", Role)
def test_token_says_what_it_grants(role: Role) -> None:
    """What is minted is read."""
    grant = replace(GRANT, role=role)

    assert grant == read(Tokens(KEY).mint(grant))


def test_token_goes_into_a_subprotocol_and_an_address() -> None:
    """Its characters are those of base64url and the dot, and they are not many."""
    token = Tokens(KEY).mint(GRANT)

    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,300}", token)


@pytest.mark.parametrize(("now_s", "is_good"), [(NOW_S + 59.999, True), (NOW_S + 60, False)])
def test_token_expires(now_s: float, is_good: bool) -> None:
    """At its time, to the millisecond, it is worth nothing."""
    token = Tokens(KEY).mint(GRANT)
    if is_good:
        assert GRANT == read(token, now_s)
    else:
        with pytest.raises(Unauthorized, match="expired"):
            read(token, now_s)


def test_every_character_counts() -> None:
    """A token that was changed anywhere is refused, or none of ours."""
    token = Tokens(KEY).mint(GRANT)
    accepted = []
    for at, character in enumerate(token):
        for other in ("A", "B", "."):
            if other != character:
                tampered = f"{token[:at]}{other}{token[at + 1 :]}"
                try:
                    found = read(tampered)
                except Unauthorized:
                    found = None
                accepted += [tampered] * (found is not None)

    assert [] == accepted


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-1],
        lambda t: t + "A",
        lambda t: t + "!",
        lambda t: t.rpartition(".")[0],
        lambda t: t.rpartition(".")[0] + ".",
        lambda t: t + ".a",
        lambda t: t + 2000 * "A",
        lambda t: t + "ä",
    ],
)
def test_what_was_a_token_is_no_key(change: Callable[[str], str]) -> None:
    """Cut off or added to it is refused: where no keys are asked for it must not count as none."""
    with pytest.raises(Unauthorized, match="not valid"):
        read(change(Tokens(KEY).mint(GRANT)))


def test_other_key_signs_for_nobody() -> None:
    """A token of another service, or made up, is refused."""
    for token in (
        Tokens(b"x" * 48).mint(GRANT),
        foreign({"sub": "sess_1", "role": "produce"}),
        foreign({"sub": "sess_1", "role": "king", "exp": NOW_S + 60, "jti": "i"}),
        foreign({"sub": "sess_1", "role": "observe", "exp": "soon", "jti": "i"}),
        foreign({"sub": 1, "role": "observe", "exp": NOW_S + 60, "jti": "i"}),
        jwt.encode(
            {"sub": "sess_1", "role": "produce", "exp": NOW_S + 60, "jti": "i"},
            "",
            "none",
            headers={"typ": "avatar-bridge+jwt"},
        ),
    ):
        with pytest.raises(Unauthorized, match="not valid"):
            read(token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "ä.b.c",
        "e30.e30.e30",
        "x" * 2000,
        foreign({"sub": "sess_1"}, typ="JWT"),
    ],
)
def test_what_is_no_token_of_ours_is_none(text: str) -> None:
    """It may be an API key, or meant for somebody else."""
    assert read(text) is None


# --- single use


def test_token_is_spent_once() -> None:
    """The second time it is refused, others are not concerned."""
    spent = SpentTokens()
    spent.spend(GRANT, NOW_S * 1000)
    spent.spend(replace(GRANT, token_id="id-2"), NOW_S * 1000)

    with pytest.raises(Unauthorized, match="fresh"):
        spent.spend(GRANT, NOW_S * 1000)


def test_spent_tokens_are_bounded() -> None:
    """Those that have expired make room; without any, nothing is spent rather than forgotten."""
    spent = SpentTokens()
    for number in range(MAX_SPENT):
        expires_at = NOW_S + (30 if number % 2 else 60)
        spent.spend(Grant("sess_1", Role.OBSERVE, expires_at, f"n-{number}"), NOW_S * 1000)

    with pytest.raises(RateLimited) as full:
        spent.spend(GRANT, NOW_S * 1000)
    spent.spend(GRANT, (NOW_S + 30) * 1000)
    with pytest.raises(Unauthorized):
        spent.spend(replace(GRANT, token_id="n-0"), (NOW_S + 30) * 1000)

    assert 30_000 == full.value.retry_after_ms
