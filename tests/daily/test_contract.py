"""What we rely on in daily-python, tried on the real one, offline, and on our fake alike."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import daily
import pytest

import app.daily
from tests.support.daily_cloud import FakeCloud
from tests.support.daily_trial import Outcome, trial
from tests.support.lookup import LookupServer, make_certificate

SLACK_MS = 30.0
"""What a busy machine may add to the pace of audio."""

ABORTED = -6
FATAL = 97

OBJECTS = {"client", "source", "Daily"}
"""What our code calls the SDK's objects, and nothing else."""

Try = Callable[..., Outcome]


@pytest.fixture(params=["real", "fake"], name="try_")
def _try(request: pytest.FixtureRequest, tmp_path: Path) -> Try:
    """Runs a trial on the real SDK or on the fake."""
    fake = FakeCloud(tmp_path) if request.param == "fake" else None
    return lambda name, *args, **more: trial(name, *args, fake=fake, **more)


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


# --- audio


def least_disturbed(play: Callable[[], list[float]]) -> list[float]:
    """Play until every frame is in time, three times at most; returns how late they were, ms.

    What is once lost is never caught up, and a busy machine may stop everything for a moment.
    """
    late = play()
    for _ in range(2):
        if max(late) < SLACK_MS:
            break
        late = play()
    return late


@pytest.mark.parametrize("try_", ["real"], indirect=True)
def test_audio_keeps_real_time_while_the_loop_does_not(try_: Try) -> None:
    """2 s of frames are over when they should be although the loop is blocked 80 ms at times."""
    late = least_disturbed(lambda: try_("stalls", "100").found)

    assert 100 == len(late)
    assert 0 <= min(late)
    assert SLACK_MS > max(late)


def test_audio_keeps_real_time_beside_pictures() -> None:
    """Of 1280x720, as many as a room shows, made into JPEG on the worker's one thread for that."""
    pictures: list[int] = []

    def play() -> list[float]:
        found = trial("pictures", "100").found
        pictures.append(found["pictures"])
        return sorted(found["late"])[:95]

    late = least_disturbed(play)

    assert 95 == len(late)
    assert SLACK_MS > max(late)
    assert 25 <= pictures[-1]


def test_little_is_heard_after_an_interrupt(try_: Try) -> None:
    """What was in flight is all that plays on, and it is over after 45 ms by the source's clock."""
    tails = try_("interrupts").found

    assert 10 == len(tails)
    assert [] == [tail for in_flight, tail in tails if in_flight > 40 or tail > 45]


def test_writes_complete_elsewhere_if_they_are_whole_frames(try_: Try) -> None:
    """Whole frames complete on the sender's thread, nothing and broken frames inside the call."""
    outcome = try_("writes")

    assert {
        "rate": 24_000,
        "channels": 1,
        "whole": [480, 480, False],
        "empty": [0, 0, True],
        "odd": "ValueError",
        "bytearray": "TypeError",
        "half a frame": [120, 120, True],
        "whole after half": [480, 480, False],
        "the other half": [120, 120, False],
        "blocking": 2400,
        "blocked ms": 100,
        "inside": ["Already borrowed", "Already mutably borrowed", "Already mutably borrowed"],
    } == outcome.found
    assert 0 == outcome.code


def test_a_source_has_one_writer_at_a_time(try_: Try) -> None:
    """Who writes, or even looks, while another writes gets an error."""
    assert ["Already borrowed", "Already mutably borrowed"] == try_("borrowed").found


# --- requests


