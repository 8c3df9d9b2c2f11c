"""What an execution produced: a closed union, so that every match on it can be complete.

Rule of this file: an outcome is a fact about one attempt of one job. What follows from it in the
database (its effects) is decided by `completion.py`. The tags tell them apart where they are sent.
"""

from collections.abc import Iterable
from typing import Annotated, Final, TypeAlias

import msgspec

from trioworker.model.job import Job
from trioworker.model.options import DELAY_S_MAX
from trioworker.model.progress import Progress
from trioworker.model.user_statement import UserStatement

ERROR_MESSAGE_CHARS_MAX: Final = 8_000
TRACEBACK_CHARS_MAX: Final = 32_000
RESULT_BYTES_MAX: Final = 128 * 1024 * 1024
Delay: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=2 * DELAY_S_MAX)]
"""Seconds; a retry policy's jitter may double what it says."""


class JobError(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why a job failed, as stored: `name` is a class or a reason, `message` is for people."""

    name: str
    message: str
    traceback: str | None = None


class Succeeded(msgspec.Struct, frozen=True, gc=False):
    """The job returned; `result` is encoded JSON.

    `statements` are what it handed over, to be run in the transaction that stores this.
    """

    result: bytes
    statements: tuple[UserStatement, ...] = ()


class Failed(msgspec.Struct, tag=True, frozen=True, gc=False):
    """The job raised, timed out, died, or could not be started.

    For the retry policy only, and not stored: `kinds` are the names of the classes that the error
    is of beside its own, the nearest first; `for_good` says that another attempt is of no use.
    """

    error: JobError
    kinds: tuple[str, ...] = ()
    for_good: bool = False


class Retried(msgspec.Struct, tag=True, frozen=True):
    """The attempt failed and the next one is due in `delay_s` seconds."""

    error: JobError
    delay_s: Delay


class Snoozed(msgspec.Struct, tag=True, frozen=True):
    """The job asked to be run later, in `delay_s` seconds; not charged as an attempt."""

    delay_s: Delay


class Cancelled(msgspec.Struct, tag=True, frozen=True):
    """Somebody, or the job itself, cancelled it."""

    reason: str


class Skipped(msgspec.Struct, tag=True, frozen=True):
    """The job ended without having to run."""

    reason: str


class Interrupted(msgspec.Struct, tag=True, frozen=True):
    """The worker stopped before the job ended (or began); not charged as an attempt."""


class Begun(msgspec.Struct, tag=True, frozen=True):
    """The job is a flow that has begun: from now on its steps are run, and it is not."""


Outcome: TypeAlias = (
    Succeeded | Failed | Retried | Snoozed | Cancelled | Skipped | Interrupted | Begun
)


def timed_out(timeout_s: float) -> Failed:
    """The failure of an attempt that took longer than it may."""
    return Failed(JobError("Timeout", f"the job ran longer than its timeout of {timeout_s:g} s"))


def handing_over(outcome: Outcome, statements: Iterable[UserStatement]) -> Outcome:
    """`outcome` with the statements that its job handed over: a success has them, others none."""
    if not isinstance(outcome, Succeeded):
        return outcome
    handed = tuple(statements)
    return outcome if handed == outcome.statements else Succeeded(outcome.result, handed)


class Executed(msgspec.Struct, frozen=True, gc=False):
    """One attempt of one job, over: the unit that travels from execute to commit.

    `started_s` is a reading of the worker's monotonic clock, `duration_s` the seconds the attempt
    took. `log` is the bounded text the job wrote, empty when it wrote none, without what was stored
    while it ran: it is the piece `log_chunk` of all. `cached` says that it was not
    run, because an equal one had left its result. `labels` are those it was given while it ran, and
    `progress` is what it told last, unless that was stored before. `preprocessed` is what its
    script has made of its arguments, as JSON.
    """

    job: Job
    outcome: Outcome
    started_s: float
    duration_s: float
    log: str = ""
    log_chunk: int = 0
    labels: tuple[str, ...] = ()
    cached: bool = False
    progress: Progress | None = None
    preprocessed: str | None = None
