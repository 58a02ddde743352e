"""The strings that a test pulls: a folder, named by ``FAKE_DAILY``, with three files.

``faults.json`` is read anew whenever it matters; ``steer.jsonl`` is followed from the moment the
process starts; ``log.jsonl`` is where every process writes what happens. Without the variable
there are no faults and no log.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

FATAL = 97
"""Exit code where the real SDK would abort, freeze or corrupt its process."""


def folder() -> Path | None:
    """Where the files are."""
    name = os.environ.get("FAKE_DAILY")
    return None if not name else Path(name)


def faults(url: str = "") -> dict[str, Any]:
    """The faults for a room: the standing ones, then those of ``rooms`` whose key is in ``url``."""
    place = folder()
    if place is None or not (place / "faults.json").exists():
        return {}
    standing: dict[str, Any] = json.loads((place / "faults.json").read_text(encoding="utf-8"))
    for part, special in standing.get("rooms", {}).items():
        if part in url:
            standing = {**standing, **special}
    return standing


def log(what: str, **details: Any) -> None:
    """Write one line; lines of several processes and threads do not mix."""
    place = folder()
    if place is None:
        return
    entry = {"at_ns": time.monotonic_ns(), "pid": os.getpid(), "what": what, **details}
    line = json.dumps(entry).encode() + b"\n"
    file = os.open(place / "log.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def die(why: str) -> NoReturn:
    """End the process: the real SDK would have aborted it, or frozen it for ever."""
    stack = "" if sys.is_finalizing() else "".join(traceback.format_stack()[:-1])
    os.write(2, f"FAKE DAILY: {why} ({threading.current_thread().name})\n{stack}".encode())
    log("fatal", why=why)
    os._exit(FATAL)
