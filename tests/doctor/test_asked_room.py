from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from app.doctor import asked_room as room
from app.doctor.call import Call
from app.doctor.experiment import LiveFailed, Result
from tests.support.call import Script, ScriptedCall, done, outcome, started, stopped
from tests.support.clock import FakeClock

Ask = Callable[[Call, Result], Awaitable[str]]


async def verdict(ask: Ask, **after: list[Script]) -> str:
    """Carry an experiment out on a script."""
    call = ScriptedCall(FakeClock(), **after)
    call.take({"type": "session.ready"})
    return await outcome(call, ask(call, Result(room.ROOM)))


SPOKEN: Script = [(90, started()), (2090, stopped()), (2100, done("done"))]


async def test_room_that_is_ready_works() -> None:
    """The time it took is noted."""
    assert "yes" == await verdict(room.ask_room)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (SPOKEN, "yes, with `done` as bool"),
        ([(9, done("done", played_ms=1500))], "no: the end is missing, with `done` as bool"),
    ],
)
async def test_done_is_taken_when_all_is_played(script: Script, expected: str) -> None:
    """Tavus's own durations say how much was heard."""
    assert expected == await verdict(partial(room.ask_done, done_as="bool"), speak=[script])


async def test_estimate_is_no_proof() -> None:
    """When only the clock says that it was played, nothing is known."""
    script: Script = [(9, done("done", source="clock"))]
    with pytest.raises(LiveFailed, match="BRIDGE_ECHO_DONE"):
        await verdict(partial(room.ask_done, done_as="bool"), speak=[script])


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([started("ab-1"), stopped("ab-1")], "ours, with a duration"),
        ([started("ab-1"), stopped("ab-1", None)], "ours, without a duration"),
        ([started("i77", as_text=True), stopped("i77", as_text=True)], "ids that Tavus makes"),
        ([started(None), stopped(None)], "none"),
        ([started("ab-1"), stopped(None)], "ids that Tavus makes"),
    ],
)
async def test_ids_are_told_apart(messages: list[dict[str, object]], expected: str) -> None:
    """Ours begin with ``ab-``; events come as objects or as text."""
    call = ScriptedCall(FakeClock())
    for message in messages:
        call.take(message)

    assert (await room.ask_ids(call, Result(room.IDS))).startswith(expected)


async def test_without_events_there_are_no_ids() -> None:
    """Silence of Tavus settles nothing."""
    with pytest.raises(LiveFailed):
        await verdict(room.ask_ids)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([(50, stopped())], "yes: what was queued is dropped"),
        ([(50, stopped()), (900, started())], "no: what was queued is played"),
        ([(50, stopped()), (9000, started())], "yes: what was queued is dropped"),
    ],
)
async def test_interrupt_drops_what_is_queued_or_not(after: Script, expected: str) -> None:
    """A start soon after the stop is what was queued."""
    assert expected == await verdict(room.ask_queued, speak=[[(90, started())]], interrupt=[after])


async def test_interrupt_without_a_word_settles_nothing() -> None:
    """Tavus defines no acknowledgement."""
    with pytest.raises(LiveFailed, match="ears"):
        await verdict(room.ask_queued, speak=[[(90, started())]])


FIRST: Script = [(90, started()), (6000, done("first"))]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([(4000, stopped()), (4001, started()), (5000, stopped())], "it queues"),
        ([(20, stopped()), (21, started()), (1000, stopped())], "it cuts in"),
        ([(4000, stopped())], "it is lost"),
    ],
)
async def test_second_id_queues_or_cuts(after: Script, expected: str) -> None:
    """How long the first was heard tells; it lasts five seconds."""
    assert expected == await verdict(room.ask_second_id, speak=[FIRST], say=[after])


async def test_first_that_never_stops_settles_nothing() -> None:
    """Every wait has its end."""
    with pytest.raises(LiveFailed, match="fell silent"):
        await verdict(room.ask_second_id, speak=[FIRST])


@pytest.mark.parametrize(
    ("again", "expected"), [([], "it is dropped"), ([(30, started("x"))], "it is played")]
)
async def test_dead_id_is_dropped_or_played(again: Script, expected: str) -> None:
    """The same id is used again on purpose."""
    told = await verdict(
        room.ask_dead_id, say=[[(90, started("x"))], again], interrupt=[[(30, stopped("x"))]]
    )

    assert expected == told


async def test_tale_without_an_end_settles_nothing() -> None:
    """An interrupt that is not acknowledged leaves the id alive, or not."""
    with pytest.raises(LiveFailed, match="no stop"):
        await verdict(room.ask_dead_id, say=[[(90, started("x"))]])


async def test_silence_of_tavus_settles_nothing() -> None:
    """An experiment that waits for a start gives up."""
    with pytest.raises(LiveFailed, match="did not say"):
        await verdict(room.ask_queued)


@pytest.mark.parametrize(
    ("ask", "name", "expected"),
    [
        (room.ask_track, "track", "yes, after 90 ms"),
        (room.ask_pause, "pause", "after 90 ms"),
    ],
)
async def test_track_is_measured(ask: Ask, name: str, expected: str) -> None:
    """From the first byte to the first sound."""
    assert expected == await verdict(ask, speak=[[(90, started()), (2100, done(name))]])


@pytest.mark.parametrize(
    "script",
    [
        [(2100, done("track"))],
        [(90, started()), (9, done("track", latency={"first_sent_ms": 1, "started_ms": None}))],
    ],
)
async def test_track_that_is_not_heard_settles_nothing(script: Script) -> None:
    """What the service estimates is no word of Tavus's."""
    with pytest.raises(LiveFailed, match="never said"):
        await verdict(room.ask_track, speak=[script])
