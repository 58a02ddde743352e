"""``avatar-bridge openapi``: writes down the interface, or checks that it is written down.

``openapi/openapi.json`` comes from the routes, ``openapi/asyncapi.yaml`` from the messages of the
stream. Both are committed, so that a change to the interface is read like any other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fastapi import FastAPI

from app import asyncapi
from app.main import create_app
from app.settings import Settings

FOLDER = Path(__file__).parent.parent / "openapi"


def document(app: FastAPI) -> str:
    """Write the HTTP interface of ``app`` as OpenAPI 3.1, always in the same words."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main(*, check: bool, folder: Path = FOLDER) -> int:
    """Write both files; with ``check``, write nothing and return 1 when one is not up to date."""
    files = {
        folder / "openapi.json": document(create_app(_defaults())),
        folder / "asyncapi.yaml": asyncapi.render(),
    }
    stale = [path for path, text in files.items() if not path.exists() or text != path.read_text()]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.name} is not up to date: run `avatar-bridge openapi`\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files[path])
    return 1 if check and stale else 0


def _defaults() -> Settings:
    """Make settings that are the same on every machine."""
    return Settings(_env_file=None)
