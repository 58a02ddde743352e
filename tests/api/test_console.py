"""The page at ``/``."""

from __future__ import annotations

import re

import pytest

from app.api.console import FOLDER
from tests.support.api import api_app, client


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/console/console.css", "text/css"),
        ("/console/console.js", "text/javascript"),
    ],
)
async def test_the_page_is_served_under_a_strict_policy(path: str, kind: str) -> None:
    """Page, style and script come from here, and nothing else may run."""
    async with client(api_app()) as http:
        response = await http.get(path)

    assert 200 == response.status_code
    assert response.headers["content-type"].startswith(kind)
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["index.html", "..%2fsettings.py", "x"])
async def test_no_other_file_is_served(name: str) -> None:
    """Only the page's own parts have an address."""
    async with client(api_app()) as http:
        response = await http.get(f"/console/{name}")

    assert (404, "not_found") == (response.status_code, response.json()["code"])


def test_the_page_keeps_its_own_policy() -> None:
    """No script or style stands inside the page, and no other host is named."""
    page = (FOLDER / "index.html").read_text()

    assert [] == re.findall(r"<script>|<style|\sstyle=|\son\w+=", page)
    assert {"localhost:8080"} == set(re.findall(r"(?:https?|wss?)://([^/\s<\"]+)", page))
