"""The load: every session's WebSocket in one process, packets sent when they are due.

Sockets, not asyncio: a packet costs one system call, and a timer of 1 ms would send in bursts.
Frames are encoded beforehand, masked as the standard wants. What the service says is read and
taken apart by ``websockets``, as any client does it. Run as ``python -m bench.generator``; commands
and answers are JSON, one a line, on standard input and output.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

RATE = 16_000
"""Hertz of what is sent, s16le mono."""

LOOP_MS = 1000
"""The sound repeats after this time."""

READ_EVERY = 32
"""Packets sent at most before what came is read, also when the generator is late."""

READ_AT_ONCE = 8
"""Connections read at most before the time is looked at again."""

SPIN_NS = 150_000
"""Shorter waits are spun away, since a sleep ends so much late."""

TIMEOUT_S = 10.0

START_NS = 20_000_000
"""Between a command and the first packet."""

INTERRUPT = b'{"type":"interrupt"}'
ACCEPTED = b'"interrupt.accepted"'
SUBSCRIBE = b"""\
{"type":"frames.subscribe","video":{"codec":"jpeg","max_fps":25,"max_width":640},
"audio":{"sample_rate":24000}}"""

VIEWER = -1
"""The session of a connection that only watches."""

PHASES = 25
"""Packets, within which sessions begin: else what comes every so often, such as a whole piece or an
acknowledgement, would come in all of them at once."""

MARK = b'{"type":"mark","name":"m"}'


class Wire:
    """One connection: sends without waiting; what the socket does not take is kept."""

    def __init__(self, url: str) -> None:
        """Connect and shake hands. Raises OSError, or what the service answered instead."""
        address = urlsplit(url)
        assert address.hostname is not None  # every address here has one
        self.socket = socket.create_connection((address.hostname, address.port or 80), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.backlog = bytearray()
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while self._protocol.state is State.CONNECTING:
            self._protocol.receive_data(self.socket.recv(65_536))
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
        self._events()
        self.socket.setblocking(False)

    def send(self, frame: bytes) -> None:
        """Send an encoded frame now, or after what waits."""
        if self.backlog:
            self.backlog += frame
            return
        try:
            sent = self.socket.send(frame)
        except BlockingIOError:
            sent = 0
        if sent < len(frame):
            self.backlog += frame[sent:]

    def push(self) -> None:
        """Send of what waits as much as the socket takes."""
        with contextlib.suppress(BlockingIOError):
            while self.backlog:
                del self.backlog[: self.socket.send(self.backlog)]

    def read(self) -> list[bytes]:
        """Return the texts that came. Raises ConnectionError when the service closed."""
        try:
            data = self.socket.recv(262_144)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the service dropped a connection")
        self._protocol.receive_data(data)
        texts = self._events()
        for answer in self._protocol.data_to_send():
            self.send(answer)
        return texts

    def close(self) -> None:
        """Close as a client does that has no more to say."""
        self.socket.settimeout(TIMEOUT_S)
        self._protocol.send_close(1000)
        with contextlib.suppress(OSError):
            self._flush()
            while self.socket.recv(65_536):
                pass
        self.socket.close()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self.socket.sendall(data)

    def _events(self) -> list[bytes]:
        texts = []
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                raise ConnectionError(f"the service closed a connection: {bytes(event.data)!r}")
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                texts.append(bytes(event.data))
        return texts


@dataclass
class Interrupt:
    """One barge-in. Times are ns, 0: not yet."""

    session: int
    sent: int
    accepted: int = 0
    resumed: int = 0


class Generator:
    """All connections, and the commands: every public method but ``wait`` is one."""

    def __init__(self) -> None:
        """Have no connection."""
        self._wires: list[Wire] = []
        self._poll = select.epoll()
        self._connections: dict[int, tuple[Wire, int]] = {}
        """File descriptor → connection and its session."""
        self._pending: dict[int, Interrupt] = {}
        """Session → its interrupt that is not accepted."""

    def open(self, urls: list[str]) -> dict[str, Any]:
        """Open one more connection for each address."""
        for url in urls:
            self._wires.append(self._connect(url, len(self._wires)))
        return {}

    def view(self, urls: list[str]) -> dict[str, Any]:
        """Watch: take what comes at each address, and do nothing with it."""
        for url in urls:
            wire = self._connect(url, VIEWER)
            wire.send(text_frame(SUBSCRIBE))
        return {}

    def close(self) -> dict[str, Any]:
        """Close all connections."""
        for wire, _ in self._connections.values():
            self._poll.unregister(wire.socket)
            wire.close()
        self._wires.clear()
        self._connections.clear()
        self._pending.clear()
        return {}

    def stream(
        self,
        *,
        sessions: int,
        packets: int,
        out: str,
        marks: bool = False,
        interrupt_ms: int = 0,
        rest_ms: int = 0,
    ) -> dict[str, Any]:
        """Send packets of 20 ms on each of the first sessions, in real time.

        ``packets``: how many the first one sends; others begin later, since nobody's customers
        begin together, and all end together. ``marks``: a mark a second. ``interrupt_ms``: every so
        often one session after the other interrupts and then says nothing for ``rest_ms``. ``out``
        gets ``sent`` (packet × session, ns, 0: not sent) and ``interrupts`` (session, sent,
        accepted, resumed).
        """
        frames = packet_frames(20)
        mark = text_frame(MARK)
        sent = np.zeros((packets, sessions), np.int64)
        stamps = sent.reshape(-1).data
        step = 20_000_000 / sessions
        begin = time.monotonic_ns() + START_NS
        interrupts: list[Interrupt] = []
        resting: dict[int, Interrupt] = {}
        late: list[int] = []
        interrupt_at = begin + rest_ms * 1_000_000 if interrupt_ms else 1 << 62
        for number in range(packets * sessions):
            self._until(begin + int(number * step), read=number % READ_EVERY == 0)
            slot, session = divmod(number, sessions)
            packet = slot - session % PHASES
            if packet < 0:
                continue
            now = time.monotonic_ns()
            if now >= interrupt_at:
                interrupt_at += interrupt_ms * 1_000_000
                cut = self._interrupt(len(interrupts) % sessions)
                interrupts.append(cut)
                resting[cut.session] = cut
            cut_here = resting.get(session)
            if cut_here is not None:
                if now < cut_here.sent + rest_ms * 1_000_000:
                    continue
                cut_here.resumed = now
                del resting[session]
            wire = self._wires[session]
            stamps[packet * sessions + session] = now
            late.append(now - begin - int(number * step))
            wire.send(frames[packet % len(frames)])
            if marks and (slot + session) % 50 == 49:
                wire.send(mark)
        end = time.monotonic_ns()
        for cut in resting.values():
            cut.resumed = end
        self.wait(100)
        rows = [(cut.session, cut.sent, cut.accepted, cut.resumed) for cut in interrupts]
        np.savez(out, sent=sent, interrupts=np.array(rows, np.int64).reshape(-1, 4))
        return {"begin": begin, "end": end, "late_p99_us": int(np.percentile(late, 99) / 1000)}

    def burst(
        self, *, session: int, packets: int, packet_ms: int, interrupt: bool = False
    ) -> dict[str, Any]:
        """Send packets as fast as they go, then, if wished, an interrupt right behind them."""
        frames = packet_frames(packet_ms)
        wire = self._wires[session]
        begin = time.monotonic_ns()
        for packet in range(packets):
            wire.send(frames[packet % len(frames)])
            self._drain(wire)
        cut = self._interrupt(session) if interrupt else None
        self._drain(wire)
        return {"begin": begin, "interrupt": None if cut is None else cut.sent}

    def interrupt(self, *, sessions: int, answered: bool) -> dict[str, Any]:
        """Interrupt each of the first sessions; ``answered``: wait until all are accepted."""
        for session in range(sessions):
            self._interrupt(session)
            self._read()
        end = time.monotonic() + TIMEOUT_S
        while answered and self._pending:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self._pending)} interrupts were not accepted")
            self.wait(1)
        self._pending.clear()
        return {}

    def wait(self, ms: int) -> dict[str, Any]:
        """Only read, for so long."""
        self._until(time.monotonic_ns() + ms * 1_000_000, read=True)
        return {}

    def idle(self) -> None:
        """Read what has come."""
        self._read()

    @property
    def readable(self) -> select.epoll:
        """Ready when something can be read."""
        return self._poll

    def _connect(self, url: str, session: int) -> Wire:
        wire = Wire(url)
        self._connections[wire.socket.fileno()] = wire, session
        self._poll.register(wire.socket, select.EPOLLIN)
        return wire

    def _interrupt(self, session: int) -> Interrupt:
        cut = self._pending[session] = Interrupt(session, time.monotonic_ns())
        self._wires[session].send(text_frame(INTERRUPT))
        return cut

    def _until(self, at: int, *, read: bool) -> None:
        if read:
            self._read()
        while (left := at - time.monotonic_ns()) > 0:
            self._read()
            # An answer that is waited for is read at once.
            if left > 2 * SPIN_NS and not self._pending:
                time.sleep(min(left - SPIN_NS, 1_000_000) / 1e9)

    def _drain(self, wire: Wire) -> None:
        while wire.backlog:
            self._read()
            wire.push()

    def _read(self) -> None:
        for descriptor, _ in self._poll.poll(0, READ_AT_ONCE):
            wire, session = self._connections[descriptor]
            for text in wire.read():
                if session in self._pending and ACCEPTED in text:
                    self._pending.pop(session).accepted = time.monotonic_ns()
            wire.push()


@cache
def packet_frames(packet_ms: int) -> tuple[bytes, ...]:
    """Encode ``LOOP_MS`` of noise in packets of ``packet_ms``, each masked by a key of its own."""
    noise = np.random.default_rng(1).normal(0, 3000, RATE * LOOP_MS // 1000)
    samples = noise.clip(-32768, 32767).astype("<i2")
    size = RATE * packet_ms // 1000
    return tuple(
        Frame(Opcode.BINARY, samples[start : start + size].tobytes()).serialize(mask=True)
        for start in range(0, len(samples), size)
    )


@cache
def text_frame(text: bytes) -> bytes:
    """Encode a text message."""
    return Frame(Opcode.TEXT, text).serialize(mask=True)


def main() -> None:
    """Obey until standard input ends."""
    generator = Generator()
    while True:
        ready, _, _ = select.select([sys.stdin, generator.readable], [], [])
        if generator.readable in ready:
            generator.idle()
        if sys.stdin in ready:
            line = sys.stdin.readline()  # one at a time: the next comes after the answer
            if not line:
                return
            command = json.loads(line)
            answer = getattr(generator, command.pop("op"))(**command)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
