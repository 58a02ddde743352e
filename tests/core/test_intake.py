from __future__ import annotations

import pytest

from app.core import wire_out as out
from app.core.intake import MAX_MARKS, Bounds
from app.core.pcm import AudioFormat, Encoding
from app.core.voice import VoiceOptions
from app.errors import (
    FormatMismatch,
    TooManyMarks,
    TooManyUtterances,
    UtteranceIdInUse,
    UtteranceMismatch,
)
from tests.support.audio import noise, wav
from tests.support.stage import Stage, echo_format

SMALL = VoiceOptions(bounds=Bounds(buffer_ms=1000, high_ms=500, low_ms=200))
NOTICES = ("error", "audio.discarded", "flow.pause", "flow.resume")


def is_open(stage: Stage) -> bool:
    """Whether an utterance is open."""
    return stage.voice.open is not None


# --- implicit and explicit


def test_audio_alone_opens_an_utterance() -> None:
    """It is told as implicit and closes after a second without audio."""
    stage = Stage()
    stage.audio(20)
    stage.run(900)
    stage.audio(20)
    stage.run(999)

    assert is_open(stage)

    stage.run(1)

    assert not is_open(stage)

    stage.run_out()
    stage.audio(20)

    (first, second) = [
        message for _, message in stage.told if isinstance(message, out.UtteranceOpened)
    ]
    assert (True, True) == (first.implicit, second.implicit)
    assert ["done u-1 played 40/40/40 replica"] == stage.log("utterance.done")


def test_an_explicit_utterance_has_no_gap() -> None:
    """It is open until somebody closes it."""
    stage = Stage()
    stage.start("a")
    stage.audio(20)
    stage.run(60_000)

    assert is_open(stage)
    assert [] == stage.log("utterance.done")


def test_a_start_closes_the_open_one() -> None:
    """Both play; the answer bears the id of the message."""
    stage = Stage()
    stage.start("a")
    stage.audio(100)
    stage.voice.intake.start("b", None, None, stage.now, "ref")
    stage.settle()
    stage.audio(100)
    stage.end()
    stage.run_out()
    opened = stage.told[1][1]

    assert isinstance(opened, out.UtteranceOpened)
    assert ("b", 2, "ref", False) == (
        opened.utterance_id,
        opened.number,
        opened.id,
        opened.implicit,
    )
    assert 2 == " ".join(stage.log("utterance.done")).count("played 100/100/100")


def test_an_explicit_producer_opens_nothing_by_audio() -> None:
    """After its first start, audio outside an utterance is discarded."""
    stage = Stage()
    stage.say("a", 100)
    stage.audio(50)
    stage.run(299)

    assert [] == stage.log("audio.discarded")

    stage.run(1)

    assert ["discarded 50 no_utterance -"] == stage.log("audio.discarded")


def test_an_utterance_without_audio() -> None:
    """Played, with zeros, and nothing sent."""
    stage = Stage()
    stage.start("a")
    stage.end()
    stage.run(0)

    assert ["opened a", "done a played 0/0/0 clock"] == stage.log()
    assert [] == stage.sent
    assert out.Latency(None, None) == stage.done("a").latency


def test_an_utterance_without_audio_waits_its_turn() -> None:
    """Done comes in order."""
    stage = Stage()
    stage.say("a", 100)
    stage.start("b")
    stage.end()
    stage.say("c", 100)
    stage.run_out()

    assert ["a", "b", "c"] == [line.split()[1] for line in stage.log("utterance.done")]


# --- formats


def test_the_format_holds_until_changed() -> None:
    """A start without a format takes the one before."""
    stage = Stage()
    stage.start("a", fmt=echo_format(16_000))
    stage.raw(noise(echo_format(16_000), 1600))
    stage.start("b")
    stage.raw(noise(echo_format(16_000), 1600))
    stage.end()
    stage.run_out()

    assert (100, 100) == (stage.done("a").received_ms, stage.done("b").received_ms)
    assert echo_format(16_000) == stage.voice.intake.format


def test_an_undeclared_format_is_the_headers() -> None:
    """Who never named a format may send WAV."""
    fmt = echo_format(8000)
    stage = Stage()
    stage.raw(wav(fmt, noise(fmt, 800)))
    stage.end()
    stage.run_out()

    assert 100 == stage.done("u-1").played_ms


