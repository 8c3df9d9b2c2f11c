"""Deployed scripts on a worker: which version counts, and its files on this machine.

A deployed script wins over a file of the same path in the scripts folder: to deploy is said for all
workers, a file lies on one. What is not deployed comes from the folder, as ever.

    <cache>/scripts/<hash>/<name>                     a text, by its hash
    <cache>/packages/<key>/scripts/<hash>/<name>      the same below packages that it must find

Which version is the newest, the worker's pull stage looks up for each batch; here it is remembered.
Texts are fetched when first needed.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import trio

from trioworker.errors import NotAllowed, Refused, StoreError
from trioworker.model.failures import backoff_s
from trioworker.model.script import ScriptHead, StoredScript, file_name, script_hash
from trioworker.runners.installing import INSTALLERS, Wanted
from trioworker.runners.packages import PRIVATE, Installed, Packages
from trioworker.runners.raised import NotRunnable
from trioworker.runners.scripts import LANGUAGES, Language, Script, Scripts, script_of
from trioworker.store.scripts import ScriptStore


class DeployedScripts:
    """A `Finder` over what is deployed, and over the `folder` for what is not."""

    def __init__(
        self, folder: Scripts, store: ScriptStore, packages: Packages, *, cache: Path, rng: Random
    ) -> None:
        self._folder = folder
        self._store = store
        self._packages = packages
        self._cache = cache / "scripts"
        self._rng = rng
        self._heads: dict[str, ScriptHead] = {}
        self._ready: dict[tuple[str, str | None], tuple[ScriptHead, Script]] = {}
        self._preparing: dict[tuple[str, str | None], trio.Lock] = {}

    async def look(self, paths: Sequence[str]) -> None:
        """Learn which versions are the newest. Raises `StoreError`."""
        for path, head in (await self._store.newest_scripts(paths)).items():
            known = self._heads.get(path)
            if known is None or known.version <= head.version:
                self._heads[path] = head

    def forget(self, paths: Sequence[str]) -> None:
        """Nothing is deployed at these paths, as far as anybody can say."""
        for path in paths:
            self._heads.pop(path, None)

    def knows(self, path: str) -> bool:
        """Whether a version has been seen of it."""
        return path in self._heads

    async def found(self, path: str, language: str | None) -> Script:
        """See `Finder`. It is the newest version that was known when this returns."""
        while (head := self._heads.get(path)) is not None:
            known = self._ready.get((path, language))
            if known is not None and known[0] == head:
                return known[1]
            async with self._preparing.setdefault((path, language), trio.Lock()):
                await self._prepare(head, language)
        return self._folder.find(path, language)

    async def _prepare(self, head: ScriptHead, asked: str | None) -> None:
        """Make the version ready to be started, unless somebody did while this one waited."""
        known = self._ready.get((head.path, asked))
        if known is not None and known[0] == head:
            return
        language = _language(head, asked)
        installed = await self._installed(head)
        program = None if installed is None else installed.program
        try:
            file = await self._file(head, installed)
        except OSError as error:
            message = f"the script '{head.path}' cannot be kept in the cache folder: {error}"
            raise NotRunnable("CacheFailed", message) from None
        script = script_of(
            head.path, file, language, (head.version,), program=program, dedicated=head.dedicated
        )
        # Its lock may be all that is new, and then its processes need not be replaced.
        same = known is not None and known[1] == script
        self._ready[head.path, asked] = (head, known[1] if known and same else script)

    async def _installed(self, head: ScriptHead) -> Installed | None:
        if not head.requirements or head.language not in INSTALLERS:
            return None
        return await self._packages.get(head.language, Wanted(head.requirements, head.lock))

    async def _file(self, head: ScriptHead, installed: Installed | None) -> Path:
        """Where its text lies, fetched if it does not yet. Raises `OSError`."""
        below = Path(head.hash) / file_name(head.path, head.language)
        text = await trio.to_thread.run_sync(_read, self._cache / below, head)
        if text is None:
            text = (await fetch(self._store, head.path, head.version, self._rng)).content
            await trio.to_thread.run_sync(_keep, self._cache / below, text)
        if installed is None:
            return self._cache / below
        file = installed.folder / "scripts" / below
        await trio.to_thread.run_sync(_keep, file, text)
        return file


async def fetch(store: ScriptStore, path: str, version: int, rng: Random) -> StoredScript:
    """A version; while the store cannot be reached it is asked again. Raises `NotRunnable`."""
    tries = 0
    while True:
        try:
            stored = await store.script(path, version)
        except StoreError as error:
            if isinstance(error, Refused | NotAllowed):
                raise NotRunnable("ScriptNotFetched", str(error)) from None
            tries += 1
            await trio.sleep(backoff_s(tries, rng))
            continue
        if stored is None:
            message = f"there is no version {version} of a deployed script '{path}'"
            raise NotRunnable("ScriptNotFetched", message)
        return stored


def _language(head: ScriptHead, asked: str | None) -> Language:
    name = head.language if asked is None else asked
    if name not in LANGUAGES:
        message = f"no language '{name}', of version {head.version} of '{head.path}', runs here"
        raise NotRunnable("UnknownLanguage", message)
    return LANGUAGES[name]


def _hash(head: ScriptHead, text: str) -> str:
    return script_hash(head.language, text, dedicated=head.dedicated)


def _read(file: Path, head: ScriptHead) -> str | None:
    """The text that is kept, if it is the one: a crash of the machine may have left half of it."""
    try:
        text = file.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if _hash(head, text) == head.hash else None


def _keep(file: Path, text: str) -> None:
    """Write a file that is there whole or not at all, whoever else does the same."""
    file.parent.mkdir(PRIVATE, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(number, "wb") as part:
        part.write(text.encode())
    Path(name).replace(file)
