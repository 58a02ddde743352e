from __future__ import annotations

from app.doctor.checkup import check_up
from app.doctor.finding import Finding, Level, ok
from tests.support.edge import settings_with
from tests.support.sandbox import running_sandbox


async def network() -> Finding:
    """Find Daily well, whatever the network here is."""
    return ok("Daily", "faked")


async def test_everything_is_checked_in_the_sandbox() -> None:
    """Daily is nobody's business there; all else is."""
    async with running_sandbox() as sandbox:
        settings = settings_with(tavus_base_url=f"{sandbox.base_url}/sandbox/v2")
        findings = await check_up(settings, network)

    assert {Level.OK} == {finding.level for finding in findings}
    assert {
        *("settings", "daily-python", "data directory", "public URL", "API keys"),
        *("Tavus", "Tavus key", "persona", "replica"),
    } == {finding.check for finding in findings}


async def test_daily_is_checked_where_it_is_used() -> None:
    """With a Tavus key rooms are Daily's."""
    async with running_sandbox() as sandbox:
        base_url = f"{sandbox.base_url}/sandbox/v2"
        settings = settings_with(tavus_base_url=base_url, tavus_api_key="k")
        findings = await check_up(settings, network)

    assert "faked" == findings[-1].found
