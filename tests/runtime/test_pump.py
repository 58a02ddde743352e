from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from app.core import events as e
from app.core.events import MessageFailed
from app.core.pcm import AudioFormat
from app.core.spec import AudioPathName
from app.core.voice import Cut, Voice, VoiceOptions
from app.runtime.pump import Pump
from app.runtime.tasks import Tasks
from tests.support.clock import FakeClock, settle
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
        self.errors: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.errors.append((name, error)))
        self.handed = 0
        self.pump = Pump(
            self.voice,
            self.clock,
            is_track=is_track,
            done_as_string=done_as_string,
            on_handed=self._on_handed,
        )

    def _on_handed(self) -> None:
        self.handed += 1

    async def start(self) -> asyncio.Task[None]:
        """Run the pump."""
        task = self.tasks.spawn("pump", self.pump.run(self.room, "c1"))
        await settle()
        return task

    async def speak(self, seconds: int = 1, *, end: bool = True) -> None:
        """Let speech arrive."""
        now = self.clock.now()
        self.voice.intake.start(None, AudioFormat(), None, now)
        self.voice.intake.audio(SECOND * seconds, now)
        if end:
            self.voice.intake.end()
        self.pump.wake()
        await settle()

    def sent_bytes(self) -> int:
        """How much audio the room got in echo messages."""
        return sum(
            len(base64.b64decode(sent.message["properties"]["audio"])) for sent in self.room.audio
        )


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """An echo rig."""
    made = Rig()
    yield made
    await made.tasks.close()


async def test_rests_until_there_is_something(rig: Rig) -> None:
    """Without audio nothing is handed over and no time is waited for."""
    await rig.start()

    assert [] == rig.room.sent
    assert 0 == rig.clock.waiting


async def test_hands_over_ahead_then_in_real_time(rig: Rig) -> None:
    """What may be ahead goes at once; the rest follows as time passes."""
    await rig.start()
    await rig.speak(3)
    burst = rig.sent_bytes()
    await rig.clock.run(500 * MS)
    later = rig.sent_bytes()
    await rig.clock.run(3 * S)

    assert 1460 <= burst / 48 <= 1500
    assert 1960 <= later / 48 <= 2000
    assert rig.handed == len(rig.room.audio)
    assert 3040 == rig.sent_bytes() / 48  # with the closing silence


async def test_audio_is_taken_when_it_is_waited_for(rig: Rig) -> None:
    """Audio wakes a pump that has nothing; one that has more waits for its time."""
    intake = rig.voice.intake
    await rig.start()
    intake.start(None, AudioFormat(), None, rig.clock.now())
    rig.pump.heard()
    await settle()
    intake.audio(SECOND * 3, rig.clock.now())
    rig.pump.heard()
    await settle()
    burst = len(rig.room.audio)
    intake.audio(SECOND, rig.clock.now())
    rig.pump.heard()
    await settle()
    later = len(rig.room.audio)
    await rig.clock.run(3 * S)

    assert 0 < burst == later
    assert 3900 <= rig.sent_bytes() / 48 <= 4000


@pytest.mark.parametrize(("as_string", "done"), [(False, True), (True, "true")])
async def test_last_message_says_done(as_string: bool, done: bool | str) -> None:
    """The run ends with ``done``, written as the setting says, under one inference id."""
    rig = Rig(done_as_string=as_string)
    await rig.start()
    await rig.speak()
    await rig.clock.run(2 * S)
    await rig.tasks.close()

    properties = [sent.message["properties"] for sent in rig.room.audio]
    assert done == properties[-1]["done"]
    assert 1 == len({each["inference_id"] for each in properties})
    assert [] == rig.errors


async def test_track_goes_frame_by_frame_at_the_devices_pace() -> None:
    """On the track the device keeps time: at most two frames are ahead of it."""
    rig = Rig(is_track=True)
    await rig.start()
    await rig.speak()
    first = len(rig.room.frames)
    await rig.clock.run(100 * MS)
    later = len(rig.room.frames)
    await rig.clock.run(2 * S)
    await rig.tasks.close()

    assert (2, 7, 50) == (first, later, len(rig.room.frames))


async def test_nothing_goes_while_held(rig: Rig) -> None:
    """A pause holds at once what is not handed over, and its end lets it go."""
    await rig.start()
    rig.voice.playback.paused = True
    await rig.speak()
    held = len(rig.room.audio)
    rig.voice.playback.paused = False
    rig.pump.wake()
    await settle()

    assert 0 == held
    assert 0 < len(rig.room.audio)


async def test_settle_waits_for_the_chunk_on_its_way(rig: Rig) -> None:
    """A cut knows what was handed over once the room has taken or refused the chunk in hand."""
    rig.room.confirms = False
    await rig.start()
    await rig.speak()
    settling = asyncio.create_task(rig.pump.settle())
    await settle()
    early = settling.done()
    rig.room.confirms = True
    rig.room.confirm(4)
    await settling

    assert not early
    assert 4 < len(rig.room.audio)


async def test_refused_chunk_is_not_counted(rig: Rig) -> None:
    """A chunk that a clear sent away was never handed over, and the pump goes on after it."""
    rig.room.confirms = False
    await rig.start()
    await rig.speak()
    cut = rig.voice.cut(rig.clock.now())
    assert cut is not None
    await rig.room.clear_audio(cut.epoch)
    await rig.pump.settle()
    report = rig.voice.report(cut, None, rig.clock.now())
    rig.room.confirms = True
    rig.room.confirm(4)
    await rig.speak()

    assert 130 == report.utterances[0].sent_ms
    assert 1 == rig.room.audio[-1].epoch


async def test_ends_when_the_room_takes_nothing_more(rig: Rig) -> None:
    """A room that is gone is told nothing again and again."""
    task = await rig.start()
    await rig.room.leave()
    await rig.speak()

    assert task.done()
    assert [] == rig.errors


async def test_undelivered_message_is_taken_back(rig: Rig) -> None:
    """A message that failed counts as not sent, once; a number of nobody's does nothing."""
    await rig.start()
    await rig.speak()
    before = rig.voice.report(_cut(rig), None, rig.clock.now()).utterances[0].sent_ms
    await rig.speak()
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
