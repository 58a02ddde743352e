from __future__ import annotations

import json
from typing import Any

import pytest

from app.core import wire_in
from app.core.media import Choices, PictureChoice, PictureCodec
from app.core.pcm import AudioFormat, Encoding
from app.errors import BadBase64, BadMessage, BridgeError, UnknownType, UnsupportedFormat


@pytest.mark.parametrize(
    ("expected", "sent"),
    [
        (wire_in.UtteranceStart(), {"type": "utterance.start"}),
        (
            wire_in.UtteranceStart(
                utterance_id="A-z_0.9:x",
                format=wire_in.Format("pcm_mulaw", 8000, 2),
                epoch=3,
                id="1",
            ),
            {
                "type": "utterance.start",
                "utterance_id": "A-z_0.9:x",
                "format": {"encoding": "pcm_mulaw", "sample_rate": 8000, "channels": 2},
                "epoch": 3,
                "id": "1",
            },
        ),
        (
            wire_in.UtteranceStart(format=wire_in.Format("wav", 24_000, 1)),
            {"type": "utterance.start", "format": {"encoding": "wav"}},
        ),
        (wire_in.AudioAppend(audio=b"\x00\xff\x10"), {"type": "audio.append", "audio": "AP8Q"}),
        (wire_in.AudioAppend(audio=b""), {"type": "audio.append", "audio": ""}),
        (wire_in.UtteranceEnd("u" * 64), {"type": "utterance.end", "utterance_id": "u" * 64}),
        (wire_in.UtteranceEnd(), {"type": "utterance.end", "utterance_id": None}),
        (wire_in.Mark("é" * 128), {"type": "mark", "name": "é" * 128}),
        (wire_in.PlaybackPause(id="p"), {"type": "playback.pause", "id": "p"}),
        (wire_in.PlaybackResume(), {"type": "playback.resume", "of": "a newer protocol"}),
        (wire_in.SessionKeepalive(), {"type": "session.keepalive"}),
        (wire_in.Ping(1), {"type": "ping", "ts": 1}),
        (wire_in.Ping(1.5), {"type": "ping", "ts": 1.5}),
        (wire_in.Ping("now"), {"type": "ping", "ts": "now"}),
        (wire_in.Ping(), {"type": "ping"}),
        (
            wire_in.Interrupt("u1", "user"),
            {"type": "interrupt", "utterance_id": "u1", "reason": "user"},
        ),
        (
            wire_in.TavusSend("conversation.respond", {"text": "hi"}),
            {
                "type": "tavus.send",
                "event_type": "conversation.respond",
                "properties": {"text": "hi"},
            },
        ),
        (
            wire_in.FramesSubscribe(wire_in.VideoChoice(), wire_in.SoundChoice(), id="f"),
            {"type": "frames.subscribe", "video": {}, "audio": {}, "id": "f"},
        ),
        (
            wire_in.FramesSubscribe(
                wire_in.VideoChoice("rgb", 60, 3840), user_audio=wire_in.SoundChoice(192_000)
            ),
            {
                "type": "frames.subscribe",
                "video": {"codec": "rgb", "max_fps": 60, "max_width": 3840},
                "audio": None,
                "user_audio": {"sample_rate": 192_000},
            },
        ),
        (wire_in.FramesUnsubscribe("u"), {"type": "frames.unsubscribe", "id": "u"}),
    ],
)
def test_each_message_is_understood(expected: wire_in.ClientMessage, sent: dict[str, Any]) -> None:
    """Every message comes out as its struct, with defaults for what was left out."""
    assert expected == wire_in.parse(json.dumps(sent))


def _format(**fields: Any) -> dict[str, Any]:
    return {"type": "utterance.start", "format": fields}


