"""A client of a stream without its socket: says what it wants, and keeps what it was told."""

from __future__ import annotations

import json
from typing import Any

from app.runtime.connection import Connection, Wishes
from tests.support.world import Session, World, drain

CHUNK = bytes(4800)
"""100 ms at 24 kHz."""


class Client:
    """One connection and what it was told."""

    _numbers = iter(range(1, 1_000_000))

    def __init__(self, world: World, session: Session, **wishes: Any) -> None:
        number = next(self._numbers)
        self.connection = Connection(
            number, session.runner, world.settings, Wishes(**wishes), "0.0.0"
        )
        self._told: list[dict[str, Any]] = []

    @classmethod
    async def connect(cls, world: World, session: Session, **wishes: Any) -> Client:
        """Connect and attach."""
        client = cls(world, session, **wishes)
        await client.connection.attach()
        return client

    async def say(self, message_type: str, **fields: Any) -> None:
        """Send a control message."""
        await self.connection.inbound.text(json.dumps({"type": message_type, **fields}))

    async def send(self, data: bytes = CHUNK) -> None:
        """Send audio."""
        if not self.connection.inbound.take(data, False):
            await self.connection.inbound.binary(data)

    @property
    def told(self) -> list[dict[str, Any]]:
        """Everything told so far, each in the contract."""
        self._told += drain(self.connection.subscription._waiting)
        return self._told

    def of(self, message_type: str) -> list[dict[str, Any]]:
        """All of one type."""
        return [m for m in self.told if m["type"] == message_type]

    @property
    def hello(self) -> dict[str, Any]:
        """The first message."""
        assert "hello" == self.told[0]["type"]
        return self.told[0]

    @property
    def close_code(self) -> int | None:
        return self.connection.subscription.close_code

    def codes(self) -> list[str]:
        """The codes of all errors."""
        return [m["code"] for m in self.of("error")]

    def lose(self) -> None:
        """Go without a close frame."""
        self.connection.detach(clean=False)

    def leave(self) -> None:
        """Close as one should."""
        self.connection.detach(clean=True)
