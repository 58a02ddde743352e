"""One participant: its requests, done strictly in order, and its callbacks, from one thread."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, final

from . import cloud
from .audio import CustomAudioTrack
from .events import EventHandler, Line, guarded
from .media import AudioData, VideoFrame
from .process import PROCESS, PanicException
from .room import JoinFailed, Room

Completion = Callable[[str | None], None]
JoinCompletion = Callable[[Mapping[str, Any] | None, str | None], None]

CLOSED = "AppMessage(Signalling(ChannelNotOpen))"
FORMATS = ("RGBA", "RGB", "BGRA", "ARGB", "ABGR", "I420")


@final
class CallClient:
    """A participant of ours."""

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'daily.CallClient' is not an acceptable base type")

    def __init__(self, event_handler: EventHandler | None = None) -> None:
        """Be outside of any room, with all the threads of one who is in."""
        PROCESS.check("CallClient()")
        if event_handler is not None and not isinstance(event_handler, EventHandler):
            raise TypeError("event_handler must be an EventHandler")
        self._call = Call(event_handler or EventHandler())
        PROCESS.clients.add(self._call)

    def join(
        self,
        meeting_url: str,
        meeting_token: str | None = None,
        client_settings: Mapping[str, Any] | None = None,
        completion: JoinCompletion | None = None,
    ) -> None:
        """Enter a room. Cannot be cancelled: all requests queue behind it."""
        call = self._usable()
        _check_text(meeting_url, meeting_token)
        settings = client_settings or {}
        if unknown := set(settings) - {"inputs", "publishing", "connection"}:
            cloud.die(f"join has no client settings {sorted(unknown)}")
        call.url = meeting_url
        call.requests.post(call.join, meeting_url, meeting_token, settings, completion)

    def leave(self, completion: Completion | None = None) -> None:
        """Go out of the room; does nothing outside of one."""
        call = self._usable()
        call.request("leave", call.leave, completion)

    def release(self) -> None:
        """Let go of everything; waits for all requests, a running join too."""
        call = self._usable()
        if threading.current_thread() in (call.emitter.thread, call.requests.thread):
            cloud.die("release() inside a callback waits for itself for ever")
        call.releasing = True
        PROCESS.unfinished.pop(call, None)  # a client in release() is not destroyed at exit
        cloud.log("release", room=call.url)
        call.requests.finish()
        call.hang_up()
        call.emitter.finish()
        call.released = True
        cloud.log("released", room=call.url)

    def set_user_name(self, user_name: str) -> None:
        """Be called so."""
        call = self._usable()
        _check_text(user_name)
        call.requests.post(call.set_name, user_name)

    def participants(self) -> Mapping[str, Any]:
        """Never ask: it keeps the GIL until all requests are done."""
        cloud.die("participants() freezes the process while a join runs")

    def inputs(self) -> Mapping[str, Any]:
        """The settings in force."""
        return self._usable().settings["inputs"]

    def publishing(self) -> Mapping[str, Any]:
        """The settings in force."""
        return self._usable().settings["publishing"]

    def subscriptions(self) -> Mapping[str, Any]:
        """The settings in force."""
        return self._usable().settings["subscriptions"]

    def subscription_profiles(self) -> Mapping[str, Any]:
        """The settings in force."""
        return self._usable().settings["profiles"]

    def update_inputs(
        self, input_settings: Mapping[str, Any], completion: Completion | None = None
    ) -> None:
        """Change them."""
        self._update("update_inputs", "inputs", input_settings, completion)

    def update_publishing(
        self, publishing_settings: Mapping[str, Any], completion: Completion | None = None
    ) -> None:
        """Change them."""
        self._update("update_publishing", "publishing", publishing_settings, completion)

    def update_subscription_profiles(
        self, profile_settings: Mapping[str, Any], completion: Completion | None = None
    ) -> None:
        """Change them."""
        self._update("update_subscription_profiles", "profiles", profile_settings, completion)

    def update_subscriptions(
        self,
        participant_settings: Mapping[str, Any] | None = None,
        profile_settings: Mapping[str, Any] | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Change them, each participant's and each profile's."""
        call = self._usable()
        changes = json.loads(json.dumps(participant_settings or {}))
        profiles = json.loads(json.dumps(profile_settings or {}))

        def change() -> str | None:
            for participant in changes:
                if not _is_uuid(participant):
                    return (
                        "Participant subscription settings were not valid JsonApiError "
                        f'{{ message: "{participant} is not a valid participant ID" }}'
                    )
            call.settings["subscriptions"].update(changes)
            call.settings["profiles"].update(profiles)
            return None

        call.request("update_subscriptions", change, completion)

    def add_custom_audio_track(
        self,
        track_name: str,
        audio_track: CustomAudioTrack,
        ignore_audio_level: bool | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Publish a track under a name that is free."""
        call = self._usable()
        _check_text(track_name)

        def add() -> str | None:
            if track_name in call.tracks:
                return f'Inputs(TrackNameAlreadyInUse("{track_name}"))'
            call.publish(track_name, audio_track)
            return None

        call.request("add_custom_audio_track", add, completion)

    def update_custom_audio_track(
        self,
        track_name: str,
        audio_track: CustomAudioTrack,
        ignore_audio_level: bool | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Publish another track under that name."""
        call = self._usable()
        _check_text(track_name)

        def swap() -> None:
            call.unpublish(track_name)
            call.publish(track_name, audio_track)

        call.request("update_custom_audio_track", swap, completion)

    def remove_custom_audio_track(
        self, track_name: str, completion: Completion | None = None
    ) -> None:
        """Publish it no more; nothing happens to a name that nobody has."""
        call = self._usable()
        _check_text(track_name)
        call.request("remove_custom_audio_track", lambda: call.unpublish(track_name), completion)

    def send_app_message(
        self,
        message: Any,
        participant_id: str | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Send JSON to one participant or to all."""
        call = self._usable()
        if message is None:
            raise ValueError("invalid app message 'None'")
        if participant_id is not None and not _is_uuid(participant_id):
            raise ValueError(f"invalid participant ID '{participant_id}'")
        call.requests.post(call.send, json.dumps(_plain(message)), completion)

    def set_audio_renderer(
        self,
        participant_id: str,
        callback: Callable[[str, AudioData, str], None],
        audio_source: str = "microphone",
        sample_rate: int = 16000,
        callback_interval_ms: int = 20,
        logging_interval_ms: int = 10000,
    ) -> None:
        """Hear a participant; an interval that is not whole 10 ms is never over."""
        call = self._usable()
        if callback_interval_ms % 10 == 0 and _is_uuid(participant_id):
            call.render(participant_id, audio_source, callback, sample_rate)

    def set_video_renderer(
        self,
        participant_id: str,
        callback: Callable[[str, VideoFrame, str], None],
        video_source: str = "camera",
        color_format: str = "RGBA",
        logging_interval_ms: int = 10000,
    ) -> None:
        """See a participant."""
        call = self._usable()
        if color_format not in FORMATS:
            raise ValueError(f"invalid color format '{color_format}'")
        if not _is_uuid(participant_id):
            cloud.die(f"set_video_renderer of {participant_id!r}, which is no participant id")
        call.render(participant_id, video_source, callback, color_format)

    def _update(
        self, name: str, kind: str, settings: Mapping[str, Any], completion: Completion | None
    ) -> None:
        call = self._usable()
        changes = json.loads(json.dumps(settings))
        call.request(name, lambda: call.settings[kind].update(changes), completion)

    def _usable(self) -> Call:
        PROCESS.check("a CallClient's method")
        call = self._call
        if call.released:
            raise RuntimeError("this object has already been released")
        if call.releasing:
            cloud.die("a client's method while release() runs: the whole process deadlocks")
        return call

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and not call.released and not sys.is_finalizing():
            cloud.die("a CallClient was destroyed without release()")


class Call:
    """What goes on behind a client; lives on in its threads."""

    def __init__(self, handler: EventHandler) -> None:
        self.url = ""
        self.releasing = self.released = False
        self.requests = Line("Daily CallManager")
        self.emitter = Line("daily-emitter")
        self.settings: dict[str, dict[str, Any]] = {
            "inputs": {},
            "publishing": {},
            "subscriptions": {},
            "profiles": {},
        }
        self.tracks: dict[str, CustomAudioTrack] = {}
        self._handler = handler
        self._name = ""
        self._room: Room | None = None
        self._connected = False
        self._numbers = 0
        self._kinds: Counter[str] = Counter()
        self._unconfirmed: dict[int, Completion | None] = {}
        self._renderers: list[tuple[str, str, Callable[..., None], Any]] = []

    # --- requests, on their own thread

    def request(
        self, name: str, work: Callable[[], str | None], completion: Completion | None
    ) -> None:
        """Do it when all before it is done, then tell what came of it."""
        self.requests.post(self._do, name, work, completion)

    def _do(self, name: str, work: Callable[[], str | None], completion: Completion | None) -> None:
        wrong = cloud.faults(self.url).get("request_errors", {}).get(name)
        error = work() if wrong is None else wrong
        cloud.log("request", room=self.url, name=name, error=error)
        if wrong != "never":
            self._complete(name, completion, error)
        if name == "leave":
            for method, *args in cloud.faults(self.url).get("after_leave", []):
                self._emit(method, *args)

    def join(
        self,
        url: str,
        token: str | None,
        settings: Mapping[str, Any],
        completion: JoinCompletion | None,
    ) -> None:
        """Enter, as slowly as the faults say."""
        if "://" not in url:
            error = f"Failed to parse url: InvalidUrl({json.dumps(url)}, RelativeUrlWithoutBase)"
            self.emitter.post(completion, None, error)
            self._emit("on_error", f"Error handling join: {error}")
            return
        faults = cloud.faults(url)
        self.settings["inputs"].update(settings.get("inputs", {}))
        self.settings["publishing"].update(settings.get("publishing", {}))
        cloud.log("join", room=url, name=self._name, token=token is not None)
        if not self.releasing:
            PROCESS.unfinished[self] = "a join running"
        time.sleep(faults.get("join_s", 0.05))
        if faults.get("join_never"):
            threading.Event().wait()
        wrong = faults.get("join_error")
        try:
            room = None if wrong else Room(url, token, self._name, self)
        except JoinFailed as failure:
            room, wrong, text = None, *failure.args
        else:
            text = wrong
        if room is not None:
            self._enter(room, completion)
        else:
            self._emit("on_error", text)
            self._emit("on_call_state_updated", "leaving")
            self._emit("on_call_state_updated", "left")
            self.emitter.post(completion, None, wrong)
            self._emit("on_error", f"Error handling join: {wrong}")
        PROCESS.unfinished.pop(self, None)

    def _enter(self, room: Room, completion: JoinCompletion | None) -> None:
        self._room, self._connected = room, True
        people = {"local": room.me()} | {other["id"]: other for other in room.others}
        session = {"meetingSession": {"id": str(uuid.uuid4())}, "participants": people}
        self._emit("on_call_state_updated", "joining")
        self._emit("on_call_state_updated", "joined")
        self._emit_signalling("connected")
        self.emitter.post(completion, session, None)
        cloud.log("joined", room=self.url, participant_id=room.participant_id)
        for track in self.tracks.values():
            self._connect(track)
        room.start()

    def leave(self) -> None:
        """Go out; who is in no room is told the same."""
        if self._room is not None:
            time.sleep(cloud.faults(self.url).get("leave_s", 0.01))
        self._emit("on_call_state_updated", "leaving")
        self.hang_up()
        self._emit("on_call_state_updated", "left")

    def hang_up(self) -> None:
        """Be in no room."""
        room, self._room = self._room, None
        if room is not None:
            self._connected = False
            for track in self.tracks.values():
                track._sender.sinks.pop(self, None)
            room.leave()
            cloud.log("left", room=self.url)

    def set_name(self, name: str) -> None:
        """Be called so from the next join on."""
        self._name = name

    def publish(self, name: str, track: CustomAudioTrack) -> None:
        """Let the room hear a track."""
        self.tracks[name] = track
        self._connect(track)

    def unpublish(self, name: str) -> None:
        """Let the room hear it no more."""
        track = self.tracks.pop(name, None)
        if track is not None:
            track._sender.sinks.pop(self, None)

    def _connect(self, track: CustomAudioTrack) -> None:
        if self._room is not None:
            track._sender.sinks[self] = self._send_audio

    def _send_audio(self, audio: bytes) -> None:
        room = self._room
        if room is not None:
            cloud.log("audio", room=self.url, pcm=base64.b64encode(audio).decode())
            room.send_audio(audio)

    def send(self, message: str, completion: Completion | None) -> None:
        """Send an app message, or treat it as the faults say."""
        room = self._room
        if room is None or not self._connected:
            self._complete("sendAppMessage", completion, CLOSED)
            return
        decoded = json.loads(message)
        kind = decoded.get("event_type", "") if isinstance(decoded, dict) else ""
        fates = cloud.faults(self.url).get("messages", {}).get(kind, [])
        fate = fates[self._kinds[kind]] if self._kinds[kind] < len(fates) else None
        self._kinds[kind] += 1
        cloud.log("message", room=self.url, message=decoded, bytes=len(message), fate=fate)
        if fate == "never":
            return
        if fate not in (None, "unconfirmed"):
            self._complete("sendAppMessage", completion, fate)
            return
        self._numbers += 1
        if fate is None:
            self._unconfirmed[self._numbers] = completion
        room.send_message(self._numbers, message)

    def _complete(self, name: str, completion: Completion | None, error: str | None) -> None:
        self.emitter.post(completion, error)
        if error is not None:
            first, *rest = name.split("_")
            camel = first + "".join(word.title() for word in rest)
            self._emit("on_error", f"Error handling {camel}: {error}")

    # --- what the room tells, on the link's thread

    def on_joined_by(self, participant: dict[str, Any]) -> None:
        """Somebody came."""
        self._emit("on_participant_joined", participant)

    def on_left_by(self, participant: dict[str, Any]) -> None:
        """Somebody went."""
        self._emit("on_participant_left", participant, "leftCall")

    def on_message(self, message: Any, sender: str) -> None:
        """Somebody said something."""
        if self._connected:
            self._emit("on_app_message", message, sender)

    def on_sent(self, number: int, error: str | None) -> None:
        """The room took a message, or did not."""
        if number in self._unconfirmed:
            self._complete("sendAppMessage", self._unconfirmed.pop(number), error)

    def on_signalling(self, connected: bool) -> None:
        """Messages pass, or do not."""
        if self._connected != connected and self._room is not None:
            self._connected = connected
            self._emit_signalling("connected" if connected else "interrupted")

    def on_ejected(self) -> None:
        """We were put out, or the room was closed."""
        if self._room is not None:
            self._emit("on_error", "Meeting has ended")
            self._emit("on_call_state_updated", "leaving")
            self.hang_up()
            self._emit("on_call_state_updated", "left")

    # --- callbacks

    def _emit(self, method: str, *args: Any) -> None:
        self.emitter.post(getattr(self._handler, method), *args)

    def _emit_signalling(self, event: str) -> None:
        status = {"connection": "signalling", "event": event}
        self._emit("on_network_connection_status_updated", status)

    def render(
        self, participant_id: str, source: str, callback: Callable[..., None], how: Any
    ) -> None:
        """Keep a renderer; it cannot be removed."""
        self._renderers.append((participant_id, source, callback, how))

    def steer(self, command: dict[str, Any]) -> None:
        """Let happen what a test wants."""
        if self.releasing:
            return  # nobody would hear it
        match command["do"]:
            case "event":
                self._call_handler(command["method"], command["args"], command.get("threads", 0))
            case "signalling":
                self.on_signalling(command["connected"])
            case "eject":
                self.on_ejected()
            case "video":
                size = (command["width"], command["height"])
                pixels = command["width"] * command["height"]
                for callback, form in self._renderers_of(command["participant_id"], "camera"):
                    length = pixels * 3 // 2 if form == "I420" else pixels * len(form)
                    micros = time.time_ns() // 1000
                    frame = VideoFrame(bytes(length), *size, micros, form)
                    guarded(callback, command["participant_id"], frame, "camera")
            case "audio":
                for callback, rate in self._renderers_of(command["participant_id"], "microphone"):
                    data = AudioData(16, rate, 1, rate // 50, bytes(rate // 50 * 2))
                    guarded(callback, command["participant_id"], data, "microphone")

    def _renderers_of(
        self, participant_id: str, source: str
    ) -> list[tuple[Callable[..., None], Any]]:
        """Those of a subscribed participant's source."""
        wanted = self.settings["subscriptions"].get(participant_id, {}).get("media", {})
        if wanted.get(source, "unsubscribed") == "unsubscribed":
            return []
        return [
            (callback, how)
            for who, what, callback, how in self._renderers
            if (who, what) == (participant_id, source)
        ]

    def _call_handler(self, method: str, args: list[Any], threads: int) -> None:
        """From the emitter, or from so many threads at once."""
        if not threads:
            self._emit(method, *args)
            return
        call = getattr(self._handler, method)
        crowd = [threading.Thread(target=guarded, args=(call, *args)) for _ in range(threads)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()


def _check_text(*texts: str | None) -> None:
    for text in texts:
        if text is not None and "\0" in text:
            raise PanicException("invalid string: NulError")


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    """The message as JSON has it: a set is a list, what is no number is null."""
    match value:
        case dict():
            for key in value:
                if not isinstance(key, str):
                    kind = type(key).__name__
                    raise TypeError(f"unexpected type: '{kind}' object is not an instance of 'str'")
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case float() if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  # NaN
            return None
        case bytes():
            raise Exception("invalid type: byte array, expected any valid JSON value")  # noqa: TRY002  # as the real one
    return value
