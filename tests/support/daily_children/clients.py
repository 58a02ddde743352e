"""What a client answers outside of a room, and how a join fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import daily

from app.core.pcm import SAMPLE_RATE as RATE
from app.daily.errors import refusal_for
from app.daily.media import PIECE_MS
from app.daily.room import NO_MEDIA, PUBLISHING, SETTINGS
from tests.support.daily_children.common import DEADLINE_S, Listener, finish, settle

NOBODY = "6f1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f1"
"""A well-formed participant id."""


REQUESTS_TELL = 8
"""What a client tells while it answers all of ``requests``: four errors, and twice that it is
leaving and has left."""

LAST_WORDS = 4
"""What a client tells of a refused join: two errors, and that it is leaving and has left."""


def requests() -> None:
    """What every request answers that we make, outside of a room."""
    daily.Daily.init()
    listener = Listener()
    client = daily.CallClient(event_handler=listener)
    source = daily.CustomAudioSource(RATE, 1, False)
    track = daily.CustomAudioTrack(source)
    found: dict[str, Any] = {}

    def ask(name: str, request: Callable[..., None], *args: Any, **more: Any) -> None:
        answered = threading.Event()

        def completed(*answer: Any) -> None:
            found[name] = answer
            answered.set()

        try:
            request(*args, **more, completion=completed)
        except (TypeError, ValueError) as error:
            found[name] = f"{type(error).__name__}: {error}"
            return
        assert answered.wait(DEADLINE_S), name

    client.set_user_name("Bridge")
    ask("profiles", client.update_subscription_profiles, NO_MEDIA)
    ask("subscribe", client.update_subscriptions, {NOBODY: {"media": NO_MEDIA["base"]}})
    both = {"camera": "subscribed", "microphone": "subscribed"}
    ask("watch", client.update_subscriptions, {NOBODY: {"media": both}})
    ask("subscribe nobody", client.update_subscriptions, {"*": {"media": NO_MEDIA["base"]}})
    ask("inputs", client.update_inputs, SETTINGS["inputs"])
    ask("add", client.add_custom_audio_track, "stream", track, ignore_audio_level=True)
    ask("add again", client.add_custom_audio_track, "stream", track, ignore_audio_level=True)
    ask("publish", client.update_publishing, PUBLISHING)
    ask("publish plainly", client.update_publishing, {"customAudio": {"stream": True}})
    ask("swap", client.update_custom_audio_track, "stream", track)
    ask("remove", client.remove_custom_audio_track, "stream")
    ask("remove again", client.remove_custom_audio_track, "stream")
    ask("message", client.send_app_message, {"a": float("nan")})
    ask("message none", client.send_app_message, None)
    ask("message to all", client.send_app_message, {}, "*")
    ask("message of numbers", client.send_app_message, {1: 2})
    ask("leave", client.leave)
    ask("leave again", client.leave)
    ask("join nowhere", client.join, "")
    for form in ("I420", "NV12"):
        try:
            client.set_video_renderer(NOBODY, print, color_format=form)
        except ValueError as error:
            found[form] = str(error)
    client.set_audio_renderer(NOBODY, print, sample_rate=RATE, callback_interval_ms=PIECE_MS)
    late = time.monotonic() + DEADLINE_S
    while len(listener.told) < REQUESTS_TELL:
        assert time.monotonic() < late, listener.told  # events may follow the completion
        settle()
    client.release()
    for name, call in {"released": client.leave, "released twice": client.release}.items():
        try:
            call()
        except RuntimeError as error:
            found[name] = str(error)
    finish({"answers": found, "told": sorted(listener.told)})


def threads_of_callbacks() -> None:
    """Whether completions and events of a client all come from one thread, not ours."""
    daily.Daily.init()
    seen: list[int] = []

    class Watcher(daily.EventHandler):
        def on_error(self, message: str) -> None:
            seen.append(threading.get_native_id())

    client = daily.CallClient(event_handler=Watcher())
    answered = threading.Semaphore(0)

    def completed(_: str | None) -> None:
        seen.append(threading.get_native_id())
        answered.release()

    for _ in range(20):
        client.send_app_message({}, completion=completed)
    for _ in range(20):
        assert answered.acquire(timeout=DEADLINE_S)
    client.release()
    finish([len(seen), len(set(seen)), threading.get_native_id() in seen])


def lookup(port: str, *rooms: str) -> None:
    """How joins end whose look-ups a local server answers, each room in its way."""
    daily.Daily.init()
    ended = threading.Semaphore(0)
    found: dict[str, Any] = {}
    clients: list[daily.CallClient] = []
    for room in rooms:
        listener = Listener()
        client = daily.CallClient(event_handler=listener)
        clients.append(client)
        client.set_proxy_url(f"https://127.0.0.1:{port}")
        found[room] = answer = {"data": None, "error": None, "told": listener.told, "means": None}

        def completed(data: Any, error: str | None, answer: dict[str, Any] = answer) -> None:
            answer |= {"data": data, "error": error, "means": refusal_for(error or "").reason}
            ended.release()

        client.join(
            f"https://test.daily.co/{room}",
            "token",
            client_settings=SETTINGS,
            completion=completed,
        )
    for _ in rooms:
        assert ended.acquire(timeout=DEADLINE_S)
    late = time.monotonic() + DEADLINE_S
    while not all(len(answer["told"]) == LAST_WORDS for answer in found.values()):
        assert time.monotonic() < late, found  # events may follow the completion
        settle()
    for client in clients:
        client.release()
    finish(found)
