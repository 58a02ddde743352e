from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.core import room_link as link
from app.core.events import Participant
from app.daily.room import INTERRUPTED_NS, DailyRoom
from app.runtime.encoders import Encoders
from tests.support.clock import FakeClock
from tests.support.daily_link import URL, DailyLink

REPLICA = "6f1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f1"
CLOSED = "AppMessage(Signalling(ChannelNotOpen))"


def card(name: str = "Anna", *, local: bool = False) -> dict[str, Any]:
    """A participant as the SDK shows one."""
    info = {"isLocal": local, "userId": "tavus-replica-1", "userName": name}
    return {"id": REPLICA, "info": info, "media": {}}


def message(event_type: str = "conversation.echo") -> str:
    """An app message."""
    return json.dumps({"event_type": event_type})


async def join_wrong(worker: DailyLink, url: str = URL, *, track: bool = False) -> link.Failed:
    """Try to enter a room that cannot be entered."""
    worker.send(link.Join(1, url, "a-token", "Bridge", track))
    return (await worker.wait(link.Failed))[0]


async def test_we_receive_nothing_and_show_nothing(tmp_path: Path) -> None:
    """Before the join all subscriptions are off; our own camera and microphone are too."""
    async with DailyLink(tmp_path) as worker:
        joined = await worker.join()

    names = [entry["name"] for entry in worker.cloud.log("request")]
    (join,) = worker.cloud.log("join")
    (entered,) = worker.cloud.log("joined")
    assert joined.participant_id == entered["participant_id"]
    assert "update_subscription_profiles" == names[0]
    assert ("Bridge", True) == (join["name"], join["token"])
    assert [] == worker.cloud.log("source")


async def test_a_track_is_published_after_the_join(tmp_path: Path) -> None:
    """Then we are in."""
    async with DailyLink(tmp_path) as worker:
        await worker.join(track=True)
        names = [entry["name"] for entry in worker.cloud.log("request")]

    assert ["add_custom_audio_track", "update_publishing"] == names[-2:]


@pytest.mark.parametrize("name", ["add_custom_audio_track", "update_publishing"])
async def test_without_its_track_a_room_is_lost(tmp_path: Path, name: str) -> None:
    """It may go well another time."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(request_errors={name: "no"})
        failed = await join_wrong(worker, track=True)

    assert failed.again


@pytest.mark.parametrize(
    ("error", "again"),
    [("RoomLookup(RoomInfoError(NoLongerAvailable))", False), ("Error(Connect, dns)", True)],
)
async def test_a_join_that_fails(tmp_path: Path, error: str, again: bool) -> None:
    """Is told once, with what it means; what the SDK tells besides is the same story."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(join_error=error)
        failed = await join_wrong(worker)
        worker.send(link.Leave(1))
        await worker.wait(link.Left)

    assert again is failed.again
    assert [link.Ready(), failed, link.Left(1)] == worker.reports


async def test_an_address_that_is_not_dailys(tmp_path: Path) -> None:
    """The SDK never hears of it."""
    async with DailyLink(tmp_path) as worker:
        failed = await join_wrong(worker, "https://elsewhere.example/room")

    assert not failed.again
    assert [] == worker.cloud.log("join")


