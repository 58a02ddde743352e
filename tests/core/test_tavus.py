"""What is said to Tavus and how its answers are read."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.core.events import ConversationCreated
from app.core.spec import AudioPathName, NamedId, SessionSpec
from app.core.tavus import (
    AppEvent,
    ConversationPage,
    ConversationRow,
    ReplicaPresent,
    ReplicaStarted,
    ReplicaStopped,
    ShutDown,
    conversation_tag,
    create_body,
    echo_message,
    error_for,
    interaction_message,
    interrupt_message,
    is_tagged,
    parse_conversation,
    parse_page,
    read_app_message,
)


def spec(
    *,
    face: NamedId | None = None,
    pal: NamedId | None = None,
    ready_timeout_s: float = 120.0,
    conversation: dict[str, Any] | None = None,
) -> SessionSpec:
    """Make a spec with the fields that matter to Tavus."""
    return SessionSpec(
        face=face,
        pal=pal,
        conversation_name=None,
        audio_path=AudioPathName.ECHO,
        lead_ms=1500,
        ready_timeout_s=ready_timeout_s,
        idle_timeout_s=300.0,
        max_duration_s=600.0,
        conversation=conversation or {},
    )


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (conversation_tag("bridge", "sess_1", None), True),
        (conversation_tag("bridge", "sess_1", "Call [bridge/sess_2]"), True),
        ("Call [bridge/sess_1]  ", True),
        (conversation_tag("bridge", "sess_1", "x") + " (copy)", False),
        (conversation_tag("bridge", "sess_12", None), False),
        (conversation_tag("bridge", "sess_2", "Call [bridge/sess_1]"), False),
        (conversation_tag("bridge2", "sess_1", None), False),
        (conversation_tag("my-bridge", "sess_1", None), False),
        (conversation_tag("my/bridge", "sess_1", None), False),
        ("[bridge/sess_1", False),
        ("sess_1", False),
        ("", False),
    ],
)
def test_our_own_are_known_by_their_tag(name: str, *, ours: bool) -> None:
    """Neither another instance's, nor a name that only looks like one of ours, is taken."""
    assert ours == is_tagged(name, "bridge", "sess_1")


# --- the create request -----------------------------------------------------------------------


def test_a_create_body_holds_what_the_service_needs() -> None:
    """Ids keep the caller's names; the name tag, the webhook and our limits are always there."""
    body = create_body(
        spec(face=NamedId("face_id", "r1"), pal=NamedId("persona_id", "p1")),
        name="[bridge/sess_1]",
        callback_url="https://bridge.example/webhooks",
        left_s=600.0,
    )

    assert {
        "face_id": "r1",
        "persona_id": "p1",
        "conversation_name": "[bridge/sess_1]",
        "callback_url": "https://bridge.example/webhooks",
        "properties": {
            "max_call_duration": 601,
            "participant_left_timeout": 60,
            "participant_absent_timeout": 300,
        },
    } == body


def test_a_callers_conversation_is_merged_and_never_beats_the_service() -> None:
    """Foreign fields stay, also inside properties; ours replace theirs; theirs is not changed."""
    theirs = {
        "require_auth": True,
        "conversation_name": "mine",
        "callback_url": "https://elsewhere.example",
        "replica_id": "r-old",
        "pal_id": "p2",
        "properties": {"language": "french", "participant_left_timeout": 300},
    }
    given_before = json.dumps(theirs)
    body = create_body(
        spec(face=NamedId("face_id", "r1"), conversation=theirs),
        name="tag",
        callback_url=None,
        left_s=600.0,
    )

    assert {
        "require_auth": True,
        "face_id": "r1",
        "pal_id": "p2",
        "conversation_name": "tag",
        "properties": {
            "language": "french",
            "max_call_duration": 601,
            "participant_left_timeout": 300,
            "participant_absent_timeout": 300,
        },
    } == body
    assert given_before == json.dumps(theirs)


def test_tavus_waits_as_long_as_the_service_does() -> None:
    """Tavus does not give the conversation up while the service still waits for the replica."""
    body = create_body(spec(ready_timeout_s=900.5), name="tag", callback_url=None, left_s=600.0)

    assert body["properties"]["participant_absent_timeout"] == 901


