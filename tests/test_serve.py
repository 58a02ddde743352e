from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.edge import listen
from app.runtime.journal import Journal
from app.serve import run, serve
from app.settings import Settings
from tests.support.edge import settings_with
from tests.support.fake_service import FakeService


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A free port, a folder of its own, and no sandbox."""
    return settings_with(port=0, tavus_base_url="http://127.0.0.1:9/v2", data_dir=tmp_path)


@pytest.fixture(autouse=True)
def _all_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def address(caplog: pytest.LogCaptureFixture) -> str:
    """Return ``host:port`` once the log says where the service listens."""
    while True:
        for record in caplog.records:
            if record.getMessage().startswith("listening on http://"):
                return record.getMessage().removeprefix("listening on http://")
        await asyncio.sleep(0.001)


@asynccontextmanager
async def served(service: FakeService, settings: Settings) -> AsyncIterator[asyncio.Task[int]]:
    """Run ``serve`` until its application has started; its exit code is the task's result."""
    task = asyncio.create_task(serve(settings, service.create_app))
    try:
        await service.started.wait()
        yield task
    finally:
        service.registry.go.set()
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_first_signal_drains_before_the_server_stops(
    number: signal.Signals, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A signal refuses new sessions and ends the running ones while HTTP still answers; exit 0."""
    service = FakeService()
    async with served(service, settings) as task, httpx.AsyncClient(trust_env=False) as http:
        at = await address(caplog)
        async with connect(f"ws://{at}/stream", proxy=None) as stream:
            assert (await http.get(f"http://{at}/draining")).json() is False

            os.kill(os.getpid(), number)
            await service.registry.asked.wait()
            assert (await http.get(f"http://{at}/draining")).json() is True
            assert not task.done()

            service.registry.go.set()
            with pytest.raises(ConnectionClosed) as closed:
                await stream.recv()
        code = await task

    assert 0 == code
    assert closed.value.rcvd is not None
    assert 4503 == closed.value.rcvd.code
    assert [settings.drain_s] == service.registry.graces
    assert ["opened", "closed"] == service.life


async def test_second_signal_does_not_wait_for_the_drain(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Who signals twice is not kept waiting, but every client is told the end; exit 0."""
    service = FakeService()
    async with served(service, settings) as task:
        at = await address(caplog)
        async with connect(f"ws://{at}/stream", proxy=None) as stream:
            os.kill(os.getpid(), signal.SIGTERM)
            await service.registry.asked.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await stream.recv()

        assert 0 == await task

    assert closed.value.rcvd is not None
    assert 4503 == closed.value.rcvd.code
    assert [settings.drain_s, 0.0] == service.registry.graces
    assert ["opened", "closed"] == service.life


async def test_failing_drain_does_not_keep_the_server(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """When ending the sessions fails, that is logged and the server stops all the same."""
    service = FakeService(cannot_drain=True)
    async with served(service, settings) as task:
        await address(caplog)
        os.kill(os.getpid(), signal.SIGTERM)

        assert 0 == await task

    assert "task 'drain' failed" in caplog.text


async def test_application_that_cannot_start_exits_1(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A lifespan that raises ends the start with its reason in the log and exit code 1."""
    code = await serve(settings, FakeService(cannot_start=True).create_app)

    assert 1 == code
    assert "cannot start" in caplog.text


async def test_taken_port_exits_1_before_anything_starts(caplog: pytest.LogCaptureFixture) -> None:
    """A port in use is one line and exit code 1, before the application is built."""
    service = FakeService()
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        code = await serve(settings_with(port=port), service.create_app)

    assert 1 == code
    assert 1 == len(caplog.records)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use\n" in caplog.text
    assert service.settings is None


async def test_folder_in_use_exits_1_before_anything_starts(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A second process on the same folder is one line and exit code 1; the first goes on."""
    service = FakeService()
    with Journal.open(settings.data_dir):
        code = await serve(settings, service.create_app)

    assert 1 == code
    (line,) = caplog.messages
    assert line.startswith(f"BRIDGE_DATA_DIR {settings.data_dir} is in use by another process")
    assert [None] == [record.exc_info for record in caplog.records]
    assert service.settings is None


async def test_sandbox_room_gets_its_child(tmp_path: Path) -> None:
    """In room ``sandbox`` the application is told where its own sandbox answers."""
    service = FakeService()
    async with (
        served(service, settings_with(port=0, data_dir=tmp_path)),
        httpx.AsyncClient(trust_env=False) as http,
    ):
        assert service.settings is not None
        base_url = service.settings.tavus_base_url
        assert base_url is not None
        answer = await http.get(f"{base_url}/replicas", headers={"x-api-key": "any"})

    assert 200 == answer.status_code
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", httpx.URL(base_url).port or 0))


def test_run_serves_until_a_signal(settings: Settings) -> None:
    """``run`` brings its own event loop and returns the exit code, also for an early signal."""
    service = FakeService(one_shot=True)
    service.registry.go.set()

    assert 0 == run(settings, service.create_app)
    assert ["opened", "closed"] == service.life
