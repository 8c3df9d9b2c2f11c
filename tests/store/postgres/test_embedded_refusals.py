"""What the embedded PostgreSQL cannot use it refuses in one line, and leaves as it was."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.store.postgres.user_process import UserProcess, as_plain_user, open_folder
from trioworker.errors import UsageError
from trioworker.store.postgres import embedded, embedded_programs
from trioworker.store.postgres.embedded_programs import server_user

Folder = Callable[[Path], Path]


def a_file(path: Path) -> Path:
    """Something that is no folder."""
    path.write_text("mine")
    return path


def below_a_file(path: Path) -> Path:
    """A folder that can never be made."""
    return a_file(path) / "data"


def with_other_files(path: Path) -> Path:
    """Somebody's own folder, with a name in it that we use too."""
    (path / "users").mkdir(parents=True)
    return path


def of_another_postgres(path: Path) -> Path:
    """A data folder of PostgreSQL itself."""
    path.mkdir()
    (path / "PG_VERSION").write_text("18\n")
    return path


def of_another_version(path: Path) -> Path:
    """Ours, but made by an older PostgreSQL."""
    (path / "postgres").mkdir(parents=True)
    (path / "postgres" / "PG_VERSION").write_text("16\n")
    (path / "trioworker.lock").touch()
    return path


def with_a_broken_cluster(path: Path) -> Path:
    """Ours, but with something else where the data should be."""
    (path / "postgres").mkdir(parents=True)
    (path / "trioworker.lock").touch()
    return path


def with_a_comma(path: Path) -> Path:
    """A path that a database url cannot carry."""
    return path / "a,b"


def too_long(path: Path) -> Path:
    """A path that leaves no room for the socket's name."""
    return path / ("x" * 100)


REFUSALS: Final[dict[Folder, str]] = {
    a_file: "Not a directory",
    below_a_file: "Not a directory",
    with_other_files: "it holds other files",
    of_another_postgres: "it is the data folder of another PostgreSQL",
    of_another_version: "belongs to PostgreSQL 16 and this is PostgreSQL 18",
    with_a_broken_cluster: "postgres in it holds no PostgreSQL data",
    with_a_comma: "its path contains ','",
    too_long: r"its path is \d+ bytes too long for a socket in it",
}


@pytest.mark.parametrize("folder", REFUSALS, ids=lambda folder: folder.__name__)
async def test_an_unusable_folder_is_refused_as_it_is(folder: Folder, tmp_path: Path) -> None:
    """One line says what is wrong with the folder and how to go on; nothing in it is touched."""
    path = folder(tmp_path / "data")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=f"{REFUSALS[folder]}.*name another") as refusal:
        async with embedded.open_embedded(path):
            pass
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("folder", [a_file, with_other_files, too_long])
async def test_stop_and_status_refuse_it_too(folder: Folder, tmp_path: Path) -> None:
    """Looking at such a folder, or stopping what is in it, is the same mistake."""
    path = folder(tmp_path / "data")
    with pytest.raises(UsageError):
        embedded.status(path)
    with pytest.raises(UsageError):
        await embedded.stop(path)


def test_a_folder_of_nobody_is_refused() -> None:
    """`~name` stands for a user's own folder, and there may be no such user."""
    with pytest.raises(UsageError, match="no user for the data folder ~nobody-of-this-name/data"):
        embedded.status(Path("~nobody-of-this-name/data"))


async def test_a_folder_that_is_not_there_has_nothing_running(tmp_path: Path) -> None:
    """Status and stop of a new folder answer, and do not make it."""
    path = tmp_path / "data"
    assert not embedded.status(path).running
    assert not (await embedded.stop(path)).running
    assert contents(tmp_path) == []


@pytest.mark.parametrize("name", ["", "new"])
def test_a_folder_that_cannot_be_written_is_refused(name: str) -> None:
    """A plain user is told so, of a folder it may only read and of one it may not make."""
    with open_folder() as folder:
        folder.chmod(0o555)
        with UserProcess(folder / name, prefix=as_plain_user()) as user:
            refusal = user.refused()
        folder.chmod(0o755)
    assert refusal.startswith(f"UsageError: cannot use the data folder {folder / name}: ")
    assert "it is not writable" in refusal or "Permission denied" in refusal


def test_the_data_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain user cannot run a server on data that is not its own."""
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UsageError, match="belongs to another user"):
        server_user(tmp_path)


def test_root_without_a_system_user_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no system user can be made for PostgreSQL, root learns why and what else helps."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(embedded_programs, "SYSTEM_USER", "tw-nobody-at-all")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"useradd: No such file.*set DATABASE_URL"):
        server_user(tmp_path / "postgres")


async def test_without_the_extra_both_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where PostgreSQL was not installed with us, the error names the extra and the setting."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"DATABASE_URL.*'trioworker\[embedded\]'"):
        async with embedded.open_embedded(tmp_path / "data"):
            pass


async def test_a_version_that_is_not_bundled_is_refused(tmp_path: Path) -> None:
    """Only the PostgreSQL versions that are in the package can be embedded."""
    with pytest.raises(UsageError, match="PostgreSQL 9 cannot be embedded, only 16 and 18"):
        async with embedded.open_embedded(tmp_path / "data", postgres_version=9):
            pass


def contents(folder: Path) -> list[str]:
    """Every path below `folder`."""
    return sorted(str(path) for path in folder.rglob("*"))
