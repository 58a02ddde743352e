from __future__ import annotations

import pytest
from msgspec.structs import replace

from app.core.frame_header import SKIPPED, UNKNOWN_OFFSET, FrameHeader, FrameKind, size
from app.core.frame_queue import MAX_PIECES, Frame, FrameQueue
from app.core.media import Choices, PictureChoice, PictureCodec

CHOICE = PictureChoice(PictureCodec.JPEG, 25, 640)
ALL = Choices(CHOICE, audio=24_000, user_audio=16_000)


def picture(at_us: int = 0, payload: bytes = b"jpeg") -> Frame:
    """Make a picture."""
    return Frame(FrameKind.VIDEO, 1, at_us, 3, 40, size(640, 360), payload)


def sound(at_us: int = 0, kind: FrameKind = FrameKind.AUDIO) -> Frame:
    """Make a piece of sound."""
    return Frame(kind, 1, at_us, 0, UNKNOWN_OFFSET, 24_000, b"pcm")


def taken(queue: FrameQueue) -> list[tuple[FrameHeader, bytes]]:
    """Take all that waits."""
    frames = []
    while (popped := queue.pop()) is not None:
        frames.append((FrameHeader.unpack(popped[1]), popped[1][28:]))
    return frames


def wanting(choices: Choices) -> FrameQueue:
    """Make a queue for these choices."""
    queue = FrameQueue()
    queue.choose(choices)
    return queue


def test_reader_that_keeps_up_gets_all() -> None:
    """Frames come with their labels, numbered from 1 for each kind, without a flag."""
    queue = wanting(ALL)
    got = []
    for at_us in (40_000, 80_000):
        queue.push(picture(at_us))
        queue.push(sound(at_us))
        got += taken(queue)

    assert [
        (FrameHeader(2, 1, 0, 1, 40_000, 0, UNKNOWN_OFFSET, 24_000), b"pcm"),
        (FrameHeader(1, 1, 0, 1, 40_000, 3, 40, size(640, 360)), b"jpeg"),
        (FrameHeader(2, 1, 0, 2, 80_000, 0, UNKNOWN_OFFSET, 24_000), b"pcm"),
        (FrameHeader(1, 1, 0, 2, 80_000, 3, 40, size(640, 360)), b"jpeg"),
    ] == got
    assert (4, 0) == (queue.sent, queue.dropped)


def test_newest_picture_wins() -> None:
    """Of the pictures that wait only the newest is sent: the others are counted and flagged."""
    queue = wanting(ALL)
    lost = [queue.push(picture(at_us, str(at_us).encode())) for at_us in (1, 2, 3)]
    ((header, payload),) = taken(queue)
    queue.push(picture(4))
    ((after, _),) = taken(queue)

    assert [0, 1, 1] == lost
    assert (3, SKIPPED, b"3") == (header.seq, header.flags, payload)
    assert (4, 0) == (after.seq, after.flags)
    assert (2, 2) == (queue.sent, queue.dropped)


def test_what_was_lost_on_the_way_is_flagged_too() -> None:
    """Pictures that could not be encoded in time are missing like those not taken in time."""
    queue = wanting(ALL)
    queue.push(picture(1))
    taken(queue)

    assert 2 == queue.push(picture(2), skipped=2)
    ((header, _),) = taken(queue)
    assert (4, SKIPPED) == (header.seq, header.flags)
    assert 2 == queue.dropped


@pytest.mark.parametrize("kind", [FrameKind.AUDIO, FrameKind.USER_AUDIO])
def test_sound_waits_for_half_a_second(kind: FrameKind) -> None:
    """Older sound is left out; what is left comes in order, the gap flagged once."""
    queue = wanting(ALL)
    for number in range(100):
        queue.push(sound(number * 20_000, kind))
    headers = [header for header, _ in taken(queue)]

    assert list(range(76, 101)) == [header.seq for header in headers]
    assert [SKIPPED] + [0] * 24 == [header.flags for header in headers]
    assert 75 == queue.dropped


def test_clock_that_jumps_back_does_not_fill_the_ring() -> None:
    """Pieces are bounded in number as well, whatever their times say."""
    queue = wanting(ALL)
    for number in range(2 * MAX_PIECES):
        queue.push(sound(-number * 20_000))

    assert MAX_PIECES == len(queue)


def test_sound_goes_before_pictures() -> None:
    """A piece of sound is small and late more easily."""
    queue = wanting(ALL)
    queue.push(picture())
    queue.push(sound(kind=FrameKind.USER_AUDIO))
    queue.push(sound())

    assert [2, 3, 1] == [header.kind for header, _ in taken(queue)]


def test_unchanged_choice_goes_on_undisturbed() -> None:
    """Who wants smaller pictures does not lose a sample of sound."""
    queue = wanting(ALL)
    queue.push(sound(1))
    queue.push(picture(1))
    taken(queue)
    queue.push(sound(2))
    queue.push(picture(2))
    queue.choose(replace(ALL, video=replace(CHOICE, max_width=320), user_audio=None))
    queue.push(picture(3))
    headers = [header for header, _ in taken(queue)]

    assert [(2, 2), (1, 2)] == [(header.kind, header.seq) for header in headers]
    assert (4, 0) == (queue.sent, queue.dropped)


def test_who_wants_nothing_more_has_nothing_waiting() -> None:
    """What was counted stays counted."""
    queue = wanting(ALL)
    for at_us in (1, 2):
        queue.push(picture(at_us))
    queue.choose(Choices())

    assert queue.pop() is None
    assert (0, 1) == (queue.sent, queue.dropped)


def test_numbers_go_on_through_other_choices() -> None:
    """They are the viewer's; what waited for an old choice is no gap, what it lost is one."""
    queue = wanting(ALL)
    queue.push(picture(1))
    taken(queue)
    headers = []
    for skipped in (0, 2):
        queue.push(picture(2), skipped)
        for choices in (replace(ALL, video=replace(CHOICE, max_fps=5)), Choices(), ALL):
            queue.choose(choices)
        queue.push(picture(3))
        headers += [header for header, _ in taken(queue)]

    assert [(2, 0), (5, SKIPPED)] == [(header.seq, header.flags) for header in headers]
    assert (3, 2) == (queue.sent, queue.dropped)


def test_numbers_wrap() -> None:
    """After 2**32 frames the number starts again at 0 and is no gap."""
    queue = wanting(ALL)
    queue.push(picture(1), skipped=2**32 - 2)
    taken(queue)
    queue.push(picture(2))
    ((header, _),) = taken(queue)

    assert (0, 0) == (header.seq, header.flags)
