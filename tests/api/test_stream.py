from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx_ws import WebSocketDisconnect, WebSocketUpgradeError
from starlette.types import Message

from app import edge
from app.core.roles import Role
from app.core.tokens import MAX_SPENT
from app.core.wire_out import PROTOCOL
from app.runtime.bus import MAX_WAITING
from app.runtime.connection import HEARTBEAT_MS, MAX_MESSAGE_BYTES
from tests.support.clock import settle
from tests.support.streams import RawSocket, new_session, opened, served
from tests.support.world import S, World

KEYS = {"api_keys": "main:secret"}
CHUNK = bytes(4800)


@pytest.fixture
def world() -> World:
    """What the application lives in."""
    return World()


@pytest.fixture
async def app(world: World) -> AsyncIterator[FastAPI]:
    """The application without API keys."""
    async with served(world) as made:
        yield made


@pytest.fixture
async def guarded() -> AsyncIterator[FastAPI]:
    """The application with an API key."""
    async with served(World(**KEYS)) as made:
        yield made


def problem(refused: WebSocketUpgradeError) -> tuple[int, str]:
    """Status and code of a refusal."""
    return refused.response.status_code, refused.response.json()["code"]


async def refusal(app: FastAPI, session_id: str, *args: Any, **kwargs: Any) -> tuple[int, str]:
    """Be refused before the upgrade; httpx-ws raises it from inside its task groups."""
    try:
        async with opened(app, session_id, *args, **kwargs):
            raise AssertionError("this stream must be refused")
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, WebSocketUpgradeError):
            return problem(error)
        raise
    except WebSocketUpgradeError as error:
        return problem(error)


# --- who may come in


async def test_connect_and_send(world: World, app: FastAPI) -> None:
    """A client that only connects and sends is heard, and told what became of it."""
    runner = await new_session(app)
    async with opened(app, runner.session_id, "?sample_rate=48000") as stream:
        await stream.socket.send_bytes(CHUNK)
        await stream.until("audio.ack")
        await stream.socket.send_text('{"type":"utterance.end"}')
        await settle()
        await world.clock.run(5 * S)
        done = await stream.until("utterance.done")

    assert ["hello", "session.ready", "utterance.opened", "audio.ack"] == [
        message["type"] for message in stream.told[:4]
    ]
    assert 48_000 == stream.told[0]["format"]["sample_rate"]
    assert ("played", 50) == (done["status"], done["played_ms"])
    assert world.room.audio


@pytest.mark.parametrize(
    ("session_id", "query", "subprotocols", "expected"),
    [
        ("sess_unknown", "", None, (404, "session_not_found")),
        (None, "?sample_rate=1", None, (400, "unsupported_format")),
        (None, "?encoding=mp3", None, (400, "unsupported_format")),
        (None, "?seq=-1", None, (400, "bad_message")),
        (None, "?progress_ms=1e3", None, (400, "bad_message")),
        (None, f"?seq={'9' * 13}", None, (400, "bad_message")),
        (None, "", ["chat"], (400, "bad_message")),
    ],
)
async def test_refused_before_the_upgrade(
    app: FastAPI,
    session_id: str | None,
    query: str,
    subprotocols: list[str] | None,
    expected: tuple[int, str],
) -> None:
    """What is wrong with a handshake is a problem with its status and code."""
    runner = await new_session(app)

    assert expected == await refusal(app, session_id or runner.session_id, query, subprotocols)


async def test_ended_session_refuses(app: FastAPI) -> None:
    """A session that is over has no stream."""
    runner = await new_session(app)
    await runner.stop("deleted")

    assert (409, "session_over") == await refusal(app, runner.session_id)


async def test_draining_service_refuses(app: FastAPI) -> None:
    """A service that shuts down takes no new streams."""
    runner = await new_session(app)
    app.state.registry.draining = True

    assert (503, "draining") == await refusal(app, runner.session_id)


async def test_key_is_needed(guarded: FastAPI) -> None:
    """With keys configured nobody comes in without one, nor learns what sessions there are."""
    runner = await new_session(guarded)
    wrong = {"authorization": "Bearer wrong"}

    assert (401, "unauthorized") == await refusal(guarded, runner.session_id)
    assert (401, "unauthorized") == await refusal(guarded, runner.session_id, **wrong)
    assert (401, "unauthorized") == await refusal(guarded, runner.session_id, "?resume=x")
    assert (401, "unauthorized") == await refusal(guarded, "sess_unknown", "?resume=x")
    async with opened(guarded, runner.session_id, authorization="Bearer secret") as stream:
        assert "hello" == (await stream.next())["type"]


