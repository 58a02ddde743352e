from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import room_link as link
from app.core.events import Participant
from app.core.media import Picture, PictureChoice, PictureCodec, Sound, Wants

ANNA = Participant("p1", "tavus-replica-r1", "Anna")

CHOICE = PictureChoice(PictureCodec.JPEG, 25, 640)

ORDERS: list[link.Order] = [
    link.Join(1, "https://tavus.daily.co/c1", None, "Bridge", True),
    link.Join(2, "https://tavus.daily.co/c2", "token", "Bridge", False),
    link.Leave(1),
    link.Write(1, 3, bytes(960)),
    link.Send(2, 7, '{"event_type":"conversation.echo"}'),
    link.Clear(1, 4),
    link.Watch(2, Wants(frozenset({CHOICE}), sound=True)),
    link.Ping(),
]

REPORTS: list[link.Report] = [
    link.Ready(),
    link.Pong(),
    link.Joined(1, (ANNA,), "p2"),
    link.Failed(1, "closed", False),
    link.Left(1),
    link.Came(1, ANNA),
    link.Went(1, ANNA),
    link.Said(1, '"text"'),
    link.Consumed(1, 480),
    link.Cleared(1, 4, 960),
    link.Sent(2, 7),
    link.Refused(2, 8, "too large", True),
    link.Unanswered(2, 9),
    link.Interrupted(1),
    link.Restored(1),
]


@given(st.lists(st.integers(1, 700), min_size=1))
def test_messages_survive_any_slicing(sizes: list[int]) -> None:
    """Wherever the stream is cut, what is read is what was written, in order."""
    reader = link.order_reader()
    data = b"".join(map(link.encode, ORDERS))
    read: list[link.Order] = []
    for size in [*sizes, len(data)]:
        read += reader.feed(data[:size])
        data = data[size:]

    assert ORDERS == read


def test_reports_are_read_as_they_were_written() -> None:
    """Every type of report, in one piece."""
    reader = link.report_reader()

    assert REPORTS == list(reader.feed(b"".join(map(link.encode, REPORTS))))


def test_media_is_read_as_it_was_written() -> None:
    """On a link of its own, where a picture may be larger than any other message."""
    large = Picture(CHOICE, 640, 360, bytes(2 * link.MAX_BYTES), 7, skipped=2)
    reports: list[link.OfMedia] = [
        link.Shown(1, large),
        link.Heard(1, Sound(b"ab", 24_000, 8)),
        link.Heard(2, Sound(b"cd", 24_000, 9, "p1")),
    ]

    assert reports == list(link.media_reader().feed(b"".join(map(link.encode, reports))))


def test_what_is_too_large_is_not_written() -> None:
    """The bound is the same at both ends."""
    with pytest.raises(link.LinkBroken, match="fit"):
        link.encode(link.Said(1, "x" * link.MAX_BYTES))
    with pytest.raises(link.LinkBroken, match="fit"):
        link.encode(link.Shown(1, Picture(CHOICE, 1, 1, bytes(link.MEDIA_MAX_BYTES), 7)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xff\xff\xff", "announced"),
        (b"\x00\x00\x00\x01\xc1", "understood"),
        (link.encode(link.Pong()), "understood"),
    ],
)
def test_what_cannot_be_a_message_breaks_the_link(data: bytes, why: str) -> None:
    """A length beyond the bound, no MessagePack, or what only the other end says."""
    with pytest.raises(link.LinkBroken, match=why):
        list(link.order_reader().feed(data))


def test_reading_goes_on_where_it_was_left() -> None:
    """Who stops in the middle of a piece finds the rest in the next."""
    reader = link.order_reader()
    first = next(iter(reader.feed(link.encode(ORDERS[0]) + link.encode(ORDERS[2]))))

    assert ORDERS[0] == first
    assert [ORDERS[2], ORDERS[6]] == list(reader.feed(link.encode(ORDERS[6])))
