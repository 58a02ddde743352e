"""One example of every message of the stream, in the order in which the documents list them.

They tell one conversation: a backend at 16 kHz says "hello", and somebody barges in.
"""

from __future__ import annotations

from app.core import wire_in, wire_out
from app.core.pcm import AudioFormat, Encoding
from app.core.roles import Role
from app.core.spec import Status

TS_MS = 1_700_000_000_000
"""The time that every example was sent at, Unix milliseconds."""

SEQ = 7
"""The number of every example that has one."""

_FORMAT = AudioFormat(Encoding.S16LE, 16_000, 1)

CLIENT: tuple[wire_in.ClientMessage, ...] = (
    wire_in.UtteranceStart(
        utterance_id="reply-1", format=wire_in.Format(sample_rate=16_000), epoch=0, id="m-1"
    ),
    wire_in.AudioAppend(audio=bytes(8)),
    wire_in.UtteranceEnd(utterance_id="reply-1"),
    wire_in.Mark(name="after-hello"),
    wire_in.PlaybackPause(id="m-2"),
    wire_in.PlaybackResume(id="m-3"),
    wire_in.SessionKeepalive(),
    wire_in.Ping(ts=1_699_999_999_990),
    wire_in.Interrupt(reason="user_spoke", id="m-4"),
    wire_in.TavusSend(event_type="conversation.respond", properties={"text": "Who are you?"}),
    wire_in.FramesSubscribe(
        video=wire_in.VideoChoice(max_fps=15, max_width=640),
        audio=wire_in.SoundChoice(sample_rate=48_000),
        id="m-5",
    ),
    wire_in.FramesUnsubscribe(id="m-6"),
)

SERVER: tuple[wire_out.ServerMessage, ...] = (
    wire_out.Hello(
        protocol=wire_out.PROTOCOL,
        version="0.1.0",
        session="ses_3V9kq2",
        role=Role.PRODUCE,
        room="daily",
        format=_FORMAT,
        epoch=0,
        seq=6,
        received=0,
        resume_token="produce.5Jw0",  # noqa: S106 - an example's
        resumed=False,
        limits=wire_out.Limits(
            max_message_bytes=2_097_152,
            buffer_ms=120_000,
            high_ms=30_000,
            low_ms=15_000,
            queued_utterances=64,
            resume_window_ms=30_000,
            idle_timeout_ms=300_000,
        ),
        heartbeat_ms=20_000,
    ),
    wire_out.SessionState(status=Status.READY),
    wire_out.SessionReady(),
    wire_out.ReplicaJoined(),
    wire_out.ReplicaLeft(),
    wire_out.ParticipantJoined(participant_id="p-71", number=1, name="Ada"),
    wire_out.ParticipantLeft(participant_id="p-71", number=1, name="Ada"),
    wire_out.UtteranceOpened(
        utterance_id="reply-1", number=1, format=_FORMAT, implicit=False, id="m-1"
    ),
    wire_out.AudioAck(utterance_id="reply-1", accepted_bytes=64_000, received=3, buffered_ms=1_850),
    wire_out.FlowPause(buffered_ms=30_010, high_ms=30_000, low_ms=15_000),
    wire_out.FlowResume(buffered_ms=14_990, high_ms=30_000, low_ms=15_000),
    wire_out.UtteranceStarted(utterance_id="reply-1", number=1, source="replica"),
    wire_out.ReplicaStartedSpeaking(),
    wire_out.PlaybackProgress(utterance_id="reply-1", played_ms=640, source="replica"),
    wire_out.PlaybackPaused(unsent_ms=350, plays_on_ms=1_010, id="m-2"),
    wire_out.PlaybackResumed(id="m-3"),
    wire_out.MarkReached(
        name="after-hello", offset_ms=480, outcome="played", utterance_id="reply-1"
    ),
    wire_out.InterruptAccepted(
        interrupted=True,
        epoch=1,
        dropped_ms=350,
        utterances=(
            wire_out.CutUtterance(
                utterance_id="reply-1",
                received_ms=2_000,
                sent_ms=1_650,
                played_ms=640,
                dropped_ms=350,
            ),
        ),
        utterance_id="reply-1",
        id="m-4",
    ),
    wire_out.ReplicaStoppedSpeaking(duration_ms=655, interrupted=True),
    wire_out.UtteranceDone(
        utterance_id="reply-1",
        number=1,
        status="interrupted",
        received_ms=2_000,
        sent_ms=1_650,
        played_ms=655,
        dropped_ms=350,
        source="replica",
        latency=wire_out.Latency(first_sent_ms=4, started_ms=180),
    ),
    wire_out.AudioDiscarded(ms=260, reason="interrupted", utterance_id="reply-1"),
    wire_out.TavusEvent(
        event={
            "message_type": "conversation",
            "event_type": "conversation.replica.stopped_speaking",
            "conversation_id": "c6d4e1f2",
        }
    ),
    wire_out.Pong(ts=1_699_999_999_990),
    wire_out.FramesSubscribed(
        video=wire_in.VideoChoice(max_fps=15, max_width=640),
        audio=wire_in.SoundChoice(sample_rate=48_000),
        id="m-5",
    ),
    wire_out.FramesStats(sent=1_870, dropped=4, id="m-6"),
    wire_out.Error(
        code="utterance_id_in_use",
        message="This utterance id was used before",
        retryable=False,
        ref="m-1",
    ),
    wire_out.SessionRenewing(
        conversation_id="c9b8a7f6",
        conversation_url="https://tavus.daily.co/c9b8a7f6",
        in_ms=84_000,
    ),
    wire_out.SessionRenewed(
        conversation_id="c9b8a7f6", conversation_url="https://tavus.daily.co/c9b8a7f6"
    ),
    wire_out.SessionExpiring(in_ms=60_000, reason="idle"),
    wire_out.ServerDraining(deadline_ms=10_000),
    wire_out.SessionEnded(reason="idle"),
)
