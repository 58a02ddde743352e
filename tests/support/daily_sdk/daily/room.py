"""A Daily room, as far as there is one: the sandbox's, or an empty one that a test scripts.

With ``FAKE_DAILY_SANDBOX`` set to the address of a sandbox (``http://127.0.0.1:8080/sandbox``) the
room of ``https://anything.daily.co/<conversation_id>`` is that conversation's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import threading
import time
import uuid
from typing import Any, Protocol
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from . import cloud
from .media import MediaFeed, Piece

FRAME_HEADER = struct.Struct("!IH")
"""Epoch and padding of a track frame: the SDK knows neither."""

EJECTED_AFTER_S = 20.0
"""Without signalling for so long a participant is put out (Daily's JavaScript documentation)."""

URL = re.compile(r"https://[a-z0-9-]+\.daily\.co/([A-Za-z0-9_-]+)")


class JoinFailed(Exception):
    """The two texts of a failed join: the completion's, and that of ``on_error``."""


class Listener(Protocol):
    """What a room tells its participant."""

    def on_joined_by(self, participant: dict[str, Any]) -> None: ...
    def on_left_by(self, participant: dict[str, Any]) -> None: ...
    def on_message(self, message: Any, sender: str) -> None: ...
    def on_sent(self, number: int, error: str | None) -> None: ...
    def on_signalling(self, connected: bool) -> None: ...
    def on_ejected(self) -> None: ...
    def on_media(self, piece: Piece) -> None: ...


class Room:
    """Our stay in one room. The listener is called from the link's own thread."""

    def __init__(self, url: str, token: str | None, name: str, listener: Listener) -> None:
        """Enter. Raises JoinFailed."""
        self.participant_id = str(uuid.uuid4())
        self.others: list[dict[str, Any]] = []
        """Who was there already."""
        self._name = name
        self._listener = listener
        self._left = threading.Event()
        self._link: ClientConnection | None = None
        self.media: MediaFeed | None = None
        """Where pictures and sound come from, if there are any."""
        sandbox = os.environ.get("FAKE_DAILY_SANDBOX")
        found = URL.fullmatch(url)
        if found is None:
            # The real one asks Daily's staging service about any other host.
            cloud.die(f"join of something that is no room of Daily's: {url!r}")
        if sandbox:
            self._link = _connect(f"{sandbox}/rooms/{found[1]}/link", token, name)
            media_url = _url(f"{sandbox}/rooms/{found[1]}/media", token, name)
            self.media = MediaFeed(media_url, listener.on_media)
            joined = json.loads(self._link.recv())
            self.participant_id = joined["id"]
            self.others = [_participant(card) for card in joined["participants"]]

    def start(self) -> None:
        """Begin to tell what happens."""
        if self._link is not None:
            threading.Thread(target=self._read, name="fake-daily-link", daemon=True).start()

    def me(self) -> dict[str, Any]:
        """Ourselves as a participant."""
        card = {"participant_id": self.participant_id, "user_id": "", "name": self._name}
        return _participant(card, local=True)

    def send_message(self, number: int, message: str) -> None:
        """Send an app message; ``on_sent`` tells what came of it, if it is ever known."""
        if self._link is None:
            self._listener.on_sent(number, None)
            return
        operation = {"op": "message", "id": number, "message": message}
        with contextlib.suppress(ConnectionClosed):
            self._link.send(json.dumps(operation))

    def send_audio(self, audio: bytes) -> None:
        """Send 10 or 20 ms of the track."""
        if self._link is not None:
            with contextlib.suppress(ConnectionClosed):
                self._link.send(FRAME_HEADER.pack(0, 0) + audio)

    def leave(self) -> None:
        """Go out; nothing is told any more. The second time does nothing."""
        self._left.set()
        if self.media is not None:
            self.media.close()
        if self._link is not None:
            with contextlib.suppress(ConnectionClosed):
                self._link.send('{"op":"leave"}')
            self._link.close()

    def _read(self) -> None:
        assert self._link is not None  # started only with one
        with contextlib.suppress(ConnectionClosed):
            for text in self._link:
                operation = json.loads(text)
                if operation["op"] == "ended":
                    self._listener.on_ejected()
                    return
                self._take(operation)
        if not self._left.is_set():
            self._listener.on_signalling(False)
            if not self._left.wait(EJECTED_AFTER_S):
                self._listener.on_ejected()

    def _take(self, operation: dict[str, Any]) -> None:
        match operation["op"]:
            case "message":
                self._listener.on_message(operation["message"], operation["from"])
            case "sent":
                self._listener.on_sent(operation["id"], None)
            case "refused":
                self._listener.on_sent(operation["id"], f"AppMessage({operation['reason']!r})")
            case "participant_joined":
                self._listener.on_joined_by(_participant(operation["participant"]))
            case "participant_left":
                self._listener.on_left_by(_participant(operation["participant"]))
            case "interrupted":
                self._listener.on_signalling(False)
            case "restored":
                self._listener.on_signalling(True)


def _url(url: str, token: str | None, name: str) -> str:
    query = urlencode({"name": name} if token is None else {"name": name, "token": token})
    return f"{url.replace('http', 'ws', 1)}?{query}"


def _connect(url: str, token: str | None, name: str) -> ClientConnection:
    try:
        return connect(
            _url(url, token, name),
            proxy=None,
            compression=None,
            close_timeout=1,
        )
    except InvalidStatus as error:
        kind, text = "Unauthorized", "You are not allowed to join this meeting"
        if error.response.status_code == 404:
            kind, text = "NoLongerAvailable", "This room is no longer available"
        raise JoinFailed(f"Connection(Api(RoomLookup(RoomInfoError({kind}))))", text) from error
    except OSError as error:
        raise JoinFailed(
            "Connection(Api(RoomLookup(RoomInfoFetchFailed(Get("
            "hyper_util::client::legacy::Error(Connect, ConnectError)))))",
            "Failed to fetch room information: GET failed: client error (Connect)",
        ) from error


def _participant(card: dict[str, str], *, local: bool = False) -> dict[str, Any]:
    """A participant as the SDK shows it, from the sandbox's card of one."""
    off = {"state": "off", "subscribed": "unsubscribed", "offReasons": ["user"]}
    return {
        "id": card["participant_id"],
        "info": {
            "isLocal": local,
            "isOwner": False,
            "joinedAt": int(time.time()),
            "userId": card["user_id"],
            "userName": card["name"],
            "permissions": {"canAdmin": [], "canSend": ["camera", "microphone"]},
        },
        "media": {"camera": off, "microphone": off, "screenVideo": off, "screenAudio": off},
    }
