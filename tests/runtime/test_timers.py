from __future__ import annotations

import pytest

from tests.support.clock import settle
from tests.support.world import S, Session, World, alone, speak


def notices(session: Session) -> list[tuple[int, str]]:
    """What was announced."""
    return [(m["in_ms"], m["reason"]) for m in session.of("session.expiring")]


def reasons(session: Session) -> list[str]:
    """Why the session ended."""
    return [m["reason"] for m in session.of("session.ended")]


async def test_replica_that_never_comes() -> None:
    """Without a replica the session fails when its time is over, and not before."""
    world = World()
    world.prepare = alone
    async with world.session(ready_timeout_s=2.0) as session:
        await world.clock.run(2 * S - 1)
        early = session.runner.over
        await world.clock.run(1)

        assert not early
        assert ["replica_timeout"] == reasons(session)
        assert "replica_timeout" == getattr(session.runner.view().error, "code", None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"idle_timeout_s": 90.0}, "idle"), ({"max_duration_s": 90.0}, "max_duration")],
)
async def test_planned_end_is_announced_twice(changes: dict[str, float], reason: str) -> None:
    """A planned end is announced 60 s and 10 s ahead, then comes in time."""
    world = World()
    async with world.session(**changes) as session:
        await world.clock.run(90 * S - 1)
        early = session.runner.over
        await world.clock.run(1)

        assert not early
        assert [(60_000, reason), (10_000, reason)] == notices(session)
        assert [reason] == reasons(session)


async def test_short_session_is_announced_as_far_as_it_goes() -> None:
    """A session of 30 s has only the notice of 10 s."""
    world = World()
    async with world.session(max_duration_s=30.0) as session:
        await world.clock.run(30 * S)

    assert [(10_000, "max_duration")] == notices(session)


async def test_activity_puts_off_idleness_but_not_the_end() -> None:
    """Every touch begins idleness anew, notices too; the longest duration stands."""
    world = World()
    async with world.session(idle_timeout_s=20.0, max_duration_s=60.0) as session:
        for _ in range(3):
            await world.clock.run(15 * S)
            session.runner.touch()
        await world.clock.run(15 * S)

    told = notices(session)
    assert 4 == told.count((10_000, "idle"))
    assert 1 == told.count((10_000, "max_duration"))
    assert ["max_duration"] == reasons(session)


async def test_activity_after_a_notice_does_not_delay_the_next() -> None:
    """A notice comes 10 s ahead, also when the end was put off shortly after the one before."""
    world = World()
    async with world.session(idle_timeout_s=12.0) as session:
        await world.clock.run(5 * S)
        session.runner.touch()
        await world.clock.run(12 * S)

    assert [(10_000, "idle"), (10_000, "idle")] == notices(session)
    assert ["idle"] == reasons(session)


async def test_activity_before_a_notice_puts_it_off() -> None:
    """The time counts from the last touch, however many there were before."""
    world = World()
    async with world.session(idle_timeout_s=30.0) as session:
        for _ in range(4):
            await world.clock.run(4 * S)
            session.runner.touch()
        await world.clock.run(20 * S - 1)
        before = notices(session)
        await world.clock.run(1)
        told = notices(session)
        await world.clock.run(10 * S)

    assert [] == before
    assert [(10_000, "idle")] == told
    assert ["idle"] == reasons(session)


async def test_speech_is_activity_until_it_ends() -> None:
    """Who listens is not idle: the time counts from the end of the last utterance."""
    world = World()
    async with world.session(idle_timeout_s=20.0) as session:
        speak(session, 30)
        await world.clock.run(30 * S)
        done_at = None
        while done_at is None:
            await world.clock.run(S // 10)
            if session.of("utterance.done"):
                done_at = world.clock.now()
        quiet = notices(session)
        await world.clock.run(19 * S)
        early = session.runner.over
        await world.clock.run(1 * S)

        assert [] == quiet
        assert not early
        assert ["idle"] == reasons(session)


async def test_paused_speech_is_no_activity() -> None:
    """Audio that waits behind a pause does not keep a session alive for ever."""
    world = World()
    async with world.session(idle_timeout_s=20.0) as session:
        session.runner.speaker.voice.pause(world.clock.now())
        speak(session)
        await world.clock.run(20 * S)

    assert ["idle"] == reasons(session)
    assert ["failed"] == [m["status"] for m in session.of("utterance.done")]


async def test_nothing_rings_after_the_end() -> None:
    """An ended session has no timer left."""
    world = World()
    async with world.session() as session:
        speak(session)
        await settle()
        await session.runner.stop("deleted")
        await settle()

        assert 0 == world.clock.waiting
