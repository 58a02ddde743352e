"""Let a running service speak, as a backend with a TTS would.

::

    create the session ─▶ connect ─▶ utterance.start, packets, utterance.end   (held by flow.pause)
             │               │
             │               └─ events in ─▶ lines, position, barge-in ─▶ utterance.done
             └─▶ connect as a viewer, if asked to: picture and sound in ─▶ file
    whatever happened: delete the session, tell the times
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
from rich.console import Console
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.core.pcm import Encoding
from app.errors import FormatMismatch, SessionOver
from app.runtime.clock import NS_PER_S, Clock, SystemClock
from app.runtime.tasks import Tasks
from app.speak.recording import Recording
from app.speak.report import Report, Times
from app.speak.source import length_ms, packets
from app.speak.stream import SpeakFailed, opened, refused, said
from app.speak.watching import watching
from app.speak.wish import Wish

UTTERANCE = "speak"
"""The id of the one utterance, and of its start."""
BARGE_IN = "barge-in"
"""The id of the interrupt."""

NO_AUDIO = "there was no audio to speak"

CREATE_TIMEOUT_S = 60.0
"""Tavus may take 20 s for a conversation, and behind a proxy there is a second wait."""
END_TIMEOUT_S = 10.0
"""The service answers a delete after the cut, which takes at most 250 ms."""
BARRIER_BYTES = 16_384
"""After so much audio a ``ping`` is sent and its ``pong`` awaited: a ``flow.pause`` has come before
it. Without this the network could hold more audio than the service has room for. It is 2 s of µ-law
at 8 kHz, and with round trips of 50 ms still seven times real time for 16 bits at 24 kHz."""
PROGRESS_MS = 100
"""A bar that moves ten times a second looks smooth."""


def run(wish: Wish) -> int:
    """Speak and return the exit code: 0, 1 for a failure, or 128 plus the signal that ended it."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        # A file that is no audio is found out before a session costs anything.
        total_ms = length_ms(wish.source, wish.format) if isinstance(wish.source, bytes) else None
        if total_ms == 0:
            return _fail(NO_AUDIO)
        # So is a file that cannot be written.
        recording = None if wish.save_frames is None else Recording(wish.save_frames)
        asyncio.run(_run(wish, Report(console, total_ms), recording))
    except FormatMismatch as mismatch:
        return _fail(f"{mismatch.code}: {mismatch.detail}")
    except SpeakFailed as failed:
        return _fail(str(failed), failed.exit_code)
    return 0


def _fail(line: str, exit_code: int = 1) -> int:
    print(f"avatar-bridge: {line}", file=sys.stderr)  # noqa: T201  # a command's own voice
    return exit_code


async def _run(wish: Wish, report: Report, recording: Recording | None) -> None:
    speaking = Speaking(wish, SystemClock(), report, recording)
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        speaking.stop(SpeakFailed(f"stopped by {number.name}", 128 + number))

    # They stay ours to the end, which no wait keeps for long: a second one must not leave a session
    # behind. timeout(1), for one, always sends two.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        await speaking.run()
    finally:
        if recording is not None and (saved := await asyncio.to_thread(recording.close)):
            report.line(f"saved   {saved}")


