"""A little painter in numpy: shapes with smooth edges, and their colours as I420.

Shapes are signed distances (negative inside), in a plane that is 640 wide whatever the picture's
size, y downwards. Source of the distances: Inigo Quilez, "2D distance functions".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

BLACK, WHITE = 16, 235
"""Luma: the video range of BT.601, which WebRTC's pictures have."""

LUMA = np.array([65.481, 128.553, 24.966]) / 255
BLUE = np.array([-37.797, -74.203, 112.0]) / 255
RED = np.array([112.0, -93.786, -18.214]) / 255
"""From RGB 0 to 255 to the video range: ITU-R BT.601."""


class Window(NamedTuple):
    """A part of the plane; its edges fall on even pixels in every size that is drawn."""

    left: int
    top: int
    right: int
    bottom: int


class Planes(NamedTuple):
    """A picture as I420: luma, and both colour differences at half the size."""

    y: Bytes
    u: Bytes
    v: Bytes

    def cut(self, window: Window, scale: float) -> Planes:
        """The part of it in a window, as views."""
        left, top, right, bottom = (int(edge * scale) for edge in window)
        half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
        return Planes(self.y[top:bottom, left:right], self.u[half], self.v[half])

    def put(self, planes: Planes) -> None:
        """Overwrite it, a view, with another of its size."""
        self.y[:], self.u[:], self.v[:] = planes


class Canvas:
    """A window of the plane to paint on."""

    def __init__(self, window: Window, scale: float) -> None:
        """Be black. ``scale`` is pixels per unit of the plane."""
        left, top, right, bottom = (int(edge * scale) for edge in window)
        self._window = window
        self._scale = scale
        self._rgb = np.zeros((bottom - top, right - left, 3), np.float32)
        self.y, self.x = (
            axis.astype(np.float32) / np.float32(scale)
            for axis in np.ogrid[top + 0.5 : bottom, left + 0.5 : right]
        )
        """Where the middle of each pixel is, to be broadcast against each other."""

    def crop(self, window: Window) -> Canvas:
        """A copy of a part."""
        part = Canvas(window, self._scale)
        left, top, right, bottom = (
            int((edge - origin) * self._scale)
            for edge, origin in zip(window, self._window[:2] * 2, strict=True)
        )
        part._rgb[:] = self._rgb[top:bottom, left:right]  # its own kind
        return part

    def fill(
        self, shape: Floats, colour: Colour, *, opacity: float = 1.0, blur: float = 0.0
    ) -> None:
        """Paint a shape; ``blur`` is the width of its soft edge in the plane's units."""
        edge = max(blur, 1 / self._scale)
        cover = np.clip(0.5 - shape / edge, 0, 1)[..., None] * np.float32(opacity)
        self._rgb += cover * (np.array(colour, np.float32) - self._rgb)

    def ellipse(self, x: float, y: float, rx: float, ry: float) -> Floats:
        """The distance from an ellipse, exact near its edge."""
        dx, dy = self.x - np.float32(x), self.y - np.float32(y)
        near = np.hypot(dx / np.float32(rx), dy / np.float32(ry))
        slope = np.hypot(dx / np.float32(rx * rx), dy / np.float32(ry * ry))
        distance: Floats = near * (near - 1) / np.maximum(slope, np.float32(1e-6))
        return distance

    def box(self, x: float, y: float, rx: float, ry: float, radius: float) -> Floats:
        """The distance from a box with round corners, ``rx`` and ``ry`` from its middle."""
        dx = np.abs(self.x - np.float32(x)) - np.float32(rx - radius)
        dy = np.abs(self.y - np.float32(y)) - np.float32(ry - radius)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        distance: Floats = outside + np.minimum(np.maximum(dx, dy), 0) - np.float32(radius)
        return distance

    def arc(  # two ends, what lies between, how thick
        self, x: float, y: float, half: float, sag: float, thick: float
    ) -> Floats:
        """The distance from a bent stroke: ``half`` to each side, its middle ``sag`` lower."""
        along = np.clip((self.x - np.float32(x)) / np.float32(half), -1, 1)
        dx = self.x - np.float32(x) - along * np.float32(half)
        dy = self.y - np.float32(y) - np.float32(sag) * (1 - along * along)
        distance: Floats = np.hypot(dx, dy) - np.float32(thick / 2)
        return distance

    def planes(self) -> Planes:
        """The picture so far."""
        height, width, _ = self._rgb.shape
        quarters = self._rgb.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
        return Planes(
            np.rint(self._rgb @ LUMA + 16).astype(np.uint8),
            np.rint(quarters @ BLUE + 128).astype(np.uint8),
            np.rint(quarters @ RED + 128).astype(np.uint8),
        )


def both(one: Floats, other: Floats) -> Floats:
    """What lies in both shapes."""
    shape: Floats = np.maximum(one, other)
    return shape


def without(one: Floats, other: Floats) -> Floats:
    """What lies in one shape and not in the other."""
    shape: Floats = np.maximum(one, -other)
    return shape
