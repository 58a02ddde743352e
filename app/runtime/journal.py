"""What must survive the process: conversations that cost money, and Idempotency-Keys.

A row is on disk before the request that it is about leaves: an *intent* before Tavus is asked for a
conversation, its id after, its end when Tavus has confirmed it. So whatever kills the process, the
next one on the same folder knows what may still run.

SQLite in WAL mode syncs at each commit (``synchronous=FULL``). One thread does all of it, in order,
and nobody waits for it longer than ``DEADLINE_S``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from app.errors import CannotStart
from app.runtime.data_dir import DataDir

DEADLINE_S = 5.0
"""Longest wait for one write; a healthy disk takes milliseconds."""

KEEP_MS = 24 * 3600 * 1000
"""How long keys, and conversations that have ended, are kept."""

VERSION = 1
"""Of the tables."""

_FILE = "journal.db"

_TABLES = """
BEGIN;
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    instance TEXT NOT NULL,
    account TEXT NOT NULL,
    conversation_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('intent', 'created', 'ended')),
    conversation_id TEXT,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER
);
CREATE INDEX unended ON conversations (state) WHERE state <> 'ended';
CREATE INDEX ended ON conversations (ended_ms);
CREATE TABLE keys (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    session_id TEXT NOT NULL,
    claimed_ms INTEGER NOT NULL,
    answer BLOB,
    PRIMARY KEY (owner, key)
);
CREATE INDEX sessions ON keys (session_id);
CREATE INDEX claimed ON keys (claimed_ms);
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
PRAGMA user_version = 1;
COMMIT;
"""

_T = TypeVar("_T")


class JournalFailed(Exception):
    """The disk did not take it, or not in time."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The ``Idempotency-Key`` that a create came with."""

    owner: str
    key: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Intent:
    """A conversation that somebody is about to ask Tavus for."""

    session_id: str
    instance: str
    account: str
    """Where it will be known, and nowhere else."""
    name: str
    """Its ``conversation_name``, by which it is found when the answer with its id is lost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A conversation that may cost money."""

    number: int
    intent: Intent
    conversation_id: str | None
    """None while only intended."""


@dataclass(frozen=True, slots=True)
class KeptKey:
    """An ``Idempotency-Key`` of an earlier process."""

    claim: Claim
    session_id: str
    claimed_ms: int
    """Unix ms."""
    answer: bytes | None
    """What its create came to; None when nobody knows."""