@pytest.mark.parametrize(
    ("expected", "sent"),
    [
        # no JSON object
        (BadMessage, ""),
        (BadMessage, "hello"),
        (BadMessage, '{"type":"ping"'),
        (BadMessage, '{"type":"ping"} {}'),
        (BadMessage, '\ufeff{"type":"ping"}'),
        (BadMessage, '{"type":"ping","ts":NaN}'),
        (BadMessage, '{"type":"ping","ts":1e999}'),
        (BadMessage, '{"type":"ping","ts":"\ud800"}'),
        (BadMessage, '{"type":"ping","ts":"\\ud800"}'),
        (BadMessage, '{"type":"ping","ts":"\\ude00\\ud83d"}'),
        (BadMessage, "[" * 100_000),
        (BadMessage, '{"type":"ping","x":' + "[" * 100_000),
        (BadMessage, '{"type":"tavus.send","event_type":"x","properties":{"a":' + "[" * 100_000),
        (BadMessage, "[]"),
        (BadMessage, "null"),
        (BadMessage, '"ping"'),
        # no type, or none of ours
        (BadMessage, {}),
        (BadMessage, {"type": None}),
        (BadMessage, {"type": 1}),
        (BadMessage, {"type": ["ping"]}),
        (UnknownType, {"type": ""}),
        (UnknownType, {"type": "Ping"}),
        (UnknownType, {"type": "hello"}),
        (UnknownType, {"type": "frames.pause"}),
        # ids, names, epochs
        (BadMessage, {"type": "ping", "id": 1}),
        (BadMessage, {"type": "ping", "id": "x" * 129}),
        (BadMessage, {"type": "utterance.start", "utterance_id": ""}),
        (BadMessage, {"type": "utterance.start", "utterance_id": "x" * 65}),
        (BadMessage, {"type": "utterance.start", "utterance_id": "a b"}),
        (BadMessage, {"type": "utterance.start", "utterance_id": "ab\n"}),
        (BadMessage, {"type": "utterance.start", "utterance_id": "é"}),
        (BadMessage, {"type": "utterance.start", "utterance_id": 7}),
        (BadMessage, {"type": "utterance.end", "utterance_id": "a/b"}),
        (BadMessage, {"type": "interrupt", "utterance_id": "a/b"}),
        (BadMessage, {"type": "utterance.start", "epoch": -1}),
        (BadMessage, {"type": "utterance.start", "epoch": 1.5}),
        (BadMessage, {"type": "utterance.start", "epoch": "1"}),
        (BadMessage, {"type": "utterance.start", "epoch": True}),
        (BadMessage, {"type": "mark"}),
        (BadMessage, {"type": "mark", "name": ""}),
        (BadMessage, {"type": "mark", "name": "x" * 129}),
        (BadMessage, {"type": "mark", "name": 1}),
        (BadMessage, {"type": "ping", "ts": True}),
        (BadMessage, {"type": "ping", "ts": []}),
        (BadMessage, {"type": "ping", "ts": "x" * 129}),
        (BadMessage, {"type": "interrupt", "reason": 1}),
        (BadMessage, {"type": "tavus.send"}),
        (BadMessage, {"type": "tavus.send", "event_type": 1}),
        (BadMessage, {"type": "tavus.send", "event_type": "x", "properties": []}),
        # formats: a wrong type is a bad message, a wrong value an unsupported format
        (BadMessage, {"type": "utterance.start", "format": "pcm_s16le"}),
        (BadMessage, _format(encoding=16)),
        (BadMessage, _format(sample_rate="24000")),
        (BadMessage, _format(sample_rate=22_050.5)),
        (BadMessage, _format(channels=[1])),
        (BadMessage, _format(channels=None)),
        (UnsupportedFormat, _format(encoding="opus")),
        (UnsupportedFormat, _format(encoding="PCM_S16LE")),
        (UnsupportedFormat, _format(sample_rate=7_999)),
        (UnsupportedFormat, _format(sample_rate=192_001)),
        (UnsupportedFormat, _format(sample_rate=-24_000)),
        (UnsupportedFormat, _format(sample_rate=10**30)),
        (UnsupportedFormat, _format(channels=0)),
        (UnsupportedFormat, _format(channels=3)),
        # what a viewer wants
        (BadMessage, {"type": "frames.subscribe", "video": "jpeg"}),
        (BadMessage, {"type": "frames.subscribe", "video": {"codec": 1}}),
        (BadMessage, {"type": "frames.subscribe", "video": {"max_fps": 0}}),
        (BadMessage, {"type": "frames.subscribe", "video": {"max_fps": 61}}),
        (BadMessage, {"type": "frames.subscribe", "video": {"max_fps": 12.5}}),
        (BadMessage, {"type": "frames.subscribe", "video": {"max_width": 15}}),
        (BadMessage, {"type": "frames.subscribe", "video": {"max_width": 3841}}),
        (BadMessage, {"type": "frames.subscribe", "audio": {"sample_rate": "24000"}}),
        (UnsupportedFormat, {"type": "frames.subscribe", "video": {"codec": "webp"}}),
        (UnsupportedFormat, {"type": "frames.subscribe", "audio": {"sample_rate": 7_999}}),
        (UnsupportedFormat, {"type": "frames.subscribe", "user_audio": {"sample_rate": 192_001}}),
        # base64
        (BadMessage, {"type": "audio.append"}),
        (BadMessage, {"type": "audio.append", "audio": 1}),
        (BadMessage, {"type": "audio.append", "audio": None}),
        (BadMessage, {"type": "audio.append", "audio": "AP8Q", "id": 1}),
        (BadBase64, {"type": "audio.append", "audio": "AP8"}),
        (BadBase64, {"type": "audio.append", "audio": "AP 8Q"}),
        (BadBase64, {"type": "audio.append", "audio": "AP8Q\n"}),
        (BadBase64, {"type": "audio.append", "audio": "AA==AA=="}),
        (BadBase64, {"type": "audio.append", "audio": "-_-_"}),
        (BadBase64, {"type": "audio.append", "audio": "é==="}),
        (BadBase64, {"type": "audio.append", "audio": "data:;base64,AP8Q"}),
    ],
)
def test_each_wrong_message_has_its_error(
    expected: type[BridgeError], sent: str | dict[str, Any]
) -> None:
    """A wrong message raises the one error that says what is wrong with it."""
    with pytest.raises(BridgeError) as caught:
        wire_in.parse(sent if isinstance(sent, str) else json.dumps(sent))

    assert expected is type(caught.value)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("m-1", '{"type":"nonsense","id":"m-1"}'),
        ("m-1", '{"id":"m-1"}'),
        ("m-1", '{"type":"audio.append","audio":"?","id":"m-1"}'),
        ("m-1", '{"type":"utterance.start","format":{"channels":9},"id":"m-1"}'),
        (None, '{"type":"nonsense"}'),
        (None, '{"type":"ping","id":1}'),
        (None, '{"type":"ping","id":"' + "x" * 129 + '"}'),
        (None, "[]"),
        (None, '{"id":"m-1"'),
        (None, '{"id":"\ud800"}'),
        (None, "[" * 100_000),
    ],
)
def test_the_reference_of_a_refused_message_is_found(expected: str | None, text: str) -> None:
    """The id of a message that was refused is found, and None where there is none."""
    assert expected == wire_in.ref_of(text)


