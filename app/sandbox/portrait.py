"""The replica's picture as bytes to send."""

from __future__ import annotations

import numpy as np
import simplejpeg

from app.sandbox.face import Expression, Face
from app.sandbox.paint import BLACK, WHITE, Bytes, Floats

QUALITY = 85


class Portrait:
    """One viewer's pictures of a face."""

    def __init__(self, face: Face) -> None:
        """Show ``face``."""
        self.width, self.height = face.width, face.height
        self._face = face
        self._drawn: tuple[Expression, bytes] | None = None
        self._full_luma, self._full_colour = _full_range()

    def i420(self, expression: Expression) -> bytes:
        """The planes, without padding, in the video range."""
        return self._face.picture(expression).tobytes()

    def jpeg(self, expression: Expression) -> bytes:
        """A JPEG image; the same expression again costs nothing."""
        if self._drawn is None or self._drawn[0] != expression:
            y, u, v = self._face.planes(self._face.picture(expression))
            image = simplejpeg.encode_jpeg_yuv_planes(
                self._full_luma[y], self._full_colour[u], self._full_colour[v], QUALITY
            )
            self._drawn = (expression, image)
        return self._drawn[1]


def _full_range() -> tuple[Bytes, Bytes]:
    """From the video range to the full range that JFIF asks for: of luma and of colours."""
    values = np.arange(256, dtype=np.float32)
    luma = (values - BLACK) * np.float32(255 / (WHITE - BLACK))
    colour = (values - 128) * np.float32(255 / 224) + 128
    return _rounded(luma), _rounded(colour)


def _rounded(table: Floats) -> Bytes:
    rounded: Bytes = np.rint(table.clip(0, 255)).astype(np.uint8)
    return rounded
