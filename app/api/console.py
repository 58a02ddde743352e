"""The console: the page at ``/``, its files, and what it prefills."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

from app.api.deps import SettingsDep
from app.api.schemas import ConsoleDefaults
from app.errors import NotFound

FOLDER = Path(__file__).parent.parent / "console"

KINDS = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
}
"""What the page is made of. The folder's other files are not for browsers."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """Send the page."""
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


@router.get("/console")
async def defaults(settings: SettingsDep) -> ConsoleDefaults:
    """Say what a session would be that names nothing itself."""
    return ConsoleDefaults.of(settings)


@router.get("/console/{name}")
async def file(name: str) -> FileResponse:
    """Send a file of the page. Raises ``NotFound``."""
    path = FOLDER / name
    # The route takes one segment, but a name like ``..`` or ``a\0`` is none of a file.
    if path.suffix not in KINDS or path.name not in {each.name for each in FOLDER.iterdir()}:
        raise NotFound
    return FileResponse(path, headers=HEADERS, media_type=KINDS[path.suffix])
