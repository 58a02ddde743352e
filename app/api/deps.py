"""What routes take from the application, typed, and who is asking."""

from __future__ import annotations

from hmac import compare_digest
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from app.core.callbacks import Callbacks
from app.errors import Unauthorized
from app.runtime.metrics import Metrics
from app.runtime.registry import AnySession, Registry
from app.runtime.tavus_api import TavusApi
from app.settings import Settings

LOCAL_OWNER = "local"
"""Who owns sessions where no API keys are configured."""

BEARER = Depends(
    HTTPBearer(
        scheme_name="bearer",
        description="An API key of `BRIDGE_API_KEYS`. Needed only where keys are configured.",
        auto_error=False,
    )
)
"""Tells the OpenAPI document about the credential; ``Guard`` checks it."""


def authenticate(settings: Settings, authorization: str | None) -> str:
    """Return the name of the API key in an ``Authorization`` header, ``local`` without any keys.

    Raises ``Unauthorized``.
    """
    if not settings.api_keys:
        return LOCAL_OWNER
    scheme, _, given = (authorization or "").partition(" ")
    owner = None
    if scheme.lower() == "bearer":
        sent = given.strip().encode("latin-1", "replace")  # the bytes that came
        # Every key is compared, whichever fits, so that the time taken tells nothing.
        for name, key in settings.api_keys.items():
            if compare_digest(sent, key.get_secret_value().encode()):
                owner = name
    if owner is None:
        raise Unauthorized
    return owner


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


def _owner(connection: HTTPConnection) -> str:
    owner: str = connection.state.owner  # put there by Guard
    return owner


SettingsDep = Annotated[Settings, Depends(_settings)]
RegistryDep = Annotated[Registry, Depends(_registry)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
TavusDep = Annotated[TavusApi, Depends(_tavus)]
CallbacksDep = Annotated[Callbacks, Depends(_callbacks)]
OwnerDep = Annotated[str, Depends(_owner)]


def _runner(session_id: str, registry: RegistryDep) -> AnySession:
    return registry.get(session_id)


RunnerDep = Annotated[AnySession, Depends(_runner)]
"""The session of the path. Raises ``SessionNotFound``."""
