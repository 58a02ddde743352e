from __future__ import annotations

from functools import partial

from app.sandbox.agenda import Agenda


def test_plans_run_in_order_of_time() -> None:
    """Equal moments keep the order they were made in, and each is told its own moment."""
    agenda = Agenda()
    ran: list[tuple[str, int]] = []

    def note(at: int, name: str) -> None:
        ran.append((name, at))

    for at, name in ((5, "b"), (3, "a"), (5, "c")):
        agenda.add(at, partial(note, name=name))
    while agenda.next_deadline() is not None:
        agenda.run_next(9)

    assert [("a", 3), ("b", 5), ("c", 5)] == ran


def test_a_cancelled_plan_never_runs() -> None:
    """Cancelling again, or after it ran, does nothing."""
    agenda = Agenda()
    ran: list[int] = []

    number = agenda.add(1, ran.append)
    agenda.add(2, ran.append)
    agenda.cancel(number)
    agenda.cancel(number)
    agenda.run_next(2)
    agenda.add(3, ran.append)
    agenda.clear()

    assert [2] == ran
    assert agenda.next_deadline() is None
