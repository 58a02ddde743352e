from __future__ import annotations

import tracemalloc

from app.core.events import MessageFailed
from app.core.pcm import AudioFormat
from app.core.playback import Delivery
from app.core.spec import AudioPathName
from app.core.voice import Voice, VoiceOptions
from app.core.wire_out import UtteranceDone
from app.runtime.handed import FIRST_HOLD_NS, REMEMBERED, TRIES, WHOLE, Handed

S = 1_000_000_000


class Rig:
    """A voice with speech in its buffer, and a memory of what was handed over."""

    def __init__(self, *, is_track: bool = False, ms: int = 400) -> None:
        path = AudioPathName.TRACK if is_track else AudioPathName.ECHO
        self.is_track = is_track
        self.voice = Voice(VoiceOptions(audio_path=path, lead_ms=60_000))
        self.voice.playback.released = True
        self.voice.intake.start("a", AudioFormat(), None, 0)
        self.voice.intake.audio(bytes(48 * ms), 0)
        self.handed = Handed(self.voice.playback)
        self.taken: list[Delivery] = []

    def hand(self, count: int, *, step: int = 1) -> None:
        """Let the room take so many chunks, numbered 1, 2, ... times ``step``."""
        for _ in range(count):
            delivery = self.next()
            self.voice.playback.handed(delivery, 0)
            self.taken.append(delivery)
            if self.is_track:
                self.handed.frame(delivery)
            else:
                self.handed.message(len(self.taken) * step, delivery)

    def refuse(self, *numbers: int, now: int = 0) -> None:
        """Let the room refuse these messages."""
        for number in numbers:
            self.handed.failed(MessageFailed(number, definite=True, reason="no"), now)

    def next(self) -> Delivery:
        """What is handed over next."""
        delivery = self.voice.playback.next(0)
        assert delivery is not None
        return delivery

    @property
    def sent(self) -> int:
        """Milliseconds that count as sent."""
        open_ = self.voice.open
        assert open_ is not None
        return open_.sent_ms


