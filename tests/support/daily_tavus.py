"""Tavus's REST API as the sandbox has it, but with the rooms' addresses at Daily.

The service refuses any other address; the fake SDK finds the sandbox's room by its last part.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Self

import httpx


class DailyTavus:
    """Passes every request on to a sandbox. Start and end block."""

    def __init__(self, sandbox_url: str) -> None:
        """Stand before the sandbox at ``http://host:port``."""
        self._server = HTTPServer(("127.0.0.1", 0), _handler(sandbox_url))
        self._thread = threading.Thread(target=self._server.serve_forever, name="daily tavus")

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs to use it."""
        port = self._server.server_address[1]
        return {
            "TAVUS_BASE_URL": f"http://127.0.0.1:{port}/sandbox/v2",
            "TAVUS_API_KEY": "a-key-of-tavus",
            "BRIDGE_ROOM": "daily",
            "NO_PROXY": "127.0.0.1",
        }


def _handler(sandbox_url: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request, then the connection closes: no thread outlives a test."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            answer = httpx.request(
                self.command,
                sandbox_url + self.path,
                content=body,
                headers=headers,
                trust_env=False,
            )
            content = answer.content
            if answer.headers.get("content-type") == "application/json":
                fields = answer.json()
                if isinstance(fields, dict) and "conversation_url" in fields:
                    fields["conversation_url"] = (
                        f"https://sandbox.daily.co/{fields['conversation_id']}"
                    )
                    content = json.dumps(fields).encode()
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", "text/plain"))
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_PATCH = _pass_on  # noqa: N815  # its own names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
            """Say nothing."""

    return Handler
