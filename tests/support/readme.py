"""The README as tests see it: its code, its tables, and what of it is printed from the code.

``python -m tests.support.readme`` prints the diagram and the error table as they must be.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from app import errors
from app.core.session_table import TABLE, State
from app.errors import BridgeError
from app.settings import Settings

PATH = Path(__file__).parents[2] / "README.md"

STREAM_ONLY = (errors.StreamError, errors.ReplicaLost, errors.ReplicaStalled)
"""Errors that no HTTP answer holds: their status means nothing."""


def text() -> str:
    """Return the whole README."""
    return PATH.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(), re.MULTILINE | re.DOTALL)


def addresses() -> list[str]:
    """Return every address, such as ``http://localhost:8080/sessions``."""
    return re.findall(r"\b(?:https?|wss?)://[^\s`\"')]+", text())


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    _, _, section = text().partition(f"\n{heading}\n")
    lines = [line for line in section.partition("\n#")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# --- the session's life


def any_end() -> list[str]:
    """Return the facts that end a session in whatever state it can be ended in."""
    first, *others = (
        _facts(state, State.ENDING)
        for state in TABLE
        if state not in (State.ENDING, State.OVER) and State.ENDING in TABLE[state].values()
    )
    return [name for name in first if all(name in names for names in others)]


def diagram() -> str:
    """Print the session's table in Mermaid's language; what changes nothing is left out."""
    common = any_end()
    lines = ["stateDiagram-v2", f"    [*] --> {State.NEW.value}"]
    for state in TABLE:
        for target in State:
            facts = _facts(state, target)
            if target is State.ENDING and set(common) <= set(facts):
                facts = [*(name for name in facts if name not in common), "any end"]
            if facts and target is not state:
                lines.append(f"    {state.value} --> {target.value}: {', '.join(facts)}")
    return "\n".join([*lines, f"    {State.OVER.value} --> [*]", ""])


def _facts(state: State, target: State) -> list[str]:
    return [fact.__name__ for fact, after in TABLE[state].items() if after is target]


# --- errors


def error_rows() -> list[list[str]]:
    """Return the table of errors: code, status, close code, whether to retry, what it means."""
    rows = []
    for kind in sorted(_kinds(BridgeError), key=lambda kind: (_streams(kind), kind.status)):
        status = "-" if _streams(kind) else str(kind.status)
        retry = "yes" if kind.retryable else "no"
        rows.append([f"`{kind.code}`", status, str(kind.close_code), retry, kind.title])
    return rows


def _kinds(base: type[BridgeError]) -> Iterator[type[BridgeError]]:
    """Every class that has a code of its own or is the only one with it."""
    children = [kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__]
    for kind in children:
        yield from _kinds(kind)
    if base.code not in {kind.code for child in children for kind in _kinds(child)}:
        yield base


def _streams(kind: type[BridgeError]) -> bool:
    return issubclass(kind, STREAM_ONLY)


# --- settings


def settings() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return each variable with its default and the values that it may have, where few."""
    return {_variable(name, field): _values(field) for name, field in Settings.model_fields.items()}


def _variable(name: str, field: FieldInfo) -> str:
    alias: Any = field.validation_alias
    return str(alias.choices[0]) if alias else f"BRIDGE_{name.upper()}"


def _values(field: FieldInfo) -> tuple[str, tuple[str, ...]]:
    default = field.get_default(call_default_factory=True)
    shown = (
        ""
        if default in (None, (), {})
        else f"{default:g}"
        if isinstance(default, float)
        else str(default).lower()
        if isinstance(default, bool)
        else str(default)
    )
    return shown, tuple(value for value in get_args(field.annotation) if isinstance(value, str))


if __name__ == "__main__":
    rows = [f"| {' | '.join(row)} |" for row in error_rows()]
    sys.stdout.write("\n".join([diagram(), ", ".join(any_end()), "", *rows, ""]))
