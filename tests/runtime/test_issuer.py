from __future__ import annotations

from datetime import timedelta

import pytest

from app.core.roles import Role
from app.core.tokens import Tokens
from app.errors import Unauthorized
from app.runtime.issuer import Issuer
from tests.support.clock import FakeClock
from tests.support.world import S


async def test_issued_token_is_good_until_its_time() -> None:
    """The service's clock decides, and the time that was told is the time that counts."""
    clock = FakeClock()
    issuer = Issuer(Tokens(b"k" * 48), clock)
    token, expires_at = issuer.issue("sess_1", Role.OBSERVE, 60)
    grant = issuer.check(token)
    await clock.run(60 * S)

    assert timedelta(0) == expires_at - clock.wall()
    assert grant is not None
    assert ("sess_1", Role.OBSERVE) == (grant.session_id, grant.role)
    with pytest.raises(Unauthorized):
        issuer.check(token)


async def test_a_part_of_a_second_is_a_whole_one() -> None:
    """A token is never good for less than it was asked for."""
    clock = FakeClock()
    await clock.run(S // 2)
    issuer = Issuer(Tokens(b"k" * 48), clock)
    _, expires_at = issuer.issue("sess_1", Role.OBSERVE, 1)

    assert timedelta(seconds=1.5) == expires_at - clock.wall()


def test_no_two_are_alike() -> None:
    """Each can be spent on its own."""
    issuer = Issuer(Tokens(b"k" * 48), FakeClock())
    tokens = {issuer.issue("sess_1", Role.OBSERVE, 60)[0] for _ in range(10)}

    assert 10 == len(tokens)
    assert issuer.check("no token") is None
