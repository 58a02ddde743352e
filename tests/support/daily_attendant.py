"""A child process that is in a room by way of the SDK, and does what it is told, line by line.

Run as ``python -m tests.support.daily_attendant``. A line of standard input is a request::

    {"id": 1, "call": "join", "args": ["https://x.daily.co/c1"], "more": {}}

``call`` is a client's method, ``play`` (so many frames of 20 ms) or ``watch`` (a participant). A
line of standard output is ``{"id": 1, "answer": [...]}`` or ``{"on": method, "args": [...],
"thread": id}``. The end of the input is the end of the child, with all that it should do before.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from functools import partial
from typing import Any

import daily

FRAME = bytes(range(240)) * 4
"""20 ms."""

DEADLINE_S = 10.0


class Teller(daily.EventHandler):
    """Tells everything."""

    def __getattribute__(self, name: str) -> Any:
        """Make a method of whatever is asked for."""
        return (
            partial(_tell_event, name) if name.startswith("on_") else super().__getattribute__(name)
        )


def say(**line: Any) -> None:
    """Write one line, whole."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _tell_event(name: str, *args: Any) -> None:
    say(on=name, args=args, thread=threading.get_native_id())


def main() -> None:
    """Attend until told otherwise."""
    daily.Daily.init()
    client = daily.CallClient(event_handler=Teller())
    source = daily.CustomAudioSource(24_000, 1, False)
    track = daily.CustomAudioTrack(source)
    pending = 0
    lock = threading.Lock()

    def played(_: int) -> None:
        nonlocal pending
        with lock:
            pending -= 1

    for line in sys.stdin:
        order = json.loads(line)
        answer = partial(_answer, order["id"])
        match order["call"]:
            case "play":
                with lock:
                    pending += 1
                source.write_frames(FRAME * order["args"][0], completion=played)
                answer()
            case "watch":
                client.set_video_renderer(order["args"][0], _seen, color_format="I420")
                client.set_audio_renderer(order["args"][0], _heard)
                answer()
            case "set_user_name":
                client.set_user_name(*order["args"])
                answer()
            case "add_custom_audio_track":
                client.add_custom_audio_track("stream", track, completion=answer)
            case call:
                getattr(client, call)(*order["args"], **order["more"], completion=answer)
    end = time.monotonic() + DEADLINE_S
    while pending and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.05)
    releasing = threading.Thread(target=client.release, daemon=True)
    releasing.start()
    releasing.join(1)


def _answer(number: int, *answer: Any) -> None:
    say(id=number, answer=answer)


def _seen(participant: str, frame: daily.VideoFrame, source: str) -> None:
    size = [frame.width, frame.height, len(frame.buffer)]
    say(on="video", args=[participant, source, *size], thread=threading.get_native_id())


def _heard(participant: str, data: daily.AudioData, source: str) -> None:
    size = [data.sample_rate, len(data.audio_frames)]
    say(on="audio", args=[participant, source, *size], thread=threading.get_native_id())


if __name__ == "__main__":
    main()
