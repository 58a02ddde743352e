from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import WrongSettings, lasting, load, main
from app.settings import SandboxSettings, Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start each test in a folder without ``.env`` and without settings around it."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("BRIDGE_", "TAVUS_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        ({"BRIDGE_PORT": "many"}, ["BRIDGE_PORT: Input should be a valid integer"]),
        (
            {"BRIDGE_LEAD_MS": "-1", "BRIDGE_LOG_LEVEL": "loud"},
            ["BRIDGE_LEAD_MS: Input should be greater", "BRIDGE_LOG_LEVEL: Input should be 'deb"],
        ),
        ({"BRIDGE_API_KEYS": "a:hidden-1,a:hidden-2"}, ["BRIDGE_API_KEYS: the name 'a' is"]),
        ({"TAVUS_BASE_URL": "hidden"}, ["TAVUS_BASE_URL: must start with http://"]),
        (
            {"BRIDGE_ROOM": "daily", "BRIDGE_HOST": "0.0.0.0"},
            [
                "BRIDGE_ROOM: daily needs TAVUS_API_KEY",
                "BRIDGE_API_KEYS: needed because BRIDGE_HOST is not loopback",
            ],
        ),
    ],
)
def test_wrong_settings_are_named_one_a_line(
    variables: dict[str, str],
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each mistake is one line on stderr that names its variable and hides its value; exit 2."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    code = main(["serve"])

    said = capsys.readouterr()
    assert 2 == code
    assert "" == said.out
    assert len(lines) == len(said.err.splitlines())
    assert all(f"avatar-bridge: {line}" in said.err for line in lines)
    assert "hidden" not in said.err


def test_flag_wins_and_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag stands above its variable, and its mistakes are told under its own name."""
    monkeypatch.setenv("BRIDGE_PORT", "many")

    with pytest.raises(WrongSettings) as error:
        load(Settings, host=None, port=70_000)

    assert ["--port: Input should be less than or equal to 65535"] == error.value.lines
    assert 8081 == load(Settings, port=8081).port


def test_dotenv_is_read_and_empty_values_are_unset(tmp_path: Path) -> None:
    """Settings come from ``.env`` too; a variable without a value counts as not set."""
    (tmp_path / ".env").write_text("BRIDGE_PORT=8123\nTAVUS_API_KEY=\nBRIDGE_ROOM=\n")

    settings = load(Settings)

    assert (8123, None, None) == (settings.port, settings.tavus_api_key, settings.room)


def test_sandbox_starts_where_the_service_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox needs none of the service's settings to make sense."""
    monkeypatch.setenv("BRIDGE_ROOM", "daily")
    monkeypatch.setenv("BRIDGE_HOST", "0.0.0.0")

    assert "info" == load(SandboxSettings).log_level


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["serve", "--port", "x"],
        ["sandbox"],
        ["sandbox", "--port", "99999"],
        ["sandbox", "--port", "-1"],
    ],
)
def test_wrong_arguments_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the parser does not know ends with a usage line and code 2."""
    with pytest.raises(SystemExit) as error:
        main(arguments)

    assert 2 == error.value.code
    assert capsys.readouterr().err.startswith("usage: avatar-bridge")


def test_taken_port_is_one_clear_line_and_exit_1(tmp_path: Path) -> None:
    """``python -m app serve`` on a port in use says so in one line and fails."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = subprocess.run(
            [sys.executable, "-m", "app", "serve", "--port", str(port)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": _root()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert 1 == served.returncode
    assert 1 == len(served.stderr.splitlines())
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use\n" in served.stderr


def test_what_is_made_to_last_is_no_garbage() -> None:
    """Nobody looks for garbage while it is made, and then only in what comes after it."""
    before = gc.get_freeze_count()
    with lasting():
        meanwhile = gc.isenabled()
    frozen = gc.get_freeze_count() - before
    gc.unfreeze()
    with pytest.raises(WrongSettings), lasting():
        raise WrongSettings([])

    assert not meanwhile
    assert 1000 < frozen
    assert gc.isenabled()


def test_service_loads_no_codec_before_somebody_watches(tmp_path: Path) -> None:
    """PyAV takes 17 MB; many a service shows nobody a picture."""
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "app", "serve", "--port", "0"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": _root(),
            "TAVUS_BASE_URL": "http://127.0.0.1:9/v2",
        },
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as served:
        assert served.stderr is not None  # a pipe, see above
        loaded = set()
        for line in served.stderr:
            if "listening on" in line:
                served.terminate()
            loaded.add(line.rpartition("|")[2].strip())

    assert 0 == served.returncode
    assert "numpy" in loaded
    assert not {"av", "simplejpeg", "daily"} & loaded


def test_doctor_examines_what_serve_would_start_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong settings are findings of a check-up, and wrong use of what needs them right."""
    monkeypatch.setenv("BRIDGE_PORT", "many")

    assert 1 == main(["doctor"])
    assert "wrong    settings        BRIDGE_PORT: " in capsys.readouterr().out
    assert 2 == main(["doctor", "--create-persona"])
    assert "avatar-bridge: BRIDGE_PORT: " in capsys.readouterr().err
    assert 2 == main(["doctor", "--live", "report.md"])


def _root() -> str:
    return str(Path(__file__).resolve().parents[1])
