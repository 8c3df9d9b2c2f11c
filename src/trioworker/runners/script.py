"""Scripts: each job a program of its own, or one of the many jobs of a dedicated process.

A one-shot script reads its arguments, as JSON, from standard input or from the file that
TRIOWORKER_ARGS names, and writes its result, as JSON, to the file that TRIOWORKER_RESULT names.
What it prints is its log, but for lines that tell its progress. When it ends, or is ended, all that
it has started ends with it. One that defines `preprocess` is not started as a program: its
functions are called, `preprocess` and then `main`.
"""

import codecs
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import trio

from trioworker.errors import UsageError
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Failed, Outcome, Succeeded
from trioworker.runners.dedicated import SCRIPTS_MAX, DedicatedRunner
from trioworker.runners.host_group import HostLimits
from trioworker.runners.joblog import JobLog
from trioworker.runners.processes import end_group, told
from trioworker.runners.raised import NotRunnable, failed, tail
from trioworker.runners.script_output import ScriptOutput
from trioworker.runners.scripts import Finder, Script

DEDICATED_TAG: Final = "dedicated:"
RESULT_BYTES_MAX: Final = 256 * 1024 * 1024
OUTPUT_GRACE_S: Final = 0.5
"""How long output is still read that a process holds open which escaped its group."""
SCRIPTS_PER_CPU: Final = 2

_NULL: Final = Succeeded(b"null")


class ScriptRunner:
    """Runs every job of the kind script, dedicated where its options, tag or deploy say so."""

    def __init__(
        self,
        scripts: Finder,
        rng: Random,
        *,
        limits: HostLimits = HostLimits(),  # noqa: B008 - frozen
        scripts_max: int = SCRIPTS_MAX,
    ) -> None:
        self.run_now: Callable[[Job], Outcome] | None = None
        self._scripts = scripts
        self._one_shot = OneShotRunner(scripts)
        self._dedicated = DedicatedRunner(scripts, rng, limits=limits, scripts_max=scripts_max)

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing: of scripts only their jobs say it."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See `Runner`."""
        async with self._one_shot.open(), self._dedicated.open():
            yield

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Run one job; see `Runner`."""
        try:
            script = await self._scripts.found(job.path, job.options.language)
            if script.dedicated or job.options.dedicated or job.tag.startswith(DEDICATED_TAG):
                return await self._dedicated.run_script(script, job, log)
        except NotRunnable as error:
            return Failed(error.error)
        return await self._one_shot.run(job, log)


class OneShotRunner:
    """Starts a process for each job, at most `at_once` at a time, by default two per CPU."""

    def __init__(self, scripts: Finder, *, at_once: int | None = None) -> None:
        self.run_now: Callable[[Job], Outcome] | None = None
        self._scripts = scripts
        self._slots = trio.CapacityLimiter(at_once or SCRIPTS_PER_CPU * (os.cpu_count() or 1))

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing: of scripts only their jobs say it."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing to open: a process lives as long as its job."""
        yield

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Run one job; see `Runner`."""
        async with self._slots:
            try:
                script = await self._scripts.found(job.path, job.options.language)
            except NotRunnable as error:
                return Failed(error.error)
            folder = await trio.to_thread.run_sync(_prepared, job.args)
            try:
                return await _run_in(folder, script, job, log)
            except OSError as error:
                return failed("StartFailed", f"'{job.path}' cannot be started: {error}")
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(
                        partial(shutil.rmtree, ignore_errors=True), folder
                    )


async def _run_in(folder: Path, script: Script, job: Job, log: JobLog) -> Outcome:
    exit_status = await _run_group(folder, script, job, log)
    if script.preprocesses:
        await trio.to_thread.run_sync(_keep_preprocessed, _preprocessed_file(folder), log)
    if exit_status != 0:
        return failed("ScriptFailed", f"the script {told(exit_status)}; {tail(log.text())}")
    return await trio.to_thread.run_sync(_result, _result_file(folder))


async def _run_group(folder: Path, script: Script, job: Job, log: JobLog) -> int:
    """The exit status. No process of the group is left, however this ends."""
    with _args_file(folder).open("rb") as args:
        process = await trio.lowlevel.open_process(
            _command(script),
            stdin=args,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=_working_folder(folder),
            env=_environment(folder, job, log.shared),
            start_new_session=True,
        )
    assert process.stdout is not None
    # Shielded, so that what a script says while it is being ended is still heard.
    listening = trio.CancelScope(shield=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_listen, process.stdout, log, listening)
        try:
            return await process.wait()
        finally:
            await end_group(process)
            listening.deadline = trio.current_time() + OUTPUT_GRACE_S


async def _listen(output: trio.abc.ReceiveStream, log: JobLog, scope: trio.CancelScope) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    printed = ScriptOutput(log)
    with scope:
        async with output:
            async for chunk in output:
                printed.write(decoder.decode(chunk))
    printed.write(decoder.decode(b"", final=True))
    printed.close()


def _command(script: Script) -> list[str]:
    functions = [str(script.host), "once"] if script.preprocesses else []
    return [*script.command, *functions, str(script.file)]


def _environment(folder: Path, job: Job, shared: Path | None) -> dict[str, str]:
    return os.environ | {
        "PYTHONUNBUFFERED": "1",
        "TRIOWORKER_ARGS": str(_args_file(folder)),
        "TRIOWORKER_RESULT": str(_result_file(folder)),
        "TRIOWORKER_PREPROCESSED": str(_preprocessed_file(folder)),
        "TRIOWORKER_JOB": str(job.id),
        "TRIOWORKER_ATTEMPT": str(job.attempt),
        "TRIOWORKER_TAG": job.tag,
        **({} if shared is None else {"TRIOWORKER_SHARED": str(shared)}),
    }


def _prepared(args: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="trioworker-"))
    _working_folder(folder).mkdir()
    _args_file(folder).write_text(args, encoding="utf-8")
    return folder


def _working_folder(folder: Path) -> Path:
    return folder / "work"


def _args_file(folder: Path) -> Path:
    return folder / "args.json"


def _result_file(folder: Path) -> Path:
    return folder / "result.json"


def _preprocessed_file(folder: Path) -> Path:
    return folder / "preprocessed.json"


def _keep_preprocessed(file: Path, log: JobLog) -> None:
    """What the script has made of its arguments, if it came so far."""
    if not file.is_file():
        return
    try:
        log.keep_preprocessed(msgspec.json.format(file.read_bytes(), indent=-1))
    except (UsageError, OSError, msgspec.DecodeError, RecursionError) as error:
        log.write(f"trioworker: {error}\n")


def _result(file: Path) -> Outcome:
    """What the script left as its result; null when it left none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return _NULL
    if not stat.S_ISREG(found.st_mode):
        return failed("InvalidResult", "the script's result is not an ordinary file")
    if found.st_size > RESULT_BYTES_MAX:
        size = f"{found.st_size:,} bytes, at most {RESULT_BYTES_MAX:,}"
        return failed("InvalidResult", f"the script's result is too large: {size}")
    data = file.read_bytes()
    try:
        data.decode()
        return Succeeded(msgspec.json.format(data, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        start = data[:100].decode(errors="replace")
        return failed("InvalidResult", f"the script's result is not JSON: {error}; {start!r}")
