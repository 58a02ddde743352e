"""What must never be done."""

from __future__ import annotations

import threading
import time

import daily

from app.core.pcm import SAMPLE_RATE as RATE
from tests.support.daily_children.common import FRAME


def init_twice() -> None:
    """Abort."""
    daily.Daily.init()
    daily.Daily.init()


def client_first() -> None:
    """Abort."""
    daily.CallClient()


def watch_nobody() -> None:
    """Abort."""
    daily.Daily.init()
    daily.CallClient().set_video_renderer("nobody", print)


def drop_pending() -> None:
    """Freeze: the only reference to a source goes while it plays."""
    daily.Daily.init()
    source = daily.CustomAudioSource(RATE, 1, False)
    source.write_frames(FRAME * 10, completion=lambda _: None)
    del source


def drop_inside() -> None:
    """Abort: the completion holds the only reference to the source."""
    daily.Daily.init()
    holder = [daily.CustomAudioSource(RATE, 1, False)]
    holder[0].write_frames(FRAME, completion=lambda _: holder.clear())
    time.sleep(0.5)


def exit_undrained() -> None:
    """Crash now and then: a plain end with audio pending."""
    daily.Daily.init()
    globals()["source"] = source = daily.CustomAudioSource(RATE, 1, False)
    source.write_frames(FRAME * 10, completion=lambda _: None)


def call_in_release() -> None:
    """Freeze: a client's method while another thread is in its ``release``."""
    daily.Daily.init()
    client = daily.CallClient()
    client.join("https://test.daily.co/room")
    threading.Thread(target=client.release, daemon=True).start()
    time.sleep(0.05)
    client.set_user_name("Bridge")


def release_in_callback() -> None:
    """Never return: the emitter waits for itself."""
    daily.Daily.init()
    client = daily.CallClient()
    client.leave(completion=lambda _: client.release())
    time.sleep(0.5)


def ask_who() -> None:
    """Freeze while a join runs."""
    daily.Daily.init()
    daily.CallClient().participants()


def end_it() -> None:
    """Crash later."""
    daily.Daily.init()
    daily.Daily.deinit()


def drop_client() -> None:
    """Leak or block: a client goes without ``release``."""
    daily.Daily.init()
    daily.CallClient()
