"""Who is in one Daily room, ourselves left out: built from the join's result and from events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from app.core.events import Participant


class People:
    """In the order in which they came; participants are dicts as daily-python gives them."""

    def __init__(self) -> None:
        """Know nobody."""
        self.replica_name = ""
        """The name that a replica bears where no user id says who it is; empty: not known."""
        self.ours = ""
        """Our own participant id, once we are in."""
        self._there: dict[str, Participant] = {}

    @property
    def there(self) -> tuple[Participant, ...]:
        """Everybody."""
        return tuple(self._there.values())

    def enter(self, participants: Mapping[str, Mapping[str, Any]]) -> None:
        """Note whom the join found: ``local`` is us, the others go by their ids."""
        self.ours = str(participants.get("local", {}).get("id") or "")
        for participant in participants.values():
            self.meet(participant)

    def meet(self, participant: Mapping[str, Any]) -> Participant | None:
        """Remember who is there; returns who is new or has changed, but never ourselves."""
        name = participant.get("id")
        info = participant.get("info") or {}
        if not isinstance(name, str) or info.get("isLocal"):
            return None
        person = Participant(name, str(info.get("userId") or ""), str(info.get("userName") or ""))
        before = self._there.get(name)
        if self._is_namesake(person) or (before is not None and before.is_namesake):
            person = replace(person, is_namesake=True)
        if before == person:
            return None
        self._there[name] = person
        return person

    def part(self, participant: Mapping[str, Any]) -> Participant | None:
        """Forget who went; returns who that was, None when nobody knew them."""
        return self._there.pop(str(participant.get("id")), None)

    def _is_namesake(self, person: Participant) -> bool:
        """Whether it has to be the replica, since nobody has a replica's user id."""
        if not self.replica_name or person.name != self.replica_name:
            return False
        return not any(each.has_replica_id for each in (person, *self._there.values()))
