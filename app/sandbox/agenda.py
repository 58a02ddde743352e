"""What is planned for later moments, pure: nothing runs until ``run_next`` is called."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Plan = Callable[[int], None]
"""Called with the moment it was planned for, integer ns."""


class Agenda:
    """Plans in order of time; equal moments keep the order they were made in."""

    def __init__(self) -> None:
        """Plan nothing."""
        self._heap: list[tuple[int, int, Plan]] = []
        self._made = 0

    def add(self, at: int, plan: Plan) -> int:
        """Plan something; returns a number to cancel it by."""
        self._made += 1
        heapq.heappush(self._heap, (at, self._made, plan))
        return self._made

    def cancel(self, number: int) -> None:
        """Forget a plan; nothing happens when it ran already."""
        self._heap = [item for item in self._heap if item[1] != number]
        heapq.heapify(self._heap)

    def clear(self) -> None:
        """Forget all plans."""
        self._heap.clear()

    def next_deadline(self) -> int | None:
        """When the first plan is due."""
        return self._heap[0][0] if self._heap else None

    def run_next(self, _: int) -> None:
        """Run the first plan, whatever time it is."""
        at, _, plan = heapq.heappop(self._heap)
        plan(at)
