"""What routes take from the application, typed, and who is asking."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from app.api.credentials import ApiKey, Caller
from app.core.callbacks import Callbacks
from app.runtime.issuer import Issuer
from app.runtime.metrics import Metrics
from app.runtime.registry import AnySession, Registry
from app.runtime.tavus_api import TavusApi
from app.settings import Settings

BEARER = Depends(
    HTTPBearer(
        scheme_name="bearer",
        description="An API key of `BRIDGE_API_KEYS`. Needed only where keys are configured.",
        auto_error=False,
    )
)
"""Tells the OpenAPI document about the credential; ``Guard`` checks it."""

SESSION_TOKEN = Depends(
    HTTPBearer(
        bearerFormat="JWT",
        scheme_name="sessionToken",
        description="A token of this session, whose role allows the call.",
        auto_error=False,
    )
)
"""Another credential that will do; ``Guard`` checks it, too."""


def _settings(connection: HTTPConnection) -> Settings:
    settings: Settings = connection.app.state.settings
    return settings


def _registry(connection: HTTPConnection) -> Registry:
    registry: Registry = connection.app.state.registry
    return registry


def _metrics(connection: HTTPConnection) -> Metrics:
    metrics: Metrics = connection.app.state.metrics
    return metrics


def _tavus(connection: HTTPConnection) -> TavusApi:
    tavus: TavusApi = connection.app.state.tavus
    return tavus


def _callbacks(connection: HTTPConnection) -> Callbacks:
    callbacks: Callbacks = connection.app.state.callbacks
    return callbacks


def _issuer(connection: HTTPConnection) -> Issuer:
    issuer: Issuer = connection.app.state.issuer
    return issuer


def _caller(connection: HTTPConnection) -> Caller:
    caller: Caller = connection.state.caller  # put there by Guard
    return caller


def _owner(connection: HTTPConnection) -> str:
    caller = _caller(connection)
    assert isinstance(caller, ApiKey)  # Guard lets a session token to its session only
    return caller.owner


SettingsDep = Annotated[Settings, Depends(_settings)]
RegistryDep = Annotated[Registry, Depends(_registry)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
TavusDep = Annotated[TavusApi, Depends(_tavus)]
CallbacksDep = Annotated[Callbacks, Depends(_callbacks)]
IssuerDep = Annotated[Issuer, Depends(_issuer)]
CallerDep = Annotated[Caller, Depends(_caller)]
OwnerDep = Annotated[str, Depends(_owner)]


def _runner(session_id: str, registry: RegistryDep) -> AnySession:
    return registry.get(session_id)


RunnerDep = Annotated[AnySession, Depends(_runner)]
"""The session of the path. Raises ``SessionNotFound``."""
