"""What goes on behind a client: its requests in order, its room, its callbacks."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import soxr

from . import cloud
from .audio import CustomAudioTrack
from .events import EventHandler, Line, guarded
from .media import PICTURE, AudioData, Piece, VideoFrame
from .process import PROCESS
from .room import JoinFailed, Room

Completion = Callable[[str | None], None]
JoinCompletion = Callable[[Mapping[str, Any] | None, str | None], None]

KINDS = ("camera", "microphone")

CLOSED = "AppMessage(Signalling(ChannelNotOpen))"


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
        self._people: dict[str, bool] = {}
        """Participant id → whether it is a replica, in the order in which they came."""
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
        faults = cloud.faults(self.url)
        time.sleep(faults.get("request_s", {}).get(name, 0))
        wrong = faults.get("request_errors", {}).get(name)
        error = work() if wrong is None else wrong
        cloud.log("request", room=self.url, name=name, error=error)
        if wrong != "never":
            self._complete(name, completion, error)
        if name == "leave":
            for method, *args in faults.get("after_leave", []):
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
        self._people = {other["id"]: _is_replica(other) for other in room.others}
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
        self._people[participant["id"]] = _is_replica(participant)
        self._emit("on_participant_joined", participant)

    def on_left_by(self, participant: dict[str, Any]) -> None:
        """Somebody went."""
        self._people.pop(participant["id"], None)
        self._emit("on_participant_left", participant, "leftCall")

    def on_message(self, message: Any, sender: str) -> None:
        """Somebody said something."""
        if self._connected:
            self._emit("on_app_message", message, sender)

    def on_sent(self, number: int, error: str | None) -> None:
        """The room took a message, or did not."""
        try:
            completion = self._unconfirmed.pop(number)
        except KeyError:  # nobody waits for it
            return
        self._complete("sendAppMessage", completion, error)

    def on_signalling(self, connected: bool) -> None:
        """Messages pass, or do not."""
        if self._connected != connected and self._room is not None:
            self._connected = connected
            self._emit_signalling("connected" if connected else "interrupted")

    def on_ejected(self) -> None:
        """We were put out, or the room was closed; what is unconfirmed stays so for ever."""
        if self._room is not None:
            self._unconfirmed.clear()
            self._emit("on_error", "Meeting has ended")
            self._emit("on_call_state_updated", "leaving")
            self.hang_up()
            self._emit("on_call_state_updated", "left")

    # --- media

    def subscribe(self) -> None:
        """Receive what is subscribed to, and nothing else."""
        room = self._room
        if room is None or room.media is None:
            return
        seen, heard = ({who for who in self._people if self._has(who, kind)} for kind in KINDS)
        replicas = {who for who, is_replica in self._people.items() if is_replica}
        room.media.want(
            video=bool(seen & replicas),
            audio=bool(heard & replicas),
            people=bool(heard - replicas),
        )

    def on_media(self, piece: Piece) -> None:
        """Bring a piece to the renderers, on the media's own thread."""
        who = piece.participant_id or self._replica()
        if who is None or self.releasing:
            return
        if piece.kind == PICTURE:
            self._show(who, piece.width, piece.height, piece.payload)
        else:
            self._play(who, piece.payload, piece.sample_rate)

    def _replica(self) -> str | None:
        """The last replica that came."""
        return next((who for who, is_one in reversed(self._people.items()) if is_one), None)

    def _has(self, who: str, source: str) -> bool:
        wanted = self.settings["subscriptions"].get(who, {}).get("media", {})
        return bool(wanted.get(source, "unsubscribed") != "unsubscribed")

    def _show(self, who: str, width: int, height: int, i420: bytes | None) -> None:
        """Show a picture to its renderers; without one, a black one of the renderer's format."""
        for callback, form in self._renderers_of(who, "camera"):
            pixels = width * height
            if i420 is not None and form != "I420":
                cloud.die(f"the stand-in has no pictures in {form}")
            blank = bytes(pixels * 3 // 2 if form == "I420" else pixels * len(form))
            micros = time.time_ns() // 1000
            frame = VideoFrame(blank if i420 is None else i420, width, height, micros, form)
            guarded(callback, who, frame, "camera")

    def _play(self, who: str, pcm: bytes, rate: int) -> None:
        """Play mono sound to its renderers, each at its own rate."""
        for callback, wanted in self._renderers_of(who, "microphone"):
            samples = np.frombuffer(pcm, "<i2")
            if wanted != rate:
                samples = soxr.resample(samples, rate, wanted)
            data = AudioData(16, wanted, 1, len(samples), samples.tobytes())
            guarded(callback, who, data, "microphone")

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
        cloud.log("renderer", room=self.url, participant_id=participant_id, source=source)
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
                self._show(command["participant_id"], command["width"], command["height"], None)
            case "audio":
                self._play(command["participant_id"], bytes(960), 24_000)

    def _renderers_of(
        self, participant_id: str, source: str
    ) -> list[tuple[Callable[..., None], Any]]:
        """Those of a subscribed participant's source."""
        if not self._has(participant_id, source):
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


def _is_replica(participant: Mapping[str, Any]) -> bool:
    return "tavus-" in participant["info"]["userId"]
