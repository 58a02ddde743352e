"""eSpeak NG in a process of its own: text on standard input, 24 kHz mono s16le on standard output.

``python -m app.sandbox.espeak`` speaks one text and ends. The library keeps one state for its whole
process, cannot be stopped from outside, and is C: here it can be killed, and takes nothing with it.

Source of the calls and their numbers: ``espeak-ng/speak_lib.h`` of eSpeak NG 1.52.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
import soxr

from app.core.pcm import SAMPLE_RATE

SYNCHRONOUS = 2
"""``AUDIO_OUTPUT_SYNCHRONOUS``: ``espeak_Synth`` returns when all is spoken."""

DO_NOT_EXIT = 0x8000
"""``espeakINITIALIZE_DONT_EXIT``: tell of missing data instead of ending the process."""

UTF8 = 1
"""``espeakCHARS_UTF8``."""

WORDS_A_MINUTE = 165
RATE = 1
"""``espeakRATE``, the parameter."""

LANGUAGE = b"en-us"

LONGEST_S = 120
"""Speech of one text; what comes after is left out."""

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
"""``t_espeak_callback``: samples, how many, and events, which are not looked at."""

MARK = re.compile(r"<emotion\b[^>]*/?>")
"""Tavus's marks for a face's emotions, which are not spoken."""


class CannotSpeak(Exception):
    """The library or its data does not work here."""


def speak(text: str) -> bytes:
    """Return the text as 24 kHz mono s16le. Raises ``CannotSpeak`` and ``OSError``."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(Path(espeakng_loader.get_data_path()).parent).encode()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, data, DO_NOT_EXIT)
    if rate <= 0:
        raise CannotSpeak("espeak-ng does not find its data")
    if library.espeak_SetVoiceByName(LANGUAGE):
        raise CannotSpeak(f"espeak-ng has no voice {LANGUAGE.decode()}")
    library.espeak_SetParameter(RATE, WORDS_A_MINUTE, 0)
    pieces: list[bytes] = []
    left = LONGEST_S * rate

    def take(samples: int | None, count: int, _: Any) -> int:
        """Keep what was spoken; anything but 0 ends it."""
        nonlocal left
        if samples:
            pieces.append(ctypes.string_at(samples, min(count, left) * 2))
            left -= min(count, left)
        return 0 if left else 1

    callback = CALLBACK(take)
    library.espeak_SetSynthCallback(callback)
    spoken = MARK.sub("", text).encode() + b"\0"
    if library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken)), 0, 0, 0, UTF8, None, None):
        raise CannotSpeak("espeak-ng does not speak")
    return _resample(b"".join(pieces), rate)


def _resample(pcm: bytes, rate: int) -> bytes:
    floats = np.frombuffer(pcm, "<i2").astype(np.float32)
    resampled = np.rint(soxr.resample(floats, rate, SAMPLE_RATE))
    rounded: bytes = np.clip(resampled, -32768, 32767).astype("<i2").tobytes()
    return rounded


if __name__ == "__main__":
    sys.stdout.buffer.write(speak(sys.stdin.buffer.read().decode(errors="replace")))
