"""Experiments in the room: what Tavus makes of audio and text that it is sent."""

from __future__ import annotations

from app.core.tavus import ReplicaStarted, ReplicaStopped
from app.doctor.call import Call
from app.doctor.experiment import Experiment, LiveFailed, Result
from app.doctor.sound import hum

START_S = 15.0
"""Longest wait for the first sound of what was sent."""
SILENT_S = 5.0
"""Longest wait for silence after an interrupt."""
AGAIN_S = 4.0
"""So long without a sound is silence for good."""
DONE_S = 30.0

MS = 1_000_000

OURS = "ab-"
"""How the service's own inference ids begin."""

TALE = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve. " * 2
"""Takes about ten seconds to say."""
WORD = "Still here."

ROOM = Experiment(
    "Does everything behind the room's lookup work: joining, signalling, media, app messages?",
    "The service is in the room and the replica listens within a minute.",
    ("Create a session on the echo path and wait until it is ready.",),
)

DONE = Experiment(
    "Does Tavus take `done` the way this service writes it, and play to the end?",
    "A boolean is taken, and all of the audio is played.",
    ("Speak two seconds.", "Compare what Tavus says was played with what was sent."),
    audible=True,
)

IDS = Experiment(
    "Which `inference_id` do speaking events carry, and in which forms do they come?",
    "Either ours or one that Tavus makes; each event in up to three forms.",
    ("Look at the events of the two seconds above.",),
)

QUEUED = Experiment(
    "Does an interrupt drop audio that Tavus holds already under the same id?",
    "Yes: the replica stops within half a second and stays silent.",
    (
        "Hand over six seconds at once.",
        "Interrupt one second into playing.",
        "Listen whether anything comes after the stop.",
    ),
    audible=True,
)

SECOND_ID = Experiment(
    "Does a second `inference_id` queue, or does it cut in?",
    "It queues: the first is played to its end, then the second.",
    (
        "Hand over five seconds at once.",
        "One second into playing send a text echo under another id.",
        "Measure when the first falls silent.",
    ),
    audible=True,
)

DEAD_ID = Experiment(
    "What becomes of an echo under an id that was interrupted?",
    "It is dropped. The service never reuses an id.",
    (
        "Send a long text echo under an id of its own and interrupt it.",
        "Send a short text echo under the same id.",
    ),
    audible=True,
)

TRACK = Experiment(
    "Does pipecat-stream hear a custom track, and do its first writes block?",
    "The replica speaks what comes on `stream`; the first 20 ms go out at once.",
    ("Create a session on the track path with pipecat-stream.", "Speak two seconds."),
    audible=True,
)

PAUSE = Experiment(
    "How soon does the replica speak after a pause on the track?",
    "As soon as at first, whether silence or nothing was sent meanwhile.",
    (
        "Wait three seconds after the speech above, then speak two more.",
        "To compare, repeat with the service's other setting of silence on the track.",
    ),
    audible=True,
)


async def ask_room(call: Call, result: Result) -> str:
    """Carry out ``ROOM``."""
    ready = await call.until_ready()
    result.saw(
        f"room `{call.session['room']}`, ready {_ms(call.opened, ready.at)} ms after joining"
    )
    return "yes"


async def ask_done(call: Call, result: Result, done_as: str) -> str:
    """Carry out ``DONE``; ``done_as`` is the configured way to write it."""
    since = call.now_told
    await call.speak("done", hum(2))
    done = await call.done("done", DONE_S)
    result.saw(
        f"`{done['status']}`, {done['played_ms']} of {done['received_ms']} ms, "
        f"says the {done['source']}; `BRIDGE_ECHO_DONE` is `{done_as}` here"
    )
    result.saw(f"{len(call.speaking(since))} speaking events; latency {done['latency']}")
    if done["source"] != "replica":
        raise LiveFailed("Tavus told nothing of it; try the other BRIDGE_ECHO_DONE")
    whole = done["played_ms"] >= done["received_ms"] - 100
    return f"{'yes' if whole else 'no: the end is missing'}, with `done` as {done_as}"


