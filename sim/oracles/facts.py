"""What is known from the trace so far, kept once for all oracles.

Rule of this file: facts, and no opinion on them. An oracle that asks for a fact which several need
asks here; one that needs it alone keeps it itself. `Facts` sees every happening before any oracle
does, so that what it says is the state right after the happening.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import (
    ClaimRow,
    CompletedRow,
    FlowRow,
    FlowStateRow,
    JobRow,
    ReadyRow,
    Row,
    WaitingRow,
    WorkerRow,
)
from sim.happenings import (
    ApiCrashed,
    ApiTurned,
    ClockJumped,
    CommitLost,
    Committed,
    FaultFired,
    Happening,
    ServerDown,
    ServerUp,
    StopAsked,
    WorkerBorn,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
    WorkerPaused,
    WorkerResumed,
)
from sim.plan import STOP
from trioworker.events import Event, WorkerStarted
from trioworker.model.tags import RANK_MAX, own_tag, worker_of
from trioworker.model.transitions import Place

LONG_AGO_S: Final = float("-inf")
WITHOUT_BODY: Final = ("flow", "approval")
"""Kinds of job that nobody runs: they end with what others do."""


class Stand(NamedTuple):
    """Where a job stands: the place, the row that says so, and its counters there.

    `worker` is whose claim it is, or who completed it.
    """

    place: Place
    row: Row
    attempt: int
    reaped: int
    worker: UUID | None


class Move(NamedTuple):
    """A job went from one place to another in a single commit; None is nowhere."""

    job: UUID
    old: Stand | None
    new: Stand | None

    @property
    def places(self) -> tuple[Place | None, Place | None]:
        """From where to where."""
        return self.old and self.old.place, self.new and self.new.place


class Leaving(NamedTuple):
    """A job left `worker`'s claim for another place: its outcome was stored, or it was reaped."""

    job: UUID
    worker: UUID
    old: Stand
    new: Stand

    @property
    def is_reaping(self) -> bool:
        """Whether somebody took the job away, which alone counts as one."""
        return self.new.reaped == self.old.reaped + 1

    @property
    def attempt(self) -> "Attempt":
        """Of which attempt it tells."""
        return self.worker, self.job, self.old.attempt


Attempt = tuple[UUID, UUID, int]
"""Worker, job, attempt: as much of an execution's identity as the tables know."""


class ProcessFacts(msgspec.Struct):
    """What is known of a worker's process. `life` is its worker id, None before it has one.

    Times are virtual seconds; those of what has not happened are long ago.
    """

    name: str
    alive: bool = False
    paused: bool = False
    life: UUID | None = None
    stops: int = 0
    born_s: float = LONG_AGO_S
    started_s: float = LONG_AGO_S
    stop_asked_s: float = LONG_AGO_S
    paused_s: float = LONG_AGO_S
    resumed_s: float = LONG_AGO_S
    paused_for_s: float = 0.0
    """How long it was paused since it was asked to stop."""


def replaced_by(row: CompletedRow) -> UUID | None:
    """The job in whose favour one that never ran was ended, if that is how it ended."""
    error = json.loads(row.error or "{}")
    return UUID(error["message"].split()[-1]) if error.get("name") == "Replaced" else None


def may_be_replaced(row: JobRow) -> bool:
    """Whether it may give way before it begins: to another one, or to a change of its schedule."""
    options = json.loads(row.options) if row.options else {}
    return bool(options.get("unique") or options.get("debounce") or options.get("tick"))


def ranks_of(worker: WorkerRow) -> Mapping[str, int]:
    """How a worker ranks each of its tags, and its own above all."""
    return {**dict(zip(worker.tags, worker.ranks, strict=True)), own_tag(worker.id): RANK_MAX}


