"""All checks, one after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.doctor.account import examine_account
from app.doctor.finding import Finding, wrong
from app.doctor.machine import examine_machine
from app.doctor.network import examine_daily
from app.doctor.tavus import opened
from app.settings import RoomKind, Settings
from app.supervisor import SandboxFailed


async def check_up(
    settings: Settings, examine_network: Callable[[], Awaitable[Finding]] = examine_daily
) -> list[Finding]:
    """Make all checks. None costs anything, and each has its deadline."""
    findings = examine_machine(settings)
    try:
        async with opened(settings) as tavus:
            findings += await examine_account(tavus, settings)
    except SandboxFailed as error:
        findings.append(
            wrong("sandbox", str(error), "see what avatar-bridge sandbox --port 0 says")
        )
    if settings.room_kind is RoomKind.DAILY:
        findings.append(await examine_network())
    return findings
