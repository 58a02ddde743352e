from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as info

from app import asyncapi_examples
from app.core import wire_in, wire_out
from app.core.pcm import AudioFormat
from app.errors import BadBase64, BadMessage, UnknownType, UnsupportedFormat
from tests.support.asyncapi import check_server_message

CLIENT_KINDS = get_args(wire_in.ClientMessage)
SERVER_KINDS = [type(each) for each in asyncapi_examples.SERVER]

TEXT = st.text(max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=200)
"""Text with everything that a Python string can hold, halves of surrogate pairs too."""


PLAIN: dict[type[info.Type], st.SearchStrategy[Any]] = {
    info.FloatType: st.floats(allow_nan=False, allow_infinity=False),
    info.BoolType: st.booleans(),
    info.NoneType: st.none(),
    info.BytesType: st.binary(),
    info.AnyType: JSON_VALUES,
}
"""All values of the types without bounds."""


def _values(of: info.Type) -> st.SearchStrategy[Any]:
    """Return all values of a type of a message's field, within its bounds."""
    match of:
        case info.Metadata(extra_json_schema={"enum": [*allowed]}):
            return st.sampled_from(allowed)
        case info.Metadata(extra_json_schema={"const": constant}):
            return st.just(constant)
        case info.Metadata(extra_json_schema={"minimum": low, "maximum": high}):
            return st.integers(low, high)
        case info.StrType(pattern=str()):
            return st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
        case info.StrType(min_length=shortest, max_length=longest):
            return st.text(min_size=shortest or 0, max_size=longest)
        case info.IntType(ge=least, le=most):
            return st.integers(min_value=least, max_value=most)
        case info.DictType():
            return st.dictionaries(TEXT, JSON_VALUES, max_size=3)
        case info.LiteralType(values=allowed):
            return st.sampled_from(allowed)
        case info.EnumType(cls=kind):
            return st.sampled_from(kind)
        case info.VarTupleType(item_type=item):
            return st.lists(_values(item), max_size=3).map(tuple)
        case info.UnionType(types=kinds):
            return st.one_of([_values(each) for each in kinds])
        case info.StructType(cls=kind, fields=fields) | info.DataclassType(cls=kind, fields=fields):
            return st.builds(kind, **{each.name: _values(each.type) for each in fields})
    return PLAIN[type(of)]


def _messages(kind: type) -> st.SearchStrategy[Any]:
    return _values(info.type_info(kind))


@pytest.mark.parametrize("kind", CLIENT_KINDS)
@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_what_a_client_wrote_is_what_is_read(kind: type, data: st.DataObject) -> None:
    """Every message of a client comes out as it went in."""
    message = data.draw(_messages(kind))

    assert message == wire_in.parse(msgspec.json.encode(message).decode())


@pytest.mark.parametrize("kind", SERVER_KINDS)
@given(data=st.data(), ts_ms=st.integers(0, 2**53), seq=st.integers(1, 2**53))
@settings(deadline=None, max_examples=30)
def test_what_the_service_says_is_what_the_contract_says(
    kind: type, data: st.DataObject, ts_ms: int, seq: int
) -> None:
    """Every message of the service keeps to the contract, and says all that is in the struct."""
    message = data.draw(_messages(kind))
    number = seq if isinstance(message, wire_out.SessionMessage) else None

    text = wire_out.encode(message, ts_ms=ts_ms, seq=number)
    told = check_server_message(text)

    assert message == msgspec.json.decode(text, type=kind)
    assert ts_ms == told["ts_ms"]
    assert number is None or number == told["seq"]


def _read(text: str) -> None:
    """Parse what may be anything; only the four errors may come of it."""
    try:
        message = wire_in.parse(text)
    except (BadMessage, UnknownType, UnsupportedFormat, BadBase64) as error:
        ref = wire_in.ref_of(text)
        wire_out.encode(wire_out.error_message(error, ref), ts_ms=1)
    else:
        assert isinstance(message, wire_in.ClientMessage)


@given(text=ANY_TEXT)
@settings(deadline=None)
def test_junk_is_refused_and_nothing_worse(text: str) -> None:
    """Text that is no JSON raises one of our errors, and that error can be told."""
    _read(text)


FIELDS = sorted({name for kind in CLIENT_KINDS for name in kind.__struct_fields__})
TYPES = sorted(kind.__struct_config__.tag for kind in CLIENT_KINDS)


@given(
    kind=st.sampled_from(TYPES) | JSON_VALUES,
    fields=st.dictionaries(st.sampled_from(FIELDS) | TEXT, JSON_VALUES, max_size=5),
)
@settings(deadline=None, max_examples=300)
def test_wrong_values_are_refused_and_nothing_worse(kind: Any, fields: dict[str, Any]) -> None:
    """A JSON object with any values in any fields is read or raises one of our errors."""
    _read(json.dumps({**fields, "type": kind}))


@given(
    example=st.sampled_from(asyncapi_examples.CLIENT), data=st.data(), insert=ANY_TEXT | st.just("")
)
@settings(deadline=None, max_examples=300)
def test_damaged_messages_are_refused_and_nothing_worse(
    example: wire_in.ClientMessage, data: st.DataObject, insert: str
) -> None:
    """A good message with a piece replaced is read or raises one of our errors."""
    text = msgspec.json.encode(example).decode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))

    _read(text[:start] + insert + text[end:])


@given(ts=NUMBERS | st.text(max_size=128))
@settings(deadline=None)
def test_a_ping_comes_back_as_it_was(ts: float | str) -> None:
    """Whatever time a client sends, it gets the same in return."""
    ping = wire_in.parse(json.dumps({"type": "ping", "ts": ts}))
    assert isinstance(ping, wire_in.Ping)

    pong = json.loads(wire_out.encode(wire_out.Pong(ts=ping.ts), ts_ms=1))

    assert ts == pong["ts"]


@given(
    query=st.dictionaries(
        st.sampled_from(["encoding", "sample_rate", "channels", "other"]),
        ANY_TEXT | st.integers().map(str) | st.sampled_from(["wav", "pcm_u8", "16000", "2"]),
    )
)
@settings(deadline=None)
def test_any_query_is_a_format_or_an_unsupported_one(query: dict[str, str]) -> None:
    """A query raises nothing but the one error, and otherwise gives a usable format."""
    try:
        audio_format, declared = wire_in.parse_format(query)
    except UnsupportedFormat:
        return

    assert isinstance(audio_format, AudioFormat)
    assert declared == bool(query.keys() - {"other"})
