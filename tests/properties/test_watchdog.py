"""A healthy replica is never reported as stalled, whatever its client does and however it talks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.events import Stall
from app.core.spec import AudioPathName
from app.core.voice import VoiceOptions
from tests.properties.test_voice import CUTS, OPTIONS, SPEECH, Op, play
from tests.support.stage import FORMS, MS, Manners

TURNS: list[st.SearchStrategy[Op]] = [
    st.tuples(st.just("audio"), st.sampled_from([20, 333, 4000, 30_000])),
    st.tuples(st.just("wait"), st.sampled_from([1500, 2500, 4000, 15_000, 40_000])),
]
SCRIPTS = st.lists(st.one_of(SPEECH + CUTS + TURNS), min_size=1, max_size=25)
STOPS = st.sampled_from(range(1, 20, 2))
"""Every other event of a replica."""


@st.composite
def healthy(draw: st.DrawFn) -> Manners:
    """A replica that tells of every start, if late; its stops may get lost."""
    return Manners(
        ids=draw(st.sampled_from(["ours", "made", "previous", None])),
        durations=draw(st.booleans()),
        flag=draw(st.booleans()),
        forms=draw(st.sampled_from([FORMS, FORMS[:1]])),
        lag=draw(st.sampled_from([0, 20, 150, 600, 3000])) * MS,
        doubled=draw(st.booleans()),
        lost=draw(st.frozensets(STOPS)),
    )


@settings(max_examples=300)
@given(SCRIPTS, healthy(), OPTIONS)
def test_a_healthy_replica_alarms_nobody(
    script: list[Op], manners: Manners, options: VoiceOptions
) -> None:
    """Interrupts, pauses, short words, long speeches, late and lost words: no stall."""
    assert [] == play(script, manners, options).stalls


@settings(max_examples=100)
@given(SCRIPTS, st.sampled_from([0, 40, 1500]))
def test_a_dumb_replica_is_reported_at_most_once(script: list[Op], lead_ms: int) -> None:
    """It never recovers, so there is one stall."""
    stage = play(script, Manners(silent=True), VoiceOptions(lead_ms=lead_ms))

    assert stage.stalls in ([], [Stall.SPEECH])


@settings(max_examples=100)
@given(SCRIPTS)
def test_a_replica_that_never_talks_on_a_track_alarms_nobody(script: list[Op]) -> None:
    """The device consumes, and that is all that there may ever be."""
    options = VoiceOptions(audio_path=AudioPathName.TRACK)

    assert [] == play(script, Manners(silent=True), options).stalls
