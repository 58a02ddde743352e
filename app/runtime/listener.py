"""Listens to the people in a room and cuts the replica when one of them speaks, as a client may."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.core.barge_in import BargeIn
from app.core.media import Media, Picture
from app.runtime.clock import Clock
from app.runtime.speaker import Speaker

log = logging.getLogger(__name__)


class Listener:
    """One session's."""

    def __init__(
        self,
        clock: Clock,
        speaker: Speaker,
        number_of: Callable[[str], int | None],
        cut: Callable[[], None],
        *,
        user_speech_ms: int,
    ) -> None:
        """Call ``cut`` when somebody has spoken for ``user_speech_ms`` while the replica speaks.

        ``number_of`` tells a participant's number, None for who is not known to be a person.
        """
        self._clock = clock
        self._speaker = speaker
        self._number_of = number_of
        self._cut = cut
        self._barge_in = BargeIn(user_speech_ms)

    def take(self, media: Media) -> None:
        """Take what the room gives."""
        if isinstance(media, Picture) or media.participant_id is None:
            return
        number = self._number_of(media.participant_id)
        if number is None:
            return
        playing = self._speaker.voice.is_active(self._clock.now())
        if self._barge_in.hear(media.participant_id, media, playing=playing):
            log.info("participant %d speaks", number)
            self._cut()
