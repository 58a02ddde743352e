"""The page at ``/``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.api.console import FOLDER
from tests.support.api import api_app, client

FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".css", ".js", ".svg"})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/console/console.css", "text/css"),
        ("/console/main.js", "text/javascript"),
        ("/console/icon.svg", "image/svg+xml"),
        ("/console/sample.wav", "audio/wav"),
    ],
)
async def test_the_page_is_served_under_a_strict_policy(path: str, kind: str) -> None:
    """Page, style and script come from here, and nothing else may run."""
    async with client(api_app()) as http:
        response = await http.get(path)
    policy = response.headers["content-security-policy"]

    assert 200 == response.status_code
    assert response.headers["content-type"].startswith(kind)
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "name", ["index.html", "package.json", "..%2fsettings.py", "%2e%2e", "a%00.js", "x", "x.js"]
)
async def test_no_other_file_is_served(name: str) -> None:
    """Only the page's own parts have an address."""
    async with client(api_app()) as http:
        response = await http.get(f"/console/{name}")

    assert (404, "not_found") == (response.status_code, response.json()["code"])


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {},
            {
                "room": "sandbox",
                "face": {"name": "replica_id", "value": "r4067604db72"},
                "pal": {"name": "persona_id", "value": "pipecat0"},
                "needs_key": False,
            },
        ),
        (
            {"room": "daily", "tavus_api_key": "k", "tavus_face_id": "r9", "tavus_pal_id": "p9"},
            {
                "room": "daily",
                "face": {"name": "face_id", "value": "r9"},
                "pal": {"name": "pal_id", "value": "p9"},
            },
        ),
        ({"room": "daily", "tavus_api_key": "k"}, {"face": None, "pal": None}),
        ({"audio_path": "track"}, {"audio_path": "track"}),
    ],
)
async def test_what_the_page_prefills_is_what_an_empty_request_means(
    given: dict[str, Any], shown: dict[str, Any]
) -> None:
    """Replica, persona and path as configured; null where a request must name them."""
    async with client(api_app(**given)) as http:
        answer = (await http.get("/console")).json()

    assert shown == {name: answer[name] for name in shown}


def test_the_page_keeps_its_own_policy() -> None:
    """No script or style stands inside the page, and no other host is named."""
    page = (FOLDER / "index.html").read_text()

    assert [] == re.findall(r"<script>|<style|\sstyle=|\son\w+=", page)
    assert [] == re.findall(r"(?:https?|wss?)://", page)


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_a_third_party(name: str) -> None:
    """The page works offline: what it imports is its own, and it asks nobody else."""
    text = (FOLDER / name).read_text()
    imported = re.findall(r'from "\./([\w.-]+)"', text)

    assert {"www.w3.org"} >= set(re.findall(r"(?:https?|wss?)://([\w.-]+)", text))
    assert set(imported) <= set(FILES)
    assert "innerHTML" not in text
