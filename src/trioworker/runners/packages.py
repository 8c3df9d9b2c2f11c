"""Packages that scripts require, in folders of this machine: installed once, used by all jobs.

    <cache>/packages/<key>/     made of what is wanted, the interpreter and the machine
    <cache>/packages/<key>.lock whoever installs holds it, in whatever process

A folder counts once its `installed.json` is there; whatever lies in one without is of somebody who
did not come to the end, and is thrown away by the next who has the lock.
"""

import fcntl
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import trio

from trioworker.model.outcome import JobError
from trioworker.runners.installing import INSTALLERS, Installer, Wanted
from trioworker.runners.raised import NotRunnable

FAILED_FOR_S: Final = 10.0
"""How long a failure is told to others who want the same, before it is tried again."""
LOOK_EVERY_S: Final = 0.1
"""How often is looked whether another process has done."""
PRIVATE: Final = 0o700

_DONE: Final = "installed.json"


class Installed(NamedTuple):
    """A folder with packages: what runs scripts there (None: as always), and their versions.

    `printed` is what the installation has said; empty when somebody else has done it.
    """

    folder: Path
    program: str | None
    lock: tuple[str, ...]
    printed: str = ""


class Packages:
    """The packages below one cache folder, as far as this process is concerned."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "packages"
        self._coming: dict[tuple[str, Wanted], _Coming] = {}
        self._keys: dict[str, str] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Installations go on in here, whatever becomes of the job that began them."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            yield
            nursery.cancel_scope.cancel()
        self._coming.clear()

    async def get(self, language: str, wanted: Wanted) -> Installed:
        """The packages, installed now if they are not there yet. Raises `NotRunnable`."""
        coming = self._coming.get((language, wanted))
        if coming is None or coming.is_old:
            coming = self._coming[language, wanted] = _Coming()
            self._nursery.start_soon(self._bring, language, wanted, coming)
        return await coming.get()

    async def _bring(self, language: str, wanted: Wanted, coming: "_Coming") -> None:
        try:
            coming.settle(await self._installed(language, wanted))
        except NotRunnable as error:
            coming.settle(error.error)
        except OSError as error:
            coming.settle(JobError("RequirementsFailed", f"the cache cannot be used: {error}"))

    async def _installed(self, language: str, wanted: Wanted) -> Installed:
        installer = INSTALLERS[language]
        key = await self._key(language, installer, wanted)
        folder = self._folder / key
        if (known := await trio.to_thread.run_sync(_read, folder, installer)) is not None:
            return known
        async with _locked(folder.with_suffix(".lock")):
            if (known := await trio.to_thread.run_sync(_read, folder, installer)) is not None:
                return known
            await trio.to_thread.run_sync(_empty, folder)
            lock, printed = await installer.install(folder, wanted)
            await trio.to_thread.run_sync(_finish, folder, lock)
            if wanted.lock is None:
                locked = Wanted(wanted.requirements, lock)
                other = self._folder / await self._key(language, installer, locked)
                await trio.to_thread.run_sync(_link, other, folder)
        return Installed(folder, installer.program(folder), lock, printed)

    async def _key(self, language: str, installer: Installer, wanted: Wanted) -> str:
        if language not in self._keys:
            self._keys[language] = await installer.key()
        what = wanted.requirements if wanted.lock is None else ("", *wanted.lock)
        text = "\x00".join((language, self._keys[language], *what))
        return blake2b(text.encode(), digest_size=16).hexdigest()


class _Coming:
    """What several wait for: packages, or why there are none."""

    def __init__(self) -> None:
        self._done = trio.Event()
        self._what: Installed | JobError | None = None
        self._failed_s: float | None = None

    @property
    def is_old(self) -> bool:
        """Whether it failed so long ago that it is worth another try."""
        failed_s = self._failed_s
        return failed_s is not None and trio.current_time() - failed_s >= FAILED_FOR_S

    def settle(self, what: Installed | JobError) -> None:
        """Tell all who wait."""
        self._what = what
        if isinstance(what, JobError):
            self._failed_s = trio.current_time()
        self._done.set()

    async def get(self) -> Installed:
        """The packages, once they are there. Raises `NotRunnable`."""
        if self._what is None:
            await self._done.wait()
        if isinstance(self._what, Installed):
            return self._what
        assert self._what is not None
        raise NotRunnable(self._what.name, self._what.message)


@asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    """Hold a lock that other processes want, too; it is free when this one dies."""
    await trio.to_thread.run_sync(partial(file.parent.mkdir, PRIVATE, parents=True, exist_ok=True))
    with file.open("w", encoding="utf-8") as opened:
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await trio.sleep(LOOK_EVERY_S)
        yield


def _read(folder: Path, installer: Installer) -> Installed | None:
    try:
        lock = msgspec.json.decode((folder / _DONE).read_bytes(), type=tuple[str, ...])
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    folder = folder.resolve()
    return Installed(folder, installer.program(folder), lock)


def _empty(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(PRIVATE)


def _finish(folder: Path, lock: tuple[str, ...]) -> None:
    part = folder / f"{_DONE}.part"
    part.write_bytes(msgspec.json.encode(lock))
    part.replace(folder / _DONE)


def _link(other: Path, folder: Path) -> None:
    """Let what was found out be found under the lock's own key, too."""
    if not os.path.lexists(other):
        other.symlink_to(folder.name)