@pytest.mark.parametrize("name", ["audio", "media", "room", "worker"])
def test_calls_of_ours_are_those_of_the_sdk(name: str) -> None:
    """Whatever we call on an SDK object by its name has the arguments that we give it."""
    path = Path(app.daily.__file__).with_name(f"{name}.py")
    kinds = ("CallClient", "CustomAudioSource", "CustomAudioTrack")
    makers = {kind: getattr(daily, kind) for kind in kinds}
    calls = 0
    methods = {
        method: getattr(kind, method)
        for kind in (daily.CallClient, daily.CustomAudioSource, daily.Daily)
        for method in vars(kind)
        if not method.startswith("_")
    }
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called, arguments = node.func, [None] * len(node.args)
        more = {keyword.arg: None for keyword in node.keywords if keyword.arg is not None}
        if isinstance(called, ast.Name) and called.id in makers:
            calls += 1
            inspect.signature(makers[called.id]).bind(*arguments, **more)
        elif isinstance(called, ast.Attribute) and ast.unparse(called.value) in OBJECTS:
            owner = [] if ast.unparse(called.value) == "Daily" else [None]
            calls += 1
            inspect.signature(methods[called.attr]).bind(*owner, *arguments, **more)

    assert 0 < calls


def test_requests_are_understood(try_: Try) -> None:
    """Every request that we make exists, takes these arguments, and answers so outside a room."""
    outcome = try_("requests")
    unknown = (
        "Participant subscription settings were not valid "
        'JsonApiError { message: "* is not a valid participant ID" }'
    )
    relative = 'Failed to parse url: InvalidUrl("", RelativeUrlWithoutBase)'
    taken = 'Inputs(TrackNameAlreadyInUse("stream"))'
    number = "'int' object is not an instance of 'str'"
    closed = "AppMessage(Signalling(ChannelNotOpen))"
    fine = (
        *("profiles", "subscribe", "watch", "inputs", "add", "publish", "publish plainly", "swap"),
        *("remove", "remove again", "leave", "leave again"),
    )

    assert {
        **{name: [None] for name in fine},
        "subscribe nobody": [unknown],
        "add again": [taken],
        "message": [closed],
        "message none": "ValueError: invalid app message 'None'",
        "message to all": "ValueError: invalid participant ID '*'",
        "message of numbers": f"TypeError: unexpected type: {number}",
        "join nowhere": [None, relative],
        "NV12": "invalid color format 'NV12'",
        "released": "this object has already been released",
        "released twice": "this object has already been released",
    } == outcome.found["answers"]
    assert [
        ["error", f"Error handling addCustomAudioTrack: {taken}"],
        ["error", f"Error handling join: {relative}"],
        ["error", f"Error handling sendAppMessage: {closed}"],
        ["error", f"Error handling updateSubscriptions: {unknown}"],
        *([["state", "leaving"]] * 2),
        *([["state", "left"]] * 2),
    ] == outcome.found["told"]
    assert 0 == outcome.code


def test_a_client_calls_back_from_one_thread(try_: Try) -> None:
    """Completions and events of a client come from one thread, which is not ours."""
    assert [40, 1, False] == try_("threads_of_callbacks").found


# --- joins: only the real one looks a room up


def test_a_refused_look_up_ends_the_join(certificate: Path) -> None:
    """What the look-up says becomes the join's error, and ours, within our deadline."""
    answers = {
        "missing": (404, b"no such room"),
        "broken": (500, b""),
        "over": (200, b'{"error": "exp-room"}'),
        "early": (200, b'{"error": "nbf-room"}'),
        "odd": (200, b'{"error": "odd"}'),
    }
    with LookupServer(certificate, answers) as server:
        outcome = trial("lookup", server.port, *answers, SSL_CERT_FILE=str(certificate))
    found = outcome.found

    assert found, outcome.stderr
    assert {
        "missing": "Daily answered 404",
        "broken": "Daily answered 500",
        "over": "the room is closed: its conversation is over",
        "early": "the room is not open yet",
        "odd": "the room refused us: odd",
    } == {room: answer["means"] for room, answer in found.items()}
    assert {
        "missing": ["Failed to fetch room information: IO error: HTTP error: 404 Not Found"],
        "broken": [
            "Failed to fetch room information: IO error: HTTP error: 500 Internal Server Error"
        ],
        "over": ["This room is no longer available"],
        "early": ["This room is not available yet, please try later"],
        "odd": ["odd"],
    } == {room: _errors(answer)[:1] for room, answer in found.items()}
    for room, answer in found.items():
        states = [name for kind, name in answer["told"] if kind == "state"]

        assert answer["data"] is None
        assert ["leaving", "left"] == states
        assert f"Error handling join: {answer['error']}" == _errors(answer)[1]
        assert 3 == server.paths.count(f"/gs.daily.co/rooms/check/test/{room}")
    assert 0 == outcome.code


