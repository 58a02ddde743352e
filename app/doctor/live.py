"""``doctor --live``: finds out, through a running service, what nobody knows about Tavus.

::

    ask for consent ─▶ free questions ─▶ echo ─▶ echo, all handed over at once ─▶ track ─▶ absence
    whatever happened: end every conversation, write the report
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import httpx
from rich.console import Console

from app.core.spec import AudioPathName
from app.doctor import asked_absence as absence
from app.doctor import asked_rest as rest
from app.doctor import asked_room as room
from app.doctor.bench import Bench
from app.doctor.call import Call
from app.doctor.experiment import Experiment, LiveFailed, Result, conduct
from app.doctor.live_report import Circumstances, markdown
from app.doctor.person import Nobody, Person, Typist
from app.doctor.tavus import client
from app.doctor.wish import LiveWish
from app.errors import TavusError
from app.runtime.clock import Clock, SystemClock
from app.runtime.tasks import Tasks
from app.runtime.tavus_api import BASE_URL
from app.settings import RoomKind, Settings

ALL_AT_ONCE_MS = 10_000
"""The longest lead: audio is at Tavus as soon as it is here."""

CONVERSATIONS = 5
TALK_S = 150
"""What the conversations take but for the waiting, seconds; a slow start may add a minute each."""

REQUEST_S = 10.0

Ask = Callable[[Call, Result], Awaitable[str]]


def run_live(wish: LiveWish, settings: Settings) -> int:
    """Test and return the exit code: 0, 1 for a failure, or 128 plus the signal that ended it."""
    console = Console(highlight=False, soft_wrap=True)
    person = Nobody() if wish.yes else Typist(console, sys.stdin.fileno())
    try:
        return asyncio.run(_run(wish, settings, console, person))
    except KeyboardInterrupt:  # before anything was spent
        return 128 + signal.SIGINT
    except (LiveFailed, TavusError) as failed:
        print(f"avatar-bridge: {failed}", file=sys.stderr)  # noqa: T201  # a command's own voice
        return 1


async def _run(wish: LiveWish, settings: Settings, console: Console, person: Person) -> int:
    clock = SystemClock()
    async with (
        httpx.AsyncClient(base_url=wish.url, headers=wish.headers, timeout=REQUEST_S) as http,
        client(settings, _tavus_url(wish, settings)) as tavus,
    ):
        try:
            answer = await http.get("/sessions", params={"limit": 1})
        except httpx.HTTPError as error:
            raise LiveFailed(f"no service answers at {wish.url}: {error}") from None
        if answer.status_code != 200:
            raise LiveFailed(f"the service refuses us: {answer.text[:200]}")
        await tavus.ping()
        if not await person.agrees(_warning(wish)):
            raise LiveFailed("nothing was spent")
        bench = Bench(http, wish.headers, tavus, settings, clock)
        return await LiveTest(wish, bench, console, person, clock).run()


def _tavus_url(wish: LiveWish, settings: Settings) -> str:
    if settings.tavus_base_url is not None:
        return settings.tavus_base_url
    return f"{wish.url}/sandbox/v2" if settings.room_kind is RoomKind.SANDBOX else BASE_URL


def _warning(wish: LiveWish) -> str:
    minutes = (TALK_S + 2 * (wish.absent_s + absence.grace_s(wish.absent_s)) + 59) // 60
    return (
        f"This makes {CONVERSATIONS} conversations at Tavus, one after another, about {minutes} "
        "minutes in all. They cost what conversations cost."
    )


class LiveTest:
    """All experiments, from the consent to the report."""

    def __init__(
        self, wish: LiveWish, bench: Bench, console: Console, person: Person, clock: Clock
    ) -> None:
        """Have asked nothing."""
        self._wish = wish
        self._bench = bench
        self._console = console
        self._person = person
        self._clock = clock
        self._results: list[Result] = []
        self._room = "unknown"
        self._stopped_by: signal.Signals | None = None

    async def run(self) -> int:
        """Ask everything; ends every conversation and writes the report in any case."""
        begun = self._clock.wall()
        tasks = Tasks(lambda _name, _error: None)  # what it died of is raised below
        asking = tasks.spawn("ask", self._ask_all())
        loop = asyncio.get_running_loop()
        # They stay ours to the end, which no wait keeps for long: a second one must not leave a
        # conversation behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number, asking)
        await asyncio.wait({asking})
        self._console.print("ending every conversation ...", markup=False)
        try:
            await self._bench.close()
        finally:
            self._write(begun)
        if self._stopped_by is not None:
            return 128 + self._stopped_by
        await asking
        return 1 if self._bench.left else 0

    def _stop(self, number: signal.Signals, asking: asyncio.Task[None]) -> None:
        if self._stopped_by is None:
            self._stopped_by = number
            asking.cancel()

    async def _ask_all(self) -> None:
        bench, absent_s = self._bench, self._wish.absent_s
        await self._ask(rest.PERSONAS, partial(rest.ask_personas, bench))
        await self._ask(rest.DAILY_ROOM, partial(rest.ask_daily_room, bench))
        await self._ask(rest.END_TWICE, partial(rest.ask_end_twice, bench))
        done_as = bench.settings.echo_done
        await self._ask_in_call(
            AudioPathName.ECHO,
            (room.ROOM, room.ask_room),
            (room.DONE, partial(room.ask_done, done_as=done_as)),
            (room.IDS, room.ask_ids),
        )
        await self._ask_in_call(
            AudioPathName.ECHO,
            (room.QUEUED, room.ask_queued),
            (room.SECOND_ID, room.ask_second_id),
            (room.DEAD_ID, room.ask_dead_id),
            lead_ms=ALL_AT_ONCE_MS,
        )
        await self._ask_in_call(
            AudioPathName.TRACK, (room.TRACK, room.ask_track), (room.PAUSE, room.ask_pause)
        )
        await self._ask(absence.NOBODY, partial(absence.ask_nobody, bench, absent_s=absent_s))
        await self._ask_in_call(
            AudioPathName(bench.settings.audio_path),
            (absence.ONLY_US, partial(absence.ask_only_us, absent_s=absent_s)),
            **absence.wish(absent_s),
        )

    async def _ask_in_call(
        self, path: AudioPathName, *asked: tuple[Experiment, Ask], **wish: Any
    ) -> None:
        """Ask several things in one conversation."""
        open_questions = list(asked)
        try:
            async with self._bench.call(path, **wish) as call:
                self._room = call.session["room"]
                await call.until_ready()
                if any(experiment.audible for experiment, _ in asked):
                    url = call.session["conversation_url"]
                    await self._person.tells(f"Open {url} to listen; Enter when you are there:")
                while open_questions:
                    experiment, ask = open_questions.pop(0)
                    await self._ask(experiment, partial(ask, call))
        except (LiveFailed, TavusError) as failed:
            for experiment, _ in open_questions:
                await self._ask(experiment, partial(_never, failed))

    async def _ask(
        self, experiment: Experiment, carry_out: Callable[[Result], Awaitable[str]]
    ) -> None:
        self._console.print(experiment.question, style="bold", markup=False)
        result = Result(experiment)
        self._results.append(result)
        await conduct(result, carry_out)
        for seen in result.seen:
            self._console.print(f"  saw  {seen}", markup=False)
        if experiment.audible and result.seen:
            result.heard = await self._person.tells("  What did you hear? (Enter: nothing to say)")
        self._console.print(f"  =>   {result.verdict}", markup=False)

    def _write(self, begun: datetime) -> None:
        bench = self._bench
        where = Circumstances(
            begun=begun,
            ended=self._clock.wall(),
            url=self._wish.url,
            room=self._room,
            name=bench.name,
            stopped_by=self._stopped_by.name if self._stopped_by else None,
        )
        self._wish.report.write_text(
            markdown(where, self._results, bench.made, bench.left), encoding="utf-8"
        )
        self._console.print(f"report: {self._wish.report}", markup=False)
        for conversation_id in bench.left:
            self._console.print(f"MAY STILL RUN: {conversation_id}", style="bold red")


async def _never(why: Exception, _: Result) -> str:
    """Answer what could not even be asked."""
    raise LiveFailed(str(why))
