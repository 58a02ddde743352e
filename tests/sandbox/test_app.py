from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.sandbox.app import QueryFilter

CHILD = """
import socket, sys
from app.sandbox.app import run_sandbox
sock = socket.socket(fileno=int(sys.argv[1]))
run_sandbox(sock=sock, log_level="info", parent_pipe=sys.argv[2] == "pipe")
"""

EXIT_S = 10
"""Longer than a clean exit takes on any machine."""


@contextlib.asynccontextmanager
async def child(*, pipe: bool) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """The sandbox as a process of its own, serving; gone afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            str(sock.fileno()),
            "pipe" if pipe else "",
            stdin=PIPE,
            stderr=PIPE,
            pass_fds=[sock.fileno()],
        )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": "k"}, timeout=30
        ) as client:
            # The socket listened before the process was up, so this waits for it.
            assert 200 == (await client.get("/sandbox/faults")).status_code
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(number: signal.Signals) -> None:
    """Exit code 0, also with a conversation running."""
    async with child(pipe=False) as (process, client):
        await client.post("/sandbox/v2/conversations", json={"replica_id": "r1"})
        process.send_signal(number)
        _, errors = await asyncio.wait_for(process.communicate(), EXIT_S)

    assert 0 == process.returncode, errors.decode()
    assert b"Traceback" not in errors


async def test_it_dies_with_its_parent() -> None:
    """The parent's end closes the pipe, whatever it died of."""
    async with child(pipe=True) as (process, client):
        assert process.stdin is not None
        process.stdin.write(b"a parent may say something")
        await process.stdin.drain()
        assert 200 == (await client.get("/sandbox/faults")).status_code
        process.stdin.close()
        _, errors = await asyncio.wait_for(process.communicate(), EXIT_S)

    assert 0 == process.returncode, errors.decode()


async def test_a_refused_link_is_no_error() -> None:
    """Who asks for a room that is not there is told so; the log has nothing to complain about."""
    async with child(pipe=False) as (process, client):
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                f"ws://{client.base_url.netloc.decode()}/sandbox/rooms/c1/link", proxy=None
            )
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), EXIT_S)

    assert 404 == refused.value.response.status_code
    assert b"ERROR" not in errors


def test_queries_are_not_logged() -> None:
    """A meeting token in a path is cut off; other arguments stay."""
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, "%s %s %d", None, None)

    record.args = ("127.0.0.1:1", "/sandbox/rooms/c1/link?token=secret", 403)
    passed = QueryFilter().filter(record)
    bare = QueryFilter().filter(logging.LogRecord("x", logging.INFO, "", 0, "x", None, None))

    assert passed
    assert bare
    assert "127.0.0.1:1 /sandbox/rooms/c1/link 403" == record.getMessage()
