"""``avatar-bridge doctor``: from what was asked for to the exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from rich.console import Console

from app.doctor import report
from app.doctor.checkup import check_up
from app.doctor.creation import create_persona
from app.doctor.finding import Finding, is_well, wrong
from app.doctor.live import run_live
from app.doctor.tavus import needs_sandbox, opened
from app.doctor.wish import Wish
from app.errors import TavusError
from app.settings import Settings
from app.supervisor import SandboxFailed


def run(wish: Wish, settings: Settings) -> int:
    """Do it and return the exit code: 0, or 1 when something is wrong."""
    if wish.live is not None:
        return run_live(wish.live, settings)
    if wish.create_persona:
        return asyncio.run(_create(settings))
    return _tell(wish, asyncio.run(check_up(settings)))


def run_without_settings(wish: Wish, mistakes: Sequence[str]) -> int:
    """Tell what is wrong with the settings; nothing else can be checked without them."""
    advice = "see the table of settings in the README"
    return _tell(wish, [wrong("settings", mistake, advice) for mistake in mistakes])


def _tell(wish: Wish, findings: Sequence[Finding]) -> int:
    console = _console()
    if wish.json:
        console.out(report.as_json(findings), highlight=False)
    else:
        report.show(console, findings)
    return 0 if is_well(findings) else 1


async def _create(settings: Settings) -> int:
    console = _console()
    try:
        async with opened(settings) as tavus:
            made = await create_persona(tavus, settings)
    except (TavusError, SandboxFailed) as error:
        print(f"avatar-bridge: no persona was made: {error}", file=sys.stderr)  # noqa: T201  # a command's own voice
        return 1
    console.out(f"made {made.pal.value}; for .env:\n{made.line}")
    if not made.brings_face:
        console.out("It brings no replica: set TAVUS_REPLICA_ID too.")
    if needs_sandbox(settings):
        console.out("The sandbox that made it is gone; with TAVUS_BASE_URL another would be asked.")
    for misfit in made.misfits:
        console.out(f"But {misfit.what}: look at it in Tavus's developer portal.")
    return 1 if made.misfits else 0


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
