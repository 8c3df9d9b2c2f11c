"""Processes that use an embedded server, for tests to kill; and how to be a plain user."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, Self

import pytest

USER: Final = """
import sys, trio
from pathlib import Path
from trioworker.errors import TrioworkerError
from trioworker.store.postgres.embedded import open_embedded

async def main():
    data_dir = Path(sys.argv[1]) if sys.argv[1:] else None
    async with open_embedded(data_dir) as server:
        print(server.url, flush=True)
        await trio.lowlevel.wait_readable(sys.stdin)

try:
    trio.run(main)
except TrioworkerError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class UserProcess:
    """A process that uses the server of a folder until it is told to leave, or is killed."""

    def __init__(self, *data_dir: Path, prefix: tuple[str, ...] = (), home: str = "") -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-c", USER, *map(str, data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ({"HOME": home} if home else {}),
            start_new_session=True,  # its process group is a terminal's foreground group
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def joined(self) -> str:
        """Wait until it uses the server; its url."""
        assert self._process.stdout
        return self._process.stdout.readline().strip() or pytest.fail(
            self._process.communicate()[1]
        )

    def refused(self) -> str:
        """Wait until it has given up; what it said."""
        joined, complaint = self._process.communicate()
        assert (self._process.returncode, joined) == (1, "")
        return complaint.strip()

    def leave(self) -> None:
        """Let it leave, and wait until it has ended well."""
        _, complaints = self._process.communicate()
        assert (self._process.returncode, complaints) == (0, "")

    def kill(self) -> None:
        """Kill it without notice."""
        self._process.kill()
        self._process.wait()

    def interrupt_group(self) -> None:
        """What Ctrl-C in its terminal does, waited for."""
        os.killpg(self.pid, signal.SIGINT)
        self._process.wait()


@cache
def as_plain_user() -> tuple[str, ...]:
    """What to put before a command so that a plain user runs it; nothing when we are one."""
    if os.geteuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    change = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    # The interpreter may lie in root's home, as this checkout may: let it read there.
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    check = [*change, sys.executable, "-c", "import trioworker.store.postgres.embedded"]
    reaches = subprocess.run(check, check=False, capture_output=True).returncode == 0
    return change if reaches else change + may_read


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="tw-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