def test_a_declared_format_is_binding() -> None:
    """Another header: the utterance fails, nothing of it is played, its rest is discarded."""
    fmt = echo_format(8000)
    stage = Stage()
    stage.start("a", fmt=echo_format(24_000))
    with pytest.raises(FormatMismatch):
        stage.raw(wav(fmt, noise(fmt, 800)))
    stage.audio(100)
    stage.end()
    stage.run_out()

    assert [
        "opened a",
        "discarded 100 refused a",
        "done a failed format_mismatch 0/0/0 clock",
    ] == stage.log()
    assert [] == stage.sent


def test_an_implicit_utterance_in_a_foreign_format() -> None:
    """Its rest opens nothing until the utterance would have ended: a pause inside it is no end."""
    stage = Stage()
    with pytest.raises(FormatMismatch):
        stage.raw(b"ID3\x04" + bytes(1000))
    stage.run(900)
    stage.audio(100)
    stage.run(1000)
    stage.audio(100)
    stage.run_out()

    assert [
        "opened u-1",
        "done u-1 failed format_mismatch 0/0/0 clock",
        "discarded 100 refused u-1",
        "opened u-2",
        "done u-2 played 100/100/100 replica",
    ] == stage.log("utterance.opened", "utterance.done", "audio.discarded")


def test_a_header_that_never_came() -> None:
    """Found at the end: told, failed, and the next utterance is welcome."""
    stage = Stage()
    stage.voice.intake.attach(AudioFormat(Encoding.WAV), declared=True)
    stage.raw(b"RIFF")
    stage.end()
    fmt = echo_format(24_000)
    stage.raw(wav(fmt, noise(fmt, 2400)))
    stage.end()
    stage.run_out()

    assert [
        "opened u-1",
        "error format_mismatch",
        "opened u-2",
        "done u-1 failed format_mismatch 0/0/0 clock",
        "done u-2 played 100/100/100 replica",
    ] == stage.log("utterance.opened", "error", "utterance.done")


def test_a_mismatch_in_the_middle() -> None:
    """What was handed over was; the rest of it is not."""
    first, second = echo_format(24_000), AudioFormat(Encoding.S16LE, 8000, 1)
    stage = Stage(VoiceOptions(lead_ms=0))
    stage.start("a", fmt=first)
    stage.raw(wav(first, noise(first, 24_000)))
    stage.run(500)
    with pytest.raises(FormatMismatch):
        stage.raw(wav(second, noise(second, 800)))
    stage.run_out()
    done = stage.done("a")

    assert ("failed", "format_mismatch", 1000) == (done.status, done.code, done.received_ms)
    assert 500 <= done.sent_ms <= 540
    assert 0 == stage.voice.intake.unsent()


def test_a_part_of_a_sample() -> None:
    """Told with the end's id; the whole samples play."""
    stage = Stage()
    stage.start("a")
    stage.raw(bytes(4801))
    stage.voice.intake.end("a", "ref")
    stage.settle()
    stage.run_out()
    (error,) = [message for _, message in stage.told if isinstance(message, out.Error)]

    assert ("partial_sample", "ref") == (error.code, error.ref)
    assert ["done a played 100/100/100 replica"] == stage.log("utterance.done")


# --- refused


@pytest.mark.parametrize("implicit", [True, False])
def test_a_refused_start(implicit: bool) -> None:
    """The open one is closed and plays; audio is discarded up to the next good start."""
    stage = Stage()
    if not implicit:
        stage.start("a")
    stage.audio(100)
    with pytest.raises(UtteranceIdInUse):
        stage.start("a" if not implicit else "u-1")
    stage.audio(60)
    stage.run(1000)
    stage.end()
    stage.audio(40)
    stage.start("b")
    stage.audio(100)
    stage.end()
    stage.run_out()

    assert ["discarded 60 refused -", "discarded 40 refused -"] == stage.log("audio.discarded")
    assert [
        f"done {'u-1' if implicit else 'a'} played 100/100/100 replica",
        "done b played 100/100/100 replica",
    ] == stage.log("utterance.done")


def test_a_start_that_could_not_be_read() -> None:
    """It is refused like any other, and makes the producer explicit."""
    stage = Stage()
    stage.audio(100)
    stage.voice.intake.refuse_start()
    stage.audio(50)
    stage.run(1000)

    assert stage.voice.intake.explicit
    assert ["discarded 50 refused -"] == stage.log("audio.discarded")


