from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from app.api.guard import MAX_BODY_BYTES
from tests.support.api import api_app, client
from tests.support.registry import FakeRegistry, FakeRunner
from tests.support.world import spec

PUBLIC = "https://bridge.example"
EVENT = {"event_type": "system.shutdown", "conversation_id": "c000001"}


@pytest.fixture
def runner() -> FakeRunner:
    """A session."""
    return FakeRunner("sess_1", spec())


@pytest.fixture
def app(runner: FakeRunner) -> FastAPI:
    """A service with one session and API keys."""
    registry = FakeRegistry(runners={"sess_1": runner})
    return api_app(registry, public_url=PUBLIC, api_keys="alice:key-a")


def path(app: FastAPI, session_id: str = "sess_1") -> str:
    """Where Tavus posts for a session."""
    url: str = app.state.callbacks.url(session_id)
    return url.removeprefix(PUBLIC)


async def test_callback_reaches_its_session(app: FastAPI, runner: FakeRunner) -> None:
    """From any host, without a key: the address is the secret."""
    async with client(app, host="bridge.example") as http:
        answer = await http.post(path(app), json=EVENT)

    assert 200 == answer.status_code
    assert [EVENT] == runner.callbacks


async def test_callback_needs_no_key_where_there_are_none(runner: FakeRunner) -> None:
    """A service for this machine only can be reached by Tavus through a tunnel."""
    app = api_app(FakeRegistry(runners={"sess_1": runner}), public_url=PUBLIC)
    async with client(app, host="bridge.example") as http:
        answer = await http.post(path(app), json=EVENT)
        other = await http.get("/sessions")

    assert (200, 403) == (answer.status_code, other.status_code)
    assert [EVENT] == runner.callbacks


@pytest.mark.parametrize(
    "change", [lambda p: p + "x", lambda p: p[:-1], lambda p: p.replace("sess_1", "sess_2")]
)
async def test_wrong_secret_is_nowhere(app: FastAPI, runner: FakeRunner, change: Any) -> None:
    """As if there were no such route."""
    async with client(app) as http:
        answer = await http.post(change(path(app)), json=EVENT)

    assert (404, "not_found") == (answer.status_code, answer.json()["code"])
    assert [] == runner.callbacks


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"null", b"[" * 100_000, b"\xff"])
async def test_nonsense_is_taken_calmly(app: FastAPI, body: bytes) -> None:
    """Tavus repeats nothing, so there is nothing to tell it."""
    async with client(app) as http:
        answer = await http.post(path(app), content=body)

    assert 200 == answer.status_code


async def test_callback_of_a_forgotten_session_is_taken(app: FastAPI) -> None:
    """Transcripts come long after the end, and after a restart."""
    async with client(app) as http:
        answer = await http.post(path(app, "sess_9"), json=EVENT)

    assert 200 == answer.status_code


async def test_only_posts_are_callbacks(app: FastAPI) -> None:
    """And nothing that is too large for one."""
    async with client(app) as http:
        looked = await http.get(path(app))
        large = await http.post(path(app), content=bytes(MAX_BODY_BYTES + 1))

    assert (405, 413) == (looked.status_code, large.status_code)
