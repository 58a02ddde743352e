"""What is tried on the SDK, real or fake, in a child process that it may take down.

Run as ``python -m tests.support.daily_children NAME [ARGUMENT]``; the last line of standard output
is the finding, as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVarTuple, Unpack

import daily

import app.daily.room
from app.core.pcm import SAMPLE_RATE as RATE
from app.core.room_link import Join, encode
from app.daily import worker
from app.daily.audio import FRAME_BYTES, FRAME_SAMPLES, AudioOut
from app.daily.crossing import Crossing
from app.daily.errors import refusal_for
from app.daily.room import NO_MEDIA, PUBLISHING, SETTINGS, DailyRoom
from app.runtime.clock import Handle, SystemClock

Ts = TypeVarTuple("Ts")

FRAME = bytes(FRAME_BYTES)
"""20 ms."""

DEADLINE_S = 5.0
"""Only what never comes meets it."""

NOBODY = "6f1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f1"
"""A well-formed participant id."""


class Stopwatch(Crossing):
    """Notes the moment at which each frame was over, on the thread that says so."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.ends: list[float] = []

    def post(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, vital: bool = False
    ) -> None:
        """Note it and go on."""
        if args:  # the samples of a frame
            self.ends.append(time.monotonic())
        super().post(callback, *args, vital=vital)


class Player:
    """Our writer of audio, with a stopwatch on it."""

    def __init__(self, attic: set[object]) -> None:
        self.watch = Stopwatch()
        self.epoch = 0
        self._left = 0
        self._silent = asyncio.Event()
        self.out = AudioOut(
            self.watch,
            SystemClock(),
            attic,
            auto_silence=False,
            on_played=self._played,
            on_broken=lambda: os._exit(3),
        )

    def play(self, frames: int) -> None:
        """Play so many frames of 20 ms."""
        self._silent.clear()
        self._left += frames
        for _ in range(frames):
            self.out.write(self.epoch, FRAME)

    def cut(self) -> None:
        """Play no more than is in the source."""
        self.epoch += 1
        self._left = self.out.clear(self.epoch) // FRAME_SAMPLES - len(self.watch.ends)
        if self._left <= 0:
            self._silent.set()

    async def silence(self) -> None:
        """Wait until all is over."""
        async with asyncio.timeout(DEADLINE_S):
            await self._silent.wait()

    async def close(self) -> None:
        """Let go of it, as a room does."""
        await self.out.close()
        self.out.dispose_later()

    def _played(self, _: int) -> None:
        self._left -= 1
        if self._left <= 0:
            self._silent.set()


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


# --- audio


