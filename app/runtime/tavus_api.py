"""Tavus's REST API, as far as the service needs it.

A create is never repeated here or anywhere: Tavus has no idempotency key, and each conversation
costs money from the moment it exists until it is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import httpx

from app.core.events import ConversationCreated
from app.core.spec import NamedId
from app.core.tavus import ConversationPage, error_for, parse_conversation, parse_page
from app.errors import BridgeError, TavusTimeout, TavusUnavailable, TavusUnreachable

BASE_URL = "https://tavusapi.com/v2"
"""Tavus itself, when no other address is set."""

ReportCall = Callable[[str, str], None]
"""Called after each request with its name and ``ok`` or the error's code."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_GONE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND})


class TavusApi:
    """A client of Tavus, or of what stands in for it. The httpx client is the caller's to close."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        key: str,
        timeout_s: float,
        *,
        report: ReportCall = lambda _call, _outcome: None,
    ) -> None:
        """Speak to ``base_url`` (up to and with ``/v2``) with ``key``.

        No call takes longer than ``timeout_s``, its connection at most half of that.
        """
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._timeout = httpx.Timeout(timeout_s, connect=timeout_s / 2)
        self._report = report

    async def create(self, body: dict[str, Any]) -> ConversationCreated:
        """Make a conversation from ``core.tavus.create_body``. From now on it costs money.

        Raises the ``TavusError`` that fits. ``TavusTimeout`` means that a conversation may exist:
        nothing came back, or nothing that can be used. After ``TavusUnavailable``, unless it is
        ``TavusUnreachable``, one is not likely, but nobody says that there is none.
        """
        response = await self._call("create", "POST", "/conversations", json=body)
        try:
            return parse_conversation(_json(response))
        except TavusUnavailable as error:
            raise TavusTimeout(f"{error.detail}; a conversation may exist") from error

    async def get(self, conversation_id: str) -> ConversationCreated:
        """Read a conversation; ``over`` says whether it has ended."""
        path = f"/conversations/{quote(conversation_id, safe='')}"
        return parse_conversation(_json(await self._call("get", "GET", path)))

    async def list(self, *, status: str, page: int) -> ConversationPage:
        """Read a page, from 1 on, of the conversations that are ``active`` or ``ended``."""
        # The documented page has 10 rows; whether Tavus allows more, and how many, nobody says.
        path = f"/conversations?limit=10&page={page}&status={quote(status)}"
        return parse_page(_json(await self._call("list", "GET", path)))

    async def end(self, conversation_id: str) -> None:
        """End a conversation; returns once Tavus says that it is over or knows it no longer.

        Raises a ``TavusError`` when it may still run: then call again.
        """
        path = f"/conversations/{quote(conversation_id, safe='')}/end"
        # A second end is a 400 or a 404: sources disagree, and no body ever asks for a change.
        await self._call("end", "POST", path, also_good=_GONE)

    async def persona(self, pal: NamedId) -> dict[str, Any]:
        """Read a persona (PAL) as Tavus writes it, in the words of its name."""
        path = f"/{_word(pal)}s/{quote(pal.value, safe='')}"
        return _object(await self._call("persona", "GET", path), "a persona")

    async def replica(self, face: NamedId) -> dict[str, Any]:
        """Read a replica (face) as Tavus writes it, in the words of its name."""
        path = f"/{_word(face)}s/{quote(face.value, safe='')}"
        return _object(await self._call("replica", "GET", path), "a replica")

    async def create_persona(self, body: dict[str, Any]) -> NamedId:
        """Make a persona from ``core.persona.echo_persona``. Costs nothing.

        Raises ``TavusTimeout`` when one may exist whose id is not known.
        """
        name: Literal["pal_id", "persona_id"] = "pal_id" if "pal_name" in body else "persona_id"
        path = "/pals" if name == "pal_id" else "/personas"
        answer = _json(await self._call("create persona", "POST", path, json=body))
        fields = answer if isinstance(answer, dict) else {}
        persona_id = fields.get(name)
        if not isinstance(persona_id, str) or not persona_id:
            raise TavusTimeout("Tavus answered without the persona's id; it may exist")
        return NamedId(name, persona_id)

    async def ping(self) -> None:
        """Raise a ``TavusError`` unless Tavus answers and takes the key. Costs nothing."""
        await self._call("ping", "GET", "/conversations?limit=1")

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Send any request and return the answer's status and text, for who examines Tavus itself.

        The text is as it came: it may repeat the key. Raises ``TavusUnavailable`` or
        ``TavusTimeout`` when there was no answer.
        """
        response = await self._send(method, path, body)
        return response.status_code, response.text

    async def _call(
        self,
        call: str,
        method: str,
        path: str,
        *,
        json: object = None,
        also_good: frozenset[HTTPStatus] = frozenset(),
    ) -> httpx.Response:
        try:
            response = await self._send(method, path, json)
            if not response.is_success and response.status_code not in also_good:
                raise error_for(
                    response.status_code,
                    response.text.replace(self._key, "[key]"),
                    retry_after_ms=_retry_after_ms(response),
                )
        except BridgeError as error:
            self._report(call, error.code)
            raise
        self._report(call, "ok")
        return response

    async def _send(self, method: str, path: str, json: object) -> httpx.Response:
        """Send one request and read its whole answer within the time allowed."""
        try:
            # httpx limits each read and write, but not their sum.
            async with asyncio.timeout(self._timeout_s):
                return await self._client.request(
                    method,
                    self._base_url + path,
                    json=json,
                    headers={"x-api-key": self._key},
                    timeout=self._timeout,
                )
        except _NOT_SENT as error:
            raise TavusUnreachable(f"Tavus cannot be reached ({type(error).__name__})") from error
        except TimeoutError as error:
            raise TavusTimeout(f"No answer within {self._timeout_s:g} s") from error
        except httpx.RequestError as error:
            raise TavusTimeout(
                f"The connection was lost before the answer came ({type(error).__name__})"
            ) from error


def _word(named: NamedId) -> str:
    """Return the collection's word: ``persona`` of ``persona_id``."""
    return named.name.removesuffix("_id")


def _object(response: httpx.Response, what: str) -> dict[str, Any]:
    body = _json(response)
    if not isinstance(body, dict):
        raise TavusUnavailable(f"Tavus answered with something else than {what}")
    return body


def _json(response: httpx.Response) -> object:
    """Read the body as JSON; None for what is none."""
    try:
        body: object = response.json()
    except (ValueError, RecursionError):
        return None
    return body


def _retry_after_ms(response: httpx.Response) -> int | None:
    """Read ``Retry-After`` in seconds; its other form, a date, depends on two clocks."""
    value = response.headers.get("retry-after", "")
    return int(value) * 1000 if value.isascii() and value.isdigit() and len(value) <= 6 else None