class Journal:
    """All coroutines raise ``JournalFailed``."""

    def __init__(
        self,
        database: sqlite3.Connection,
        executor: Executor,
        folder: DataDir | None = None,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Take over all three; ``executor`` runs one thing at a time. Raises sqlite3.Error."""
        self._database = database
        self._executor = executor
        self._folder = folder
        self._deadline_s = deadline_s
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(_TABLES)
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, not {VERSION}")
        self.root_secret = self._secret("root")
        """Made once for this folder, 32 random bytes; see ``core.keys``."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal in the folder ``path``, which is ours from now on.

        Blocks for some milliseconds. Raises ``CannotStart``.
        """
        folder = DataDir(path)
        database = None
        try:
            os.close(folder.open(_FILE))  # what SQLite makes beside it gets the same permissions
            database = sqlite3.connect(path / _FILE, timeout=1.0, check_same_thread=False)
            return cls(database, ThreadPoolExecutor(1, "journal"), folder)
        except (OSError, sqlite3.Error) as error:
            if database is not None:
                database.close()
            folder.close()
            raise CannotStart(f"{path / _FILE} cannot be used: {error}") from error

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Write what was begun, then let go of everything. The second time does nothing."""
        self._executor.shutdown()
        self._database.close()
        if self._folder is not None:
            self._folder.close()

    # --- conversations

    async def intend(self, intent: Intent, now_ms: int, claim: Claim | None = None) -> int:
        """Note that Tavus is about to be asked, for whose key; returns the row's number."""

        def write(database: sqlite3.Connection) -> int:
            oldest = (now_ms - KEEP_MS,)
            database.execute("DELETE FROM conversations WHERE ended_ms <= ?", oldest)
            database.execute("DELETE FROM keys WHERE claimed_ms <= ?", oldest)
            if claim is not None:
                database.execute(
                    "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, NULL)",
                    (claim.owner, claim.key, claim.body_hash, intent.session_id, now_ms),
                )
            cursor = database.execute(
                "INSERT INTO conversations (session_id, instance, account, conversation_name,"
                " state, created_ms) VALUES (?, ?, ?, ?, 'intent', ?)",
                (intent.session_id, intent.instance, intent.account, intent.name, now_ms),
            )
            assert cursor.lastrowid is not None  # an INSERT has one
            return cursor.lastrowid

        return await self._run(write)

    async def created(self, number: int, conversation_id: str) -> None:
        """Note the id that Tavus gave."""
        await self._execute(
            "UPDATE conversations SET state = 'created', conversation_id = ? WHERE number = ?",
            (conversation_id, number),
        )

    async def ended(self, number: int, now_ms: int) -> None:
        """Note that it costs nothing: Tavus has confirmed its end, or that it never was."""
        await self._execute(
            "UPDATE conversations SET state = 'ended', ended_ms = ? WHERE number = ?",
            (now_ms, number),
        )

    async def unended(self, account: str) -> list[Entry]:
        """Every conversation of ``account`` that may cost money."""
        rows = await self._rows(
            "SELECT number, session_id, instance, account, conversation_name, conversation_id"
            " FROM conversations WHERE state <> 'ended' AND account = ? ORDER BY number",
            (account,),
        )
        return [Entry(row[0], Intent(*row[1:5]), row[5]) for row in rows]

    async def unended_elsewhere(self, account: str) -> list[str]:
        """The other accounts with conversations that may cost money."""
        rows = await self._rows(
            "SELECT DISTINCT account FROM conversations WHERE state <> 'ended' AND account <> ?",
            (account,),
        )
        return [row[0] for row in rows]

    async def known_ids(self) -> set[str]:
        """The ids of all conversations noted here."""
        rows = await self._rows(
            "SELECT conversation_id FROM conversations WHERE conversation_id IS NOT NULL", ()
        )
        return {row[0] for row in rows}

    # --- Idempotency-Keys

    async def keys(self, now_ms: int, limit: int) -> list[KeptKey]:
        """The newest ``limit`` keys that still count, oldest first."""
        rows = await self._rows(
            "SELECT owner, key, body_hash, session_id, claimed_ms, answer FROM keys"
            " WHERE claimed_ms > ? ORDER BY claimed_ms DESC, rowid DESC LIMIT ?",
            (now_ms - KEEP_MS, limit),
        )
        return [KeptKey(Claim(*row[:3]), *row[3:]) for row in reversed(rows)]

    async def answer(self, session_id: str, answer: bytes) -> None:
        """Note what the create of a session came to, if it had a key."""
        await self._execute("UPDATE keys SET answer = ? WHERE session_id = ?", (answer, session_id))

    async def free(self, session_id: str) -> None:
        """Forget the key of a create that came to nothing."""
        await self._execute("DELETE FROM keys WHERE session_id = ?", (session_id,))

    # --- the thread

    async def _execute(self, statement: str, values: Iterable[object]) -> None:
        await self._run(lambda database: database.execute(statement, tuple(values)))

    async def _rows(self, query: str, values: Iterable[object]) -> list[tuple[Any, ...]]:
        return await self._run(lambda database: database.execute(query, tuple(values)).fetchall())

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        def transact() -> _T:
            with self._database as database:
                return work(database)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await loop.run_in_executor(self._executor, transact)
        except TimeoutError as error:
            raise JournalFailed(f"no answer of the disk within {self._deadline_s:g} s") from error
        except (sqlite3.Error, RuntimeError) as error:  # the second after ``close``
            raise JournalFailed(f"the journal failed: {error}") from error

    def _secret(self, name: str) -> bytes:
        with self._database as database:
            database.execute(
                "INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, secrets.token_bytes(32))
            )
            query = "SELECT value FROM secrets WHERE name = ?"
            (value,) = database.execute(query, (name,)).fetchone()
        assert isinstance(value, bytes)  # only this function writes there
        return value
