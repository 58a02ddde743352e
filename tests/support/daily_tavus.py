"""Tavus's REST API as the sandbox has it, but with the rooms' addresses at Daily.

The service refuses any other address; the fake SDK finds the sandbox's room by its last part. Run
as ``python -m tests.support.daily_tavus http://127.0.0.1:PORT``; prints its own port.
"""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Self

import httpx

from tests.support.service import clean_environment


class DailyTavus:
    """Passes every request on to a sandbox, in a process of its own. Start and end block."""

    def __init__(self, sandbox_url: str) -> None:
        """Stand before the sandbox at ``http://host:port``."""
        self._sandbox_url = sandbox_url
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.daily_tavus", self._sandbox_url],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # it is a pipe
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        assert self._process is not None  # made by ``with``
        self._process.terminate()
        self._process.communicate()

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs to use it."""
        return {
            "TAVUS_BASE_URL": f"http://127.0.0.1:{self._port}/sandbox/v2",
            "TAVUS_API_KEY": "a-key-of-tavus",
            "BRIDGE_ROOM": "daily",
            "NO_PROXY": "127.0.0.1",
        }


class Handler(BaseHTTPRequestHandler):
    """One request."""

    sandbox_url = ""

    def pass_on(self) -> None:
        """Have the sandbox answer."""
        answer = httpx.request(
            self.command,
            self.sandbox_url + self.path,
            content=self.rfile.read(int(self.headers.get("content-length", 0))),
            headers={k: v for k, v in self.headers.items() if k.lower() != "host"},
            trust_env=False,
        )
        content, kind = answer.content, answer.headers.get("content-type", "text/plain")
        fields = answer.json() if kind == "application/json" else None
        if isinstance(fields, dict) and "conversation_url" in fields:
            room = f"https://sandbox.daily.co/{fields['conversation_id']}"
            content = json.dumps(fields | {"conversation_url": room}).encode()
        self.send_response(answer.status_code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PATCH = pass_on  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    Handler.sandbox_url = sys.argv[1]
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)  # noqa: T201  # whoever started us reads it
        server.serve_forever()


if __name__ == "__main__":
    main()
