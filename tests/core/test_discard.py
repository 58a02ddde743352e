from __future__ import annotations

from app.core.discard import Discard
from app.core.pcm import AudioFormat
from app.core.utterances import Utterance
from app.core.wire_out import AudioDiscarded


def test_a_burst() -> None:
    """One message with all of it, for the reason that holds, and then nothing."""
    discard = Discard()
    discard.because("interrupted", Utterance(1, "a", AudioFormat(), implicit=True, opened_at=0))
    discard.add(24)
    discard.add(36)

    assert discard.waits
    assert AudioDiscarded(2, "interrupted", "a") == discard.end()
    assert None is discard.end()
    assert not discard.waits


def test_nobodys_audio() -> None:
    """Without an utterance none is named."""
    discard = Discard()
    discard.add(2400)

    assert AudioDiscarded(100, "no_utterance", None) == discard.end()


def test_being_muted() -> None:
    """A pause is waited for even before anything came; the next reason unmutes."""
    discard = Discard()
    discard.because("refused", muted=True)

    assert (True, True) == (discard.muted, discard.waits)

    discard.because("no_utterance")

    assert (False, False) == (discard.muted, discard.waits)
