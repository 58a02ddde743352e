from __future__ import annotations

import pytest

from app.doctor.tavus import client, needs_sandbox, opened
from app.errors import TavusUnavailable
from tests.support.edge import settings_with
from tests.support.sandbox import running_sandbox


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, True),
        ({"tavus_base_url": "http://localhost:1"}, False),
        ({"tavus_api_key": "k"}, False),
        ({"tavus_api_key": "k", "room": "sandbox"}, True),
    ],
)
def test_sandbox_is_started_only_where_nothing_else_can_answer(
    settings: dict[str, str], needed: bool
) -> None:
    """An address or Tavus itself is asked as it is."""
    assert needed is needs_sandbox(settings_with(**settings))


async def test_sandbox_of_our_own_answers_to_our_key() -> None:
    """It lives as long as it is looked at."""
    settings = settings_with(sandbox_api_key="only-this")
    async with opened(settings) as tavus:
        await tavus.ping()
    async with client(settings, tavus._base_url) as late:
        with pytest.raises(TavusUnavailable):
            await late.ping()


async def test_address_is_asked_as_it_is() -> None:
    """Nothing is started beside it."""
    async with running_sandbox("k") as sandbox:
        base_url = f"{sandbox.base_url}/sandbox/v2"
        settings = settings_with(room="sandbox", tavus_base_url=base_url, sandbox_api_key="k")
        async with opened(settings) as tavus, client(settings, base_url) as other:
            await tavus.ping()
            await other.ping()