async def ask_ids(call: Call, result: Result) -> str:
    """Carry out ``IDS`` on what was said so far."""
    told = call.speaking(0)
    if not told:
        raise LiveFailed("there were no speaking events")
    events = [event for _, event in told if isinstance(event, ReplicaStarted | ReplicaStopped)]
    ids = {event.inference_id for event in events}
    stops = [event for event in events if isinstance(event, ReplicaStopped)]
    durations = "with" if any(stop.duration_samples is not None for stop in stops) else "without"
    forms = sorted({event.form for event in events})
    texts = sum(isinstance(raw, str) for raw, _ in told)
    result.saw(f"ids {sorted(str(i) for i in ids)}; forms {forms}")
    result.saw(f"stops came {durations} a duration; {texts} of {len(told)} events were JSON text")
    if ids == {None}:
        return "none"
    if all(i is not None and i.startswith(OURS) for i in ids):
        return f"ours, {durations} a duration"
    return f"ids that Tavus makes, {durations} a duration"


async def ask_queued(call: Call, result: Result) -> str:
    """Carry out ``QUEUED``."""
    since = call.now_told
    await call.speak("queued", hum(6))
    await _started(call, since)
    await call.rest(1)
    since = call.now_told
    asked = await call.interrupt()
    stopped = await call.until_stopped(SILENT_S, since=since)
    if stopped is None:
        raise LiveFailed("Tavus does not say that it stopped: ask your ears")
    result.saw(f"silent {_ms(asked, stopped.at)} ms after the interrupt")
    again = await _again(call, stopped.number)
    result.saw("it spoke again" if again else f"nothing more within {AGAIN_S:g} s")
    return "no: what was queued is played" if again else "yes: what was queued is dropped"


async def ask_second_id(call: Call, result: Result) -> str:
    """Carry out ``SECOND_ID``."""
    since = call.now_told
    await call.speak("first", hum(5))
    started_at = await _started(call, since)
    await call.rest(1)
    since = call.now_told
    await call.say("doctor-second", WORD)
    stopped = await call.until_stopped(START_S, since=since)
    if stopped is None:
        raise LiveFailed("Tavus did not say when the first fell silent")
    lasted_ms = _ms(started_at, stopped.at)
    second = await call.until_started(START_S, since=stopped.number)
    result.saw(f"the first, 5000 ms long, was heard for {lasted_ms} ms")
    result.saw(f"the second was {'heard' if second else 'never heard'}")
    await call.done("first", DONE_S)
    if second is not None:
        await call.until_stopped(START_S, since=second.number)
    if lasted_ms < 4500:
        return "it cuts in"
    return "it queues" if second is not None else "it is lost"


async def ask_dead_id(call: Call, result: Result) -> str:
    """Carry out ``DEAD_ID``."""
    since = call.now_told
    await call.say("doctor-dead", TALE)
    await _started(call, since)
    since = call.now_told
    await call.interrupt()
    stopped = await call.until_stopped(SILENT_S, since=since)
    if stopped is None:
        raise LiveFailed(f"no stop was told within {SILENT_S:g} s of the interrupt")
    since = call.now_told
    await call.say("doctor-dead", WORD)
    spoken = await call.until_started(START_S / 2, since=since)
    result.saw(f"the second echo was {'heard' if spoken else 'not heard'}")
    return "it is played" if spoken else "it is dropped"


async def ask_track(call: Call, result: Result) -> str:
    """Carry out ``TRACK``."""
    return f"yes, after {await _heard_after_ms(call, result, 'track')} ms"


async def ask_pause(call: Call, result: Result) -> str:
    """Carry out ``PAUSE``."""
    await call.rest(3)
    return f"after {await _heard_after_ms(call, result, 'pause')} ms"


async def _heard_after_ms(call: Call, result: Result, utterance_id: str) -> int:
    """Speak and return how soon it was heard. Raises LiveFailed when it was not."""
    since = call.now_told
    await call.speak(utterance_id, hum(2))
    done = await call.done(utterance_id, DONE_S)
    latency = done["latency"]
    result.saw(
        f"first sent after {latency['first_sent_ms']} ms, "
        f"played after {latency['started_ms']} ms, says the {done['source']}"
    )
    result.saw(f"`{done['status']}`, {done['played_ms']} of {done['received_ms']} ms")
    started_ms: int | None = latency["started_ms"]
    if started_ms is None or not call.speaking(since):
        raise LiveFailed("the replica never said that it spoke")
    return started_ms


async def _started(call: Call, since: int) -> int:
    """Wait for the first sound. Raises LiveFailed."""
    started = await call.until_started(START_S, since=since)
    if started is None:
        raise LiveFailed(f"Tavus did not say within {START_S:g} s that the replica spoke")
    return started.at


async def _again(call: Call, since: int) -> bool:
    """Whether the replica speaks once more."""
    return await call.until_started(AGAIN_S, since=since) is not None


def _ms(start: int, end: int) -> int:
    return (end - start) // MS
