"""Where scripts are and what runs them.

Rule of this file: it looks and decides, and starts nothing. A job names its script by a path
inside the scripts folder; whoever may enqueue must not be able to name any other file. Links
inside the folder are followed, because they belong to whoever owns the folder.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from trioworker.model.script import CONTENT_BYTES_MAX, SUFFIXES, preprocesses
from trioworker.runners.raised import NotRunnable

HOSTS: Final = Path(__file__).parent / "hosts"
SHOWN_MAX: Final = 200


class Language(NamedTuple):
    """How scripts of one language are run; `host` is the program that calls their functions."""

    program: str
    options: tuple[str, ...] = ()
    host: str | None = None


class Script(NamedTuple):
    """A script that exists and can be run. `version` changes when the file does.

    `host` is what calls its `main`, None where nothing can. `preprocesses` says that it defines
    `preprocess`, and `dedicated` is as its deploy says.
    """

    file: Path
    command: tuple[str, ...]
    host: Path | None
    version: tuple[int, ...]
    preprocesses: bool = False
    dedicated: bool = False


LANGUAGES: Final[dict[str, Language]] = {
    "python": Language(sys.executable, ("-u",), "host.py"),
    "bash": Language("bash"),
    "node": Language("node", (), "host.mjs"),
    "deno": Language("deno", ("run", "--allow-all", "--no-prompt"), "host.mjs"),
    "bun": Language("bun", ("run",), "host.mjs"),
}


class Finder(Protocol):
    """Knows which script a job means."""

    async def found(self, path: str, language: str | None) -> Script:
        """The script that a job names, ready to be started. Raises `NotRunnable`."""
        ...


class Scripts:
    """The scripts in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() follows links
        self._known: dict[tuple[str, str | None], Script] = {}

    def find(self, path: str, language: str | None = None) -> Script:
        """The script that a job names; `language` overrides what the suffix says.

        Raises `NotRunnable` when it is outside the folder, missing, or has no interpreter here.
        Cheap when asked again: one look at the file.
        """
        known = self._known.get((path, language))
        if known is not None and _version(path, known.file) == known.version:
            return known
        file = self._file(path)
        named = named_language(path, file, language)
        script = script_of(path, file, named, _version(path, file))
        self._known[path, language] = script
        return script

    async def found(self, path: str, language: str | None) -> Script:
        """See `Finder`."""
        return self.find(path, language)

    def _file(self, path: str) -> Path:
        file = Path(os.path.normpath(self._folder / path))
        if not file.is_relative_to(self._folder):
            raise NotRunnable(
                "ScriptOutside", f"script '{_shown(path)}' is outside the scripts folder"
            )
        return file


def script_of(
    path: str,
    file: Path,
    language: Language,
    version: tuple[int, ...],
    *,
    program: str | None = None,
    dedicated: bool = False,
) -> Script:
    """The script in a file, which `program` runs instead of what its language says."""
    return Script(
        file=file,
        command=(program or _program(path, language), *language.options),
        host=None if language.host is None else HOSTS / language.host,
        version=version,
        preprocesses=language.host is not None and _preprocesses(file),
        dedicated=dedicated,
    )


def _preprocesses(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8", errors="replace") as text:
            return preprocesses(file.suffix, text.read(CONTENT_BYTES_MAX))
    except OSError:
        return False  # whoever starts it says what is wrong


def _version(path: str, file: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(file)  # noqa: PTH116 - this is on the way of every job, Path is slower
    except (OSError, ValueError) as error:
        why = "" if isinstance(error, FileNotFoundError) else f": {error}"
        raise NotRunnable(
            "ScriptNotFound", f"there is no script '{_shown(path)}' in the scripts folder{why}"
        ) from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def named_language(path: str, file: Path, asked: str | None) -> Language:
    """The language that is asked for, or that the file's name says. Raises `NotRunnable`."""
    if asked is not None:
        if asked not in LANGUAGES:
            known = ", ".join(LANGUAGES)
            raise NotRunnable("UnknownLanguage", f"no language '{_shown(asked)}'; one of {known}")
        return LANGUAGES[asked]
    names = SUFFIXES.get(file.suffix, ())
    if not names:
        raise NotRunnable(
            "UnknownLanguage",
            f"the suffix of '{_shown(path)}' names no language; known are {', '.join(SUFFIXES)},"
            " or say options.language",
        )
    there = (name for name in names if shutil.which(LANGUAGES[name].program))
    return LANGUAGES[next(there, names[0])]


def _program(path: str, language: Language) -> str:
    program = shutil.which(language.program)
    if program is None:
        raise NotRunnable(
            "MissingInterpreter",
            f"'{language.program}', which runs '{_shown(path)}', is not installed on this worker",
        )
    return program


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
