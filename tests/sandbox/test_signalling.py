from __future__ import annotations

from typing import Any

import pytest

from app.sandbox.device import Device
from app.sandbox.faults import parse_faults
from app.sandbox.signalling import Member, Refused, Signalling
from tests.support.sandbox import FakeOutbox


def with_two(**faults: Any) -> tuple[Signalling, FakeOutbox, FakeOutbox]:
    """Two people, ``a`` and ``b``, and what each is sent."""
    signalling = Signalling(parse_faults(faults))
    outboxes = {name: FakeOutbox() for name in "ab"}
    for name, outbox in outboxes.items():
        signalling.members[name] = Member(name, name.upper(), outbox, Device())
    return signalling, outboxes["a"], outboxes["b"]


def test_a_message_goes_to_all_but_its_sender() -> None:
    """A participant that is not among them, the replica, is heard by all."""
    signalling, a, b = with_two()

    signalling.deliver({"x": 1}, "a")
    signalling.deliver({"x": 2}, "replica")

    assert [{"x": 2}] == a.messages()
    assert [{"x": 1}, {"x": 2}] == b.messages()


def test_nothing_passes_while_it_is_lost() -> None:
    """Everybody is told when that begins and when it is over."""
    signalling, a, b = with_two()

    signalling.interrupt()
    signalling.deliver({}, "a")
    lost = signalling.lost
    signalling.restore()
    signalling.deliver({}, "a")

    assert (True, False) == (lost, signalling.lost)
    assert ["interrupted", "restored"] == a.ops()
    assert ["interrupted", "restored", "message"] == b.ops()


def test_the_nth_message_is_refused() -> None:
    """Counted over all senders; the others are taken as they are."""
    signalling, _, _ = with_two(refuse_nth=2)

    first = signalling.take('{"x": 1}')
    with pytest.raises(Refused, match="failed to send"):
        signalling.take("{}")

    assert {"x": 1} == first
    assert [] == signalling.take("[]")


def test_chance_is_repeated_by_its_seed() -> None:
    """The same messages are refused again."""
    outcomes = []
    for _ in range(2):
        signalling, _, _ = with_two(refuse_probability=0.5, seed=3)
        taken = []
        for _ in range(50):
            try:
                signalling.take("{}")
                taken.append(True)
            except Refused:
                taken.append(False)
        outcomes.append(taken)

    assert outcomes[0] == outcomes[1]
    assert {True, False} == set(outcomes[0])
