"""Whether the service lives, whether it can take sessions, and what it has counted."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from app import errors
from app.api.deps import BEARER, MetricsDep, RegistryDep, SettingsDep, TavusDep
from app.api.problems import problem_responses
from app.api.schemas import Health
from app.settings import RoomKind

PING_TIMEOUT_S = 2.0
"""A sandbox on the same machine that takes longer is not ready; probes give up after a few s."""

router = APIRouter(tags=["service"])


@router.get(
    "/healthz",
    operation_id="getHealth",
    summary="Is the service alive?",
    responses=problem_responses(anybody=True),
)
async def health() -> Health:
    """Answer as long as the event loop turns."""
    return Health()


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Can the service take sessions?",
    responses=problem_responses(errors.Draining, errors.NotReady, anybody=True),
)
async def readiness(settings: SettingsDep, registry: RegistryDep, tavus: TavusDep) -> Health:
    """Say whether a new session would have a chance.

    Only the sandbox is asked: Tavus itself would count every probe of every load balancer.
    """
    if registry.draining:
        raise errors.Draining
    if settings.room_kind is RoomKind.SANDBOX:
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await tavus.ping()
        except (errors.TavusError, TimeoutError) as error:
            raise errors.NotReady("The sandbox does not answer") from error
    return Health()


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    dependencies=[BEARER],
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Metrics"},
        **problem_responses(),
    },
)
async def read_metrics(metrics: MetricsDep) -> Response:
    """Tell everything that was counted, in Prometheus's text format."""
    return Response(metrics.text(), media_type=metrics.content_type)
