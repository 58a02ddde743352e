"""The avatar's picture and sound, as a viewer gets them from the real service and its sandbox."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect

from app.core.frame_header import HEADER_BYTES, SKIPPED, UNKNOWN_OFFSET, FrameHeader, FrameKind
from tests.support.face import read_count
from tests.support.processes import until
from tests.support.service import Client, Service, Stream

RATE = 24_000
PIECE = 480
"""Samples in a frame of sound."""

SYNC_MS = 40
"""How far picture, sound and words may be apart."""

WORDS_MS = 150
"""The header follows the replica's events; on a busy machine they take a moment to us."""

STUCK_S = 15
"""Longer than the service has patience with who reads nothing."""


def noise(seconds: float, seed: int = 7) -> bytes:
    """Sound without a zero in it, in which no piece is like another."""
    samples = np.random.default_rng(seed).integers(2000, 9000, int(RATE * seconds))
    return samples.astype("<i2").tobytes()


def frames(stream: Stream, kind: FrameKind) -> list[tuple[FrameHeader, bytes]]:
    """All frames of one kind so far."""
    found = [(FrameHeader.unpack(frame), frame[HEADER_BYTES:]) for frame in stream.binary]
    return [(header, payload) for header, payload in found if header.kind == kind]


def luma(jpeg: bytes) -> NDArray[np.uint8]:
    """How bright each pixel is."""
    grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(jpeg, "GRAY")[:, :, 0]
    return grey


async def subscribe(stream: Stream, **wishes: Any) -> dict[str, Any]:
    """Ask for frames; returns what was granted."""
    await stream.send({"type": "frames.subscribe", **wishes})
    return await stream.wait_for("frames.subscribed")


@dataclass(frozen=True)
class Sight:
    """What a picture says of itself, and what can be seen in it."""

    header: FrameHeader
    count: int
    """The samples that had been played."""


def sights(stream: Stream) -> list[Sight]:
    """All pictures so far in which something is being said; idle ones repeat a count."""
    seen = [
        Sight(header, count)
        for header, jpeg in frames(stream, FrameKind.VIDEO)
        if (count := read_count(luma(jpeg)))
    ]
    return unrepeated(seen)


def unrepeated(seen: list[Sight]) -> list[Sight]:
    """Leave out what was seen twice."""
    times = Counter(each.count for each in seen)
    return [each for each in seen if times[each.count] == 1]


