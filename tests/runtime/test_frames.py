from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.core import events as e
from app.core.frame_header import SKIPPED, UNKNOWN_OFFSET, FrameHeader, FrameKind, size
from app.core.media import Picture, PictureChoice, PictureCodec, Sound, Wants
from app.runtime.clock import wall_us
from app.runtime.frames import MAX_HEARINGS
from tests.support.client import Client
from tests.support.clock import settle
from tests.support.room import ALICE
from tests.support.world import MS, S, World, speak

SMALL = {"codec": "jpeg", "max_fps": 25, "max_width": 320}
SMALL_CHOICE = PictureChoice(PictureCodec.JPEG, 25, 320)


def picture(world: World, choice: PictureChoice = SMALL_CHOICE, **changes: Any) -> Picture:
    """Make a picture of this moment."""
    given = {"width": 320, "height": 180, "data": b"jpeg", "captured_us": wall_us(world.clock)}
    return Picture(choice, **{**given, **changes})


def sound(world: World, who: str | None = None) -> Sound:
    """Make a piece of sound of this moment."""
    return Sound(bytes(960), 24_000, wall_us(world.clock), who)


def frames(client: Client) -> list[FrameHeader]:
    """Take all frames that wait."""
    taken = []
    while (frame := client.connection.subscription.media()) is not None:
        taken.append(FrameHeader.unpack(frame))
    return taken


async def test_room_is_watched_from_the_first_viewer_to_the_last() -> None:
    """It is asked for what somebody wants, when that changes, and at last for nothing."""
    world = World()
    async with world.session() as session:
        one = await Client.connect(world, session)
        await one.say("frames.subscribe", video=SMALL)
        other = await Client.connect(world, session)
        await other.say("frames.subscribe", video=SMALL, audio={}, user_audio={})
        await other.say("frames.subscribe", video=SMALL, audio={"sample_rate": 8000})
        one.leave()
        await other.say("frames.unsubscribe")
        other.leave()

    pictures = frozenset({SMALL_CHOICE})
    assert [
        Wants(pictures),
        Wants(pictures, sound=True, people=True),
        Wants(pictures, sound=True),
        Wants(),
    ] == world.room.watched


async def test_room_that_comes_later_is_watched() -> None:
    """Who asks before there is a room sees what it gives when there is one."""
    world = World()
    world.tavus.hold = asyncio.Event()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", audio={})
        world.tavus.hold.set()
        await settle()

    assert [Wants(sound=True)] == world.room.watched


async def test_next_room_is_watched_like_the_lost_one() -> None:
    """A viewer notices nothing of a room that is joined again but a gap."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", audio={})
        world.room.loses()
        await world.clock.run(5 * S)
        old, new = world.rooms
        old.show(sound(world))
        new.show(sound(world))

        assert [Wants(sound=True)] == new.watched
        assert 1 == len(frames(client))


async def test_grant_says_what_comes() -> None:
    """The answer has the choices with their defaults, and the id of the question."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", video={}, user_audio={"sample_rate": 16_000}, id="f")
        (granted,) = client.of("frames.subscribed")

    assert {
        "type": "frames.subscribed",
        "ts_ms": granted["ts_ms"],
        "video": {"codec": "jpeg", "max_fps": 25, "max_width": 1280},
        "user_audio": {"sample_rate": 16_000},
        "id": "f",
    } == granted


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({}, "bad_message"),
        ({"video": {"max_fps": 0}}, "bad_message"),
        ({"video": {"codec": "png"}}, "unsupported_format"),
        ({"audio": {"sample_rate": 1}}, "unsupported_format"),
    ],
)
async def test_wrong_wish_leaves_the_subscription_as_it_was(
    wrong: dict[str, Any], code: str
) -> None:
    """A mistake is answered and costs no frame."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", video=SMALL)
        await client.say("frames.subscribe", **wrong)
        world.room.show(picture(world))

        assert [code] == client.codes()
        assert [(1, 0)] == [(header.seq, header.flags) for header in frames(client)]
        assert 1 == len(world.room.watched)


async def test_each_viewer_gets_its_own_choice() -> None:
    """Pictures go to those who chose them; each has its own numbers and its own gaps."""
    world = World()
    large = PictureChoice(PictureCodec.RGB, 5, 640)
    async with world.session() as session:
        one = await Client.connect(world, session)
        await one.say("frames.subscribe", video=SMALL)
        world.room.show(picture(world))
        other = await Client.connect(world, session)
        await other.say("frames.subscribe", video=SMALL)
        third = await Client.connect(world, session)
        await third.say("frames.subscribe", video={"codec": "rgb", "max_fps": 5, "max_width": 640})
        world.room.show(picture(world, skipped=1))
        world.room.show(picture(world, large, width=640, height=360))
        got = [frames(client) for client in (one, other, third)]

    assert [[(3, SKIPPED)], [(2, SKIPPED)], [(1, 0)]] == [
        [(header.seq, header.flags) for header in headers] for headers in got
    ]
    assert [1, 1, 3] == [headers[0].codec for headers in got]
    assert size(640, 360) == got[2][0].detail


async def test_frames_say_what_the_replica_was_saying() -> None:
    """Number and offset belong to the moment of capture, not to that of arrival."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", video=SMALL, audio={})
        world.room.show(sound(world))
        (before,) = frames(client)
        speak(session, 2)
        await settle()
        world.room.starts()
        await world.clock.run(700 * MS)
        late = wall_us(world.clock) - 200_000
        world.room.show(sound(world))
        world.room.show(picture(world, captured_us=late))
        now, then = frames(client)

    assert (FrameKind.AUDIO, 0, UNKNOWN_OFFSET) == (before.kind, before.number, before.offset_ms)
    assert (FrameKind.AUDIO, 1, 700) == (now.kind, now.number, now.offset_ms)
    assert (FrameKind.VIDEO, 1, 500, late) == (
        then.kind,
        then.number,
        then.offset_ms,
        then.captured_us,
    )


