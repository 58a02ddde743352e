"""The quick way in: binary messages of a stream where they arrive, without a task in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

INLET = "avatar_bridge.inlet"
"""In a WebSocket scope's ``extensions``: the connection's ``Inlet``."""

Take = Callable[[bytes, bool], bool]
"""Takes a message, or leaves it for ``receive``; must not raise. It is told whether the next one is
here, too, and offered at once."""


class Inlet(Protocol):
    """What a server can do that ASGI has no word for."""

    take: Take | None
    """Is offered each binary message that comes while the application waits in ``receive``, and
    nothing else does: so each comes in its order."""


@contextmanager
def offered(scope: MutableMapping[str, Any], take: Take) -> Iterator[None]:
    """Have messages offered to ``take`` meanwhile, if the server can."""
    inlet = cast("Inlet | None", (scope.get("extensions") or {}).get(INLET))
    if inlet is None:
        yield
        return
    inlet.take = take
    try:
        yield
    finally:
        inlet.take = None