async def test_browser_shows_its_key_as_a_subprotocol(guarded: FastAPI) -> None:
    """The credential rides beside the protocol, which alone is selected."""
    runner = await new_session(guarded)
    offered = [PROTOCOL, "bearer.secret"]
    async with opened(guarded, runner.session_id, "", offered) as stream:
        hello = await stream.next()

    assert PROTOCOL == stream.socket.subprotocol
    assert "hello" == hello["type"]


async def test_browser_is_refused_by_a_close_code(guarded: FastAPI) -> None:
    """A browser cannot read a status: it is let in and closed with the code that means the same."""
    runner = await new_session(guarded)
    for session_id, key, code in [
        (runner.session_id, "wrong", 4401),
        ("sess_unknown", "secret", 4404),
    ]:
        async with opened(guarded, session_id, "", [PROTOCOL, f"bearer.{key}"]) as stream:
            with pytest.raises(WebSocketDisconnect) as closed:
                await stream.next()

        assert code == closed.value.code


async def test_subprotocol_is_optional(app: FastAPI) -> None:
    """Who offers none gets none."""
    runner = await new_session(app)
    async with opened(app, runner.session_id) as stream:
        await stream.next()

    assert stream.socket.subprotocol is None


async def test_resume_token_is_credential_enough(guarded: FastAPI) -> None:
    """A lost client comes back with its token alone, once."""
    runner = await new_session(guarded)
    async with opened(guarded, runner.session_id, authorization="Bearer secret") as stream:
        token = (await stream.next())["resume_token"]
    async with opened(guarded, runner.session_id, f"?resume={token}") as stream:
        hello = await stream.next()

    assert hello["resumed"]
    assert (401, "unauthorized") == await refusal(guarded, runner.session_id, f"?resume={token}")


# --- session tokens and roles


def mint(app: FastAPI, role: Role, session_id: str) -> str:
    """Make a session token."""
    token, _ = app.state.issuer.issue(session_id, role, 60)
    assert isinstance(token, str)
    return token


@pytest.mark.parametrize("place", ["header", "subprotocol", "query"])
@pytest.mark.parametrize("role", Role)
async def test_token_opens_one_stream_in_its_role(guarded: FastAPI, role: Role, place: str) -> None:
    """Wherever it stands it lets in, once."""
    runner = await new_session(guarded)
    token = mint(guarded, role, runner.session_id)
    headers, query, offered = shown(token, place)
    async with opened(guarded, runner.session_id, query, offered, **headers) as stream:
        hello = await stream.next()

    assert role.value == hello["role"]
    assert token not in str(stream.told)
    if place == "subprotocol":
        async with opened(guarded, runner.session_id, query, offered, **headers) as again:
            assert 4401 == await again.closed()
        assert [] == again.told
    else:
        assert (401, "unauthorized") == await refusal(
            guarded, runner.session_id, query, offered, **headers
        )


def shown(token: str, place: str) -> tuple[dict[str, str], str, list[str] | None]:
    """Headers, query and subprotocols with the token in its place."""
    return (
        {"authorization": f"Bearer {token}"} if place == "header" else {},
        f"?token={token}" if place == "query" else "",
        [PROTOCOL, f"bearer.{token}"] if place == "subprotocol" else None,
    )


async def test_token_is_spent_only_by_a_stream(guarded: FastAPI) -> None:
    """A handshake that is refused for another reason may be put right and tried again."""
    runner = await new_session(guarded)
    token = mint(guarded, Role.PRODUCE, runner.session_id)

    assert (400, "unsupported_format") == await refusal(
        guarded, runner.session_id, f"?token={token}&encoding=mp3"
    )
    async with opened(guarded, runner.session_id, f"?token={token}") as stream:
        assert "hello" == (await stream.next())["type"]


async def test_token_for_another_session(guarded: FastAPI) -> None:
    """It is refused alike whether there is such a session or not."""
    runner = await new_session(guarded)
    token = mint(guarded, Role.PRODUCE, "sess_other")

    assert (403, "forbidden") == await refusal(guarded, runner.session_id, f"?token={token}")
    assert (403, "forbidden") == await refusal(guarded, "sess_unknown", f"?token={token}")


