"""An experiment: what we believe, what we do, what we see, and what we know then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.errors import BridgeError

NOT_SETTLED = "not settled"
"""How the verdict of an experiment begins that told nothing."""


class LiveFailed(Exception):
    """An experiment could not be carried out; the text is one line for people."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question, and how to ask it."""

    question: str
    hypothesis: str
    steps: tuple[str, ...]
    audible: bool = False
    """Whether somebody in the room can hear what it does."""


@dataclass(slots=True)
class Result:
    """What came of an experiment."""

    experiment: Experiment
    seen: list[str] = field(default_factory=list)
    heard: str = ""
    """What the person in the room says, if there was one."""
    verdict: str = NOT_SETTLED

    def saw(self, observation: str) -> None:
        """Note an observation."""
        self.seen.append(observation)


async def conduct(result: Result, carry_out: Callable[[Result], Awaitable[str]]) -> None:
    """Carry an experiment out; what goes wrong is its verdict."""
    try:
        result.verdict = await carry_out(result)
    except LiveFailed as failed:
        result.verdict = f"{NOT_SETTLED}: {failed}"
    except BridgeError as error:
        result.verdict = f"{NOT_SETTLED}: {error.detail}"
