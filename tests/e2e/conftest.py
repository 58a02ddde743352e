"""One running service for all tests of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.service import Client, Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start the service with its sandbox, as ``make run`` does."""
    with Service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    """Be a backend of that service; the sandbox has no faults but a replica that joins soon."""
    async with service.client() as client:
        await client.faults(replica_join_ms=100)
        yield client
