"""The secret of an embedded PostgreSQL is made once, and nobody but its owner reads it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from trioworker.errors import UsageError
from trioworker.model.agent_token import SECRET_CHARS_MIN
from trioworker.settings import TABLE
from trioworker.store.postgres.embedded_folder import DataFolder
from trioworker.store.postgres.embedded_secret import embedded_secret


async def test_it_is_made_when_it_is_first_needed(tmp_path: Path) -> None:
    """And found from then on; it could be set as well."""
    secret = await embedded_secret(tmp_path / "data")
    assert TABLE["agent_secret"].kind.read(secret) == secret
    assert await embedded_secret(tmp_path / "data") == secret
    assert await embedded_secret(tmp_path / "other") != secret


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Whatever the process lets others do with its files otherwise."""
    before = os.umask(0)
    try:
        await embedded_secret(tmp_path / "data")
    finally:
        os.umask(before)
    assert DataFolder(tmp_path / "data").agent_secret.stat().st_mode & 0o777 == 0o600


async def test_those_who_come_at_once_find_the_same(tmp_path: Path) -> None:
    """One of them makes it."""
    found: set[str] = set()

    async def find() -> None:
        found.add(await embedded_secret(tmp_path / "data"))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(find)
    assert len(found) == 1


async def test_what_a_killed_process_left_is_no_secret(tmp_path: Path) -> None:
    """Half of one is never taken for it."""
    folder = DataFolder(tmp_path / "data")
    folder.make()
    folder.agent_secret.with_suffix(".new").write_text("ab")
    assert len(await embedded_secret(folder.path)) >= SECRET_CHARS_MIN
    assert not folder.agent_secret.with_suffix(".new").exists()


def open_to_others(secret: Path) -> None:
    """Its group can read it."""
    secret.chmod(0o640)


def emptied(secret: Path) -> None:
    """Nothing is in it."""
    secret.write_text("")


def shortened(secret: Path) -> None:
    """Somebody has chosen one."""
    secret.write_text("password\n")


def scrambled(secret: Path) -> None:
    """It is no text."""
    secret.write_bytes(b"\xff" * 64)


def a_folder(secret: Path) -> None:
    """It is no file."""
    secret.unlink()
    secret.mkdir(mode=0o700)


DAMAGES: Final = [
    (open_to_others, "others can read the secret .*; forbid it: chmod 600 "),
    (emptied, "holds no secret; delete it for a new one"),
    (shortened, "holds no secret; delete it for a new one"),
    (scrambled, "holds no secret; delete it for a new one"),
    (a_folder, "cannot read the secret .*: Is a directory"),
]


@pytest.mark.parametrize(("damage", "line"), DAMAGES)
async def test_what_cannot_serve_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], line: str
) -> None:
    """With how to mend it, and it is left as it is."""
    await embedded_secret(tmp_path / "data")
    damage(DataFolder(tmp_path / "data").agent_secret)
    with pytest.raises(UsageError, match=line):
        await embedded_secret(tmp_path / "data")


async def test_a_folder_of_somebody_elses_gets_no_secret(tmp_path: Path) -> None:
    """It is refused as for a database."""
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="it holds other files"):
        await embedded_secret(tmp_path)
    assert not (tmp_path / "agent_secret").exists()
    assert not (tmp_path / "trioworker.lock").exists()
