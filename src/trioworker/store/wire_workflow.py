"""What an agent and its server say to each other of children and steps; see `wire.py`.

Rule of this file: as there. Of a parent an agent says which one it is; whose child a job becomes,
and that somebody waits for it, is the server's to say.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.model.batching import SIZE_MAX
from trioworker.model.job import Job, Kind, NewJob
from trioworker.model.options import NO_OPTIONS, options_of
from trioworker.model.outcome import JobError
from trioworker.model.workflow import CHILDREN_AT_ONCE_MAX, ChildEnd, Children, Placed, Step
from trioworker.store.wire import Which

IDS_MAX: Final = 10_000
NOTHING: Final = msgspec.Raw(b"null")

Ids = Annotated[Sequence[UUID], msgspec.Meta(max_length=IDS_MAX)]


class Child(msgspec.Struct, frozen=True, array_like=True):
    """A job to be enqueued; see `NewJob`."""

    id: UUID
    kind: Kind
    path: str
    args: str
    tag: str
    priority: int
    scheduled_for: datetime | None = None
    options: msgspec.Raw = NOTHING


class Family(msgspec.Struct, frozen=True, array_like=True):
    """See `Children`."""

    parent: Which
    jobs: Annotated[Sequence[Child], msgspec.Meta(max_length=CHILDREN_AT_ONCE_MAX)]


class Enqueue(msgspec.Struct, frozen=True):
    """See `WorkflowStore.enqueue`."""

    worker: UUID
    families: Annotated[Sequence[Family], msgspec.Meta(min_length=1, max_length=SIZE_MAX)]


class Ends(msgspec.Struct, frozen=True):
    """See `WorkflowStore.ends`."""

    worker: UUID
    ids: Ids


class Steps(msgspec.Struct, frozen=True):
    """See `WorkflowStore.steps`."""

    worker: UUID
    job: Which


class Stepped(msgspec.Struct, frozen=True, array_like=True):
    """See `Step`."""

    job: Which
    name: str
    result: str


class StoreSteps(msgspec.Struct, frozen=True):
    """See `WorkflowStore.store_steps`."""

    worker: UUID
    steps: Annotated[Sequence[Stepped], msgspec.Meta(min_length=1, max_length=SIZE_MAX)]


# ---- replies --------------------------------------------------------------------------------


class Now(msgspec.Struct, frozen=True):
    """The time by the database's clock."""

    now: datetime


class Stood(msgspec.Struct, frozen=True):
    """See `Placed`."""

    lost: Sequence[UUID] = ()
    first: Mapping[UUID, UUID] = {}
    strange: Sequence[UUID] = ()


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """See `ChildEnd`."""

    status: str
    result: str | None
    error: JobError | None


class AllEnded(msgspec.Struct, frozen=True):
    """Those of the children that have ended."""

    ends: Mapping[UUID, Ended]


class AllSteps(msgspec.Struct, frozen=True):
    """The results of steps, by their names."""

    results: Mapping[str, str]


# ---- both ways ------------------------------------------------------------------------------


def families(children: Iterable[Children]) -> list[Family]:
    """What an agent sends of children."""
    return [Family(Which.of(one.parent), [_child(job) for job in one.jobs]) for one in children]


def _child(job: NewJob) -> Child:
    return Child(
        job.id, job.kind, job.path, job.args.decode(), job.tag, job.priority, job.scheduled_for,
        NOTHING if job.options == NO_OPTIONS else msgspec.Raw(msgspec.json.encode(job.options)),
    )  # fmt: skip


def children(family: Family, parent: Job) -> Children:
    """The same as the store takes it. Raises `UsageError` for a job that cannot be."""
    return Children(parent, [_new_job(one, parent.id) for one in family.jobs])


def _new_job(one: Child, parent: UUID) -> NewJob:
    options, defect = options_of(None if one.options == NOTHING else bytes(one.options))
    if defect is not None:
        raise UsageError(f"the options of a child will not do: {defect}")
    return NewJob(
        id=one.id,
        kind=one.kind,
        path=one.path,
        args=one.args.encode(),
        tag=one.tag,
        priority=one.priority,
        scheduled_for=one.scheduled_for,
        options=options,
        awaited=True,
        parent=parent,
    )


def stood(placed: Placed) -> Stood:
    """What a server sends of them."""
    return Stood(sorted(placed.lost), placed.first, sorted(placed.strange))


def placed(said: Stood) -> Placed:
    """The same as a worker takes it."""
    return Placed(frozenset(said.lost), said.first, frozenset(said.strange))


def all_ended(ends: Mapping[UUID, ChildEnd]) -> AllEnded:
    """What a server sends of ends."""
    return AllEnded({id_: Ended(*end) for id_, end in ends.items()})


def ends(said: AllEnded) -> Mapping[UUID, ChildEnd]:
    """The same as a worker takes it."""
    return {id_: ChildEnd(one.status, one.result, one.error) for id_, one in said.ends.items()}


def stepped(steps: Iterable[Step]) -> list[Stepped]:
    """What an agent sends of steps."""
    return [Stepped(Which.of(step.job), step.name, step.result) for step in steps]
