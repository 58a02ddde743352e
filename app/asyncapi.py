"""The stream's AsyncAPI 3 document, ``openapi/asyncapi.yaml``, made from the message structs.

Schemas, defaults and bounds come from the types in ``app.core.wire_in`` and ``wire_out``,
descriptions from their docstrings, so that the document cannot say anything else than the code. The
schemas use only what JSON Schema draft 7, AsyncAPI's own dialect, and 2020-12 have in common.

Source of the document's shape: AsyncAPI 3.0.0 specification and its WebSocket binding 0.1.0.
"""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from typing import Any

import msgspec
import yaml

from app import asyncapi_examples as examples
from app import errors
from app.core import wire_in, wire_out
from app.core.roles import Role
from app.core.wire_out import PROTOCOL

_STREAM = "#/channels/stream"
_SCHEMAS = "#/components/schemas"

_STREAM_ERRORS = (
    errors.StreamError,
    errors.UnsupportedFormat,
    errors.InvalidRequest,
    errors.TooLarge,
    errors.SessionError,
    errors.RateLimited,
    errors.TavusError,
    errors.RoomError,
    errors.Internal,
)
"""What can go wrong on a stream; the others are HTTP's alone."""

_CHANNEL_DESCRIPTION = """\
One session's WebSocket. Text messages are JSON objects with a `type`; binary messages from the
client are audio, those from the service frames: pictures and sound, for who subscribes to them.

The shortest client connects and sends binary PCM: the query says its format, the utterance opens by
itself and closes when no more audio comes for a while.

Messages with a `seq` concern the session: every connection gets them, numbered without gaps.
Messages without one concern this connection alone. Clients must ignore messages and fields that
they do not know.

Who connects has a role: `produce` (one at a time), `control` or `observe`, by its session token. An
API key has the first and may ask for another. What the role may not send is answered with
`role_forbidden`. A session token opens one stream; to come back take a fresh one, or `resume`.

Refused before the upgrade with an HTTP status: 400 `unsupported_format`, 401, 403, 404,
409 `session_over`, 429, 503. When the credential came as a subprotocol, the upgrade is accepted and
closed with the matching close code instead, since a browser cannot read the status.

Close codes. Do not retry unchanged: 4400 bad messages, 4401 no valid credential, 4403 not allowed,
4404 no such session, 4409 replaced by a newer producer, 4410 session over, 4415 audio format,
4429 too many messages, 1009 message too big. Retry: 4500 internal, 4502 Tavus or the room failed,
4503 shutting down, 4508 reader too slow, 1011 a bug of the service.
"""

_QUERY = {
    "token": {"type": "string", "description": "A session token. An API key is not taken here."},
    "role": {
        "type": "string",
        "enum": [role.value for role in Role],
        "description": "A lower role than the credential has.",
    },
    "resume": {
        "type": "string",
        "description": (
            "The `resume_token` of a lost connection: goes on with it, in its role. One that is "
            "not known any more is no credential; beside one it begins a new stream, without "
            "`role` in at most the role it was for: `resumed` is false, and `error` with "
            "`resume_failed` follows."
        ),
    },
    "seq": {"type": "integer", "minimum": 0, "description": "The last `seq` seen, for `resume`."},
    "progress_ms": {
        "type": "integer",
        "minimum": 0,
        "default": 0,
        "description": "The period of `playback.progress`; 0 means none.",
    },
}

_HEADERS = {
    "type": "object",
    "properties": {
        "Authorization": {"type": "string", "description": "`Bearer <key or session token>`."},
        "Sec-WebSocket-Protocol": {
            "type": "string",
            "description": (
                f"Optional outside browsers. When given, `{PROTOCOL}` must be in it and is the one "
                "selected; a browser adds its session token as a second one, `bearer.<token>`."
            ),
        },
    },
}

_AUDIO = {
    "name": "audio",
    "title": "Audio",
    "summary": "Audio of the open utterance.",
    "description": (
        "A binary message of any length, in the format that the query or `utterance.start` "
        "declared; a sample may be split between messages."
    ),
    "contentType": "application/octet-stream",
    "payload": {"type": "string", "format": "binary"},
}

_FRAME = {
    "name": "frame",
    "title": "Frame",
    "summary": "A picture or a piece of sound, after `frames.subscribe`.",
    "description": """\
A 28-byte header in network byte order, then the payload.

| offset | field |
|---|---|
| 0 | u8 version = 1 |
| 1 | u8 kind: 1 video, 2 the avatar's sound, 3 a human participant's sound |
| 2 | u8 codec: video 1 JPEG, 2 I420, 3 RGB24; sound 1 s16le mono |
| 3 | u8 flags: bit 0 = frames were left out just before this one |
| 4 | u32 seq, per kind and connection; every frame counts, those left out too |
| 8 | u64 capture time, Unix µs, one clock for all kinds |
| 16 | u32 utterance number, 0 when none sounds; kind 3: the participant's number |
| 20 | u32 offset in that utterance, ms; 0xFFFFFFFF = unknown |
| 24 | video: u16 width, u16 height; sound: u32 sample rate |

I420 is Y, U, V without padding, BT.601 with luma from 16 to 235; JPEG and RGB use the full range.
A connection that reads slowly gets the newest picture and sound not older than 500 ms; text
messages go before frames.
""",
    "contentType": "application/octet-stream",
    "payload": {"type": "string", "format": "binary"},
}

