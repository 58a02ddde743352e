"""How replicas are called: the second way to find one in its room.

A replica's display name is the name of its persona (PAL); Pipecat finds it by that alone. It is
asked for once a persona and may be missing: the user id comes first.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from app.core.persona import Persona
from app.core.spec import NamedId
from app.errors import BridgeError
from app.runtime.clock import NS_PER_S, Clock, deadline
from app.runtime.tavus_api import TavusApi

log = logging.getLogger(__name__)

LOOK_NS = 2 * NS_PER_S
"""Longest wait for a name: the conversation is made after it."""

MAX_KNOWN = 256
"""Names that are remembered; the one unasked for longest goes."""


class PersonaNames:
    """Those of one account."""

    def __init__(self, tavus: TavusApi, clock: Clock) -> None:
        """Know none."""
        self._tavus = tavus
        self._clock = clock
        self._known: OrderedDict[NamedId, str] = OrderedDict()

    async def find(self, pal: NamedId | None) -> str:
        """Return a persona's name; empty when there is none, or nobody says it in time."""
        if pal is None:
            return ""
        name = self._known.get(pal)
        if name is None:
            name = await self._ask(pal)
        if name:
            self._known[pal] = name
            self._known.move_to_end(pal)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return name

    async def _ask(self, pal: NamedId) -> str:
        try:
            async with deadline(self._clock, self._clock.now() + LOOK_NS):
                return Persona.parse(await self._tavus.persona(pal)).name
        except BridgeError as error:
            log.info("a persona's name is not known: %s", error.detail)
        except TimeoutError:
            log.info("a persona's name is not known in time")
        return ""
