"""The folder with the service's state: made where it is missing, of one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from app.errors import CannotStart


class DataDir:
    """A folder that is ours until ``close``, or until the process dies in whatever way.

    Two processes with one folder would each end the other's conversations as left over.
    """

    def __init__(self, path: Path) -> None:
        """Make the folder if there is none, and lock it. Raises ``CannotStart``."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self.open("lock")
        except OSError as error:
            raise CannotStart(f"BRIDGE_DATA_DIR {path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(self._lock, 20, 0).decode("ascii", "replace") or "unknown"
            self.close()
            raise CannotStart(
                f"BRIDGE_DATA_DIR {path} is in use by another process (pid {holder}): "
                "give each service a folder of its own"
            ) from error
        except OSError as error:
            self.close()
            raise CannotStart(
                f"BRIDGE_DATA_DIR {path} cannot be locked: {error.strerror}"
            ) from error

    def open(self, name: str) -> int:
        """Open a file for its owner alone, made if there is none; the caller closes it.

        Raises OSError.
        """
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Let others have the folder. The second time does nothing."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
