"""A subject and the generator, each on its core, and what both recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from bench.child import Child, cores
from bench.recorder import Kind, Record, Rows

SETTLE_MS = 150
"""Longer than a hand-over may take after the last packet without being a backlog."""

QUIET_NS = 100_000_000
"""Without a hand-over for so long, a subject has worked off what it had."""

LATE_US = 2000
"""A generator so much late at its 99th percentile makes a run doubtful."""

KEPT = 0.03
"""So does another process that had a core for this part of the time: on an idle machine it is a
third of it."""

PAUSE_MS = 250
"""Between two runs; Pipecat clears its resampler after 200 ms without audio."""


@dataclass(frozen=True)
class Subject:
    """Something to measure."""

    name: str
    module: str
    """In ``bench.subjects``."""
    options: dict[str, Any] = field(default_factory=dict)
    python: str = ""
    """The interpreter of its own environment."""
    makes_sessions: bool = False
    """Sessions are made over HTTP, as the service wants it."""
    answers: bool = True
    """An interrupt is answered."""

    def but(self, **options: Any) -> Subject:
        """Return the same with other options."""
        given = {**self.options, **options}
        return Subject(
            self.name, self.module, given, self.python, self.makes_sessions, self.answers
        )


@dataclass(frozen=True)
class Run:
    """One real-time run. ``rows`` count sessions from 0, like ``sent`` (packet × session, ns)."""

    rows: Rows
    sent: NDArray[np.int64]
    interrupts: NDArray[np.int64]
    """Session, then when it was sent, accepted, and sound sent again; ns."""
    cpu_ns: int
    late_p99_us: int
    """How late the generator was: what comes late from there says nothing of the subject."""
    kept: float
    """Part of the time in which the subject or the generator was kept waiting for its core."""

    @property
    def cpu_us(self) -> float:
        """CPU time of the subject for each packet, µs."""
        return self.cpu_ns / 1000 / max(1, int(np.count_nonzero(self.sent)))

    @property
    def doubt(self) -> str:
        """What others on the machine did to it; empty when that was nothing."""
        doubts = []
        if self.late_p99_us > LATE_US:
            doubts.append(f"the generator was {self.late_p99_us / 1000:.1f} ms late (p99)")
        if self.kept > KEPT:
            doubts.append(f"others had a core for {self.kept:.0%} of the time")
        return ", ".join(doubts)

    @property
    def loop_ms(self) -> NDArray[np.float64]:
        """How late the event loop was for timers, ms."""
        return self.rows.of(Kind.LATE).value / 1000


class Stage:
    """One running subject."""

    def __init__(
        self,
        subject: Subject,
        service: Child,
        generator: Child,
        folder: Path,
        http: httpx.Client,
    ) -> None:
        """Take both processes."""
        self.subject = subject
        self.service = service
        self.generator = generator
        self.record = Record(folder / "record")
        self._out = folder / "run.npz"
        self._port = http.base_url.port
        self._first = 0
        """The number in the record of the generator's first session."""
        self._made: list[str] = []
        self._http = http

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return len(self._made)

    def open(self, sessions: int, **body: Any) -> None:
        """Have so many open sessions; ``body``: of ``POST /sessions`` where there is one."""
        paths = []
        for number in range(self._first + self.sessions, self._first + sessions):
            if self.subject.makes_sessions:
                answer = self._http.post("/sessions", params={"wait": "ready"}, json=body)
                answer.raise_for_status()
                session = answer.json()
                assert session["conversation_id"] == f"c{number}"  # how the sink counts them
                self._made.append(session["id"])
                query = f"sample_rate=16000&progress_ms=200&bench={number}"
                paths.append(f"/sessions/{session['id']}/stream?{query}")
            else:
                self._made.append("")
                paths.append(f"/{number}")
        self.generator.ask("open", urls=[self._url(path) for path in paths])

    def view(self, viewers: int) -> None:
        """Let so many watch every session."""
        paths = [f"/sessions/{session_id}/stream?role=observe" for session_id in self._made]
        self.generator.ask("view", urls=[self._url(path) for path in paths for _ in range(viewers)])

    def close(self) -> None:
        """Close all sessions."""
        self.generator.ask("close")
        for session_id in filter(None, self._made):
            self._http.delete(f"/sessions/{session_id}").raise_for_status()
        self.generator.ask("wait", ms=PAUSE_MS)  # what follows an end goes on without its caller
        self._first += self.sessions
        self._made.clear()

    def stream(self, sessions: int, packets: int, **how: Any) -> Run:
        """Let the first sessions speak in real time, all they can do in use."""
        both = self.service, self.generator
        before, kept = self.service.ask("cpu")["cpu_ns"], [child.kept_ns() for child in both]
        answer = self.generator.ask("stream", **self._asked(sessions, packets), **how)
        cpu_ns = self.service.ask("cpu")["cpu_ns"] - before
        kept = [child.kept_ns() - ns for child, ns in zip(both, kept, strict=True)]
        self.generator.ask("wait", ms=SETTLE_MS)
        with np.load(self._out) as arrays:
            sent, interrupts = arrays["sent"], arrays["interrupts"]
        rows = self.rows(answer["begin"], time.monotonic_ns())
        self.calm(sessions)
        share = max(kept) / (answer["end"] - answer["begin"])
        return Run(rows, sent, interrupts, cpu_ns, answer["late_p99_us"], share)

    @contextmanager
    def speaking(self, sessions: int, packets: int) -> Iterator[None]:
        """Let the first sessions speak meanwhile, all they can do in use."""
        self.generator.tell("stream", **self._asked(sessions, packets))
        yield
        self.generator.hear()
        self.calm(sessions)

    def memory(self) -> int:
        """Bytes that the subject has for itself."""
        taken: int = self.service.ask("memory")["bytes"]
        return taken

    def heard(self, since: int) -> int:
        """Samples that were handed over for the first session from ``since`` on."""
        return self.record.heard(self._first, since)

    def rows(self, since: int, until: int | None = None) -> Rows:
        """What was recorded, sessions counted from 0."""
        rows = self.record.rows(since, until)
        rows.session = rows.session - self._first * (rows.kind != Kind.LATE)
        return rows

    def _url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self._port}{path}"

    def _asked(self, sessions: int, packets: int) -> dict[str, Any]:
        marks = self.subject.makes_sessions
        return {"sessions": sessions, "packets": packets, "out": str(self._out), "marks": marks}

    def calm(self, sessions: int) -> None:
        """Wait until nothing is handed over, then let the first sessions begin anew."""
        end = time.monotonic() + 20
        while len(self.record.rows(time.monotonic_ns() - QUIET_NS).of(Kind.AUDIO).time):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.subject.name} does not work off what it has")
            self.generator.ask("wait", ms=20)
        self.generator.ask("interrupt", sessions=sessions, answered=self.subject.answers)
        self.generator.ask("wait", ms=PAUSE_MS)


@contextmanager
def staged(subject: Subject, folder: Path) -> Iterator[Stage]:
    """Run a subject and a generator, in a folder made for this alone."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        service = stack.enter_context(start(subject, folder, log))
        port = service.hear()["port"]
        http = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        )
        generator = stack.enter_context(Child("-m", "bench.generator", core=cores()[1], log=log))
        try:
            yield Stage(subject, service, generator, folder, http)
        except Exception as error:
            log.flush()
            error.add_note((folder / "log").read_text(errors="replace")[-4000:])
            raise


def start(subject: Subject, folder: Path, log: Any) -> Child:
    """Start the process of a subject; it says its port when it serves."""
    options = {"data_dir": str(folder / "data"), **subject.options}
    arguments = ("-m", "bench.subjects", subject.module, str(folder / "record"))
    return Child(*arguments, json.dumps(options), core=cores()[0], log=log, python=subject.python)