@pytest.mark.parametrize("restored", [True, False])
async def test_signalling_that_does_not_come_back_costs_the_room(restored: bool) -> None:
    """Daily has put us out by then; whoever holds the session joins again."""
    clock, reports = FakeClock(), list[link.Report]()
    encoders = Encoders(threads=1)
    room = DailyRoom(
        1, reports.append, clock, set(), encoders, lambda _media: None, auto_silence=False
    )
    for event in ("interrupted", "connected" if restored else "interrupted"):
        room.on_network({"connection": "signalling", "event": event})
        await clock.run(INTERRUPTED_NS // 2 - 1)
    early = reports.copy()
    await clock.run(2)

    assert [] == early
    lost = link.Failed(1, "the room's signalling did not come back", again=True)
    assert ([] if restored else [lost]) == reports
    await room.leave()
    encoders.close()


async def test_the_replica_is_found_by_its_name_where_no_user_id_says_it(tmp_path: Path) -> None:
    """Not beside one with a replica's user id; and what was the replica once stays it."""

    def person(number: int, user_id: str, name: str) -> dict[str, Any]:
        info = {"isLocal": False, "userId": user_id, "userName": name}
        return {"id": REPLICA[:-1] + str(number), "info": info, "media": {}}

    async with DailyLink(tmp_path) as worker:
        worker.send(link.Join(1, URL, "a-token", "Bridge", track=False, replica_name="Anna"))
        await worker.wait(link.Joined)
        for each in (
            person(2, "u2", "Berta"),
            person(3, "u3", "Anna"),
            person(4, "tavus-face-4", "Anna"),
            person(5, "u5", "Anna"),
            person(3, "u3", "Anna"),
        ):
            worker.cloud.steer("event", method="on_participant_joined", args=[each])
        worker.cloud.steer("event", method="on_app_message", args=[{}, REPLICA])
        await worker.wait(link.Said)

    came = [each.participant for each in worker.of(link.Came)]
    assert [False, True, True, False] == [each.is_replica for each in came]


async def test_who_comes_and_goes_is_told_once(tmp_path: Path) -> None:
    """An update that changes nothing is no news, and we are none at all."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        for method, *args in (
            ("on_participant_joined", card()),
            ("on_participant_updated", card()),
            ("on_participant_updated", card(local=True)),
            ("on_participant_updated", card("Berta")),
            ("on_participant_left", card(), "leftCall"),
            ("on_participant_left", card(), "leftCall"),
            ("on_app_message", {"a": 1}, REPLICA),
        ):
            worker.cloud.steer("event", method=method, args=args)
        await worker.wait(link.Said)

    anna, berta = (Participant(REPLICA, "tavus-replica-1", name) for name in ("Anna", "Berta"))
    assert [
        link.Came(1, anna),
        link.Came(1, berta),
        link.Went(1, berta),
        link.Said(1, '{"a":1}'),
    ] == worker.reports[2:]


async def test_messages_are_answered(tmp_path: Path) -> None:
    """Taken or refused, and whether it was their size."""
    fates = [None, CLOSED, "the message is larger than 4096 bytes"]
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(messages={"conversation.echo": fates})
        await worker.join()
        worker.send(*(link.Send(1, number, message()) for number in (1, 2, 3)))
        await worker.wait(link.Refused, 2)

    assert [
        link.Sent(1, 1),
        link.Refused(1, 2, CLOSED, False),
        link.Refused(1, 3, fates[2] or "", True),
    ] == worker.reports[2:]


async def test_a_message_that_nobody_answers_for_is_given_up(tmp_path: Path) -> None:
    """After our own deadline; those behind it do not wait."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(messages={"conversation.echo": ["never"]})
        await worker.join()
        worker.send(link.Send(1, 1, message()), link.Send(1, 2, message()))
        await worker.wait(link.Unanswered)

    assert [link.Sent(1, 2), link.Unanswered(1, 1)] == worker.reports[2:]


async def test_a_message_before_the_join_is_refused(tmp_path: Path) -> None:
    """So is one that is no JSON."""
    async with DailyLink(tmp_path) as worker:
        worker.send(link.Join(1, URL, None, "Bridge", track=False), link.Send(1, 1, message()))
        await worker.wait(link.Joined)
        worker.send(link.Send(1, 2, "no JSON"))
        refused = await worker.wait(link.Refused, 2)

    assert [1, 2] == [each.number for each in refused]


async def test_an_interruption_of_the_signalling_is_told(tmp_path: Path) -> None:
    """With its end, each once."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        for connected in (False, False, True):
            worker.cloud.steer("signalling", connected=connected)
        await worker.wait(link.Restored)

    assert [link.Interrupted(1), link.Restored(1)] == worker.reports[2:]


async def test_being_put_out_is_a_loss(tmp_path: Path) -> None:
    """Nothing is told of the room any more but that we have left it."""
    async with DailyLink(tmp_path) as worker:
        await worker.join()
        worker.cloud.steer("eject")
        (failed,) = await worker.wait(link.Failed)
        worker.cloud.steer("event", method="on_app_message", args=[{}, REPLICA])
        worker.send(link.Send(1, 1, message()), link.Leave(1))
        await worker.wait(link.Left)

    assert failed.again
    assert [] == worker.of(link.Said)


async def test_who_is_put_out_learns_no_more_of_what_was_said(tmp_path: Path) -> None:
    """What is unanswered then may have arrived; what comes later certainly does not."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(messages={"conversation.echo": [None, "unconfirmed", "unconfirmed"]})
        await worker.join()
        worker.send(*(link.Send(1, number, message()) for number in (1, 2, 3)))
        await worker.wait(link.Sent)
        worker.cloud.steer("eject")
        await worker.wait(link.Failed)
        worker.send(link.Send(1, 4, message()))
        (refused,) = await worker.wait(link.Refused)

    assert [
        link.Sent(1, 1),
        link.Unanswered(1, 2),
        link.Unanswered(1, 3),
        *worker.of(link.Failed),
        refused,
    ] == worker.reports[2:]
    assert (4, False) == (refused.number, refused.too_large)


async def test_callbacks_from_many_threads_and_after_the_end(tmp_path: Path) -> None:
    """All arrive while we are in the room, and none once it was left."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(
            after_leave=[["on_app_message", {}, REPLICA], ["on_participant_joined", card()]]
        )
        await worker.join()
        worker.cloud.steer("event", method="on_app_message", args=[{"a": 1}, REPLICA], threads=8)
        await worker.wait(link.Said, 8)
        worker.send(link.Leave(1))
        await worker.wait(link.Left)
        worker.send(link.Ping())
        await worker.wait(link.Pong)

    assert [link.Said(1, '{"a":1}')] * 8 == worker.of(link.Said)
    assert [] == worker.of(link.Came)


@pytest.mark.parametrize("name", ["leave", "remove_custom_audio_track"])
async def test_a_farewell_that_is_never_answered_is_not_waited_for(
    tmp_path: Path, name: str
) -> None:
    """Our own deadline ends it, and the client is let go of all the same."""
    async with DailyLink(tmp_path) as worker:
        worker.cloud.faults(request_errors={name: "never"})
        await worker.join(track=True)
        worker.send(link.Leave(1))
        await worker.wait(link.Left)
        released = worker.cloud.log("released")

    assert 1 == len(released)
