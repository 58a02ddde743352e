from __future__ import annotations

import base64

import pytest

from app.core import events as e
from app.core.events import MessageFailed
from app.core.pcm import AudioFormat
from app.core.playback import Delivery
from app.core.spec import AudioPathName
from app.core.voice import Cut, Voice, VoiceOptions
from app.runtime.pump import Pump
from tests.support.clock import FakeClock
from tests.support.room import FakeRoom
from tests.support.world import MS, S

SECOND = bytes(48_000)


class Rig:
    """A voice, a room, and the pump between them."""

    def __init__(self, *, is_track: bool = False, done_as_string: bool = False) -> None:
        path = AudioPathName.TRACK if is_track else AudioPathName.ECHO
        self.clock = FakeClock()
        self.voice = Voice(VoiceOptions(audio_path=path))
        self.voice.playback.released = True
        self.facts: list[e.RoomFact] = []
        self.room = FakeRoom(self.facts.append, self.clock)
        self.handed: list[Delivery] = []
        self.touched: list[int] = []
        self.pump = Pump(
            self.voice,
            self.clock,
            self.clock.call_at,
            path=path,
            done_as_string=done_as_string,
            touch=self.touched.append,
            on_handed=self._on_handed,
            on_retry=lambda: None,
        )

    def _on_handed(self, delivery: Delivery, is_watched: bool) -> bool:
        self.handed.append(delivery)
        return not is_watched and self.voice.is_routine(delivery)

    def start(self) -> None:
        """Enter the room."""
        self.pump.enter(self.room, "c1", self.pump.run)
        self.pump.run()

    def speak(self, seconds: int = 1, *, end: bool = True) -> None:
        """Let speech arrive."""
        now = self.clock.now()
        self.voice.intake.start(None, AudioFormat(), None, now)
        self.voice.intake.audio(SECOND * seconds, now)
        if end:
            self.voice.intake.end()
        self.pump.run()

    def sent_bytes(self) -> int:
        """How much audio the room got in echo messages."""
        return sum(
            len(base64.b64decode(sent.message["properties"]["audio"])) for sent in self.room.audio
        )


@pytest.fixture
def rig() -> Rig:
    """An echo rig."""
    return Rig()


async def test_rests_until_there_is_something(rig: Rig) -> None:
    """Without audio nothing is handed over and no time is waited for."""
    rig.start()

    assert [] == rig.room.sent
    assert 0 == rig.clock.waiting


async def test_hands_over_ahead_then_in_real_time(rig: Rig) -> None:
    """What may be ahead goes at once; the rest follows as time passes."""
    rig.start()
    rig.speak(3)
    burst = rig.sent_bytes()
    await rig.clock.run(500 * MS)
    later = rig.sent_bytes()
    await rig.clock.run(3 * S)

    assert rig.clock.now() - 3 * S < rig.touched[-1] <= rig.clock.now()
    assert 1460 <= burst / 48 <= 1500
    assert 1960 <= later / 48 <= 2000
    assert len(rig.handed) == len(rig.room.audio)
    assert 3040 == rig.sent_bytes() / 48  # with the closing silence


async def test_audio_is_taken_when_it_is_waited_for(rig: Rig) -> None:
    """Audio goes at once where nothing waits before it; where more does, it waits for its time."""
    intake = rig.voice.intake
    rig.start()
    intake.start(None, AudioFormat(), None, rig.clock.now())
    rig.pump.heard()
    nothing = len(rig.room.audio)
    intake.audio(SECOND * 3, rig.clock.now())
    rig.pump.heard()
    burst = len(rig.room.audio)
    intake.audio(SECOND, rig.clock.now())
    rig.pump.heard()
    later = len(rig.room.audio)
    await rig.clock.run(3 * S)

    assert 0 == nothing < burst == later
    assert 3900 <= rig.sent_bytes() / 48 <= 4000


async def test_steady_speech_goes_on_after_a_gap(rig: Rig) -> None:
    """Packet for packet, each chunk goes when it is whole, also after a while without any."""
    intake = rig.voice.intake
    rig.start()
    intake.start(None, AudioFormat(), None, rig.clock.now())
    for pause in (0, 0, 3000, 0, 700) * 4:
        for _ in range(10):
            intake.audio(SECOND[:960], rig.clock.now())
            rig.pump.heard()
            await rig.clock.run(20 * MS)
        assert intake.unsent() < 960
        await rig.clock.run(pause * MS)

    assert 0 == rig.clock.waiting


