from __future__ import annotations

from tests.support.client import Client
from tests.support.world import MS, S, World


async def test_acks_come_at_least_every_200_ms() -> None:
    """The first audio at once, then by the packet after 170 ms, or without one after 190."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        for _ in range(10):
            await client.send()
            await world.clock.run(20 * MS)
        await client.send()
        await world.clock.run(169 * MS)
        early = len(client.of("audio.ack"))
        await world.clock.run(1 * MS)
        acks = client.of("audio.ack")
        await client.send()
        await client.say("utterance.end")

        assert 2 == early
        assert [1, 10, 11] == [ack["received"] for ack in acks]
        assert [4800, 48_000, 52_800] == [ack["accepted_bytes"] for ack in acks]
        assert 13 == client.of("audio.ack")[-1]["received"]


async def test_ack_of_an_utterance_comes_before_the_next_one() -> None:
    """A start that closes the open utterance acknowledges that one's audio first."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("utterance.start", utterance_id="a")
        await client.send()
        await client.send()
        await client.say("utterance.start", utterance_id="b")
        types = [m["type"] for m in client.told if m["type"] in {"audio.ack", "utterance.opened"}]

    assert ["utterance.opened", "audio.ack", "audio.ack", "utterance.opened"] == types
    assert 9600 == client.of("audio.ack")[1]["accepted_bytes"]


async def test_what_is_no_audio_brings_no_ack() -> None:
    """A ping is answered by its pong alone; it counts as handled all the same."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.send()
        await world.clock.run(1 * S)
        before = len(client.of("audio.ack"))
        await client.say("ping", ts=5, id="p")
        await client.say("session.keepalive")

        assert before == len(client.of("audio.ack"))
        assert {"ts": 5, "id": "p"} == {k: client.of("pong")[0][k] for k in ("ts", "id")}
        assert 3 == session.runner.speaker.producer.received


async def test_errors_come_in_the_order_of_their_causes() -> None:
    """A refused start first closes the open utterance: what that tells comes before the refusal."""
    world = World()
    async with world.session() as session:
        client = await Client.connect(world, session)
        await client.say("utterance.start", utterance_id="a")
        await client.send(b"odd")
        await client.say("utterance.start", utterance_id="a")

        assert ["partial_sample", "utterance_id_in_use"] == client.codes()
