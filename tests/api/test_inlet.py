from __future__ import annotations

from app.api.inlet import INLET, Take, offered


class Server:
    """A server that brings messages to whoever takes them."""

    take: Take | None = None


def take_all(_data: bytes, _more: bool) -> bool:  # as ``Take`` says
    """Leave nothing."""
    return True


def test_messages_are_offered_meanwhile() -> None:
    """Not before, not after, and not by a server that cannot."""
    server = Server()
    with offered({"extensions": {INLET: server}}, take_all):
        inside = server.take
    with offered({}, take_all), offered({"extensions": None}, take_all):
        pass

    assert inside is not None
    assert inside(b"", False)
    assert server.take is None
