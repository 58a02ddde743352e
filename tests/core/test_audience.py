from __future__ import annotations

from app.core.audience import MAX_LOST, Audience
from app.core.roles import Role


def test_lost_stream_is_found_by_its_token() -> None:
    """It keeps its role and its count, and nobody else's token finds it."""
    audience = Audience()
    seat = audience.sit(Role.CONTROL, "t1")
    audience.sit(Role.OBSERVE, "t2")
    seat.received = 7
    audience.leave(seat, clean=False)
    found = audience.find("t1")

    assert found is seat
    assert (Role.CONTROL, 7) == (found.role, found.received)
    assert audience.find("t3") is None
    assert audience.find("ü") is None


def test_token_works_once() -> None:
    """Whoever comes back has a new one; the old one is nobody's."""
    audience = Audience()
    seat = audience.sit(Role.OBSERVE, "t1")
    seat.received = 3
    after = audience.resume(seat, "t2")
    audience.leave(seat, clean=False)  # the connection before notices only now

    assert (Role.OBSERVE, 3) == (after.role, after.received)
    assert audience.find("t1") is None
    assert after is audience.find("t2")


def test_who_closes_does_not_come_back() -> None:
    """A close frame is a farewell."""
    audience = Audience()
    seat = audience.sit(Role.OBSERVE, "t1")
    audience.leave(seat, clean=True)

    assert audience.find("t1") is None


def test_lost_streams_are_bounded() -> None:
    """Of too many the oldest are forgotten, of those connected none."""
    audience = Audience()
    audience.sit(Role.OBSERVE, "here")
    for number in range(MAX_LOST + 1):
        audience.leave(audience.sit(Role.OBSERVE, f"t{number}"), clean=False)

    assert audience.find("t0") is None
    assert audience.find("t1") is not None
    assert audience.find("here") is not None


def test_secret_is_not_shown() -> None:
    """A seat that ends up in a log says nothing of its token."""
    assert "t1-secret" not in repr(Audience().sit(Role.OBSERVE, "t1-secret"))