_STAMP = {
    "ts_ms": {"type": "integer", "minimum": 0, "description": "When it was sent, Unix time."},
    "seq": {
        "type": "integer",
        "minimum": 1,
        "description": "The session's number for this message, rising by 1.",
    },
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    from_client: dict[type[msgspec.Struct], Any] = {
        type(each): _unstamped(each) for each in examples.CLIENT
    }
    from_server: dict[type[msgspec.Struct], Any] = {
        type(each): _stamped(each) for each in examples.SERVER
    }
    messages = {
        "Audio": _AUDIO,
        **{kind.__name__: _message(kind, example) for kind, example in from_client.items()},
        "Frame": _FRAME,
        **{kind.__name__: _message(kind, example) for kind, example in from_server.items()},
    }
    schemas = _schemas(list(from_client | from_server))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Avatar Bridge stream",
            "version": "1.0.0",
            "description": f"Protocol `{PROTOCOL}`: speech in, positions and events out.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8080",
                "protocol": "ws",
                "description": "As `avatar-bridge serve` starts it; `wss` behind TLS.",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": {
            "stream": {
                "address": "/sessions/{id}/stream",
                "title": "The stream of a session",
                "description": _CHANNEL_DESCRIPTION,
                "parameters": {"id": {"description": "The `id` that `POST /sessions` answered."}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "query": {
                            "type": "object",
                            "properties": {**schemas["Format"]["properties"], **_QUERY},
                        },
                        "headers": _HEADERS,
                        "bindingVersion": "0.1.0",
                    }
                },
            }
        },
        "operations": {
            "fromClient": {
                "action": "receive",
                "channel": {"$ref": _STREAM},
                "summary": "What a client sends and the service receives.",
                "messages": _references("Audio", *(kind.__name__ for kind in from_client)),
            },
            "toClient": {
                "action": "send",
                "channel": {"$ref": _STREAM},
                "summary": "What the service sends and a client receives.",
                "messages": _references("Frame", *(kind.__name__ for kind in from_server)),
            },
        },
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key or, for what its role allows, a session token.",
                }
            },
        },
    }


def render() -> str:
    """Return the document as YAML, the same text for the same messages."""
    return yaml.dump(
        msgspec.to_builtins(document()),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def _references(*names: str) -> list[dict[str, str]]:
    return [{"$ref": f"{_STREAM}/messages/{name}"} for name in names]


def _unstamped(message: wire_in.ClientMessage) -> Any:
    return json.loads(msgspec.json.encode(message))


def _stamped(message: wire_out.ServerMessage) -> Any:
    seq = examples.SEQ if _stamp(type(message)).get("seq") else None
    return json.loads(wire_out.encode(message, ts_ms=examples.TS_MS, seq=seq))


def _message(kind: type[msgspec.Struct], example: dict[str, Any]) -> dict[str, Any]:
    summary, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
    if kind is wire_out.Error:
        rest = _error_codes()
    return {
        "name": example["type"],
        "title": kind.__name__,
        "summary": summary,
        **({"description": rest} if rest else {}),
        "payload": {"$ref": f"{_SCHEMAS}/{kind.__name__}"},
        "examples": [{"payload": example}],
    }


def _error_codes() -> str:
    met = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, _STREAM_ERRORS)
    ]
    rows = {
        each.code: f"| `{each.code}` | {'yes' if each.retryable else 'no'} | {each.title} |"
        for each in met
    }
    return "\n".join(["| code | retry | meaning |", "|---|---|---|", *rows.values()]) + "\n"


def _schemas(kinds: list[type[msgspec.Struct]]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(kinds, ref_template=f"{_SCHEMAS}/{{name}}")
    named = vars(wire_in) | vars(wire_out)
    return {name: _schema(named[name], components[name]) for name in sorted(components)}


def _schema(kind: type[Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return msgspec's schema for a class, with the stamp, the fields' docstrings, and no nulls."""
    schema["description"] = inspect.cleandoc(schema["description"])
    if "properties" not in schema:
        return {"type": "string", **schema}
    docs = _field_docs(kind)
    required = list(schema["required"])
    properties = {}
    for name, field in schema["properties"].items():
        if name == "type":
            properties["type"] = {"type": "string", "const": field["enum"][0]}
            if issubclass(kind, wire_out.ServerMessage):
                stamp = _stamp(kind)
                properties |= {each: _STAMP[each] for each in stamp}
                required += [each for each, always in stamp.items() if always]
            continue
        if not issubclass(kind, msgspec.Struct):
            field.pop("default")  # a dataclass is only ever sent, and then whole
            required.append(name)
        properties[name] = _field(field, docs.get(name))
    return {**schema, "properties": properties, "required": required}


def _stamp(kind: type[wire_out.ServerMessage]) -> dict[str, bool]:
    """Return which stamps a message has, and whether always."""
    if not issubclass(kind, wire_out.SessionMessage):
        return {"ts_ms": True}
    return {"seq": not issubclass(kind, wire_out.ConnectionMessage), "ts_ms": True}


def _field(field: dict[str, Any], doc: str | None) -> dict[str, Any]:
    if field.get("default", ...) is None:
        # None only stands for "left out", which "required" says already.
        kinds = [each for each in field["anyOf"] if each != {"type": "null"}]
        field = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if "enum" in field:
        field = {"type": "string", **field}
    if doc and "$ref" in field:
        field = {"allOf": [field]}  # draft 7 ignores what stands beside a reference
    return {**field, "description": doc} if doc else field


def _field_docs(kind: type[Any]) -> dict[str, str]:
    """Return the strings under a class's fields; Python itself keeps none of them."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    docs = {}
    for field, below in pairwise(getattr(definition, "body", [])):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = inspect.cleandoc(text)
    return docs


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, and the same object twice written out twice."""

    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> yaml.ScalarNode:
        return super().represent_scalar(tag, value, "|" if "\n" in value else style)

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True
