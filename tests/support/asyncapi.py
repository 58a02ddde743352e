"""The committed stream contract, as a judge of what is really sent."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

PATH = Path(__file__).parents[2] / "openapi" / "asyncapi.yaml"


@cache
def document() -> dict[str, Any]:
    """Return the committed document. Do not change it."""
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return loaded


@cache
def types(operation: str) -> frozenset[str]:
    """Return the text message types of ``fromClient`` or ``toClient``."""
    references = document()["operations"][operation]["messages"]
    names = {reference["$ref"].rpartition("/")[2] for reference in references}
    messages = document()["components"]["messages"]
    return frozenset(messages[name]["name"] for name in names - {"Audio", "Frame"})


@cache
def validator_for(message_type: str) -> Draft202012Validator:
    """Return the judge of one type of message, which takes no field that the contract lacks.

    Raises KeyError when the contract lacks the type.
    """
    payloads = {
        message["name"]: message["payload"]
        for message in document()["components"]["messages"].values()
    }
    schemas = copy.deepcopy(document()["components"]["schemas"])
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return Draft202012Validator({**payloads[message_type], "components": {"schemas": schemas}})


def check_server_message(text: str) -> dict[str, Any]:
    """Return the message that the service sent; ValidationError when the contract has no such."""
    message: dict[str, Any] = json.loads(text)
    if message.get("type") not in types("toClient"):
        raise ValidationError(f"the contract has no message like {text[:200]}")
    validator_for(message["type"]).validate(message)
    return message
