from __future__ import annotations

import pytest

from app.asyncapi_examples import CLIENT
from app.core.roles import Role, needed_for


def test_each_role_covers_those_below() -> None:
    """What an observer may do the controller may too, and the producer all of it."""
    covered = {role: [other.value for other in Role if role.covers(other)] for role in Role}

    assert {
        Role.OBSERVE: ["observe"],
        Role.CONTROL: ["observe", "control"],
        Role.PRODUCE: ["observe", "control", "produce"],
    } == covered


@pytest.mark.parametrize("role", Role)
def test_lower_of_two_roles(role: Role) -> None:
    """Whichever is asked, nobody is made more than either."""
    assert Role.OBSERVE is role.at_most(Role.OBSERVE) is Role.OBSERVE.at_most(role)
    assert role is role.at_most(Role.PRODUCE) is Role.PRODUCE.at_most(role)


def test_every_message_needs_a_role() -> None:
    """Who observes changes nothing; who controls sends no audio and no marks in it."""
    assert {
        "UtteranceStart": "produce",
        "AudioAppend": "produce",
        "UtteranceEnd": "produce",
        "Mark": "produce",
        "PlaybackPause": "control",
        "PlaybackResume": "control",
        "SessionKeepalive": "control",
        "Ping": "observe",
        "Interrupt": "control",
        "TavusSend": "control",
        "FramesSubscribe": "observe",
        "FramesUnsubscribe": "observe",
    } == {type(message).__name__: needed_for(message) for message in CLIENT}