async def test_token_that_has_expired(world: World) -> None:
    """The time of the service counts."""
    world = World(**KEYS)
    async with served(world) as app:
        runner = await new_session(app)
        token = mint(app, Role.PRODUCE, runner.session_id)
        await world.clock.run(60 * S)

        assert (401, "unauthorized") == await refusal(app, runner.session_id, f"?token={token}")


async def test_api_key_is_for_no_address(guarded: FastAPI) -> None:
    """It would end up in the logs of every proxy."""
    runner = await new_session(guarded)

    assert (401, "unauthorized") == await refusal(guarded, runner.session_id, "?token=secret")


@pytest.mark.parametrize("role", Role)
async def test_api_key_may_ask_for_less(guarded: FastAPI, role: Role) -> None:
    """A backend that only listens takes nobody's place."""
    runner = await new_session(guarded)
    async with opened(
        guarded, runner.session_id, f"?role={role}", authorization="Bearer secret"
    ) as stream:
        assert role.value == (await stream.next())["role"]

    assert (400, "bad_message") == await refusal(
        guarded, runner.session_id, "?role=king", authorization="Bearer secret"
    )


async def test_token_may_ask_for_less_but_not_for_more(guarded: FastAPI) -> None:
    """What was asked for and refused costs nothing."""
    runner = await new_session(guarded)
    token = mint(guarded, Role.CONTROL, runner.session_id)

    assert (403, "forbidden") == await refusal(
        guarded, runner.session_id, f"?role=produce&token={token}"
    )
    async with opened(guarded, runner.session_id, f"?role=observe&token={token}") as stream:
        assert "observe" == (await stream.next())["role"]


async def test_without_keys_a_token_has_its_role(app: FastAPI) -> None:
    """A page that is tried out on this machine does what it will do elsewhere."""
    runner = await new_session(app)
    token = mint(app, Role.OBSERVE, runner.session_id)
    async with opened(app, runner.session_id, f"?token={token}") as stream:
        assert "observe" == (await stream.next())["role"]

    assert (401, "unauthorized") == await refusal(app, runner.session_id, f"?token={token}")
    assert (401, "unauthorized") == await refusal(app, runner.session_id, "?token=nonsense")


async def test_resume_keeps_the_role(guarded: FastAPI) -> None:
    """Whoever comes back has the role it had, whatever else it shows, and needs nothing else."""
    runner = await new_session(guarded)
    spent = mint(guarded, Role.OBSERVE, runner.session_id)
    first = RawSocket(guarded, runner.session_id, f"token={spent}")
    serving = asyncio.create_task(first.run())
    await settle()
    first.end(1006)
    await serving
    resume = first.texts[0]["resume_token"]
    async with opened(
        guarded,
        runner.session_id,
        f"?token={spent}&resume={resume}&role=produce",
        authorization="Bearer secret",
    ) as stream:
        hello = await stream.next()

    assert (True, "observe") == (hello["resumed"], hello["role"])
    assert (401, "unauthorized") == await refusal(guarded, runner.session_id, f"?resume={resume}")


@pytest.mark.parametrize("settings", [KEYS, {}])
async def test_used_token_makes_nobody_the_producer(settings: dict[str, str]) -> None:
    """Who watched, and shows a token that is worth nothing now, watches; the producer speaks on.

    Who asks for its place gets it, if the key allows that.
    """
    async with served(World(**settings)) as app:
        runner = await new_session(app)
        speaker = mint(app, Role.PRODUCE, runner.session_id)
        producer = RawSocket(app, runner.session_id, f"token={speaker}")
        serving = asyncio.create_task(producer.run())
        await settle()
        key = {"authorization": "Bearer secret"} if settings else {}
        async with opened(app, runner.session_id, "?role=observe", None, **key) as stream:
            used = (await stream.next())["resume_token"]
        told = []
        for query in (f"?resume={used}", f"?resume={used}&role=produce"):
            closed_with = producer.close_code
            async with opened(app, runner.session_id, query, None, **key) as stream:
                hello = await stream.next()
                error = await stream.until("error")
            told.append((closed_with, hello["resumed"], hello["role"], error["code"]))
        await serving

        assert [
            (None, False, "observe", "resume_failed"),
            (None, False, "produce", "resume_failed"),
        ] == told
        assert 4409 == producer.close_code


