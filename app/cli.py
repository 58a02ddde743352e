"""The command line. Each command loads only what it runs, so that all of them start quickly."""

from __future__ import annotations

import argparse
import gc
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app import logs
from app.doctor.wish import Wish as DoctorWish
from app.doctor.wish import add_arguments as add_doctor_arguments
from app.settings import SandboxSettings, Settings
from app.speak.wish import Wish, add_arguments

if TYPE_CHECKING:  # only ``serve`` needs them
    from fastapi import FastAPI

    from app.runtime.journal import Journal

FAILED, WRONG_USE = 1, 2
"""Exit codes besides 0; argparse has chosen the second."""

MAX_PORT = 65_535

NEW_OBJECTS = 5000
"""Made and not yet gone, between two looks for garbage among them. With Python's 700, 300 sessions
that speak have 24 looks a second, which take 5 % of the time, and stand still for 37 ms every few
seconds, when all their own objects are gone through."""

_AnySettings = TypeVar("_AnySettings", bound=SandboxSettings)


class WrongSettings(Exception):
    """A setting has a wrong value; each line names the variable and never its value."""

    def __init__(self, lines: list[str]) -> None:
        """Keep one line a mistake."""
        self.lines = lines
        super().__init__("\n".join(lines))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Raises SystemExit(2) for wrong arguments."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except WrongSettings as error:
        for line in error.lines:
            print(f"avatar-bridge: {line}", file=sys.stderr)  # noqa: T201  # no logging yet
        return WRONG_USE


def load(kind: type[_AnySettings], **flags: Any) -> _AnySettings:
    """Read the settings; ``flags`` that are not None win. Raises WrongSettings."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        raise WrongSettings([_mistake(problem, given) for problem in error.errors()]) from None


def _mistake(problem: ErrorDetails, given: dict[str, Any]) -> str:
    """One mistake in one line. Only ``loc`` and ``msg`` are used: ``input`` may be a secret."""
    what = problem["msg"].removeprefix("Value error, ")
    name = str(problem["loc"][0])
    if name in given:
        return f"--{name}: {what}"
    return f"{name if name.isupper() else f'BRIDGE_{name.upper()}'}: {what}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="avatar-bridge",
        description="Streams the speech of any text-to-speech into a Tavus avatar.",
        epilog="Settings come from the environment and from .env; the README lists them.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the service")
    serve.add_argument("--host", help="address to listen on (BRIDGE_HOST, else 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port, 0 for a free one (BRIDGE_PORT, else 8080)")
    serve.set_defaults(run=_serve)

    sandbox = commands.add_parser("sandbox", help="run the offline Tavus alone")
    sandbox.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    where = sandbox.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=_port, help="port to listen on, 0 for a free one")
    where.add_argument("--fd", type=int, help="listening socket inherited from serve")
    sandbox.set_defaults(run=_sandbox)

    speak = commands.add_parser(
        "speak",
        help="let a running service speak a file",
        epilog="Exit codes: 0 when all was played, or cut as asked for; 1 for a failure; 2 for "
        "wrong use; 128 + N when signal N ended it.",
    )
    add_arguments(speak)
    speak.set_defaults(run=_speak)

    doctor = commands.add_parser(
        "doctor",
        help="check the settings, Tavus and Daily, and say what to do",
        epilog="Exit codes: 0 when nothing is wrong, 1 when something is, 2 for wrong use; "
        "128 + N when signal N ended a live test.",
    )
    add_doctor_arguments(doctor)
    doctor.set_defaults(run=_doctor)

    openapi = commands.add_parser("openapi", help="write openapi/openapi.json")
    openapi.add_argument("--check", action="store_true", help="only say whether it is current")
    openapi.set_defaults(run=_openapi)
    return parser


def _port(text: str) -> int:
    """Read a port: the server would take 99999 for 34463."""
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_PORT}")
    return int(text)


def _serve(args: argparse.Namespace) -> int:
    with lasting():
        settings = load(Settings, host=args.host, port=args.port)
        logs.configure(
            level=settings.log_level, form=settings.log_format, secrets=_secrets(settings)
        )
        from app.serve import run  # noqa: PLC0415  # only this command needs the edge

    gc.set_threshold(NEW_OBJECTS)
    return run(settings, _create_app)


def _create_app(settings: Settings, journal: Journal) -> FastAPI:
    with lasting():
        from app.main import create_app  # noqa: PLC0415  # while the sandbox comes up beside us

        return create_app(settings, journal)


@contextmanager
def lasting() -> Iterator[None]:
    """Take what is made under it for no garbage, ever: modules, classes, settings.

    To go through it for garbage takes 26 ms, in which every session would stand still, again and
    again; already while it is loaded that is 5 % of the time.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _sandbox(args: argparse.Namespace) -> int:
    settings = load(SandboxSettings)
    logs.configure(level=settings.log_level, form=settings.log_format, secrets=_secrets(settings))
    from app.sandbox.app import run_sandbox  # noqa: PLC0415  # only this command needs it

    key = settings.sandbox_api_key
    run_sandbox(
        sock=None if args.fd is None else socket.socket(fileno=args.fd),
        host=args.host,
        port=args.port or 0,
        api_key=key.get_secret_value() if key else None,
        log_level=settings.log_level,
        parent_pipe=args.fd is not None,
    )
    return 0


def _speak(args: argparse.Namespace) -> int:
    from app.speak.speaking import run  # noqa: PLC0415  # only this command needs a client

    return run(Wish.of(args))


def _doctor(args: argparse.Namespace) -> int:
    from app.doctor import command  # noqa: PLC0415  # only this command needs a client

    wish = DoctorWish.of(args)
    try:
        settings = load(Settings)
    except WrongSettings as error:
        if wish.live is not None or wish.create_persona:
            raise
        return command.run_without_settings(wish, error.lines)
    return command.run(wish, settings)


def _openapi(args: argparse.Namespace) -> int:
    from app import openapi  # noqa: PLC0415  # only this command needs FastAPI

    return openapi.main(check=args.check)


def _secrets(settings: SandboxSettings) -> list[str]:
    """Every configured value that no log line may show."""
    hidden = [settings.sandbox_api_key]
    if isinstance(settings, Settings):
        hidden += [settings.tavus_api_key, *settings.api_keys.values()]
    return [secret.get_secret_value() for secret in hidden if secret is not None]