def pcm(*deliveries: Delivery) -> list[int]:
    """The lengths of some chunks, in ms."""
    return [delivery.chunk.length // 24 for delivery in deliveries]


def test_what_was_refused_last_is_handed_over_again_in_order() -> None:
    """After a hold, in which nothing else is."""
    rig = Rig()
    rig.hand(4)
    rig.refuse(3, 4)

    held = rig.handed.retry_at
    rig.handed.retry()

    assert [FIRST_HOLD_NS, None] == [held, rig.handed.retry_at]
    assert 50 == rig.sent
    again = [rig.next(), rig.next()]
    assert [rig.taken[2].chunk, rig.taken[3].chunk] == [each.chunk for each in again]
    assert [1, 1] == [each.tries for each in again]


def test_what_was_overtaken_is_not_repeated_out_of_order() -> None:
    """A later message was taken: the gap stays, and counts as not sent."""
    rig = Rig()
    rig.hand(4)
    rig.refuse(2)
    rig.handed.retry()

    assert 90 == rig.sent
    assert 0 == rig.next().tries


def test_nothing_ends_while_a_refusal_is_not_settled() -> None:
    """A short word is not told as played when the room has just refused it."""
    rig = Rig(ms=8)
    rig.voice.intake.end()
    rig.voice.intake.start("b", AudioFormat(), None, 0)
    rig.voice.intake.audio(bytes(48 * 400), 0)
    rig.hand(3)
    rig.refuse(1)
    rig.voice.tick(20 * S)
    before = [told for told in rig.voice.take() if isinstance(told, UtteranceDone)]
    rig.handed.retry()
    rig.voice.tick(20 * S)
    after = [told for told in rig.voice.take() if isinstance(told, UtteranceDone)]

    assert [] == before
    assert [("a", 0, 8)] == [(told.utterance_id, told.sent_ms, told.dropped_ms) for told in after]


def test_a_refusal_is_waited_out_longer_each_time_and_not_for_ever() -> None:
    """The hold doubles; after the last try the chunk is given up."""
    rig = Rig()
    holds = []
    for number in range(1, TRIES + 2):
        rig.hand(1)
        rig.refuse(number)
        holds.append(rig.handed.retry_at)
        rig.handed.retry()

    assert [*(FIRST_HOLD_NS << tries for tries in range(TRIES)), None] == holds
    assert 0 == rig.sent
    assert 0 == rig.next().tries


def test_what_was_too_large_comes_in_halves() -> None:
    """And everything after it."""
    rig = Rig()
    rig.hand(2)
    rig.handed.failed(MessageFailed(2, definite=True, reason="too large", too_large=True), 0)
    rig.handed.retry()

    assert [20, 20, 20] == pcm(rig.next(), rig.next(), rig.next())


def test_an_unanswered_message_is_never_repeated() -> None:
    """It may have arrived: it is left out of what counts as sent, at once and once."""
    rig = Rig()
    rig.hand(3)
    for number in (2, 2, 99):
        rig.handed.failed(MessageFailed(number, definite=False, reason="?"), 0)

    assert None is rig.handed.retry_at
    assert 50 == rig.sent


def test_a_lost_room_gives_back_unanswered_messages() -> None:
    """In order, together with those it had just refused."""
    rig = Rig()
    rig.hand(5)
    rig.refuse(5)
    rig.handed.lose((3, 4), 0)

    assert 50 == rig.sent
    assert [each.chunk for each in rig.taken[2:]] == [rig.next().chunk for _ in range(3)]
    rig.handed.lose((1, 2), 0)  # of the room before: nothing is known of it

    assert 50 == rig.sent


def test_a_lost_room_gives_back_nothing_out_of_order() -> None:
    """A later message was taken: what the room never answered for stays out."""
    rig = Rig()
    rig.hand(5)
    rig.handed.lose((2, 4, 5), 0)

    assert [each.chunk for each in rig.taken[3:]] == [rig.next().chunk for _ in range(2)]


def test_refused_messages_are_not_repeated_after_one_that_may_have_arrived() -> None:
    """In whichever order the room tells of them; those after it are."""
    rig = Rig()
    rig.hand(5)
    rig.refuse(5, 2)
    rig.handed.failed(MessageFailed(4, definite=False, reason="?"), 0)
    rig.refuse(3)
    rig.handed.retry()

    assert 10 == rig.sent
    assert rig.taken[4].chunk == rig.next().chunk


def test_a_lost_room_gives_back_frames_that_did_not_sound() -> None:
    """Counted from the room's own beginning."""
    rig = Rig(is_track=True)
    rig.hand(4)
    rig.handed.lose((), 2 * 480)

    assert 40 == rig.sent
    assert [each.chunk for each in rig.taken[2:]] == [rig.next().chunk for _ in range(2)]


def test_a_cut_leaves_nothing_to_give_back() -> None:
    """What the device dropped was accounted for by the interrupt."""
    rig = Rig(is_track=True)
    rig.hand(4)
    rig.handed.cleared(2 * 480)
    rig.hand(1)
    rig.handed.lose((), 2 * 480)

    assert 80 == rig.sent


def test_audio_is_kept_only_as_long_as_it_may_come_back() -> None:
    """Far more than a room can have unanswered comes back; of what was before only the count."""
    rig = Rig(ms=4_000)
    rig.hand(WHOLE + 3)
    before = rig.sent
    rig.handed.failed(MessageFailed(1, definite=False, reason="?"), 0)
    lost = before - rig.sent
    rig.handed.lose(range(1, WHOLE + 4), 0)
    again = [rig.next().chunk for _ in range(WHOLE)]

    assert 10 == lost
    assert 0 == rig.sent
    assert [each.chunk for each in rig.taken[3:]] == again


def test_what_fails_late_is_taken_off_the_accounts_once() -> None:
    """Wherever it stands among those that are alike; nothing waits for it."""
    rig = Rig(ms=4_000)
    rig.hand(WHOLE + 10)
    for number in (1, 5, 5, 2, 10, 6):
        rig.refuse(number)

    assert 10 + 40 * (WHOLE + 9) - 10 - 4 * 40 == rig.sent
    assert None is rig.handed.retry_at
    rig.handed.lose((4, 5), 0)
    assert 10 + 40 * (WHOLE + 9) - 10 - 5 * 40 == rig.sent


def test_a_long_speech_is_remembered_in_little() -> None:
    """It takes the memory of its last messages, however many there were."""
    rig = Rig(ms=20_000)
    rig.hand(WHOLE + 4)
    tracemalloc.start()
    rig.hand(400)
    del rig.taken[:-WHOLE]
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept < 20_000


def test_only_the_last_messages_are_remembered() -> None:
    """Memory of what was sent is bounded: failures come soon or not at all."""
    rig = Rig(ms=15_000)
    many = REMEMBERED // 2 + WHOLE + 2
    rig.hand(many, step=2)
    rig.refuse(2)
    before = rig.sent
    rig.refuse(4)

    assert 10 + 40 * (many - 1) == before
    assert 40 == before - rig.sent


def test_a_speech_with_failures_in_it_is_not_remembered_whole() -> None:
    """What stands between two that failed is forgotten as anything is."""
    rig = Rig(ms=50_000)
    for behind in range(1, 2 * REMEMBERED, 4):
        rig.hand(4)
        rig.handed.failed(MessageFailed(behind - WHOLE, definite=False, reason="?"), 0)
    before = rig.sent
    rig.refuse(3)
    after = rig.sent
    rig.refuse(2 * REMEMBERED - WHOLE - 2)

    assert before == after
    assert 40 == after - rig.sent