def test_properties_that_are_no_object_are_replaced() -> None:
    """Nonsense in place of the properties does not keep our limits out."""
    body = create_body(
        spec(conversation={"properties": 3}), name="tag", callback_url=None, left_s=600.0
    )

    assert body["properties"]["max_call_duration"] == 601


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [("Support call", "Support call [eu/sess_1]"), (None, "Avatar Bridge [eu/sess_1]")],
)
def test_a_conversations_name_ends_with_its_tag(given_name: str | None, expected: str) -> None:
    """The deployment finds its own conversations by their names."""
    assert expected == conversation_tag("eu", "sess_1", given_name)


# --- answers ----------------------------------------------------------------------------------


def test_an_answer_becomes_a_fact() -> None:
    """Id, address and token are read; fields nobody asked for do no harm."""
    body = {
        "conversation_id": "c1",
        "conversation_url": "https://tavus.daily.co/c1",
        "status": "active",
        "callback_url": "",
        "meeting_token": "secret",
        "room_url": "https://tavus.example/c1",
    }

    assert ConversationCreated(
        "c1", "https://tavus.daily.co/c1", meeting_token="secret", over=False
    ) == parse_conversation(body)


def test_a_conversation_can_be_over_at_once() -> None:
    """With ``test_mode`` Tavus answers ``ended``; there need be no room then."""
    assert ConversationCreated("c1", "", over=True) == parse_conversation(
        {"conversation_id": "c1", "status": "ended"}
    )


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "c1",
        {},
        {"conversation_id": "c1"},
        {"conversation_id": "c1", "conversation_url": ""},
        {"conversation_id": 1, "conversation_url": "https://x.example"},
        {"conversation_url": "https://x.example", "status": "ended"},
    ],
)
def test_an_answer_without_id_or_address_is_tavuss_failure(body: object) -> None:
    """What cannot be joined or ended is no conversation."""
    with pytest.raises(errors.TavusUnavailable):
        parse_conversation(body)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (400, '{"message": "Invalid replica_uuid"}', errors.TavusRejected),
        (400, '{"error": "Invalid conversation_id"}', errors.TavusRejected),
        (
            400,
            '{"message": "User has reached maximum concurrent conversations"}',
            errors.TavusConcurrencyLimit,
        ),
        (400, "Maximum concurrency reached", errors.TavusConcurrencyLimit),
        (429, '{"error": "Too many concurrent calls"}', errors.TavusConcurrencyLimit),
        (401, '{"message": "Invalid access token"}', errors.TavusUnauthorized),
        (
            402,
            '{"message": "The user is out of conversational credits"}',
            errors.TavusOutOfCredits,
        ),
        (
            403,
            '{"message": "The user is out of conversational credits"}',
            errors.TavusOutOfCredits,
        ),
        (403, "{}", errors.TavusForbidden),
        (404, '{"message": "Unknown persona"}', errors.TavusRejected),
        (429, "", errors.TavusRateLimited),
        (500, "<html>oops</html>", errors.TavusUnavailable),
        (503, "concurrent requests failed", errors.TavusUnavailable),
        (302, "", errors.TavusUnavailable),
    ],
)
def test_an_error_is_told_by_status_and_text(
    status: int, text: str, expected: type[errors.BridgeError]
) -> None:
    """Every refusal becomes the one error that tells the caller what to do."""
    assert expected is type(error_for(status, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"message": "one", "error": "two"}', "Tavus (400): one"),
        ('{"message": "", "error": "two"}', "Tavus (400): two"),
        ('{"detail": [{"loc": ["face_id"]}]}', 'Tavus (400): [{"loc": ["face_id"]}]'),
        ("plain\n  words", "Tavus (400): plain words"),
        ("[1]", "Tavus (400): [1]"),
        ("", "Tavus answered 400"),
        ("[" * 100_000, "Tavus (400): " + "[" * 499 + "…"),
    ],
)
def test_the_detail_is_tavuss_own_words(text: str, expected: str) -> None:
    """The caller reads what Tavus wrote, on one line and of a bounded length."""
    assert expected == error_for(400, text).detail


@pytest.mark.parametrize("status", [429, 503])
def test_a_known_moment_of_retry_is_passed_on(status: int) -> None:
    """``Retry-After`` of Tavus reaches the caller."""
    assert error_for(status, "", retry_after_ms=1500).retry_after_ms == 1500


