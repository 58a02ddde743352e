from __future__ import annotations

import pytest

from app.speak.stream import SpeakFailed, opened, refused, said


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{"code": "forbidden", "detail": "not you"}', "refused: forbidden: not you"),
        (b'{"error": "no problem document"}', "refused with status 403"),
        (b"[]", "refused with status 403"),
        (b"<html>", "refused with status 403"),
    ],
)
def test_refusal_is_told_in_the_words_of_the_service(body: bytes, line: str) -> None:
    """What is between us and the service may answer in a shape of its own."""
    assert line == str(refused("refused", 403, body))


def test_error_without_words_is_told_by_its_name() -> None:
    """A line never ends with a colon."""
    assert "words" == said(OSError("words"))
    assert "TimeoutError" == said(TimeoutError())


async def test_nobody_there_is_one_line() -> None:
    """A stream that cannot be opened is no stack of lines."""
    with pytest.raises(SpeakFailed, match="the stream cannot be opened: "):
        async with opened("ws://127.0.0.1:9/", {}):
            pass
