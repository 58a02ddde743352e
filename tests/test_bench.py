"""That the benchmark works: each part runs for a moment, and no figure is held to anything."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import interrupts, memory, profile, quality, realtime, startup, throughput, tricks
from bench.__main__ import FLOORS, OURS
from bench.child import ROOT, cores
from bench.delays import learn, measure
from bench.effort import QUICK, Effort
from bench.figures import Figures
from bench.goals import GOALS, sections
from bench.recorder import Kind, Record, Recorder, Rows
from bench.stage import Run
from bench.without import TRICKS

MS = 1_000_000

TINY = replace(QUICK, levels=(1,), most=2, packets=15, warm_up=5, crowd=1)


@pytest.fixture
def figures() -> Figures:
    """Nothing measured yet."""
    return Figures()


def test_real_time(figures: Figures, tmp_path: Path) -> None:
    """The service speaks, every hand-over finds its packet, and a limit is found."""
    realtime.run([OURS], TINY, figures, tmp_path)

    assert figures.of("p99@1", OURS)
    assert figures.of("most", OURS)
    assert "delay p99" in "\n".join(realtime.sections(figures, TINY, [OURS]))


def test_interrupts(figures: Figures, tmp_path: Path) -> None:
    """Interrupts are seen where they are read, where they cut and where they are answered."""
    interrupts.run([OURS], TINY, figures, tmp_path)

    assert all(figures.of(f"acted50 {when}", OURS) for when in interrupts.WHEN)
    assert figures.of("old burst", OURS)
    assert interrupts.sections(figures, TINY, [OURS])


def test_throughput(figures: Figures, tmp_path: Path) -> None:
    """All of a burst reaches the sink, with both floors."""
    throughput.run(FLOORS, TINY, figures, tmp_path)

    assert all(figures.of("echo 200 ms", floor)[0] > 0 for floor in FLOORS)
    assert throughput.sections(figures, FLOORS)


def test_memory(figures: Figures, tmp_path: Path) -> None:
    """Sessions come and go."""
    memory.run([OURS], TINY, figures, tmp_path)

    assert figures.of("kept", OURS)
    assert memory.sections(figures, [OURS])


def test_startup(figures: Figures, tmp_path: Path) -> None:
    """The command that people start comes up."""
    startup.run([OURS], Effort(starts=0), figures, tmp_path)

    assert startup.sections(figures, [OURS])


def test_tricks(figures: Figures, tmp_path: Path) -> None:
    """The service speaks without one, too."""
    tricks.run(OURS, TRICKS[:1], TINY, figures, tmp_path)

    assert figures.of("real time", OURS)
    assert TRICKS[0].text in "\n".join(tricks.sections(figures, TINY, OURS))


def test_every_trick_is_found_where_it_is_left_out() -> None:
    """In a process of its own: nothing puts them back."""
    undo = "from bench.without import TRICKS\nfor trick in TRICKS: trick.undo()"

    subprocess.run([sys.executable, "-c", undo], cwd=ROOT, check=True)


def test_quality_is_measured_in_sound() -> None:
    """HQ keeps a tone and adds nothing; QQ loses the heights."""
    level, rest = quality.loss("HQ", 7000)
    lost, _ = quality.loss("QQ", 7000)

    assert abs(level) < 0.1
    assert rest < -90
    assert lost < -3


def test_need_is_learned_from_the_quickest() -> None:
    """A session that is late once does not spoil what its neighbour taught."""
    sent = np.array([[1, 5], [21, 25], [41, 45]], np.int64) * MS
    rows = _rows((0, 22, 480), (1, 26, 480), (0, 67, 480), (1, 46, 480))

    need = learn(rows, sent)

    assert [480, 960] == need.ends.tolist()
    assert [1, 2] == need.packets.tolist()
    assert [0, 480, 960] == [need.complete(packets) for packets in (1, 2, 3)]


def test_delays_tell_the_framework_from_buffering() -> None:
    """A piece that a later packet completed is only late for what came after that packet."""
    sent = np.array([[1], [21], [41]], np.int64) * MS
    need = learn(_rows((0, 21, 480), (0, 41, 480)), sent)

    delays = measure(_rows((0, 24, 480), (0, 42, 480)), sent, need, 0)

    assert [1.0, 3.0] == delays.framework.tolist()
    assert 22.0 == delays.mean_ms
    assert 23.0 == delays.first_ms
    assert 0 == delays.missing


def test_what_is_not_handed_over_is_missing() -> None:
    """A backlog shows even though nothing that was handed over was late."""
    sent = np.array([[1], [21], [41]], np.int64) * MS
    need = learn(_rows((0, 21, 480), (0, 41, 480)), sent)

    delays = measure(_rows((0, 22, 480)), sent, need, 0)

    assert 480 == delays.missing


def test_who_begins_later_has_less_to_say() -> None:
    """Packets that a session did not send are missed by nobody."""
    sent = np.array([[1, 21], [21, 41], [41, 0]], np.int64) * MS
    rows = _rows((0, 21, 480), (0, 41, 480), (1, 42, 480))
    need = learn(rows, sent)

    delays = measure(rows, sent, need, 0)

    assert [0.0, 0.0, 1.0] == delays.framework.tolist()
    assert 0 == delays.missing


def test_cores_are_those_before_the_bench_binds_itself() -> None:
    """Else a subject and the generator would share one."""
    before, everywhere = cores(), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {before[1]})
    try:
        bound = cores()
    finally:
        os.sched_setaffinity(0, everywhere)

    assert before == bound


def test_run_that_others_disturb_is_doubted() -> None:
    """Neither a late generator nor a core that others had says anything of the subject."""
    none = np.zeros((0, 1), np.int64)
    calm, late, kept = (
        Run(_rows(), none, none, 0, late_us, part)
        for late_us, part in ((50, 0.01), (3000, 0.01), (50, 0.2))
    )

    assert not calm.doubt
    assert "3.0 ms late" in late.doubt
    assert "20% of the time" in kept.doubt


def test_record_is_read_while_it_is_written(tmp_path: Path) -> None:
    """What one process notes another sees, up to the last row."""
    recorder = Recorder(tmp_path / "record")
    record = Record(tmp_path / "record")
    recorder.note(3, Kind.AUDIO, 960)
    recorder.note(4, Kind.CUT)

    rows = record.rows()

    assert [3, 4] == rows.session.tolist()
    assert [Kind.AUDIO, Kind.CUT] == rows.kind.tolist()
    assert [960, 0] == rows.value.tolist()
    assert 960 == record.heard(3, 0)
    assert not len(record.rows(int(rows.time[-1]) + 1).time)


def test_profile_is_split_by_where_it_is() -> None:
    """Each sample counts once, for its innermost function; other threads do not count."""
    raw = (
        'thread (0x1): "MainThread";run (a.py:1);push (app/core/chunk.py:5) 3\n'
        'thread (0x1): "MainThread";run (a.py:1);parse (websockets/frames.py:7) 1\n'
        'thread (0x2): "journal";wait (threading.py:9) 9\n'
    )

    text = "\n".join(profile.lines(raw, 100.0))

    assert "| the service: core | 75.0% | 75.0 |" in text
    assert "| `parse` (websockets/frames.py) | 25.0% | 25.0 |" in text
    assert "threading" not in text


def test_goals_are_held_against_figures(figures: Figures) -> None:
    """A goal is met or not on what was measured, and silent without."""
    figures.add("cpu@50", OURS, 140)
    figures.add("cpu@50", FLOORS[0], 100)
    figures.add("kept", OURS, 5)

    text = "\n".join(sections(figures, TINY))

    assert "| ≤ 1.5 | 1.4 | 1 | yes |" in text
    assert "| ≤ 2 | 5 | – | **no** |" in text
    assert len(GOALS) > text.count("yes |") + text.count("**no** |")


def _rows(*rows: tuple[int, int, int]) -> Rows:
    """Rows of audio: session, time in ms, samples."""
    order = sorted(rows, key=lambda row: row[1])
    words = [(at * MS, session << 40 | Kind.AUDIO << 32 | value) for session, at, value in order]
    return Rows(np.array(words, np.int64).reshape(-1, 2))