async def test_sound_comes_at_the_rate_that_was_chosen() -> None:
    """Two viewers of two rates get the same second, each in its own samples."""
    world = World()
    async with world.session() as session:
        clients = []
        for rate in (24_000, 8_000, 8_000):
            client = await Client.connect(world, session)
            await client.say("frames.subscribe", audio={"sample_rate": rate})
            clients.append(client)
        samples = [0, 0, 0]
        for _ in range(50):
            world.room.show(sound(world))
            await world.clock.run(20 * MS)
            for number, client in enumerate(clients):
                while (frame := client.connection.subscription.media()) is not None:
                    samples[number] += len(frame[28:]) // 2

    assert 24_000 == samples[0]
    assert samples[1] == samples[2]
    assert 8_000 - 400 <= samples[1] <= 8_000  # the filter keeps the last 50 ms at most


async def test_people_are_told_apart_by_their_number() -> None:
    """Somebody's sound has the number of ``participant.joined``; a stranger's is not passed on."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", user_audio={})
        world.room.show(sound(world, ALICE.participant_id))
        world.room.report(e.ParticipantJoined(ALICE))
        world.room.show(sound(world, ALICE.participant_id))
        world.room.show(sound(world))
        (joined,) = client.of("participant.joined")
        (header,) = frames(client)

    assert (FrameKind.USER_AUDIO, joined["number"]) == (header.kind, header.number)
    assert (UNKNOWN_OFFSET, 24_000, 1) == (header.offset_ms, header.detail, header.seq)


async def test_crowd_costs_a_bounded_number_of_filters() -> None:
    """People come and go; the filters of those unheard for longest go too."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", user_audio={"sample_rate": 16_000})
        for number in range(MAX_HEARINGS + 10):
            person = e.Participant(f"p-{number}", f"u-{number}", "Somebody")
            world.room.report(e.ParticipantJoined(person))
            world.room.show(sound(world, person.participant_id))
        during = len(session.runner.frames._hearings)
        await client.say("frames.unsubscribe")

    assert MAX_HEARINGS == during
    assert {} == session.runner.frames._hearings


async def test_stats_are_told_now_and_then_and_at_the_end() -> None:
    """Every 5 s while frames are taken, and in answer to ``frames.unsubscribe``."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", video=SMALL)
        for _ in range(25 * 11):
            for _ in range(2):
                world.room.show(picture(world))
            await world.clock.run(40 * MS)
            frames(client)
        world.room.show(picture(world))
        await client.say("frames.unsubscribe", id="u")
        world.room.show(picture(world))
        await world.clock.run(10 * S)
        frames(client)
        stats = client.of("frames.stats")

        assert [] == frames(client)
    assert [(124, 125), (249, 250)] == [(told["sent"], told["dropped"]) for told in stats[:2]]
    assert [("u", 275, 275)] == [(told["id"], told["sent"], told["dropped"]) for told in stats[2:]]


async def test_picture_that_does_not_come_is_told() -> None:
    """A picture that is wanted and does not come is a stall; sound alone is not waited for."""
    world = World()
    patience = int(world.settings.replica_stall_s * S)
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", audio={})
        await world.clock.run(2 * patience)
        early = client.codes()
        await client.say("frames.subscribe", video=SMALL)
        for _ in range(3):
            await world.clock.run(patience // 2)
            world.room.show(picture(world))
        alive = client.codes()
        await world.clock.run(2 * patience)

        assert ([], [], ["replica_stalled"]) == (early, alive, client.codes())


async def test_frames_are_counted() -> None:
    """The metrics know how many watch, and what became of each frame."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", video=SMALL, audio={})
        await client.say("frames.subscribe", video=SMALL, audio={})
        for _ in range(3):
            world.room.show(picture(world))
        world.room.show(sound(world))
        frames(client)
        during = world.metrics.text().decode()
        client.leave()

    assert "avatar_bridge_viewers 1.0" in during
    for line in (
        'avatar_bridge_frames_total{kind="video",outcome="sent"} 1.0',
        'avatar_bridge_frames_total{kind="video",outcome="dropped"} 2.0',
        'avatar_bridge_frames_total{kind="audio",outcome="sent"} 1.0',
    ):
        assert line in during
    assert "avatar_bridge_viewers 0.0" in world.metrics.text().decode()


async def test_nothing_comes_after_the_end() -> None:
    """What a room still shows when its session is over is for nobody."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("frames.subscribe", video=SMALL)
        await session.runner.stop("deleted")
        world.room.show(picture(world))

        assert [] == frames(client)
