"""One host process: its pipes, the window of jobs in its hands, and its end.

Jobs go to the host in the order in which they wait, at most `window` at a time, and are run and
answered in that order. So the oldest unanswered job, the *head*, is the one that runs; it alone
pays when the process dies, and to stop it the process has to be killed. All others can be dropped
or moved to another process.
"""

import codecs
import os
import subprocess
from collections import deque
from math import inf
from pathlib import Path
from signal import SIGKILL
from typing import Final, NamedTuple

import msgspec
import trio

from trioworker.model.outcome import JobError, Outcome
from trioworker.runners.framing import (
    LineSplitter,
    LineTooLong,
    Reply,
    cancel_line,
    id_of,
    outcome_of,
    read_reply,
)
from trioworker.runners.host_call import HostCall
from trioworker.runners.joblog import JobLog
from trioworker.runners.processes import signal_group, told
from trioworker.runners.raised import failed, tail

READ_BYTES: Final = 64 * 1024
DRAIN_READS_MAX: Final = 64
"""Bounds the last look at a pipe that a process which escaped its group may still fill."""
OUTPUT_CHARS_MAX: Final = 4_000
CLOSE_GRACE_S: Final = 2.0
"""What a host has to leave by itself once it was told that no job will come."""
DROP_GRACE_S: Final = 1.0
"""What a host has to say that it dropped a job, before it is taken to be running it."""


class HostCommand(NamedTuple):
    """How a host is started: its two file descriptors go between `program` and `arguments`."""

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    cwd: Path | None = None