# --- messages out -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("done", "done_as_string", "expected"),
    [(True, False, True), (False, False, False), (True, True, "true"), (False, True, "false")],
)
def test_an_echo_is_the_documented_json(
    *, done: bool, done_as_string: bool, expected: object
) -> None:
    """The hand-made JSON says what ``json.dumps`` would have said, quotes in ids included."""
    message = json.loads(
        echo_message('c"1', "u\\ü", b"\x01\x02", done=done, done_as_string=done_as_string)
    )

    assert {
        "message_type": "conversation",
        "event_type": "conversation.echo",
        "conversation_id": 'c"1',
        "properties": {
            "modality": "audio",
            "audio": "AQI=",
            "sample_rate": 24000,
            "inference_id": "u\\ü",
            "done": expected,
        },
    } == message


@given(
    conversation_id=st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=64),
    inference_id=st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True),
    pcm=st.binary(max_size=1920),
)
def test_forty_milliseconds_fit_into_one_message(
    conversation_id: str, inference_id: str, pcm: bytes
) -> None:
    """No echo of at most 40 ms is over Daily's limit, and its audio comes back bit for bit."""
    message = echo_message(conversation_id, inference_id, pcm, done=False, done_as_string=True)
    longest = echo_message(
        conversation_id, inference_id, bytes(1920), done=False, done_as_string=True
    )

    assert len(longest.encode()) <= 4096
    assert pcm == b64decode(json.loads(message)["properties"]["audio"])


def test_an_interrupt_is_the_bare_envelope() -> None:
    """``conversation.interrupt`` has no properties."""
    assert {
        "message_type": "conversation",
        "event_type": "conversation.interrupt",
        "conversation_id": 'c"1',
    } == json.loads(interrupt_message('c"1'))


def test_an_interaction_gets_its_envelope() -> None:
    """The caller gives type and properties only; a text echo is allowed."""
    properties = {"modality": "text", "text": "Guten Tag, Jürgen"}

    assert {
        "message_type": "conversation",
        "event_type": "conversation.echo",
        "conversation_id": "c1",
        "properties": properties,
    } == json.loads(interaction_message("c1", "conversation.echo", properties))


@pytest.mark.parametrize(
    ("event_type", "properties"),
    [
        ("conversation.interrupt", {}),
        ("conversation.echo", {"modality": "audio", "text": "x"}),
        ("conversation.echo", {"audio": "AQI="}),
        ("conversation.echo", {"modality": None}),
        ("conversation.respond", {"text": math.nan}),
        ("conversation.respond", {"text": "\ud800"}),
        ("conversation.respond", {"text": b"raw"}),
    ],
)
def test_an_interaction_that_would_cheat_or_break_is_refused(
    event_type: str, properties: dict[str, Any]
) -> None:
    """Audio and interrupts have their own ways; what is no JSON cannot be sent at all."""
    with pytest.raises(errors.InvalidRequest):
        interaction_message("c1", event_type, properties)


