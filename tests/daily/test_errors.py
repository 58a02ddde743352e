from __future__ import annotations

import pytest

from app.daily.errors import check_address, is_too_large, refusal_for, without


@pytest.mark.parametrize(
    ("error", "reason", "again"),
    [
        ("Failed to parse url: x", "Daily cannot read the room's address", False),
        ("RoomLookup(RoomInfoError(NoLongerAvailable))", "its conversation is over", False),
        ("RoomLookup(RoomInfoError(NotYetAvailable))", "not open yet", True),
        ("RoomLookup(RoomInfoError(Unauthorized))", "another token", False),
        ('RoomInfoError(Unhandled("no-room"))', "the room refused us: no-room", False),
        ("HTTP error: 404 Not Found", "Daily answered 404", False),
        ("HTTP error: 503", "Daily answered 503", True),
        ("request timeout", "Daily did not answer", True),
        ("Error(Connect, dns error)", "Daily cannot be reached", True),
        ("Signalling(Closed)", "the room's signalling failed", True),
        ("something new at https://x.daily.co/secret", "the room could not be used", True),
    ],
)
def test_what_a_failed_join_means(error: str, reason: str, again: bool) -> None:
    """In words of ours, without the address, and whether another try makes sense."""
    refusal = refusal_for(error)

    assert reason in refusal.reason
    assert again is refusal.again
    assert "https" not in refusal.reason


@pytest.mark.parametrize(
    ("error", "large"),
    [
        ("the message is larger than 4096 bytes", True),
        ("AppMessage('the message is larger than 4096 bytes')", True),
        ("AppMessage(TooBig)", True),
        ("message too large", True),
        ("message_too_long", True),
        ("payload exceeds the limit", True),
        ("SizeLimitExceeded", True),
        ("AppMessage(Signalling(ChannelNotOpen))", False),
        ("AppMessage(Signalling(MessageSendFailed))", False),
        ("AppMessage(Signalling(ResponseReceiveTimeout))", False),
        ('AppMessage(Signalling(MessageSendFailed("longer than the size limit")))', False),
        ("invalid app message 'None'", False),
    ],
)
def test_what_was_refused_for_its_size(error: str, large: bool) -> None:
    """By the words that there are for it."""
    assert large is is_too_large(error)


@pytest.mark.parametrize("url", ["https://tavus.daily.co/c123", "https://a-b.daily.co/R_-9/"])
def test_addresses_of_rooms(url: str) -> None:
    """As Tavus gives them."""
    assert None is check_address(url, "a-token", None)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://tavus.daily.co/c1", "plain https"),
        ("https://tavus.daily.co:444/c1", "plain https"),
        ("https://me@tavus.daily.co/c1", "plain https"),
        ("https://daily.co/c1", "one of Daily's"),
        ("https://tavus.daily.co.evil.example/c1", "one of Daily's"),
        ("https://127.0.0.1/c1", "one of Daily's"),
        ("https://tavus.daily.co/", "names no room"),
        ("https://tavus.daily.co/a/b", "names no room"),
        ("https://[x/c1", "cannot be read"),
        ("https://x:y/c1", "cannot be read"),
        ("https://tavus.daily.co/c\0", "NUL"),
    ],
)
def test_what_is_no_address_of_a_room(url: str, wrong: str) -> None:
    """Found before the SDK spends 19 s on it, or panics."""
    found = check_address(url)

    assert found is not None
    assert wrong in found


def test_no_text_may_hold_a_nul() -> None:
    """Token and name go to the SDK as well."""
    found = check_address("https://tavus.daily.co/c1", None, "a\0b")

    assert found is not None
    assert "NUL" in found


def test_a_log_names_neither_room_nor_token() -> None:
    """Who has both is in the room."""
    url, token = "https://x.daily.co/room", "abc.def"

    assert "no [...] for [...]" == without(f"no {url} for {token}", url, token)
    assert "no" == without("no", url, None)