@pytest.mark.parametrize(
    ("shown", "role"), [("secret", "produce"), ("control", "control"), ("observe", "observe")]
)
async def test_used_token_of_the_producer(guarded: FastAPI, shown: str, role: str) -> None:
    """Its holder begins anew as a producer where the credential allows it, else as what it does."""
    runner = await new_session(guarded)
    async with opened(guarded, runner.session_id, authorization="Bearer secret") as stream:
        used = (await stream.next())["resume_token"]
    async with opened(guarded, runner.session_id, f"?resume={used}"):
        pass
    bearer = shown if shown == "secret" else mint(guarded, Role(shown), runner.session_id)
    async with opened(
        guarded, runner.session_id, f"?resume={used}", authorization=f"Bearer {bearer}"
    ) as stream:
        hello = await stream.next()
        error = await stream.until("error")

    assert (False, role) == (hello["resumed"], hello["role"])
    assert "resume_failed" == error["code"]


async def test_too_many_spent_tokens(guarded: FastAPI) -> None:
    """Before one is forgotten that could be used again, none is taken."""
    runner = await new_session(guarded)
    for _ in range(MAX_SPENT):
        grant = guarded.state.issuer.check(mint(guarded, Role.OBSERVE, runner.session_id))
        runner.spent.spend(grant, runner.clock.wall_ms())
    token = mint(guarded, Role.OBSERVE, runner.session_id)

    assert (429, "rate_limited") == await refusal(guarded, runner.session_id, f"?token={token}")


# --- how it ends


async def test_end_of_the_session_is_told_then_closed(app: FastAPI) -> None:
    """``session.ended`` is the last message; the close code is 4410."""
    runner = await new_session(app)
    async with opened(app, runner.session_id) as stream:
        await stream.until("session.ready")
        await stream.socket.send_bytes(CHUNK)
        await stream.until("audio.ack")
        await runner.stop("deleted")
        code = await stream.closed()

    assert ["utterance.done", "session.ended"] == [m["type"] for m in stream.told[-2:]]
    assert 4410 == code


async def test_replaced_client_is_closed(app: FastAPI) -> None:
    """Two producers: the older is closed with 4409."""
    runner = await new_session(app)
    old = RawSocket(app, runner.session_id)
    serving = asyncio.create_task(old.run())
    await settle()
    async with opened(app, runner.session_id) as new:
        await new.next()
        await serving
        await new.socket.send_text('{"type":"ping"}')
        await new.until("pong")

    assert 4409 == old.close_code


async def test_flood_of_bad_messages_is_closed(app: FastAPI) -> None:
    """25 bad messages in a row close with 4400; each got its answer."""
    runner = await new_session(app)
    async with opened(app, runner.session_id) as stream:
        for _ in range(25):
            await stream.socket.send_text("?")
        code = await stream.closed()

    assert 25 == len([m for m in stream.told if m["type"] == "error"])
    assert 4400 == code


@pytest.mark.parametrize(("code", "stays_open"), [(1000, False), (1001, False), (1006, True)])
async def test_utterance_of_who_is_gone(app: FastAPI, code: int, stays_open: bool) -> None:
    """A close frame ends the open utterance at once; a lost connection leaves it open."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id)
    serving = asyncio.create_task(socket.run())
    socket.client_sends(CHUNK)
    await settle()
    socket.end(code)
    await serving

    assert stays_open == (runner.speaker.voice.open is not None)
    assert runner.speaker.teller.listener is None


@pytest.mark.parametrize(("code", "returns"), [(1000, False), (1001, True), (1006, True)])
async def test_page_that_is_loaded_anew_comes_back(app: FastAPI, code: int, returns: bool) -> None:
    """A browser closes with 1001 what watched in the page before; only 1000 is a farewell."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id, "role=observe")
    serving = asyncio.create_task(socket.run())
    await settle()
    hello = json.loads(socket.outbox[1]["text"])
    socket.end(code)
    await serving

    assert "observe" == hello["role"]
    assert returns == (runner.resumes(hello["resume_token"]) is not None)


