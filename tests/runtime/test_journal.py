from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import CannotStart
from app.runtime.journal import KEEP_MS, Claim, Entry, Intent, Journal, JournalFailed
from tests.support.journal import AtOnce

INTENT = Intent("sess_1", "bridge", "here", "Call [bridge/sess_1]")
CLAIM = Claim("me", "k", "hash")
NOW = 1_800_000_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal on disk, written by its own thread."""
    with Journal.open(tmp_path) as journal:
        yield journal


def states(path: Path) -> list[tuple[str, str | None]]:
    """Read what another process would find on the disk."""
    database = sqlite3.connect(path / "journal.db")
    query = "SELECT state, conversation_id FROM conversations ORDER BY number"
    rows = database.execute(query).fetchall()
    database.close()
    return rows


async def test_conversation_is_noted_from_intent_to_end(journal: Journal, tmp_path: Path) -> None:
    """At each step the disk has what the next process needs, before the step is confirmed."""
    number = await journal.intend(INTENT, NOW)
    steps = [states(tmp_path)]
    intended = await journal.unended("here")
    await journal.created(number, "c1")
    steps.append(states(tmp_path))
    created = await journal.unended("here")
    await journal.ended(number, NOW)
    steps.append(states(tmp_path))

    assert [[("intent", None)], [("created", "c1")], [("ended", "c1")]] == steps
    assert [Entry(number, INTENT, None)] == intended
    assert [Entry(number, INTENT, "c1")] == created
    assert [] == await journal.unended("here")
    assert {"c1"} == await journal.known_ids()


async def test_journal_outlives_its_process(tmp_path: Path) -> None:
    """What one has written, and its secret, the next one reads."""
    with Journal.open(tmp_path) as first:
        await first.intend(INTENT, NOW, CLAIM)
        await first.answer("sess_1", b"{}")
        key = first.root_secret
    with Journal.open(tmp_path) as second:
        left = await second.unended("here")
        (kept,) = await second.keys(NOW, 10)

    assert ["sess_1"] == [entry.intent.session_id for entry in left]
    assert (CLAIM, "sess_1", NOW, b"{}") == (
        kept.claim,
        kept.session_id,
        kept.claimed_ms,
        kept.answer,
    )
    assert key == second.root_secret
    assert 32 == len(key)


async def test_other_accounts_are_left_alone(journal: Journal) -> None:
    """What was made at one Tavus is not ended at another, but it is not forgotten either."""
    await journal.intend(replace(INTENT, account="there"), NOW)

    assert [] == await journal.unended("here")
    assert ["there"] == await journal.unended_elsewhere("here")
    assert [] == await journal.unended_elsewhere("there")


async def test_keys_are_taken_freed_and_taken_again(journal: Journal) -> None:
    """A key is its last claim's; freeing and answering go by the session."""
    await journal.intend(INTENT, NOW, CLAIM)
    await journal.free("sess_1")
    freed = await journal.keys(NOW, 10)
    await journal.intend(replace(INTENT, session_id="sess_2"), NOW + 1, CLAIM)
    await journal.intend(replace(INTENT, session_id="sess_3"), NOW + 2, CLAIM)
    await journal.answer("sess_2", b"late")
    (kept,) = await journal.keys(NOW + 2, 10)

    assert [] == freed
    assert ("sess_3", None) == (kept.session_id, kept.answer)


async def test_keys_come_in_order_and_bounded(journal: Journal) -> None:
    """The newest are kept, the oldest of them first."""
    for number in range(5):
        await journal.intend(INTENT, NOW, Claim("me", str(number), "hash"))

    assert ["2", "3", "4"] == [kept.claim.key for kept in await journal.keys(NOW, 3)]


async def test_old_rows_go(journal: Journal, tmp_path: Path) -> None:
    """Keys and ended conversations are forgotten after a day; what may cost money never is."""
    await journal.intend(INTENT, NOW)
    number = await journal.intend(INTENT, NOW, CLAIM)
    await journal.ended(number, NOW)
    await journal.intend(INTENT, NOW + KEEP_MS - 1)
    kept = len(states(tmp_path))
    await journal.intend(INTENT, NOW + KEEP_MS)

    assert 3 == kept
    assert ["intent"] * 3 == [state for state, _ in states(tmp_path)]
    assert [] == await journal.keys(NOW, 10)


async def test_disk_has_it_before_it_is_confirmed(journal: Journal) -> None:
    """Commits are synced: not even a crash of the machine takes back what was confirmed."""
    modes = [
        journal._database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    ]

    assert ["wal", 2] == modes  # 2 is FULL


def test_files_are_their_owners_alone(journal: Journal, tmp_path: Path) -> None:
    """Whatever SQLite puts beside the journal has its permissions."""
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert {"journal.db", "journal.db-wal", "journal.db-shm", "lock"} == files.keys()
    assert {0o600} == set(files.values())


async def test_one_thread_writes(journal: Journal) -> None:
    """The loop never waits for a disk, and the order is that of the calls."""
    before = threading.active_count()
    numbers = await asyncio.gather(*(journal.intend(INTENT, NOW) for _ in range(20)))

    assert list(range(1, 21)) == numbers
    assert 1 == threading.active_count() - before


async def test_full_disk_is_a_typed_failure(tmp_path: Path) -> None:
    """Whatever SQLite says; and the journal is as it was."""
    disk = AtOnce()
    journal = Journal(sqlite3.connect(tmp_path / "journal.db"), disk)
    disk.broken = True
    with pytest.raises(JournalFailed, match="disk is full"):
        await journal.intend(INTENT, NOW)
    disk.broken = False

    assert [] == await journal.unended("here")
    journal.close()


async def test_nobody_waits_for_ever() -> None:
    """A disk that hangs is given up after a while."""
    thread = ThreadPoolExecutor(1)
    database = sqlite3.connect(":memory:", check_same_thread=False)
    with Journal(database, thread, deadline_s=0.01) as journal:
        hang = threading.Event()
        thread.submit(hang.wait)
        with pytest.raises(JournalFailed, match=r"no answer of the disk within 0\.01 s"):
            await journal.known_ids()
        hang.set()


async def test_closed_journal_says_so(tmp_path: Path) -> None:
    """What comes too late fails like everything else; closing twice does nothing."""
    journal = Journal.open(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(JournalFailed):
        await journal.known_ids()


def test_second_process_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Two would each end the other's conversations."""
    with pytest.raises(CannotStart, match="in use by another process"):
        Journal.open(tmp_path)


@pytest.mark.parametrize("content", ["no database" * 100, "newer"])
def test_what_is_no_journal_of_ours_is_left_alone(tmp_path: Path, content: str) -> None:
    """A damaged one, or one of a newer version, is said in one line and the folder is free."""
    file = tmp_path / "journal.db"
    if content == "newer":
        database = sqlite3.connect(file)
        database.execute("PRAGMA user_version = 2")
        database.close()
    else:
        file.write_text(content)
    for _ in range(2):
        with pytest.raises(CannotStart, match=r"journal\.db cannot be used: [^\n]+$"):
            Journal.open(tmp_path)
