"""Flows go on in the transactions that end their steps: read under a lock, moved, stored again.

Rule of this file: what follows from the end of a step is for `model/flow_advance.py` to say; here
it is carried out for all flows of a batch at once. Of everything that jobs share, the outermost
flows are locked first, in id order; whatever is nested in them is theirs to guard.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.ids import derived_id
from trioworker.model.completion import STATUS_OF, complete
from trioworker.model.flow import Flow, flow_of
from trioworker.model.flow_advance import Missing, advance, begin, unfinished
from trioworker.model.flow_run import Advanced, FlowRun, StepEnd
from trioworker.model.flow_state import decode, encode
from trioworker.model.job import Job, NewJob
from trioworker.model.options import options_of
from trioworker.model.outcome import (
    Begun,
    Cancelled,
    Executed,
    Failed,
    JobError,
    Outcome,
    Succeeded,
)
from trioworker.model.tags import own_tag
from trioworker.store.postgres.database import Row, Transaction

DEFINITIONS_KEPT: Final = 256

_parsed = lru_cache(DEFINITIONS_KEPT)(flow_of)

LEFT_ALONE: Final = Cancelled("the flow that it is nested in does not wait for it any more")
STRANDED: Final = Failed(JobError("WorkerLost", "the one worker that may run it is lost"))
"""How a step ends that no other worker may run. Its flow does not go on from there: it ends, or is
begun anew, as a whole."""


class Moved(NamedTuple):
    """What the ends of steps have led to: `jobs` to be enqueued, and flows that `ended` with it.

    `let_go` are those of them whose steps have shared a worker and its folder.
    """

    jobs: Sequence[NewJob]
    ended: Sequence[Executed]
    let_go: Sequence[UUID] = ()


class _Moving(NamedTuple):
    """A flow in hand: how far it is, and which of its steps have ended.

    `reaped` is as of a job. `worker` is the one that it keeps to, if it does, and `shared` the flow
    that has all steps share it: itself, or one that it is nested in.
    """

    run: FlowRun
    version: int
    reaped: int
    worker: UUID | None
    shared: UUID | None
    ends: Sequence[StepEnd]


async def move_flows(
    tx: Transaction, worker: UUID | None, batch: Sequence[Executed], *, now_s: float
) -> Moved:
    """Move the flows that begin with the `batch`, or of which steps have ended with it.

    What is nested moves what it is nested in, when it ends. `now_s` is the worker's monotonic
    clock.
    """
    begun = [executed.job for executed in batch if type(executed.outcome) is Begun]
    if not (begun or _step_ends(batch)):
        return NOTHING_MOVED
    roots = {step.root for e in batch if (step := e.job.options.step) is not None}
    locked = {row[0] for row in await tx.run("lock_flows", sorted(roots))} if roots else frozenset()
    mover = Mover(tx, worker, (await tx.run("clock"))[0][0], now_s)
    over = await mover.begin(begun, locked)
    over |= await mover.go_on(batch, locked)
    return await mover.end_all(over, locked)


NOTHING_MOVED: Final = Moved((), ())


class Mover:
    """Moves flows in one transaction, whose time is `now`."""

    def __init__(self, tx: Transaction, worker: UUID | None, now: datetime, now_s: float) -> None:
        self._tx = tx
        self._worker = worker
        self._now = now
        self._now_s = now_s
        self._id_of = partial(derived_id, now)
        self._known: dict[UUID, bytes | None] = {}
        self._jobs: list[NewJob] = []
        self._ended: list[Executed] = []
        self._let_go: list[UUID] = []

    async def end_all(self, over: Mapping[UUID, "Over"], locked: AbstractSet[UUID]) -> Moved:
        """End the flows that are `over`, and those which go on from there until none is."""
        while over:
            over = await self.go_on(await self.end(over), locked)
        return Moved(self._jobs, self._ended, self._let_go)

    async def begin(self, jobs: Sequence[Job], locked: AbstractSet[UUID]) -> dict[UUID, "Over"]:
        """Begin the flows that the `jobs` are; those that are over with it."""
        if not jobs:
            return {}
        rows = await self._tx.run("newest_flows", sorted({job.path for job in jobs}))
        newest = {path: (version, definition) for path, version, definition in rows}
        awaited = await self._awaited(jobs, locked)
        moving, over = [], {}
        for job in jobs:
            step = job.options.step
            root = job.id if step is None else step.root
            try:
                if root != job.id and job.id not in awaited:
                    over[job.id] = Over(LEFT_ALONE, job.attempt, job.reaped)
                    continue
                version, flow = _definition(job, newest)
            except UsageError as error:
                outcome = Failed(JobError("FlowRefused", str(error)))
                over[job.id] = Over(outcome, job.attempt, job.reaped)
                continue
            run = FlowRun(
                job.id, job.attempt, root, job.path, job.args.encode(), job.tag, job.priority, flow,
                None,
            )  # fmt: skip
            shared = None if step is None else step.shared
            if shared is None and flow.same_worker:
                shared = job.id
            worker = None if shared is None else self._worker
            moving.append(_Moving(run, version, job.reaped, worker, shared, ()))
        return over | await self._move(moving)

    async def _awaited(self, jobs: Sequence[Job], locked: AbstractSet[UUID]) -> AbstractSet[UUID]:
        """The steps that the flows around the `jobs` wait for.

        One that has failed before and is run once more is none of these, and what is around it may
        end meanwhile.
        """
        steps = (job.options.step for job in jobs)
        flows = {step.flow for step in steps if step is not None and step.root in locked}
        rows = await self._tx.run("read_flows", sorted(flows)) if flows else ()
        awaited: set[UUID] = set()
        for row in rows:
            with suppress(msgspec.DecodeError):
                awaited.update(unfinished(decode(row[4])))
        return awaited

    async def go_on(
        self, batch: Sequence[Executed], locked: AbstractSet[UUID]
    ) -> dict[UUID, "Over"]:
        """Move the flows of which steps have ended; those that are over with it."""
        ends = _step_ends(batch)
        if not (ends and locked):
            return {}
        shared = {step.flow: step.shared for e in batch if (step := e.job.options.step) is not None}
        rows = await self._tx.run("read_flows", sorted(ends))
        texts: dict[tuple[str, int], str] = {
            (row[2], row[3]): row[-1] for row in rows if row[-1] is not None
        }
        moving, over = [], {}
        for row in rows:
            if row[1] not in locked:
                continue
            try:
                run = _run(row, texts)
            except (UsageError, msgspec.DecodeError) as error:
                outcome = Failed(JobError("FlowRefused", str(error)))
                over[row[0]] = Over(outcome, row[5], row[6])
                continue
            moving.append(_Moving(run, row[3], row[6], row[7], shared[run.id], ends[run.id]))
        return over | await self._move(moving)

    async def _move(self, moving: Sequence[_Moving]) -> dict[UUID, "Over"]:
        advanced = await self._advanced(moving)
        over, kept = {}, []
        for flow in moving:
            moved = advanced[flow.run.id]
            self._jobs += [_kept(_timed(job, self._now), flow) for job in moved.jobs]
            if moved.outcome is not None:
                over[flow.run.id] = Over(moved.outcome, flow.run.attempt, flow.reaped)
                if flow.shared == flow.run.id:
                    self._let_go.append(flow.run.id)
            else:
                kept.append((flow, encode(moved.state).decode()))
        if kept:
            kept.sort(key=lambda pair: pair[0].run.id)
            await self._tx.run("store_flows", *zip(*map(_columns, kept), strict=True))
        return over

    async def _advanced(self, moving: Sequence[_Moving]) -> Mapping[UUID, Advanced]:
        """What becomes of each, once all results are read that its expressions name."""
        advanced: dict[UUID, Advanced] = {}
        while True:
            missing: set[UUID] = set()
            for flow in moving:
                if flow.run.id not in advanced:
                    try:
                        advanced[flow.run.id] = self._advance(flow)
                    except Missing as asked:
                        missing |= asked.jobs
            if not missing:
                return advanced
            self._known |= await results_of(self._tx, missing)

    def _advance(self, flow: _Moving) -> Advanced:
        if flow.run.state is None:
            return begin(flow.run, now=self._now, id_of=self._id_of, known=self._known)
        return advance(flow.run, flow.ends, now=self._now, id_of=self._id_of, known=self._known)

    async def end(self, over: Mapping[UUID, "Over"]) -> Sequence[Executed]:
        """End the flows that are `over`."""
        completions = [complete(each.outcome) for each in over.values()]
        rows = await self._tx.run(
            "end_flows",
            list(over),
            [completion.status for completion in completions],
            [completion.result for completion in completions],
            [completion.error for completion in completions],
            [each.attempt for each in over.values()],
            [each.reaped for each in over.values()],
            self._worker,
        )
        ended = [self._executed(row, over[row[0]].outcome) for row in rows]
        self._ended += ended
        return ended

    def _executed(self, row: Row, outcome: Outcome) -> Executed:
        """The flow's own end, as if it had been an attempt."""
        id_, kind, path, args, tag, priority, options, awaited, attempt, reaped, duration_ms = row
        # It is in no worker's hands, but unlike what never was it has a beginning.
        job = Job(
            id_, id_, attempt, reaped, kind, path, args, tag, priority, self._now, awaited,
            *options_of(options),
        )  # fmt: skip
        duration_s = duration_ms / 1000
        return Executed(job, outcome, self._now_s - duration_s, duration_s)


