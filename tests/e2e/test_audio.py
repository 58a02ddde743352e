"""What a client sends is what the replica plays, sample for sample."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from app.core.pcm import SAMPLE_RATE, AudioFormat, Encoding
from tests.support.audio import pieces, wav
from tests.support.hearing import Diary, assert_heard, assert_smooth
from tests.support.processes import together
from tests.support.service import Client, Service, Stream
from tests.support.speech import Heard, encode, expected, slices, speech, tone

PATHS = ("echo", "track")
TEXTS = (
    "Good morning, this is a test.",
    "Six thick thistle sticks.",
    "Please hold the line a moment.",
    "Which wristwatches are Swiss?",
)

FACTORS: dict[str, tuple[Any, ...]] = {
    "encoding": tuple(encoding for encoding in Encoding if encoding is not Encoding.WAV),
    "rate": (8_000, 16_000, 22_050, 48_000),
    "channels": (1, 2),
    "slicing": ("20ms", "100ms", "odd", "whole"),
    "path": PATHS,
    "transport": ("binary", "base64"),
}


@dataclass(frozen=True)
class Case:
    """One way to say something."""

    encoding: Encoding
    rate: int
    channels: int
    slicing: str
    path: str
    transport: str

    @property
    def format(self) -> AudioFormat:
        """What the client declares."""
        return AudioFormat(self.encoding, self.rate, self.channels)

    def pairs(self) -> set[tuple[tuple[str, Any], ...]]:
        """Every two choices that this case tries together."""
        return set(itertools.combinations(vars(self).items(), 2))


def pairwise() -> Iterator[Case]:
    """Every encoding at every rate, the rest chosen so that new pairs are tried each time."""
    encodings, rates, *others = FACTORS.values()
    tried: set[tuple[tuple[str, Any], ...]] = set()
    for rate, encoding in itertools.product(rates, encodings):
        choices = (Case(encoding, rate, *rest) for rest in itertools.product(*others))
        best = max(choices, key=lambda case: len(case.pairs() - tried))
        tried |= best.pairs()
        yield best


CASES = tuple(pairwise())


def test_that_every_two_choices_are_tried_together() -> None:
    """The cases below are few, but no two choices are left untried in one of them."""
    every = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(FACTORS, 2)
        for a in FACTORS[one]
        for b in FACTORS[other]
    }

    assert set() == every - set().union(*(case.pairs() for case in CASES))


async def test_every_format_is_heard_whole(service: Service, client: Client) -> None:
    """Speech in any format, cut in any way, plays as one float32 resampling of it would."""
    await together(*(say_case(service, client, *numbered) for numbered in enumerate(CASES)))


async def say_case(service: Service, client: Client, number: int, case: Case) -> None:
    """Say one case and hold what was heard, and the room's log, against it."""
    text = TEXTS[number % len(TEXTS)]
    signal = speech(text, case.rate, channels=case.channels, ms=1200)
    if number % 4 == 3:  # every fourth case says a tone: its edges are loud
        signal = tone(997, 700, case.rate, channels=case.channels)
    data = encode(signal, case.encoding)
    session = await client.create_session(audio_path=case.path)
    async with client.connect(session, query(case.format)) as stream:
        await stream.send({"type": "utterance.start", "utterance_id": "only"})
        diary = Diary(service, case.format)
        for piece in slices(data, case.slicing, case.format):
            await stream.send(append(piece) if case.transport == "base64" else piece)
            diary.sent(piece)
        await stream.send({"type": "utterance.end"})
        done = await stream.wait_for("utterance.done")

    wanted = expected(data, case.format)
    await assert_heard(client, session, [wanted])
    await assert_smooth(client, session, diary)
    length_ms = len(wanted) * 1000 // SAMPLE_RATE
    log = await client.log(session["conversation_id"])
    assert ("played", 0) == (done["status"], done["dropped_ms"])
    assert (length_ms, length_ms) == (done["received_ms"], done["sent_ms"]), f"{case}: {done}"
    # A replica that a busy machine let run dry stops in the middle; that may pass for the end.
    if not any(entry["kind"] == "underrun" for entry in log):
        assert length_ms == done["played_ms"], f"{case}: {done}"


@pytest.mark.parametrize("path", PATHS)
async def test_a_word_of_100_ms_on_the_telephone(client: Client, path: str) -> None:
    """A word as long as the replica's own pre-buffer is heard from its first to last sample."""
    fmt = AudioFormat(Encoding.MULAW, 8_000, 1)
    data = encode(speech("Yes.", 8_000, ms=100), Encoding.MULAW)
    session, _ = await say(client, path, query(fmt), slices(data, "20ms", fmt))

    assert 800 == len(data)
    await assert_heard(client, session, [expected(data, fmt)])


