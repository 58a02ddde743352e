"""What ``speak`` shows: one line an event, a bar with the played position, the times at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from app.runtime.clock import NS_PER_S

QUIET = frozenset({"audio.ack", "playback.progress", "pong", "tavus.event"})
"""Not shown: acks and pongs are bookkeeping, progress moves the bar, and the room's raw events say
in three messages what ``replica.*`` says in one."""

UNSHOWN = frozenset(
    {"type", "seq", "ts_ms", "protocol", "received", "resume_token", "resumed", "limits"}
    | {"heartbeat_ms", "open_utterance"}
)
"""Fields that tell a reader nothing, or must not be told."""

NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Times:
    """When things happened, monotonic ns; None: not at all."""

    asked: int = 0
    """The session was asked for."""
    created: int | None = None
    ready: int | None = None
    interrupt_sent: int | None = None
    interrupt_accepted: int | None = None
    stopped: int | None = None
    """After an interrupt the replica was silent."""
    done: dict[str, Any] | None = None
    """The ``utterance.done``, which has the service's own times."""


class Report:
    """Writes to a console. As a context it keeps the bar below the lines, on a terminal."""

    def __init__(self, console: Console, total_ms: int | None) -> None:
        """Expect ``total_ms`` of audio; None: nobody knows yet."""
        self._console = console
        self._bar = Progress(
            TextColumn("played"),
            BarColumn(),
            _Position(),
            console=console,
            auto_refresh=False,  # would be a thread; every position refreshes
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total_ms)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def created(self, session: dict[str, Any]) -> None:
        """Say which session it is, and where it can be watched."""
        self.line(f"session {session['id']} in room {session['room']}")
        if session.get("conversation_url"):
            self.line(f"watch   {session['conversation_url']}")

    def event(self, message: dict[str, Any], at: int) -> None:
        """Show a message of the service, ``at`` ns after the start."""
        if message["type"] not in QUIET:
            shown = (f"{k}={_value(v)}" for k, v in message.items() if k not in UNSHOWN)
            self.line(f"{at / NS_PER_S:8.3f}  {message['type']:<20}  {' '.join(shown)}".rstrip())

    def line(self, text: str) -> None:
        """Show one line."""
        self._bar.console.print(text, markup=False)

    def played(self, played_ms: int, total_ms: int | None = None) -> None:
        """Move the bar; ``total_ms`` once it is known for sure."""
        if total_ms is not None:
            self._bar.update(self._task, total=total_ms)
        self._bar.update(self._task, completed=played_ms, refresh=True)

    def summary(self, times: Times) -> None:
        """Show what is known of the times."""
        for name, value in _latencies(times):
            self.line(f"{name:<28}{value:>7} ms")
        if times.done is not None:
            done = times.done
            self.line(
                f"{done['status']}: {done['played_ms']} of {done['received_ms']} ms were played, "
                f"says the {done['source']}"
            )


class _Position(ProgressColumn):
    """``1.2 of 3.4 s``."""

    def render(self, task: Task) -> Text:
        """Draw it."""
        of = "" if task.total is None else f" of {task.total / 1000:.1f}"
        return Text(f"{task.completed / 1000:.1f}{of} s")


def _latencies(times: Times) -> list[tuple[str, int]]:
    latency = (times.done or {}).get("latency", {})
    found = [
        ("create", _ms(times.asked, times.created)),
        ("create to ready", _ms(times.created, times.ready)),
        ("first byte to first sent", latency.get("first_sent_ms")),
        ("first byte to first played", latency.get("started_ms")),
        ("interrupt to accepted", _ms(times.interrupt_sent, times.interrupt_accepted)),
    ]
    if times.interrupt_accepted is not None:
        found.append(("interrupt to silence", _ms(times.interrupt_sent, times.stopped)))
    return [(name, value) for name, value in found if value is not None]


def _ms(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else (end - start) // NS_PER_MS


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