def test_our_rooms_say_what_a_join_came_to(certificate: Path) -> None:
    """Each in our words and by our deadline, here a tenth of it; nobody waits for what hangs."""
    answers = {"missing": (404, b""), "broken": (500, b""), "over": (200, b'{"error": "exp-room"}')}
    with LookupServer(certificate, answers) as server:
        names = (*answers, "slow")
        outcome = trial("rooms", server.port, *names, limit_s=15.0, SSL_CERT_FILE=str(certificate))

    assert {
        "missing": [["Daily answered 404", False]],
        "broken": [["Daily answered 500", True]],
        "over": [["the room is closed: its conversation is over", False]],
        "slow": [["the room could not be joined in 15 s", True]],
    } == outcome.found["told"]
    assert 0 == outcome.code


def test_a_worker_ends_well_while_a_join_hangs(certificate: Path) -> None:
    """Its service is gone: it leaves what it can and ends, with exit code 0."""
    with LookupServer(certificate, {}) as server:
        outcome = trial("worker_joining", server.port, limit_s=15.0, SSL_CERT_FILE=str(certificate))

    assert 0 == outcome.code, outcome.stderr


def _errors(answer: dict[str, Any]) -> list[str]:
    return [message for kind, message in answer["told"] if kind == "error"]


# --- lifetimes and endings


def test_lifetimes_leave_nothing(record_property: Callable[[str, Any], None]) -> None:
    """200 clients, and writers that play, are cut or cancelled and go, leave all as it was."""
    found = trial("lifetimes", "200").found
    record_property("lifetimes", found)
    print(f"200 lifetimes: {found}")  # noqa: T201  # the figures, with pytest -rP
    before, after = found["before"], found["after"]

    assert before["threads"] == after["threads"]
    assert before["descriptors"] == after["descriptors"]
    assert after["kb"] - before["kb"] < 6 * 1024


@pytest.mark.soak
def test_thousands_of_lifetimes_leave_nothing() -> None:
    """What is small after 200 is not fifteen times as much after 3000."""
    found = trial("lifetimes", "3000", limit_s=110.0).found
    before, after = found["before"], found["after"]

    assert before["threads"] == after["threads"]
    assert before["descriptors"] == after["descriptors"]
    assert after["kb"] - before["kb"] < 16 * 1024


@pytest.mark.parametrize("name", ["exit_pending", "exit_drained"])
def test_an_end_at_a_bad_moment_is_clean(try_: Try, name: str) -> None:
    """``os._exit`` with audio pending, or a plain end once it is over: exit code 0."""
    assert 0 == try_(name).code


def test_an_end_while_a_join_runs_is_clean(certificate: Path) -> None:
    """A thread in ``release`` that waits for the join delays nothing."""
    with LookupServer(certificate, {}) as server:
        outcome = trial("exit_joining", server.port, limit_s=10.0, SSL_CERT_FILE=str(certificate))

    assert 0 == outcome.code


@pytest.mark.parametrize("name", ["init_twice", "client_first", "watch_nobody"])
def test_what_aborts_aborts_in_the_fake_too(tmp_path: Path, name: str) -> None:
    """What ends the process on the real SDK ends it on the fake, with a reason."""
    fake = trial(name, fake=FakeCloud(tmp_path))

    assert ABORTED == trial(name).code
    assert FATAL == fake.code
    assert "FAKE DAILY: " in fake.stderr
