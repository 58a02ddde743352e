"""A stand-in for daily-python 0.36 with the semantics that were measured on the real one.

It has the part of the surface that our room worker uses, and nothing else. What freezes or aborts
a process on the real SDK ends the process at once here: exit code 97, the reason on stderr and in
the log. Signatures are held against the real ones by ``tests/daily/test_fake_sdk.py``, and the two
answer the same questions in ``tests/daily/test_contract.py``.
"""

from __future__ import annotations

from .audio import CustomAudioSource, CustomAudioTrack
from .client import CallClient
from .events import EventHandler
from .media import AudioData, VideoFrame
from .process import Daily, LogLevel

__all__ = [
    "AudioData",
    "CallClient",
    "CustomAudioSource",
    "CustomAudioTrack",
    "Daily",
    "EventHandler",
    "LogLevel",
    "VideoFrame",
]
