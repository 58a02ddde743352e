"""What a room shows, by way of a worker with the fake SDK in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import simplejpeg
from daily import CallClient

from app.core import room_link as link
from app.core.events import Participant
from app.core.media import Media, Picture, PictureChoice, PictureCodec, Sound, Wants
from app.daily.crossing import Crossing
from app.daily.media import ANSWER_NS, RETRY_NS, RoomMedia, _first_channel
from app.runtime.encoders import Encoders
from tests.support.clock import FakeClock
from tests.support.daily_link import DailyLink
from tests.support.processes import until

REPLICA = "6f1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f1"
SECOND = "7a1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f2"
ANNA = "8b1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f3"

JPEG = PictureChoice(PictureCodec.JPEG, 25, 32)
RGB = PictureChoice(PictureCodec.RGB, 25, 64)

ALL = Wants(frozenset({JPEG, RGB}), sound=True, people=True)


def come(worker: DailyLink, name: str, user_id: str = "tavus-replica-1") -> None:
    """Let somebody come into the room."""
    info = {"isLocal": False, "userId": user_id, "userName": "Somebody"}
    card = {"id": name, "info": info, "media": {}}
    worker.cloud.steer("event", method="on_participant_joined", args=[card])


def subscriptions(worker: DailyLink) -> list[dict[str, Any]]:
    """What the room was asked for, oldest first."""
    asked = [entry["asked"] for entry in worker.cloud.log("subscriptions")]
    return [{who: media["media"] for who, media in each.items()} for each in asked]


def both(camera: bool, microphone: bool) -> dict[str, str]:
    """Subscriptions as the SDK has them."""
    states = ("unsubscribed", "subscribed")
    return {"camera": states[camera], "microphone": states[microphone]}


async def subscribed(worker: DailyLink, count: int) -> list[dict[str, Any]]:
    """What was asked for, once so much was, and answered."""
    await until("it was asked", lambda: len(subscriptions(worker)) >= count)
    worker.send(link.Send(1, 900 + count, "{}"))  # answered after all that was asked before
    await worker.wait(link.Sent, len(worker.of(link.Sent)) + 1)
    return subscriptions(worker)


def pictures(media: list[Media]) -> list[Picture]:
    """Those among what was shown."""
    return [each for each in media if isinstance(each, Picture)]


def sounds(media: list[Media]) -> list[Sound]:
    """Those among what was shown."""
    return [each for each in media if isinstance(each, Sound)]


async def test_nothing_is_received_that_nobody_wants(tmp_path: Path) -> None:
    """Subscriptions come with the first wish and go with the last."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        come(worker, REPLICA)
        come(worker, ANNA, "")
        await worker.wait(link.Came, 2)
        before = subscriptions(worker)
        worker.send(link.Watch(1, Wants(frozenset({JPEG}))))
        await subscribed(worker, 1)
        worker.send(link.Watch(1, ALL))
        await subscribed(worker, 3)
        worker.send(link.Watch(1, ALL))  # no news
        worker.send(link.Watch(1, Wants()))
        asked = await subscribed(worker, 5)

    assert [] == before
    assert [
        {REPLICA: both(camera=True, microphone=False)},
        {REPLICA: both(camera=True, microphone=True)},
        {ANNA: both(camera=False, microphone=True)},
        {REPLICA: both(camera=False, microphone=False)},
        {ANNA: both(camera=False, microphone=False)},
    ] == asked


async def test_pictures_come_as_they_were_chosen(tmp_path: Path) -> None:
    """Each picture once for every choice, made in the worker."""
    async with DailyLink(tmp_path) as worker:
        worker.send(link.Join(1, "https://x.daily.co/room", None, "Bridge", False))
        worker.send(link.Watch(1, ALL))  # before we are in
        await worker.wait(link.Joined)
        come(worker, REPLICA)
        await subscribed(worker, 1)
        worker.cloud.steer("video", participant_id=REPLICA, width=64, height=36)
        media = await worker.wait_media(lambda media: len(pictures(media)) == 2)

    made = {picture.choice: picture for picture in pictures(media)}
    assert (32, 18) == (made[JPEG].width, made[JPEG].height)
    assert (18, 32, 3) == simplejpeg.decode_jpeg(made[JPEG].data).shape
    assert 64 * 36 * 3 == len(made[RGB].data)
    assert made[JPEG].captured_us == made[RGB].captured_us > 0


