"""Who is in the room: what of each coming and going is news to the session."""

from __future__ import annotations

from app.core import events as e

News = e.ReplicaJoined | e.ReplicaLeft | e.ParticipantJoined | e.ParticipantLeft


class Occupants:
    """The people and the replicas in one room. Reports may come twice; news does not."""

    def __init__(self) -> None:
        """Know nobody."""
        self._people: dict[str, e.Participant] = {}
        self._ours: set[str] = set()
        """Our own participants: a room shows one that has died for some seconds more."""
        self._replicas: set[str] = set()
        self._replica_seen = False
        self._replica_told = False
        self._numbers: dict[str, int] = {}

    def lose_sight(self) -> None:
        """We are out: whether the replica is there is to be learnt anew."""
        self._replicas.clear()
        self._replica_seen = self._replica_told = False

    def entered(self, there: tuple[e.Participant, ...], ours: str = "") -> list[News]:
        """We came in, or came back, as ``ours``: these people are there and nobody else."""
        self._ours.add(ours)
        names = {participant.participant_id for participant in there}
        gone = [person for name, person in self._people.items() if name not in names]
        news = [self.left(person) for person in gone]
        news += [self.joined(participant) for participant in there]
        return [item for item in news if item is not None]

    def joined(self, participant: e.Participant) -> News | None:
        """Somebody is there."""
        name = participant.participant_id
        if participant.is_replica:
            self._replicas.add(name)
            self._replica_seen = True
            return e.ReplicaJoined()
        if name in self._people or name in self._ours:
            return None
        self._people[name] = participant
        self._numbers.setdefault(name, len(self._numbers) + 1)
        return e.ParticipantJoined(participant)

    def left(self, participant: e.Participant) -> News | None:
        """Somebody is gone."""
        name = participant.participant_id
        if name in self._replicas:
            self._replicas.remove(name)
            return None if self._replicas else e.ReplicaLeft()
        if name not in self._people:
            return None
        del self._people[name]
        return e.ParticipantLeft(participant)

    def present(self) -> News | None:
        """Tavus says that the replica is there.

        That counts only as long as no replica was seen as a participant: a word that comes late
        must not bring back one that has left.
        """
        self._replica_told = True
        return self.told()

    def told(self) -> News | None:
        """What Tavus has said of the replica so far, also before anybody was in the room."""
        if not self._replica_told:
            return None
        return None if self._replica_seen and not self._replicas else e.ReplicaJoined()

    def number(self, participant: e.Participant) -> int:
        """1, 2, ... in the order people first came; the same when one comes back."""
        return self._numbers[participant.participant_id]

    def number_of(self, participant_id: str) -> int | None:
        """The number of somebody who came, None for whom we do not know."""
        return self._numbers.get(participant_id)
