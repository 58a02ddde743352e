"""Encodes pictures beside the event loop: a few threads, which all rooms of the process share.

Each room has at most one picture in the threads and one that waits; a newer one takes the place of
that. So pictures come out in order, never more than two late, and a process that cannot encode all
its pictures shows fewer of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from msgspec.structs import replace

from app.core.media import Picture, PictureChoice, RawPicture
from app.core.pace import Pace
from app.runtime.room import ReportMedia

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter

MAX_THREADS = 4
"""One encodes 1280x720 to JPEG about 400 times a second; the event loop needs a core as well."""

log = logging.getLogger(__name__)


class Encoders:
    """The threads. They start with the first picture; ``close`` ends them."""

    def __init__(self, threads: int | None = None) -> None:
        """Have none; at most ``threads`` will be, by default one less than there are cores."""
        if threads is None:
            threads = max(1, min(MAX_THREADS, (os.cpu_count() or 2) - 1))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="encoder")

    def encoder(self, show: ReportMedia) -> Encoder:
        """Make one room's; its pictures go to ``show``, on the event loop."""
        return Encoder(self._pool, show)

    def close(self) -> None:
        """End the threads, once each has finished its picture; close every ``Encoder`` before."""
        self._pool.shutdown(cancel_futures=True)


class Encoder:
    """One room's pictures on their way to those who watch."""

    def __init__(self, pool: ThreadPoolExecutor, show: ReportMedia) -> None:
        """Want nothing."""
        self._pool = pool
        self._show = show
        self._scaler: VideoReformatter | None = None
        self._paces: dict[PictureChoice, Pace] = {}
        self._busy = False
        self._waiting: tuple[RawPicture, set[PictureChoice]] | None = None
        self._skipped: Counter[PictureChoice] = Counter()
        """Pictures that were due and were not encoded, since the last one that was."""

    def watch(self, choices: frozenset[PictureChoice]) -> None:
        """Make these from now on; what is being made of others is not shown any more."""
        self._paces = {
            choice: self._paces.get(choice) or Pace(choice.max_fps) for choice in choices
        }
        self._skipped = Counter(
            {choice: n for choice, n in self._skipped.items() if choice in choices}
        )

    def close(self) -> None:
        """Show nothing more."""
        self.watch(frozenset())
        self._waiting = None

    def take(self, raw: RawPicture) -> None:
        """Encode this picture for whom it is due, unless a newer one comes before its turn."""
        due = {choice for choice, pace in self._paces.items() if pace.admits(raw.captured_us)}
        if self._waiting is not None:
            self._skipped.update(due & self._waiting[1])
            due |= self._waiting[1]  # who was to get that one gets this one instead
        if due:
            self._waiting = (raw, due)
            self._start()

    def _start(self) -> None:
        if self._busy or self._waiting is None:
            return
        (raw, due), self._waiting = self._waiting, None
        due &= self._paces.keys()
        skipped = {choice: self._skipped.pop(choice, 0) for choice in due}
        self._busy = True
        loop = asyncio.get_running_loop()
        encoding = loop.run_in_executor(self._pool, self._encode, raw, due)
        encoding.add_done_callback(lambda encoding: self._made(encoding, skipped))

    def _encode(self, raw: RawPicture, choices: Iterable[PictureChoice]) -> list[Picture]:
        """Do as ``app.core.picture.encode``, in a thread: never in two at once."""
        # Here, since they take 17 MB that nobody needs who does not watch.
        from av.video.reformatter import VideoReformatter  # noqa: PLC0415  # see above

        from app.core.picture import encode  # noqa: PLC0415  # see above

        if self._scaler is None:
            self._scaler = VideoReformatter()
        return encode(raw, choices, self._scaler)

    def _made(
        self, encoding: asyncio.Future[list[Picture]], skipped: dict[PictureChoice, int]
    ) -> None:
        self._busy = False
        if encoding.cancelled():  # the threads are gone
            return
        error = encoding.exception()
        if error is not None:
            log.error("a picture could not be encoded", exc_info=error)
        else:
            for picture in encoding.result():
                if picture.choice in self._paces:
                    self._show(replace(picture, skipped=skipped[picture.choice]))
        self._start()
