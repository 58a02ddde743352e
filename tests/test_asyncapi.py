from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError

from app import asyncapi, asyncapi_examples
from app.core import wire_in, wire_out
from tests.support.asyncapi import PATH, check_server_message, document, types, validator_for

MESSAGES: dict[str, Any] = document()["components"]["messages"]
TEXT_MESSAGES = {name: each for name, each in MESSAGES.items() if name not in {"Audio", "Frame"}}


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()


def _resolve(reference: str) -> Any:
    node: Any = document()
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_the_committed_document_is_the_generated_one() -> None:
    """Whoever changes a message commits the document with it (avatar-bridge openapi)."""
    assert asyncapi.render() == PATH.read_text(encoding="utf-8")


def test_every_message_is_in_the_document() -> None:
    """No message of the code is missing, on either side."""
    client = {kind.__struct_config__.tag for kind in get_args(wire_in.ClientMessage)}
    server = {
        kind.__struct_config__.tag
        for kind in vars(wire_out).values()
        if isinstance(kind, type)
        and issubclass(kind, wire_out.ServerMessage)
        and not kind.__subclasses__()
    }

    assert types("fromClient") == client
    assert types("toClient") == server


FIELDS = {
    "root": {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations"}
    | {"components"},
    "info": {"title", "version", "description", "termsOfService", "contact", "license", "tags"}
    | {"externalDocs"},
    "server": {"host", "protocol", "protocolVersion", "pathname", "description", "title", "summary"}
    | {"variables", "security", "tags", "externalDocs", "bindings"},
    "channel": {"address", "messages", "title", "summary", "description", "servers", "parameters"}
    | {"tags", "externalDocs", "bindings"},
    "parameter": {"enum", "default", "description", "examples", "location"},
    "operation": {"action", "channel", "title", "summary", "description", "security", "tags"}
    | {"externalDocs", "bindings", "traits", "messages", "reply"},
    "message": {"headers", "payload", "correlationId", "contentType", "name", "title", "summary"}
    | {"description", "tags", "externalDocs", "bindings", "examples", "traits"},
    "ws": {"method", "query", "headers", "bindingVersion"},
}
"""The fields that AsyncAPI 3.0.0 and its WebSocket binding 0.1.0 know, by object."""


def test_the_document_has_the_shape_of_asyncapi_3() -> None:
    """Every object has only fields of the specification, and those that it demands."""
    root = document()
    channels = root["channels"].values()
    objects = [
        ("root", root),
        ("info", root["info"]),
        *(("server", each) for each in root["servers"].values()),
        *(("channel", each) for each in channels),
        *(("parameter", each) for channel in channels for each in channel["parameters"].values()),
        *(("ws", channel["bindings"]["ws"]) for channel in channels),
        *(("operation", each) for each in root["operations"].values()),
        *(("message", each) for each in MESSAGES.values()),
    ]

    assert [] == [
        (kind, set(each) - FIELDS[kind]) for kind, each in objects if set(each) - FIELDS[kind]
    ]
    assert "3.0.0" == root["asyncapi"]
    assert {"title", "version"} <= set(root["info"])
    assert all({"host", "protocol"} <= set(each) for each in root["servers"].values())
    assert {"receive", "send"} == {each["action"] for each in root["operations"].values()}


def test_every_reference_leads_somewhere() -> None:
    """Nothing in the document points at what is not there."""
    for reference in _references(document()):
        _resolve(reference)


def test_the_operations_share_out_the_messages_of_the_channel() -> None:
    """Each message of the channel belongs to one side, by reference to the channel."""
    stream = document()["channels"]["stream"]["messages"]
    operations = document()["operations"]
    used = [each["$ref"] for name in operations for each in operations[name]["messages"]]

    assert [f"#/channels/stream/messages/{name}" for name in stream] == used
    assert set(MESSAGES) == set(stream)


def test_the_address_has_its_parameters() -> None:
    """What stands in braces in the address is described."""
    channel = document()["channels"]["stream"]

    assert "/sessions/{id}/stream" == channel["address"]
    assert {"id"} == set(channel["parameters"])


@pytest.mark.parametrize("dialect", [Draft7Validator, Draft202012Validator])
@pytest.mark.parametrize("name", document()["components"]["schemas"])
def test_every_schema_is_valid_in_both_dialects(
    name: str, dialect: type[Draft7Validator | Draft202012Validator]
) -> None:
    """AsyncAPI's own dialect is draft 7; tools that know only 2020-12 read the same."""
    dialect.check_schema(document()["components"]["schemas"][name])


@pytest.mark.parametrize("name", TEXT_MESSAGES)
def test_every_message_is_described_and_has_an_example(name: str) -> None:
    """Every message says what it is and has one example, valid to the last field."""
    message = TEXT_MESSAGES[name]
    (example,) = message["examples"]

    validator_for(message["name"]).validate(example["payload"])

    assert message["summary"].endswith(".")


def test_the_service_understands_the_clients_examples() -> None:
    """What the document tells clients to send is what the service parses."""
    payloads = [
        message["examples"][0]["payload"]
        for message in TEXT_MESSAGES.values()
        if message["name"] in types("fromClient")
    ]

    assert list(asyncapi_examples.CLIENT) == [wire_in.parse(json.dumps(each)) for each in payloads]


@pytest.mark.parametrize("message", asyncapi_examples.SERVER, ids=lambda each: type(each).__name__)
def test_the_service_says_what_the_document_says(message: wire_out.ServerMessage) -> None:
    """What the service encodes is what the document tells clients to expect."""
    seq = 1 if isinstance(message, wire_out.SessionMessage) else None

    told = check_server_message(wire_out.encode(message, ts_ms=1, seq=seq))

    assert message.__struct_config__.tag == told["type"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "hullo", "ts_ms": 1},
        {"type": "ping", "ts_ms": 1},
        {"ts_ms": 1},
        {"type": "pong"},
        {"type": "pong", "ts_ms": 1, "seq": 1},
        {"type": "pong", "ts_ms": 1, "extra": 1},
        {"type": "replica.joined", "ts_ms": 1},
        {"type": "replica.joined", "ts_ms": 1.5, "seq": 1},
        {"type": "session.state", "ts_ms": 1, "seq": 1, "status": "asleep"},
        {"type": "error", "ts_ms": 1, "code": "internal", "message": "?"},
        {
            "type": "utterance.opened",
            "ts_ms": 1,
            "seq": 1,
            "utterance_id": "u1",
            "number": 1,
            "format": {"encoding": "pcm_s16le", "sample_rate": 24_000, "channels": 1, "bits": 16},
            "implicit": True,
        },
    ],
)
def test_a_message_that_the_document_lacks_is_caught(wrong: dict[str, Any]) -> None:
    """The judge of real messages takes no other type, field or stamp, however deep."""
    with pytest.raises(ValidationError):
        check_server_message(json.dumps(wrong))
