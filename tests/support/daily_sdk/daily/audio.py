"""Custom audio: a source that plays what is written at its own pace, and the track made of it."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable

from . import cloud
from .events import guarded
from .process import PROCESS, PanicException

FRAME_NS = 10_000_000
"""The native library works in frames of 10 ms."""

CATCH_UP_NS = 50_000_000
"""So late frames are caught up in a burst; later than that the clock begins anew."""

STEP = 2
"""Frames handed over at once, at most."""

Completion = Callable[[int], None]


class Sender:
    """A source's thread and what it has to play; knows nothing of the Python object."""

    def __init__(self, frame_bytes: int, frame_samples: int) -> None:
        self.frame_bytes = frame_bytes
        self._frame_samples = frame_samples
        self.sinks: dict[object, Callable[[bytes], None]] = {}
        """Where the audio goes: one a client that publishes the track."""
        self._news = threading.Condition()
        self._audio = bytearray()
        self._written = 0
        """Bytes since the source was made, those that wait included."""
        self._played = 0
        self._waiting: deque[tuple[int, int, Completion]] = deque()
        """Byte at which a write ends, its samples, and whom to tell."""
        self._in_completion = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> str | None:
        """Why the source must not go now, if it must not."""
        if self._in_completion:
            return "a completion that has not returned"
        return "writes pending" if self._waiting else None

    def write(self, audio: bytes, samples: int, completion: Completion) -> bool:
        """Queue it; False when it ends inside a frame, so that nobody will tell its end."""
        with self._news:
            self._audio += audio
            self._written += len(audio)
            whole = len(audio) % self.frame_bytes == 0
            if not audio or (not whole and self._written % self.frame_bytes):
                return False
            end = self._written - self._written % self.frame_bytes
            self._waiting.append((end, samples, completion))
            PROCESS.unfinished[self] = "writes pending"
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="DailyAudioSender", daemon=True
                )
                self._thread.start()
            self._news.notify()
        return True

    def stop(self) -> None:
        """End the thread; nothing may be under way."""
        with self._news:
            self._stopped = True
            self._news.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        due = 0
        while (frames := self._next_step()) and not self._stopped:
            now = time.monotonic_ns()
            due += frames * FRAME_NS
            if now - due > CATCH_UP_NS:
                due = now + frames * FRAME_NS
            time.sleep(max(0, due - now) / 1e9)
            self._hand_over(frames * self.frame_bytes)

    def _next_step(self) -> int:
        """Wait for audio; the frames to play next, never beyond the end of a write."""
        with self._news:
            self._news.wait_for(lambda: self._stopped or len(self._audio) >= self.frame_bytes)
            there = len(self._audio) // self.frame_bytes
            if self._waiting:
                there = min(there, (self._waiting[0][0] - self._played) // self.frame_bytes)
            return min(max(there, 1), STEP)

    def _hand_over(self, size: int) -> None:
        with self._news:
            audio = bytes(self._audio[:size])
            del self._audio[:size]
            self._played += size
            done = None
            if self._waiting and self._waiting[0][0] <= self._played:
                self._in_completion = True
                done = self._waiting.popleft()
        for sink in list(self.sinks.values()):
            sink(audio)
        if done is None:
            return
        _, samples, completion = done
        guarded(completion, samples)
        del completion, done  # may be what kept the source alive: it would go right here
        with self._news:
            self._in_completion = False
            if not self._waiting:
                PROCESS.unfinished.pop(self, None)


class CustomAudioSource:
    """Plays in real time whatever is written, however much that is."""

    def __init__(self, sample_rate: int, channels: int, auto_silence: bool = True) -> None:
        """Have nothing to play.

        The silence of ``auto_silence`` is not sent on: the rooms here take every frame for speech.
        """
        PROCESS.check("CustomAudioSource")
        self._sample_rate = sample_rate
        self._channels = channels
        self._borrowed = threading.Lock()
        self._sender = Sender(sample_rate // 100 * 2 * channels, sample_rate // 100)
        cloud.log("source", sample_rate=sample_rate, channels=channels, auto_silence=auto_silence)

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        self._check_borrow()
        return self._sample_rate

    @property
    def channels(self) -> int:
        """Samples a moment."""
        self._check_borrow()
        return self._channels

    def write_frames(self, frames: bytes, completion: Completion | None = None) -> int:
        """Play this after what is there; wait for its end unless there is a completion."""
        PROCESS.check("write_frames")
        if type(frames) is not bytes:
            raise TypeError(f"'{type(frames).__name__}' object is not an instance of 'bytes'")
        if not self._channels:
            raise PanicException("attempt to divide by zero")
        if len(frames) % (2 * self._channels):
            raise ValueError("frames bytestring should contain 16-bit samples")
        samples = len(frames) // 2 // self._channels
        if not self._borrowed.acquire(blocking=False):
            raise RuntimeError("Already borrowed")
        try:
            # The real one lets go of the GIL here: a second writer meets the borrow.
            time.sleep(0)
            if completion is None:
                self._write_and_wait(frames, samples)
            elif not self._sender.write(frames, samples, completion):
                guarded(completion, samples)
        finally:
            self._borrowed.release()
        return samples

    def _write_and_wait(self, frames: bytes, samples: int) -> None:
        padding = -len(frames) % self._sender.frame_bytes
        played = threading.Event()
        if self._sender.write(frames + bytes(padding), samples, lambda _: played.set()):
            played.wait()

    def _check_borrow(self) -> None:
        if self._borrowed.locked():
            raise RuntimeError("Already mutably borrowed")

    def __del__(self) -> None:
        sender = getattr(self, "_sender", None)
        if sender is None:
            return
        if sender.busy is not None:
            cloud.die(f"a CustomAudioSource was destroyed with {sender.busy}")
        if not sys.is_finalizing():
            sender.stop()


class CustomAudioTrack:
    """A source as something that can be published; does not keep the source alive."""

    def __init__(self, audio_source: CustomAudioSource) -> None:
        PROCESS.check("CustomAudioTrack")
        audio_source._check_borrow()
        self._sender = audio_source._sender
        self._id = str(uuid.uuid4())

    @property
    def id(self) -> str:
        """Its name in WebRTC."""
        return self._id