async def test_moment_that_comes_sooner_holds_nothing_up(rig: Rig) -> None:
    """Once the replica has stopped nobody waits for when it would have by the clock."""
    intake, playback = rig.voice.intake, rig.voice.playback
    rig.start()
    rig.speak()
    intake.start(None, AudioFormat(), None, rig.clock.now())
    intake.audio(SECOND, rig.clock.now())
    rig.pump.run()
    await rig.clock.run(100 * MS)
    playback.started("form", None, rig.clock.now())
    await rig.clock.run(S)
    held = intake.unsent()
    playback.stopped("form", None, 24_000, interrupted=False, now=rig.clock.now())
    rig.voice.take()
    rig.pump.run()
    intake.audio(SECOND[:960], rig.clock.now())
    rig.pump.heard()

    assert 24_000 == held
    assert intake.unsent() < 960


@pytest.mark.parametrize(("as_string", "done"), [(False, True), (True, "true")])
async def test_last_message_says_done(as_string: bool, done: bool | str) -> None:
    """The run ends with ``done``, written as the setting says, under one inference id."""
    rig = Rig(done_as_string=as_string)
    rig.start()
    rig.speak()
    await rig.clock.run(2 * S)

    properties = [sent.message["properties"] for sent in rig.room.audio]
    assert done == properties[-1]["done"]
    assert 1 == len({each["inference_id"] for each in properties})


async def test_track_goes_frame_by_frame_at_the_devices_pace() -> None:
    """On the track the device keeps time: at most two frames are ahead of it."""
    rig = Rig(is_track=True)
    rig.start()
    rig.speak()
    first = len(rig.room.frames)
    await rig.clock.run(100 * MS)
    later = len(rig.room.frames)
    await rig.clock.run(2 * S)

    assert (2, 7, 50) == (first, later, len(rig.room.frames))


async def test_nothing_goes_while_held(rig: Rig) -> None:
    """A pause holds at once what is not handed over, and its end lets it go."""
    rig.start()
    rig.voice.playback.paused = True
    rig.speak()
    held = len(rig.room.audio)
    rig.voice.playback.paused = False
    rig.pump.run()

    assert 0 == held
    assert 0 < len(rig.room.audio)


async def test_full_room_is_waited_for(rig: Rig) -> None:
    """Nothing goes while four messages are unconfirmed; a confirmation lets the next one go."""
    rig.room.confirms = False
    rig.start()
    rig.speak()
    full = len(rig.room.audio)
    rig.room.confirm(1)
    one_more = len(rig.room.audio)
    rig.room.confirms = True
    rig.room.confirm(4)

    assert (4, 5) == (full, one_more)
    assert rig.voice.playback.next(rig.clock.now()) is None
    assert 1040 == rig.sent_bytes() / 48


async def test_cut_leaves_what_the_room_did_not_take(rig: Rig) -> None:
    """What a full room did not take is not counted as sent, and what comes next goes on."""
    rig.room.confirms = False
    rig.start()
    rig.speak()
    cut = _cut(rig)
    rig.room.clear_audio(cut.epoch)
    rig.pump.settle()
    report = rig.voice.report(cut, None, rig.clock.now())
    rig.room.confirms = True
    rig.room.confirm(4)
    rig.speak()

    assert 130 == report.utterances[0].sent_ms
    assert 1 == rig.room.audio[-1].epoch


async def test_room_that_is_gone_gets_nothing(rig: Rig) -> None:
    """What comes after it has been left waits for another one."""
    rig.start()
    await rig.room.leave()
    rig.speak()
    before = rig.voice.intake.unsent()
    rig.pump.lose((), 0)
    rig.speak()

    assert [] == rig.room.sent
    assert (24_000, 48_000) == (before, rig.voice.intake.unsent())
    assert 0 == rig.clock.waiting


async def test_undelivered_message_is_taken_back(rig: Rig) -> None:
    """A message that failed counts as not sent, once; a number of nobody's does nothing."""
    rig.start()
    rig.speak()
    before = rig.voice.report(_cut(rig), None, rig.clock.now()).utterances[0].sent_ms
    rig.speak()
    last = rig.room.audio[-2].number  # behind it is only the closing silence
    for number in (last, last, 99_999):
        rig.pump.failed(MessageFailed(number, definite=False, reason="no answer"))
    after = rig.voice.report(_cut(rig), None, rig.clock.now()).utterances[0].sent_ms

    assert 0 < before - after <= 40


def _cut(rig: Rig) -> Cut:
    """Interrupt."""
    cut = rig.voice.cut(rig.clock.now())
    assert cut is not None
    return cut
