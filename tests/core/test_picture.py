from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import VideoReformatter

from app.core.media import Picture, PictureChoice, PictureCodec, RawPicture
from app.core.picture import encode, fit, i420_bytes

BLACK, WHITE, RED, GREEN = (16, 128, 128), (235, 128, 128), (81, 90, 240), (145, 54, 34)
"""In I420, BT.601 (ITU-R BT.601, 8 bits)."""


def plain(width: int, height: int, colour: tuple[int, int, int]) -> RawPicture:
    """Make a picture of one colour."""
    chroma = (i420_bytes(width, height) - width * height) // 2
    luma, blue, red = colour
    return RawPicture(
        width,
        height,
        bytes([luma]) * (width * height) + bytes([blue]) * chroma + bytes([red]) * chroma,
        captured_us=77,
    )


def made(raw: RawPicture, choices: list[PictureChoice]) -> list[Picture]:
    """Encode with nothing set up."""
    return encode(raw, choices, VideoReformatter())


def choice(codec: PictureCodec, max_width: int = 3840, max_fps: int = 25) -> PictureChoice:
    """Make a choice that leaves the size alone."""
    return PictureChoice(codec, max_fps, max_width)


@pytest.mark.parametrize("codec", [PictureCodec.JPEG, PictureCodec.RGB])
@pytest.mark.parametrize(
    ("colour", "rgb"),
    [(BLACK, (0, 0, 0)), (WHITE, (255, 255, 255)), (RED, (255, 0, 0)), (GREEN, (0, 255, 0))],
)
def test_colours_are_stretched_to_full_range(
    codec: PictureCodec, colour: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    """Black is black and white is white, by both ways."""
    (picture,) = made(plain(64, 48, colour), [choice(codec)])
    shown = (
        simplejpeg.decode_jpeg(picture.data)
        if codec is PictureCodec.JPEG
        else np.frombuffer(picture.data, np.uint8).reshape(48, 64, 3)
    )

    assert (48, 64, 3) == shown.shape
    assert np.abs(shown.astype(int) - rgb).max() <= 3


def test_i420_passes_unchanged() -> None:
    """The room's planes come out bit for bit, from whatever they were held in."""
    data = np.random.default_rng(1).integers(0, 256, i420_bytes(64, 48), np.uint8).tobytes()
    (picture,) = made(RawPicture(64, 48, memoryview(data), 5), [choice(PictureCodec.I420)])

    assert data == picture.data
    assert (64, 48, 5, 0) == (picture.width, picture.height, picture.captured_us, picture.skipped)


@pytest.mark.parametrize("codec", list(PictureCodec))
def test_wide_pictures_are_made_smaller(codec: PictureCodec) -> None:
    """Width and height shrink in proportion; left stays left and right stays right."""
    width, height = 1280, 720
    luma = np.full((height, width), 16, np.uint8)
    luma[:, width // 2 :] = 235
    raw = RawPicture(width, height, luma.tobytes() + bytes([128]) * (width * height // 2), 0)
    (picture,) = made(raw, [choice(codec, 501)])

    assert (500, 282) == (picture.width, picture.height)
    if codec is PictureCodec.JPEG:
        shown = simplejpeg.decode_jpeg(picture.data)[:, :, 0]
    elif codec is PictureCodec.RGB:
        shown = np.frombuffer(picture.data, np.uint8).reshape(282, 500, 3)[:, :, 0]
    else:
        assert i420_bytes(500, 282) == len(picture.data)
        shown = np.frombuffer(picture.data, np.uint8, 500 * 282).reshape(282, 500)
    assert (282, 500) == shown.shape
    assert shown[:, 240].max() < 30
    assert shown[:, 260].min() > 225


@pytest.mark.parametrize("codec", list(PictureCodec))
@pytest.mark.parametrize("size", [(641, 361), (640, 361), (641, 360)])
def test_odd_edge_is_left_out(codec: PictureCodec, size: tuple[int, int]) -> None:
    """What is left of a picture of odd size has its colours to the last row and column."""
    (picture,) = made(plain(*size, RED), [choice(codec)])

    assert (640, 360) == (picture.width, picture.height)
    match codec:
        case PictureCodec.JPEG:
            shown = simplejpeg.decode_jpeg(picture.data)
            assert np.abs(shown.astype(int) - (255, 0, 0)).max() <= 3
        case PictureCodec.RGB:
            assert bytes([253, 0, 0]) * (640 * 360) == picture.data
        case PictureCodec.I420:
            assert plain(640, 360, RED).i420 == picture.data


def test_odd_size_made_smaller() -> None:
    """An odd picture is made smaller like any other."""
    (picture,) = made(plain(641, 361, GREEN), [choice(PictureCodec.RGB, 320)])

    assert (320, 180, 320 * 180 * 3) == (picture.width, picture.height, len(picture.data))
    assert np.abs(np.frombuffer(picture.data, np.uint8).reshape(-1, 3) - [0, 254, 0]).max() <= 3


def test_what_differs_only_in_pace_is_made_once() -> None:
    """Two choices of one size and codec share their bytes; each is answered."""
    choices = [
        choice(PictureCodec.JPEG, 640, 25),
        choice(PictureCodec.JPEG, 641, 10),
        choice(PictureCodec.JPEG, 320, 25),
    ]
    pictures = made(plain(1280, 720, GREEN), choices)

    assert choices == [picture.choice for picture in pictures]
    assert pictures[0].data is pictures[1].data
    assert pictures[0].data != pictures[2].data


@pytest.mark.parametrize("codec", list(PictureCodec))
@pytest.mark.parametrize("length", [0, i420_bytes(64, 48) - 1, i420_bytes(64, 48) + 1])
def test_wrong_length_is_refused(codec: PictureCodec, length: int) -> None:
    """Bytes that are no picture of this size are not read beyond their end."""
    with pytest.raises(ValueError, match="64x48"):
        made(RawPicture(64, 48, bytes(length), 0), [choice(codec)])


@pytest.mark.parametrize(
    ("width", "height", "max_width", "expected"),
    [
        (640, 360, 640, (640, 360)),
        (640, 360, 1280, (640, 360)),
        (641, 361, 641, (640, 360)),
        (3, 3, 3, (2, 2)),
        (1280, 720, 640, (640, 360)),
        (1280, 720, 639, (638, 360)),
        (1920, 1080, 427, (426, 240)),
        (360, 640, 180, (180, 320)),
        (2000, 2, 16, (16, 2)),
    ],
)
def test_fit(width: int, height: int, max_width: int, expected: tuple[int, int]) -> None:
    """A picture is never made larger; one that is made smaller gets an even size."""
    assert expected == fit(width, height, max_width)


def test_no_picture_of_one_pixel() -> None:
    """A line of pixels has no colours of its own."""
    with pytest.raises(ValueError, match="1x1"):
        made(plain(1, 1, RED), [choice(PictureCodec.JPEG)])


def test_what_is_set_up_fits_every_shape() -> None:
    """One scaler makes of all sizes and codecs what one of their own would."""
    scaler = VideoReformatter()
    choices = [choice(codec, width) for codec in PictureCodec for width in (640, 320)]
    raws = [plain(640, 360, RED), plain(1280, 720, GREEN), plain(640, 360, GREEN)]

    assert [made(raw, choices) for raw in raws] == [encode(raw, choices, scaler) for raw in raws]
