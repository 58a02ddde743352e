"""The README is true: its examples run as printed, its tables say what the code says.

Only the service's usual address is replaced, by that of a service which the test has started.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from app.core import wire_in
from app.core.pcm import SAMPLE_RATE, AudioFormat, Encoding
from app.runtime.bus import TOO_SLOW
from app.runtime.connection import REPLACED
from app.runtime.inbound import BAD_MESSAGES_CODE
from tests.support import readme
from tests.support.audio import wav
from tests.support.browser import browsing, count, page_in
from tests.support.processes import until
from tests.support.service import DEADLINE_S, Client, Service, clean_environment
from tests.support.speech import ESPEAK_RATE, Heard, encode, expected, pitch, speech, tone
from tests.support.visitor import MICROPHONE_RATE, Visitor, visiting

USUAL = "localhost:8080"
NODE_MODULES = readme.PATH.parent / ".cache" / "node" / "node_modules"

FORMAT = AudioFormat(Encoding.S16LE, ESPEAK_RATE, 1)
TEXT = "These are enough words to be interrupted long before their end, whoever speaks them. " * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the folder a user is in: the command in ``.venv``, ws where Node looks for it."""
    command = tmp_path / ".venv" / "bin" / "avatar-bridge"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app "$@"\n')
    command.chmod(0o755)
    assert NODE_MODULES.exists(), "`make test` installs ws"
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    return tmp_path


def example(service: Service, language: str, holding: str) -> str:
    """Return the only example in this language that holds this text, for this service."""
    (found,) = (block for block in readme.blocks(language) if holding in block)
    return found.replace(USUAL, service.base_url.replace("http://127.0.0.1", "localhost"))


def run(folder: Path, command: list[str], said: bytes = b"") -> str:
    """Run what a user types, with ``said`` on its standard input; returns what it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() | {"NO_PROXY": "*", "no_proxy": "*"},
        input=said,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert 0 == done.returncode, done.stderr.decode()
    return done.stdout.decode()


async def run_behind_a_tts(folder: Path, command: list[str], said: bytes) -> str:
    """Run what a user types, with a WAV stream that comes in real time; returns what it prints."""
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=clean_environment() | {"NO_PROXY": "*", "no_proxy": "*"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    dictating = asyncio.create_task(dictate(running.stdin, said))
    try:
        async with asyncio.timeout(DEADLINE_S):
            printed = (await running.stdout.read()).decode()
            code = await running.wait()
    finally:
        dictating.cancel()
        if running.returncode is None:
            running.kill()
            await running.wait()

    assert 0 == code, printed
    return printed


async def dictate(into: asyncio.StreamWriter, said: bytes) -> None:
    """Write a WAV stream of espeak-ng's no faster than it is spoken, until nobody reads it."""
    per_packet = ESPEAK_RATE // 20 * 2
    with suppress(OSError):
        for start in range(0, len(said), per_packet):
            into.write(said[start : start + per_packet])
            await into.drain()
            await asyncio.sleep(0.05)
        into.close()


