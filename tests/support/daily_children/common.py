"""What several trials need."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import daily

from app.daily.audio import FRAME_BYTES

FRAME = bytes(FRAME_BYTES)
"""20 ms."""

DEADLINE_S = 20.0
"""Only what never comes meets it."""


class Listener(daily.EventHandler):
    """Keeps what the client tells."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[str]] = []

    def on_error(self, message: str) -> None:
        """Keep it."""
        self.told.append(["error", message])

    def on_call_state_updated(self, state: str) -> None:
        """Keep it."""
        self.told.append(["state", state])


def finish(finding: Any) -> None:
    """Print it."""
    sys.stdout.write(json.dumps(finding) + "\n")
    sys.stdout.flush()


def settle() -> None:
    """Wait until the last completion has returned, for a source that is about to go."""
    time.sleep(0.1)
