"""The life of an embedded PostgreSQL server: made, started, awaited, stopped.

Rule of this file: the server is nobody's child. Any process may start it, find it or stop it, and
it outlives whoever started it; what they share is the `DataFolder` and its locks. Callers of
`ensure_running` and `stop_server` are inside `DataFolder.exclusive`.
"""

import os
import re
import shutil
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from trioworker.errors import ServerUnavailable
from trioworker.store.postgres.embedded_folder import DATABASE, POLL_S, PORT, DataFolder, try_lock
from trioworker.store.postgres.embedded_programs import ServerUser, lend, run_program

START_TIMEOUT_S: Final = 60.0  # recovery after a crash of the machine included
STOP_TIMEOUT_S: Final = 60.0

# Set at each start, because the rest of this package relies on them. The socket's folder is told
# relative to the data, so that neither its length nor its owner's home matters to the server.
ESSENTIALS: Final = ("listen_addresses=", "unix_socket_directories=.", f"port={PORT}")

# Written once, into the new postgresql.conf; from then on the file is the user's to change.
PREFERENCES: Final = """
# Set by trioworker, for a queue of jobs on a small machine.
max_connections = 200          # some three per worker
shared_buffers = 256MB         # the hot part of a queue stays in memory
autovacuum_naptime = 10s       # a queue leaves dead rows behind within seconds
jit = off                      # statements of a millisecond
log_checkpoints = off          # the log is for what went wrong
"""

# Bytes compare as bytes, so no upgrade of the system's locales can corrupt an index.
INITDB: Final = (
    "--username=postgres",
    "--auth=trust",  # whoever can enter the folder, mode 0700, may connect
    "--encoding=UTF8",
    "--no-locale",
    "--no-instructions",
)


@dataclass(frozen=True)
class Cluster:
    """The server of `folder`, run by the PostgreSQL whose programs are in `programs`.

    `user` is whom it runs as, None for ourselves; `settings` ("name=value", no spaces) go before
    what postgresql.conf says.
    """

    folder: DataFolder
    programs: Path
    user: ServerUser | None
    settings: tuple[str, ...] = ()

    async def ensure_running(self) -> None:
        """Return when the server takes connections and the database `DATABASE` is there.

        Raises `ServerUnavailable`.
        """
        if self.folder.version is None:
            await self._initialise()
        await self._ensure_server()
        await self._ensure_database()

    async def _initialise(self) -> None:
        """Make the cluster under another name first: it is there as a whole or not at all."""
        for leftover in self.folder.path.glob("initdb-*"):  # somebody was killed right here
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.folder.path))
        try:
            if self.user:
                os.chown(fresh, *self.user)
            with lend(fresh, self.user) as (name, descriptors):
                await run_program(
                    self.programs / "initdb",
                    *INITDB,
                    f"--pgdata={name}",
                    user=self.user,
                    pass_fds=descriptors,
                )
            _put_in_place(fresh, self.folder.cluster)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    async def _ensure_server(self) -> None:
        """Find the server, launch it when there is none, and wait until it is ready."""
        launched = False
        with trio.move_on_after(START_TIMEOUT_S):
            while True:
                lock = try_lock(self.folder.running)
                if lock is None:
                    server = self.folder.postmaster()
                    if server and server.ready and await _listens(self.folder.socket):
                        return
                elif launched:
                    os.close(lock)
                    raise ServerUnavailable(f"PostgreSQL did not start: {self._last_words()}")
                else:
                    await self._launch(lock)
                    launched = True
                await trio.sleep(POLL_S)
        raise ServerUnavailable(
            f"PostgreSQL is not ready after {START_TIMEOUT_S:.0f} s: see {self.folder.log}"
        )

    async def _launch(self, running_lock: int) -> None:
        """Let pg_ctl start the server and hand it `running_lock`, which is closed here."""
        settings = " ".join(f"-c {setting}" for setting in (*ESSENTIALS, *self.settings))
        # No server runs, or it would hold the lock. Files that say otherwise are left from a
        # crash, and PostgreSQL would believe them when their process id is in use again.
        for stale in (self.folder.cluster / "postmaster.pid", Path(f"{self.folder.socket}.lock")):
            stale.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self.folder.log.rename(f"{self.folder.log}.old")
        try:
            with (
                self.folder.log.open("wb") as log,
                lend(self.folder.cluster, self.user) as (name, descriptors),
            ):
                await run_program(
                    self.programs / "pg_ctl",
                    *("start", "--no-wait", "--silent", f"--pgdata={name}"),
                    f"--options={settings}",
                    user=self.user,
                    pass_fds=(*descriptors, running_lock),
                    log=log,
                )
        finally:
            os.close(running_lock)

    async def _ensure_database(self) -> None:
        try:
            # No command: all it does is to connect.
            await run_program(self.programs / "psql", "-X", "-c", "", self.folder.url)
        except ServerUnavailable:
            where = (f"--host={self.folder.cluster}", f"--port={PORT}", "--username=postgres")
            await run_program(self.programs / "createdb", *where, DATABASE)

    def _last_words(self) -> str:
        """What the server said last that explains its end, and where to read the rest."""
        said = self.folder.log.read_text(errors="replace")
        reasons = re.findall(r"(?:FATAL|PANIC|ERROR):\s+(.+)", said) or said.split("\n")
        return f"{reasons[-1]} (see {self.folder.log})"


def _put_in_place(fresh: Path, cluster: Path) -> None:
    with (fresh / "postgresql.conf").open("a") as conf:
        conf.write(PREFERENCES)
    fresh.rename(cluster)


async def _listens(socket: Path) -> bool:
    """Whether the first process lives: its backends, which may outlive it a little, do not."""
    try:
        stream = await trio.open_unix_socket(socket)
    except OSError:
        return False
    await stream.aclose()
    return True


async def stop_server(folder: DataFolder, how: signal.Signals = signal.SIGINT) -> None:
    """Stop the server of `folder` and return when its last process has ended.

    SIGINT cuts connections and ends cleanly; SIGQUIT ends at once, as if it had crashed.
    Raises `ServerUnavailable` when it does not stop in time.
    """
    signalled: int | None = None
    with trio.move_on_after(STOP_TIMEOUT_S):
        while (lock := try_lock(folder.running)) is None:
            server = folder.postmaster()
            if server and server.pid != signalled:
                signalled = server.pid
                os.kill(server.pid, how)
            await trio.sleep(POLL_S)
        os.close(lock)
        return
    raise ServerUnavailable(
        f"PostgreSQL did not stop within {STOP_TIMEOUT_S:.0f} s: see {folder.log}"
    )
