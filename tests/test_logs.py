from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app import logs
from tests.support.edge import serving, settings_with

SECRET = "s3cr3t-Value_1.x"


LOGGERS = (
    "",
    "uvicorn",
    "httpx",
    "httpcore",
    "uvicorn.error",
    "uvicorn.access",
    "asyncio",
    "websockets",
)


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(log, log.handlers[:], log.level, log.propagate) for log in loggers]
    for log in loggers[1:]:  # as in a new process, whatever servers other tests have run
        log.handlers.clear()
        log.propagate = True
    yield
    for log, handlers, level, propagate in before:
        log.handlers[:] = handlers
        log.propagate = propagate
        log.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ('"WebSocket /s/1/stream?token=SECRET&seq=2" [accepted]', "/s/1/stream?[redacted]"),
        ('"GET /s?a="&token=T HTTP/1.1" 200', "/s?[redacted] HTTP/1.1"),
        ("POST /webhooks/tavus/SECRET/ 200", "/webhooks/tavus/[redacted]/ 200"),
        ("Authorization: Bearer SECRET", "Authorization: Bearer [redacted]"),
        ("subprotocols avatar-bridge.v1, bearer.SECRET", "v1, bearer.[redacted]"),
        ("Authorization: Basic SECRET==", "Authorization: Basic [redacted]"),
        ("(b'authorization', b'Basic SECRET')", "(b'authorization', b'Basic [redacted]')"),
        ("said eyJhbGciOi.eyJ-SECRET.s_g again", "said [redacted] again"),
        ("(b'x-api-key', b'SECRET')", "(b'x-api-key', b'[redacted]')"),
        ('{"resume_token": "SECRET", "seq": 3}', '{"resume_token": "[redacted]", "seq": 3}'),
        ("{'meeting_token': 'SECRET'}", "{'meeting_token': '[redacted]'}"),
        ("token=SECRET", "token=[redacted]"),
        ("resume=SECRET&seq=1", "resume=[redacted]&seq=1"),
    ],
)
def test_secret_of_known_shape_is_taken_out(said: str, written: str) -> None:
    """Wherever a credential can stand, its value is replaced and the rest stays."""
    text = logs.Redactor()(said.replace("SECRET", SECRET))

    assert written in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "said", ["Why? Because.", "a token, or a key", "no bearer", "basic rights", "a:b"]
)
def test_prose_stays(said: str) -> None:
    """Ordinary sentences come out as they went in."""
    assert said == logs.Redactor([""])(said)


def test_configured_keys_are_taken_out_anywhere() -> None:
    """A long configured key is found inside other text, a short one as a word of its own."""
    redact = logs.Redactor(["long-key+1", "long-key+12", "abc"])

    assert "x[redacted]y" == redact("xlong-key+12y")
    assert "[redacted] abcd" == redact("abc abcd")


def test_traceback_is_cleaned_too() -> None:
    """A secret in an exception's words is taken out, in both forms of log."""
    for form in ("text", "json"):
        out = io.StringIO()
        logs.configure(level="info", form=form, secrets=[SECRET], stream=out)

        try:
            raise ValueError(f"cannot use {SECRET}")  # noqa: TRY301  # the traceback is the point
        except ValueError:
            logging.getLogger("app.x").exception("failed with %s", SECRET)

        assert SECRET not in out.getvalue()
        assert 2 == out.getvalue().count("[redacted]")
        assert "ValueError: cannot use" in out.getvalue()


def test_json_is_one_object_a_line() -> None:
    """Each record is one line that parses, with its time, level and logger."""
    out = io.StringIO()
    logs.configure(level="info", form="json", stream=out)

    logging.getLogger("app.x").warning("two\nlines %d", 2)

    line = json.loads(out.getvalue())
    assert 1 == out.getvalue().count("\n")
    assert ["time", "level", "logger", "message"] == list(line)
    assert ("warning", "app.x", "two\nlines 2") == (line["level"], line["logger"], line["message"])
    assert line["time"].endswith("Z")


def test_text_says_when_how_grave_who_and_what() -> None:
    """A text line begins with the time in UTC and names level and logger."""
    out = io.StringIO()
    logs.configure(level="info", form="text", stream=out)

    logging.getLogger("app.x").info("hello")

    moment, rest = out.getvalue().split(" ", 1)
    assert moment.endswith("Z")
    assert "INFO app.x: hello\n" == rest


def test_configuring_again_replaces() -> None:
    """The second configuration does not double the lines; levels are kept to."""
    first, second = io.StringIO(), io.StringIO()
    logs.configure(level="debug", form="text", stream=first)
    logs.configure(level="warning", form="text", stream=second)

    logging.getLogger("app.x").info("quiet")
    logging.getLogger("app.x").warning("once")

    assert "" == first.getvalue()
    assert 1 == second.getvalue().count("once")
    assert "quiet" not in second.getvalue()


def test_python_warnings_are_logged() -> None:
    """A warning goes to the log like everything else, not to stderr by itself."""
    out = io.StringIO()
    logs.configure(level="info", form="text", stream=out)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure(level="info", form="text", stream=out)
        warnings.warn("careful", UserWarning, stacklevel=1)

    assert "careful" in out.getvalue()


async def test_real_uvicorn_leaks_nothing_even_at_debug() -> None:
    """With the level at debug, a real server and client log no query, header or payload."""
    out = io.StringIO()
    logs.configure(level="debug", form="text", stream=out)

    async with serving(_app(), settings_with(log_level="debug")) as port:
        headers = {"Authorization": f"Bearer {SECRET}", "x-api-key": SECRET}
        url = f"127.0.0.1:{port}/webhooks/tavus/{SECRET}?token={SECRET}"
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"http://{url}", headers=headers)
        async with connect(f"ws://{url}", additional_headers=headers, proxy=None) as socket:
            await socket.send(SECRET)
            await socket.recv()
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}/refuse?resume={SECRET}", proxy=None)

    said = out.getvalue()
    assert SECRET not in said
    assert '"WebSocket /webhooks/tavus/[redacted]?[redacted]" [accepted]' in said
    assert '"GET /webhooks/tavus/[redacted]?[redacted] HTTP/1.1" 200' in said
    assert '"WebSocket /refuse?[redacted]" 403' in said


def _app() -> Starlette:
    async def answer(_: Request) -> Response:
        return Response()

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())

    async def refuse(socket: WebSocket) -> None:
        await socket.close(4401)

    return Starlette(
        routes=[
            Route("/webhooks/tavus/{secret}", answer),
            WebSocketRoute("/webhooks/tavus/{secret}", echo),
            WebSocketRoute("/refuse", refuse),
        ]
    )
