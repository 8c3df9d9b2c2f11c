"""Shared folders on the disk: private, gone in the end, and what the dead leave is removed."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trioworker.ids import new_id
from trioworker.runners.shared_folders import SharedFolders

HOLDS = """
import pathlib, sys, trio, uuid
from trioworker.runners.shared_folders import SharedFolders

async def main():
    folders = SharedFolders(pathlib.Path(sys.argv[1]))
    async with folders.open():
        (folders.make(uuid.UUID(int=1)) / "file").write_text("kept")
        print("made", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def another(base: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process with a folder, which has made it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(base)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "made\n"
            yield process
        finally:
            process.kill()


def found(folder: Path, name: str = "*") -> list[Path]:
    """What of this name is anywhere in the folder."""
    return [*folder.rglob(name)]


async def test_a_folder_is_made_once_and_is_its_users_alone(tmp_path: Path) -> None:
    """The same for all that ask; others cannot look into it."""
    folders, flow = SharedFolders(tmp_path / "base"), new_id()
    async with folders.open():
        folder = folders.make(flow)
        assert folders.make(flow) == folder
        modes = {stat.S_IMODE(one.stat().st_mode) for one in (folder, *folder.parents[:2])}
        assert modes == {0o700}


async def test_nothing_is_left_of_what_is_removed(tmp_path: Path) -> None:
    """Neither of one flow, whatever is in its folder, nor of all of them in the end."""
    base = tmp_path / "base"
    folders, flows = SharedFolders(base), [new_id(), new_id()]
    async with folders.open():
        made = [folders.make(flow) for flow in flows]
        (made[0] / "deep" / "deeper").mkdir(parents=True)
        await folders.remove(flows[:1])
        assert [one.exists() for one in made] == [False, True]
    assert found(base) == []


async def test_nothing_is_made_before_it_is_wanted(tmp_path: Path) -> None:
    """A worker without such flows leaves the disk alone."""
    async with SharedFolders(tmp_path / "base").open():
        pass
    assert found(tmp_path) == []


async def test_what_a_dead_process_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """What belongs to one that lives stays."""
    with another(tmp_path) as dead, another(tmp_path):
        assert len(found(tmp_path, "file")) == 2
        dead.kill()
        dead.wait()
        async with SharedFolders(tmp_path).open():
            assert len(found(tmp_path, "file")) == 1
            assert len(found(tmp_path, "*.lock")) == 1


async def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    """Somebody may have put it there to read what steps share."""
    base = tmp_path / "base"
    base.mkdir(mode=0o755)
    folders = SharedFolders(base)
    async with folders.open():
        with pytest.raises(PermissionError, match="not this user's alone"):
            folders.make(new_id())
