from __future__ import annotations

import pytest

from app.core.spec import Status
from app.errors import SessionOver
from app.runtime.ended import Ended
from tests.support.world import World


async def ended() -> Ended:
    """End a session that was asked for with a large body."""
    world = World()
    async with world.session(conversation={"x": "y" * 1000}, metadata={"who": "me"}) as session:
        await session.runner.stop("deleted")
        return Ended(session.runner.view())


async def test_shows_what_it_was() -> None:
    """The view is that of the end, without the body it was made with."""
    session = await ended()
    view = session.view()

    assert session.session_id == view.session_id
    assert (Status.ENDED, "deleted") == (view.status, view.end_reason)
    assert {"who": "me"} == view.spec.metadata
    assert {} == view.spec.conversation


async def test_refuses_everything_but_another_end() -> None:
    """To end it again is fine, to touch it does nothing, all else is over."""
    session = await ended()
    session.touch()
    await session.stop("deleted")

    for refused in (session.interrupt(), session.interact("x", {}), session.wait_ready()):
        with pytest.raises(SessionOver):
            await refused
