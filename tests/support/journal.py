"""The journal's thread in virtual time: none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import NoReturn, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class AtOnce(Executor):
    """Does everything in the caller's thread, or fails as a full disk does."""

    def __init__(self) -> None:
        self.broken = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        future: Future[_T] = Future()
        try:
            future.set_result(_full() if self.broken else fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # it is the caller's
            future.set_exception(error)
        return future


def _full() -> NoReturn:
    raise sqlite3.OperationalError("database or disk is full")
