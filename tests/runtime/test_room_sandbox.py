from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, TypeVar

import httpx
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from app import errors
from app.core.events import (
    AppMessageReceived,
    AudioConsumed,
    LinkInterrupted,
    LinkRestored,
    MessageFailed,
    ParticipantJoined,
    ParticipantLeft,
    RoomFact,
    RoomFailed,
    RoomJoined,
)
from app.core.media import Media
from app.core.pcm import Chunk
from app.core.spec import AudioPathName
from app.runtime.clock import Clock, SystemClock
from app.runtime.encoders import Encoders
from app.runtime.room import Room
from app.runtime.room_sandbox import CONFIRM_NS, OUTGOING, SandboxRoom, link_url
from app.runtime.tasks import Tasks
from tests.support.clock import FakeClock
from tests.support.sandbox import echo_message, kinds, running_sandbox

V2 = "/sandbox/v2"
PCM = bytes(range(1, 241)) * 4
"""20 ms."""
FRAME = Chunk(PCM, 480)

Fact = TypeVar("Fact")


class Guest:
    """A ``SandboxRoom`` and the facts it has reported."""

    def __init__(self, url: str, token: str | None = None, clock: Clock | None = None) -> None:
        self.facts: list[RoomFact] = []
        self.broken: list[BaseException] = []
        self._news = asyncio.Event()
        self.tasks = Tasks(lambda _, error: self.broken.append(error))
        self.media: list[Media] = []
        self.encoders = Encoders()
        self.room = SandboxRoom(
            url,
            token,
            "bridge",
            self._report,
            self.media.append,
            self.encoders,
            clock or SystemClock(),
            self.tasks,
        )

    def _report(self, fact: RoomFact) -> None:
        self.facts.append(fact)
        self._news.set()

    def of(self, kind: type[Fact]) -> list[Fact]:
        """The facts of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def until(self, kind: type[Fact], count: int = 1) -> list[Fact]:
        """Wait for so many facts of one kind."""
        await self.see(lambda: len(self.of(kind)) >= count)
        return self.of(kind)

    async def see(self, condition: Callable[[], bool]) -> None:
        """Wait until the facts are as they should be."""
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        """Leave; nothing may have broken."""
        await self.room.leave()
        await self.tasks.close()
        self.encoders.close()

        assert [] == self.broken


@pytest.fixture
async def tavus() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox that listens."""
    async with running_sandbox() as client:
        yield client


async def create(
    tavus: httpx.AsyncClient, faults: dict[str, Any] | None = None, **body: Any
) -> dict[str, Any]:
    """A conversation whose replica is there at once, unless faults say otherwise."""
    await tavus.put("/sandbox/faults", json={"replica_join_ms": 0, **(faults or {})})
    answer = await tavus.post(f"{V2}/conversations", json={"replica_id": "r1", **body})
    shown: dict[str, Any] = answer.json()
    return shown


