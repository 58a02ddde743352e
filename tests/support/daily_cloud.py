"""The other end of the strings of the fake SDK in ``tests/support/daily_sdk``.

::

    cloud = FakeCloud(tmp_path, sandbox="http://127.0.0.1:8080/sandbox")
    with Service(tmp_path, **cloud.environment, BRIDGE_ROOM="daily", ...) as service:
        cloud.faults(messages={"conversation.echo": [None, "never"]})
        cloud.steer("signalling", room=conversation_id, connected=False)
        heard = cloud.log("audio", room=conversation_id)
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

SDK = Path(__file__).parent / "daily_sdk"
"""First on a child's ``PYTHONPATH`` it makes ``import daily`` the fake."""

ROOT = Path(__file__).resolve().parents[2]


class FakeCloud:
    """What happens in the rooms of the child processes, and what they did there.

    ``faults`` holds for what happens from then on:

    - ``join_s``: how long a join takes; ``join_error``: then it fails so; ``join_never``: it hangs
    - ``request_s``: method → how long it takes, and all behind it waits
    - ``request_errors``: method → error text, or "never" to leave it undone and unanswered
    - ``messages``: event_type → what becomes of a client's first, second, ... message of that
      type: None, an error text, "never" (lost, unanswered) or "unconfirmed" (taken, unanswered)
    - ``after_leave``: ``[method, *args]`` of each callback to come after ``leave`` has completed
    - ``rooms``: part of a room's URL → faults of that room only
    """

    def __init__(self, folder: Path, *, sandbox: str | None = None) -> None:
        """Keep the files in ``folder``; ``sandbox`` is the address of one, with ``/sandbox``."""
        self._folder = folder
        self._sandbox = sandbox
        for name in ("steer.jsonl", "log.jsonl"):
            (folder / name).touch()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a child process import the fake, and it obey."""
        paths = {"PYTHONPATH": f"{SDK}{os.pathsep}{ROOT}", "FAKE_DAILY": str(self._folder)}
        return paths if self._sandbox is None else paths | {"FAKE_DAILY_SANDBOX": self._sandbox}

    def faults(self, **faults: Any) -> None:
        """Set the faults; those not named are none."""
        fresh = self._folder / "faults.new"
        fresh.write_text(json.dumps(faults), encoding="utf-8")
        fresh.replace(self._folder / "faults.json")

    def steer(self, do: str, *, room: str = "", **details: Any) -> None:
        """Let something happen in the rooms whose URL contains ``room``.

        - ``event``: call ``method`` of the handler with ``args``, or ``threads`` times at once
        - ``signalling``: ``connected`` or not
        - ``eject``: be put out of the room, with no more word on what was sent
        - ``video``: a picture of ``participant_id``, ``width``, ``height``; ``audio``: 20 ms of it
        - ``abort``; ``freeze_gil``: for ``s`` seconds; both with ``room``, or ``pid`` of a process
        """
        line = json.dumps({"do": do, "room": room, **details})
        with (self._folder / "steer.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def log(self, *kinds: str, room: str = "") -> list[dict[str, Any]]:
        """What was done so far, oldest first, each ``{"at_ns", "pid", "what", ...}``.

        ``at_ns`` is the machine's monotonic clock. Kinds: ``init``, ``source``, ``join``,
        ``joined``, ``request``, ``subscriptions``, ``renderer``, ``message``, ``audio``, ``left``,
        ``release``, ``released``, ``freeze``, ``fatal``.
        """
        lines = (self._folder / "log.jsonl").read_bytes().split(b"\n")[:-1]
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [
            entry
            for entry in entries
            if (not kinds or entry["what"] in kinds) and room in entry.get("room", "")
        ]

    def heard(self, room: str = "") -> bytes:
        """All track audio that reached the room, s16le."""
        return b"".join(base64.b64decode(entry["pcm"]) for entry in self.log("audio", room=room))
