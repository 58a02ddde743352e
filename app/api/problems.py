"""Errors as RFC 9457 problems: how they are sent, and how the OpenAPI document tells of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from app import errors
from app.errors import BridgeError

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(
        description="Path in the body with dots, or the name of the header or query parameter."
    )
    message: str


class Problem(BaseModel):
    """An error of this service. Decide by `code`; the other texts are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable. The WebSocket stream uses the same codes.")
    retryable: bool = Field(description="Whether the same call can succeed later.")
    retry_after_ms: int | None = Field(
        None,
        description="When, if that is known; the header `Retry-After` has it in whole seconds.",
    )
    errors: list[FieldProblem] | None = None


def problem(error: BridgeError) -> dict[str, Any]:
    """Write an error down as the body of a problem."""
    return Problem(
        type=f"urn:avatar-bridge:error:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
        errors=[FieldProblem(field=field, message=message) for field, message in error.fields]
        or None,
    ).model_dump(exclude_none=True)


def problem_response(error: BridgeError, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a request with an error. Also refuses a WebSocket before its upgrade."""
    sent = dict(headers or {})
    if error.retry_after_ms is not None:
        sent["Retry-After"] = str(math.ceil(error.retry_after_ms / 1000))
    if error.status == HTTPStatus.UNAUTHORIZED:
        sent["WWW-Authenticate"] = "Bearer"
    return JSONResponse(problem(error), error.status, sent, MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Make every error of ``app`` a problem, and let its OpenAPI document say so."""

    async def bridge_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, BridgeError)  # the type it is registered for
        return problem_response(error)

    async def validation_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # the type it is registered for
        return problem_response(_of_validation(error.errors()))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # the type it is registered for
        headers = error.headers
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_methods(app, request.scope))}
        return problem_response(_of_status(error), headers)

    async def bug(_request: Request, _error: Exception) -> Response:
        # Starlette raises it again behind this answer, so the server logs the traceback.
        return problem_response(errors.Internal())

    async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
        await problem_response(errors.NotFound())(scope, receive, send)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.add_exception_handler(BridgeError, bridge_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, bug)
    app.router.default = not_found  # starlette's own refuses an upgrade with an empty 403
    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """What may be done at an address; the framework knows only its first route's method."""
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]


def _of_validation(found: Sequence[Any]) -> BridgeError:
    """Tell a body that is no JSON from one of the wrong shape."""
    if any(item["type"] == "json_invalid" for item in found):
        return errors.MalformedJson()
    fields = tuple(
        (".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), item["msg"])
        for item in found
    )
    return errors.InvalidRequest(f"{fields[0][0]}: {fields[0][1]}", fields=fields)


def _of_status(error: HTTPException) -> BridgeError:
    """Translate what the framework itself raises."""
    match error.status_code:
        case 400:  # a body that json cannot read for another reason than its grammar
            return errors.MalformedJson()
        case 404:
            return errors.NotFound()
        case 405:
            return errors.MethodNotAllowed()
        case 413:
            return errors.TooLarge()
    return errors.Internal()


# --- the OpenAPI document ---------------------------------------------------------------------

_EVERYWHERE: frozenset[type[BridgeError]] = frozenset({errors.Forbidden, errors.Internal})
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds, when known", "schema": {"type": "integer"}}
}


def problem_responses(
    *kinds: type[BridgeError], anybody: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Write a route's ``responses``: these errors and those of every route, one example each.

    ``anybody`` is for the routes that need no credential.
    """
    all_kinds = {*kinds, *_EVERYWHERE, *(() if anybody else (errors.Unauthorized,))}
    by_status: dict[int, list[BridgeError]] = defaultdict(list)
    for kind in sorted(all_kinds, key=lambda kind: (kind.status, kind.code)):
        by_status[kind.status].append(_example(kind))
    return {
        status: {
            "description": "; ".join(f"`{error.code}`: {error.title}" for error in found),
            "headers": _RETRY_AFTER if any(error.retryable for error in found) else {},
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {error.code: {"value": problem(error)} for error in found},
                }
            },
        }
        for status, found in by_status.items()
    }


def _example(kind: type[BridgeError]) -> BridgeError:
    if kind is errors.InvalidRequest:
        wrong = ("lead_ms", "Input should be less than or equal to 10000")
        return kind(": ".join(wrong), fields=(wrong,))
    if kind is errors.TavusRateLimited:
        return kind(retry_after_ms=2000)
    return kind()


def _document(app: FastAPI) -> dict[str, Any]:
    """Make FastAPI's document and add the schema that all errors refer to."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    for operation in (each for path in document["paths"].values() for each in path.values()):
        # FastAPI takes every parameter for one that can be wrong, but an id is any text.
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs"), Problem=schema)
    return document