def test_an_unknown_type_is_named_in_the_error_but_not_at_length() -> None:
    """The error names the type, cut to a length that fits a log line."""
    with pytest.raises(UnknownType, match=r"'a{64}'"):
        wire_in.parse(json.dumps({"type": "a" * 1000}))


@pytest.mark.parametrize(
    ("expected", "query"),
    [
        ((AudioFormat(), False), {}),
        ((AudioFormat(), False), {"progress_ms": "100"}),
        ((AudioFormat(sample_rate=16_000), True), {"sample_rate": "16000"}),
        ((AudioFormat(channels=2), True), {"channels": "2", "token": "x"}),
        ((AudioFormat(Encoding.WAV), True), {"encoding": "wav"}),
        (
            (AudioFormat(Encoding.ALAW, 8_000, 1), True),
            {"encoding": "pcm_alaw", "sample_rate": "8000", "channels": "1"},
        ),
    ],
)
def test_the_query_declares_a_format(
    expected: tuple[AudioFormat, bool], query: dict[str, str]
) -> None:
    """The query's format comes out whole, and with it whether there was any."""
    assert expected == wire_in.parse_format(query)


@pytest.mark.parametrize(
    "query",
    [
        {"encoding": "mp3"},
        {"encoding": ""},
        {"sample_rate": "fast"},
        {"sample_rate": ""},
        {"sample_rate": "7999"},
        {"sample_rate": "192001"},
        {"sample_rate": "9" * 5_000},
        {"sample_rate": "16000.5"},
        {"channels": "0"},
        {"channels": "stereo"},
        {"channels": "null"},
        {"sample_rate": "\ud800"},
    ],
)
def test_a_wrong_query_is_an_unsupported_format(query: dict[str, str]) -> None:
    """Whatever is wrong with a format in the query, it has one error."""
    with pytest.raises(UnsupportedFormat):
        wire_in.parse_format(query)


def test_choices_are_what_the_session_takes() -> None:
    """What is left out is not wanted; who asks for nothing has made a mistake."""
    message = wire_in.FramesSubscribe(wire_in.VideoChoice("i420", 10, 320), wire_in.SoundChoice())

    assert Choices(PictureChoice(PictureCodec.I420, 10, 320), audio=24_000) == message.choices()
    assert (
        Choices(user_audio=16_000)
        == wire_in.FramesSubscribe(user_audio=wire_in.SoundChoice(16_000)).choices()
    )
    with pytest.raises(BadMessage):
        wire_in.FramesSubscribe().choices()