def test_too_many_utterances() -> None:
    """The refused one opens nothing; one that is done makes room."""
    stage = Stage(VoiceOptions(queued_utterances=2), listens=False)
    stage.say("a", 100)
    stage.say("b", 100)
    with pytest.raises(TooManyUtterances):
        stage.start("c")
    stage.audio(100)
    stage.voice.playback.released = True
    stage.settle()
    stage.run_out()
    stage.say("c", 100)

    assert ["discarded 100 refused -"] == stage.log("audio.discarded")
    assert ["opened a", "opened b", "opened c"] == stage.log("utterance.opened")


def test_too_many_implicit_utterances() -> None:
    """One error, and the rest of what was refused is discarded."""
    stage = Stage(VoiceOptions(queued_utterances=1), listens=False)
    stage.audio(100)
    stage.end()
    with pytest.raises(TooManyUtterances):
        stage.audio(100)
    stage.audio(50)
    stage.run(1000)

    assert ["discarded 150 refused -"] == stage.log("audio.discarded")


def test_too_many_at_a_full_buffer() -> None:
    """A message that would not fit either is counted as well."""
    stage = Stage(VoiceOptions(queued_utterances=1, bounds=Bounds(buffer_ms=500)), listens=False)
    stage.audio(100)
    stage.end()
    with pytest.raises(TooManyUtterances):
        stage.audio(450)
    stage.end()

    assert ["discarded 450 refused -"] == stage.log("audio.discarded")


def test_an_end_of_another() -> None:
    """Nothing is closed."""
    stage = Stage()
    stage.start("a")
    with pytest.raises(UtteranceMismatch, match="'a' is open, not 'b'"):
        stage.end("b")

    assert is_open(stage)

    stage.end("a")
    stage.end("a")

    assert not is_open(stage)


# --- the buffer


def test_a_message_that_does_not_fit() -> None:
    """Refused whole with the rest of its utterance; what was accepted plays, then it failed."""
    stage = Stage(SMALL, listens=False)
    stage.start("a")
    stage.audio(900)
    assert not stage.voice.intake.admit(9600, stage.now, "ref")
    stage.settle()
    stage.audio(50)
    stage.end()
    (error,) = [message for _, message in stage.told if isinstance(message, out.Error)]

    assert ("buffer_overflow", "ref", 43_200, True) == (
        error.code,
        error.ref,
        error.accepted_bytes,
        error.retryable,
    )
    assert [
        "flow.pause 900",
        "error buffer_overflow",
        "discarded 250 refused a",
    ] == stage.log(*NOTICES)

    stage.voice.playback.released = True
    stage.settle()
    stage.run_out()

    assert ["flow.resume 0"] == stage.log("flow.resume")
    assert [
        "started a replica",
        "done a failed buffer_overflow 900/900/900 replica",
    ] == stage.log("utterance.started", "utterance.done")


def test_a_message_that_fits_exactly() -> None:
    """Up to the limit is not beyond it."""
    stage = Stage(SMALL, listens=False)
    stage.audio(400)
    stage.audio(600)

    assert [] == stage.log("error")
    assert 24_000 == stage.voice.intake.unsent()

    stage.audio(1)

    assert ["error buffer_overflow"] == stage.log("error")


def test_a_message_larger_than_the_buffer() -> None:
    """Even into an empty one: opened, failed, and the producer told to wait and to go on."""
    stage = Stage(SMALL)
    stage.run(5000)
    stage.audio(1200)

    assert [
        "opened u-1",
        "error buffer_overflow",
        "flow.pause 0",
        "flow.resume 0",
    ] == stage.log()

    stage.run(999)
    stage.audio(100)

    assert ["opened u-1"] == stage.log("utterance.opened")

    stage.run(1000)
    stage.audio(100)

    assert ["opened u-1", "opened u-2"] == stage.log("utterance.opened")
    assert ["discarded 1300 refused u-1"] == stage.log("audio.discarded")
    assert ["done u-1 failed buffer_overflow 0/0/0 clock"] == stage.log("utterance.done")


def test_flow() -> None:
    """Pause above the high mark, once; resume at the low one, once; paused audio counts."""
    stage = Stage(SMALL, listens=False)
    stage.start("a")
    for _ in range(9):
        stage.audio(100)

    assert ["flow.pause 600"] == stage.log(*NOTICES)

    stage.voice.playback.released = True
    stage.voice.pause(stage.now)
    stage.settle()

    assert ["flow.pause 600"] == stage.log(*NOTICES)

    stage.voice.resume()
    stage.settle()

    assert ["flow.pause 600", "flow.resume 10"] == stage.log(*NOTICES)