async def stalls(frames: str) -> None:
    """How late (ms) each frame is over while the event loop is blocked for 80 ms at times."""
    daily.Daily.init()
    player = Player(set())
    began = time.monotonic()
    player.play(int(frames))
    for _ in range(int(frames) // 10):
        await asyncio.sleep(0.12)
        time.sleep(0.08)  # noqa: ASYNC251  # a blocked loop is the point
    await player.silence()
    finish([(end - began) * 1000 - 20 * count for count, end in enumerate(player.watch.ends, 1)])
    await player.out.close()
    os._exit(0)  # as a worker ends


async def interrupts() -> None:
    """How long (ms) audio went on after each of ten interrupts, none at a frame's edge."""
    daily.Daily.init()
    player = Player(set())
    tails = []
    for number in range(10):
        player.play(100)
        await asyncio.sleep(0.06 + number * 0.002)
        at = time.monotonic()
        player.cut()
        await player.silence()
        tails.append((player.watch.ends[-1] - at) * 1000)
    finish(tails)
    await player.out.close()
    os._exit(0)  # as a worker ends


def writes() -> None:
    """What every kind of write answers, and on whose thread it completes."""
    daily.Daily.init()
    source = daily.CustomAudioSource(RATE, 1, auto_silence=False)
    main = threading.get_ident()
    found: dict[str, Any] = {"rate": source.sample_rate, "channels": source.channels}

    def write(name: str, frames: Any) -> None:
        done: list[Any] = []
        event = threading.Event()

        def completed(samples: int) -> None:
            done.extend([samples, threading.get_ident() == main])
            event.set()

        try:
            answer = source.write_frames(frames, completion=completed)
        except (TypeError, ValueError) as error:
            found[name] = type(error).__name__
            return
        event.wait(1)
        found[name] = [answer, *done]

    write("whole", FRAME)
    write("empty", b"")
    write("odd", b"abc")
    write("bytearray", bytearray(960))
    write("half a frame", bytes(240))
    write("whole after half", FRAME)
    write("the other half", bytes(240))

    inside: list[str] = []

    def again(_: int) -> None:
        for attempt in (
            lambda: source.write_frames(FRAME, completion=again),
            lambda: source.sample_rate,
            lambda: daily.CustomAudioTrack(source),
        ):
            try:
                attempt()
            except RuntimeError as error:
                inside.append(str(error).split(":", 1)[0])

    source.write_frames(b"", completion=again)
    began = time.monotonic()
    found["blocking"] = source.write_frames(FRAME * 5)
    found["blocked ms"] = round((time.monotonic() - began) * 10) * 100
    finish(found | {"inside": inside})
    settle()


def borrowed() -> None:
    """What a write and a look get while another thread is inside of a write."""
    daily.Daily.init()
    source = daily.CustomAudioSource(RATE, 1, False)
    writing = threading.Thread(target=source.write_frames, args=(FRAME * 25,))
    writing.start()
    time.sleep(0.1)
    errors = []
    attempts: list[Callable[[], int]] = [
        lambda: source.write_frames(FRAME, completion=lambda _: None),
        lambda: source.sample_rate,
    ]
    for attempt in attempts:
        try:
            attempt()
        except RuntimeError as error:
            errors.append(str(error))
    writing.join()
    finish(errors)
    settle()


# --- clients


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
    client.set_audio_renderer(NOBODY, print, callback_interval_ms=20)
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
    for room in rooms:
        listener = Listener()
        client = daily.CallClient(event_handler=listener)
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
        threading.Thread(target=client.release, daemon=True).start()
    for _ in rooms:
        assert ended.acquire(timeout=DEADLINE_S)
    settle()  # an error's event may follow its completion
    finish(found)


class Hasty(SystemClock):
    """A clock on which whatever is waited for comes ten times sooner."""

    def call_at(self, at: int, callback: Callable[[], None]) -> Handle:
        """Call soon."""
        now = self.now()
        return super().call_at(now + (at - now) // 10, callback)


def through_proxy(port: str) -> None:
    """Have every client ask a local server instead of Daily."""

    def proxied(event_handler: daily.EventHandler) -> daily.CallClient:
        client = daily.CallClient(event_handler=event_handler)
        client.set_proxy_url(f"https://127.0.0.1:{port}")
        return client

    vars(app.daily.room)["CallClient"] = proxied


async def rooms(port: str, *names: str) -> None:
    """What our rooms tell of joins whose look-ups a local server answers, or never does."""
    through_proxy(port)
    daily.Daily.init()
    told: dict[str, list[Any]] = {name: [] for name in names}
    ours = {
        name: DailyRoom(1, told[name].append, Hasty(), set(), auto_silence=False) for name in names
    }
    began = time.monotonic()
    await asyncio.gather(
        *(
            room.join(Join(1, f"https://test.daily.co/{name}", None, "Bridge", track=True))
            for name, room in ours.items()
        )
    )
    joined = time.monotonic()
    await asyncio.gather(*(room.leave() for room in ours.values()))
    found = {name: [[report.reason, report.again] for report in told[name]] for name in names}
    finish({"told": found, "join s": joined - began, "leave s": time.monotonic() - joined})


def worker_joining(port: str) -> None:
    """Be a whole worker whose service goes away while a join runs that never ends."""
    through_proxy(port)
    ours, theirs = socket.socketpair()

    def be_the_service() -> None:
        ours.sendall(encode(Join(1, "https://test.daily.co/slow", None, "Bridge", track=True)))
        time.sleep(0.5)
        ours.close()

    threading.Thread(target=be_the_service, daemon=True).start()
    sys.argv[1:] = ["--fd", str(theirs.detach())]
    worker.main()


# --- lifetimes


async def lifetimes(count: str) -> None:
    """Threads, descriptors and kilobytes before and after so many writers and clients."""
    daily.Daily.init()
    random.seed(1)
    await _live_and_die(40)  # what is made once is there before we count
    before = _held()
    began = time.monotonic()
    await _live_and_die(int(count))
    finish({"before": before, "after": _held(), "s": round(time.monotonic() - began, 1)})


async def _live_and_die(count: int) -> None:
    """Twenty at a time play, are cut or cancelled at any moment, and go."""
    attic: set[object] = set()
    for _ in range(0, count, 20):
        await asyncio.gather(*(_one_life(attic) for _ in range(20)))
    async with asyncio.timeout(DEADLINE_S):
        while attic:  # noqa: ASYNC110  # nobody tells when the last one goes
            await asyncio.sleep(0.02)
    gc.collect()


async def _one_life(attic: set[object]) -> None:
    player = Player(attic)
    client = daily.CallClient(event_handler=Listener())
    track = player.out.track
    assert track is not None  # there until it is closed
    client.add_custom_audio_track("stream", track, ignore_audio_level=True)

    async def speak() -> None:
        for _ in range(random.randrange(1, 6)):
            player.play(random.randrange(1, 4))
            await asyncio.sleep(random.random() * 0.02)
            if random.random() < 0.3:
                player.cut()
        await player.silence()

    speaking = asyncio.create_task(speak())
    await asyncio.sleep(random.random() * 0.1)
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    await player.close()
    left = threading.Event()
    client.leave(completion=lambda _: left.set())
    assert left.wait(DEADLINE_S)
    client.release()


def _held() -> dict[str, int]:
    own = Path("/proc/self")
    pages = int((own / "statm").read_text().split()[1])
    return {
        "threads": len(list((own / "task").iterdir())),
        "descriptors": len(list((own / "fd").iterdir())),
        "kb": pages * resource.getpagesize() // 1024,
    }


# --- endings


def settle() -> None:
    """Wait until the last completion has returned, for a source that is about to go."""
    time.sleep(0.1)


def exit_pending() -> None:
    """End at once with a second of audio pending."""
    daily.Daily.init()
    source = daily.CustomAudioSource(RATE, 1, False)
    source.write_frames(FRAME * 50, completion=lambda _: None)
    time.sleep(0.05)
    os._exit(0)


def exit_drained() -> None:
    """End plainly once all audio is over, with everything still there."""
    daily.Daily.init()
    globals()["source"] = source = daily.CustomAudioSource(RATE, 1, False)
    globals()["track"] = daily.CustomAudioTrack(source)
    globals()["client"] = daily.CallClient(event_handler=Listener())
    played = threading.Event()
    source.write_frames(FRAME * 5, completion=lambda _: played.set())
    assert played.wait(DEADLINE_S)
    settle()


def exit_joining(port: str) -> None:
    """End plainly while a join runs that is abandoned to a thread."""
    daily.Daily.init()
    client: Any = daily.CallClient()
    client.set_proxy_url(f"https://127.0.0.1:{port}")
    client.join("https://test.daily.co/room")
    threading.Thread(target=client.release, daemon=True).start()
    time.sleep(0.3)


# --- what must never be done


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


CHILDREN: dict[str, Callable[..., Coroutine[Any, Any, None] | None]] = {
    child.__name__: child
    for child in (
        *(stalls, interrupts, writes, borrowed),
        *(requests, threads_of_callbacks, lookup, rooms, worker_joining, lifetimes),
        *(exit_pending, exit_drained, exit_joining),
        *(init_twice, client_first, watch_nobody, drop_pending, drop_inside, exit_undrained),
        *(call_in_release, release_in_callback, ask_who, end_it, drop_client),
    )
}


if __name__ == "__main__":
    work = CHILDREN[sys.argv[1]](*sys.argv[2:])
    if work is not None:
        asyncio.run(work)
