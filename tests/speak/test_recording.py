from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.core.frame_header import SKIPPED
from app.speak.recording import OFF_SAMPLES, SOUND_CODECS, Recording
from app.speak.stream import SpeakFailed
from app.speak.wish import VIDEO_ENDINGS
from tests.support.film import PIECE, RATE, film, picture, sound, tone

BLACK, WHITE = 0, 255


def loud(heard: NDArray[np.int16], start: float, end: float) -> bool:
    """Tell whether the tone sounds between two moments, in s; or silence does, else it is wrong."""
    level = np.abs(heard[round(start * RATE) : round(end * RATE)]).max()

    assert level < 500 or level > 6000
    return bool(level > 6000)


@pytest.mark.parametrize(
    ("ending", "codecs"),
    [
        (".mp4", ("h264", "aac")),
        (".mov", ("h264", "aac")),
        (".mkv", ("h264", "aac")),
        (".webm", ("vp9", "opus")),
    ],
)
def test_picture_and_sound_stay_together(
    tmp_path: Path, ending: str, codecs: tuple[str, str]
) -> None:
    """In every kind of file a click and a flash of one capture time are played at one time."""
    path = tmp_path / f"film{ending}"
    recording = Recording(path)
    clicks = np.zeros(2 * RATE, np.int16)
    clicks[RATE : RATE + 200] = 20_000
    for at in range(0, 2 * RATE, PIECE):
        at_ms = at * 1000 / RATE
        recording.take(sound(at_ms, clicks[at : at + PIECE]))
        if at_ms % 40 == 0:
            recording.take(picture(at_ms, WHITE if 1000 <= at_ms < 1200 else BLACK))

    assert f"{path}: 2.0 s, 50 pictures" == recording.close()
    shown = film(path)
    flash = [at for at, seen in zip(shown.times, shown.pictures, strict=True) if seen.mean() > 128]

    assert codecs == shown.codecs
    assert [0.04 * number for number in range(50)] == pytest.approx(shown.times)
    assert [1.0, 1.04, 1.08, 1.12, 1.16] == pytest.approx(flash)
    assert 1.0 == pytest.approx(np.argmax(np.abs(shown.sound) > 8000) / RATE, abs=0.002)
    # Black and white are what they were: the range of JPEG is not that of video.
    assert shown.pictures[0].mean() < 3
    assert shown.pictures[26].mean() > 252


def test_every_ending_is_known_to_the_command() -> None:
    """What may be asked for can be written."""
    assert set(VIDEO_ENDINGS) == set(SOUND_CODECS)


def test_missing_sound_is_silence(tmp_path: Path) -> None:
    """What comes after a gap sounds when it did, whether the gap is told, or seen by the times."""
    path = tmp_path / "film.mp4"
    recording = Recording(path)
    recording.take(picture(0, BLACK))
    recording.take(sound(0, tone(RATE // 2)))
    recording.take(sound(1000, tone(RATE // 2), SKIPPED))
    recording.take(sound(4000, tone(RATE // 2)))
    recording.close()
    heard = film(path).sound

    assert [True, False, True, False, True] == [
        loud(heard, start + 0.1, end - 0.1)
        for start, end in [(0, 0.5), (0.5, 1), (1, 1.5), (1.5, 4), (4, 4.5)]
    ]


def test_jitter_of_capture_times_makes_no_gap(tmp_path: Path) -> None:
    """A piece that is a little early or late follows its predecessor; far off it is moved."""
    path = tmp_path / "film.mp4"
    recording = Recording(path)
    recording.take(picture(0, BLACK))
    jitter_ms = (OFF_SAMPLES - 24) * 1000 / RATE
    for number in range(50):
        recording.take(sound(number * 20 + (jitter_ms if number % 2 else 0), tone(PIECE)))

    assert f"{path}: 1.0 s, 1 pictures" == recording.close()


def test_sound_that_was_written_is_not_repeated(tmp_path: Path) -> None:
    """When times go back, what is before the end of the file is left out, as are old pictures."""
    path = tmp_path / "film.mp4"
    recording = Recording(path)
    for at_ms in (0, 500, 500, 100):
        recording.take(picture(at_ms, BLACK))
    for at_ms in (0, 500, 200):
        recording.take(sound(at_ms, tone(RATE)))

    assert f"{path}: 1.5 s, 2 pictures" == recording.close()


def test_sound_before_the_first_picture_is_kept(tmp_path: Path) -> None:
    """A picture takes longer to come than the first word does."""
    path = tmp_path / "film.mp4"
    recording = Recording(path)
    for at_ms in range(0, 400, 20):
        recording.take(sound(at_ms, tone(PIECE)))
    recording.take(picture(400, WHITE))
    recording.take(picture(440, WHITE))
    recording.close()
    shown = film(path)

    assert [0.4, 0.44] == pytest.approx(shown.times)
    assert loud(shown.sound, 0.05, 0.35)


def test_pictures_of_another_size_are_fitted(tmp_path: Path) -> None:
    """The next conversation's replica may be larger; the file keeps its size."""
    path = tmp_path / "film.mp4"
    recording = Recording(path)
    recording.take(picture(0, WHITE, 160, 90))
    recording.take(picture(40, WHITE, 640, 360))
    recording.take(sound(0, tone(PIECE)))
    recording.close()

    assert [(90, 160)] * 2 == [seen.shape for seen in film(path).pictures]


def test_nothing_leaves_no_file(tmp_path: Path) -> None:
    """Without a picture there is nothing to look at."""
    path = tmp_path / "film.mp4"
    recording = Recording(path)
    recording.take(sound(0, tone(PIECE)))

    assert recording.close() is None
    assert not path.exists()


def test_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The one line has the file's name and the system's words."""
    path = tmp_path / "none" / "film.mp4"

    with pytest.raises(SpeakFailed, match=f"^{path}: No such file or directory$"):
        Recording(path)


def test_full_disk_is_told_once(tmp_path: Path) -> None:
    """Whoever goes on after it gets no second error at the end."""
    path = tmp_path / "film.mp4"
    path.symlink_to("/dev/full")
    recording = Recording(path)

    def record() -> None:
        for number in range(1000):
            recording.take(sound(number * 1000, tone(RATE)))
            recording.take(picture(number * 1000, number % 256))

    with pytest.raises(SpeakFailed, match=f"^{path}: No space left on device$"):
        record()
    assert recording.close() is None


def test_full_disk_is_told_at_the_end(tmp_path: Path) -> None:
    """A short film is written only when it is finished."""
    path = tmp_path / "film.mp4"
    path.symlink_to("/dev/full")
    recording = Recording(path)
    recording.take(picture(0, BLACK))
    recording.take(sound(0, tone(PIECE)))

    with pytest.raises(SpeakFailed, match=r"No space left on device$"):
        recording.close()
