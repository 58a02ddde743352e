"""Brings what the voice has to tell to whom it concerns, and acknowledges the producer's audio."""

from __future__ import annotations

from app.core import wire_out as out
from app.core.producer import Producer
from app.core.voice import Voice
from app.runtime.alarm import Alarm, CallAt
from app.runtime.bus import Bus, Subscription
from app.runtime.clock import Clock
from app.runtime.metrics import Metrics

ACK_NS = 170_000_000
"""How often audio is acknowledged while it arrives: by the first packet that comes so long after
the acknowledgement before."""

LATEST_ACK_NS = 190_000_000
"""So long after it what came since is acknowledged without another packet: the contract says
200 ms, and a busy machine wakes us late."""


class Teller:
    """One session's. The producer's connection is told what concerns it alone."""

    def __init__(  # noqa: PLR0917  # what is to be told, to whom, and when
        self,
        voice: Voice,
        bus: Bus,
        producer: Producer,
        metrics: Metrics,
        clock: Clock,
        call_at: CallAt,
    ) -> None:
        """Make one whose producer is not connected."""
        self._voice = voice
        self._bus = bus
        self._producer = producer
        self._metrics = metrics
        self._clock = clock
        self._acked_at = 0
        self._owes = False
        """Audio came that is not acknowledged."""
        self._alarm = Alarm(call_at, self._on_alarm)
        self.listener: Subscription | None = None
        """The producer's connection."""

    def publish(self) -> bool:
        """Tell what there is to tell, in order; True when an utterance is done."""
        done = False
        for message in self._voice.take():
            if isinstance(message, out.UtteranceDone):
                done = True
                self._count(message)
            # The voice's errors are about what the producer sent, never about the session.
            if isinstance(message, out.SessionMessage) and not isinstance(message, out.Error):
                self._bus.publish(message)
            elif self.listener is not None:
                self.listener.tell(message)
        return done

    def heard(self, now: int) -> None:
        """Audio came: it is acknowledged now, or when the next acknowledgement is due."""
        if now - self._acked_at >= ACK_NS:
            self.acknowledge(now)
        elif not self._owes:
            self._owes = True
            self._alarm.set(self._acked_at + LATEST_ACK_NS)

    def acknowledge(self, now: int) -> None:
        """Acknowledge all audio that came, behind everything that it brought about."""
        self.publish()
        self._acked_at = now
        self._owes = False
        self._alarm.stop()  # to wake up for nothing costs more than to set it anew
        told = self._voice.intake.ack(self._producer.received)
        if told is not None and self.listener is not None:
            self.listener.tell(told)

    def flush(self, now: int) -> None:
        """Acknowledge at once what is not acknowledged: something else comes next."""
        if self._owes:
            self.acknowledge(now)

    def stop(self) -> None:
        """Acknowledge nothing more."""
        self._alarm.stop()

    def _on_alarm(self) -> None:
        self.flush(self._clock.now())

    def _count(self, done: out.UtteranceDone) -> None:
        self._metrics.utterance_done(
            done.status,
            done.source,
            received_ms=done.received_ms,
            sent_ms=done.sent_ms,
            dropped_ms=done.dropped_ms,
            first_sent_ms=done.latency.first_sent_ms,
            started_ms=done.latency.started_ms,
        )
