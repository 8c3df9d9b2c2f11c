"""The folders of a process that steps of flows share, and what dead processes have left of theirs.

Rule of this file: a process holds a lock beside its folder for as long as it lives, however it
dies; whoever starts later removes what nobody holds.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import UUID

import trio

MODE: Final = 0o700
LOCK_MODE: Final = 0o600
OTHERS: Final = 0o077
LOCK: Final = ".lock"


def default_base() -> Path:
    """Where the folders are unless it is said otherwise: of this user, among temporary files."""
    return Path(tempfile.gettempdir()) / f"trioworker-shared-{os.getuid()}"


class SharedFolders:
    """Folders in `base`, one for each flow. Nothing is there before the first of them is made."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._own: Path | None = None
        self._lock = -1

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The folders live inside this context; what dead processes have left is removed first."""
        await trio.to_thread.run_sync(_remove_leftovers, self._base)
        try:
            yield
        finally:
            if self._own is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(_remove, [self._own])
                _lock_file(self._own).unlink(missing_ok=True)
                os.close(self._lock)
                self._own = None

    def make(self, flow: UUID) -> Path:
        """The flow's folder, which is there from now on. Raises `OSError`."""
        folder = self._home() / str(flow)
        folder.mkdir(mode=MODE, exist_ok=True)
        return folder

    async def remove(self, flows: Iterable[UUID]) -> None:
        """Nothing is left of the folders of these flows."""
        if self._own is not None:
            await trio.to_thread.run_sync(_remove, [self._own / str(flow) for flow in flows])

    def _home(self) -> Path:
        if self._own is None:
            self._base.mkdir(mode=MODE, parents=True, exist_ok=True)
            if not _is_ours_alone(self._base):
                raise PermissionError(
                    f"{self._base} is there already, and not this user's alone; remove it, or let"
                    " TMPDIR name another place"
                )
            own = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=self._base))
            self._lock = _locked(_lock_file(own))
            self._own = own
        return self._own


def _lock_file(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK)


def _locked(file: Path) -> int:
    """A descriptor that holds the lock of the file, which somebody may take for a leftover."""
    while True:
        lock = os.open(file, os.O_RDWR | os.O_CREAT, LOCK_MODE)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if file.stat().st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)


def _is_ours_alone(folder: Path) -> bool:
    """Whether nobody else could have put something there: it may be where everybody may write."""
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return ours and not found.st_mode & OTHERS


def _remove_leftovers(base: Path) -> None:
    if not base.exists() or not _is_ours_alone(base):
        return
    for file in base.glob(f"*{LOCK}"):
        with suppress(OSError):
            lock = os.open(file, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove([file.with_name(file.name.removesuffix(LOCK))])
                file.unlink(missing_ok=True)
            finally:
                os.close(lock)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
