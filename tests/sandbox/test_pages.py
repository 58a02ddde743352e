from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.sandbox.pages import FILES, FOLDER
from tests.support.sandbox import running_sandbox

BOTH_LINKS = pytest.mark.parametrize("way", ["link", "media"])


@pytest.fixture
async def tavus() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox that listens."""
    async with running_sandbox() as client:
        yield client


async def create(tavus: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A conversation that outlives the last person in its room."""
    body |= {"replica_id": "r1", "properties": {"participant_left_timeout": 60}}
    shown: dict[str, Any] = (await tavus.post("/sandbox/v2/conversations", json=body)).json()
    return shown


def link(conversation: dict[str, Any], way: str, query: str = "") -> connect:
    """A way into a conversation's room."""
    url = conversation["conversation_url"].replace("http", "ws", 1)
    return connect(f"{url}/{way}?{query}", proxy=None)


async def refusal(conversation: dict[str, Any], way: str, query: str = "") -> int:
    """The status with which the door stays shut."""
    with pytest.raises(InvalidStatus) as refused:
        await link(conversation, way, query)
    return refused.value.response.status_code


@BOTH_LINKS
async def test_a_private_room_needs_its_token(tavus: httpx.AsyncClient, way: str) -> None:
    """Refused before the upgrade; Daily's ``t`` works as well."""
    conversation = await create(tavus, require_auth=True)
    token = conversation["meeting_token"]

    assert 401 == await refusal(conversation, way, "name=me")
    assert 403 == await refusal(conversation, way, "token=wrong")
    for name in ("token", "t"):
        async with link(conversation, way, f"{name}={token}") as connection:
            await connection.ping()


@BOTH_LINKS
async def test_an_expired_token_is_refused(tavus: httpx.AsyncClient, way: str) -> None:
    """Even the right one."""
    await tavus.put("/sandbox/faults", json={"next": {"token_expired": True}})
    conversation = await create(tavus, require_auth=True)

    assert 403 == await refusal(conversation, way, f"token={conversation['meeting_token']}")


@BOTH_LINKS
async def test_unknown_and_ended_rooms_are_refused(tavus: httpx.AsyncClient, way: str) -> None:
    """As if they were not there."""
    conversation = await create(tavus)
    unknown = {"conversation_url": f"{conversation['conversation_url']}x"}
    await tavus.post(f"/sandbox/v2/conversations/{conversation['conversation_id']}/end")

    assert 404 == await refusal(unknown, way)
    assert 404 == await refusal(conversation, way)


async def test_a_full_room_is_refused(tavus: httpx.AsyncClient) -> None:
    """To people; who only watches takes no seat."""
    await tavus.put("/sandbox/faults", json={"replica_join_ms": 0})
    conversation = await create(tavus, max_participants=2)
    async with link(conversation, "link") as connection:
        await connection.recv()

        assert 403 == await refusal(conversation, "link", "name=other")
        async with link(conversation, "media") as viewer:
            await viewer.ping()


@pytest.mark.parametrize("path", ["", "/heard.wav", "/log"])
async def test_an_unknown_room_is_404(tavus: httpx.AsyncClient, path: str) -> None:
    """In all its views."""
    assert 404 == (await tavus.get(f"/sandbox/rooms/c0{path}")).status_code


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("icon.svg", "image/svg+xml"),
        ("microphone.js", "text/javascript"),
        ("room.css", "text/css"),
        ("room.js", "text/javascript"),
        ("screen.js", "text/javascript"),
        ("speaker.js", "text/javascript"),
    ],
)
async def test_the_page_comes_in_parts(tavus: httpx.AsyncClient, name: str, kind: str) -> None:
    """Each under a strict policy."""
    part = await tavus.get(f"/sandbox/page/{name}")

    assert 200 == part.status_code
    assert part.headers["content-type"].startswith(kind)
    assert "default-src 'none'" in part.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["room.html", "..%2fpages.py", "x"])
async def test_no_other_file_is_served(tavus: httpx.AsyncClient, name: str) -> None:
    """Only what the page loads has an address."""
    assert 404 == (await tavus.get(f"/sandbox/page/{name}")).status_code


async def test_the_page_says_whether_one_can_enter(tavus: httpx.AsyncClient) -> None:
    """Open, private, refused or over, also in its status."""
    conversation = await create(tavus, require_auth=True)
    room, token = conversation["conversation_url"], conversation["meeting_token"]
    queries = ("", "?t=wrong", f"?t={token}", f"?token={token}")
    shown = [await tavus.get(f"{room}{query}") for query in queries]
    await tavus.post(f"/sandbox/v2/conversations/{conversation['conversation_id']}/end")
    shown.append(await tavus.get(room))

    assert [
        (401, "private"),
        (403, "refused"),
        (200, "open"),
        (200, "open"),
        (200, "over"),
    ] == [(page.status_code, re.findall(r'data-state="(\w+)"', page.text)[0]) for page in shown]
    assert token not in "".join(page.text for page in shown)
    assert "no-referrer" == shown[0].headers["referrer-policy"]


def test_the_page_keeps_its_own_policy() -> None:
    """No script or style stands inside the page, and no other host is named anywhere."""
    page = (FOLDER / "room.html").read_text(encoding="utf-8")
    parts = "".join((FOLDER / name).read_text(encoding="utf-8") for name in FILES)
    hosts = set(re.findall(r"(?:https?|wss?)://([^/\s<\"]+)", page + parts))

    assert [] == re.findall(r"<script>|<style|\sstyle=|\son\w+=", page)
    assert {"www.w3.org"} == hosts  # the name of SVG, which nobody fetches


def test_every_part_of_the_page_is_served() -> None:
    """What lies in the folder and what may be asked for are the same."""
    assert FILES | {"room.html"} == {path.name for path in FOLDER.iterdir()}


async def test_faults_are_put_and_shown(tavus: httpx.AsyncClient) -> None:
    """A mistake is answered with 422 and its name."""
    put = await tavus.put("/sandbox/faults", json={"preset": "hostile"})
    shown = (await tavus.get("/sandbox/faults")).json()
    wrong = await tavus.put("/sandbox/faults", json={"no_such_fault": 1})
    junk = [await tavus.put("/sandbox/faults", content=body) for body in (b"{", b"[]")]

    assert put.json() == shown
    assert "cut" == shown["new_id"]
    assert 422 == wrong.status_code
    assert "no_such_fault" in wrong.json()["error"]
    assert [422, 422] == [answer.status_code for answer in junk]
