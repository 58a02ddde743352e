"""The avatar's picture and sound as a file: each stands where its capture time puts it.

Pictures come with the times they have (a variable frame rate). Sound is continuous: what is
missing in between is silence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from app.core.frame_header import HEADER_BYTES, SKIPPED, FrameHeader, FrameKind
from app.core.pcm import SAMPLE_RATE
from app.speak.stream import SpeakFailed, said

SOUND_CODECS = {".mp4": "aac", ".mov": "aac", ".mkv": "aac", ".webm": "libopus"}
"""Endings of files, and how sound is written there. Pictures: as FFmpeg prefers for this kind of
file, H.264 where libx264 is there, else MPEG-4, and VP9 for WebM."""

MILLISECONDS = Fraction(1, 1000)
"""The unit of the pictures' times: every kind of file can write it down."""

USUAL_FPS = 25
"""What an encoder may expect; the times of the pictures say what is."""

OPTIONS = {
    "h264": {"preset": "veryfast"},
    "mpeg4": {"qscale": "4"},
    "vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "32"},
}
"""To keep up with 1280x720 beside everything else."""

OFF_SAMPLES = SAMPLE_RATE // 50
"""20 ms: sound that is so far from where it should be is put there. Less is the jitter of
capture times."""

EARLY_PIECES = 50
"""Pieces of sound, 20 ms each, that are kept until the first picture tells its size."""


class _Streams(NamedTuple):
    """What is known from the first picture on."""

    zero_us: int
    """The capture time at which the file begins."""
    video: VideoStream
    audio: AudioStream


class Recording:
    """A file that is written to as frames come. Blocks: encoding takes milliseconds a picture."""

    def __init__(self, path: Path) -> None:
        """Make the file, of the kind that its ending says. Raises SpeakFailed, as all of it."""
        self._path = path
        self.pictures = 0
        """How many are in the file."""
        self._last_ms = -1
        self._samples = 0
        self._early: deque[tuple[FrameHeader, bytes]] = deque(maxlen=EARLY_PIECES)
        self._streams: _Streams | None = None
        self._broken = False
        with self._telling():
            self._file = path.open("wb")
        self._container: OutputContainer = av.open(self._file, "w")
        jpeg = CodecContext.create("mjpeg", "r")
        assert isinstance(jpeg, VideoCodecContext)  # by its name
        self._jpeg = jpeg

    def take(self, frame: bytes) -> None:
        """Write one frame, as it comes from the service: a JPEG picture or sound of 24 kHz."""
        header, payload = FrameHeader.unpack(frame), frame[HEADER_BYTES:]
        with self._telling():
            if header.kind == FrameKind.VIDEO:
                streams = self._streams or self._begin(header)
                self._take_picture(streams, header, payload)
            elif self._streams is None:
                self._early.append((header, payload))
            else:
                self._take_sound(self._streams, header, payload)

    def close(self) -> str | None:
        """Finish the file and say in one line what is in it.

        None: nothing came, and there is no file, or it could not be written whole.
        """
        try:
            if self._streams is None:
                self._path.unlink(missing_ok=True)
                return None
            if self._broken:
                return None
            with self._telling():
                for stream in (self._streams.video, self._streams.audio):
                    self._container.mux(stream.encode(None))
                self._container.close()
            seconds = max(self._samples / SAMPLE_RATE, self._last_ms / 1000)
            return f"{self._path}: {seconds:.1f} s, {self.pictures} pictures"
        finally:
            with suppress(OSError):  # a full disk was told before
                self._file.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell what goes wrong with the file in one line."""
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            self._broken = True
            raise SpeakFailed(f"{self._path}: {error.strerror or said(error)}") from None

    def _begin(self, picture: FrameHeader) -> _Streams:
        """Prepare for pictures of this size, and write the sound that came before the first."""
        name = self._container.default_video_codec
        video = self._container.add_stream(
            name, USUAL_FPS, options=OPTIONS[name], time_base=MILLISECONDS
        )
        assert isinstance(video, VideoStream)  # by its codec
        video.width, video.height = picture.detail >> 16, picture.detail & 0xFFFF
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        # Players take what is 720 lines high for BT.709 if nobody tells them.
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU601
        audio = self._container.add_stream(
            SOUND_CODECS[self._path.suffix.lower()], SAMPLE_RATE, layout="mono"
        )
        assert isinstance(audio, AudioStream)  # by its codec
        times = [header.captured_us for header, _ in self._early]
        self._streams = streams = _Streams(min([picture.captured_us, *times]), video, audio)
        while self._early:
            self._take_sound(streams, *self._early.popleft())
        return streams

    def _take_picture(self, streams: _Streams, header: FrameHeader, jpeg: bytes) -> None:
        at_ms = round((header.captured_us - streams.zero_us) / 1000)
        if at_ms <= self._last_ms:
            return  # the capture clock was set back
        for decoded in self._jpeg.decode(Packet(jpeg)):
            picture = decoded.reformat(
                streams.video.width,
                streams.video.height,
                "yuv420p",
                dst_color_range=ColorRange.MPEG,
            )
            picture.pts, picture.time_base = at_ms, MILLISECONDS
            picture.pict_type = PictureType.NONE  # a JPEG's is "complete", and would stay so
            self._container.mux(streams.video.encode(picture))
            self._last_ms = at_ms
            self.pictures += 1

    def _take_sound(self, streams: _Streams, header: FrameHeader, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, "<i2")
        at = (header.captured_us - streams.zero_us) * SAMPLE_RATE // 1_000_000
        off = at - self._samples
        if not self._samples or header.flags & SKIPPED or abs(off) >= OFF_SAMPLES:
            while at > self._samples:
                self._write(streams, np.zeros(min(SAMPLE_RATE, at - self._samples), "<i2"))
            samples = samples[max(0, -off) :]
        if samples.size:
            self._write(streams, samples)

    def _write(self, streams: _Streams, samples: NDArray[np.int16]) -> None:
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._samples
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._container.mux(streams.audio.encode(frame))
        self._samples += samples.size
