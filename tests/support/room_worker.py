"""A room worker without rooms: speaks the link as ``app.daily.worker`` does, or misbehaves.

Run as ``python -m tests.support.room_worker HOW --fd N --media-fd M``. ``HOW`` is ``good``,
``broken`` (ends at once), ``mute`` (is never ready), ``deaf`` (ready, and then answers nothing),
``stuck`` (never has left a room), ``stubborn`` (does not end) or ``mad`` (says what nobody
understands).

A room is told by its URL: one with ``fails`` cannot be joined, one with ``again`` not this time,
a join of one with ``unanswered`` never ends; one with ``silent`` answers neither messages nor
clears; of all others the first two frames sound at once and no more, and what is watched is shown
once. A message ``refuse``, ``large`` or ``lost`` meets its fate; ``die`` ends the process;
``say X`` is said to us as JSON ``X``; ``cut`` and ``mend`` are about the signalling; ``come`` and
``go`` about Anna.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from app.core import room_link as link
from app.core.events import Participant
from app.core.media import Picture, Sound, Wants

ANNA = Participant("p-replica", "tavus-replica-r1", "Anna")


class FakeWorker:
    """Blocks; there is nothing else in this process."""

    def __init__(self, how: str, descriptor: int, media_descriptor: int) -> None:
        self._how = how
        self._socket = socket.socket(fileno=descriptor)
        self._media_socket = socket.socket(fileno=media_descriptor)
        self._urls: dict[int, str] = {}
        self._frames: dict[int, int] = {}

    def run(self) -> None:
        """Serve until the link ends."""
        reader = link.order_reader()
        if self._how == "broken":
            os._exit(7)
        if self._how == "mad":
            self._socket.sendall(b"\xff\xff\xff\xff")
        if self._how != "mute":
            self._tell(link.Ready())
        while data := self._socket.recv(65536):
            for order in reader.feed(data):
                if self._how not in {"mute", "deaf"}:
                    self._obey(order)
        while self._how == "stubborn":
            time.sleep(1)

    def _tell(self, report: link.Report) -> None:
        self._socket.sendall(link.encode(report))

    def _show(self, room: int, wants: Wants) -> None:
        shown: list[link.OfMedia] = [
            link.Shown(room, Picture(choice, 16, 10, b"picture", 7)) for choice in wants.pictures
        ]
        if wants.sound:
            shown.append(link.Heard(room, Sound(b"sound!", 24_000, 8)))
        if wants.people:
            shown.append(link.Heard(room, Sound(b"person", 24_000, 9, "p1")))
        self._media_socket.sendall(b"".join(map(link.encode, shown)))

    def _obey(self, order: link.Order) -> None:
        match order:
            case link.Ping():
                self._tell(link.Pong())
            case link.Join(room, url):
                self._urls[room] = url
                self._frames[room] = 0
                if "unanswered" in url:
                    return
                if "fails" in url or "again" in url:
                    self._tell(link.Failed(room, "the room refused us", "again" in url))
                else:
                    self._tell(link.Joined(room, (ANNA,), "p-ours"))
            case link.Leave(room):
                if self._how != "stuck":
                    self._tell(link.Left(room))
            case link.Write(room):
                self._frames[room] += 1
                if self._frames[room] <= 2:
                    self._tell(link.Consumed(room, 480))
            case link.Clear(room, epoch):
                if "silent" not in self._urls[room]:
                    self._tell(link.Cleared(room, epoch, 480 * min(4, self._frames[room])))
            case link.Watch(room, wants):
                self._show(room, wants)
            case link.Send(room, number, message):
                if "silent" not in self._urls[room]:
                    self._answer(room, number, message)

    def _answer(self, room: int, number: int, message: str) -> None:
        match message.split(" ", 1):
            case ["refuse"]:
                self._tell(link.Refused(room, number, "no", False))
                return
            case ["large"]:
                self._tell(link.Refused(room, number, "no", True))
                return
            case ["lost"]:
                self._tell(link.Unanswered(room, number))
                return
            case ["die"]:
                os._exit(3)
            case ["say", text]:
                self._tell(link.Said(room, text))
            case ["cut"]:
                self._tell(link.Interrupted(room))
            case ["mend"]:
                self._tell(link.Restored(room))
            case ["come"]:
                self._tell(link.Came(room, ANNA))
            case ["go"]:
                self._tell(link.Went(room, ANNA))
        self._tell(link.Sent(room, number))


if __name__ == "__main__":
    FakeWorker(sys.argv[1], int(sys.argv[3]), int(sys.argv[5])).run()
