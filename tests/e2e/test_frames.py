"""The avatar's picture and sound, as a viewer gets them from the real service and its sandbox."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from websockets.asyncio.client import connect

from app.core.frame_header import HEADER_BYTES, FrameHeader, FrameKind
from tests.support.face import read_count
from tests.support.processes import until
from tests.support.service import Client, Service, Stream

RATE = 24_000
SYNC_MS = 40
"""How far picture, sound and words may be apart."""

WORDS_MS = 150
"""The header follows the replica's events; on a busy machine they take a moment to us."""

STUCK_S = 15
"""Longer than the service has patience with who reads nothing."""

GROWTH_BYTES = 60_000_000
"""More memory than all buffers of a few viewers; one that is not bounded takes it in seconds."""


def noise(seconds: float) -> bytes:
    """Sound without a zero in it."""
    samples = np.random.default_rng(7).integers(2000, 9000, int(RATE * seconds))
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


def sound_began(stream: Stream) -> float:
    """When the first sample that is not silence sounded, by the frames of sound; Unix ms."""
    for header, payload in frames(stream, FrameKind.AUDIO):
        heard = np.flatnonzero(np.frombuffer(payload, "<i2"))
        if len(heard):
            return header.captured_us / 1000 + int(heard[0]) * 1000 / header.detail
    raise AssertionError("nothing was heard")


async def test_picture_sound_and_words_belong_together(client: Client) -> None:
    """What a picture shows, what is heard then and what the header says are one moment.

    The sandbox burns into its picture how many samples the replica had played.
    """
    session = await client.create_session(wait=True)
    async with client.connect(session, "?role=observe") as viewer:
        await subscribe(viewer, video={"max_width": 640}, audio={})
        await until("pictures come", lambda: frames(viewer, FrameKind.VIDEO))
        async with client.connect(session) as stream:
            await stream.send(noise(3))
            await stream.send({"type": "utterance.end"})
            await stream.wait_for("utterance.done")
            await viewer.wait_for("utterance.done")
    await client.end(session["id"])
    began = sound_began(viewer)
    shown = [
        (header, count)
        for header, jpeg in frames(viewer, FrameKind.VIDEO)
        if (count := read_count(luma(jpeg))) and header.number == 1
    ]
    by_sound = [header.captured_us / 1000 - began - count / 24 for header, count in shown]
    by_words = [header.offset_ms - count / 24 for header, count in shown]

    assert len(shown) > 20
    assert max(map(abs, by_sound)) < SYNC_MS
    assert abs(float(np.median(by_words))) < WORDS_MS
    assert {0} == {header.number for header, _ in frames(viewer, FrameKind.VIDEO)[:1]}


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
    address = urlsplit(url)
    wish = json.dumps({"type": "frames.subscribe", "video": {"codec": "rgb"}, "audio": {}})
    while True:
        raw = socket.socket()
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        await asyncio.get_running_loop().sock_connect(raw, (address.hostname, address.port))
        viewer = await connect(url, sock=raw, proxy=None)
        try:
            viewer.transport.pause_reading()
            await viewer.send(wish)
            await asyncio.sleep(STUCK_S)
        finally:
            viewer.transport.abort()
            await viewer.wait_closed()


def memory(service: Service) -> int:
    """Bytes of memory that the service holds."""
    status = Path(f"/proc/{service.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    "seconds", [6, pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
async def test_who_never_reads_harms_nobody(client: Client, service: Service, seconds: int) -> None:
    """Beside viewers that never read, one of them the producer, a healthy one loses nothing."""
    session = await client.create_session(wait=True, idle_timeout_s=3600)
    url = session["stream_url"]
    async with client.connect(session, "?role=observe") as healthy:
        await subscribe(healthy, video={"max_fps": 10, "max_width": 320}, audio={})
        await until("frames come", lambda: len(healthy.binary) > 20)
        stuck = [asyncio.create_task(stuck_viewer(url + query)) for query in ("?role=observe", "")]
        await asyncio.sleep(2)  # for them to fill what there is
        before, begun = memory(service), len(healthy.binary)
        start = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - start
        grown = memory(service) - before
        got = [FrameHeader.unpack(frame) for frame in healthy.binary[begun:]]
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)
    await client.end(session["id"])
    sound = [header.seq for header in got if header.kind == FrameKind.AUDIO]
    pictures = [header.seq for header in got if header.kind == FrameKind.VIDEO]

    # Seconds of sound and pictures came; on a machine that is far too busy, some come too late.
    assert sound[-1] - sound[0] > took * 50 / 2
    assert len(sound) > 0.95 * (sound[-1] - sound[0])
    assert len(pictures) > 0.7 * (pictures[-1] - pictures[0])
    assert grown < GROWTH_BYTES
