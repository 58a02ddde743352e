"""The written-down interface: true to the code, valid, and each example true to its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import openapi
from app.main import create_app
from tests.support.api import settings

DOCUMENT: dict[str, Any] = json.loads((openapi.FOLDER / "openapi.json").read_text())
OPERATIONS = {
    operation["operationId"]: operation
    for path in DOCUMENT["paths"].values()
    for operation in path.values()
}


def examples(operation: dict[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    """Collect (schema, example) pairs of an operation's bodies."""
    bodies = [*operation["responses"].values()]
    if "requestBody" in operation:
        bodies.append(operation["requestBody"])
    return [
        (media["schema"], example["value"])
        for body in bodies
        for media in body.get("content", {}).values()
        for example in media.get("examples", {}).values()
    ]


def errors_in(schema: dict[str, Any], example: Any) -> list[str]:
    """Validate with references into the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(example)]


def test_the_committed_document_is_the_one_the_code_makes() -> None:
    """Whoever changes a route sees the change of the interface in the same commit."""
    made = openapi.document(create_app(settings()))

    assert (openapi.FOLDER / "openapi.json").read_text() == made


def test_the_document_depends_on_no_setting() -> None:
    """Every deployment has the same interface."""
    keys = {"api_keys": "k", "public_url": "https://bridge.example", "host": "0.0.0.0"}

    assert openapi.document(create_app(settings())) == openapi.document(
        create_app(settings(**keys))
    )


def test_the_document_is_openapi() -> None:
    """It is valid OpenAPI 3.1."""
    assert DOCUMENT["openapi"].startswith("3.1")
    assert [] == [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_explains_itself(name: str) -> None:
    """Each has a summary, a description and the errors that any request can meet."""
    operation = OPERATIONS[name]
    needs_key = "security" in operation

    assert operation["summary"]
    assert operation["description"]
    assert {"403", "500"} <= set(operation["responses"])
    assert needs_key == ("401" in operation["responses"])
    assert needs_key == (name not in {"getHealth", "getReadiness", "receiveTavusCallback"})


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_example_of_an_operation_is_true(name: str) -> None:
    """The problems shown have their schema's shape and the status that they are shown under."""
    for schema, example in examples(OPERATIONS[name]):
        assert [] == errors_in(schema, example)
    for status, response in OPERATIONS[name]["responses"].items():
        problems = response.get("content", {}).get("application/problem+json", {})
        for code, example in problems.get("examples", {}).items():
            assert (code, int(status)) == (example["value"]["code"], example["value"]["status"])


@pytest.mark.parametrize(
    ("name", "example"),
    [
        (name, example)
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for example in schema.get("examples", [])
    ],
)
def test_every_example_of_a_schema_is_true(name: str, example: Any) -> None:
    """An example is what its schema says."""
    assert [] == errors_in({"$ref": f"#/components/schemas/{name}"}, example)


def test_the_files_are_written_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check writes nothing and names what is stale; writing makes it pass."""
    before = openapi.main(check=True, folder=tmp_path)
    told = capsys.readouterr().err
    left = list(tmp_path.iterdir())
    written = openapi.main(check=False, folder=tmp_path)
    after = openapi.main(check=True, folder=tmp_path)

    assert (1, 0, 0) == (before, written, after)
    assert [] == left
    assert "openapi.json is not up to date" in told
    assert "asyncapi.yaml is not up to date" in told
