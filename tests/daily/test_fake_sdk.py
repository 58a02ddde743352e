"""The fake SDK is one that can be believed: its shape, its rooms, its faults, its bad ends."""

from __future__ import annotations

import base64
import inspect
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import daily as real
import httpx
import pytest

from tests.support.daily_cloud import FakeCloud
from tests.support.daily_sdk import daily as fake
from tests.support.daily_trial import trial
from tests.support.daily_visit import Visit
from tests.support.sandbox_process import SandboxProcess

FATAL = 97
CLOSED = "AppMessage(Signalling(ChannelNotOpen))"
URL = "https://x.daily.co/room"
NOBODY = "6f1f1b9e-2d4f-4ab7-b9ef-0d4ff2a4e6f1"

MEMBERS = [
    (kind, name)
    for kind in fake.__all__
    for name in vars(getattr(fake, kind))
    if not name.startswith("_")
]


@pytest.fixture(name="cloud")
def _cloud(tmp_path: Path) -> FakeCloud:
    return FakeCloud(tmp_path)


@pytest.fixture(name="visit")
def _visit(tmp_path: Path, cloud: FakeCloud) -> Iterator[Visit]:
    """Somebody at the door of a room in which nobody is."""
    with Visit(tmp_path, cloud) as visit:
        yield visit


# --- its shape


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_members_are_those_of_the_real_one(kind: str, name: str) -> None:
    """Whatever the fake has, the real one has, with the same parameters and defaults."""
    ours, theirs = getattr(getattr(fake, kind), name), getattr(getattr(real, kind), name)

    if callable(ours) and not isinstance(ours, fake.LogLevel):
        assert _parameters(theirs) == _parameters(ours)


@pytest.mark.parametrize("kind", ["CallClient", "CustomAudioSource", "CustomAudioTrack"])
def test_makers_are_those_of_the_real_one(kind: str) -> None:
    """Objects are made with the same parameters and defaults."""
    assert _parameters(getattr(real, kind)) == _parameters(getattr(fake, kind))


def test_every_callback_is_there() -> None:
    """A handler of the fake has every method that the real SDK may call, and no other."""
    assert _callbacks(real.EventHandler) == _callbacks(fake.EventHandler)


def _parameters(function: Any) -> list[tuple[str, Any]]:
    found = inspect.signature(function).parameters.values()
    return [
        (parameter.name, "..." if parameter.name == "log_level" else parameter.default)
        for parameter in found
    ]


def _callbacks(handler: type) -> set[str]:
    return {name for name in vars(handler) if name.startswith("on_")}


# --- a sandbox's rooms


@pytest.fixture(scope="module", name="sandbox")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        yield f"{process.base_url}/sandbox"


def _conversation(sandbox: str, **faults: Any) -> str:
    """Have one made; returns its id."""
    coming = {"next": {"replica_join_ms": 0, **faults}}
    with httpx.Client(headers={"x-api-key": "any"}, trust_env=False) as http:
        http.put(f"{sandbox}/faults", json=coming).raise_for_status()
        body = {"persona_id": "pipecat-stream", "replica_id": "r79e1c033f"}
        made = http.post(f"{sandbox}/v2/conversations", json=body).raise_for_status().json()
    conversation_id: str = made["conversation_id"]
    return conversation_id


def test_a_sandbox_replica_hears_both_paths(tmp_path: Path, sandbox: str) -> None:
    """What is echoed and what the track plays sounds there; its words come back as messages."""
    cloud = FakeCloud(tmp_path, sandbox=sandbox)
    room = _conversation(sandbox)
    audio = base64.b64encode(bytes(range(240)) * 40).decode()
    properties = {"modality": "audio", "audio": audio, "sample_rate": 24_000, "done": True}
    echo = {"message_type": "conversation", "event_type": "conversation.echo"}

    with Visit(tmp_path, cloud) as visit:
        visit.ask("set_user_name", "Bridge")
        session, error = visit.call("join", f"https://x.daily.co/{room}")
        assert error is None
        people = {who["info"]["userId"] for who in session["participants"].values()}
        assert {"", "tavus-replica-r79e1c033f"} == people
        assert "Bridge" == session["participants"]["local"]["info"]["userName"]

        visit.call("add_custom_audio_track")
        visit.call("play", 10)
        visit.wait(lambda: _played(sandbox, room) == 10 * 480)  # a busy machine may tear it apart
        refused = {**echo, "properties": {**properties, "audio": audio}}
        assert ["AppMessage('the message is larger than 4096 bytes')"] == visit.call(
            "send_app_message", refused
        )
        small = {**echo, "properties": {**properties, "audio": audio[:2560], "inference_id": "u1"}}
        assert [None] == visit.call("send_app_message", small)
        visit.wait(lambda: _played(sandbox, room) == 10 * 480 + 960)
        visit.events("on_app_message", count=2, event_type="conversation.replica.stopped_speaking")
        assert [None] == visit.call("leave")
        assert 0 == visit.leave()

    assert [] == cloud.log("fatal")
    assert bytes(range(240)) * 40 == cloud.heard(room)


