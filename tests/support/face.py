"""Reads what the sandbox burns into its pictures; see ``app.sandbox.face``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 40

ROW_AT = 352 / 360
"""The middle of the row, from the top of the picture to its bottom."""

CONTRAST = 80
"""White is at least so much brighter than black, however the picture was treated."""


def read_count(luma: NDArray[np.uint8]) -> int | None:
    """The count of played samples in a picture of any size; None when it cannot be read.

    ``luma`` is height × width, in the video range or in the full one.
    """
    height, width = luma.shape
    # The middle third of each cell: what lies at its edges may be blurred.
    line = luma[round(height * ROW_AT)].astype(np.float64)
    edges = np.arange(CELLS) * width / CELLS
    thirds = [slice(round(at + width / CELLS / 3), round(at + width / CELLS / 1.5)) for at in edges]
    levels = np.array([line[third].mean() for third in thirds])
    dark, bright = levels.min(), levels.max()
    if bright - dark < CONTRAST:
        return None
    *data, check = np.packbits(levels > (dark + bright) / 2).tolist()
    if check != 0x55 ^ data[0] ^ data[1] ^ data[2] ^ data[3]:
        return None
    return int.from_bytes(bytes(data))
