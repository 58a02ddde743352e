from __future__ import annotations

import functools

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sandbox.face import BROWS, EYES, LIDS, MOUTH, MOUTHS, ROW, Expression, Face
from app.sandbox.paint import Bytes, Window
from tests.support.face import read_count

face_of = functools.cache(Face)

SMALL = face_of(640, 360)

COUNTS = [0, 1, 480, 24_000 * 3600, 0x5555_5555, 0xAAAA_AAAA, 2**32 - 1]


def luma(face: Face, expression: Expression) -> Bytes:
    """The picture in grey."""
    return face.planes(face.picture(expression)).y


def changed(one: Expression, other: Expression, window: Window) -> float:
    """How much of a window differs between two pictures; asserts that nothing else does."""
    differs = luma(SMALL, one) != luma(SMALL, other)
    left, top, right, bottom = window
    inside = differs[top:bottom, left:right].copy()
    differs[top:bottom, left:right] = False

    assert not differs.any()
    return float(inside.mean())


@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
@pytest.mark.parametrize("count", [*COUNTS, 2**32 + 7])
def test_the_count_is_read_back(size: tuple[int, int], count: int) -> None:
    """From the planes themselves, modulo 2^32."""
    face = face_of(*size)
    width, height = size

    assert width * height * 3 // 2 == len(face.picture(Expression()))
    assert count % 2**32 == read_count(luma(face, Expression(played=count)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 95))
def test_the_count_survives_jpeg_and_scaling(count: int, quality: int) -> None:
    """At 320 pixels, the narrowest that a viewer would ask for, and poor quality."""
    y, u, v = SMALL.planes(SMALL.picture(Expression(mouth=5, played=count)))
    small = [
        np.ascontiguousarray(plane.reshape(plane.shape[0] // 2, 2, -1, 2).mean((1, 3)), np.uint8)
        for plane in (y, u, v)
    ]
    jpeg = simplejpeg.encode_jpeg_yuv_planes(*small, quality)
    grey = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[..., 0]

    assert (180, 320) == grey.shape
    assert count == read_count(grey)


@pytest.mark.parametrize("value", [0, 16, 128, 235, 255])
def test_an_edge_without_a_row_is_no_count(value: int) -> None:
    """Nor is a picture of one colour."""
    assert None is read_count(np.full((360, 640), value, np.uint8))


def test_a_cell_that_is_wrong_is_noticed() -> None:
    """Whichever it is."""
    picture = luma(SMALL, Expression(played=123_456))

    for cell in range(40):
        wrong = picture.copy()
        wrong[344:, cell * 16 : (cell + 1) * 16] = 251 - wrong[344:, cell * 16 : (cell + 1) * 16]

        assert None is read_count(wrong)


def test_the_mouth_opens_step_by_step() -> None:
    """Each wider than the one before; nothing but the mouth moves."""
    rest = Expression()

    steps = [changed(rest, Expression(mouth=step), MOUTH) for step in range(1, MOUTHS)]

    assert steps == sorted(steps)
    assert 0.02 < steps[0] < steps[-1]


def test_eyes_and_brows_move() -> None:
    """In their own window, in every combination."""
    looks = {(lids, brows) for lids in range(LIDS) for brows in range(BROWS)} - {(0, 0)}

    for lids, brows in looks:
        assert changed(Expression(), Expression(lids=lids, brows=brows), EYES) > 0.005


def test_the_count_changes_nothing_but_its_row() -> None:
    """So a resting face rests."""
    assert changed(Expression(), Expression(played=2**32 - 1), ROW) > 0.5


def test_a_picture_is_its_owners() -> None:
    """Who writes into one spoils no other."""
    before = SMALL.picture(Expression()).copy()

    SMALL.picture(Expression())[:] = 0

    assert np.array_equal(before, SMALL.picture(Expression()))
