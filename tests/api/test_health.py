"""Alive, ready, and counted."""

from __future__ import annotations

import httpx
import pytest

from tests.support.api import api_app, client
from tests.support.registry import FakeRegistry
from tests.support.tavus import FakeTavus


async def test_alive_and_ready_are_two_questions() -> None:
    """A service that shuts down still lives, but takes no sessions."""
    registry = FakeRegistry(draining=True)
    async with client(api_app(registry)) as http:
        alive = await http.get("/healthz")
        ready = await http.get("/readyz")

    assert (200, {"status": "ok"}) == (alive.status_code, alive.json())
    assert (503, "draining") == (ready.status_code, ready.json()["code"])


@pytest.mark.parametrize("failure", [httpx.ConnectError("down"), httpx.ReadTimeout("slow")])
async def test_without_its_sandbox_the_service_is_not_ready(failure: Exception) -> None:
    """No session could start, so no load balancer should send any."""
    tavus = FakeTavus()
    tavus.next_answers.append(failure)
    async with client(api_app(tavus=tavus)) as http:
        broken = await http.get("/readyz")
        mended = await http.get("/readyz")

    assert (503, "not_ready") == (broken.status_code, broken.json()["code"])
    assert 200 == mended.status_code


async def test_tavus_itself_is_not_asked() -> None:
    """With Daily readiness makes no request to Tavus."""
    tavus = FakeTavus()
    app = api_app(tavus=tavus, room="daily", tavus_api_key="x")
    async with client(app) as http:
        response = await http.get("/readyz")

    assert (200, []) == (response.status_code, tavus.requests)


async def test_metrics_are_plain_text() -> None:
    """Prometheus can read them."""
    app = api_app()
    app.state.metrics.stream_opened()
    async with client(app) as http:
        response = await http.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain")
    assert "avatar_bridge_stream_connections 1.0" in response.text
