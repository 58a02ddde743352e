from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import httpx
import pytest

from app.errors import CannotStart
from app.main import create_app
from app.runtime.journal import Intent, Journal
from app.serve import run
from app.settings import RoomKind, Settings
from tests.support.clock import settle
from tests.support.processes import children
from tests.support.streams import ORIGIN, new_session, served
from tests.support.world import S, World

DAILY = Settings(_env_file=None, room=RoomKind.DAILY, tavus_api_key="secret-key", port=0)


@pytest.fixture
def _no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on a machine for which the SDK does not exist."""
    monkeypatch.setitem(sys.modules, "daily", None)


@pytest.mark.usefixtures("_no_sdk")
def test_daily_rooms_need_the_sdk() -> None:
    """What is missing is said when the service starts, not when the first session does."""
    with pytest.raises(CannotStart, match="BRIDGE_ROOM=sandbox runs without it"):
        create_app(DAILY)


async def test_daily_rooms_need_no_worker_before_there_is_one() -> None:
    """The service starts and ends without having started any."""
    world = World(room="daily", rooms_per_worker=2, track_auto_silence=True)
    app = create_app(world.settings, clock=world.clock, http=world.http)
    async with app.router.lifespan_context(app):
        processes = children(os.getpid())

    assert [] == processes


@pytest.mark.usefixtures("_no_sdk")
def test_serve_says_in_one_line_why_it_cannot_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The exit code is 1, and the log has one line without a traceback."""
    caplog.set_level(logging.INFO)

    assert 1 == run(DAILY.model_copy(update={"data_dir": tmp_path}), create_app)
    assert [True] == ["daily-python is not installed" in line for line in caplog.messages]
    assert [None] == [record.exc_info for record in caplog.records]


async def test_lifespan_makes_and_closes_everything() -> None:
    """While it runs sessions can be made; at its end they are ended at Tavus, tasks and all."""
    world = World()
    async with served(world) as app:
        runner = await new_session(app)
        active = world.tavus.active()
        closed = world.http.is_closed

    assert ["c000001"] == active
    assert "drained" == runner.view().end_reason
    assert [] == world.tavus.active()
    assert not closed
    assert world.http.is_closed
    assert 0 == world.clock.waiting


async def test_routes_are_all_there() -> None:
    """HTTP answers beside the stream, with the sessions of the same registry."""
    world = World()
    async with (
        served(world) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as http,
    ):
        made = await http.post("/sessions", json={"persona_id": "p1", "replica_id": "r1"})
        session_id = made.json()["id"]
        await settle()
        seen = await http.get(f"/sessions/{session_id}")
        cut = await http.post(f"/sessions/{session_id}/interrupt")
        gone = await http.delete(f"/sessions/{session_id}")
        again = await http.delete(f"/sessions/{session_id}")
        refused = await http.post(f"/sessions/{session_id}/interrupt")

    assert (201, "starting") == (made.status_code, made.json()["status"])
    assert (200, "ready") == (seen.status_code, seen.json()["status"])
    assert (200, 1) == (cut.status_code, cut.json()["epoch"])
    assert [204, 204] == [gone.status_code, again.status_code]
    assert (409, "session_over") == (refused.status_code, refused.json()["code"])


async def test_http_keeps_a_session_alive() -> None:
    """Every HTTP call but GET counts as activity."""
    world = World()
    async with (
        served(world) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as http,
    ):
        kept, left = (
            await new_session(app, idle_timeout_s=20.0),
            await new_session(app, idle_timeout_s=20.0),
        )
        await world.clock.run(15 * S)
        await http.post(f"/sessions/{kept.session_id}/interrupt")
        await http.get(f"/sessions/{left.session_id}")
        await world.clock.run(5 * S)

        assert not kept.over
        assert "idle" == left.view().end_reason


async def test_event_loop_is_watched() -> None:
    """The delay of the event loop is measured as long as the application runs."""
    world = World()
    async with served(world) as app:
        await world.clock.run(1 * S)

        assert b"avatar_bridge_event_loop_delay_seconds_count 4.0" in app.state.metrics.text()


async def test_conversations_of_a_killed_process_end() -> None:
    """What its journal says is ended at Tavus as soon as the application runs."""
    killed = World()
    intent = Intent("sess_1", "bridge", "sandbox", "Call [bridge/sess_1]")
    number = await killed.journal.intend(intent, killed.clock.wall_ms())
    await killed.journal.created(number, killed.tavus.put(intent.name))
    world = World(killed)
    async with served(world):
        await settle()
        active = world.tavus.active()

    assert [] == active
    await killed.close()


async def test_tavus_can_end_a_session() -> None:
    """What it posts to the address that it was given reaches the session; the journal closes."""
    world = World(public_url="https://bridge.example")
    async with (
        served(world) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as http,
    ):
        runner = await new_session(app)
        url = httpx.URL(world.tavus.conversations["c000001"]["callback_url"])
        answer = await http.post(
            url.path,
            json={
                "event_type": "system.shutdown",
                "conversation_id": "c000001",
                "properties": {"shutdown_reason": "max_call_duration"},
            },
        )
        await settle()

    assert 200 == answer.status_code
    assert "tavus_shutdown" == runner.view().end_reason
    assert [] == world.tavus.active()


async def test_folder_is_opened_where_nobody_did(tmp_path: Path) -> None:
    """Without a journal given, the application has one in its folder while it runs."""
    world = World(data_dir=tmp_path)
    app = create_app(world.settings, clock=world.clock, http=world.http, make_room=world.make_room)
    async with app.router.lifespan_context(app):
        with pytest.raises(CannotStart):
            Journal.open(tmp_path)

    Journal.open(tmp_path).close()
    world.journal.close()


async def test_account_is_looked_at_when_the_service_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A persona that cannot work is one warning with what to do, and costs nothing."""
    world = World(tavus_persona_id="p1", tavus_replica_id="r1")
    world.tavus.personas["p1"] = {"pipeline_mode": "full"}
    async with served(world):
        await settle()
    warnings = [line for line in caplog.messages if line.startswith("sessions may fail")]

    assert 1 == len(warnings)
    assert "persona: p1: its pipeline_mode is full" in warnings[0]
    assert "--create-persona" in warnings[0]
    assert [] == [request for request in world.tavus.requests if request[0] != "GET"]


async def test_account_in_order_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """The service starts in silence."""
    async with served(World()):
        await settle()

    assert [] == caplog.messages


async def test_start_does_not_wait_for_tavus() -> None:
    """A Tavus that never answers keeps neither the start nor the end waiting."""
    world = World()
    world.tavus.hold = asyncio.Event()
    async with served(world) as app:
        await settle()

        assert 1 == len(world.tavus.requests)
        assert not app.state.registry.draining
