"""The lines between a worker and a host process: bytes in, lines out, and what they mean.

Rule of this file: no I/O. One JSON object per line, either way:

* to the host: {"id": 7, "args": …} runs a job, {"cancel": 7} drops it if it has not begun. With
  "shared" comes the folder that the job shares with other steps of its flow.
* from the host: once {"ready": true}, or {"refused": error} when no other start will help, or
  {"failed": error} when one may. Then for each job one of {"id": 7, "result": …},
  {"id": 7, "error": {"name", "message", "traceback"}} or {"id": 7, "dropped": true}, and before
  it any number of {"id": 7, "log": text}.

Jobs are run and answered in the order in which they were sent. Hosts that run `trioworker`'s own
functions also answer with a verdict: snooze_s, retry_s (beside the error) or cancel. Beside an
error may be "kinds", the names of the classes that it is of, too, and "for_good": true when
another attempt is of no use.

A function's host may also send any number of {"id": 7, "progress": [fraction, note]} while it runs,
with the "member" of the chunk, counted from 0, that tells it.

Beside any answer may be "labels", those that the job was given while it ran, and "preprocessed",
what a script's `preprocess` has made of its arguments. Beside a result may be "statements", what a
function has handed over; scripts hand over nothing.

The result of a chunk is a list of the same replies, one for each of its jobs, without ids, their
logs among them. When the call has no result, "members" is what is known of each of its jobs.
"""

import re
from typing import Annotated, Final

import msgspec

from trioworker.errors import UsageError
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from trioworker.model.user_statement import read
from trioworker.runners.raised import failed

LINE_BYTES_MAX: Final = 256 * 1024 * 1024

_ABSENT: Final = msgspec.Raw()
_ID_AT_START: Final = re.compile(rb'\{"id":(\d+)[,}]')


class LineTooLong(Exception):
    """The other side sent more than `LINE_BYTES_MAX` bytes without a newline."""


class Reply(msgspec.Struct):
    """One line from a host; `id` 0 stands for the process itself."""

    id: int = 0
    ready: bool = False
    refused: JobError | None = None
    failed: JobError | None = None
    log: str | None = None
    dropped: bool = False
    result: msgspec.Raw = _ABSENT
    error: JobError | None = None
    kinds: tuple[str, ...] = ()
    for_good: bool = False
    snooze_s: float | None = None
    retry_s: float | None = None
    cancel: str | None = None
    labels: tuple[str, ...] = ()
    preprocessed: msgspec.Raw = _ABSENT
    progress: tuple[float, str] | None = None
    member: Annotated[int, msgspec.Meta(ge=0)] = 0
    members: "list[Reply] | None" = None
    statements: msgspec.Raw = _ABSENT


read_reply: Final = msgspec.json.Decoder(Reply).decode
read_replies: Final = msgspec.json.Decoder(list[Reply]).decode


class LineSplitter:
    """Cuts a stream of chunks into lines; costs the same for many short and for one huge line."""

    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._begun: list[bytes] = []
        self._begun_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their newlines. Raises `LineTooLong`."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            self._begun.append(lines[0])
            lines[0] = b"".join(self._begun)
            self._begun.clear()
            self._begun_bytes = 0
        if rest:
            self._begun.append(rest)
            self._begun_bytes += len(rest)
        if self._begun_bytes > self._bytes_max:
            raise LineTooLong(f"a line of more than {self._bytes_max:,} bytes")
        return lines


def job_line(call_id: int, args: str, extra: str = "") -> bytes:
    """The line that runs a job: `args` is JSON text and goes in as it is, `extra` before it."""
    if "\n" in args:
        args = args.replace("\n", " ")  # between tokens only: JSON escapes it inside of text
    return f'{{"id":{call_id},{extra}"args":{args}}}\n'.encode()


def cancel_line(call_id: int) -> bytes:
    """The line that drops a job which has not begun."""
    return b'{"cancel":%d}\n' % call_id


def id_of(line: bytes) -> int:
    """The id of a reply that cannot be read otherwise; 0 when it has none."""
    found = _ID_AT_START.match(line)
    return int(found[1]) if found else 0


def outcome_of(reply: Reply) -> Outcome | None:
    """What a reply says about its job's end; None when it does not end it."""
    if result := bytes(reply.result):
        return _succeeded(result, bytes(reply.statements))
    if reply.error is not None:
        error = failed(reply.error.name, reply.error.message, reply.error.traceback).error
        if reply.retry_s is not None:
            return Retried(error, reply.retry_s)
        return Failed(error, reply.kinds, reply.for_good)
    if reply.snooze_s is not None:
        return Snoozed(reply.snooze_s)
    if reply.cancel is not None:
        return Cancelled(reply.cancel)
    if reply.dropped:
        return Cancelled("dropped before it began")
    return None


def _succeeded(result: bytes, statements: bytes) -> Outcome:
    try:
        return Succeeded(result, read(statements) if statements else ())
    except UsageError as error:
        return failed("InvalidReply", f"the process answered with what cannot be run: {error}")


def ended(reply: Reply) -> Outcome:
    """What the reply to one job of a chunk says; it always ends it."""
    outcome = outcome_of(reply)
    assert outcome is not None
    return outcome
