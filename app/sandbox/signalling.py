"""The way of app messages through one room: to whom they go, and whether they pass."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from app.sandbox.avatar import Card
from app.sandbox.device import Device
from app.sandbox.faults import Faults, MessagesAs

MAX_MESSAGE_BYTES = 4096
"""Daily's documented limit of an app message."""


class Outbox(Protocol):
    """The way to one participant; never blocks."""

    def post(self, operation: dict[str, Any]) -> None:
        """Send this soon."""
        ...

    def close(self) -> None:
        """Send what was posted, then hang up."""
        ...


@dataclass(slots=True, eq=False)
class Member:
    """Somebody in the room who is not the replica."""

    participant_id: str
    name: str
    outbox: Outbox
    device: Device

    @property
    def card(self) -> Card:
        """Who this is, for the others."""
        return {"participant_id": self.participant_id, "user_id": "", "name": self.name}


class Refused(Exception):
    """The room does not take a message; the text says why."""


class Signalling:
    """Who is in the room, but for the replica, and what passes between them."""

    def __init__(self, faults: Faults) -> None:
        """Have nobody to pass anything to."""
        self.members: dict[str, Member] = {}
        """By their participant ids."""
        self.lost = False
        """No message passes now."""
        self._faults = faults
        self._messages = 0
        self._dice = random.Random(faults.seed)  # noqa: S311  # seeded faults, no secrets

    def interrupt(self) -> None:
        """Let no message pass until ``restore``."""
        self.lost = True
        self.post({"op": "interrupted"})

    def restore(self) -> None:
        """Let messages pass again."""
        self.lost = False
        self.post({"op": "restored"})

    def post(self, operation: dict[str, Any], *, but: str | None = None) -> None:
        """Send a link operation to everybody, or everybody but one."""
        for member in self.members.values():
            if member.participant_id != but:
                member.outbox.post(operation)

    def deliver(self, message: Any, sender: str) -> None:
        """An app message to everybody but its sender."""
        if self.lost or all(sender == member for member in self.members):
            return
        as_text = self._faults.messages_as is MessagesAs.STRING
        body = msgspec.json.encode(message).decode() if as_text else message
        self.post({"op": "message", "from": sender, "message": body}, but=sender)

    def take(self, text: str) -> Any:
        """The message that a participant sends. Raises Refused."""
        self._messages += 1
        if self._faults.strict_bytes and len(text.encode()) > MAX_MESSAGE_BYTES:
            raise Refused(f"the message is larger than {MAX_MESSAGE_BYTES} bytes")
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Refused("the message is not JSON") from error
        if self._messages == self._faults.refuse_nth or (
            self._faults.refuse_probability
            and self._dice.random() < self._faults.refuse_probability
        ):
            raise Refused("the room failed to send it")
        return message
