from __future__ import annotations

import io

from rich.console import Console

from app.speak.report import Report, Times

MS = 1_000_000


def console(*, terminal: bool = False) -> Console:
    """Make a console that keeps what is written."""
    return Console(
        file=io.StringIO(), force_terminal=terminal, highlight=False, soft_wrap=True, width=120
    )


def said(console: Console) -> str:
    """Return what was written."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_event_is_one_line_without_secrets() -> None:
    """A message is its time, its type and what a reader wants to know; no markup is made of it."""
    to = console()
    report = Report(to, None)

    report.event(
        {"type": "hello", "ts_ms": 5, "session": "s[b]1", "resume_token": "hidden", "epoch": 0},
        1_234 * MS,
    )
    report.event({"type": "audio.ack", "ts_ms": 5, "buffered_ms": 40}, 1_235 * MS)

    assert "   1.234  hello                 session=s[b]1 epoch=0\n" == said(to)


def test_summary_tells_what_is_known() -> None:
    """Times that never came are left out."""
    to = console()

    Report(to, None).summary(Times(asked=0, created=20 * MS))

    assert ["create                           20 ms"] == said(to).splitlines()


def test_summary_of_a_barge_in() -> None:
    """The service's own times stand beside what was seen from here."""
    to = console()
    done = {
        "status": "interrupted",
        "played_ms": 500,
        "received_ms": 4000,
        "source": "replica",
        "latency": {"first_sent_ms": 3, "started_ms": 110},
    }
    times = Times(
        asked=0,
        created=20 * MS,
        ready=1020 * MS,
        interrupt_sent=2000 * MS,
        interrupt_accepted=2004 * MS,
        stopped=2050 * MS,
        done=done,
    )

    Report(to, None).summary(times)

    assert [
        "create                           20 ms",
        "create to ready                1000 ms",
        "first byte to first sent          3 ms",
        "first byte to first played      110 ms",
        "interrupt to accepted             4 ms",
        "interrupt to silence             50 ms",
        "interrupted: 500 of 4000 ms were played, says the replica",
    ] == said(to).splitlines()


def test_bar_shows_the_played_position() -> None:
    """On a terminal the bar says how much of how much was played."""
    to = console(terminal=True)
    with Report(to, 3400) as report:
        report.played(1200)
        report.line("a line")
        report.played(3300, 3300)

    assert "1.2 of 3.4 s" in said(to)
    assert "3.3 of 3.3 s" in said(to)
    assert "a line" in said(to)


def test_no_bar_in_a_file() -> None:
    """Where nobody watches there are only lines."""
    to = console()
    with Report(to, None) as report:
        report.played(1200)

    assert "" == said(to)