class Heard:
    """The sound that a viewer got, found again in what the replica said in all."""

    def __init__(self, stream: Stream, said: NDArray[np.int16]) -> None:
        whole, at = said.tobytes(), 0
        self.headers: list[FrameHeader] = []
        """Of the pieces that are all speech."""
        starts: list[int] = []
        for header, payload in frames(stream, FrameKind.AUDIO):
            if np.all(np.frombuffer(payload, "<i2")):
                at = whole.index(payload, at)
                self.headers.append(header)
                starts.append(at // 2)
        self.starts = np.array(starts)
        """The number of each piece's first sample."""

    def off_ms(self, seen: list[Sight]) -> NDArray[np.float64]:
        """How much later pictures are than the sample they count to; those known of."""
        after = np.searchsorted(self.starts, [each.count for each in seen], "right") - 1
        return np.array(
            [
                (each.header.captured_us - self.headers[at].captured_us) / 1000 - into * 1000 / RATE
                for each, at in zip(seen, after, strict=True)
                if at >= 0 and 0 <= (into := each.count - self.starts[at]) < PIECE
            ]
        )


def off_words_ms(
    found: Iterable[tuple[FrameHeader, int]], begins: dict[int, int]
) -> NDArray[np.float64]:
    """How much further headers say that their utterance was than it was, by samples played."""
    return np.array(
        [
            header.offset_ms - (sample - begins[header.number]) * 1000 / RATE
            for header, sample in found
            if header.number in begins and header.offset_ms != UNKNOWN_OFFSET
        ]
    )


@asynccontextmanager
async def connected(url: str, max_queue: int = 16) -> AsyncIterator[ClientConnection]:
    """Connect with little room for what is not read, and hang up without a goodbye."""
    address = urlsplit(url)
    raw = socket.socket()
    raw.setblocking(False)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await asyncio.get_running_loop().sock_connect(raw, (address.hostname, address.port))
    viewer = await connect(url, sock=raw, proxy=None, max_size=None, max_queue=max_queue)
    try:
        yield viewer
    finally:
        viewer.transport.abort()
        await viewer.wait_closed()


async def watch_slowly(url: str, seen: list[Sight]) -> None:
    """Take fewer pictures than there are, of more bytes than anybody keeps for us."""
    wish = {"type": "frames.subscribe", "video": {"codec": "rgb", "max_width": 640}}
    async with connected(url, max_queue=1) as viewer:
        await viewer.send(json.dumps(wish))
        async for message in viewer:
            if isinstance(message, bytes):
                header = FrameHeader.unpack(message)
                shape = (header.detail & 0xFFFF, header.detail >> 16, 3)
                pixels = np.frombuffer(message, np.uint8, offset=HEADER_BYTES).reshape(shape)
                if count := read_count(pixels[..., 1]):
                    seen.append(Sight(header, count))
                await asyncio.sleep(0.15)


@pytest.mark.parametrize(
    ("turns", "seconds"),
    [(2, 2), pytest.param(6, 10, marks=[pytest.mark.soak, pytest.mark.timeout(240)])],
)
async def test_picture_sound_and_words_belong_together(
    client: Client, turns: int, seconds: int
) -> None:
    """What a picture shows, what is heard then and what the header says are one moment.

    Also after interrupts, and for a viewer that is slow. The sandbox burns into its pictures how
    many samples the replica had played; its sound is found in the recording of all that it played.
    """
    session = await client.create_session(wait=True)
    pcm = [noise(seconds * 2 if turn < turns else seconds, turn) for turn in range(1, turns + 1)]
    slowly: list[Sight] = []
    async with client.connect(session, "?role=observe") as viewer:
        await subscribe(viewer, video={"max_width": 640}, audio={})
        await until("pictures come", lambda: frames(viewer, FrameKind.VIDEO))
        slow = asyncio.create_task(watch_slowly(session["stream_url"] + "?role=observe", slowly))
        async with client.connect(session, "?progress_ms=100") as stream:
            for turn, audio in enumerate(pcm, 1):
                await stream.send({"type": "utterance.start", "utterance_id": f"turn-{turn}"})
                for at in range(0, len(audio), RATE):
                    await stream.send(audio[at : at + RATE])
                await stream.send({"type": "utterance.end"})
                if turn < turns:
                    await until("it is said half", partial(has_played, stream, turn, seconds))
                    await stream.send({"type": "interrupt"})
                await stream.wait_for("utterance.done", number=turn)
            await viewer.wait_for("utterance.done", number=turns)
        slow.cancel()
        await asyncio.wait([slow])
    said = await client.heard(session["conversation_id"])
    await client.end(session["id"])
    heard = Heard(viewer, said)
    seen = sights(viewer)
    begins = {
        turn: said.tobytes().index(audio[: 2 * PIECE]) // 2 for turn, audio in enumerate(pcm, 1)
    }
    by_sound, by_slow = heard.off_ms(seen), heard.off_ms(unrepeated(slowly))
    by_words = off_words_ms([(each.header, each.count) for each in seen], begins)
    of_sound = off_words_ms(zip(heard.headers, heard.starts.tolist(), strict=True), begins)

    assert len(by_sound) > 15 * turns
    assert np.abs(by_sound).max() < SYNC_MS
    assert any(each.header.flags & SKIPPED for each in slowly)
    assert len(by_slow) > 3 * turns
    assert np.abs(by_slow).max() < SYNC_MS
    assert abs(float(np.median(by_words))) < WORDS_MS
    assert abs(float(np.median(of_sound))) < WORDS_MS
    assert {0} == {header.number for header, _ in frames(viewer, FrameKind.VIDEO)[:1]}


def has_played(stream: Stream, turn: int, seconds: float) -> bool:
    """Tell whether so much of a turn was played."""
    told = stream.all("playback.progress", utterance_id=f"turn-{turn}")
    return bool(told) and told[-1]["played_ms"] >= seconds * 1000


async def test_choices_of_several_viewers(client: Client) -> None:
    """Each viewer has its size, codec and rate; a producer may watch on its own socket."""
    session = await client.create_session(wait=True)
    async with (
        client.connect(session) as producer,
        client.connect(session, "?role=observe") as small,
        client.connect(session, "?role=control") as raw,
    ):
        await subscribe(producer, audio={"sample_rate": 48_000})
        await subscribe(small, video={"codec": "rgb", "max_fps": 10, "max_width": 160})
        await subscribe(raw, video={"codec": "i420", "max_width": 3840})
        await producer.send(noise(0.5))
        await until(
            "everybody has frames",
            lambda: all(len(each.binary) > 10 for each in (producer, small, raw)),
        )
    await client.end(session["id"])
    (pixels,) = {len(payload) for _, payload in frames(small, FrameKind.VIDEO)}
    (planes,) = {len(payload) for _, payload in frames(raw, FrameKind.VIDEO)}
    times = [header.captured_us for header, _ in frames(small, FrameKind.VIDEO)]

    assert (160 * 90 * 3, 640 * 360 * 3 // 2) == (pixels, planes)
    assert min(np.diff(times)) >= 70_000
    assert {48_000} == {header.detail for header, _ in frames(producer, FrameKind.AUDIO)}


async def stuck_viewer(url: str) -> None:
    """Subscribe to as much as there is and read nothing; come again when we are thrown out."""
    wish = json.dumps({"type": "frames.subscribe", "video": {"codec": "rgb"}, "audio": {}})
    while True:
        async with connected(url) as viewer:
            viewer.transport.pause_reading()
            await viewer.send(wish)
            await asyncio.sleep(STUCK_S)


def memory(service: Service) -> int:
    """Bytes of memory that the service holds."""
    status = Path(f"/proc/{service.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("seconds", "kept", "growth_bytes"),
    [
        # On a machine that is far too busy some sound comes too late. So much memory is more than
        # all buffers hold; one without a bound takes it in seconds.
        (6, 0.95, 60_000_000),
        pytest.param(600, 1, 10_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
async def test_who_never_reads_harms_nobody(
    client: Client, service: Service, seconds: int, kept: float, growth_bytes: int
) -> None:
    """Beside viewers that never read, one of them the producer, a healthy one loses nothing."""
    session = await client.create_session(wait=True, idle_timeout_s=3600)
    url = session["stream_url"]
    async with client.connect(session, "?role=observe") as healthy:
        await subscribe(healthy, video={"max_fps": 10, "max_width": 320}, audio={})
        await until("frames come", lambda: len(healthy.binary) > 20)
        stuck = [asyncio.create_task(stuck_viewer(url + query)) for query in ("?role=observe", "")]
        await asyncio.sleep(2)  # for them to fill what there is
        held, begun = [memory(service)], len(healthy.binary)
        start = time.monotonic()
        for _ in range(seconds):
            await asyncio.sleep(1)
            held.append(memory(service))
        took = time.monotonic() - start
        got = [FrameHeader.unpack(frame) for frame in healthy.binary[begun:]]
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)
    await client.end(session["id"])
    sound = [header.seq for header in got if header.kind == FrameKind.AUDIO]
    pictures = [header.seq for header in got if header.kind == FrameKind.VIDEO]

    assert sound[-1] - sound[0] > took * 50 / 2
    assert len(sound) >= kept * (sound[-1] - sound[0] + 1)
    assert len(pictures) > 0.7 * (pictures[-1] - pictures[0])
    # Who was thrown out comes again: memory goes up and down, but not higher and higher.
    assert max(held[len(held) // 2 :]) - max(held[: len(held) // 2]) < growth_bytes
