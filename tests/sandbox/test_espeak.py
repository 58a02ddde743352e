from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from app.sandbox.espeak import CannotSpeak, speak
from app.sandbox.voice import COMMAND
from tests.support.service import clean_environment


def spoken(text: str) -> NDArray[np.int16]:
    """The samples that the command makes of a text."""
    done = subprocess.run(
        COMMAND, input=text.encode(), capture_output=True, check=True, env=clean_environment()
    )
    return np.frombuffer(done.stdout, "<i2")


def test_a_text_becomes_speech() -> None:
    """About as long as a person takes for it, and loud enough to hear."""
    speech = spoken("One, two, three, four, five, six, seven, eight, nine, ten.")

    assert 2 < len(speech) / 24_000 < 8
    assert 1000 < np.abs(speech.astype(int)).max()


def test_emotion_marks_are_not_spoken() -> None:
    """Tavus takes them out of the text too."""
    assert len(spoken("Hello.")) == len(spoken('<emotion value="excited"/>Hello.'))


def test_a_text_has_an_end() -> None:
    """A book is cut, not spoken for an hour."""
    assert 120 == pytest.approx(len(spoken("word " * 2000)) / 24_000, abs=0.1)


def test_a_library_without_its_data_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is told of, not crashed on."""
    assert sys.executable == COMMAND[0]
    monkeypatch.setattr("espeakng_loader.get_data_path", lambda: "/nowhere/espeak-ng-data")

    with pytest.raises(CannotSpeak, match="data"):
        speak("Hello.")
