from __future__ import annotations

from app.core.producer import Producer

MS = 1_000_000
WINDOW = 30_000 * MS


def test_an_empty_slot() -> None:
    """Before the first producer nobody is displaced, no token is known, nothing can expire."""
    producer = Producer(WINDOW)

    assert None is producer.connection
    assert 0 == producer.received
    assert not producer.knows("")
    assert None is producer.next_deadline()
    assert not producer.expire(99 * WINDOW)
    assert None is producer.take(1, "token")


def test_a_newer_producer_replaces_the_older() -> None:
    """The older connection is named to be closed, its token is worth nothing, the count is 0."""
    producer = Producer(WINDOW)
    producer.take(1, "old")
    producer.received = 7

    assert 1 == producer.take(2, "new")
    assert 2 == producer.connection
    assert 0 == producer.received
    assert not producer.knows("old")
    assert producer.knows("new")


def test_a_resumed_stream_goes_on_counting() -> None:
    """A resume keeps the count, replaces the connection that still holds, and the token."""
    producer = Producer(WINDOW)
    producer.take(1, "first")
    producer.received = 7

    assert 1 == producer.resume(2, "second")
    assert 7 == producer.received
    assert 2 == producer.connection
    assert not producer.knows("first")
    assert producer.knows("second")


def test_any_text_may_come_as_a_token() -> None:
    """A token that is not ASCII is unknown and does no harm."""
    producer = Producer(WINDOW)
    producer.take(1, "token")

    assert not producer.knows("schlüssel")
    assert not producer.knows("")


def test_a_clean_close_ends_the_utterance_at_once() -> None:
    """Who closes its socket has said all: nothing is waited for."""
    producer = Producer(WINDOW)
    producer.take(1, "token")

    assert producer.lose(1, 0, clean=True)
    assert None is producer.connection
    assert None is producer.next_deadline()


def test_a_lost_producer_has_the_window_to_come_back() -> None:
    """The utterance of a lost connection is closed when the window is over, once."""
    producer = Producer(WINDOW)
    producer.take(1, "token")

    assert not producer.lose(1, 1000 * MS, clean=False)
    assert 31_000 * MS == producer.next_deadline()
    assert not producer.expire(31_000 * MS - 1)
    assert producer.expire(31_000 * MS)
    assert not producer.expire(31_000 * MS)
    assert None is producer.next_deadline()


def test_coming_back_in_time_stops_the_clock() -> None:
    """After a resume within the window nothing expires."""
    producer = Producer(WINDOW)
    producer.take(1, "first")
    producer.lose(1, 0, clean=False)

    assert None is producer.resume(2, "second")
    assert None is producer.next_deadline()
    assert not producer.expire(99 * WINDOW)


def test_coming_back_too_late_still_resumes() -> None:
    """The window is about the open utterance alone: the token and the count outlive it."""
    producer = Producer(WINDOW)
    producer.take(1, "token")
    producer.received = 7
    producer.lose(1, 0, clean=False)
    producer.expire(WINDOW)

    assert producer.knows("token")
    assert None is producer.resume(2, "next")
    assert 7 == producer.received


def test_a_new_producer_stops_the_clock_of_a_lost_one() -> None:
    """Whoever takes the slot ends the older utterance; nothing is left to expire."""
    producer = Producer(WINDOW)
    producer.take(1, "first")
    producer.lose(1, 0, clean=False)

    assert None is producer.take(2, "second")
    assert None is producer.next_deadline()


def test_who_does_not_hold_the_slot_loses_nothing() -> None:
    """A replaced connection that goes away, and a second goodbye, change nothing."""
    producer = Producer(WINDOW)
    producer.take(1, "first")
    producer.take(2, "second")

    assert not producer.lose(1, 0, clean=True)
    assert not producer.lose(1, 0, clean=False)
    assert 2 == producer.connection
    assert None is producer.next_deadline()
    assert producer.lose(2, 0, clean=True)
    assert not producer.lose(2, 0, clean=True)


def test_without_a_window_a_lost_producer_expires_at_once() -> None:
    """A window of 0 closes the utterance at the moment of the loss."""
    producer = Producer(0)
    producer.take(1, "token")
    producer.lose(1, 5 * MS, clean=False)

    assert 5 * MS == producer.next_deadline()
    assert producer.expire(5 * MS)
