"""Who in the room speaks while the replica does, and so cuts it.

The voice is told from noise by earshot, a small neural network: 8 KiB a person, and with the
resampling 25 µs for 20 ms, little enough for the event loop. Compared on voices, hum, noise, music
and the clicks of keys: WebRTC's detector takes most of these for voices. Silero's and micro VAD do
not take music for voices either, as earshot does, but need ten to sixty times as long. TEN VAD's
licence forbids what competes with its maker.

What the avatar says comes back from people's loudspeakers only as far as their own client lets it:
Daily's cancels it, as browsers do.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from earshot import Detector

from app.core.hearing import GAP_US, Hearing
from app.core.media import Sound
from app.core.spoken_turn import FRAME_MS, PAUSE_FRAMES, SpokenTurn

RATE = 16_000
"""Hertz; earshot knows no other."""

FRAME = RATE * FRAME_MS // 1000
"""Samples that earshot takes at a time."""

MAX_PEOPLE = 64
"""People who are listened to; the one unheard for longest goes."""


class BargeIn:
    """One room's people."""

    def __init__(self, need_ms: int) -> None:
        """Hear nobody yet; ``need_ms`` of voice are enough."""
        self._need_ms = need_ms
        self._people: OrderedDict[str, _Person] = OrderedDict()

    def hear(self, participant_id: str, sound: Sound, *, playing: bool) -> bool:
        """Take the next piece of what a person says; returns whether to cut what is ``playing``."""
        person = self._people.get(participant_id)
        if person is None:
            person = self._people[participant_id] = _Person(self._need_ms)
        self._people.move_to_end(participant_id)
        if len(self._people) > MAX_PEOPLE:
            self._people.popitem(last=False)
        return person.hear(sound, playing=playing)


class _Person:
    def __init__(self, need_ms: int) -> None:
        self._turn = SpokenTurn(need_ms)
        self._hearing = Hearing(RATE)
        self._detector = Detector()
        self._held = np.empty(0, np.int16)
        """Less than a frame."""
        self._ended_us: int | None = None
        """When the last piece ended; None before the first."""

    def hear(self, sound: Sound, *, playing: bool) -> bool:
        self._notice_gap(sound)
        heard = self._hearing.hear(sound)
        if heard is None:
            return False
        samples = np.concatenate((self._held, np.frombuffer(heard.pcm, "<i2")))
        whole = len(samples) // FRAME * FRAME
        self._held = samples[whole:]
        cuts = False
        for frame in samples[:whole].reshape(-1, FRAME):
            cuts = self._turn.hear(self._detector.predict_i16(frame), playing=playing) or cuts
        return cuts

    def _notice_gap(self, sound: Sound) -> None:
        """A microphone that was off says nothing, not even silence."""
        length_us = len(sound.pcm) // 2 * 1_000_000 // sound.sample_rate
        ended_us, self._ended_us = self._ended_us, sound.captured_us + length_us
        gap_us = 0 if ended_us is None else sound.captured_us - ended_us
        if abs(gap_us) > GAP_US:
            self._held = self._held[:0]
            self._detector.reset()
        if gap_us > PAUSE_FRAMES * FRAME_MS * 1000:
            self._turn.pause()
