"""The HTTP edge around fakes: everything of it but the stream."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI

from app.api import console, health, sandbox, sessions, webhooks
from app.api.guard import Guard
from app.api.problems import install_problems
from app.api.sandbox import SandboxProxy
from app.core.callbacks import Callbacks
from app.core.tokens import Tokens
from app.runtime.issuer import Issuer
from app.runtime.metrics import Metrics
from app.runtime.tavus_api import TavusApi
from app.settings import Settings
from tests.support.clock import FakeClock
from tests.support.registry import FakeRegistry
from tests.support.tavus import BASE_URL, KEY, FakeTavus

HOST = "http://127.0.0.1:8080"


def settings(**given: Any) -> Settings:
    """Make settings that no environment has a part in."""
    return Settings(_env_file=None, **{"room": "sandbox", **given})


def api_app(
    registry: FakeRegistry | None = None,
    *,
    tavus: FakeTavus | None = None,
    proxy: SandboxProxy | None = None,
    **given: Any,
) -> FastAPI:
    """Build the edge as ``create_app`` does, with settings from keywords."""
    chosen = settings(**given)
    app = FastAPI(title="Avatar Bridge", version="0")
    install_problems(app)
    app.add_middleware(Guard, settings=chosen)
    for module in (sessions, webhooks, health, console, sandbox):
        app.include_router(module.router)
    app.state.settings = chosen
    app.state.registry = registry or FakeRegistry()
    app.state.callbacks = Callbacks(b"key", chosen.public_url)
    app.state.issuer = Issuer(Tokens(b"k" * 48), FakeClock())
    app.state.metrics = Metrics()
    app.state.tavus = TavusApi((tavus or FakeTavus()).client(), BASE_URL, KEY, 5.0)
    app.state.sandbox = proxy
    return app


def client(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    """Make a client on this machine. A bug of ours is an answer, not an exception."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url=HOST,
        headers=headers,
    )
