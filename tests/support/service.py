"""The real service as a child process, as a user starts it, and a client that checks all it says.

::

    with Service(tmp_path, BRIDGE_IDLE_TIMEOUT_S="2") as service:
        async with service.client() as client:
            session = await client.create_session()
            async with client.connect(session, "?sample_rate=16000") as stream:
                await stream.send(pcm)
                done = await stream.wait_for("utterance.done", status="played")
            heard = await client.heard(session["conversation_id"])
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.asyncapi import check_server_message

DEADLINE_S = 30.0
"""Only what never comes meets it; it says nothing about how quick the service should be."""

_ROOT = Path(__file__).resolve().parents[2]
_LISTENING = re.compile(r"listening on (http://\S+)")


class Service:
    """``avatar-bridge serve`` on a free loopback port, with an environment and a folder of its own.

    Start and end block, so that a fixture of any scope can use it.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        """Run in ``folder``, which holds the log and the data, with these variables."""
        self.folder = folder
        self.environment = clean_environment() | {"BRIDGE_PORT": "0"} | environment
        self.base_url = ""
        self._log = folder / "service.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until it listens; it does so once its sandbox answers."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve", "--host", "127.0.0.1"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + DEADLINE_S
        while (found := _LISTENING.search(self.log)) is None:
            if self._process.poll() is not None or time.monotonic() > end:
                self._kill()
                raise AssertionError(f"the service did not start:\n{self.log}")
            time.sleep(0.01)
        self.base_url = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end, and kill it if it does not."""
        process = self._running()
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._kill()
            raise

    @property
    def pid(self) -> int:
        """The process, for ``/proc``."""
        return self._running().pid

    @property
    def log(self) -> str:
        """All it has logged so far."""
        return self._log.read_text(encoding="utf-8")

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._running().send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait until it is gone, while other tasks go on; returns its exit code."""
        self.send_signal(number)
        async with asyncio.timeout(DEADLINE_S):
            while (code := self._running().poll()) is None:  # noqa: ASYNC110  # works on any loop and leaves no thread
                await asyncio.sleep(0.01)
        return code

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[Client]:
        """Open a client, with an API key if one is given."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            base_url=self.base_url, headers=headers, trust_env=False, timeout=DEADLINE_S
        ) as http:
            yield Client(http)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # made by ``with``
        return self._process

    def _kill(self) -> None:
        process = self._running()
        process.kill()
        process.wait()


class Client:
    """What a backend does with the service, and what only a test can ask the sandbox."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """Speak through ``http``, for whatever has no method here."""
        self.http = http

    async def create_session(self, *, wait: bool = False, **body: Any) -> dict[str, Any]:
        """Create a session; with ``wait`` return when it is ready."""
        answer = await self.http.post(
            "/sessions", params={"wait": "ready"} if wait else {}, json=body
        )
        return _json(answer, 201)

    async def session(self, session_id: str) -> dict[str, Any]:
        """Look at a session."""
        return _json(await self.http.get(f"/sessions/{session_id}"), 200)

    async def interrupt(self, session_id: str, **body: Any) -> dict[str, Any]:
        """Barge in over HTTP."""
        return _json(await self.http.post(f"/sessions/{session_id}/interrupt", json=body), 200)

    async def end(self, session_id: str) -> None:
        """End a session."""
        answer = await self.http.delete(f"/sessions/{session_id}")

        assert 204 == answer.status_code, answer.text

    @asynccontextmanager
    async def connect(
        self, session: dict[str, Any], query: str = "", subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[Stream]:
        """Open a session's stream and read it until the end of the block."""
        async with connect(
            session["stream_url"] + query,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            additional_headers={
                name: value for name, value in self.http.headers.items() if name == "authorization"
            },
            max_size=None,
            proxy=None,
        ) as socket:
            stream = Stream(socket)
            reader = asyncio.create_task(stream.read())
            try:
                yield stream
            finally:
                await socket.close()
                await reader

    async def heard(self, conversation_id: str) -> NDArray[np.int16]:
        """What the replica really played so far: 24 kHz mono."""
        answer = await self.http.get(f"/sandbox/rooms/{conversation_id}/heard.wav")

        assert 200 == answer.status_code, answer.text
        with wave.open(io.BytesIO(answer.content)) as file:
            assert (24_000, 1, 2) == (file.getframerate(), file.getnchannels(), file.getsampwidth())
            return np.frombuffer(file.readframes(file.getnframes()), "<i2")

    async def log(self, conversation_id: str) -> list[dict[str, Any]]:
        """All that reached or left the room, in order."""
        answer = await self.http.get(f"/sandbox/rooms/{conversation_id}/log")

        assert 200 == answer.status_code, answer.text
        entries: list[dict[str, Any]] = answer.json()
        return entries

    async def faults(self, **faults: Any) -> dict[str, Any]:
        """Set the sandbox's faults for the conversations to come."""
        return _json(await self.http.put("/sandbox/faults", json=faults), 200)


