from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from app.doctor.wish import LiveWish, Wish, add_arguments


def wish(*arguments: str) -> Wish:
    """Parse arguments."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return Wish.of(parser.parse_args(arguments))


def test_plain_call_is_a_check_up() -> None:
    """Nothing is made and nothing is spent unless it is asked for."""
    assert Wish() == wish()
    assert Wish(json=True) == wish("--json")
    assert Wish(create_persona=True) == wish("--create-persona")


def test_live_test_has_its_own_arguments(tmp_path: Path) -> None:
    """The key may come from the environment too, and is shown in no representation."""
    file = tmp_path / "report.md"
    found = wish(
        *("--live", str(file), "--url", "http://h:1/", "--api-key", "secret-key"),
        *("--yes", "--absent-s", "5"),
    )

    assert LiveWish(file, "http://h:1", "secret-key", yes=True, absent_s=5) == found.live
    assert found.live is not None
    assert {"Authorization": "Bearer secret-key"} == found.live.headers
    assert "secret-key" not in repr(found)


def test_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for ``speak``; without one none is shown."""
    monkeypatch.setenv("BRIDGE_API_KEY", "from-outside")
    given = wish("--live", str(tmp_path / "a.md")).live
    monkeypatch.delenv("BRIDGE_API_KEY")
    none = wish("--live", str(tmp_path / "a.md")).live

    assert given is not None
    assert none is not None
    assert ("from-outside", None) == (given.api_key, none.api_key)
    assert {} == none.headers


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--create-persona"],
        ["--live", "/no-such-folder/report.md"],
        ["--live", "."],
        ["--live", "a.md", "--url", "localhost"],
        ["--live", "a.md", "--absent-s", "0"],
        ["--live", "a.md", "--absent-s", "601"],
        ["--live", "a.md", "--absent-s", "soon"],
    ],
)
def test_wrong_use_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A report that cannot be written is found out before it costs anything."""
    with pytest.raises(SystemExit) as error:
        wish(*arguments)

    assert 2 == error.value.code
    assert "error: " in capsys.readouterr().err
