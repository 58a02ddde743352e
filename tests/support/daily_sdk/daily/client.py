"""One participant: its requests, done strictly in order, and its callbacks, from one thread."""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, final

from . import cloud
from .audio import CustomAudioTrack
from .call import Call, Completion, JoinCompletion
from .events import EventHandler
from .media import AudioData, VideoFrame
from .process import PROCESS, PanicException

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
        cloud.log("subscriptions", room=call.url, asked=changes)
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
            call.subscribe()
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