def said_in(file: bytes) -> Heard:
    """What must be heard of a WAV file of espeak-ng's."""
    pcm = file[file.index(b"data") + 8 :]
    return expected(pcm[: len(pcm) // 2 * 2], FORMAT)


async def test_page_listens_with_a_token(service: Service, client: Client, folder: Path) -> None:
    """The lines for a web page print what happens to the session, and its end."""
    session = await client.create_session()
    given = {"streamUrl": session["stream_url"], "token": session["tokens"]["observe"]}
    head = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
    page = f'import WebSocket from "ws";\n{head}{example(service, "js", "bearer.")}'
    (folder / "page.mjs").write_text(page)

    async def is_open() -> bool:
        return "avatar_bridge_stream_connections 1.0" in (await client.http.get("/metrics")).text

    listening = asyncio.create_task(asyncio.to_thread(run, folder, ["node", "page.mjs"]))
    await until("the page listens", is_open)
    await client.end(session["id"])
    printed = await listening

    assert "role: 'observe'" in printed
    assert "type: 'session.ended'" in printed
    assert printed.endswith("4410\n")


async def test_first_sentence_is_heard(service: Service, client: Client, folder: Path) -> None:
    """The shell lines of "Hear the first sentence" end with a file that holds the sentence."""
    printed = example(service, "sh", "espeak-ng").replace(
        "avatar-bridge speak", f"avatar-bridge speak --url {service.base_url}"
    )

    run(folder, ["bash", "-euo", "pipefail", "-c", printed])
    wanted = said_in((folder / "hello.wav").read_bytes())
    heard = np.frombuffer((folder / "heard.wav").read_bytes()[44:], "<i2")

    assert "utterance.done" in (folder / "said.txt").read_text()
    assert np.abs(heard[: len(wanted)].astype(int) - wanted).max() <= 1
    assert not heard[len(wanted) :].any()


CLIENTS = pytest.mark.parametrize(
    ("language", "file", "command"),
    [("python", "speak.py", sys.executable), ("js", "speak.mjs", "node")],
)


@CLIENTS
@pytest.mark.parametrize("in_real_time", [False, True])
async def test_client_speaks_and_barges_in(
    service: Service,
    client: Client,
    folder: Path,
    language: str,
    file: str,
    command: str,
    in_real_time: bool,
) -> None:
    """The client as printed is heard, cuts its speech once, after a second, and ends its session.

    However fast the TTS is; what it has not said by then is not sent any more.
    """
    pcm = encode(speech(TEXT), FORMAT.encoding)[: 5 * ESPEAK_RATE * 2]
    (folder / file).write_text(example(service, language, "interrupt"))

    if in_real_time:
        printed = await run_behind_a_tts(folder, [command, file], wav(FORMAT, pcm))
    else:
        printed = run(folder, [command, file], wav(FORMAT, pcm))
    newest = (await client.http.get("/sessions")).json()["data"][0]
    heard = await client.heard(newest["conversation_id"])
    wanted = expected(pcm, FORMAT)
    log = await client.log(newest["conversation_id"])
    cuts = [each for each in log if each["kind"] == "interrupt"]

    assert 1 == printed.count("interrupt.accepted") == len(cuts)
    assert 1 == printed.count("utterance.done")
    assert "'error'" not in printed
    assert 0.9 < len(heard) / SAMPLE_RATE < 2
    assert np.abs(heard.astype(int) - wanted[: len(heard)]).max() <= 1
    assert "deleted" == await ended_by(client, newest["id"])


async def test_viewer_keeps_picture_and_sound(client: Client, folder: Path) -> None:
    """The viewer as printed watches beside the producer until the session ends."""
    (printed,) = (block for block in readme.blocks("python") if "avatar.jpg" in block)
    (folder / "watch.py").write_text(printed)
    session = await client.create_session(wait=True)
    viewer = await asyncio.create_subprocess_exec(
        *(sys.executable, "watch.py", session["stream_url"]),
        cwd=folder,
        env=clean_environment() | {"NO_PROXY": "*", "no_proxy": "*"},
        stdout=subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S), client.connect(session) as stream:
        await until("a picture is there", (folder / "avatar.jpg").exists)
        await stream.send(encode(speech("Hello."), FORMAT.encoding))
        await stream.wait_for("utterance.done")
        await client.end(session["id"])
        said, _ = await viewer.communicate()
    heard = np.frombuffer((folder / "avatar.pcm").read_bytes(), "<i2")

    assert b"frames.subscribed" in said
    assert (360, 640, 3) == simplejpeg.decode_jpeg((folder / "avatar.jpg").read_bytes()).shape
    assert 0 < np.abs(heard).max()


LISTEN = """
  const { connect } = AudioNode.prototype;
  AudioNode.prototype.connect = function (...to) {
    window.ear ??= new AnalyserNode(this.context);
    connect.call(this, window.ear);
    return connect.apply(this, to);
  };
"""
"""Lets us hear what a page plays."""

LEVEL = """() => {
  const heard = new Float32Array(2048);
  window.ear?.getFloatTimeDomainData(heard);
  return Math.max(...heard);
}"""


@asynccontextmanager
async def web_server(folder: Path) -> AsyncIterator[str]:
    """Serve a folder to browsers; gives the address."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    try:
        said = (await server.stdout.readline()).decode()
        yield f"http://localhost:{said.split()[5]}"
    finally:
        server.terminate()
        await server.wait()


async def test_page_shows_the_avatar(client: Client, folder: Path) -> None:
    """The page as printed shows and plays what the avatar says, from its first to its last."""
    (printed,) = readme.blocks("html")
    (folder / "watch.html").write_text(printed)
    (folder / "favicon.ico").touch()  # every browser asks for it
    pcm = encode(speech("Look and listen."), FORMAT.encoding)
    session = await client.create_session(wait=True)
    loudest = 0.0
    async with (
        client.connect(session, f"?sample_rate={ESPEAK_RATE}") as stream,
        web_server(folder) as address,
        browsing() as browser,
        page_in(browser) as page,
    ):

        async def shows(samples: int) -> bool:
            nonlocal loudest
            loudest = max(loudest, await page.evaluate(LEVEL))
            seen = await count(page, "canvas")
            return seen is not None and seen >= samples

        await page.add_init_script(LISTEN)
        given = f"{session['stream_url']},{session['tokens']['observe']}"
        await page.goto(f"{address}/watch.html#{given}")
        await page.get_by_role("button", name="Watch").click()
        await until("the resting face", lambda: shows(0))
        before = loudest
        await stream.send(pcm)
        await until("the end of the speech", lambda: shows(len(expected(pcm, FORMAT))))
    await client.end(session["id"])

    assert 0 == before
    assert loudest > 0.1


async def test_listener_keeps_people_apart(client: Client, folder: Path) -> None:
    """The lines for an STT, as printed, write what each person says into a file of their own."""
    (printed,) = (block for block in readme.blocks("python") if "user_audio" in block)
    (folder / "listen.py").write_text(printed)
    session = await client.create_session(wait=True)
    listener = await asyncio.create_subprocess_exec(
        *(sys.executable, "listen.py", session["stream_url"]),
        cwd=folder,
        env=clean_environment() | {"NO_PROXY": "*", "no_proxy": "*"},
        stdout=subprocess.PIPE,
    )
    assert listener.stdout is not None
    async with asyncio.timeout(DEADLINE_S), visiting(session["conversation_url"], "Ada") as ada:
        await until("Ada is heard", lambda: _says_into(folder / "person-1.pcm", ada))
        await client.end(session["id"])
        said, _ = await listener.communicate()
    (file,) = await asyncio.to_thread(lambda: list(folder.glob("*.pcm")))
    heard = np.frombuffer(file.read_bytes(), "<i2")

    assert b"frames.subscribed" in said
    assert 440 == pytest.approx(pitch(heard, 16_000), abs=10)
    assert "person-1.pcm" == file.name


async def _says_into(file: Path, visitor: Visitor) -> bool:
    """Let a person say a bit more; whether the file has half a second of it by now."""
    await visitor.say(tone(440, 200, MICROPHONE_RATE))
    return await asyncio.to_thread(lambda: file.exists() and file.stat().st_size > 16_000)


async def test_shell_creates_interrupts_and_ends(
    service: Service, client: Client, folder: Path
) -> None:
    """The curl lines make a session, cut what it speaks meanwhile, and end it."""
    pcm = encode(speech(TEXT), FORMAT.encoding)
    create, interrupt, end = example(service, "sh", "id=$(curl").splitlines()

    session_id = run(folder, ["bash", "-euc", f"{create}\necho $id"]).strip()
    async with client.connect(await client.session(session_id), "?encoding=wav") as stream:
        await stream.send(wav(FORMAT, pcm))
        await stream.wait_for("utterance.started")
        result = json.loads(run(folder, ["bash", "-euc", f"id={session_id}\n{interrupt}"]))
        done = await stream.wait_for("utterance.done")
        run(folder, ["bash", "-euc", f"id={session_id}\n{end}"])
        code = await stream.close_code()

    assert (True, 1) == (result["interrupted"], result["epoch"])
    assert "interrupted" == done["status"]
    assert 4410 == code
    assert "deleted" == await ended_by(client, session_id)


async def ended_by(client: Client, session_id: str) -> str:
    """Return why a session ended."""
    reason: str = (await client.session(session_id))["end_reason"]
    return reason


@pytest.mark.parametrize(("language", "most"), [("python", 21), ("js", 20)])
def test_clients_are_short(language: str, most: int) -> None:
    """A client fits on a slide, whatever else it could show."""
    (client,) = (block for block in readme.blocks(language) if "interrupt" in block)

    assert most >= len([line for line in client.splitlines() if line.strip()])


def test_messages_are_understood() -> None:
    """Every client message that is printed is one."""
    lines = [line for block in readme.blocks("json") for line in block.splitlines()]

    assert lines
    assert all(wire_in.parse(line) for line in lines)


def test_diagram_is_the_session_table() -> None:
    """The picture of a session's life is printed from the table that runs it."""
    assert [readme.diagram()] == readme.blocks("mermaid")
    assert ", ".join(f"`{name}`" for name in readme.any_end()) in " ".join(readme.text().split())


def test_settings_are_all_there() -> None:
    """Every setting has one row, with its default and, where there are few, its values."""
    rows = readme.table("## Settings")
    wanted = readme.settings()

    assert set(wanted) == {row[0].strip("`") for row in rows}
    assert len(wanted) == len(rows)
    for name, default, meaning in rows:
        shown, choices = wanted[name.strip("`")]

        assert shown == default
        assert all(f"`{choice}`" in meaning for choice in choices)


def test_errors_are_all_there() -> None:
    """The table of errors is the tree of errors."""
    assert readme.error_rows() == readme.table("## Errors")


def test_close_codes_are_all_there() -> None:
    """Every code that the service closes with is explained, and no other."""
    of_errors = {row[2] for row in readme.error_rows()}
    others = {1000, 1011, TOO_SLOW, BAD_MESSAGES_CODE, REPLACED}

    assert of_errors | set(map(str, others)) == {row[0] for row in readme.table("### Close codes")}


def test_readme_names_only_this_machine() -> None:
    """No address in it is anybody's but the reader's own."""
    hosts = {word.split("/")[2].split(":")[0] for word in readme.addresses()}

    assert {"localhost"} == hosts