async def room_log(tavus: httpx.AsyncClient, conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """The log of a conversation's room."""
    url = f"/sandbox/rooms/{conversation['conversation_id']}/log"
    log: list[dict[str, Any]] = (await tavus.get(url)).json()
    return log


async def test_joining_tells_who_is_there(tavus: httpx.AsyncClient) -> None:
    """The replica is known by its user id."""
    conversation = await create(tavus)
    guest = Guest(conversation["conversation_url"])

    room: Room = guest.room
    await room.join()
    (joined,) = await guest.until(RoomJoined)
    await room.ping()
    await guest.close()

    assert [True] == [participant.is_replica for participant in joined.participants]


async def test_a_private_room_is_joined_with_its_token(tavus: httpx.AsyncClient) -> None:
    """And not without."""
    conversation = await create(tavus, require_auth=True)
    stranger = Guest(conversation["conversation_url"])
    guest = Guest(conversation["conversation_url"], conversation["meeting_token"])

    await stranger.room.join()
    (failed,) = await stranger.until(RoomFailed)
    await guest.room.join()
    await guest.until(RoomJoined)
    await stranger.close()
    await guest.close()

    assert isinstance(failed.error, errors.RoomFailed)
    assert "401" in failed.error.detail


async def test_nobody_listens_at_the_address() -> None:
    """The failure is reported after the call, without the address, which holds a secret."""
    guest = Guest("http://127.0.0.1:1/sandbox/rooms/c1", "secret")

    await guest.room.join()
    early = list(guest.facts)
    (failed,) = await guest.until(RoomFailed)
    number = await guest.room.send_message("{}")
    ready = [guest.room.ready_for(path) for path in AudioPathName]
    begun = await guest.room.clear_audio(1)
    with pytest.raises(errors.RoomFailed):
        await guest.room.ping()
    await guest.close()

    assert [] == early
    assert "secret" not in failed.error.detail
    assert (0, [False, False], 0) == (number, ready, begun)


async def test_others_come_and_go(tavus: httpx.AsyncClient) -> None:
    """Their messages arrive as well."""
    conversation = await create(tavus, properties={"participant_left_timeout": 60})
    first, second = (Guest(conversation["conversation_url"]) for _ in range(2))

    await first.room.join()
    await second.room.join()
    await first.until(ParticipantJoined)
    await second.room.send_message('{"hello": 1}')
    (received,) = await first.until(AppMessageReceived)
    await second.close()
    await first.until(ParticipantLeft)
    await first.close()

    assert {"hello": 1} == received.message


async def test_echo_is_spoken(tavus: httpx.AsyncClient) -> None:
    """With its epoch and its silence in the room's log."""
    conversation = await create(tavus)
    guest = Guest(conversation["conversation_url"])

    await guest.room.join()
    numbers = []
    for number in range(5):
        await guest.see(lambda: guest.room.ready_for(AudioPathName.ECHO))
        echo = echo_message(PCM * 2, done=number == 4)
        numbers.append(guest.room.send_audio(echo, 3, 10 * (number == 4)))
    await guest.see(lambda: any("stopped" in str(fact) for fact in guest.facts))
    log = await room_log(tavus, conversation)
    await guest.close()

    assert [1, 2, 3, 4, 5] == numbers
    assert 4790 == sum(entry["samples"] for entry in kinds(log, "audio"))
    assert [10] == [entry["samples"] for entry in kinds(log, "silence")]
    assert {3} == {entry["epoch"] for entry in kinds(log, "audio", "silence", "played")}


async def test_a_refused_message_is_reported(tavus: httpx.AsyncClient) -> None:
    """By its number, as a definite no; the next one passes."""
    conversation = await create(tavus)
    guest = Guest(conversation["conversation_url"])

    await guest.room.join()
    number = await guest.room.send_message(json.dumps("x" * 5000))
    await guest.room.send_message("{}")
    (failed,) = await guest.until(MessageFailed)
    await guest.close()

    assert (number, True) == (failed.message_id, failed.definite)
    assert "4096" in failed.reason


async def test_messages_as_text_arrive_as_text(tavus: httpx.AsyncClient) -> None:
    """The session decodes them."""
    conversation = await create(tavus, {"preset": "hostile", "replica_join_ms": 50})
    guest = Guest(conversation["conversation_url"])

    await guest.room.join()
    received = await guest.until(AppMessageReceived)
    await guest.close()

    assert isinstance(received[0].message, str)


async def test_track_audio_is_paced_by_the_device(tavus: httpx.AsyncClient) -> None:
    """Never more than 40 ms are outstanding, and all is consumed."""
    conversation = await create(tavus)
    guest = Guest(conversation["conversation_url"])

    await guest.room.join()
    ahead = 0
    for number in range(1, 11):
        await guest.see(lambda: guest.room.ready_for(AudioPathName.TRACK))
        guest.room.write_audio(0, FRAME)
        ahead = max(ahead, number - len(guest.of(AudioConsumed)))
    consumed = await guest.until(AudioConsumed, 10)
    await guest.close()

    assert 2 == ahead
    assert [480] * 10 == [fact.samples for fact in consumed]


async def test_a_clear_abandons_and_counts(tavus: httpx.AsyncClient) -> None:
    """What has begun is counted, and the credit of what has not is given back."""
    conversation = await create(tavus)
    guest = Guest(conversation["conversation_url"])

    await guest.room.join()
    for _ in range(2):
        guest.room.write_audio(0, FRAME)
    begun = await guest.room.clear_audio(1)
    for _ in range(5):
        await guest.see(lambda: guest.room.ready_for(AudioPathName.TRACK))
        guest.room.write_audio(1, FRAME)
    await guest.until(AudioConsumed, begun // 480 + 5)
    again = await guest.room.clear_audio(2)
    log = await room_log(tavus, conversation)
    await guest.close()

    assert begun + 5 * 480 == again
    assert again == sum(entry["samples"] for entry in kinds(log, "audio"))


async def test_the_end_of_the_conversation_is_no_failure(tavus: httpx.AsyncClient) -> None:
    """Tavus says why; the link's end that follows is not reported."""
    conversation = await create(tavus)
    guest = Guest(conversation["conversation_url"])

    await guest.room.join()
    await tavus.post(f"{V2}/conversations/{conversation['conversation_id']}/end")
    await guest.see(lambda: any("system.shutdown" in str(fact) for fact in guest.facts))
    assert guest.room._reader is not None
    await guest.room._reader  # the link's end, which is reported to nobody
    await guest.close()

    assert [] == guest.of(RoomFailed)


async def test_the_signalling_breaks_and_comes_back(tavus: httpx.AsyncClient) -> None:
    """Both are reported."""
    conversation = await create(tavus, {"link_lost_after_ms": 0, "link_lost_ms": 20})
    guest = Guest(conversation["conversation_url"])

    await guest.room.join()
    await guest.until(LinkInterrupted)
    await guest.until(LinkRestored)
    await guest.close()


# --- a room that does not behave


class RudeRoom:
    """A server that says hello and then does what a test wants."""

    def __init__(self, hello: str = '{"op":"joined","id":"me","participants":[]}') -> None:
        self.hello = hello
        self.said: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.entered = asyncio.Event()
        self.connection: ServerConnection | None = None
        self.url = ""
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/sandbox/rooms/c1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def say(self, text: str) -> None:
        """Send something to the guest."""
        assert self.connection is not None
        await self.connection.send(text)

    async def _serve(self, connection: ServerConnection) -> None:
        self.connection = connection
        await connection.send(self.hello)
        self.entered.set()
        async for data in connection:
            await self.said.put(data)


async def test_a_lost_link_is_a_failure() -> None:
    """Who waits is freed; what comes later is refused."""
    async with RudeRoom() as rude:
        guest = Guest(rude.url)
        await guest.room.join()
        senders = [asyncio.ensure_future(guest.room.send_message("{}")) for _ in range(6)]
        for _ in range(4):
            await rude.said.get()
        assert rude.connection is not None
        rude.connection.transport.abort()
        (failed,) = await guest.until(RoomFailed)
        numbers = [await sender for sender in senders]
        with pytest.raises(errors.RoomFailed):
            await guest.room.ping()
        await guest.close()

    assert [1, 2, 3, 4, 0, 0] == numbers
    assert "lost" in failed.error.detail


async def test_a_closed_room_without_a_shutdown_is_a_failure() -> None:
    """Its reason is told."""
    async with RudeRoom('{"op":"ended","reason":"no reason"}') as rude:
        guest = Guest(rude.url)
        joining = asyncio.ensure_future(guest.room.join())
        await rude.entered.wait()
        assert rude.connection is not None
        await rude.connection.close()
        (failed,) = await guest.until(RoomFailed)
        await joining
        await guest.close()

    assert "no reason" in failed.error.detail


@pytest.mark.parametrize("junk", ["{", "[]", "{}", '{"op":"consumed","samples":480}'])
async def test_junk_from_the_room_is_a_failure(junk: str) -> None:
    """It ends the link instead of half working."""
    async with RudeRoom() as rude:
        guest = Guest(rude.url)
        await guest.room.join()
        await rude.say(junk)
        (failed,) = await guest.until(RoomFailed)
        await guest.close()

    assert "understood" in failed.error.detail


async def test_a_message_that_nests_too_deep_is_passed_over() -> None:
    """Anybody in the room can send one; what comes after it is read."""
    deep = '{"x":' * 5000 + "1" + "}" * 5000
    async with RudeRoom() as rude:
        guest = Guest(rude.url)
        await guest.room.join()
        await rude.say(f'{{"op":"message","message":{deep}}}')
        await rude.say('{"op":"message","message":{"event_type":"fine"}}')
        (received,) = await guest.until(AppMessageReceived)
        await guest.close()

    assert {"event_type": "fine"} == received.message


async def test_a_link_that_takes_nothing_is_given_up() -> None:
    """More than ever waits on a link that is alive ends it."""
    async with RudeRoom() as rude:
        guest = Guest(rude.url)
        await guest.room.join()
        clears = [guest.room.clear_audio(epoch) for epoch in range(OUTGOING + 1)]
        (failed,) = await guest.until(RoomFailed)
        await guest.close()

    assert [0] * len(clears) == [await clear for clear in clears]
    assert "lost" in failed.error.detail


async def test_only_four_messages_are_unconfirmed() -> None:
    """Audio is not asked for then, and the fifth waits, also while a clear does."""
    async with RudeRoom() as rude:
        guest = Guest(rude.url)
        await guest.room.join()
        first = [guest.room.send_audio("{}", 0, 0) for _ in range(4)]
        ready = guest.room.ready_for(AudioPathName.ECHO)
        plain = asyncio.ensure_future(guest.room.send_message("{}"))
        await asyncio.sleep(0)
        clearing = guest.room.clear_audio(1)
        await asyncio.sleep(0)
        waiting = not plain.done()
        await rude.say('{"op":"sent","id":1}')
        number = await plain
        await rude.say('{"op":"cleared","epoch":1,"samples":0}')
        assert 0 == await clearing
        await guest.close()

    assert [1, 2, 3, 4] == first
    assert not ready
    assert waiting
    assert 5 == number


async def test_an_unconfirmed_message_is_given_up() -> None:
    """Its fate is unknown; its credit is free, and a late word changes nothing."""
    clock = FakeClock()
    async with RudeRoom() as rude:
        guest = Guest(rude.url, clock=clock)
        await guest.room.join()
        number = await guest.room.send_message("{}")
        clock.advance(CONFIRM_NS - 1)
        early = guest.of(MessageFailed)
        clock.advance(1)
        (failed,) = await guest.until(MessageFailed)
        await rude.say(json.dumps({"op": "refused", "id": number, "reason": "late"}))
        await rude.say('{"op":"restored"}')
        await guest.until(LinkRestored)
        await guest.close()

    assert [] == early
    assert (number, False) == (failed.message_id, failed.definite)
    assert 1 == len(guest.of(MessageFailed))
    assert 0 == clock.waiting


async def test_nothing_is_reported_after_leaving() -> None:
    """Leaving is possible twice, also while a clear waits."""
    async with RudeRoom() as rude:
        guest = Guest(rude.url)
        await guest.room.join()
        clearing = guest.room.clear_audio(1)
        leaving = asyncio.ensure_future(guest.room.leave())
        await asyncio.sleep(0)
        facts = list(guest.facts)
        await leaving
        await guest.room.leave()
        assert 0 == await clearing
        await guest.close()

    assert facts == guest.facts


async def test_leaving_while_joining_leaves_nothing_behind() -> None:
    """The connection that still comes is dropped."""
    async with RudeRoom() as rude:
        guest = Guest(rude.url)
        joining = asyncio.ensure_future(guest.room.join())
        await asyncio.sleep(0)
        await guest.room.leave()
        await joining
        await guest.close()

    assert [] == guest.facts


@pytest.mark.parametrize(
    ("url", "token", "link"),
    [
        ("http://h:1/sandbox/rooms/c1", None, "ws://h:1/sandbox/rooms/c1/link?name=n"),
        ("https://h/sandbox/rooms/c1/", "a+b", "wss://h/sandbox/rooms/c1/link?name=n&token=a%2Bb"),
    ],
)
def test_the_link_is_beside_the_room(url: str, token: str | None, link: str) -> None:
    """WebSocket for HTTP, TLS where the room has it."""
    assert link == link_url(url, token, "n")
