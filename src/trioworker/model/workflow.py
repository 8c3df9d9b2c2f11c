"""What a running function asks of the store: children to enqueue, their ends, steps to remember.

Rule of this file: pure. All of it is asked for one attempt of one job, the parent, and is done only
as long as a claim of its worker holds that attempt.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.model.bounds import bounded_text, check_text
from trioworker.model.job import Job, NewJob, claims_of
from trioworker.model.outcome import JobError
from trioworker.model.retry import tries_of

KEY_BYTES_MAX: Final = 200
CHILDREN_AT_ONCE_MAX: Final = 5_000
STEP_BYTES_MAX: Final = 16 * 1024 * 1024
GONE: Final = "gone"
"""How a child has ended that is not there any more."""


class Children(msgspec.Struct, frozen=True):
    """Jobs that the attempt of `parent` enqueues; it is the parent of each of them."""

    parent: Job
    jobs: Sequence[NewJob]


class Placed(msgspec.Struct, frozen=True):
    """What became of children that were to be enqueued.

    `lost` are parents that are not this worker's any more: nothing was done for them. `first` says
    of children that are kept out who holds their keys. `strange` are ids that another job has than
    the one that was asked for.
    """

    lost: AbstractSet[UUID] = frozenset()
    first: Mapping[UUID, UUID] = {}
    strange: AbstractSet[UUID] = frozenset()


class ChildEnd(NamedTuple):
    """How a child has ended: with a `result`, which is JSON, or with an `error`."""

    status: str
    result: str | None
    error: JobError | None


class Step(msgspec.Struct, frozen=True):
    """The result of a step of the attempt of `job`; it is JSON."""

    job: Job
    name: str
    result: str


class Held(NamedTuple):
    """Attempts that are to be a worker's, in the order of a statement's parameters."""

    claims: Sequence[UUID]
    ids: Sequence[UUID]
    attempts: Sequence[int]


class ParentColumns(NamedTuple):
    """The same, and the how-manieth try each of them is."""

    claims: Sequence[UUID]
    ids: Sequence[UUID]
    attempts: Sequence[int]
    tries: Sequence[int]


def held(jobs: Sequence[Job]) -> Held:
    """One set of columns for the attempts."""
    return Held(claims_of(jobs), [job.id for job in jobs], [job.attempt for job in jobs])


def parent_columns(parents: Sequence[Job]) -> ParentColumns:
    """One set of columns for parents, each of which comes once in it."""
    jobs = list({job.id: job for job in parents}.values())
    return ParentColumns(*held(jobs), [tries_of(job) for job in jobs])


def check_name(what: str, name: str) -> None:
    """Raises `UsageError` when a child or a step cannot be called so."""
    check_text(f"the {what}", name)
    bounded_text(what, name, KEY_BYTES_MAX)
    if not name.isascii() and name.encode("utf-8", "replace").decode() != name:
        raise UsageError(f"the {what} {name[:40]!r} is no text that can be stored")
