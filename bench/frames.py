"""What the avatar's frames cost: ``python -m bench.frames [--seconds 15]`` prints a Markdown table.

First each way to encode a picture, on one thread. Then the service with its sandbox, watched by
nobody, by one and by four viewers who read everything: the processor time of the service's process
and how late its event loop wakes. Absolute numbers are this machine's; the ratios are not.

Beside I420 → JPEG stand two ways by RGB: with the same libraries, and with Pillow, as in PyAV's
cookbook. "Planes alone" leaves the video range as it is, so that black is grey: stretching costs
the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import simplejpeg
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from websockets.asyncio.client import connect

from app.core.media import PictureChoice, PictureCodec, RawPicture
from app.core.picture import QUALITY, encode
from app.sandbox.face import Expression, Face

SIZES = ((1280, 720), (640, 360))
VIEWERS = (0, 1, 4)
LATE = "0.005"
"""The bucket of the event loop's delays that the goal names, seconds."""


def cost_ms(work: Callable[[], object], times: int = 100) -> float:
    """Return what it costs this thread, milliseconds: the median."""
    taken = []
    for _ in range(times):
        begun = time.thread_time_ns()
        work()
        taken.append((time.thread_time_ns() - begun) / 1e6)
    return median(taken)


def pictures(width: int, height: int) -> dict[str, bytes]:
    """Make a drawn face, and one with the grain of a camera."""
    drawn = Face(width, height).picture(Expression(mouth=4))
    grain = np.random.default_rng(1).normal(0, 3, drawn.size).reshape(drawn.shape)
    return {
        "drawn": drawn.tobytes(),
        "camera": np.clip(drawn + grain, 16, 235).astype(np.uint8).tobytes(),
    }


def frame_of(i420: bytes, width: int) -> VideoFrame:
    """Take I420 for a frame."""
    return VideoFrame.from_numpy_buffer(np.frombuffer(i420, np.uint8).reshape(-1, width), "yuv420p")


def by_rgb(i420: bytes, width: int, scaler: VideoReformatter) -> bytes:
    """Encode to JPEG by way of RGB, with the same libraries."""
    rgb = scaler.reformat(frame_of(i420, width), format="rgb24", threads=1)
    jpeg: bytes = simplejpeg.encode_jpeg(rgb.to_ndarray(), QUALITY, "RGB", "420")
    return jpeg


def by_pillow(i420: bytes, width: int) -> bytes:
    """Encode to JPEG by way of a Pillow image in RGB."""
    file = io.BytesIO()
    image = frame_of(i420, width).to_image()  # type: ignore[no-untyped-call]  # PyAV has no type
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def print_encoding() -> None:
    """Print what each way to encode costs."""
    print(
        "| ms a picture | I420 → JPEG | by RGB | ratio | by Pillow | ratio | planes alone | "
        "half as wide | RGB24 |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for width, height in SIZES:
        for name, i420 in pictures(width, height).items():
            raw = RawPicture(width, height, i420, 0)
            flat = np.frombuffer(i420, np.uint8)
            luma = flat[: width * height].reshape(height, width)
            blue, red = flat[width * height :].reshape(2, height // 2, width // 2)

            def made(codec: PictureCodec, most: int, raw: RawPicture = raw) -> float:
                choices, scaler = [PictureChoice(codec, 25, most)], VideoReformatter()
                return cost_ms(lambda: encode(raw, choices, scaler))

            def bare(planes: tuple[np.ndarray, ...] = (luma, blue, red)) -> bytes:
                jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=QUALITY)
                return jpeg

            straight = made(PictureCodec.JPEG, width)
            detour = cost_ms(partial(by_rgb, i420, width, VideoReformatter()))
            usual = cost_ms(partial(by_pillow, i420, width))
            print(
                f"| {width}x{height} {name} | {straight:.2f} | {detour:.2f} | "
                f"{straight / detour:.2f} | {usual:.2f} | {straight / usual:.2f} | "
                f"{cost_ms(bare):.2f} | "
                f"{made(PictureCodec.JPEG, width // 2):.2f} | {made(PictureCodec.RGB, width):.2f} |"
            )


def used_s(pid: int) -> float:
    """Return the processor time of a process, all its threads, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def loop_delays(http: httpx.AsyncClient) -> tuple[float, float]:
    """Return how often the event loop's delay was measured, and how often it was small."""
    text = (await http.get("/metrics")).text
    name = "avatar_bridge_event_loop_delay_seconds"
    counts = []
    for line in (f"{name}_count", re.escape(f'{name}_bucket{{le="{LATE}"}}')):
        found = re.search(rf"^{line} (\S+)$", text, re.MULTILINE)
        assert found is not None, line
        counts.append(float(found[1]))
    return counts[0], counts[1]


async def watch(url: str, width: int, frames: list[int]) -> None:
    """Read everything and count the pictures."""
    async with connect(f"{url}?role=observe", compression=None, max_size=None) as stream:
        await stream.send(
            json.dumps({"type": "frames.subscribe", "video": {"max_width": width}, "audio": {}})
        )
        async for message in stream:
            frames[0] += isinstance(message, bytes) and message[1] == 1


async def print_fan_out(url: str, pid: int, seconds: float) -> None:
    """Print what so many viewers of one session cost."""
    print("| 25 fps JPEG | viewers | pictures/s | share of a core | each more | loop < 5 ms late |")
    print("|---|---|---|---|---|---|")
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        for width, height in SIZES:
            await http.put("/sandbox/faults", json={"picture": f"{width}x{height}"})
            session = (await http.post("/sessions?wait=ready")).raise_for_status().json()
            alone = 0.0
            for viewers in VIEWERS:
                frames = [0]
                async with asyncio.TaskGroup() as group:
                    watching = [
                        group.create_task(watch(session["stream_url"], width, frames))
                        for _ in range(viewers)
                    ]
                    await asyncio.sleep(3)
                    frames[0] = 0
                    before, delays = used_s(pid), await loop_delays(http)
                    begun = time.monotonic()
                    await asyncio.sleep(seconds)
                    lasted, seen = time.monotonic() - begun, frames[0]
                    share = (used_s(pid) - before) / lasted
                    after = await loop_delays(http)
                    for viewer in watching:
                        viewer.cancel()
                alone = share if viewers == 1 else alone
                more = (share - alone) / (viewers - 1) if viewers > 1 else 0
                small = (after[1] - delays[1]) / (after[0] - delays[0])
                rate = seen / lasted / viewers if viewers else 0
                print(
                    f"| {width}x{height} | {viewers} | {rate:.1f} | {share:.3f} | {more:.3f} | "
                    f"{small:.1%} |"
                )
            await http.delete(f"/sessions/{session['id']}")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    wish = parser.parse_args()
    print_encoding()
    print()
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"BRIDGE_DATA_DIR": folder, "BRIDGE_ROOM": "sandbox"},
        ) as service,
    ):
        try:
            assert service.stderr is not None
            found = (re.search(r"listening on (http://\S+)", line) for line in service.stderr)
            url = next(match[1] for match in found if match)
            asyncio.run(print_fan_out(url, service.pid, wish.seconds))
        finally:
            service.terminate()


if __name__ == "__main__":
    main()
