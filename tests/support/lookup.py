"""A stand-in for the service that Daily's SDK asks about a room before it joins.

``CallClient.set_proxy_url("https://127.0.0.1:PORT")`` sends the question here, always over TLS; the
certificate has to be trusted with ``SSL_CERT_FILE``. Source: measured on daily-python 0.36.
"""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import trustme


def make_certificate(folder: Path) -> Path:
    """Make one file with a key and a certificate for 127.0.0.1, and whom to trust for it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    path = folder / "loopback.pem"
    path.write_bytes(issued.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes())
    return path


class LookupServer:
    """Has an answer for every room it knows, and keeps waiting who asks about another."""

    def __init__(self, certificate: Path, answers: dict[str, tuple[int, bytes]]) -> None:
        """Answer about a room, by its name, with a status and a body."""
        self.paths: list[str] = []
        """What was asked for."""
        self._closing = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            """Answers one question."""

            def do_GET(self) -> None:
                stub.paths.append(self.path)
                answer = answers.get(self.path.rpartition("/")[2])
                if answer is None:
                    stub._closing.wait()
                    return
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> str:
        """Where it listens, on 127.0.0.1."""
        return str(self._server.server_port)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up on whoever still waits."""
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Server(ThreadingHTTPServer):
    """A server whose threads end before it does."""

    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hung up."""
