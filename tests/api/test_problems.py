"""Errors as problems."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app import errors
from app.api.problems import install_problems, problem, problem_response, problem_responses
from tests.support.api import api_app, client, settings
from tests.support.edge import serving


def leaves(kind: type[errors.BridgeError] = errors.BridgeError) -> list[type[errors.BridgeError]]:
    """Collect every error class below ``kind``."""
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]


@pytest.mark.parametrize("kind", leaves())
def test_every_error_can_be_told(kind: type[errors.BridgeError]) -> None:
    """The answer has the class's status and code, and the type of a problem."""
    response = problem_response(kind("what happened"))
    body = json.loads(bytes(response.body))

    assert "application/problem+json" == response.headers["content-type"]
    assert kind.status == response.status_code == body["status"]
    assert (kind.code, kind.title, "what happened", kind.retryable) == (
        body["code"],
        body["title"],
        body["detail"],
        body["retryable"],
    )
    assert f"urn:avatar-bridge:error:{kind.code}" == body["type"]


def test_optional_parts_are_left_out() -> None:
    """Without fields and without a known moment of retry there is nothing about them."""
    assert {"type", "title", "status", "detail", "code", "retryable"} == set(
        problem(errors.NotFound())
    )


def test_a_known_moment_of_retry_is_a_header_too() -> None:
    """``Retry-After`` has whole seconds, rounded up."""
    response = problem_response(errors.TavusRateLimited(retry_after_ms=1500))

    assert "2" == response.headers["retry-after"]
    assert 1500 == json.loads(bytes(response.body))["retry_after_ms"]


def test_a_missing_credential_names_its_scheme() -> None:
    """A 401 says how to authenticate, as HTTP demands."""
    assert "Bearer" == problem_response(errors.Unauthorized()).headers["www-authenticate"]


async def test_a_bug_says_nothing_private() -> None:
    """An exception nobody expected is a plain 500."""
    app = FastAPI()
    install_problems(app)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the secret")

    async with client(app) as http:
        response = await http.get("/bug")

    assert 500 == response.status_code
    assert problem(errors.Internal()) == response.json()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/sessions", 405, "method_not_allowed"),
        ("GET", "/console/..%2fsettings.py", 404, "not_found"),
    ],
)
async def test_wrong_addresses_are_problems(method: str, path: str, status: int, code: str) -> None:
    """The framework's own refusals look like ours."""
    async with client(api_app()) as http:
        response = await http.request(method, path)

    assert (status, code) == (response.status_code, response.json()["code"])
    assert "application/problem+json" == response.headers["content-type"]


async def test_a_websocket_to_nowhere_is_told_so() -> None:
    """An upgrade at a wrong address gets the same problem as a request."""
    async with serving(api_app(), settings()) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/sessions", proxy=None)

    response = refused.value.response
    assert (404, "not_found") == (response.status_code, json.loads(response.body)["code"])


async def test_a_wrong_method_learns_the_right_ones() -> None:
    """``Allow`` names all of them, whatever route they belong to."""
    async with client(api_app()) as http:
        allowed = [
            (await http.patch(path)).headers["allow"]
            for path in ("/healthz", "/sessions", "/sessions/sess_1")
        ]

    assert ["GET", "GET, POST", "GET, DELETE"] == allowed


def test_a_route_lists_its_errors_with_examples() -> None:
    """Errors of one status share its entry; those of every route are always there."""
    responses = problem_responses(errors.SessionOver, errors.SessionNotReady)
    conflict = responses[409]["content"]["application/problem+json"]

    assert [401, 403, 409, 500] == sorted(int(status) for status in responses)
    assert {
        "session_not_ready": {"value": problem(errors.SessionNotReady())},
        "session_over": {"value": problem(errors.SessionOver())},
    } == conflict["examples"]
