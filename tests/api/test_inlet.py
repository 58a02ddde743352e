from __future__ import annotations

from app.api.inlet import INLET, Take, offered


class Server:
    """A server that brings messages to whoever takes them."""

    take: Take | None = None


def test_messages_are_offered_meanwhile() -> None:
    """Not before, not after, and not by a server that cannot."""
    server = Server()
    with offered({"extensions": {INLET: server}}, lambda _: True):
        inside = server.take
    with offered({}, lambda _: True), offered({"extensions": None}, lambda _: True):
        pass

    assert inside is not None
    assert inside(b"")
    assert server.take is None