def _played(sandbox: str, room: str) -> int:
    """Samples that sounded there."""
    log = httpx.get(f"{sandbox}/rooms/{room}/log", trust_env=False).json()
    return sum(entry["samples"] for entry in log if entry["kind"] == "played")


def test_a_sandbox_can_refuse_and_end(tmp_path: Path, sandbox: str) -> None:
    """A room that is not there cannot be joined; one that is ended puts its people out."""
    cloud = FakeCloud(tmp_path, sandbox=sandbox)
    room = _conversation(sandbox)

    with Visit(tmp_path, cloud) as visit:
        assert [None, "Connection(Api(RoomLookup(RoomInfoError(NoLongerAvailable))))"] == (
            visit.call("join", "https://x.daily.co/c0")
        )
        assert [None] == visit.call("join", f"https://x.daily.co/{room}")[1:]
        end = f"{sandbox}/v2/conversations/{room}/end"
        httpx.post(end, headers={"x-api-key": "any"}, trust_env=False).raise_for_status()
        states = [event["args"][0] for event in visit.events("on_call_state_updated", 6)]
        assert ["leaving", "left", "joining", "joined", "leaving", "left"] == states
        assert [CLOSED] == visit.call("send_app_message", {})
        assert 0 == visit.leave()


def test_a_sandbox_can_lose_the_link(tmp_path: Path, sandbox: str) -> None:
    """While its signalling is interrupted a client is told so, and no message goes."""
    cloud = FakeCloud(tmp_path, sandbox=sandbox)
    room = _conversation(sandbox, link_lost_after_ms=200, link_lost_ms=600)

    with Visit(tmp_path, cloud) as visit:
        visit.call("join", f"https://x.daily.co/{room}")
        network = "on_network_connection_status_updated"
        visit.events(network, connection="signalling", event="interrupted")
        assert [CLOSED] == visit.call("send_app_message", {"event_type": "x"})
        visit.events(network, 2, connection="signalling", event="connected")
        assert [None] == visit.call("send_app_message", {"event_type": "x"})
        assert 0 == visit.leave()


# --- what a test can make happen


def test_joins_fail_and_hang_as_wished(cloud: FakeCloud, visit: Visit) -> None:
    """A join that fails says so; one that hangs holds every request behind it, and ``release``."""
    cloud.faults(join_error="Signalling(x)")
    assert [None, "Signalling(x)"] == visit.call("join", URL)
    cloud.faults(rooms={"hang": {"join_never": True}})
    assert [None] == visit.call("join", URL)[1:]
    assert [None] == visit.call("leave")
    visit.ask("join", "https://x.daily.co/hang")
    visit.ask("leave")
    code = visit.leave()

    assert 0 == code
    assert 1 == len(cloud.log("request"))  # the second leave waits for ever
    assert [] == cloud.log("released", "fatal")


def test_messages_and_requests_fare_as_wished(cloud: FakeCloud, visit: Visit) -> None:
    """The nth message of a type, and any request, can be refused or stay without an answer."""
    cloud.faults(
        messages={"echo": [None, "too bad", "never", "unconfirmed"]},
        request_errors={"update_publishing": "no", "remove_custom_audio_track": "never"},
        request_s={"update_publishing": 0.2},
    )
    visit.call("join", URL)
    asked = [visit.ask("send_app_message", {"event_type": "echo", "n": n}) for n in range(5)]

    assert [None] == visit.answer(asked[0])
    assert ["too bad"] == visit.answer(asked[1])
    assert [None] == visit.answer(asked[4])
    assert [None, "too bad", "never", "unconfirmed", None] == [
        entry["fate"] for entry in cloud.log("message", room="room")
    ]
    began = time.monotonic()
    assert ["no"] == visit.call("update_publishing", {})
    assert 0.2 <= time.monotonic() - began
    visit.ask("remove_custom_audio_track", "stream")
    assert [None] == visit.call("leave")
    visit.events("on_error")
    errors = [event["args"][0] for event in visit.events("on_error", 2)]
    assert "Error handling sendAppMessage: too bad" == errors[0]
    assert "Error handling updatePublishing: no" == errors[1]
    assert 0 == visit.leave()


