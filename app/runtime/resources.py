"""What all sessions of a process share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.core.callbacks import Callbacks
from app.core.events import ConversationCreated
from app.core.spec import AudioPathName, NamedId
from app.runtime.bills import Bills
from app.runtime.clock import Clock
from app.runtime.journal import Journal
from app.runtime.metrics import Metrics
from app.runtime.room import ReportFact, ReportMedia, Room
from app.runtime.tasks import Tasks
from app.settings import Settings

RoomFactory = Callable[[ConversationCreated, AudioPathName, ReportFact, ReportMedia, Tasks], Room]
"""Makes the room of a conversation; what it reports goes to these, tasks live with the session."""

NameOf = Callable[[NamedId | None], Awaitable[str]]
"""Tells how the replica of a persona is called in its room, empty when nobody knows."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Made once by the composition root."""

    settings: Settings
    clock: Clock
    journal: Journal
    bills: Bills
    callbacks: Callbacks
    make_room: RoomFactory
    metrics: Metrics
    name_of: NameOf
