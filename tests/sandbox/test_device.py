from __future__ import annotations

from app.sandbox.device import MAX_FRAMES, Device, Frame

MS = 1_000_000


def frame(epoch: int = 0) -> Frame:
    """20 ms of silence."""
    return Frame(epoch, 0, bytes(960))


def test_frames_sound_one_after_another() -> None:
    """A frame begins when the one before it ends, however late the device is served."""
    device = Device()

    for _ in range(2):
        assert device.write(0, frame())
    served = []
    while (at := device.next_deadline()) is not None:
        ended, begun = device.step(at)
        served.append((at, ended is not None, begun is not None))

    assert [(0, False, True), (20 * MS, True, True), (40 * MS, True, False)] == served
    assert 960 == device.begun


def test_a_dry_device_starts_again_with_the_next_frame() -> None:
    """Nothing is caught up for the time without audio."""
    device = Device()

    device.write(0, frame())
    device.step(0)
    device.step(20 * MS)
    device.write(100 * MS, frame())

    assert 100 * MS == device.next_deadline()


def test_a_clear_drops_what_has_not_begun() -> None:
    """The frame that sounds plays on; older epochs are refused from then on."""
    device = Device()

    for _ in range(3):
        device.write(0, frame())
    device.step(0)
    begun = device.clear(1)

    assert 480 == begun
    assert not device.write(1, frame(0))
    assert device.write(1, frame(1))
    assert 20 * MS == device.next_deadline()


def test_a_flood_is_refused() -> None:
    """Who does not wait for the device's word loses frames, not our memory."""
    device = Device()

    taken = [device.write(0, frame()) for _ in range(MAX_FRAMES + 1)]

    assert [True] * MAX_FRAMES + [False] == taken


def test_a_drifting_clock_runs_slow() -> None:
    """100 millionths of 20 ms are 2 µs."""
    device = Device(drift_ppm=100)

    device.write(0, frame())
    device.step(0)

    assert 20_002_000 == device.next_deadline()