async def test_sound_says_whose_it_is(tmp_path: Path) -> None:
    """The replica's and that of people, in pieces of 20 ms at our rate."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        come(worker, REPLICA)
        come(worker, ANNA, "")
        await worker.wait(link.Came, 2)
        worker.send(link.Watch(1, ALL))
        await subscribed(worker, 2)
        worker.cloud.steer("audio", participant_id=REPLICA)
        worker.cloud.steer("audio", participant_id=ANNA)
        media = await worker.wait_media(lambda media: len(sounds(media)) == 2)

    assert [(None, 24_000, 960), (ANNA, 24_000, 960)] == [
        (sound.participant_id, sound.sample_rate, len(sound.pcm)) for sound in sounds(media)
    ]


async def test_only_the_last_replica_is_shown(tmp_path: Path) -> None:
    """Tavus may put in a second one before the first has left; that one is shown no more."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        worker.send(link.Watch(1, Wants(sound=True)))
        come(worker, REPLICA)
        await subscribed(worker, 1)
        come(worker, SECOND)
        asked = await subscribed(worker, 3)

    assert [
        {REPLICA: both(camera=False, microphone=True)},
        {REPLICA: both(camera=False, microphone=False)},
        {SECOND: both(camera=False, microphone=True)},
    ] == asked


async def test_a_renderer_is_made_once(tmp_path: Path) -> None:
    """It can never be removed: who watches again gets every picture once."""
    wants = Wants(frozenset({JPEG}))
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        come(worker, REPLICA)
        await worker.wait(link.Came)
        for number, each in enumerate((wants, Wants(), wants), 1):
            worker.send(link.Watch(1, each))
            await subscribed(worker, number)
        worker.cloud.steer("video", participant_id=REPLICA, width=64, height=36)
        await worker.wait_media(pictures)

    assert ["camera"] == [entry["source"] for entry in worker.cloud.log("renderer")]


async def test_a_subscription_that_fails_is_asked_for_again(tmp_path: Path) -> None:
    """After a while; until then nothing is shown."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        worker.cloud.faults(request_errors={"update_subscriptions": "no"})
        come(worker, REPLICA)
        await worker.wait(link.Came)
        worker.send(link.Watch(1, Wants(frozenset({JPEG}))))
        await subscribed(worker, 1)
        worker.cloud.faults()
        await subscribed(worker, 2)
        worker.cloud.steer("video", participant_id=REPLICA, width=64, height=36)
        await worker.wait_media(pictures)

    assert [{REPLICA: both(camera=True, microphone=False)}] * 2 == subscriptions(worker)


async def test_nothing_is_shown_of_who_is_no_participant(tmp_path: Path) -> None:
    """An id that is no UUID would abort the process."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        come(worker, "somebody", "")
        worker.send(link.Watch(1, ALL))
        come(worker, REPLICA)
        asked = await subscribed(worker, 1)

    assert [[REPLICA]] == [list(each) for each in asked]


async def test_a_room_that_was_left_shows_nothing(tmp_path: Path) -> None:
    """Nor is its client called any more."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        come(worker, REPLICA)
        await worker.wait(link.Came)
        worker.send(link.Watch(1, ALL))
        asked = await subscribed(worker, 1)
        worker.send(link.Leave(1))
        await worker.wait(link.Left)
        worker.send(link.Watch(1, Wants()))

    assert asked == subscriptions(worker)


class Deaf:
    """A client that never answers."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def update_subscriptions(self, settings: dict[str, Any], *, completion: object) -> None:
        self.asked.append(settings)


async def test_a_subscription_that_nobody_answers_is_asked_for_again() -> None:
    """After our own deadline and a while more; not once nothing is wanted."""
    clock, client = FakeClock(), Deaf()
    crossing = Crossing(asyncio.get_running_loop())
    media = RoomMedia(crossing, clock, Encoders(threads=1), lambda _: None)
    media.enter(cast("CallClient", client), [Participant(REPLICA, "tavus-replica-1")])
    media.watch(Wants(sound=True))
    counts = [len(client.asked)]
    for ns in (ANSWER_NS + RETRY_NS - 1, 1):
        await clock.run(ns)
        counts.append(len(client.asked))
    media.close()
    await clock.run(2 * (ANSWER_NS + RETRY_NS))

    assert [1, 1, 2] == counts
    assert 2 == len(client.asked)


def test_only_one_channel_is_heard() -> None:
    """A room may send stereo."""
    assert b"ABEF" == _first_channel(b"ABCDEFGH", 2)