def test_an_interrupt_empties_the_buffer() -> None:
    """There is room again at once."""
    stage = Stage(SMALL, listens=False)
    stage.audio(900)
    stage.interrupt()

    assert ["flow.pause 900", "flow.resume 0"] == stage.log(*NOTICES)


def test_acknowledgements() -> None:
    """Bytes of the last utterance, and what waits, inside the resampler too; none before audio."""
    stage = Stage(listens=False)

    assert None is stage.voice.intake.ack(0)

    stage.voice.intake.attach(echo_format(8000), declared=True)
    stage.raw(bytes(1600))
    stage.raw(bytes(801))

    assert out.AudioAck("u-1", 2401, 2, 150) == stage.voice.intake.ack(2)

    stage.end()

    assert out.AudioAck("u-1", 2401, 3, 150) == stage.voice.intake.ack(3)

    stage.raw(bytes(160))

    assert out.AudioAck("u-2", 160, 4, 160) == stage.voice.intake.ack(4)


# --- marks


def test_too_many_marks() -> None:
    """A thousand may wait; those that were reached make room."""
    stage = Stage()
    stage.start("a")
    stage.audio(100)
    for number in range(MAX_MARKS):
        stage.mark(f"m{number}")
    with pytest.raises(TooManyMarks):
        stage.mark("one too many")
    stage.end()
    stage.run_out()
    stage.mark("later")

    assert [
        *(f"mark m{number} played 100" for number in range(MAX_MARKS)),
        "mark later played 0",
    ] == stage.log("mark.reached")


def test_a_mark_in_discarded_audio() -> None:
    """It is flushed, unless there is accepted audio for it to stand behind."""
    stage = Stage()
    stage.start("a")
    stage.audio(1000)
    with pytest.raises(UtteranceIdInUse):
        stage.start("a")
    stage.mark("behind a")
    stage.run_out()
    stage.audio(100)
    stage.mark("in nothing")

    assert ["mark behind a played 1000", "mark in nothing flushed 0"] == stage.log("mark.reached")


# --- producers


def test_a_new_producer() -> None:
    """The old one's utterance is closed; the new one is implicit, in its own format."""
    stage = Stage()
    stage.start("a")
    stage.audio(100)
    with pytest.raises(UtteranceIdInUse):
        stage.start("a")
    stage.audio(50)
    stage.voice.intake.attach(echo_format(16_000), declared=True)

    assert None is stage.voice.intake.ack(0)

    stage.raw(bytes(3200))
    stage.run_out()

    assert [
        "opened a",
        "discarded 50 refused -",
        "opened u-2",
        "done a played 100/100/100 replica",
        "done u-2 played 100/100/100 replica",
    ] == stage.log("utterance.opened", "utterance.done", "audio.discarded")


def test_a_lost_producer() -> None:
    """Its implicit utterance stays open, and the time without a connection is no gap."""
    stage = Stage()
    stage.audio(100)
    stage.voice.intake.suspended = True
    stage.run(20_000)

    assert is_open(stage)

    stage.voice.intake.reconnect(stage.now)
    stage.settle()
    stage.run(500)
    stage.audio(100)
    stage.run_out()

    assert ["opened u-1"] == stage.log("utterance.opened")
    assert 200 == stage.done("u-1").played_ms


def test_a_lost_producer_whose_audio_is_discarded() -> None:
    """What it sends after it came back is still the rest of what was cut."""
    stage = Stage()
    stage.audio(1000)
    stage.interrupt(in_band=False)
    stage.audio(50)
    stage.voice.intake.suspended = True
    stage.run(5000)
    stage.voice.intake.reconnect(stage.now)
    stage.audio(50)
    stage.run(300)

    assert ["discarded 100 interrupted u-1"] == stage.log("audio.discarded")


def test_a_reconnected_producer_is_told_to_stop_again() -> None:
    """It may have missed that; a new connection alone is no gap in the speech either way."""
    stage = Stage(SMALL, listens=False)
    stage.audio(900)
    stage.run(500)
    stage.voice.intake.reconnect(stage.now)
    stage.settle()
    stage.run(500)

    assert ["flow.pause 900", "flow.pause 900"] == stage.log("flow.pause")
    assert not is_open(stage)