class HostProcess:
    """One process, from its start to its end; takes its jobs from `waiting`.

    `ready` says whether it ever came up, `closing` whether it was told to go. After `live` has
    returned, `refused` holds why no other start will help, and `remains` what was left undone.
    """

    def __init__(
        self, waiting: deque[HostCall], *, window: int, start_timeout_s: float, idle_s: float
    ) -> None:
        self._waiting = waiting
        self._window = window
        self._start_timeout_s = start_timeout_s
        self._idle_s = idle_s
        self._in_flight: dict[int, HostCall] = {}
        self._dropped = 0
        self._outbox: list[bytes] = []
        self._outgoing = trio.Event()
        self._splitter = LineSplitter()
        self._output = JobLog(OUTPUT_CHARS_MAX)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._patience = trio.CancelScope()
        self._idle_since_s = inf
        self._failed: JobError | None = None
        self._told_end = ""
        self.refused: JobError | None = None
        self._finishing = False
        self._accepting = False
        self.ready = False
        self.closing = False

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self._in_flight

    @property
    def has_room(self) -> bool:
        """Whether it takes another job at once."""
        return self._accepting and len(self._in_flight) < self._window

    async def live(self, command: HostCommand) -> None:
        """Start the process and serve it until it is gone. Raises `OSError` when it cannot start.

        Cancelling kills it.
        """
        await self._spawn(command)
        try:
            async with trio.open_nursery() as nursery:
                for task in (self._write, self._read, self._read_output, self._close_when_idle):
                    nursery.start_soon(task)
                self._be_patient(self._start_timeout_s)
                with self._patience:
                    await self._process.wait()
                nursery.cancel_scope.cancel()
        finally:
            await self._reap()

    def fill(self) -> None:
        """Take as many waiting jobs as the window has room for."""
        while self._waiting and self.has_room:
            call = self._waiting.popleft()
            self._in_flight[call.id] = call
            self._outbox.append(call.line)
        if self._outbox:
            self._outgoing.set()

    def holds(self, call: HostCall) -> bool:
        """Whether the job is in this host's hands."""
        return call.id in self._in_flight

    def drop(self, call: HostCall) -> None:
        """Nobody waits for the job any more: see to it that it stops, or never starts."""
        self._drain()  # its end may have been on the way
        if not self.holds(call):
            return
        call.dropped = True
        self._dropped += 1
        if self._head() is call:
            self._kill()
        else:
            self._outbox.append(cancel_line(call.id))
            self._outgoing.set()

    def give_way(self) -> None:
        """Take no more jobs, and leave once those in hand are done."""
        self._leave()
        if self.idle:
            self._close()

    def finish(self) -> None:
        """Leave as soon as there is nothing to do."""
        self._finishing = True
        if self.idle and not self._waiting:
            self._close()

    def remains(self) -> tuple[HostCall | None, list[HostCall]]:
        """What a dead process left undone: the job to blame, if any, and those to run elsewhere."""
        left = [call for call in self._in_flight.values() if not call.dropped]
        if not left or left[0] is not self._head():
            return None, left
        return left[0], left[1:]

    def death(self, log: str) -> str:
        """What is told to the job that ran when the process died; `log` is what it had written."""
        return f"the process {self._told_end} while it ran this job; {tail(log)}"

    def start_failure(self) -> JobError:
        """Why the process never came up."""
        if (error := self._failed) is not None:
            message = f"the script raised while it was loaded: {error.name}: {error.message}"
            return failed("StartFailed", message, error.traceback).error
        if self._patience.cancelled_caught:
            what = f"it was not ready within {self._start_timeout_s:g} s"
        else:
            what = f"the process {self._told_end} before it was ready"
        return failed("StartFailed", f"{what}; {tail(self._output.text())}").error

    # ---- the process ------------------------------------------------------------------------

    async def _spawn(self, command: HostCommand) -> None:
        jobs_read, jobs_write = os.pipe()
        self._replies, replies_write = os.pipe()
        self._jobs = trio.lowlevel.FdStream(jobs_write)
        os.set_blocking(self._replies, False)
        fds = (jobs_read, replies_write)
        try:
            self._process = await trio.lowlevel.open_process(
                [*command.program, *map(str, fds), *command.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=fds,
                cwd=command.cwd,
                start_new_session=True,
            )
        except BaseException:
            self._jobs.close()
            os.close(self._replies)
            raise
        finally:
            for fd in fds:
                os.close(fd)
        assert isinstance(self._process.stdout, trio.lowlevel.FdStream)
        self._stdout = self._process.stdout

    def _leave(self) -> None:
        self.closing = True
        self._accepting = False

    def _close(self) -> None:
        """Tell the host that no job will come; it should leave soon."""
        self._leave()
        self._jobs.close()
        self._be_patient(CLOSE_GRACE_S)

    def _kill(self) -> None:
        self._leave()
        signal_group(self._process, SIGKILL)

    async def _reap(self) -> None:
        with trio.CancelScope(shield=True):
            signal_group(self._process, SIGKILL)
            exit_status = await self._process.wait()
            self._told_end = self._told_end or told(exit_status)
            self._accepting = False
            self._drain()
            self._jobs.close()
            await self._stdout.aclose()
        os.close(self._replies)

    def _be_patient(self, seconds: float) -> None:
        self._patience.deadline = trio.current_time() + seconds

    async def _close_when_idle(self) -> None:
        while True:
            idle_s = trio.current_time() - self._idle_since_s if self.idle else 0.0
            if idle_s >= self._idle_s:
                self._close()
                return
            await trio.sleep(self._idle_s - max(idle_s, 0.0))

    # ---- jobs out, replies in ---------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                await self._outgoing.wait()
                self._outgoing = trio.Event()
                lines, self._outbox = self._outbox, []
                await self._jobs.send_all(b"".join(lines))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the process's exit says why

    async def _read(self) -> None:
        while self._pump() != b"":
            await trio.lowlevel.wait_readable(self._replies)
        self._be_patient(CLOSE_GRACE_S)  # a host that hung up cannot answer any more

    async def _read_output(self) -> None:
        while self._pump_output() != b"":
            await trio.lowlevel.wait_readable(self._stdout.fileno())

    def _drain(self) -> None:
        for _ in range(DRAIN_READS_MAX):
            if not self._pump():
                return

    def _pump(self) -> bytes | None:
        """Handle what the host has sent by now; None when that is nothing, b"" at the end."""
        self._pump_output()  # written before the reply, so it belongs to the head
        if not (chunk := _read_now(self._replies)):
            return chunk
        try:
            for line in self._splitter.feed(chunk):
                self._receive(line)
        except LineTooLong as error:
            self._told_end = f"sent {error} and was killed"
            self._kill()
            return b""
        self.fill()
        if self.idle:
            self._idle_since_s = trio.current_time()
            if self.closing or self._finishing:
                self._close()
        return chunk

    def _pump_output(self) -> bytes | None:
        chunk = _read_now(self._stdout.fileno())
        if chunk:
            self._write_output(self._decoder.decode(chunk))
        return chunk

    def _write_output(self, text: str) -> None:
        head = self._head()
        (self._output if head is None else head).write(text)

    def _receive(self, line: bytes) -> None:
        try:
            reply = read_reply(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._receive_unreadable(line, error)
            return
        call = self._in_flight.get(reply.id)
        if call is None:
            self._receive_about_process(reply)
        elif reply.log is not None:
            call.write(reply.log)
        else:
            call.learn(reply)
            if (outcome := outcome_of(reply)) is not None:
                self._end(call, outcome)

    def _receive_about_process(self, reply: Reply) -> None:
        self.refused = self.refused or reply.refused
        self._failed = self._failed or reply.failed
        if reply.log is not None:
            self._output.write(reply.log)
        if reply.ready and not self.ready:
            self.ready = True
            self._accepting = not self.closing
            if not self.closing:
                self._patience.deadline = inf

    def _receive_unreadable(self, line: bytes, error: Exception) -> None:
        call = self._in_flight.get(id_of(line))
        if call is None:
            self._write_output(f"{line.decode(errors='replace')}\n")
        else:
            self._end(call, failed("UnreadableReply", f"the script's reply is no JSON: {error}"))

    def _end(self, call: HostCall, outcome: Outcome) -> None:
        while (head := self._head()) is not call:
            assert head is not None
            lost = "the script's process answered a later job first; the reply to this one is lost"
            self._take(head).end(failed("ReplyLost", lost))
        self._take(call).end(outcome)
        if self._dropped:
            self._mind_dropped_head()

    def _take(self, call: HostCall) -> HostCall:
        del self._in_flight[call.id]
        self._dropped -= call.dropped
        return call

    def _mind_dropped_head(self) -> None:
        """A host that begins a dropped job all the same must not keep the others waiting."""
        head = self._head()
        if head is not None and head.dropped:
            self._be_patient(DROP_GRACE_S)
        elif self.ready and not self.closing:
            self._patience.deadline = inf

    def _head(self) -> HostCall | None:
        return next(iter(self._in_flight.values()), None)


def _read_now(fd: int) -> bytes | None:
    """What can be read without waiting; None when that is nothing, b"" at the end."""
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return None