async def results_of(tx: Transaction, jobs: AbstractSet[UUID]) -> Mapping[UUID, bytes | None]:
    """What the jobs returned, encoded JSON; None for those that returned nothing, or are gone."""
    results: dict[UUID, bytes | None] = dict.fromkeys(jobs)
    for id_, _status, result in await tx.run("ended_steps", sorted(jobs)):
        results[id_] = None if result is None else result.encode()
    return results


class Over(NamedTuple):
    """How a flow has ended, and in which attempt, after how many lost workers."""

    outcome: Outcome
    attempt: int
    reaped: int


def _step_ends(batch: Iterable[Executed]) -> dict[UUID, list[StepEnd]]:
    """The ends of steps, by the flows that they are of."""
    ends: dict[UUID, list[StepEnd]] = {}
    for executed in batch:
        step, outcome = executed.job.options.step, executed.outcome
        status = STATUS_OF.get(type(outcome))
        if step is not None and status is not None and outcome is not STRANDED:
            result = outcome.result if isinstance(outcome, Succeeded) else None
            end = StepEnd(step.at, executed.job.id, status, result, _error(outcome))
            ends.setdefault(step.flow, []).append(end)
    return ends


def _error(outcome: Outcome) -> JobError | None:
    match outcome:
        case Failed(error):
            return error
        case Cancelled(reason):
            return JobError("Cancelled", reason)
        case _:
            return None


