"""The live test as a person runs it, against services whose sandboxes behave differently."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import together
from tests.support.service import DEADLINE_S, Service, clean_environment

ABSENT_S = "2"
KEY = "doctor-key"
TAVUS_KEY = "tavus-secret-key"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """Start two services, so that both presets can be asked at once."""
    with (
        Service(tmp_path_factory.mktemp("friendly"), BRIDGE_API_KEYS=KEY) as friendly,
        Service(tmp_path_factory.mktemp("hostile"), BRIDGE_API_KEYS=KEY) as hostile,
    ):
        yield friendly, hostile


async def doctor(service: Service, report: Path, *arguments: str, typed: bytes | None) -> Process:
    """Start the command against a service; a Tavus key must not change where it asks."""
    environment = {
        "BRIDGE_API_KEY": KEY,
        "BRIDGE_ROOM": "sandbox",
        "TAVUS_API_KEY": TAVUS_KEY,
        "NO_PROXY": "*",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "doctor", "--live", str(report)),
        *("--url", service.base_url, "--absent-s", ABSENT_S, *arguments),
        env=clean_environment() | environment,
        cwd=report.parent,
        stdin=DEVNULL if typed is None else PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    if process.stdin is not None:
        process.stdin.write(typed or b"")
        process.stdin.close()
    return process


async def active(service: Service) -> list[str]:
    """Return the conversations that cost money."""
    async with service.client() as client:
        answer = await client.http.get(
            "/sandbox/v2/conversations",
            params={"status": "active"},
            headers={"x-api-key": TAVUS_KEY},
        )
    return [row["conversation_id"] for row in answer.json()["data"]]


async def asked(service: Service, folder: Path, preset: str) -> tuple[int | None, str, str, str]:
    """Ask everything of a sandbox; returns exit code, lines, errors and the report."""
    async with service.client(KEY) as client:
        await client.faults(preset=preset, replica_join_ms=100)
    report = folder / f"{preset}.md"
    process = await doctor(service, report, "--yes", typed=None)
    async with asyncio.timeout(100):
        said, error = await process.communicate()
    return process.returncode, said.decode(), error.decode(), report.read_text()


def answers(report: str) -> dict[str, str]:
    """Return the verdicts by question."""
    _, _, table = report.partition("## Answers")
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", table.partition("## Experiments")[0], re.MULTILINE)
    return dict(rows[2:])


async def test_reports_tell_two_sandboxes_apart(
    services: tuple[Service, Service], tmp_path: Path
) -> None:
    """Where Tavus's behaviour is not known, the report says what it is; nothing is left behind."""
    friendly, hostile = await together(
        asked(services[0], tmp_path, "friendly"), asked(services[1], tmp_path, "hostile")
    )
    found = answers(friendly[3]), answers(hostile[3])

    assert [0, 0] == [friendly[0], hostile[0]], friendly[1:3] + hostile[1:3]
    assert ["", ""] == [friendly[2], hostile[2]]
    for question, expected in (
        ("Which `inference_id` do", ("ours, with a d", "ids that Tavus makes, without a d")),
        ("Does a second `inference_id`", ("it queues", "it cuts in")),
        ("What becomes of an echo", ("it is dropped", "it is played")),
        ("Does an interrupt drop", ("yes:", "yes:")),
        ("Does Tavus take `done`", ("yes, with `done` as bool", "yes, with `done` as bool")),
        ("Does pipecat-stream hear", ("yes, after", "yes, after")),
        ("How soon does the replica", ("after", "after")),
        ("What does `/end` answer", ("400 for an ended", "400 for an ended")),
        ("What type has a persona's", ("the microphone is a string", "the microphone is a st")),
        ("What shape has", ("not settled: Tavus takes", "not settled: Tavus takes")),
        ("Does `participant_absent", ("yes, with the reason", "yes, with the reason")),
        ("Does a room with only", ("yes: the bot", "yes: the bot")),
        ("Does everything behind", ("yes", "yes")),
    ):
        told = [next(v for q, v in one.items() if q.startswith(question)) for one in found]

        assert [True, True] == list(map(str.startswith, told, expected)), (question, told)
    assert 13 == len(found[0])
    for code_said_error_report, service in zip((friendly, hostile), services, strict=True):
        assert "Tavus says that all have ended" in code_said_error_report[3]
        assert KEY not in f"{code_said_error_report}"
        assert TAVUS_KEY not in f"{code_said_error_report}"
        assert [] == await active(service)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_every_conversation(
    services: tuple[Service, Service], tmp_path: Path, number: signal.Signals
) -> None:
    """Also when it comes twice; what was found out so far is in the report."""
    report = tmp_path / "report.md"
    process = await doctor(services[0], report, "--yes", typed=None)
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        async for line in process.stdout:
            if line.startswith(b"Does Tavus take"):
                break
        during = await active(services[0])
        process.send_signal(number)
        process.send_signal(number)
        await process.communicate()

    assert 128 + number == process.returncode
    assert 1 == len(during)
    assert [] == await active(services[0])
    assert f"Stopped early by {number.name}" in report.read_text()
    assert "Tavus says that all have ended" in report.read_text()


@pytest.mark.parametrize("typed", [b"no\n", b""])
async def test_nothing_is_spent_without_a_yes(
    services: tuple[Service, Service], tmp_path: Path, typed: bytes
) -> None:
    """What it would cost is said before."""
    report = tmp_path / "report.md"
    process = await doctor(services[0], report, typed=typed)
    said, error = await process.communicate()

    assert 1 == process.returncode
    assert b"This makes 5 conversations at Tavus, one after another, about 3 minutes" in said
    assert b"avatar-bridge: nothing was spent\n" == error
    assert not report.exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--url", "http://127.0.0.1:9"], b"avatar-bridge: no service answers at http://127"),
        (["--api-key", "wrong"], b"avatar-bridge: the service refuses us: "),
    ],
)
async def test_service_that_does_not_serve_us_is_one_line(
    services: tuple[Service, Service], tmp_path: Path, arguments: list[str], line: bytes
) -> None:
    """Nothing was made, so there is no report."""
    process = await doctor(services[0], tmp_path / "report.md", "--yes", *arguments, typed=None)
    _, error = await process.communicate()

    assert 1 == process.returncode
    assert error.startswith(line)
    assert 1 == len(error.splitlines())
