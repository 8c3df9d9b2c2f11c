"""`trioworker …` as its users run it: in a process of its own, or in this one where that will do.

Rule of this file: no setting comes from the environment of whoever runs the tests.
"""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import pytest

from trioworker.cli.guard import DEBUG
from trioworker.cli.main import main
from trioworker.settings import TABLE

APP: Final = "tests.cli.shop:app"
ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-m", "trioworker")
OURS: Final = frozenset({DEBUG, *(setting.variable for setting in TABLE.values())})
PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it printed, and what it said besides."""

    status: int
    output: str
    complaints: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - JSON
        """What it printed with --json."""
        return json.loads(self.output)

    def well(self) -> Self:
        """Itself, which must have ended well."""
        assert self.status == 0, self.complaints
        return self


class Run(Protocol):
    """Runs a command in this process, on the database of the test."""

    def __call__(self, *arguments: str, stdin: str | bytes = b"", **variables: str) -> Ended:
        """The command's `arguments`; `variables` of the environment besides DATABASE_URL."""
        ...


def run_here(*arguments: str, url: str, stdin: str | bytes = b"", **variables: str) -> Ended:
    """Run a command in this process: the whole of the program but for its start."""
    text = stdin.encode() if isinstance(stdin, str) else stdin
    output, complaints = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in OURS:
            patch.delenv(name, raising=False)
        for name, value in ({"DATABASE_URL": url} | variables).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        with (
            redirect_stdout(output),
            redirect_stderr(complaints),
            pytest.raises(SystemExit) as end,
        ):
            main(arguments)
    return Ended(int(end.value.code or 0), output.getvalue(), complaints.getvalue())


def environment(url: str | None, variables: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of a process that is to use the database at `url`."""
    clean = {name: value for name, value in os.environ.items() if name not in OURS}
    clean |= {"PYTHONUNBUFFERED": ""}  # as it is for those who never heard of it
    return clean | ({} if url is None else {"DATABASE_URL": url}) | dict(variables)


def run(*arguments: str, url: str | None, cwd: Path = ROOT, **variables: str) -> Ended:
    """Run `trioworker` in a process of its own, to its end."""
    process = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(url, variables),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


class Worker:
    """`trioworker run` in a process of its own, whose log can be followed."""

    def __init__(self, *arguments: str, url: str) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "run", APP, "--log-level", "debug", *arguments],
            env=environment(url, {}),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(PATIENCE_S, self._process.kill)
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.__exit__(None, None, None)
        self._watchdog.cancel()

    def said(self, event: str) -> Mapping[str, Any]:
        """Wait until it logs `event`, and return what it says with it."""
        return next(
            (line for line in self._lines() if line["event"] == event), None
        ) or pytest.fail(f"the worker ended without {event!r}")

    def ask_to_stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """What a supervisor of processes does first; SIGINT is what Ctrl-C sends."""
        self._process.send_signal(by)

    def ended(self) -> tuple[int, str]:
        """Wait until it has ended: its status, and what it said last."""
        said = self._process.communicate()[1]
        return self._process.returncode, said

    def _lines(self) -> Iterator[Mapping[str, Any]]:
        assert self._process.stderr
        while line := self._process.stderr.readline():
            yield json.loads(line)
