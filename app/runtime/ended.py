"""A session that is over: it can be looked at, and refuses everything else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.core.spec import SessionView
from app.core.wire_out import InterruptAccepted
from app.errors import SessionOver


class Ended:
    """To callers the same as a ``Runner`` that is over, but small."""

    def __init__(self, view: SessionView) -> None:
        """Keep what it was, but not the body it was asked for with: that may be large."""
        self._view = replace(view, spec=replace(view.spec, conversation={}))
        self.session_id = view.session_id

    def view(self) -> SessionView:
        """The session as it was at its end."""
        return self._view

    def touch(self) -> None:
        """Do nothing: it cannot be idle."""

    async def wait_ready(self) -> None:
        """Raise ``SessionOver``."""
        raise SessionOver

    async def interrupt(
        self,
        *,
        request_id: str | None = None,  # noqa: ARG002  # a Runner takes them
        utterance_id: str | None = None,  # noqa: ARG002
        reason: str | None = None,  # noqa: ARG002
    ) -> InterruptAccepted:
        """Raise ``SessionOver``."""
        raise SessionOver

    async def interact(self, event_type: str, properties: dict[str, Any]) -> None:  # noqa: ARG002
        """Raise ``SessionOver``."""
        raise SessionOver

    def take_callback(self, message: dict[str, Any]) -> None:
        """Do nothing: Tavus posts transcripts long after the end."""

    async def stop(self, reason: str) -> None:
        """Do nothing: it has ended."""
