"""The data folder of an embedded PostgreSQL: what lies where, and who is there.

Rule of this file: who uses the server and whether it runs is read from file locks, never from
lists of process ids. The kernel gives a lock back when its holder ends, however it ends, so no
kill -9, restarted container or reused process id leaves a lie behind.

    trioworker.lock    held while somebody starts, stops, joins or leaves; marks the folder as ours
    postgres/          the database cluster, and its socket
    postgres.log       what the server said since its last start; postgres.log.old: before that
    running            held by the server itself: it inherits the lock, and so do its backends
    users/PID-…        one per user, held by it
    agent_secret       signs the tokens of agents; made when it is first needed
    keep               exists from `trioworker db start` to `trioworker db stop`
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import trio

from trioworker.errors import UsageError

DATABASE: Final = "trioworker"
PORT: Final = 5432  # names the socket; nothing listens on TCP
POLL_S: Final = 0.01
SOCKET_PATH_BYTES_MAX: Final = 107 if sys.platform == "linux" else 103
# The first divides hosts in a database URL; the others mean something to the shell by which
# pg_ctl starts the server.
FORBIDDEN_IN_PATHS: Final = frozenset(',"$`\\\n')
NOT_CONTENT: Final = frozenset({"lost+found", ".DS_Store"})  # in a folder that its user finds empty


class Postmaster(NamedTuple):
    """The server's first process, as it describes itself in postmaster.pid."""

    pid: int
    ready: bool


class UserMark(NamedTuple):
    """One user's place among the users: a file and the descriptor that holds its lock."""

    path: Path
    descriptor: int

    def remove(self) -> None:
        """Stop being a user."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


@dataclass(frozen=True)
class DataFolder:
    """The folder at the absolute `path`. `open` makes it; reading works when it is not there."""

    path: Path

    @property
    def cluster(self) -> Path:
        """Where PostgreSQL keeps its data and its socket."""
        return self.path / "postgres"

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self.cluster / f".s.PGSQL.{PORT}"

    @property
    def log(self) -> Path:
        """What the server said since its last start."""
        return self.path / "postgres.log"

    @property
    def agent_secret(self) -> Path:
        """What signs the tokens of agents."""
        return self.path / "agent_secret"

    @property
    def lock(self) -> Path:
        """Locked while somebody starts, stops, joins or leaves; a folder without it is not ours."""
        return self.path / "trioworker.lock"

    @property
    def running(self) -> Path:
        """Locked as long as any process of the server lives."""
        return self.path / "running"

    @property
    def keep(self) -> Path:
        """Exists when the server shall run without users as well."""
        return self.path / "keep"

    @property
    def url(self) -> str:
        """The database's address, for asyncpg and libpq alike.

        The port is said because both would otherwise take it from PGPORT.
        """
        host = quote(os.fsencode(self.cluster), safe="/")
        return f"postgresql://postgres@/{DATABASE}?host={host}&port={PORT}"

    @property
    def version(self) -> int | None:
        """The major version of the PostgreSQL that made the data; None when there is none."""
        try:
            return int((self.cluster / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    @classmethod
    def at(cls, path: Path) -> "DataFolder":
        """The folder at `path`, not made. Raises `UsageError` when what is there cannot serve."""
        try:
            folder = cls(path.expanduser().absolute())
        except RuntimeError:
            raise UsageError(
                f"there is no user for the data folder {path}; write it without ~"
            ) from None
        folder._refuse_path()
        folder._refuse_content()
        return folder

    def make(self) -> None:
        """Make it when it is missing. Raises `UsageError` when it cannot be made."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock.touch()
            (self.path / "users").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror) from None

    def refuse_other_version(self, version: int) -> None:
        """Raise `UsageError` when the data here is not for PostgreSQL `version`."""
        if self.version is None and self.cluster.exists():
            raise self._unusable(f"{self.cluster.name} in it holds no PostgreSQL data")
        if self.version not in (None, version):
            raise UsageError(
                f"the data in {self.path} belongs to PostgreSQL {self.version} and this is"
                f" PostgreSQL {version}: name another data folder, or move the data with pg_dump"
            )

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Nobody else starts, stops, joins or leaves meanwhile."""
        try:
            while (descriptor := try_lock(self.lock)) is None:  # noqa: ASYNC110 - no event for it
                await trio.sleep(POLL_S)
        except FileNotFoundError:
            raise UsageError(f"the data folder {self.path} is gone") from None
        try:
            yield
        finally:
            os.close(descriptor)

    def add_user(self) -> UserMark:
        """Make this process a user, and forget the users that ended without leaving.

        Call it inside `exclusive`, or another's new mark could be taken for a dead one.
        """
        for mark in self._marks():
            if not is_locked(mark):
                mark.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=self.path / "users")
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # waits for no more than a look by `is_locked`
        return UserMark(Path(name), descriptor)

    def users(self) -> tuple[int, ...]:
        """The process ids of the living users."""
        return tuple(sorted({int(m.name.split("-")[0]) for m in self._marks() if is_locked(m)}))

    def postmaster(self) -> Postmaster | None:
        """The running server; None when there is none, or none yet that says who it is."""
        if not is_locked(self.running):
            return None
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            os.kill(pid, 0)
        except (FileNotFoundError, IndexError, ValueError, ProcessLookupError):
            return None
        return Postmaster(pid, ready=lines[-1].strip() == "ready")  # last line once it is written

    def _marks(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return list((self.path / "users").iterdir())
        return []

    def _refuse_path(self) -> None:
        bad = sorted(FORBIDDEN_IN_PATHS.intersection(str(self.path)))
        if bad:
            raise self._unusable(f"its path contains {bad[0]!r}")
        excess = len(os.fsencode(self.socket)) - SOCKET_PATH_BYTES_MAX
        if excess > 0:
            raise self._unusable(f"its path is {excess} bytes too long for a socket in it")

    def _refuse_content(self) -> None:
        try:
            content = {entry.name for entry in self.path.iterdir()}
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error.strerror) from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise self._unusable("it is not writable")
        if "PG_VERSION" in content:
            raise self._unusable("it is the data folder of another PostgreSQL")
        if self.lock.name not in content and not content <= NOT_CONTENT:
            raise self._unusable("it holds other files, which are not to be mixed with ours")

    def _unusable(self, reason: str | None) -> UsageError:
        return UsageError(
            f"cannot use the data folder {self.path}: {reason}; name another, or set DATABASE_URL"
        )


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock on `path` until it is closed; None when others hold it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether anybody holds the lock on `path`; False when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
