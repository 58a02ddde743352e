from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PURE = frozenset(
    {"__future__", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "enum"}
    | {"functools", "hmac", "itertools", "json", "math", "operator", "re", "struct", "typing"}
)
"""What of the standard library gives the same answer every time."""

COMPUTING = frozenset({"av", "earshot", "jwt", "msgspec", "numpy", "simplejpeg", "soxr"})
"""Packages of which core uses what gives the same answer every time."""

BELOW = {
    "app.errors": frozenset[str](),
    "app.settings": frozenset({"app.core.pcm", "app.errors"}),
    "app.core": frozenset({"app.core", "app.errors"}),
    "app.runtime": frozenset({"app.runtime", "app.core", "app.errors", "app.settings", "app"}),
    "app.daily": frozenset(
        {"app.daily", "app.runtime", "app.core", "app.errors", "app.logs", "app"}
    ),
    "app.api": frozenset(
        {"app.api", "app.runtime", "app.core", "app.errors", "app.settings", "app"}
    ),
    "app.sandbox": frozenset({"app.sandbox", "app.core.pcm"}),
}
"""Layer → what of ours it may import. What is not named stands on top: main, serve, cli, ..."""

HOMES = {
    "daily": ("app.daily",),  # one mistake in the SDK ends its whole process
    "fastapi": ("app.api", "app.main", "app.serve", "app.cli", "app.openapi"),
    "starlette": ("app.api", "app.main", "app.edge", "app.sandbox"),
    "time": ("app.runtime.clock", "app.sandbox"),  # the sandbox is another process
    "uvicorn": ("app.edge", "app.sandbox"),
}
"""Package → the only places that may import it."""

UNTESTED = {
    "app.__main__": "one call of app.cli.main, made by every test that starts the service",
    "app.asyncapi_examples": "data, held against the schemas by tests/test_asyncapi.py",
    "app.core.commands": "names and fields only",
    "app.core.spec": "names and fields only",
    "app.doctor.not_asked": "text, printed by tests/doctor/test_live_report.py",
    "app.runtime.resources": "names and fields only",
    "app.runtime.room": "a Protocol; its implementations are tested",
    "app.sandbox.facts": "names and fields only",
}
"""Module → why it has no test file of its own."""

BIRTHS = frozenset({"create_task", "ensure_future", "TaskGroup"})
"""Every way of asyncio's to start a task."""

STRUCTURED = ("app.api.sandbox", "app.api.stream")
"""Where a task group ends with the request that opened it: one task reads, the other writes."""

MAKERS = frozenset(
    {"list", "dict", "set", "deque", "defaultdict", "OrderedDict", "Counter", "count", "cycle"}
    | {"WeakSet", "WeakKeyDictionary", "WeakValueDictionary", "ContextVar"}
    | {"Lock", "Event", "Queue"}
)
"""Calls that make something which can change."""

DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


@dataclass(frozen=True)
class Module:
    """One file under ``app``."""

    name: str
    path: Path
    tree: ast.Module

    def imports(self) -> Iterator[str]:
        """Every module it imports, at any depth; of ``from a import b`` both ``a`` and ``a.b``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None, f"{self.name}: relative imports hide the layer"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in NAMES else node.module


def _modules() -> list[Module]:
    found = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found.append(Module(name, path, ast.parse(path.read_text())))
    return found


MODULES = _modules()
NAMES = frozenset(module.name for module in MODULES)
EVERY = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.name))


def within(name: str, places: frozenset[str] | tuple[str, ...]) -> bool:
    """Tell whether a module is one of ``places`` or inside of one; ``app`` means only itself."""
    return any(
        name == place or (place != "app" and name.startswith(f"{place}.")) for place in places
    )


@EVERY
def test_imports_point_down(module: Module) -> None:
    """No layer imports one that stands above it or beside it."""
    for layer, allowed in BELOW.items():
        if within(module.name, (layer,)):
            ours = {name for name in module.imports() if within(name, ("app",)) or name in NAMES}

            assert set() == {name for name in ours if not within(name, allowed)}


@EVERY
def test_core_is_pure(module: Module) -> None:
    """Core uses numbers, text and its own: no clock, no loop, no socket, no randomness."""
    if within(module.name, ("app.core", "app.errors")):
        outside = {name.split(".")[0] for name in module.imports()} - {"app"}

        assert set() == outside - PURE - COMPUTING


@EVERY
def test_packages_stay_in_their_homes(module: Module) -> None:
    """What must be kept in one place is imported nowhere else."""
    for package, homes in HOMES.items():
        if package in {name.split(".")[0] for name in module.imports()}:
            assert within(module.name, homes), f"{package} is imported outside of {homes}"


@EVERY
def test_sandbox_is_reached_only_by_its_command(module: Module) -> None:
    """The sandbox is another process: nothing of the service imports it, but the command line."""
    if any(within(name, ("app.sandbox",)) for name in module.imports()):
        assert within(module.name, ("app.sandbox", "app.cli"))


@EVERY
def test_tasks_are_born_in_one_place(module: Module) -> None:
    """No task is started but by ``app.runtime.tasks``, by whatever name asyncio has for it."""
    if not within(module.name, ("app.runtime.tasks", "app.sandbox", *STRUCTURED)):
        names = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}

        assert set() == names & BIRTHS


@EVERY
def test_modules_hold_no_state(module: Module) -> None:
    """What a module assigns is constant, and says so by its name when it could be changed."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _can_change(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]

            assert [] == [name for name in names if not (name.isupper() or name == "__all__")]
    assert [] == [node for node in ast.walk(module.tree) if isinstance(node, ast.Global)]


@EVERY
def test_importing_does_nothing(module: Module) -> None:
    """At the top of a module stand definitions only, no calls and no loops."""
    for node in module.tree.body:
        match node:
            case ast.Expr(value=ast.Constant()):  # a docstring
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass
            case _:
                definitions = (
                    ast.Import,
                    ast.ImportFrom,
                    ast.Assign,
                    ast.AnnAssign,
                    ast.FunctionDef,
                    ast.AsyncFunctionDef,
                    ast.ClassDef,
                )

                assert isinstance(node, definitions), f"line {node.lineno} of {module.name}"


@EVERY
def test_every_module_has_its_test(module: Module) -> None:
    """``app/core/chunk.py`` is tested by ``tests/core/test_chunk.py``, or there is a reason."""
    if module.path.name == "__init__.py":
        return
    inside = module.path.relative_to(ROOT / "app")
    test = ROOT / "tests" / inside.with_name(f"test_{inside.name}")

    if module.name in UNTESTED:
        assert not test.exists(), f"{test.relative_to(ROOT)} exists: take it off the list"
    else:
        assert test.exists(), f"{test.relative_to(ROOT)} is missing"


def test_lists_name_what_exists() -> None:
    """A name that has gone is taken off the lists above."""
    listed = set(UNTESTED) | {place for homes in HOMES.values() for place in homes} | set(BELOW)

    assert set() == listed - NAMES


def _can_change(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        function = value.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name in MAKERS
    return isinstance(value, DISPLAYS)
