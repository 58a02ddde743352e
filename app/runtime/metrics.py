"""What the service counts, in Prometheus's words. One object a process, made by ``create_app``."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from app.core.events import Stall
from app.core.spec import Status

NS_PER_S = 1_000_000_000

_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.5, 1.0)


class Metrics:
    """All metrics, in a registry of their own so that two apps in one process do not mix."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        """Start everything at zero."""
        registry = CollectorRegistry()
        self._registry = registry
        self._sessions = Gauge(
            "avatar_bridge_sessions", "Sessions that have not ended", ["status"], registry=registry
        )
        for status in (Status.STARTING, Status.READY):
            self._sessions.labels(status.value)
        self._ended = Counter(
            "avatar_bridge_sessions_ended", "Sessions ended", ["reason"], registry=registry
        )
        self._tavus = Counter(
            "avatar_bridge_tavus_requests",
            "Requests to Tavus's REST API",
            ["call", "outcome"],
            registry=registry,
        )
        self._strays = Gauge(
            "avatar_bridge_stray_conversations",
            "Conversations without a session that are being looked for or ended",
            registry=registry,
        )
        self._recovered = Counter(
            "avatar_bridge_conversations_recovered",
            "Conversations without a session that were ended, by why they had none",
            ["why"],
            registry=registry,
        )
        for why in ("left over", "lost"):
            self._recovered.labels(why)
        self._renewals = Counter(
            "avatar_bridge_renewals",
            "Sessions that went on in another conversation, and attempts that failed",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("moved", "failed"):
            self._renewals.labels(outcome)
        self._utterances = Counter(
            "avatar_bridge_utterances",
            "Utterances done, by status and by what told their position",
            ["status", "source"],
            registry=registry,
        )
        self._interrupts = Counter(
            "avatar_bridge_interrupts", "Interrupts accepted", registry=registry
        )
        self._audio = Counter(
            "avatar_bridge_audio_seconds",
            "Speech received, sent to the room, and dropped",
            ["stage"],
            registry=registry,
        )
        for stage in ("received", "sent", "dropped"):
            self._audio.labels(stage)
        self._streams = Gauge(
            "avatar_bridge_stream_connections", "Open stream connections", registry=registry
        )
        self._messages_failed = Counter(
            "avatar_bridge_messages_failed",
            "App messages that did not reach the room, as far as is known",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("refused", "unanswered"):
            self._messages_failed.labels(outcome)
        self._stalls = Counter(
            "avatar_bridge_replica_stalls",
            "Replicas that were there and showed no life, by what was missed",
            ["what"],
            registry=registry,
        )
        for stall in Stall:
            self._stalls.labels(stall.value)
        self._rooms_lost = Counter(
            "avatar_bridge_rooms_lost", "Rooms that had to be joined again", registry=registry
        )
        self._workers_lost = Counter(
            "avatar_bridge_workers_lost", "Room workers that died or were killed", registry=registry
        )
        self._viewers = Gauge(
            "avatar_bridge_viewers", "Stream connections that get frames", registry=registry
        )
        self._frames = Counter(
            "avatar_bridge_frames",
            "Frames for viewers, by what became of them",
            ["kind", "outcome"],
            registry=registry,
        )
        self._tasks = Gauge(
            "avatar_bridge_tasks", "Tasks of the event loop, every 250 ms", registry=registry
        )
        self._loop_delay = Histogram(
            "avatar_bridge_event_loop_delay_seconds",
            "How late the event loop woke a sleeper",
            buckets=_SHORT_S,
            registry=registry,
        )
        self._first_sent = Histogram(
            "avatar_bridge_first_sent_seconds",
            "From the first audio of an utterance to its first hand-over to the room",
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._started = Histogram(
            "avatar_bridge_started_seconds",
            "From the first audio of an utterance until the replica is heard",
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._interrupt_latency = Histogram(
            "avatar_bridge_interrupt_seconds",
            "From an interrupt's arrival until everything of ours was cut",
            buckets=_SHORT_S,
            registry=registry,
        )

    def session_moved(self, old: Status | None, new: Status | None) -> None:
        """Count a session's way from one status to the next; None is before and after its life."""
        for status, step in ((old, -1), (new, 1)):
            if status in {Status.STARTING, Status.READY}:
                self._sessions.labels(status.value).inc(step)

    def session_ended(self, reason: str) -> None:
        """Count an ended session under its ``session.ended`` reason."""
        self._ended.labels(reason).inc()

    def tavus_called(self, call: str, outcome: str) -> None:
        """Count one request to Tavus; fits ``TavusApi``'s ``report``."""
        self._tavus.labels(call, outcome).inc()

    def stray_conversations(self, count: int) -> None:
        """Record how many conversations without a session may cost money."""
        self._strays.set(count)

    def conversation_recovered(self, why: str) -> None:
        """Count one of them as ended: ``left over`` by an earlier process, or ``lost``."""
        self._recovered.labels(why).inc()

    def renewed(self, *, well: bool) -> None:
        """Count a session that went on in another conversation, or an attempt that failed."""
        self._renewals.labels("moved" if well else "failed").inc()

    def utterance_done(
        self,
        status: str,
        source: str,
        *,
        received_ms: int,
        sent_ms: int,
        dropped_ms: int,
        first_sent_ms: int | None,
        started_ms: int | None,
    ) -> None:
        """Count one ``utterance.done`` with its amounts and latencies."""
        self._utterances.labels(status, source).inc()
        self._audio.labels("received").inc(received_ms / 1000)
        self._audio.labels("sent").inc(sent_ms / 1000)
        self._audio.labels("dropped").inc(dropped_ms / 1000)
        if first_sent_ms is not None:
            self._first_sent.observe(first_sent_ms / 1000)
        if started_ms is not None:
            self._started.observe(started_ms / 1000)

    def interrupted(self, took_ns: int) -> None:
        """Count an accepted interrupt and what it took from its arrival to its cut."""
        self._interrupts.inc()
        self._interrupt_latency.observe(took_ns / NS_PER_S)

    def stream_opened(self) -> None:
        """Count a stream connection in."""
        self._streams.inc()

    def stream_closed(self) -> None:
        """Count a stream connection out."""
        self._streams.dec()

    def viewer_came(self) -> None:
        """Count a connection that gets frames in."""
        self._viewers.inc()

    def viewer_went(self) -> None:
        """Count it out."""
        self._viewers.dec()

    def frame_sent(self, kind: str) -> None:
        """Count a frame that a connection took."""
        self._frames.labels(kind, "sent").inc()

    def frames_dropped(self, kind: str, count: int) -> None:
        """Count frames that were left out for a connection that did not take them in time."""
        self._frames.labels(kind, "dropped").inc(count)

    def message_failed(self, *, definite: bool) -> None:
        """Count an app message that the room refused, or of which it never said what became."""
        self._messages_failed.labels("refused" if definite else "unanswered").inc()

    def replica_stalled(self, what: str) -> None:
        """Count a replica that shows no life: of its ``speech``, or of its ``picture``."""
        self._stalls.labels(what).inc()

    def worker_lost(self) -> None:
        """Count a room worker that died or was killed."""
        self._workers_lost.inc()

    def room_lost(self) -> None:
        """Count a session that lost its room and joins again."""
        self._rooms_lost.inc()

    def loop_delayed(self, by_ns: int) -> None:
        """Record how late the event loop was once."""
        self._loop_delay.observe(by_ns / NS_PER_S)

    def tasks_counted(self, count: int) -> None:
        """Record how many tasks the event loop has: without sessions always the same few."""
        self._tasks.set(count)

    def text(self) -> bytes:
        """Write everything in Prometheus's text format, of type ``content_type``."""
        return generate_latest(self._registry)
