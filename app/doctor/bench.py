"""Where experiments are made: the service, Tavus, and a count of what must be ended.

Every conversation is named after the test, so that even one whose answer was lost is found again.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from app.core.spec import AudioPathName, NamedId
from app.doctor.account import configured, stock_persona
from app.doctor.call import Call
from app.doctor.experiment import LiveFailed
from app.errors import TavusError
from app.runtime.clock import NS_PER_S, Clock
from app.runtime.tasks import Tasks
from app.runtime.tavus_api import TavusApi
from app.settings import Settings

CREATE_S = 60.0
"""Tavus may take 20 s for a conversation, and behind a proxy there is a second wait."""
REQUEST_S = 10.0
"""Longest wait for any other answer of the service."""
MAX_CALL_S = 1800
"""The service ends a session after this even if nobody is left to ask for it, seconds."""
ENDS, END_PAUSE_NS = 5, 2 * NS_PER_S
"""How often an end is tried, and the time between."""


SHOWN = 300
"""Characters of an answer that a report keeps."""


class Bench:
    """Leave it with ``close``, whatever happened."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        headers: dict[str, str],
        tavus: TavusApi,
        settings: Settings,
        clock: Clock,
    ) -> None:
        """Work with the service that ``http`` leads to."""
        self.name = f"avatar-bridge doctor {secrets.token_hex(4)}"
        self.tavus = tavus
        self.settings = settings
        self.clock = clock
        self.made: list[str] = []
        """Every conversation that is known, by id."""
        self.left: list[str] = []
        """After ``close``: those that Tavus has not confirmed to be over."""
        self._http = http
        self._headers = headers
        self._tasks = Tasks(lambda _name, _error: None)
        self._making: set[asyncio.Task[None]] = set()

    def cast(self, path: AudioPathName) -> dict[str, str]:
        """Name the replica and the persona for a way of sending audio."""
        face, pal = configured(self.settings)
        if path != self.settings.audio_path:
            pal = stock_persona(path)
        return {named.name: named.value for named in (face, pal) if isinstance(named, NamedId)}

    def shown(self, text: str) -> str:
        """Cut an answer of Tavus to what a report may hold."""
        key = self.settings.tavus_api_key
        hidden = text.replace(key.get_secret_value(), "[key]") if key else text
        return hidden[:SHOWN]

    # --- through the service

    @asynccontextmanager
    async def call(self, path: AudioPathName, **wish: Any) -> AsyncIterator[Call]:
        """Hold a session open. Raises LiveFailed when there is none to be had."""
        session = await self._create(
            {
                **self.cast(path),
                "audio_path": path.value,
                "conversation_name": self.name,
                "metadata": {"test": self.name},
                "max_duration_s": MAX_CALL_S,
                **wish,
            }
        )
        await self._is_ours(session["conversation_id"])
        try:
            async with connect(
                session["stream_url"],
                additional_headers=self._headers,
                compression=None,  # never negotiated by the protocol
                close_timeout=REQUEST_S,
                open_timeout=REQUEST_S,
            ) as socket:
                call = Call(session, self._http, socket, self.clock)
                self._tasks.spawn("reader", call.read())
                try:
                    yield call
                finally:
                    await self._delete(session["id"])
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise LiveFailed(f"the stream cannot be opened: {error}") from None

    async def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answer = await self._http.post("/sessions", json=body, timeout=CREATE_S)
            if answer.status_code == 201:
                self.made.append(answer.json()["conversation_id"])
            answers.append(answer)

        try:
            await self._make(ask())
        except httpx.HTTPError as error:
            raise LiveFailed(f"the service does not answer: {type(error).__name__}") from None
        (answer,) = answers
        if answer.status_code != 201:
            raise LiveFailed(f"the session was refused: {self.shown(answer.text)}")
        return fields(answer.text)

    async def _make(self, asking: Coroutine[Any, Any, None]) -> None:
        """Wait for something that costs money. It outlives who waits: its answer ends it."""
        making = self._tasks.spawn("make", asking)
        self._making.add(making)
        await asyncio.wait({making})
        self._making.discard(making)
        await making

    async def _is_ours(self, conversation_id: str) -> None:
        """Look at a conversation of the service with our own key. Raises LiveFailed."""
        status, _ = await self.tavus.ask("GET", f"/conversations/{conversation_id}")
        if status != 200:
            raise LiveFailed(
                f"Tavus does not show the service's conversation to us ({status}): run this with "
                "the settings of the service"
            )

    async def _delete(self, session_id: str) -> None:
        with suppress(httpx.HTTPError):  # ``close`` makes sure
            await self._http.delete(f"/sessions/{session_id}", timeout=REQUEST_S)

    # --- at Tavus itself

    async def ask_conversation(self, **body: Any) -> tuple[int, str, str | None]:
        """Ask Tavus for a conversation; returns status, text and the id if there is one."""
        path = AudioPathName(self.settings.audio_path)
        wish = {**self.cast(path), "conversation_name": self.name, **body}
        answers: list[tuple[int, str, str | None]] = []

        async def ask() -> None:
            status, text = await self.tavus.ask("POST", "/conversations", wish)
            conversation_id = fields(text).get("conversation_id")
            if isinstance(conversation_id, str):
                self.made.append(conversation_id)
                answers.append((status, text, conversation_id))
            else:
                answers.append((status, text, None))

        await self._make(ask())
        return answers[0]

    # --- the end

    async def close(self) -> None:
        """End every conversation of this test, and wait until Tavus says so."""
        if self._making:
            await asyncio.wait(self._making)
        await self._delete_sessions()
        await self._tasks.close()
        with suppress(TavusError):
            self.made += [lost for lost in await self._lost() if lost not in self.made]
        for conversation_id in self.made:
            if not await self._ended(conversation_id):
                self.left.append(conversation_id)

    async def _delete_sessions(self) -> None:
        """End the sessions of this test, also those whose creation was never answered."""
        try:
            page = await self._http.get("/sessions", params={"limit": 100}, timeout=REQUEST_S)
        except httpx.HTTPError:
            return  # their conversations are ended all the same
        for session in fields(page.text).get("data", []):
            if session["metadata"].get("test") == self.name and "end_reason" not in session:
                await self._delete(session["id"])

    async def _lost(self) -> list[str]:
        """Find the conversations that carry the test's name and still run."""
        _, text = await self.tavus.ask("GET", "/conversations?status=active&limit=100")
        rows = fields(text).get("data")
        return [
            row["conversation_id"]
            for row in (rows if isinstance(rows, list) else [])
            if self.name in str(row.get("conversation_name"))
        ]

    async def _ended(self, conversation_id: str) -> bool:
        """End a conversation; whether Tavus then shows it as over."""
        for attempt in range(ENDS):
            if attempt:
                await self.clock.sleep_until(self.clock.now() + END_PAUSE_NS)
            with suppress(TavusError):
                await self.tavus.end(conversation_id)
                if (await self.tavus.get(conversation_id)).over:
                    return True
        return False


def fields(text: str) -> dict[str, Any]:
    """Read a JSON object; an empty one for what is none."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
