"""The native library as a whole: begun once a process, never ended."""

from __future__ import annotations

import ctypes
import enum
import json
import os
import sys
import threading
import time
import weakref
from typing import Any, Protocol

from . import cloud


class PanicException(BaseException):
    """A panic of the native library: no ``Exception``, so that few expect it."""


class LogLevel(enum.Enum):
    """How much the native library writes to stderr."""

    Off = 0
    Error = 1
    Warn = 2
    Info = 3
    Debug = 4
    Trace = 5


class Steered(Protocol):
    """What a steering command can be for: a client."""

    url: str

    def steer(self, command: dict[str, Any]) -> None:
        """Do it."""
        ...


class Daily:
    """The entry point."""

    @staticmethod
    def init(worker_threads: int = 2, log_level: LogLevel = LogLevel.Off) -> None:
        """Begin; a second time aborts."""
        if PROCESS.began_in is not None:
            cloud.die("Daily.init() for the second time in one process")
        PROCESS.began_in = os.getpid()
        cloud.log("init")
        if cloud.folder() is not None:
            threading.Thread(target=PROCESS.follow, name="fake-daily-steering", daemon=True).start()

    @staticmethod
    def deinit() -> None:
        """Never end it: what is alive then aborts later."""
        cloud.die("Daily.deinit() was called")


class Process:
    """What this process has done with the SDK."""

    def __init__(self) -> None:
        self.began_in: int | None = None
        """The process that called ``init``."""
        self.clients: weakref.WeakSet[Steered] = weakref.WeakSet()
        self.unfinished: dict[object, str] = {}
        """What must not be under way when the interpreter ends, and why."""

    def check(self, what: str) -> None:
        """Fail unless ``what`` may be made now."""
        if self.began_in is None:
            cloud.die(f"{what} before Daily.init()")
        if self.began_in != os.getpid():
            cloud.die(f"{what} in a fork: its native threads do not exist")

    def follow(self) -> None:
        """Obey what is appended to ``steer.jsonl`` from now on."""
        place = cloud.folder()
        assert place is not None  # started only where there is one
        path = place / "steer.jsonl"
        path.touch()
        with path.open(encoding="utf-8") as file:
            file.seek(0, os.SEEK_END)
            while True:
                if line := file.readline():
                    self._obey(json.loads(line))
                else:
                    time.sleep(0.01)

    def _obey(self, command: dict[str, Any]) -> None:
        if command.get("pid") not in (None, os.getpid()):
            return
        wanted = command.get("room", "")
        mine = [client for client in self.clients if client.url and wanted in client.url]
        if not mine and "pid" not in command:
            return  # a worker without that room
        match command["do"]:
            case "abort":
                os.abort()
            case "freeze_gil":
                cloud.log("freeze")
                # PyDLL keeps the GIL during the call: no Python thread runs meanwhile.
                ctypes.PyDLL(None).usleep(int(command["s"] * 1_000_000))
            case _:
                for client in mine:
                    client.steer(command)


class Teardown:
    """Dies with the interpreter, after everything that ``atexit`` had to do.

    It is kept in ``sys``, which is cleared last; a module may outlive it in its threads' frames.
    """

    def __init__(self, process: Process) -> None:
        # Other modules may be gone by then: what is needed is kept here.
        self._unfinished = process.unfinished
        self._write, self._exit, self._code = os.write, os._exit, cloud.FATAL

    def __del__(self) -> None:
        for why in self._unfinished.values():
            self._write(2, f"FAKE DAILY: the interpreter ended with {why}\n".encode())
            self._exit(self._code)


PROCESS = Process()
vars(sys)["_fake_daily"] = Teardown(PROCESS)
