from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import CannotStart
from app.runtime.data_dir import DataDir


def test_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """A missing folder is made; nobody else looks into it or into its files."""
    path = tmp_path / "a" / "b"
    folder = DataDir(path)
    os.close(folder.open("file"))
    folder.close()

    assert [0o700, 0o600] == [stat.S_IMODE(p.stat().st_mode) for p in (path, path / "file")]


def test_folder_is_one_process_s(tmp_path: Path) -> None:
    """A second one is refused with the first one's number, until that has let go."""
    folder = DataDir(tmp_path)
    with pytest.raises(CannotStart, match=rf"in use by another process \(pid {os.getpid()}\)"):
        DataDir(tmp_path)
    folder.close()
    folder.close()
    DataDir(tmp_path).close()


def test_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    """Whatever ends a process ends its hold of the folder."""
    holds = (
        "import os, pathlib, signal; from app.runtime.data_dir import DataDir; "
        "folder = DataDir(pathlib.Path('.')); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", holds],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )

    assert -9 == killed.returncode
    DataDir(tmp_path).close()


def test_lock_is_not_left_to_children(tmp_path: Path) -> None:
    """A child that outlives us, such as a sandbox, holds nothing of ours."""
    folder = DataDir(tmp_path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        folder.close()
        DataDir(tmp_path).close()
        child.kill()


def test_folder_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    """The line names the setting and the folder."""
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=r"^BRIDGE_DATA_DIR .*/file/x cannot be used: [\w ]+$"):
        DataDir(tmp_path / "file" / "x")
