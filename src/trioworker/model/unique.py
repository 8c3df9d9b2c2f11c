"""Which of the jobs with one key are stored, and what becomes of the job that holds the key.

Rule of this file: pure. A key is judged when a job with it is enqueued, by what has become of the
job that took it last; no end of a job gives a key back, so none can be kept by a crash. Whoever
decides holds the keys' rows, and has read what is decided on in a later statement.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from trioworker.model.job import NewJob
from trioworker.model.job_settings import whole_key
from trioworker.model.options import Debounce, Unique, UniqueWhile

Sort = Literal["unique", "debounce"]
Standing = Literal["queued", "begun", "ended"]

NOBODY: Final[Standing] = "ended"


class Key(NamedTuple):
    """A key: what is unique and what is debounced have keys apart."""

    sort: Sort
    text: str


class Holder(NamedTuple):
    """Who took a key last; `job` None when nobody has yet.

    `during` is as that job said, None for a debounce. `until` is when a period is over, `first_at`
    when the first of the debounced jobs came. `standing` says where the job is: "queued" in ready
    or waiting, "begun" in a worker's hands, "ended" also when there is no such job any more.
    """

    job: UUID | None = None
    during: UniqueWhile | None = None
    until: datetime | None = None
    first_at: datetime | None = None
    standing: Standing = NOBODY

    def holds(self, now: datetime) -> bool:
        """Whether the key is taken."""
        if self.job is None:
            return False
        if self.until is not None:
            return self.until > now
        return self.standing == "queued" or (
            self.during == "unfinished" and self.standing == "begun"
        )


class Decision(msgspec.Struct, frozen=True):
    """What an enqueue comes to.

    `stored` are the jobs to store. `first` has those that are not, and the jobs that hold their
    keys. `replaced` has jobs that end because another one takes their place, and which one does;
    jobs of this very enqueue may be among them. `held` says who holds the keys afterwards.
    """

    stored: Sequence[NewJob]
    first: Mapping[UUID, UUID]
    replaced: Mapping[UUID, UUID]
    held: Mapping[Key, Holder]


def key_of(job: NewJob) -> Key | None:
    """The key that the job has, if any."""
    options = job.options
    if options.unique is not None:
        return Key("unique", options.unique.key or whole_key(job.path, job.args))
    if options.debounce is not None:
        return Key("debounce", options.debounce.key or whole_key(job.path, job.args))
    return None


def decide(
    jobs: Iterable[NewJob],
    *,
    known: AbstractSet[UUID],
    holders: Mapping[Key, Holder],
    now: datetime,
) -> Decision:
    """What becomes of `jobs`, in their order; those `known` are stored already and left alone.

    `holders` has every key of theirs. One that would raise is kept out, too: who raises sees it in
    `first`.
    """
    stored: list[NewJob] = []
    first: dict[UUID, UUID] = {}
    replaced: dict[UUID, UUID] = {}
    held: dict[Key, Holder] = {}
    for job in jobs:
        if job.id in known:
            continue
        key = key_of(job)
        if key is None:
            stored.append(job)
            continue
        holder = held.get(key) or holders[key]
        if holder.job is not None and holder.holds(now):
            if holder.standing != "queued" or not _replaces(job):
                first[job.id] = holder.job
                continue
            replaced[holder.job] = job.id
        else:
            holder = Holder()
        held[key] = _taken(job, holder, now)
        stored.append(_due(job, held[key].first_at, now))
    return Decision(stored, first, replaced, held)


def refused(jobs: Iterable[NewJob], first: Mapping[UUID, UUID]) -> Iterable[tuple[UUID, UUID, str]]:
    """The jobs kept out that would rather raise: their ids, who holds their keys, and the keys."""
    for job in jobs:
        unique = job.options.unique
        if job.id in first and unique is not None and unique.on_conflict == "raise":
            yield job.id, first[job.id], unique.key or whole_key(job.path, job.args)


def _replaces(job: NewJob) -> bool:
    unique = job.options.unique
    return unique is None or unique.on_conflict == "replace"


def _taken(job: NewJob, before: Holder, now: datetime) -> Holder:
    """The key in the hands of `job`, which takes the place of `before`."""
    match job.options.unique:
        case Unique(during=during, period_s=period_s):
            until = None if period_s is None else now + timedelta(seconds=period_s)
            return Holder(job.id, during, until, None, "queued")
        case None:
            return Holder(job.id, None, None, before.first_at or now, "queued")


def _due(job: NewJob, first_at: datetime | None, now: datetime) -> NewJob:
    """A debounced job is due after its delay, and not before it was to be anyway."""
    match job.options.debounce:
        case Debounce(delay_s=delay_s, max_wait_s=max_wait_s) if first_at is not None:
            due = now + timedelta(seconds=delay_s)
            if max_wait_s is not None:
                due = min(due, first_at + timedelta(seconds=max_wait_s))
            due = max(due, job.scheduled_for or due)
            return msgspec.structs.replace(job, scheduled_for=due)
    return job
