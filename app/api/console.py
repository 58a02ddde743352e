"""The page at ``/``: what runs here and how to speak to it."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

from app.errors import NotFound

FOLDER = Path(__file__).parent.parent / "console"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """Send the page."""
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


@router.get("/console/{name}")
async def file(name: str) -> FileResponse:
    """Send a file of the page. Raises ``NotFound``."""
    if name not in {"console.css", "console.js"}:
        raise NotFound
    return FileResponse(FOLDER / name, headers=HEADERS)
