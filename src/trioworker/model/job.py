"""What a job is: its definition as enqueued, and the same as a worker holds it once claimed.

Rule of this file: data and its bounds only. The bounds stand here once, in words a user can act
on; CHECK constraints in the schema repeat them for whoever writes SQL by hand.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, get_args
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.model.bounds import (
    PATH_BYTES_MAX,
    TAG_BYTES_MAX,
    bounded_priority,
    bounded_text,
)
from trioworker.model.options import NO_OPTIONS, JobOptions

Kind = Literal["function", "script", "noop", "identity", "flow", "approval", "dependencies"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
NewKind = Literal["function", "script", "noop", "identity", "flow", "dependencies"]
"""The kinds of jobs that somebody enqueues; an approval is never more than a step of a flow."""
NEW_KINDS: Final[tuple[str, ...]] = get_args(NewKind)

ARGS_BYTES_MAX: Final = 16 * 1024 * 1024
DEFAULT_TAG: Final = "default"
UNCLAIMED: Final = UUID(int=0)
"""Stands for the claim of a job that ended in no worker's hands."""


def compact(args: str) -> bytes:
    """Arguments without the spaces that PostgreSQL shows; those too deep for it have them still."""
    encoded = args.encode()
    try:
        return msgspec.json.format(encoded, indent=-1)
    except RecursionError:
        return encoded


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be enqueued. `args` is encoded JSON; `scheduled_for` None means now.

    `awaited` asks for a NOTIFY when the job ends; somebody who waits for the result sets it.
    `parent` is the job that this one belongs to: it is cancelled with it.
    """

    id: UUID
    kind: Kind
    path: str
    args: bytes
    tag: str = DEFAULT_TAG
    priority: int = 0
    scheduled_for: datetime | None = None
    options: JobOptions = NO_OPTIONS
    awaited: bool = False
    created_by: str = ""
    parent: UUID | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken, with what is wrong and the bound."""
        if self.kind not in KINDS:
            raise UsageError(f"unknown job kind {self.kind!r}; one of {', '.join(KINDS)}")
        bounded_text("path", self.path, PATH_BYTES_MAX)
        bounded_text("tag", self.tag, TAG_BYTES_MAX)
        bounded_priority(self.priority)
        if len(self.args) > ARGS_BYTES_MAX:
            raise UsageError(
                f"arguments of {len(self.args):,} bytes are too large; at most {ARGS_BYTES_MAX:,}"
            )


class Job(msgspec.Struct, frozen=True, gc=False):
    """A claimed job in a worker's hands.

    `args` is JSON text as stored. `claim` and `attempt` are what the commit is fenced by;
    `reaped` counts how many workers were lost with this job in their hands. `defect` says why the
    stored definition cannot be run at all (written by hand, or by a later version).
    `deadline_s` is when it must have ended, by the worker's monotonic clock; None for no deadline.
    """

    id: UUID
    claim: UUID
    attempt: int
    reaped: int
    kind: str
    path: str
    args: str
    tag: str
    priority: int
    scheduled_for: datetime
    awaited: bool
    options: JobOptions
    defect: str | None = None
    deadline_s: float | None = None


def claims_of(jobs: Iterable[Job]) -> list[UUID]:
    """The claims of `jobs`, each once per run of neighbours: batches come claim by claim."""
    claims: list[UUID] = []
    last: UUID | None = None
    for job in jobs:
        if job.claim is not last:
            last = job.claim
            claims.append(last)
    return claims
