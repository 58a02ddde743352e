from __future__ import annotations

import numpy as np
import pytest

from app.sandbox.paint import Canvas, Colour, Window, both, without

PLANE = Window(0, 0, 40, 20)
WHITE = (255, 255, 255)


def area(canvas: Canvas) -> float:
    """How much of a canvas is white, in the plane's units."""
    luma = canvas.planes().y.astype(float)
    return float((luma - 16).mean() / 219 * 40 * 20)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_shapes_have_their_size(scale: int) -> None:
    """At every scale, with smooth edges."""
    sizes = {}
    for name, rx, ry in (("ellipse", 12, 8), ("box", 12, 8)):
        canvas = Canvas(PLANE, scale)
        shape = canvas.ellipse(20, 10, rx, ry)
        if name == "box":
            shape = canvas.box(20, 10, rx, ry, 0)
        canvas.fill(shape, WHITE)
        sizes[name] = area(canvas)

    assert np.pi * 12 * 8 == pytest.approx(sizes["ellipse"], rel=0.01)
    assert 24 * 16 == pytest.approx(sizes["box"], rel=0.01)


def test_shapes_are_combined() -> None:
    """By what they share, and by what is left of one."""
    areas = []
    for combine in (both, without):
        canvas = Canvas(PLANE, 4)
        left, right = canvas.box(15, 10, 10, 5, 0), canvas.box(25, 10, 10, 5, 0)
        canvas.fill(combine(left, right), WHITE)
        areas.append(area(canvas))

    assert [100, 100] == pytest.approx(areas, rel=0.02)


def test_a_stroke_bends_downwards() -> None:
    """Its middle is lower than its ends."""
    canvas = Canvas(PLANE, 1)
    canvas.fill(canvas.arc(20, 5, 15, 10, 3), WHITE)
    luma = canvas.planes().y

    assert luma[5, 6] > 99 > luma[15, 6]
    assert luma[15, 20] > 99 > luma[5, 20]


def test_a_cover_can_be_thin() -> None:
    """Half of white over black is grey."""
    canvas = Canvas(PLANE, 1)
    canvas.fill(canvas.box(20, 10, 30, 30, 0), WHITE, opacity=0.5)

    assert {16 + 110} == set(canvas.planes().y.ravel().tolist())


@pytest.mark.parametrize(
    ("colour", "planes"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (81, 90, 240)),
        ((0, 255, 0), (145, 54, 34)),
        ((0, 0, 255), (41, 240, 110)),
    ],
)
def test_colours_are_those_of_bt_601(colour: Colour, planes: tuple[int, int, int]) -> None:
    """In the video range: the well-known values of the primary colours."""
    canvas = Canvas(PLANE, 1)
    canvas.fill(canvas.box(20, 10, 30, 30, 0), colour)

    assert planes == tuple(int(plane[3, 3]) for plane in canvas.planes())


def test_a_crop_is_a_copy() -> None:
    """Painting on it leaves the whole alone, and it knows where it is."""
    canvas = Canvas(PLANE, 2)
    part = canvas.crop(Window(10, 4, 20, 12))
    part.fill(part.box(15, 8, 2, 2, 0), WHITE)
    planes = canvas.planes()
    planes.cut(Window(10, 4, 20, 12), 2).put(part.planes())

    assert 0 == area(canvas)
    assert (235, 16) == (planes.y[16, 30], planes.y[16, 22])
