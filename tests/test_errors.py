from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app import errors
from app.errors import BridgeError

HTTP = {
    400: "malformed_json unsupported_format tavus_rejected",
    401: "unauthorized",
    402: "tavus_out_of_credits",
    403: "forbidden",
    404: "session_not_found not_found",
    405: "method_not_allowed",
    409: "session_over session_not_ready idempotency_conflict idempotency_in_progress",
    413: "too_large",
    422: "invalid_request",
    429: "too_many_sessions rate_limited tavus_concurrency_limit tavus_rate_limited",
    500: "internal",
    502: "tavus_unauthorized tavus_forbidden tavus_unavailable room_failed",
    503: "draining not_ready",
    504: "tavus_timeout replica_timeout",
}
"""The wire contract: each code has one status."""

STREAM = (
    "bad_message unknown_type bad_base64 format_mismatch partial_sample utterance_id_in_use "
    "utterance_mismatch too_many_utterances too_many_marks buffer_overflow role_forbidden "
    "resume_failed replica_lost replica_stalled"
)
"""The codes that only a stream sees."""

CLOSES = {
    1009: "too_large",
    4401: "unauthorized",
    4403: "forbidden role_forbidden",
    4404: "session_not_found not_found",
    4410: "session_over",
    4415: "unsupported_format format_mismatch",
    4429: "rate_limited too_many_sessions",
    4500: "internal session_not_ready",
    4502: (
        "tavus_out_of_credits tavus_concurrency_limit tavus_rate_limited tavus_unauthorized "
        "tavus_forbidden tavus_unavailable tavus_timeout room_failed replica_timeout replica_lost "
        "replica_stalled"
    ),
    4503: "draining not_ready",
}
"""The close code that means the same as a code; for all others it is 4400, a bad message."""


def everything(base: type[BridgeError] = BridgeError) -> Iterator[type[BridgeError]]:
    """Every class of the tree; what a test derives from it does not count."""
    yield base
    for child in base.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from everything(child)


LEAVES = [error for error in everything() if not error.__subclasses__()]
EVERY_LEAF = pytest.mark.parametrize("leaf", LEAVES)


def test_every_code_of_the_contract_exists_with_its_status() -> None:
    """The tree holds exactly the codes of the contract, each with the status written there."""
    contract = {code: status for status, codes in HTTP.items() for code in codes.split()}
    ours = {error.code: error.status for error in everything()}

    assert contract == {code: status for code, status in ours.items() if code in contract}
    assert set(contract) | set(STREAM.split()) == set(ours)


@EVERY_LEAF
def test_leaf_is_complete(leaf: type[BridgeError]) -> None:
    """A leaf's code is snake_case, its close code means the same, its title is a short phrase."""
    closes = {code: closes for closes, codes in CLOSES.items() for code in codes.split()}

    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", leaf.code)
    assert closes.get(leaf.code, 4400) == leaf.close_code
    assert re.fullmatch(r"[A-Z].*[^.]", leaf.title)


def test_leaves_do_not_share_codes() -> None:
    """One code, one leaf: the code alone tells which error it was."""
    codes = [leaf.code for leaf in LEAVES]

    assert len(codes) == len(set(codes))


def test_lost_create_is_never_to_be_repeated() -> None:
    """When the outcome is unknown a repeat could be billed twice."""
    assert not errors.TavusTimeout.retryable


def test_detail_stands_for_the_error() -> None:
    """The detail is what the error says; without one it is the title."""
    plain = errors.TooLarge()
    told = errors.InvalidRequest("bad", retry_after_ms=5, fields=(("/a", "missing"),))

    assert (errors.TooLarge.title, str(plain)) == (plain.detail, plain.detail)
    assert ("bad", 5, (("/a", "missing"),)) == (str(told), told.retry_after_ms, told.fields)