def _definition(job: Job, newest: Mapping[str, tuple[int, str]]) -> tuple[int, Flow]:
    """Version and definition of the flow. Raises `UsageError` when there is none to begin."""
    if job.kind != "flow":
        raise UsageError(f"a job of the kind {job.kind} is no flow, and cannot begin like one")
    if job.path not in newest:
        raise UsageError(f"there is no flow '{job.path}'; push it with `trioworker flows push`")
    version, text = newest[job.path]
    return version, _parsed(text)


def _run(row: Row, texts: Mapping[tuple[str, int], str]) -> FlowRun:
    id_, root, path, version, state, attempt, _, _, args, tag, priority, _ = row
    text = texts.get((path, version))
    if text is None:
        raise UsageError(f"version {version} of the flow '{path}' was deleted while it ran")
    return FlowRun(
        id_, attempt, root, path, args.encode(), tag, priority, _parsed(text), decode(state)
    )


def _columns(kept: tuple[_Moving, str]) -> tuple[object, ...]:
    flow, state = kept
    run = flow.run
    return (
        run.id, run.root, run.path, flow.version, state, run.attempt, flow.reaped, flow.worker,
    )  # fmt: skip


def _kept(job: NewJob, flow: _Moving) -> NewJob:
    """A step that shares a worker with others has the tag that nobody else asks for."""
    if flow.worker is None or job.options.step is None:
        return job
    step = msgspec.structs.replace(job.options.step, shared=flow.shared)
    options = msgspec.structs.replace(job.options, step=step)
    return msgspec.structs.replace(job, tag=own_tag(flow.worker), options=options)


def _timed(job: NewJob, now: datetime) -> NewJob:
    """An approval is due when its time has run out."""
    approval = job.options.approval
    if approval is None or approval.timeout_s is None:
        return job
    return msgspec.structs.replace(job, scheduled_for=now + timedelta(seconds=approval.timeout_s))
