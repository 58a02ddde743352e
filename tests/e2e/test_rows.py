"""Utterances in a row, and the ways in which a TTS delivers them."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

from app.core.pcm import SAMPLE_RATE, AudioFormat, Encoding, ms_to_samples, samples_to_ms
from tests.support.hearing import Diary, assert_heard, assert_smooth, find, silences_ms
from tests.support.processes import together
from tests.support.service import Client, Service, Stream
from tests.support.speech import Heard, encode, expected, speech, tone

PATHS = ("echo", "track")
PRESETS = ("friendly", "hostile")
EVERY_WAY = tuple(itertools.product(PRESETS, PATHS))

FORMAT = AudioFormat(Encoding.S16LE, 16_000, 1)
QUERY = "?sample_rate=16000"

TENS = ("", "twenty ", "thirty ", "forty ")
NUMBERS = [f"{ten}{one}" for ten in TENS for one in ("one", "two", "three", "four", "five")]

LEAD_MS = 1500
"""The default of ``lead_ms``."""

CHUNK_MS = 40
"""The most that one message of ``echo`` carries."""


async def session_with(client: Client, preset: str, path: str, **faults: Any) -> dict[str, Any]:
    """Create a session under a preset of the sandbox."""
    await client.faults(next={"preset": preset, "replica_join_ms": 100, **faults})
    return await client.create_session(audio_path=path)


async def every_way(client: Client) -> list[dict[str, Any]]:
    """One session for each preset and path."""
    # One after the other: the faults of the next conversation are the next one's.
    return [await session_with(client, *way) for way in EVERY_WAY]


async def utter(stream: Stream, *data: bytes) -> None:
    """Send utterances in a row."""
    for number, part in enumerate(data):
        await stream.send({"type": "utterance.start", "id": f"{number}"})
        await stream.send(part)
    await stream.send({"type": "utterance.end"})


def assert_all_played(stream: Stream, wanted: Sequence[Heard]) -> None:
    """Each utterance was told once, in order, as played to its last sample."""
    lengths = [samples_to_ms(len(part)) for part in wanted]
    done = stream.all("utterance.done")
    opened = [message["utterance_id"] for message in stream.all("utterance.opened")]

    assert list(range(1, len(wanted) + 1)) == [message["number"] for message in done]
    assert opened == [message["utterance_id"] for message in done]
    assert {"played"} == {message["status"] for message in done}
    for field in ("received_ms", "sent_ms", "played_ms"):
        assert lengths == [message[field] for message in done]
    heard = [n for n, part in enumerate(wanted, 1) if len(part)]
    assert heard == [message["number"] for message in stream.all("utterance.started")]


async def test_twenty_utterances_in_a_row(service: Service, client: Client) -> None:
    """All are heard whole and in order, with no silence to speak of when the next one waited."""
    data = [encode(speech(word, 16_000, ms=200), FORMAT.encoding) for word in NUMBERS]
    wanted = [expected(part, FORMAT) for part in data]

    async def check(session: dict[str, Any]) -> None:
        diary = Diary(service, FORMAT)
        async with client.connect(session, QUERY) as stream:
            await utter(stream, *data)
            diary.sent(b"".join(data))
            await stream.wait_for("utterance.done", nth=len(data))

        assert_all_played(stream, wanted)
        await assert_heard(client, session, wanted)
        await assert_smooth(client, session, diary)
        log = await client.log(session["conversation_id"])
        heard = await client.heard(session["conversation_id"])
        longest = max(silences_ms(log, find(heard, wanted), wanted))
        assert 60 >= longest or diary.excuses(longest - 60)

    await together(*(check(session) for session in await every_way(client)))


@pytest.mark.parametrize("path", PATHS)
async def test_a_reply_as_short_utterances(client: Client, path: str) -> None:
    """1 to 30 utterances of 5 to 200 ms, some of them empty, are one reply to the ear."""

    async def check(count: int, session: dict[str, Any]) -> None:
        dice = random.Random(count)
        lengths = [dice.choice((0, 5, 20, 43, 100, 200)) for _ in range(count)]
        data = [
            encode(tone(300 + 50 * number, ms, 16_000), FORMAT.encoding)
            for number, ms in enumerate(lengths)
        ]
        wanted = [expected(part, FORMAT) for part in data]
        async with client.connect(session, QUERY) as stream:
            await utter(stream, *data)
            await stream.wait_for("utterance.done", nth=count)

        assert_all_played(stream, wanted)
        await assert_heard(client, session, wanted)

    counts = (1, 2, 3, 7, 30)
    sessions = [
        (count, await session_with(client, preset, path)) for count in counts for preset in PRESETS
    ]
    await together(*(check(*counted) for counted in sessions))


async def test_an_utterance_that_comes_late(client: Client) -> None:
    """One that comes while its predecessor still sounds, or after it, cuts nothing off."""
    words = [speech(word, 16_000, ms=600) for word in ("Hello there", "my friend", "goodbye")]
    data = [encode(word, FORMAT.encoding) for word in words]
    wanted = [expected(part, FORMAT) for part in data]

    async def check(session: dict[str, Any]) -> None:
        async with client.connect(session, QUERY) as stream:
            await utter(stream, data[0])
            # All of it is handed over by now, and its end was told.
            await stream.wait_for("replica.started_speaking")
            await utter(stream, data[1])
            await stream.wait_for("utterance.done", nth=2)
            await utter(stream, data[2])
            await stream.wait_for("utterance.done", nth=3)

        assert_all_played(stream, wanted)
        await assert_heard(client, session, wanted)

    await together(*(check(session) for session in await every_way(client)))


async def test_a_tts_slower_than_speech(client: Client) -> None:
    """Pauses inside a word, of 2 s too, cost time and not a sample; it stays one utterance."""
    data = encode(speech("Supercalifragilistic", 16_000, ms=900), FORMAT.encoding)
    wanted = [expected(data, FORMAT)]

    async def check(session: dict[str, Any]) -> None:
        async with client.connect(session, QUERY) as stream:
            await stream.send({"type": "utterance.start"})
            await stream.send(data[:8001])
            await stream.wait_for("utterance.started")
            await asyncio.sleep(2)
            for start in range(8001, len(data), 1600):
                await stream.send(data[start : start + 1600])
                await asyncio.sleep(0.1)
            await stream.send({"type": "utterance.end"})
            await stream.wait_for("utterance.done")

        assert_all_played(stream, wanted)
        await assert_heard(client, session, wanted)

    await together(*(check(session) for session in await every_way(client)))


async def test_a_whole_reply_in_one_burst(service: Service, client: Client) -> None:
    """A minute that comes at once is handed over ``lead_ms`` ahead of real time, and no more."""
    data = encode(tone(300, 60_000, 16_000), FORMAT.encoding)
    session = await client.create_session(wait=True)
    diary = Diary(service, FORMAT)
    async with client.connect(session, QUERY) as stream:
        await stream.send({"type": "utterance.start", "utterance_id": "minute"})
        await stream.send(data)
        diary.sent(data)
        await stream.send({"type": "utterance.end"})
        await stream.wait_for("utterance.started")
        await asyncio.sleep(2)
        cut = await client.interrupt(session["id"], utterance_id="minute")
        done = await stream.wait_for("utterance.done", status="interrupted")
        await stream.wait_for("flow.resume")

    assert 1 == len(stream.all("flow.pause"))
    assert (60_000, 60_000) == (done["received_ms"], cut["utterances"][0]["received_ms"])
    assert done["sent_ms"] + done["dropped_ms"] == done["received_ms"]
    log = await client.log(session["conversation_id"])
    audio = [entry for entry in log if entry["kind"] == "audio"]
    assert done["sent_ms"] == samples_to_ms(sum(entry["samples"] for entry in audio))
    handed = 0
    for entry in audio:
        handed += entry["samples"]
        since_ms = (entry["at_ns"] - audio[0]["at_ns"]) / 1_000_000
        assert samples_to_ms(handed) <= since_ms + LEAD_MS + CHUNK_MS
    assert done["sent_ms"] >= 2000 + LEAD_MS - CHUNK_MS or diary.excuses(0)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", PATHS)
async def test_ten_minutes_without_a_break(service: Service, client: Client, path: str) -> None:
    """A speech of ten minutes, sent 2 s ahead of real time, is heard without a gap."""
    minutes = float(os.environ.get("SOAK_MINUTES", "10"))
    second = encode(tone(250, 1000, 16_000), FORMAT.encoding)
    count = int(minutes * 60)
    session = await client.create_session(wait=True, audio_path=path)
    diary = Diary(service, FORMAT)
    loop = asyncio.get_running_loop()
    async with client.connect(session, QUERY) as stream:
        await stream.send({"type": "utterance.start"})
        began = loop.time()
        for number in range(count):
            await asyncio.sleep(began + number - 2 - loop.time())
            await stream.send(second)
            diary.sent(second)
        await stream.send({"type": "utterance.end"})
        done = await stream.wait_for("utterance.done")

    assert "played" == done["status"]
    assert count * 1000 == done["played_ms"]
    await assert_heard(client, session, [expected(second * count, FORMAT)])
    await assert_smooth(client, session, diary)
    assert count * SAMPLE_RATE == ms_to_samples(done["received_ms"])