async def test_who_takes_nothing_for_10_s_is_dropped(world: World, app: FastAPI) -> None:
    """A peer that does not read is aborted, and may come back: its utterance stays open."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id)
    serving = asyncio.create_task(socket.run())
    socket.client_sends('{"type":"utterance.start"}')
    await settle()
    socket.writable.clear()
    world.room.say("noise")
    await world.clock.run(10 * S - 1)
    early = socket.aborted
    await world.clock.run(1)
    await serving

    assert not early
    assert socket.aborted
    assert runner.speaker.voice.open is not None
    assert runner.speaker.teller.listener is None


async def test_who_lets_1000_events_wait_is_closed(world: World, app: FastAPI) -> None:
    """A peer that reads too slowly is told so, when it can be told at all."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id)
    serving = asyncio.create_task(socket.run())
    await settle()
    socket.writable.clear()
    for _ in range(3):
        world.room.say("noise")  # the first is in the writer's hands
    await world.clock.run(S)
    for _ in range(MAX_WAITING):
        world.room.say("noise")
    await settle()
    socket.writable.set()
    await serving

    assert 4508 == socket.close_code
    assert not socket.aborted


async def test_who_does_not_even_take_the_close_is_dropped(world: World, app: FastAPI) -> None:
    """The end of a session does not wait for who never reads."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id)
    serving = asyncio.create_task(socket.run())
    await settle()
    socket.writable.clear()
    await runner.stop("deleted")
    await world.clock.run(20 * S)
    await serving

    assert socket.aborted


async def test_lost_while_something_is_sent(world: World, app: FastAPI) -> None:
    """A connection that goes during a send ends quietly."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id)
    serving = asyncio.create_task(socket.run())
    await settle()
    socket.writable.clear()
    world.room.say("noise")
    await settle()
    socket.end(1006)
    await serving

    assert not socket.aborted
    assert socket.close_code is None


async def test_gone_before_it_was_accepted(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """A client that does not wait for the upgrade takes nobody's slot, and is no news."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id)
    socket.is_lost = True
    await socket.run()

    assert runner.speaker.producer.connection is None
    assert [] == caplog.messages


async def test_cancelled_handler_detaches(app: FastAPI) -> None:
    """A server that cancels its handlers leaves nobody attached."""
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id)
    serving = asyncio.create_task(socket.run())
    await settle()
    serving.cancel()
    await asyncio.wait({serving})

    assert serving.cancelled()
    assert runner.speaker.teller.listener is None
    assert runner.speaker.producer.connection is None


@pytest.mark.parametrize("where", ["reader", "writer", "progress"])
async def test_bug_of_ours_is_1011(
    world: World, app: FastAPI, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug closes the connection, is logged with its traceback and says nothing private."""
    caplog.set_level(logging.ERROR)
    runner = await new_session(app)
    socket = RawSocket(app, runner.session_id, "progress_ms=20")
    serving = asyncio.create_task(socket.run())
    await settle()

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("private")

    def fail_once(message: Message) -> None:
        if message["type"] == "websocket.send":
            fail()

    match where:
        case "reader":
            runner.speaker.voice.intake.admit = fail  # type: ignore[method-assign]
            socket.client_sends(CHUNK)
        case "writer":
            socket.is_quick = False
            socket.on_send = fail_once
            world.room.say("noise")
        case _:
            runner.speaker.voice.playback.progress = fail  # type: ignore[method-assign]
            await world.clock.run(S)
    await settle()
    await serving

    assert 1011 == socket.close_code
    assert "private" not in str(socket.outbox)
    assert "ValueError: private" in caplog.text
    assert not runner.over
    assert runner.speaker.teller.listener is None


async def test_streams_are_counted(app: FastAPI) -> None:
    """The gauge of open streams goes up and down."""
    runner = await new_session(app)
    async with opened(app, runner.session_id) as stream:
        await stream.next()
        during = app.state.metrics.text()
    await settle()

    assert b"avatar_bridge_stream_connections 1.0" in during
    assert b"avatar_bridge_stream_connections 0.0" in app.state.metrics.text()


async def test_shutdown_tells_every_client(world: World) -> None:
    """The lifespan's end ends every session: each client hears it and is closed with 4503."""
    async with served(world) as app:
        runner = await new_session(app)
        async with opened(app, runner.session_id) as stream:
            await stream.until("session.ready")
            await app.state.registry.drain(0.0)
            code = await stream.closed()

    assert ["server.draining", "session.ended"] == [
        m["type"] for m in stream.told if m["type"] in {"server.draining", "session.ended"}
    ]
    assert 4503 == code
    assert [] == world.tavus.active()


def test_edge_and_stream_mean_the_same() -> None:
    """The edge has the limits that are told here."""
    assert edge.MAX_MESSAGE_BYTES == MAX_MESSAGE_BYTES
    assert edge.PING_S * 1000 == HEARTBEAT_MS
