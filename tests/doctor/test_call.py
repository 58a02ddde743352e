from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from app.doctor.call import Call
from app.doctor.experiment import LiveFailed
from tests.support.call import SESSION, done, started, stopped
from tests.support.clock import FakeClock, settle
from tests.support.world import S

Answer = Callable[[httpx.Request], httpx.Response]


class FakeSocket:
    """A stream: keeps what is sent, gives what is put in, and can be lost."""

    def __init__(self) -> None:
        self.sent: list[str | bytes] = []
        self.inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self.is_lost = False

    async def send(self, data: str | bytes) -> None:
        """Keep it."""
        if self.is_lost:
            raise ConnectionClosedError(None, None)
        self.sent.append(data)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (text := await self.inbox.get()) is not None:
            yield text
        if self.is_lost:
            raise ConnectionClosedError(None, None)


class Stage:
    """A call with both its ends in hand."""

    def __init__(self, answer: Answer = lambda _: httpx.Response(202)) -> None:
        self.clock = FakeClock()
        self.requests: list[httpx.Request] = []
        self.socket = FakeSocket()
        self._answer = answer
        http = httpx.AsyncClient(
            transport=httpx.MockTransport(self._handle), base_url="http://bridge.test"
        )
        self.call = Call(SESSION, http, cast("ClientConnection", self.socket), self.clock)

    def tell(self, *messages: dict[str, Any]) -> None:
        """Let the service say something."""
        for message in messages:
            self.socket.inbox.put_nowait(json.dumps(message))

    def lose(self) -> None:
        """Let the stream break."""
        self.socket.is_lost = True
        self.socket.inbox.put_nowait(None)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)


async def test_what_is_told_is_kept_in_order() -> None:
    """Each message has its place and its time, and Tavus's words are understood."""
    stage = Stage()
    reading = asyncio.ensure_future(stage.call.read())
    stage.tell({"type": "hello"}, started(as_text=True), stopped())
    await settle()
    stage.lose()
    await reading
    hello, start, stop = stage.call.told

    assert [0, 1, 2] == [told.number for told in stage.call.told]
    assert hello.event is None
    assert [start.event, stop.event] == [event for _, event in stage.call.speaking(0)]
    assert [stop.message["event"]] == [raw for raw, _ in stage.call.speaking(2)]
    assert "the stream was lost" == stage.call.end()


async def test_waiting_ends_with_the_message_or_with_the_time() -> None:
    """What came before counts unless it is looked for later on."""
    stage = Stage()
    stage.call.take({"type": "session.ready"})
    early = await stage.call.until_type("session.ready", 1)
    late = asyncio.ensure_future(stage.call.until_started(5, since=1))
    never = asyncio.ensure_future(stage.call.until_stopped(5, since=1))
    await settle()
    stage.call.take(started())
    await stage.clock.run(5 * S)

    assert early is not None
    assert early == await stage.call.until_ready()
    assert stage.call.told[1] == await late
    assert await never is None


async def test_waiting_ends_with_the_stream() -> None:
    """Nobody waits for what cannot come."""
    stage = Stage()
    waiting = asyncio.ensure_future(stage.call.until_ready())
    reading = asyncio.ensure_future(stage.call.read())
    stage.tell({"type": "session.ended", "reason": "replica_timeout", "detail": "never came"})
    stage.lose()

    with pytest.raises(LiveFailed, match=r"become ready: replica_timeout \(never came\)"):
        await waiting
    await reading


async def test_speech_is_one_utterance() -> None:
    """It is named, cut into messages of a size, and closed."""
    stage = Stage()
    await stage.call.speak("u1", bytes(40_000))
    opening, *packets, closing = stage.socket.sent

    assert ("utterance.start", "u1") == (
        json.loads(opening)["type"],
        json.loads(opening)["utterance_id"],
    )
    assert [16_384, 16_384, 7232] == list(map(len, packets))
    assert {"type": "utterance.end", "utterance_id": "u1"} == json.loads(closing)


async def test_speech_into_a_lost_stream_fails() -> None:
    """The experiment learns why."""
    stage = Stage()
    stage.lose()

    with pytest.raises(LiveFailed, match="the stream was closed"):
        await stage.call.speak("u1", bytes(2))


async def test_what_became_of_speech_is_waited_for() -> None:
    """That of the right utterance, and not for ever."""
    stage = Stage()
    stage.call.take(done("other"))
    stage.call.take(done("u1"))
    never = asyncio.ensure_future(stage.call.done("u2", 5))
    await stage.clock.run(5 * S)

    assert "u1" == (await stage.call.done("u1", 5))["utterance_id"]
    with pytest.raises(LiveFailed, match="the session goes on"):
        await never


async def test_text_and_interrupts_go_over_http() -> None:
    """A text echo has the id that we chose."""
    stage = Stage()
    await stage.call.say("mine", "Hello")
    asked = await stage.call.interrupt()
    said, cut = stage.requests

    assert "/sessions/sess_1/messages" == said.url.path
    assert {
        "event_type": "conversation.echo",
        "properties": {"modality": "text", "text": "Hello", "inference_id": "mine", "done": True},
    } == json.loads(said.content)
    assert "/sessions/sess_1/interrupt" == cut.url.path
    assert stage.clock.now() == asked


def silent(_: httpx.Request) -> httpx.Response:
    """Never answer."""
    raise httpx.ReadTimeout("slow")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (silent, "the service does not answer: ReadTimeout"),
        (lambda _: httpx.Response(409, text="session_over"), "the service refused: session_over"),
    ],
)
async def test_refusal_fails_the_experiment(answer: Answer, line: str) -> None:
    """In the service's own words."""
    with pytest.raises(LiveFailed, match=line):
        await Stage(answer).call.interrupt()


async def test_rest_is_time_that_passes() -> None:
    """In the clock's own time."""
    stage = Stage()
    resting = asyncio.ensure_future(stage.call.rest(2))
    await stage.clock.run(2 * S - 1)
    assert not resting.done()
    await stage.clock.run(1)

    assert resting.done()
