"""What a deployed script is: its text, its language, and what it says about itself.

Rule of this file: pure. Data and its bounds, in words a user can act on; what is read from a file
or found on a machine comes in as an argument.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.model.bounds import PATH_BYTES_MAX, bounded_text
from trioworker.model.outcome import Executed, Succeeded
from trioworker.model.requirements import requirements_of

CONTENT_BYTES_MAX: Final = 4 * 1024 * 1024
DEPENDENCIES: Final = "dependencies"
"""The kind of the jobs that install what a version requires, and their tag."""
INSTALL_TIMEOUT_S: Final = 1_800.0

Language = Literal["python", "bash", "node", "deno", "bun"]
SUFFIXES: Final[dict[str, tuple[str, ...]]] = {
    ".py": ("python",),
    ".sh": ("bash",),
    ".js": ("node",),
    ".mjs": ("node",),
    ".cjs": ("node",),
    ".ts": ("deno", "bun"),
}
"""Which languages the end of a file's name may mean; the first is meant where it is not said."""
SUFFIX_OF: Final[dict[str, str]] = {
    "python": ".py",
    "bash": ".sh",
    "node": ".mjs",
    "deno": ".ts",
    "bun": ".ts",
}
"""What a script's file is called at its end, when its path does not say it."""

_PREPROCESS: Final = {
    ".py": re.compile(r"^(?:async[ \t]+)?def[ \t]+preprocess[ \t]*\(", re.MULTILINE),
    ".js": re.compile(
        r"^export[ \t]+(?:(?:async[ \t]+)?function|const|let)[ \t]+preprocess\b", re.MULTILINE
    ),
}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]")
_NAME_CHARS_MAX: Final = 100


class NewScript(msgspec.Struct, frozen=True, kw_only=True):
    """A script to be deployed. `requirements` are those that its text names."""

    path: str
    language: str
    dedicated: bool
    content: str
    requirements: tuple[str, ...]

    @property
    def hash(self) -> str:
        """What two versions have in common that are the same script."""
        return script_hash(self.language, self.content, dedicated=self.dedicated)


class ScriptHead(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a deployed script, without its text.

    `lock` has the exact versions of all packages once they are known; None until then.
    """

    path: str
    version: int
    hash: str
    language: str
    dedicated: bool
    requirements: tuple[str, ...] = ()
    lock: tuple[str, ...] | None = None


class StoredScript(NamedTuple):
    """A version with its text."""

    head: ScriptHead
    content: str


class ScriptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it is shown to people; `size` is that of its text, in bytes."""

    path: str
    version: int
    language: str
    dedicated: bool
    size: int
    hash: str
    requirements: Sequence[str]
    lock: Sequence[str] | None
    created_at: datetime
    created_by: str


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy came to: the version that counts now, and whether it is `new`.

    `dependencies` is the job that installs its requirements, if one was needed.
    """

    path: str
    version: int
    new: bool
    dependencies: UUID | None = None


class Locks(NamedTuple):
    """Locks that jobs have found, in the order of the statement's parameters; keys in order."""

    paths: Sequence[str]
    versions: Sequence[int]
    locks: Sequence[str]


class _InstallArgs(msgspec.Struct, frozen=True):
    """The arguments of a job that installs what a version requires."""

    version: int


_install_args: Final = msgspec.json.Decoder(_InstallArgs).decode
_lock: Final = msgspec.json.Decoder(tuple[str, ...]).decode


def new_script(
    path: str, content: str, *, language: str | None = None, dedicated: bool = False
) -> NewScript:
    """The script, as its text says. Raises `UsageError` when it cannot be deployed."""
    bounded_text("path", path, PATH_BYTES_MAX)
    language = language_of(path, language)
    if dedicated and language == "bash":
        raise UsageError(f"the script '{path}' is in bash, which cannot be dedicated")
    if "\x00" in content:
        raise UsageError(
            f"the script '{path}' contains a NUL character; a script is text, not a program"
        )
    if content.encode("utf-8", "replace").decode() != content:
        raise UsageError(f"the script '{path}' is no text that can be stored")
    size = len(content.encode())
    if size > CONTENT_BYTES_MAX:
        raise UsageError(
            f"the script '{path}' is too large: {size:,} bytes, at most {CONTENT_BYTES_MAX:,};"
            " put data elsewhere, and libraries into its requirements"
        )
    try:
        requirements = requirements_of(language, content)
    except UsageError as error:
        raise UsageError(f"the script '{path}': {error}") from None
    return NewScript(
        path=path,
        language=language,
        dedicated=dedicated,
        content=content,
        requirements=requirements,
    )


def language_of(path: str, asked: str | None) -> str:
    """The language as it is asked for, or as the path's end says. Raises `UsageError`."""
    if asked is not None:
        if asked not in SUFFIX_OF:
            raise UsageError(f"unknown language {asked!r}; one of {', '.join(SUFFIX_OF)}")
        return asked
    languages = SUFFIXES.get(_suffix(path))
    if languages is None:
        raise UsageError(
            f"the end of '{path}' names no language; known are {', '.join(SUFFIXES)}, or say which"
            " with --language"
        )
    return languages[0]


def file_name(path: str, language: str) -> str:
    """What the file of a deployed script is called: like its path's last part, if that can be."""
    name = _NOT_IN_NAMES.sub("_", path.rpartition("/")[2]).lstrip(".")[-_NAME_CHARS_MAX:]
    if language in SUFFIXES.get(_suffix(name), ()):
        return name
    return f"{name or 'script'}{SUFFIX_OF[language]}"


def preprocesses(suffix: str, content: str) -> bool:
    """Whether a script in a file that ends so defines a function `preprocess`."""
    pattern = _PREPROCESS.get(".py" if suffix == ".py" else ".js")
    return suffix in SUFFIXES and suffix != ".sh" and bool(pattern and pattern.search(content))


def script_hash(language: str, content: str, *, dedicated: bool) -> str:
    """By what a version is known, on a worker's disk, too: equal ones are the same script."""
    digest = blake2b(digest_size=20)
    for part in (language, "dedicated" if dedicated else "", content):
        encoded = part.encode()
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()


def install_args(version: int) -> bytes:
    """The arguments of the job that installs what a version requires."""
    return msgspec.json.encode(_InstallArgs(version))


def version_in(args: str) -> int | None:
    """Which version a job is to install the requirements of; None when it does not say."""
    try:
        return _install_args(args).version
    except (msgspec.DecodeError, RecursionError):
        return None


def lock_in(result: bytes) -> tuple[str, ...] | None:
    """The lock that such a job has found; None when its result is none."""
    try:
        return _lock(result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def locks(batch: Iterable[Executed]) -> Locks | None:
    """The locks that jobs of a batch have found: of one version the last, and all in order."""
    found: dict[tuple[str, int], str] = {}
    for executed in batch:
        job, outcome = executed.job, executed.outcome
        if job.kind != DEPENDENCIES or not isinstance(outcome, Succeeded):
            continue
        version, lock = version_in(job.args), lock_in(outcome.result)
        if version is not None and lock is not None:
            found[job.path, version] = outcome.result.decode()
    if not found:
        return None
    rows = [(path, version, lock) for (path, version), lock in sorted(found.items())]
    return Locks(*zip(*rows, strict=True))


def _suffix(path: str) -> str:
    name = path.rpartition("/")[2]
    stem, dot, end = name.rpartition(".")
    return f"{dot}{end}" if stem else ""
