"""From a room's I420 pictures to what a viewer chose: made smaller, JPEG, RGB.

Scaling and colours are swscale's (PyAV), JPEG is libjpeg-turbo's (simplejpeg). Both release the
interpreter lock, so a few threads can work beside the event loop. Measured at 1280x720, one thread
(``bench.frames``): I420 → JPEG 1.6 to 2.1 ms, of which 0.5 ms stretch the range, since video's
luma goes from 16 to 235 and JPEG's from 0 to 255; by way of RGB 1.9 to 2.5 ms with the same
libraries, 3.1 to 3.8 ms with Pillow. Made half as wide first, which stretches too: 0.6 ms.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import simplejpeg
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from msgspec.structs import replace
from numpy.typing import NDArray

from app.core.media import Picture, PictureChoice, PictureCodec, RawPicture

QUALITY = 80
"""Of JPEG: text stays readable, and 1280x720 of a face takes 60 to 90 KB."""

Plane = NDArray[np.uint8]

_FORMATS = {PictureCodec.JPEG: "yuvj420p", PictureCodec.I420: "yuv420p", PictureCodec.RGB: "rgb24"}
"""What swscale has to make of a picture, in FFmpeg's names: yuvj420p is I420 of full range."""


def i420_bytes(width: int, height: int) -> int:
    """Count the bytes of an I420 picture."""
    return width * height + 2 * (-(-width // 2)) * (-(-height // 2))


def fit(width: int, height: int, max_width: int) -> tuple[int, int]:
    """Return the even size of a picture that may be ``max_width`` wide; it is never made larger."""
    if width > max_width:
        width, height = max_width, round(height * max_width / width / 2) * 2
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def encode(
    raw: RawPicture, choices: Iterable[PictureChoice], scaler: VideoReformatter
) -> list[Picture]:
    """Make what these choices ask for; what differs only in ``max_fps`` is made once.

    ``scaler`` keeps what swscale has set up, for the next picture of the same shape; one thread
    at a time. A last row or column that is odd is left out: the codecs would invent its colours.
    Raises ValueError for a picture whose bytes do not match its size.
    """
    if min(raw.width, raw.height) < 2 or len(raw.i420) != i420_bytes(raw.width, raw.height):
        raise ValueError(f"{len(raw.i420)} bytes are no I420 of {raw.width}x{raw.height}")
    if raw.width % 2 or raw.height % 2:
        raw = _even(raw)
    made: dict[tuple[PictureCodec, int, int], bytes] = {}
    pictures: list[Picture] = []
    for choice in choices:
        width, height = fit(raw.width, raw.height, choice.max_width)
        key = (choice.codec, width, height)
        if key not in made:
            made[key] = _make(raw, choice.codec, width, height, scaler)
        pictures.append(Picture(choice, width, height, made[key], raw.captured_us))
    return pictures


def _make(
    raw: RawPicture, codec: PictureCodec, width: int, height: int, scaler: VideoReformatter
) -> bytes:
    if codec is PictureCodec.I420 and width == raw.width:
        return bytes(raw.i420)
    frame = VideoFrame.from_numpy_buffer(
        np.frombuffer(raw.i420, np.uint8).reshape(-1, raw.width), "yuv420p"
    )
    shaped = scaler.reformat(
        frame, width, height, format=_FORMATS[codec], interpolation="AREA", threads=1
    )
    planes = _planes(shaped)
    if codec is PictureCodec.JPEG:
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=QUALITY)
        return jpeg
    return b"".join(plane.tobytes() for plane in planes)


def _planes(frame: VideoFrame) -> list[Plane]:
    """Look at a frame's planes without the padding at the end of their lines."""
    depth = 3 if frame.format.name == "rgb24" else 1
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[
            :, : plane.width * depth
        ]
        for plane in frame.planes
    ]


def _even(raw: RawPicture) -> RawPicture:
    """Leave out a last row or column that is odd."""
    planes: list[bytes] = []
    start = 0
    for shrunk in (1, 2, 2):
        rows, columns = -(-raw.height // shrunk), -(-raw.width // shrunk)
        plane = np.frombuffer(raw.i420, np.uint8, rows * columns, start).reshape(rows, columns)
        planes.append(
            plane[: raw.height // 2 * 2 // shrunk, : raw.width // 2 * 2 // shrunk].tobytes()
        )
        start += rows * columns
    return replace(raw, width=raw.width // 2 * 2, height=raw.height // 2 * 2, i420=b"".join(planes))