class Speaking:
    """One session with one utterance, from its creation to its end."""

    def __init__(
        self, wish: Wish, clock: Clock, report: Report, recording: Recording | None
    ) -> None:
        """Prepare; needs a running event loop. ``recording`` takes what the avatar shows."""
        self._wish = wish
        self._clock = clock
        self._report = report
        self._recording = recording
        self._times = Times()
        self._tasks = Tasks(lambda _, error: self.stop(error))
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._pong = asyncio.Event()
        self._error: dict[str, Any] = {}
        self._outcome: asyncio.Future[BaseException | None] = (
            asyncio.get_running_loop().create_future()
        )

    def stop(self, error: BaseException | None) -> None:
        """End with ``error``, or well with None; what is said first holds."""
        if not self._outcome.done():
            self._outcome.set_result(error)

    async def run(self) -> None:
        """Speak. Raises SpeakFailed. The session is ended in any case."""
        wish = self._wish
        self._times.asked = self._clock.now()
        async with httpx.AsyncClient(
            base_url=wish.url, headers=wish.headers, timeout=CREATE_TIMEOUT_S
        ) as http:
            session = await self._create(http)
            try:
                with self._report:
                    await self._perform(session)
            finally:
                await self._end(http, session)
                self._report.summary(self._times)

    async def _create(self, http: httpx.AsyncClient) -> dict[str, Any]:
        """Create the session. A signal waits for it: one that nobody ends would cost money."""
        try:
            answer = await http.post("/sessions", json=self._wish.session)
        except httpx.HTTPError as error:
            raise SpeakFailed(f"no service answers at {self._wish.url}: {said(error)}") from None
        if answer.status_code != 201:
            raise refused("the session was refused", answer.status_code, answer.content)
        self._times.created = self._clock.now()
        session: dict[str, Any] = answer.json()
        self._report.created(session)
        return session

    async def _end(self, http: httpx.AsyncClient, session: dict[str, Any]) -> None:
        try:
            await http.delete(f"/sessions/{session['id']}", timeout=END_TIMEOUT_S)
        except httpx.HTTPError as error:
            self._report.line(f"the session could not be ended: {said(error)}")

    async def _perform(self, session: dict[str, Any]) -> None:
        if self._recording is None:
            await self._speak(session)
            return
        async with watching(session, self._recording, self._clock, self.stop) as began:
            await self._speak(session, began)

    async def _speak(
        self, session: dict[str, Any], began: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Speak, and return when all is over; not before ``began`` has returned."""
        url = f"{session['stream_url']}?progress_ms={PROGRESS_MS}"
        async with opened(url, self._wish.headers) as socket:
            self._tasks.spawn("reader", self._read(socket))
            self._tasks.spawn("sender", self._send(socket, began))
            try:
                error = await self._outcome
            finally:
                await self._tasks.close()
        if error is not None:
            raise error

    # --- out

    async def _send(
        self, socket: ClientConnection, began: Callable[[], Awaitable[object]] | None
    ) -> None:
        if began is not None:
            await began()
        fmt = self._wish.format
        shown: dict[str, Any] = {"encoding": fmt.encoding}
        if fmt.encoding is not Encoding.WAV:
            shown |= {"sample_rate": fmt.sample_rate, "channels": fmt.channels}
        start = {"type": "utterance.start", "utterance_id": UTTERANCE, "format": shown}
        try:
            await socket.send(json.dumps(start | {"id": UTTERANCE}))
            unsure = 0
            async for packet in packets(self._wish.source, self._wish.packet_bytes):
                if unsure >= BARRIER_BYTES:
                    self._pong.clear()
                    await socket.send(json.dumps({"type": "ping"}))
                    await self._pong.wait()
                    unsure = 0
                await self._may_send.wait()
                if self._times.interrupt_sent is not None:
                    return  # who barges in stops its TTS
                await socket.send(packet)
                unsure += len(packet)
            await socket.send(json.dumps({"type": "utterance.end", "utterance_id": UTTERANCE}))
        except ConnectionClosed:
            pass  # the reader tells why
        except OSError as error:
            self.stop(SpeakFailed(f"the audio cannot be read: {said(error)}"))

    async def _barge_in(self, socket: ClientConnection, after_s: float) -> None:
        await self._clock.sleep_until(self._clock.now() + int(after_s * NS_PER_S))
        self._times.interrupt_sent = self._clock.now()
        self._may_send.set()
        with suppress(ConnectionClosed):  # the reader tells why
            await socket.send(json.dumps({"type": "interrupt", "id": BARGE_IN}))

    # --- in

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                self._take(socket, json.loads(text), self._clock.now())
        except ConnectionClosed:
            pass  # told below, whether with a close frame or without
        code, reason = socket.close_code, socket.close_reason
        self.stop(SpeakFailed(f"the stream was closed: {code} {reason or ''}".rstrip()))

    def _take(self, socket: ClientConnection, message: dict[str, Any], now: int) -> None:
        times = self._times
        self._report.event(message, now - times.asked)
        match message:
            case {"type": "flow.pause"}:
                self._may_send.clear()
            case {"type": "flow.resume"}:
                self._may_send.set()
            case {"type": "pong"}:
                self._pong.set()
            case {"type": "session.ready"}:
                times.ready = times.ready or now
            case {"type": "utterance.started", "utterance_id": str(utterance_id)}:
                after_s = self._wish.interrupt_after_s
                if utterance_id == UTTERANCE and after_s is not None:
                    self._tasks.spawn("barge-in", self._barge_in(socket, after_s))
            case {"type": "playback.progress", "played_ms": int(played_ms)}:
                self._report.played(played_ms)
            case {"type": "interrupt.accepted", "id": str(request)} if request == BARGE_IN:
                times.interrupt_accepted = now
            case {"type": "replica.stopped_speaking"} if times.interrupt_sent is not None:
                times.stopped = times.stopped or now
            case {"type": "utterance.done", "utterance_id": str(utterance_id)}:
                if utterance_id == UTTERANCE:
                    self._done(message, now)
            case {"type": "error"}:
                self._error = message
                if message.get("ref") == UTTERANCE:
                    self.stop(SpeakFailed(f"{message['code']}: {message['message']}"))
            case {"type": "session.ended", "reason": str(reason)}:
                detail = f": {message['detail']}" if message.get("detail") else ""
                self.stop(SpeakFailed(f"the session ended: {reason}{detail}"))

    def _done(self, done: dict[str, Any], now: int) -> None:
        times = self._times
        times.done = done
        times.stopped = times.stopped or now
        self._report.played(done["played_ms"], done["received_ms"])
        status, code = done["status"], done.get("code")
        if code == SessionOver.code:
            return  # ``session.ended`` comes next and says why
        if status == "failed":
            known = self._error.get("code") == code
            why = f"{code}: {self._error['message']}" if known else str(code)
            self.stop(SpeakFailed(f"the speech failed: {why}"))
        elif status == "interrupted" and times.interrupt_sent is None:
            self.stop(SpeakFailed("the speech was interrupted by somebody else"))
        elif not done["received_ms"]:
            self.stop(SpeakFailed(NO_AUDIO))
        else:
            self.stop(None)
