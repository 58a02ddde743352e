"""The replica's picture: a drawn face that talks, with a burnt-in count of played samples.

Everything that moves is painted once; a picture is a copy of the resting face with a few parts laid
over it. The count stands in a row of 40 cells along the lower edge, each a fortieth of the width:
white is 1, black is 0. 32 cells hold the count modulo 2^32, highest bit first, then come 8 check
cells: the exclusive or of its four bytes and 0x55, so that neither a black nor a white edge is
mistaken for a count. It is read back after JPEG and at half the size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from app.sandbox.paint import BLACK, WHITE, Bytes, Canvas, Planes, Window, both, without

MOUTHS = 9
"""Mouths, from closed to wide open."""

LIDS = 4
"""Eyes, from open to closed."""

BROWS = 3
"""Brows, from resting to raised."""

CELLS = 40
ROW = Window(0, 344, 640, 360)
"""Where the count stands."""

WHOLE = Window(0, 0, 640, 360)
EYES = Window(232, 96, 408, 188)
MOUTH = Window(272, 196, 368, 260)

BACK, GLOW = (190, 211, 230), (223, 234, 243)
HAIR, SHINE = (74, 48, 42), (96, 64, 55)
SKIN, SHADE, BLUSH = (244, 204, 174), (227, 174, 143), (236, 148, 128)
COAT, COLLAR, SHIRT = (47, 88, 132), (37, 71, 109), (246, 247, 249)
EYE, IRIS, PUPIL = (255, 255, 255), (72, 112, 120), (32, 34, 40)
LIPS, GUM, TEETH, TONGUE = (190, 92, 86), (92, 28, 36), (252, 252, 250), (212, 110, 108)


class Expression(NamedTuple):
    """All that differs between two pictures."""

    mouth: int = 0
    """Below ``MOUTHS``."""
    lids: int = 0
    """Below ``LIDS``."""
    brows: int = 0
    """Below ``BROWS``."""
    played: int = 0
    """Samples, any number."""


class Face:
    """A face of one size, ready to be shown with any expression."""

    def __init__(self, width: int, height: int) -> None:
        """Paint it; takes some hundredths of a second.

        ``width`` × ``height`` is 640 × 360 or a whole multiple of it.
        """
        self.width, self.height = width, height
        self._scale = width / WHOLE.right
        canvas = Canvas(WHOLE, self._scale)
        _paint_bust(canvas)
        self._rest = np.concatenate([plane.ravel() for plane in canvas.planes()])
        self._mouths = []
        for step in range(MOUTHS):
            part = canvas.crop(MOUTH)
            _paint_mouth(part, step / (MOUTHS - 1))
            self._mouths.append(part.planes())
        self._eyes = {}
        for lids in range(LIDS):
            for brows in range(BROWS):
                part = canvas.crop(EYES)
                _paint_eyes(part, lids / (LIDS - 1), brows / (BROWS - 1))
                self._eyes[lids, brows] = part.planes()
        row = self.planes(self._rest).cut(ROW, self._scale)
        row.u[:] = row.v[:] = 128

    def picture(self, expression: Expression) -> Bytes:
        """An I420 picture as one row of bytes: ``width × height × 3 / 2``."""
        picture = self._rest.copy()
        planes = self.planes(picture)
        planes.cut(MOUTH, self._scale).put(self._mouths[expression.mouth])
        planes.cut(EYES, self._scale).put(self._eyes[expression.lids, expression.brows])
        planes.cut(ROW, self._scale).y[:] = _cells(expression.played, self.width // CELLS)
        return picture

    def planes(self, picture: Bytes) -> Planes:
        """The planes of a picture, as views."""
        size = self.width * self.height
        half = (self.height // 2, self.width // 2)
        return Planes(
            picture[:size].reshape(self.height, self.width),
            picture[size : size * 5 // 4].reshape(half),
            picture[size * 5 // 4 :].reshape(half),
        )


def _cells(count: int, width: int) -> Bytes:
    """The luma of one line of the row."""
    data = (count % 2**32).to_bytes(4)
    check = 0x55 ^ data[0] ^ data[1] ^ data[2] ^ data[3]
    bits = np.unpackbits(np.frombuffer(data + bytes([check]), np.uint8))
    return np.repeat(bits * np.uint8(WHITE - BLACK) + np.uint8(BLACK), width)


def _paint_bust(canvas: Canvas) -> None:
    """Paint everything that does not move."""
    fill, ellipse, box = canvas.fill, canvas.ellipse, canvas.box
    fill(box(320, 180, 400, 300, 0), BACK)
    fill(ellipse(320, 168, 150, 150), GLOW, blur=70)
    # hair behind, then the shoulders before it
    fill(both(ellipse(320, 160, 104, 116), box(320, 150, 120, 126, 40)), HAIR)
    fill(box(320, 230, 96, 60, 44), HAIR)
    fill(box(320, 372, 150, 84, 76), COAT)
    fill(box(320, 270, 33, 52, 26), SHADE)
    fill(both(ellipse(320, 296, 62, 40), box(320, 340, 80, 52, 0)), COLLAR)
    fill(ellipse(320, 288, 48, 34), SHIRT)
    fill(ellipse(320, 276, 35, 30), SHADE)
    # the head
    fill(ellipse(240, 172, 13, 20), SKIN)
    fill(ellipse(400, 172, 13, 20), SKIN)
    fill(ellipse(239, 174, 6, 11), SHADE, blur=3)
    fill(ellipse(401, 174, 6, 11), SHADE, blur=3)
    head = np.minimum(ellipse(320, 158, 80, 86), ellipse(320, 190, 68, 80))
    fill(head, SKIN)
    cheeks = np.minimum(ellipse(274, 206, 20, 14), ellipse(366, 206, 20, 14))
    fill(both(cheeks, head + 8), BLUSH, opacity=0.45, blur=16)
    # the fringe, parted at one side, lies on the head
    crown = both(ellipse(320, 150, 92, 104), box(320, 60, 120, 130, 0))
    fringe = without(without(crown, ellipse(350, 186, 98, 92)), ellipse(254, 172, 40, 76))
    fill(fringe, HAIR)
    fill(both(canvas.arc(330, 74, 52, -12, 7), fringe), SHINE, opacity=0.8, blur=3)
    # the nose
    fill(canvas.arc(320, 190, 9, 5, 3.4), SHADE)


def _paint_eyes(canvas: Canvas, closed: float, raised: float) -> None:
    """Paint eyes and brows; both arguments go from 0 to 1."""
    for side in (-1, 1):
        x, y = 320 + side * 34, 164.0
        opening = 12.5 * (1 - closed)
        if opening > 1:
            white = canvas.ellipse(x, y, 15, opening)
            canvas.fill(white, EYE)
            iris = canvas.ellipse(x, y, 9.4, 9.8)
            canvas.fill(both(iris, white), IRIS)
            canvas.fill(both(canvas.ellipse(x, y, 4.9, 5.2), white), PUPIL)
            canvas.fill(both(canvas.ellipse(x + 3.6, y - 3.8, 2.5, 2.5), white), EYE)
        lash = canvas.arc(x, y, 16, -opening * 1.02 + 3 * closed, 3.4)
        canvas.fill(lash, HAIR)
        canvas.fill(canvas.arc(x + side, 138 - 6 * raised, 16.5, -5.5, 5.4), HAIR)


def _paint_mouth(canvas: Canvas, opened: float) -> None:
    """Paint the mouth; ``opened`` goes from 0 to 1."""
    y = 221.0
    if not opened:
        canvas.fill(canvas.arc(320, y, 22, 6, 4.6), LIPS)
        canvas.fill(canvas.arc(320, y + 13, 8, 2, 2.4), SHADE)
        return
    wide, high = 22 - 2 * opened, 2.5 + 13.5 * opened
    middle = y + 3 + high * 0.55
    canvas.fill(canvas.ellipse(320, middle, wide + 3.2, high + 3.2), LIPS)
    inside = canvas.ellipse(320, middle, wide, high)
    canvas.fill(inside, GUM)
    tongue = canvas.ellipse(320, middle + high * 0.85, wide * 0.66, high * 0.62)
    canvas.fill(both(tongue, inside), TONGUE)
    teeth = canvas.box(320, middle - high, wide * 0.8, 3 + 3 * opened, 2.5)
    canvas.fill(both(teeth, inside), TEETH)
