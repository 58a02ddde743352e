from __future__ import annotations

import pytest

from app.core.resume_token import resume_token, role_named_in
from app.core.roles import Role


@pytest.mark.parametrize("role", Role)
def test_token_names_its_role(role: Role) -> None:
    """Whoever held it is known by it, also when nobody else remembers."""
    assert role is role_named_in(resume_token(role, "5Jw0-_"))


@pytest.mark.parametrize("token", ["", ".", "produce", "king.5Jw0", "Produce.5Jw0", "ü.produce.x"])
def test_token_of_nobody_names_the_highest(token: str) -> None:
    """What was never written here takes nothing from whom the credential makes a producer."""
    assert Role.PRODUCE is role_named_in(token)
