"""The files that make and start the image, as far as they can be tried without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import compose_spec
import pytest

from app.cli import _parser
from app.settings import RoomKind, Settings

ROOT = Path(__file__).resolve().parents[1]
HADOLINT = Path(sys.executable).with_name("hadolint")

OTHER_TIME_S = 10.0
"""What a shutdown may need besides the drain."""

Instruction = tuple[str, str]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, with their arguments, flags included."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    found: list[list[Instruction]] = []
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, " ".join(arguments.split())))
    return found


def last(name: str) -> str:
    """The arguments of an instruction that the image itself has once."""
    (arguments,) = [arguments for each, arguments in stages()[-1] if each == name]
    return arguments


def compose() -> dict[str, Any]:
    """The services as Compose sees them. Raises ValueError for what is not in its specification."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    parsed = compose_spec.PyOptions(apply_merge=True).from_yaml(text)
    parsed.validate()
    services: dict[str, Any] = parsed.to_dict()["services"]
    return services


def test_a_linter_has_nothing_to_say(tmp_path: Path) -> None:
    """Of this file; of a bad one it has."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nCMD avatar-bridge serve\n", encoding="utf-8")
    ours, theirs = (
        subprocess.run([HADOLINT, path], capture_output=True, text=True, check=False)
        for path in (ROOT / "Dockerfile", bad)
    )

    assert (0, "") == (ours.returncode, ours.stdout + ours.stderr)
    assert 1 == theirs.returncode


def test_the_image_holds_what_runs_and_no_more() -> None:
    """What builds it stays behind; only locked packages with their hashes come in."""
    build, image = stages()

    assert ["--from=build /venv /venv"] == [rest for name, rest in image if name == "COPY"]
    installs = [rest for name, rest in build if name == "RUN" and "pip install" in rest]
    assert ["--require-hashes" in rest or "--no-deps" in rest for rest in installs] == [True, True]
    assert build[0][1].removesuffix(" AS build") == image[0][1]  # one Python for both
    assert {"app", "pyproject.toml", "requirements.txt"} == {
        rest.split()[0] for name, rest in build if name == "COPY"
    }


def test_the_builder_is_sent_no_secrets() -> None:
    """Only what is copied: no settings, no journal, no history."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert "*" == rules[0]
    assert {"!app", "!pyproject.toml", "!requirements.txt"} == {
        rule for rule in rules if rule.startswith("!")
    }


def test_the_service_itself_is_process_1() -> None:
    """It gets the signals: no shell stands between; and it is not root."""
    assert ["avatar-bridge", "serve"] == json.loads(last("CMD"))
    assert "SIGTERM" == last("STOPSIGNAL")
    assert last("USER").isdecimal()
    assert f"--uid {last('USER')}" in last("RUN")


class Health(BaseHTTPRequestHandler):
    """Answers as the service does."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(name="port")
def _port() -> Iterator[str]:
    """Where a healthy service listens."""
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield str(server.server_port)
        server.shutdown()
        serving.join()


def test_the_health_check_tells_who_answers(port: str) -> None:
    """On the port that the service was told."""
    _, _, command = last("HEALTHCHECK").partition("CMD ")
    name, *arguments = json.loads(command)
    codes = [
        subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"BRIDGE_PORT": each},
            capture_output=True,
            check=False,
        ).returncode
        for each in (port, "1")
    ]

    assert "python" == name
    assert [0, 1] == codes


def test_compose_knows_what_is_written() -> None:
    """Whatever is not in the specification is found."""
    with pytest.raises(ValueError, match="imagee"):
        compose_spec.PyOptions(apply_merge=True).from_yaml("services: {a: {imagee: x}}")

    assert {"bridge", "sandbox"} == set(compose())


@pytest.mark.parametrize("name", ["bridge", "sandbox"])
def test_containers_are_reached_from_this_machine_only(name: str) -> None:
    """And can do little else but what they are for."""
    service = compose()[name]

    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert ["ALL"] == service["cap_drop"]
    assert service["read_only"]


def test_the_journal_outlives_its_container() -> None:
    """It is in a volume, and a shutdown has the time that it needs."""
    bridge = compose()["bridge"]
    data = bridge["environment"]["BRIDGE_DATA_DIR"]

    assert [f"data:{data}"] == bridge["volumes"]
    assert data == last("VOLUME") == last("WORKDIR")
    least = Settings.model_fields["drain_s"].default + OTHER_TIME_S
    assert least < compose_spec.parse_duration(bridge["stop_grace_period"])


def test_the_sandbox_runs_only_in_its_profile() -> None:
    """The service waits for it then, and starts without it else."""
    services = compose()
    asked = services["bridge"]["depends_on"]["sandbox"]
    program, *arguments = services["sandbox"]["command"]
    parsed = _parser().parse_args(arguments)

    assert "profiles" not in services["bridge"]
    assert ["sandbox"] == services["sandbox"]["profiles"]
    assert {"condition": "service_healthy", "required": False} == asked
    assert ("avatar-bridge", "0.0.0.0", 9000) == (program, parsed.host, parsed.port)
    assert "127.0.0.1:9000/sandbox/faults" in services["sandbox"]["healthcheck"]["test"][-1]


def test_the_settings_for_the_sandbox_lead_to_it() -> None:
    """They are settings of ours, and one of Compose's."""
    path = ROOT / "deploy" / "sandbox.env"
    settings = Settings(_env_file=path, _env_ignore_empty=True)
    lines = path.read_text(encoding="utf-8").splitlines()

    assert "COMPOSE_PROFILES=sandbox" in lines
    assert RoomKind.SANDBOX is settings.room_kind
    where = urlsplit(settings.tavus_base_url or "")
    assert ("sandbox", 9000, "/sandbox/v2") == (where.hostname, where.port, where.path)
    assert {"sandbox"} == set(settings.api_keys)
