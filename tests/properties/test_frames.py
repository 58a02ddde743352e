"""Whatever the pace of the reader, what waits for it is bounded and what is missing is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.frame_header import S16LE, SKIPPED, FrameHeader, FrameKind
from app.core.frame_queue import MAX_PIECES, Frame, FrameQueue
from app.core.media import Choices, PictureChoice, PictureCodec

CHOICES = [
    Choices(PictureChoice(PictureCodec.JPEG, 25, 640), audio=24_000, user_audio=16_000),
    Choices(PictureChoice(PictureCodec.JPEG, 25, 320), audio=24_000),
    Choices(audio=16_000),
    Choices(),
]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from(list(FrameKind)), st.integers(0, 3)),
        st.tuples(st.just("pass"), st.integers(0, 900_000)),
        st.tuples(st.just("pop"), st.integers(1, 40)),
        st.tuples(st.just("choose"), st.sampled_from(CHOICES)),
    ),
    max_size=200,
)


@given(STEPS)
def test_bounded_and_no_gap_without_the_flag(steps: list[tuple[object, ...]]) -> None:
    """A number follows the one before it or its frame is flagged, whatever is chosen meanwhile."""
    queue = FrameQueue()
    queue.choose(CHOICES[0])
    now, pushed, lost = 0, 0, 0
    seqs: dict[int, int] = {}

    def pop() -> bool:
        popped = queue.pop()
        if popped is None:
            return False
        header = FrameHeader.unpack(popped[1])
        before = seqs.get(header.kind, 0)
        assert header.seq > before
        assert (header.seq == before + 1) == (not header.flags & SKIPPED)
        seqs[header.kind] = header.seq
        return True

    for step in steps:
        match step:
            case ("push", FrameKind() as kind, int(skipped)):
                choices = queue.choices
                wanted = {
                    FrameKind.VIDEO: choices.video,
                    FrameKind.AUDIO: choices.audio,
                    FrameKind.USER_AUDIO: choices.user_audio,
                }
                if wanted[kind] is not None:
                    now += 20_000
                    lost += queue.push(Frame(kind, S16LE, now, 0, 0, 0, b""), skipped)
                    pushed += 1 + skipped
            case ("pass", int(us)):
                now += us
            case ("pop", int(count)):
                for _ in range(count):
                    pop()
            case ("choose", Choices() as choices):
                while pop():  # what an old choice still had waiting is nobody's loss
                    pass
                queue.choose(choices)
        assert len(queue) <= 1 + 2 * MAX_PIECES
        assert lost == queue.dropped
        assert pushed == queue.sent + queue.dropped + len(queue)
