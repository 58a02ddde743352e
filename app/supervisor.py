"""The sandbox as a supervised child: its own process, always at the same address."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from contextlib import suppress
from pathlib import Path

import httpx

from app.edge import listen
from app.runtime.clock import NS_PER_S, Clock
from app.runtime.tasks import ReportError, Tasks
from app.settings import Settings

COMMAND = (sys.executable, "-P", "-m", "app", "sandbox")
"""``-P``: another ``app`` in the current folder is not ours."""

START_S = 10.0
"""Longest wait for the first answer; a cold start on a slow machine takes 2 s."""
STOP_S = 5.0
"""Between asking the child to end and killing it."""
_FIRST_DELAY_S, _LAST_DELAY_S = 0.1, 5.0
"""Waits before a restart: the first, doubled each time up to the last."""
_STABLE_S = 30.0
"""A child that lived this long starts the waits from the beginning."""

log = logging.getLogger(__name__)


class SandboxFailed(Exception):
    """The sandbox did not start."""


class SandboxChild:
    """Starts the sandbox on a loopback port of its own, restarts it when it dies, stops it.

    The listening socket stays ours, so the port survives the child and nobody is refused while it
    is being restarted. The child notices our death by the end of its standard input.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        on_error: ReportError,
        command: tuple[str, ...] = COMMAND,
        *,
        start_s: float = START_S,
        stop_s: float = STOP_S,
    ) -> None:
        """Take a free port. Raises OSError when there is none."""
        self._listener = listen("127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/sandbox/v2"
        """Where its Tavus REST API answers."""
        self._command = (*command, "--fd", str(self._listener.fileno()))
        self._environment = _environment(settings)
        self._clock = clock
        self._tasks = Tasks(on_error)
        self._start_s = start_s
        self._stop_s = stop_s
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the child; ``ready`` must follow, or ``close``."""
        await self._spawn()

    async def ready(self) -> None:
        """Wait for its first answer. Raises SandboxFailed; then ``close``."""
        process = self._process
        assert process is not None  # ``start`` comes first
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to load whom to trust takes 20 ms
        try:
            async with (
                asyncio.timeout(self._start_s),
                httpx.AsyncClient(trust_env=False, verify=nobody) as client,
            ):
                while not await self._answers(client):
                    if process.returncode is not None:
                        raise SandboxFailed(f"the sandbox ended with {process.returncode}")
        except TimeoutError:
            raise SandboxFailed(f"the sandbox did not answer in {self._start_s:g} s") from None
        self._tasks.spawn("sandbox supervisor", self._keep_alive(process))

    async def close(self) -> None:
        """Stop the child, kill it if it does not go, and give up the port. Can be called twice."""
        await self._tasks.close()
        process, self._process = self._process, None
        if process is not None:
            await self._stop(process)
        self._listener.close()

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[self._listener.fileno()],
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for us: the child must outlive our conversations
        )
        return self._process

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):  # it ended by itself
            process.terminate()
        try:
            async with asyncio.timeout(self._stop_s):
                await process.wait()
        except TimeoutError:
            log.warning("the sandbox did not stop in %.0f s and is killed", self._stop_s)
            process.kill()
            await process.wait()

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        """Whether anything comes back; a request waits in the listening socket's own queue."""
        with suppress(httpx.TransportError):
            await client.get(self.base_url, timeout=0.5)
            return True
        return False

    async def _keep_alive(self, process: asyncio.subprocess.Process) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            born = self._clock.now()
            code = await process.wait()
            if self._clock.now() - born >= _STABLE_S * NS_PER_S:
                delay_s = _FIRST_DELAY_S
            log.error("the sandbox ended with %d; starting it again in %.1f s", code, delay_s)
            await self._clock.sleep_until(self._clock.now() + int(delay_s * NS_PER_S))
            delay_s = min(delay_s * 2, _LAST_DELAY_S)
            process = await self._spawn()


def _environment(settings: Settings) -> dict[str, str]:
    """What the child reads: our environment, the settings that concern it, and where we are."""
    ours = str(Path(__file__).resolve().parents[1])
    paths = filter(None, (ours, os.environ.get("PYTHONPATH")))
    key = settings.sandbox_api_key
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "BRIDGE_LOG_LEVEL": settings.log_level,
        "BRIDGE_LOG_FORMAT": settings.log_format,
        "BRIDGE_SANDBOX_API_KEY": key.get_secret_value() if key else "",
    }
