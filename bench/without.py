"""The service without one of its tricks, to see what that is worth.

Each puts the plain way in the place of the quick one, in this process, before anybody is served.
"""

from __future__ import annotations

import base64
import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.api import stream
from app.api.writer import Writer
from app.core import audio_path, tavus
from app.core.commands import Timer
from app.core.pcm import SAMPLE_RATE
from app.core.voice import Voice
from app.runtime import teller
from app.runtime.timers import Timers


@dataclass(frozen=True)
class Trick:
    """Something that the service does only to be quick."""

    text: str
    place: str
    """The module."""
    undo: Callable[[], None]


def undo(text: str | None) -> None:
    """Go without a trick, if one is named. Raises KeyError for what is none."""
    if text is not None:
        {trick.text: trick for trick in TRICKS}[text].undo()


def _parse_each() -> None:
    @contextmanager
    def offered(_scope: object, _take: object) -> Iterator[None]:
        yield

    _put(stream, "offered", offered)


def _hold_nothing() -> None:
    _put(audio_path._Segment, "wait_for", lambda *_: None)


def _work_on_each() -> None:
    wait_for = audio_path._Segment.wait_for

    def wait(segment: Any, samples: int) -> None:
        wait_for(segment, samples)
        segment._most = 0

    _put(audio_path._Segment, "wait_for", wait)


def _send_later() -> None:
    _put(Writer, "_send_now", lambda *_: False)


def _look_each_time() -> None:
    _put(Voice, "is_routine", lambda *_: False)


def _put_off() -> None:
    def touch(timers: Any, at: int) -> None:
        timers._touched_at = at
        if Timer.IDLE in timers._running:
            idle = timers._countdowns[Timer.IDLE]
            idle.restart(at)
            timers._running[Timer.IDLE].set(idle.next_deadline())

    _put(Timers, "touch", touch)


def _acknowledge_each() -> None:
    _put(teller, "ACK_NS", 0)


def _dump_json() -> None:
    def echo_message(
        conversation_id: str, inference_id: str, pcm: bytes, *, done: bool, done_as_string: bool
    ) -> str:
        properties = {
            "modality": "audio",
            "sample_rate": SAMPLE_RATE,
            "inference_id": inference_id,
            "done": str(done).lower() if done_as_string else done,
            "audio": base64.b64encode(pcm).decode(),
        }
        message = {
            "message_type": "conversation",
            "event_type": "conversation.echo",
            "conversation_id": conversation_id,
            "properties": properties,
        }
        return json.dumps(message, separators=(",", ":"))

    _put(tavus, "echo_message", echo_message)


def _collect_all() -> None:
    gc.unfreeze()
    gc.set_threshold(700)


TRICKS = (
    Trick("packets are taken where they arrive", "edge", _parse_each),
    Trick("messages go out where they come up", "api.writer", _send_later),
    Trick("packets wait until a chunk may come of them", "core.audio_path", _hold_nothing),
    Trick("packets of one read are worked on together", "core.audio_path", _work_on_each),
    Trick("a chunk like the one before looks at no deadline", "core.voice", _look_each_time),
    Trick("an acknowledgement is for many packets", "runtime.teller", _acknowledge_each),
    Trick("an echo message is written around its base64", "core.tavus", _dump_json),
    Trick("activity is noted until the alarm asks", "runtime.timers", _put_off),
    Trick("fewer looks for garbage, each a standstill", "cli", _collect_all),
    Trick("none: the service as it is, once more", "", lambda: None),
)


def _put(place: object, name: str, by: object) -> None:
    """Put ``by`` in the place of what is there, which must be."""
    assert hasattr(place, name)
    setattr(place, name, by)
