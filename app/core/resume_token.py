"""What a lost stream comes back with: a secret behind the name of the stream's role.

A token that has served, or was lost with its stream, so still says what its holder was: it makes
nobody more than that.
"""

from __future__ import annotations

from app.core.roles import Role


def resume_token(role: Role, secret: str) -> str:
    """Write the token of a stream in this role; ``secret`` is base64url, so without a dot."""
    return f"{role}.{secret}"


def role_named_in(token: str) -> Role:
    """The role of the stream that a token was for; the highest for what can be no token of ours."""
    name, dot, _ = token.partition(".")
    return Role(name) if dot and name in set(Role) else Role.PRODUCE