class Stream:
    """One stream connection: every text message it got, held against the contract, and the rest."""

    def __init__(self, socket: ClientConnection) -> None:
        """Wrap an open connection; somebody has to run ``read``."""
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.binary: list[bytes] = []
        self.closed = False
        self._wrong: Exception | None = None
        self._news = asyncio.Condition()

    async def send(self, data: bytes | dict[str, Any]) -> None:
        """Send audio, or one control message."""
        await self.socket.send(json.dumps(data) if isinstance(data, dict) else data)

    async def wait_for(self, type_: str, *, nth: int = 1, **fields: Any) -> dict[str, Any]:
        """Return the ``nth`` message of this type with these values, waiting until it comes.

        AssertionError when the connection ends first or nothing comes for ``DEADLINE_S``.
        """
        try:
            async with asyncio.timeout(DEADLINE_S), self._news:
                while True:
                    self._check()
                    found = self.all(type_, **fields)
                    if len(found) >= nth:
                        return found[nth - 1]
                    assert not self.closed, f"closed before {type_} {fields}: {self._story()}"
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {type_} {fields} came: {self._story()}") from None

    def all(self, type_: str, **fields: Any) -> list[dict[str, Any]]:
        """Return every message so far of this type with these values."""
        wanted = {"type": type_, **fields}.items()
        return [message for message in self.messages if wanted <= message.items()]

    async def close_code(self) -> int:
        """Wait until the service has closed the connection; 1006 when without a close frame."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._news:
                await self._news.wait_for(lambda: self.closed)
        except TimeoutError:
            raise AssertionError(f"not closed: {self._story()}") from None
        self._check()
        return self.socket.close_code or 1006

    async def read(self) -> None:
        """Take messages until the connection ends. Raises ValidationError for a wrong one."""
        try:
            async for message in self.socket:
                async with self._news:
                    self._take(message)
                    self._news.notify_all()
        except ConnectionClosed:
            pass  # a loss; ``close_code`` tells it
        finally:
            async with self._news:
                self.closed = True
                self._news.notify_all()
        self._check()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.binary.append(message)
            return
        try:
            self.messages.append(check_server_message(message))
        except Exception as error:  # noqa: BLE001  # told to whoever waits
            self._wrong = self._wrong or error

    def _check(self) -> None:
        if self._wrong is not None:
            raise self._wrong

    def _story(self) -> str:
        return json.dumps(self.messages[-20:], indent=1)


def clean_environment() -> dict[str, str]:
    """Our environment without anybody's settings, in which ``python -m app`` finds the project."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BRIDGE_", "TAVUS_"))
    }
    return kept | {"PYTHONPATH": str(_ROOT)}


def _json(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert status == answer.status_code, answer.text
    body: dict[str, Any] = answer.json()
    return body
