from __future__ import annotations

import io
import json
import wave

from app.sandbox.log import BLOCK_BYTES, MAX_ENTRIES, Heard, HeardShelf, RoomLog


def read_wav(data: bytes) -> bytes:
    """The samples of a 24 kHz mono s16le WAV file."""
    with wave.open(io.BytesIO(data)) as file:
        assert (1, 2, 24_000) == (file.getnchannels(), file.getsampwidth(), file.getframerate())
        pcm: bytes = file.readframes(file.getnframes())
        return pcm


def test_entries_leave_out_what_is_unknown() -> None:
    """A field that is None is not shown."""
    log = RoomLog()

    log.write(7, "audio", samples=480, epoch=None)

    assert [{"at_ns": 7, "kind": "audio", "samples": 480}] == json.loads(log.json())


def test_a_long_log_forgets_its_beginning_and_says_so() -> None:
    """The first entry then tells how many are missing."""
    log = RoomLog()

    for at in range(MAX_ENTRIES + 3):
        log.write(at, "audio")
    entries = json.loads(log.json())

    assert {"kind": "forgotten", "entries": 3} == entries[0]
    assert {"at_ns": 3, "kind": "audio"} == entries[1]
    assert MAX_ENTRIES + 1 == len(entries)


def test_heard_audio_is_a_wav_file() -> None:
    """All that was written, in order, across blocks."""
    heard = Heard(HeardShelf())
    pcm = bytes(range(256)) * 400

    heard.write(pcm[:2])
    heard.write(pcm[2:])

    assert BLOCK_BYTES < len(pcm)
    assert pcm == read_wav(heard.wav())


def test_the_oldest_audio_of_all_rooms_goes_first() -> None:
    """Rooms share what they may remember."""
    shelf = HeardShelf(limit=3 * BLOCK_BYTES)
    old, new = Heard(shelf), Heard(shelf)

    old.write(bytes(BLOCK_BYTES))
    new.write(b"\x01" * BLOCK_BYTES * 3)

    assert b"" == read_wav(old.wav())
    assert 3 * BLOCK_BYTES == len(read_wav(new.wav()))


def test_a_forgotten_room_makes_space_for_others() -> None:
    """Its blocks count no more."""
    shelf = HeardShelf(limit=2 * BLOCK_BYTES)
    old, new = Heard(shelf), Heard(shelf)

    old.write(bytes(BLOCK_BYTES))
    old.forget()
    new.write(bytes(2 * BLOCK_BYTES))

    assert b"" == read_wav(old.wav())
    assert 2 * BLOCK_BYTES == len(read_wav(new.wav()))
