from __future__ import annotations

import numpy as np
import simplejpeg

from app.sandbox.face import Expression, Face
from app.sandbox.portrait import Portrait
from tests.support.face import read_count

FACE = Face(640, 360)


def test_planes_come_without_padding() -> None:
    """Luma, then each colour difference at half the size."""
    planes = Portrait(FACE).i420(Expression(played=5))

    assert 640 * 360 * 3 // 2 == len(planes)
    assert 5 == read_count(np.frombuffer(planes, np.uint8)[: 640 * 360].reshape(360, 640))


def test_a_jpeg_has_the_full_range_and_the_right_colours() -> None:
    """Black is 0 and white 255 in it, and skin is skin."""
    image = Portrait(FACE).jpeg(Expression(played=123_456_789))
    grey = simplejpeg.decode_jpeg(image, colorspace="GRAY")[..., 0]
    red, green, blue = simplejpeg.decode_jpeg(image)[240, 300].tolist()

    assert 123_456_789 == read_count(grey)
    assert grey[345:359].min() < 5
    assert grey[345:359].max() > 250
    assert red > green > blue
    assert abs(red - 244) < 6


def test_a_resting_face_is_encoded_once() -> None:
    """Until something moves."""
    portrait = Portrait(FACE)

    first, again = portrait.jpeg(Expression()), portrait.jpeg(Expression())
    other = portrait.jpeg(Expression(mouth=3))

    assert first is again
    assert first != other
