"""What the service counts."""

from __future__ import annotations

from app.core.spec import Status
from app.runtime.metrics import Metrics


def lines(metrics: Metrics) -> set[str]:
    """Take the samples without comments and creation times."""
    return {
        line
        for line in metrics.text().decode().splitlines()
        if not line.startswith("#") and "_created" not in line
    }


def test_live_sessions_are_counted_by_status() -> None:
    """A session is in one status at a time, and in none once it is over."""
    metrics = Metrics()
    metrics.session_moved(None, Status.STARTING)
    metrics.session_moved(None, Status.STARTING)
    metrics.session_moved(Status.STARTING, Status.READY)
    during = lines(metrics)
    metrics.session_moved(Status.READY, Status.ENDED)
    metrics.session_moved(Status.STARTING, Status.FAILED)
    metrics.session_ended("deleted")
    after = lines(metrics)

    assert {
        'avatar_bridge_sessions{status="starting"} 1.0',
        'avatar_bridge_sessions{status="ready"} 1.0',
    } <= during
    assert {
        'avatar_bridge_sessions{status="starting"} 0.0',
        'avatar_bridge_sessions{status="ready"} 0.0',
        'avatar_bridge_sessions_ended_total{reason="deleted"} 1.0',
    } <= after


def test_an_utterance_counts_with_its_audio_and_latencies() -> None:
    """Amounts add up in seconds; a latency that is not known is not counted."""
    metrics = Metrics()
    metrics.utterance_done(
        "played",
        "replica",
        received_ms=1500,
        sent_ms=1500,
        dropped_ms=0,
        first_sent_ms=20,
        started_ms=400,
    )
    metrics.utterance_done(
        "interrupted",
        "clock",
        received_ms=1000,
        sent_ms=250,
        dropped_ms=750,
        first_sent_ms=None,
        started_ms=None,
    )

    assert {
        'avatar_bridge_utterances_total{source="replica",status="played"} 1.0',
        'avatar_bridge_utterances_total{source="clock",status="interrupted"} 1.0',
        'avatar_bridge_audio_seconds_total{stage="received"} 2.5',
        'avatar_bridge_audio_seconds_total{stage="sent"} 1.75',
        'avatar_bridge_audio_seconds_total{stage="dropped"} 0.75',
        "avatar_bridge_first_sent_seconds_count 1.0",
        "avatar_bridge_started_seconds_sum 0.4",
    } <= lines(metrics)


def test_interrupts_streams_calls_delays_and_tasks_are_counted() -> None:
    """Nanoseconds come in, seconds go out."""
    metrics = Metrics()
    metrics.interrupted(2_000_000)
    metrics.stream_opened()
    metrics.stream_opened()
    metrics.stream_closed()
    metrics.tavus_called("create", "ok")
    metrics.loop_delayed(3_000_000)
    metrics.tasks_counted(7)
    metrics.stray_conversations(2)
    metrics.conversation_recovered("lost")

    assert {
        "avatar_bridge_interrupts_total 1.0",
        "avatar_bridge_interrupt_seconds_sum 0.002",
        "avatar_bridge_stream_connections 1.0",
        'avatar_bridge_tavus_requests_total{call="create",outcome="ok"} 1.0',
        'avatar_bridge_event_loop_delay_seconds_bucket{le="0.005"} 1.0',
        'avatar_bridge_event_loop_delay_seconds_bucket{le="0.0025"} 0.0',
        "avatar_bridge_tasks 7.0",
        "avatar_bridge_stray_conversations 2.0",
        'avatar_bridge_conversations_recovered_total{why="lost"} 1.0',
        'avatar_bridge_conversations_recovered_total{why="left over"} 0.0',
    } <= lines(metrics)


def test_two_apps_do_not_share_their_counts() -> None:
    """Each object has its own registry."""
    one, other = Metrics(), Metrics()
    one.stream_opened()

    assert "avatar_bridge_stream_connections 0.0" in lines(other)