def test_callbacks_come_when_and_where_they_are_wished(cloud: FakeCloud, visit: Visit) -> None:
    """From the one emitter, from several threads at once, and after ``leave``."""
    cloud.faults(after_leave=[["on_app_message", {"late": True}, NOBODY]])
    visit.call("join", URL)
    cloud.steer("event", room="room", method="on_app_message", args=[{"n": 1}, NOBODY])
    cloud.steer("event", room="room", method="on_app_message", args=[{"n": 2}, NOBODY], threads=4)
    cloud.steer("signalling", room="room", connected=False)
    cloud.steer("event", room="elsewhere", method="on_app_message", args=[{"n": 3}, NOBODY])
    told = visit.events("on_app_message", 5)
    emitter = {visit.events("on_call_state_updated")[0]["thread"]}

    assert emitter == {event["thread"] for event in told if event["args"][0] == {"n": 1}}
    assert 4 == len({event["thread"] for event in told} - emitter)
    visit.events("on_network_connection_status_updated", event="interrupted")
    visit.call("leave")
    visit.events("on_app_message", late=True)
    cloud.steer("eject", room="room")  # who is out stays out
    assert 0 == visit.leave()


def test_renderers_serve_who_subscribes(cloud: FakeCloud, visit: Visit) -> None:
    """Pictures and sound of a participant come while, and only while, it is subscribed to."""
    visit.call("join", URL)
    visit.call("watch", NOBODY)
    cloud.steer("video", room="room", participant_id=NOBODY, width=32, height=18)
    media = {"camera": "subscribed", "microphone": "subscribed"}
    cloud.steer("event", room="room", method="on_error", args=["seen"])
    visit.events("on_error")
    assert not visit.has_been_told("video")
    visit.call("update_subscriptions", {NOBODY: {"media": media}})
    cloud.steer("video", room="room", participant_id=NOBODY, width=32, height=18)
    cloud.steer("audio", room="room", participant_id=NOBODY)

    assert [NOBODY, "camera", 32, 18, 864] == visit.events("video")[0]["args"]
    assert [NOBODY, "microphone", 16_000, 640] == visit.events("audio")[0]["args"]
    assert 0 == visit.leave()


def test_an_ejection_is_a_state(cloud: FakeCloud, visit: Visit) -> None:
    """Who is put out is told "left" without having asked."""
    visit.call("join", URL)
    cloud.steer("eject", room="room")
    states = [event["args"][0] for event in visit.events("on_call_state_updated", 4)]

    assert ["joining", "joined", "leaving", "left"] == states


def test_processes_can_be_frozen_and_aborted(cloud: FakeCloud, visit: Visit) -> None:
    """A frozen one runs no Python for a while; an aborted one is gone."""
    visit.call("join", URL)
    cloud.steer("freeze_gil", pid=visit.pid, s=0.5)
    cloud.steer("event", room="room", method="on_error", args=["thawed"])
    began = time.monotonic()
    visit.events("on_error")

    assert 0.4 < time.monotonic() - began
    cloud.steer("abort", room="room")
    assert -6 == visit.end()


# --- bad ends


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("drop_pending", "destroyed with writes pending"),
        ("drop_inside", "destroyed with a completion that has not returned"),
        ("exit_undrained", "the interpreter ended with writes pending"),
        ("call_in_release", "while release() runs"),
        ("release_in_callback", "release() inside a callback"),
        ("ask_who", "participants()"),
        ("end_it", "deinit"),
        ("drop_client", "destroyed without release()"),
    ],
)
def test_what_freezes_or_corrupts_ends_loudly(cloud: FakeCloud, name: str, why: str) -> None:
    """What is fatal on the real SDK, at once or later, ends the process with its reason."""
    cloud.faults(join_s=1.0)
    outcome = trial(name, fake=cloud)

    assert FATAL == outcome.code
    assert why in outcome.stderr


def test_a_fatal_end_is_in_the_log(cloud: FakeCloud) -> None:
    """A supervisor may hide a dead process; the log does not."""
    trial("ask_who", fake=cloud)

    assert "participants() freezes the process while a join runs" == cloud.log("fatal")[0]["why"]


def test_faults_can_be_for_one_room(tmp_path: Path, cloud: FakeCloud) -> None:
    """What is said of one room adds to what is said of all."""
    cloud.faults(join_s=1, rooms={"c7": {"join_error": "x"}})

    kept = json.loads((tmp_path / "faults.json").read_text(encoding="utf-8"))
    assert {"join_s": 1, "rooms": {"c7": {"join_error": "x"}}} == kept