@pytest.mark.parametrize("path", PATHS)
async def test_24_khz_is_not_touched(client: Client, path: str) -> None:
    """Speech that needs no change arrives bit for bit."""
    pcm = encode(speech("Bit for bit.", SAMPLE_RATE, ms=600), Encoding.S16LE)
    session, _ = await say(client, path, "", slices(pcm, "odd", AudioFormat()))

    heard = await client.heard(session["conversation_id"])
    assert pcm == heard.tobytes()[: len(pcm)]
    assert not heard[len(pcm) // 2 :].any()


UNKNOWN_SIZE = 0xFFFFFFFF


async def test_wav_streams(client: Client) -> None:
    """WAV headers set the format and are never heard, wherever the stream is cut."""
    one, other = AudioFormat(Encoding.S16LE, 22_050, 1), AudioFormat(Encoding.MULAW, 8_000, 2)
    first = encode(speech("First file.", 22_050, ms=400), one.encoding)
    second = encode(speech("Second file.", 8_000, channels=2, ms=400), other.encoding)
    both = [expected(first, one), expected(second, other)]
    in_a_row = wav(one, first) + wav(other, second)
    cases: list[tuple[str, Iterable[bytes], list[Heard]]] = [
        ("?encoding=wav", pieces(wav(one, first), [1] * 60), both[:1]),
        ("?encoding=wav", pieces(wav(one, first, UNKNOWN_SIZE), [7, 30, 9, 501]), both[:1]),
        ("?encoding=wav", pieces(wav(other, second, 0), [44]), both[1:]),
        ("?encoding=wav", pieces(in_a_row, [1000] * 100), [np.concatenate(both)]),
        ("?encoding=wav", [in_a_row], [np.concatenate(both)]),
        ("", pieces(wav(one, first), [20, 20, 20]), both[:1]),
        (query(one), pieces(wav(one, first), [44]), both[:1]),
    ]

    async def check(address: str, parts: Iterable[bytes], wanted: list[Heard]) -> None:
        session, _ = await say(client, "echo", address, parts)
        await assert_heard(client, session, wanted)

    await together(*(check(*case) for case in cases))


@pytest.mark.parametrize("path", PATHS)
async def test_the_format_changes_between_utterances(client: Client, path: str) -> None:
    """A format given with an utterance holds until another is given."""
    wide, narrow = AudioFormat(Encoding.F32LE, 44_100, 2), AudioFormat(Encoding.ALAW, 8_000, 1)
    words = [
        (wide, encode(speech("One.", 44_100, channels=2, ms=300), wide.encoding)),
        (narrow, encode(speech("Two.", 8_000, ms=300), narrow.encoding)),
        (narrow, encode(tone(440, 130, 8_000), narrow.encoding)),
    ]
    session = await client.create_session(audio_path=path)
    async with client.connect(session) as stream:
        before = None
        for fmt, data in words:
            told = {} if fmt == before else {"format": shown(fmt)}
            before = fmt
            await stream.send({"type": "utterance.start", **told})
            await stream.send(data)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("utterance.done", nth=len(words))

    opened = stream.all("utterance.opened")
    assert [shown(fmt) for fmt, _ in words] == [message["format"] for message in opened]
    await assert_heard(client, session, [expected(data, fmt) for fmt, data in words])


@pytest.mark.parametrize("path", PATHS)
async def test_a_tts_that_keeps_just_ahead(service: Service, client: Client, path: str) -> None:
    """Packets in real time, 400 ms ahead, never let the replica run dry."""
    pcm = encode(speech("A voice that is made while it is heard.", 16_000, ms=1600), Encoding.S16LE)
    fmt = AudioFormat(Encoding.S16LE, 16_000, 1)
    packets = list(slices(pcm, "20ms", fmt))
    session = await client.create_session(wait=True, audio_path=path)
    diary = Diary(service, fmt)
    async with client.connect(session, query(fmt)) as stream:
        began = time.monotonic()
        for number, packet in enumerate(packets):
            await asyncio.sleep(began + 0.02 * (number - 20) - time.monotonic())
            await stream.send(packet)
            diary.sent(packet)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("utterance.done", status="played")

    await assert_heard(client, session, [expected(pcm, fmt)])
    await assert_smooth(client, session, diary)


# --- saying and hearing -----------------------------------------------------------------------


def query(fmt: AudioFormat) -> str:
    """The address's query that declares a format."""
    return f"?encoding={fmt.encoding}&sample_rate={fmt.sample_rate}&channels={fmt.channels}"


def shown(fmt: AudioFormat) -> dict[str, Any]:
    """A format as messages have it."""
    return {
        "encoding": fmt.encoding.value,
        "sample_rate": fmt.sample_rate,
        "channels": fmt.channels,
    }


def append(piece: bytes) -> dict[str, Any]:
    """Write audio down as text."""
    return {"type": "audio.append", "audio": base64.b64encode(piece).decode()}


async def say(
    client: Client, path: str, address: str, parts: Iterable[bytes]
) -> tuple[dict[str, Any], Stream]:
    """Say one utterance as a client does that knows nothing of the protocol but its end."""
    session = await client.create_session(audio_path=path)
    async with client.connect(session, address) as stream:
        for part in parts:
            await stream.send(part)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("utterance.done", status="played")
    return session, stream