def test_the_limit_of_an_interaction_is_counted_in_bytes() -> None:
    """4096 bytes pass, one more does not, and letters beyond ASCII count as what they are."""
    room = 4096 - len(interaction_message("c1", "conversation.respond", {"text": ""}))
    message = interaction_message("c1", "conversation.respond", {"text": "ü" * (room // 2)})

    assert len(message.encode()) in {4095, 4096}
    with pytest.raises(errors.TooLarge):
        interaction_message("c1", "conversation.respond", {"text": "x" * (room + 1)})


# --- messages in ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {
                "event_type": "conversation.started_speaking",
                "inference_id": "i1",
                "properties": {"role": "pal"},
            },
            ReplicaStarted("conversation.started_speaking/pal", "i1"),
        ),
        (
            {"event_type": "conversation.started_speaking", "properties": {"role": "replica"}},
            ReplicaStarted("conversation.started_speaking/replica", None),
        ),
        (
            {
                "event_type": "conversation.replica.started_speaking",
                "properties": {"inference_id": "i1"},
            },
            ReplicaStarted("conversation.replica.started_speaking", "i1"),
        ),
        (
            {
                "event_type": "conversation.stopped_speaking",
                "inference_id": "i1",
                "properties": {"role": "pal", "interrupted": False, "duration": 3.14},
            },
            ReplicaStopped("conversation.stopped_speaking/pal", "i1", 75_360, interrupted=False),
        ),
        (
            {
                "event_type": "conversation.replica.stopped_speaking",
                "properties": {"duration": None, "interrupted": True},
            },
            ReplicaStopped("conversation.replica.stopped_speaking", None, None, interrupted=True),
        ),
        ({"event_type": "system.replica_joined", "properties": {}}, ReplicaPresent()),
        ({"event_type": "system.pal_joined"}, ReplicaPresent()),
        ({"event_type": "system.replica_present"}, ReplicaPresent()),
        ({"event_type": "system.pal_present", "properties": None}, ReplicaPresent()),
        (
            {
                "event_type": "system.shutdown",
                "properties": {"shutdown_reason": "max_call_duration"},
            },
            ShutDown("max_call_duration reached"),
        ),
        (
            {
                "event_type": "system.shutdown",
                "message_type": "system",
                "properties": {"shutdown_reason": "participant_left_timeout reached"},
            },
            ShutDown("participant_left_timeout reached"),
        ),
        ({"event_type": "system.shutdown", "shutdown_reason": "bye"}, ShutDown("bye")),
        ({"event_type": "system.shutdown"}, ShutDown("unknown")),
        ('{"event_type": "system.pal_present"}', ReplicaPresent()),
        ({"event_type": "conversation.started_speaking", "properties": {"role": "user"}}, None),
        ({"event_type": "conversation.started_speaking"}, None),
        ({"event_type": "conversation.started_speaking", "properties": {"role": []}}, None),
        ({"event_type": "conversation.user.started_speaking"}, None),
        ({"event_type": "conversation.replica.blinked"}, None),
        ({"event_type": "conversation.utterance", "properties": {"role": "replica"}}, None),
        ({"event_type": ["system.shutdown"]}, None),
        ({}, None),
        ("[1]", None),
        ("no json", None),
        ("[" * 100_000, None),
    ],
)
def test_an_app_message_is_read(message: dict[str, Any] | str, expected: AppEvent | None) -> None:
    """Both generations of events are understood, twins stay apart, the rest means nothing."""
    assert expected == read_app_message(message)


def test_a_page_is_read_in_old_words_and_new() -> None:
    """Rows carry either pair of names; what is no row counts for the paging only."""
    page = parse_page(
        {
            "data": [
                {
                    "conversation_id": "c1",
                    "conversation_name": "Call [bridge/sess_1]",
                    "status": "active",
                    "replica_id": "r1",
                    "persona_id": "p1",
                },
                {"conversation_id": "c2", "status": "ended", "face_id": "r2", "pal_id": "p2"},
                {"conversation_name": "no id"},
                None,
            ],
            "total_count": 12,
        }
    )

    assert (
        ConversationPage(
            (
                ConversationRow("c1", "Call [bridge/sess_1]", False, "r1", "p1"),
                ConversationRow("c2", "", True, "r2", "p2"),
            ),
            length=4,
            total=12,
        )
        == page
    )
    assert parse_page({"data": []}).total is None


@pytest.mark.parametrize("body", [None, [], {}, {"data": {}}, "x"])
def test_what_is_no_page_is_tavus_failing(body: object) -> None:
    """An answer without a list says nothing about what runs."""
    with pytest.raises(errors.TavusUnavailable):
        parse_page(body)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0, 0),
        (1, 24_000),
        (0.00002, 0),
        (-0.1, None),
        (math.nan, None),
        (math.inf, None),
        (1e308, None),
        (10**400, None),
        (True, None),
        ("3.14", None),
        ([], None),
    ],
)
def test_a_duration_is_samples_or_unknown(duration: object, expected: int | None) -> None:
    """Seconds are rounded to samples; what is no duration is unknown."""
    event = read_app_message(
        {
            "event_type": "conversation.replica.stopped_speaking",
            "properties": {"duration": duration},
        }
    )

    assert (
        ReplicaStopped("conversation.replica.stopped_speaking", None, expected, interrupted=None)
        == event
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_EVENT_TYPES = st.sampled_from(
    [
        "conversation.started_speaking",
        "conversation.replica.stopped_speaking",
        "system.shutdown",
    ]
)


@given(
    st.text()
    | st.fixed_dictionaries(
        {},
        optional={
            "event_type": _EVENT_TYPES | _JSON,
            "inference_id": _JSON,
            "shutdown_reason": _JSON,
            "properties": _JSON
            | st.fixed_dictionaries(
                {}, optional={"role": _JSON, "duration": _JSON, "interrupted": _JSON}
            ),
        },
    )
)
def test_no_message_of_the_room_can_raise(message: dict[str, Any] | str) -> None:
    """Anybody in the room can send anything; reading it never fails."""
    read_app_message(message)