class Facts:
    """The tables, the processes, the troubles.

    Whoever shows it happenings sets `now_s` at each, and calls those of its `handlers` first.
    `moves`, `outcomes` and `reapings` are those of the commit at hand, and the `deleted` jobs.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.jobs: dict[UUID, JobRow] = {}
        self.known: dict[UUID, JobRow] = {}
        """All jobs that there ever were, those that were deleted as well."""
        self.deleted: AbstractSet[UUID] = frozenset()
        self.stands: dict[UUID, Stand] = {}
        self.ready: dict[UUID, ReadyRow] = {}
        self.ready_since_s: dict[UUID, float] = {}
        self.claims: dict[UUID, ClaimRow] = {}
        self.flows: dict[UUID, FlowStateRow] = {}
        self.has_flows = False
        """Whether there ever was the definition of one: few worlds have any."""
        self.workers: dict[UUID, WorkerRow] = {}
        self.moves: Sequence[Move] = ()
        self.outcomes: Sequence[Leaving] = ()
        self.reapings: Sequence[Leaving] = ()
        self.processes: dict[str, ProcessFacts] = {}
        self.actors: dict[UUID, str] = {}
        """Whose id a worker id is."""
        self.troubles = 0
        """How many faults have fired, other than graceful stops, and processes have died."""
        self.troubled_s = LONG_AGO_S
        """When the last trouble began or ended."""
        self.stops = 0
        self.jumps: list[tuple[float, float]] = []
        self.handlers: Mapping[type[Event], Callable[[Happening, Any], None]] = {
            Committed: self._committed,
            CommitLost: self._lost,
            WorkerBorn: self._born,
            WorkerStarted: self._started,
            WorkerKilled: self._over,
            WorkerExited: self._over,
            WorkerCrashed: self._over,
            WorkerPaused: self._paused,
            WorkerResumed: self._resumed,
            StopAsked: self._stop_asked,
            FaultFired: self._fired,
            ServerDown: self._trouble,
            ServerUp: self._trouble,
            ApiTurned: self._turned,
            ApiCrashed: self._trouble,
            ClockJumped: self._jumped,
        }

    def process_of(self, worker: UUID) -> ProcessFacts | None:
        """The process that has, or had, this worker id."""
        actor = self.actors.get(worker)
        return None if actor is None else self.processes[actor]

    def claims_of(self, worker: UUID) -> Iterator[ClaimRow]:
        """The claims that stand for a worker."""
        return (claim for claim in self.claims.values() if claim.worker == worker)

    def is_stranded(self, row: CompletedRow) -> bool:
        """Whether a job has ended because the one worker is gone that might have run it."""
        job = self.known.get(row.id)
        keeper = None if job is None else worker_of(job.tag)
        lost = row.status == "failure" and '"WorkerLost"' in (row.error or "")
        return keeper is not None and lost and self.is_dead(keeper)

    def has_body(self, job: UUID) -> bool:
        """Whether a job is run, and so ends with what its body does."""
        row = self.known.get(job)
        return row is None or row.kind not in WITHOUT_BODY

    def lineage(self, job: UUID) -> Iterator[UUID]:
        """The job and all those above it."""
        seen: set[UUID] = set()
        above: UUID | None = job
        while above is not None and above not in seen:
            yield above
            seen.add(above)
            row = self.jobs.get(above)
            above = None if row is None else row.parent

    def is_agent(self, worker: UUID | None) -> bool:
        """Whether the worker has no database, and goes by what its server tells it."""
        row = None if worker is None else self.workers.get(worker)
        return row is not None and row.token is not None

    def takes(self, worker: UUID, tag: str) -> bool:
        """Whether the worker takes jobs of this tag."""
        row = self.workers.get(worker)
        return row is not None and (tag in row.tags or tag == own_tag(worker))

    def is_dead(self, worker: UUID | None) -> bool:
        """Whether the database knows that its claims may be taken."""
        row = None if worker is None else self.workers.get(worker)
        return row is None or row.lost_at is not None or row.stopped_at is not None

    # ---- tables -------------------------------------------------------------------------------

    def _committed(self, _happening: Happening, event: Committed) -> None:
        self.moves = self._change([(change.old, change.new) for change in event.changes])
        gone = (c.old.id for c in event.changes if isinstance(c.old, JobRow) and c.new is None)
        self.deleted = frozenset(job for job in gone if job not in self.jobs)
        leaving = list(_leaving(self.moves))
        self.outcomes = [each for each in leaving if not each.is_reaping]
        self.reapings = [each for each in leaving if each.is_reaping]

    def _lost(self, _happening: Happening, event: CommitLost) -> None:
        undone = [(change.new, change.old) for change in reversed(event.changes)]
        self.moves = self._change(undone)
        self.outcomes = self.reapings = ()

    def _change(self, changes: Sequence[tuple[Row | None, Row | None]]) -> Sequence[Move]:
        left: dict[UUID, None] = {}
        came: dict[UUID, Stand] = {}
        for old, new in changes:
            self._row(old, new)
            left.update(dict.fromkeys(job for job, _ in _stands(old)))
            came.update(_stands(new))
        moves = []
        for job in {**left, **came}:
            before, after = self.stands.get(job), came.get(job)
            if after is None:
                self.stands.pop(job, None)
            else:
                self.stands[job] = after
            if before is None or after is None or _differ(before, after):
                moves.append(Move(job, before, after))
        return moves

    def _row(self, old: Row | None, new: Row | None) -> None:
        row = new if new is not None else old
        match row:
            case JobRow():
                _put(self.jobs, row.id, new)
                self.known[row.id] = row
            case ReadyRow():
                _put(self.ready, row.id, new)
                if new is not None:
                    self.ready_since_s[row.id] = self.now_s
            case ClaimRow():
                _put(self.claims, row.id, new)
            case FlowRow():
                self.has_flows = True
            case FlowStateRow():
                _put(self.flows, row.id, new)
            case WorkerRow():
                _put(self.workers, row.id, new)

    # ---- processes and troubles -----------------------------------------------------------------

    def _born(self, happening: Happening, _event: object) -> None:
        name = happening.actor
        self.processes[name] = ProcessFacts(name, alive=True, born_s=self.now_s)

    def _started(self, happening: Happening, event: WorkerStarted) -> None:
        self.actors[event.worker] = happening.actor
        process = self.processes.setdefault(happening.actor, ProcessFacts(happening.actor))
        process.life = event.worker
        process.started_s = self.now_s

    def _over(self, happening: Happening, event: Event) -> None:
        process = self.processes[happening.actor]
        process.alive = process.paused = False
        if not isinstance(event, WorkerExited):
            self.troubles += 1
            self._trouble()

    def _paused(self, happening: Happening, _event: object) -> None:
        process = self.processes[happening.actor]
        process.paused = True
        process.paused_s = self.now_s
        self._trouble()

    def _resumed(self, happening: Happening, _event: object) -> None:
        process = self.processes[happening.actor]
        process.paused = False
        process.resumed_s = self.now_s
        process.paused_for_s += self.now_s - max(process.paused_s, process.stop_asked_s)
        self._trouble()

    def _stop_asked(self, happening: Happening, _event: object) -> None:
        self.stops += 1
        process = self.processes[happening.actor]
        if not process.stops:
            process.stop_asked_s = self.now_s
            process.paused_for_s = 0.0
        process.stops += 1

    def _fired(self, _happening: Happening, event: FaultFired) -> None:
        if not event.fault.startswith(STOP):
            self.troubles += 1
            self._trouble()

    def _turned(self, _happening: Happening, event: ApiTurned) -> None:
        if event.to == "exited":
            self.troubles += 1
        self._trouble()

    def _trouble(self, *_: object) -> None:
        self.troubled_s = self.now_s

    def _jumped(self, _happening: Happening, event: ClockJumped) -> None:
        self.jumps.append((self.now_s, event.seconds))
        self._trouble()


def _differ(before: Stand, after: Stand) -> bool:
    """Whether it is another place: no smaller claim, no mark on a row, no flow that went on."""
    match before.row, after.row:
        case ClaimRow() as old, ClaimRow() as new:
            return old.id != new.id
        case WaitingRow() as old_wait, WaitingRow() as new_wait:
            return msgspec.structs.replace(old_wait, fresh=new_wait.fresh) != new_wait
        case FlowStateRow(), FlowStateRow():
            return False
    return True


def _leaving(moves: Sequence[Move]) -> Iterator[Leaving]:
    for job, old, new in moves:
        if old is None or new is None or new.place is Place.CLAIMED:
            continue
        if isinstance(old.row, ClaimRow):
            yield Leaving(job, old.row.worker, old, new)


def _put(rows: dict[UUID, Any], key: UUID, row: Row | None) -> None:
    if row is None:
        rows.pop(key, None)
    else:
        rows[key] = row


def _stands(row: Row | None) -> Iterator[tuple[UUID, Stand]]:
    """Which jobs a row gives a place, and what it says of them."""
    match row:
        case ReadyRow():
            yield row.id, Stand(Place.READY, row, row.attempt, row.reaped, None)
        case WaitingRow():
            yield row.id, Stand(Place.WAITING, row, row.attempt, row.reaped, None)
        case FlowStateRow():
            yield row.id, Stand(Place.FLOW, row, row.attempt, row.reaped, None)
        case CompletedRow():
            yield row.id, Stand(Place.COMPLETED, row, row.attempt, row.reaped, row.worker)
        case ClaimRow():
            for id_, attempt, reaped in zip(row.ids, row.attempts, row.reaped, strict=True):
                yield id_, Stand(Place.CLAIMED, row, attempt, reaped, row.worker)
