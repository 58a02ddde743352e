from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.core import wire_out as out
from app.runtime.bus import (
    BURST_NS,
    MAX_WAITING,
    MAX_WAITING_PROGRESS,
    RING,
    Bus,
    Subscription,
    no_frame,
)
from tests.support.clock import FakeClock, settle

PROGRESS = out.PlaybackProgress("u-1", 20, "clock")


def bus() -> Bus:
    """Make one that nobody listens to."""
    return Bus(FakeClock())


def waiting(subscription: Subscription) -> list[dict[str, Any]]:
    """What a connection was told and has not taken."""
    return [json.loads(text) for text in subscription._waiting]


def nested(depth: int) -> list[Any]:
    """Make lists in lists."""
    innermost: list[Any] = []
    for _ in range(depth):
        innermost = [innermost]
    return innermost


def test_everybody_hears_the_same_text_and_numbers_rise_by_one() -> None:
    """Every listener gets each session message, numbered 1, 2, ... and stamped."""
    line = bus()
    one, two = line.subscribe(), line.subscribe()
    for _ in range(3):
        line.publish(out.SessionReady())

    assert [1, 2, 3] == [message["seq"] for message in waiting(one)]
    assert waiting(one) == waiting(two)
    assert 1767268800000 == waiting(one)[0]["ts_ms"]


def test_what_concerns_one_connection_has_no_number() -> None:
    """A connection's own message stands between the others, without using up a number."""
    line = bus()
    heard = line.subscribe()
    line.publish(out.SessionReady())
    heard.tell(out.Pong(7))
    line.publish(out.ReplicaLeft())

    assert [1, None, 2] == [message.get("seq") for message in waiting(heard)]


def test_who_unsubscribed_hears_nothing_more() -> None:
    """Unsubscribing ends it; the second time does nothing."""
    line = bus()
    heard = line.subscribe()
    line.unsubscribe(heard)
    line.unsubscribe(heard)
    line.publish(out.SessionReady())

    assert [] == waiting(heard)


async def at_once() -> None:
    """Be the way out of a connection that takes everything."""


async def test_messages_are_taken_in_order_then_the_close() -> None:
    """What was said before the close is still handed out; then comes the end, again and again."""
    line = bus()
    heard = line.subscribe()
    line.publish(out.ReplicaJoined())
    line.publish(out.SessionReady())
    line.close(4410)
    line.publish(out.ReplicaLeft())
    taken = [await heard.take(at_once) for _ in range(4)]

    assert ["replica.joined", "session.ready"] == [json.loads(t)["type"] for t in taken[:2] if t]
    assert [None, None] == taken[2:]
    assert 4410 == heard.close_code


async def test_message_goes_at_once_if_it_can() -> None:
    """While none waits before it; afterwards they wait in their order until they are taken."""
    line = bus()
    heard = line.subscribe()
    sent: list[str] = []
    room = 2

    def send_now(text: str) -> bool:
        if len(sent) < room:
            sent.append(text)
        return text in sent

    heard.send_now = send_now
    for _ in range(4):
        line.publish(out.SessionReady())
    room = 10
    line.publish(out.SessionReady())
    waited = [json.loads(str(await heard.take(at_once)))["seq"] for _ in range(3)]
    line.publish(out.SessionReady())

    assert [1, 2, 6] == [json.loads(text)["seq"] for text in sent]
    assert [3, 4, 5] == waited


async def test_take_waits() -> None:
    """A reader without messages waits for the next one."""
    line = bus()
    heard = line.subscribe()
    taking = asyncio.create_task(heard.take(at_once))
    await settle()
    early = taking.done()
    line.publish(out.SessionReady())
    await taking

    assert not early


async def test_message_that_comes_up_with_a_look_for_a_frame_waits_for_nothing_else() -> None:
    """It is taken although there was no frame."""
    line = bus()
    heard = line.subscribe()

    def look() -> None:
        heard.media = no_frame
        heard.tell(out.FramesStats(0, 0))

    heard.media = look
    taken = await asyncio.wait_for(heard.take(at_once), 1)

    assert "frames.stats" == json.loads(str(taken))["type"]


def test_late_listener_of_a_closed_bus_is_closed() -> None:
    """Who comes after the end learns how to close, and nothing else."""
    line = bus()
    line.publish(out.SessionEnded("deleted"))
    line.close(4410)
    line.close(4503)
    heard = line.subscribe()

    assert 4410 == heard.close_code
    assert [] == waiting(heard)


@pytest.mark.parametrize(("seq", "numbers"), [(0, [1, 2, 3]), (2, [3]), (3, []), (4, None)])
def test_missed_is_all_or_nothing(seq: int, numbers: list[int] | None) -> None:
    """Replay has every message after a number; a number from the future has none."""
    line = bus()
    for _ in range(3):
        line.publish(out.SessionReady())
    missed = line.missed(seq)

    assert numbers == (None if missed is None else [json.loads(text)["seq"] for text in missed])


def test_missed_beyond_the_ring_is_refused() -> None:
    """As soon as one missed message is no longer held there is no replay."""
    line = bus()
    for _ in range(RING + 5):
        line.publish(out.SessionReady())

    assert line.missed(4) is None
    assert RING == len(line.missed(5) or ())


def test_too_many_waiting_close_the_connection_alone() -> None:
    """A reader with 1000 events waiting is closed with 4508; the others hear everything."""
    clock = FakeClock()
    line = Bus(clock)
    slow, quick = line.subscribe(), line.subscribe()
    line.publish(out.SessionReady())
    clock.advance(BURST_NS)
    for _ in range(MAX_WAITING - 1):
        line.publish(out.SessionReady())
        quick._waiting.clear()
    patient = slow.close_code
    line.publish(out.SessionReady())

    assert patient is None
    assert 4508 == slow.close_code
    assert [] == waiting(slow)
    assert quick.close_code is None


def test_burst_is_not_the_readers_fault() -> None:
    """What an interrupt tells of a thousand marks at once may wait; twice as much may not."""
    line = bus()
    heard = line.subscribe()
    for _ in range(2 * MAX_WAITING):
        line.publish(out.SessionReady())
    whole = heard.close_code
    line.publish(out.SessionReady())

    assert whole is None
    assert 4508 == heard.close_code


def test_progress_goes_first() -> None:
    """With many messages waiting progress is left out, and nothing else."""
    line = bus()
    slow = line.subscribe()
    for _ in range(MAX_WAITING_PROGRESS - 1):
        line.publish(out.SessionReady())
    slow.tell(PROGRESS)
    slow.tell(PROGRESS)
    slow.tell(out.Pong(1))

    assert ["playback.progress", "pong"] == [m["type"] for m in waiting(slow)][-2:]
    assert MAX_WAITING_PROGRESS + 1 == len(waiting(slow))


def test_message_that_cannot_be_written_uses_no_number() -> None:
    """An event that nests too deep is refused; the next message has the next number."""
    line = bus()
    heard = line.subscribe()
    with pytest.raises(RecursionError):
        line.publish(out.TavusEvent(nested(100_000)))
    line.publish(out.SessionReady())

    assert [1] == [message["seq"] for message in waiting(heard)]
