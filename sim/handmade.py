"""Traces made by hand, for the tests of oracles: each method adds what would have happened.

Rule of this file: it keeps the tables that its happenings tell of, so that a few words make a trace
that is right in every detail; what is wrong in it is what a test adds.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from sim.database.rows import (
    AttemptRow,
    ClaimRow,
    CompletedRow,
    DecisionRow,
    FlowRow,
    FlowStateRow,
    JobRow,
    ReadyRow,
    Row,
    ScheduleRow,
    SlotRow,
    WaitingRow,
    WorkerRow,
)
from sim.happenings import (
    BodyEnded,
    BodyStarted,
    Committed,
    Enqueued,
    Happening,
    RowChange,
    StopAsked,
    WorkerBorn,
    WorkerExited,
)
from sim.oracles import Oracle, Panel
from sim.oracles.base import Finding
from sim.plan import Plan
from trioworker.events import (
    BatchPulled,
    BatchStored,
    CommitFailed,
    Event,
    JobEnded,
    JobStarted,
    StatementRun,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from trioworker.model.failures import Failure, Step
from trioworker.model.outcome import Outcome, Succeeded

A: Final = UUID(int=0xA)
B: Final = UUID(int=0xB)
"""Two workers."""
CLIENT: Final = "client"
RESULT: Final = b'{"done":true}'
DONE: Final = Succeeded(RESULT)


def actor_of(worker: UUID) -> str:
    """The process that goes by this worker id."""
    return f"worker-{'a' if worker == A else 'b'}"


def job(number: int) -> UUID:
    """A job's id; the smaller the number the better its place."""
    return UUID(int=0x100 + number)


class Handmade:
    """A trace, and the tables as they are after it. Time stands still until `wait`."""

    def __init__(self, plan: Plan) -> None:
        self.plan: Final = plan
        self.happenings: list[Happening] = []
        self.now_s = 0.0
        self.jobs: dict[UUID, JobRow] = {}
        self.ready: dict[UUID, ReadyRow] = {}
        self.waiting: dict[UUID, WaitingRow] = {}
        self.claims: dict[UUID, ClaimRow] = {}
        self.workers: dict[UUID, WorkerRow] = {}
        self._numbers = 0

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds

    def say(self, who: UUID | str, event: Event) -> None:
        """An event of a worker's process, or of somebody else."""
        name = who if isinstance(who, str) else actor_of(who)
        self.happenings.append(Happening(self.now_s, name, event))

    def commit(
        self,
        who: UUID | str,
        *changes: tuple[Row | None, Row | None],
        told: Sequence[tuple[str, str]] = (),
    ) -> None:
        """A transaction that changes rows, each given as before and after."""
        self._numbers += 1
        rows = [RowChange(table=_table(old or new), old=old, new=new) for old, new in changes]
        self.say(who, Committed(number=self._numbers, changes=rows, notified=told))

    # ---- what goes right -------------------------------------------------------------------------

    def begin(self, worker: UUID = A, **ranks: int) -> None:
        """A process starts and registers, for the tag "t" unless ranks of others are given."""
        ranks = ranks or {"t": 0}
        row = WorkerRow(
            id=worker, name="made", host="up", pid=1, mode="agent-batch", tags=tuple(ranks),
            ranks=tuple(ranks.values()), lease_s=self.plan.sizes.lease_s,
            started_at=self.clock, last_heartbeat=self.clock,
        )  # fmt: skip
        self.say(worker, WorkerBorn())
        self.commit(worker, (None, row))
        self.workers[worker] = row
        self.say(worker, WorkerStarted(worker=worker, mode="agent-batch", tags=list(ranks)))

    def enqueue(self, *numbers: int, **columns: object) -> None:
        """Jobs are made ready; `columns` are those of both rows that differ."""
        rows: list[tuple[Row | None, Row | None]] = []
        for number in numbers:
            row = JobRow(
                id=job(number), kind="function", path="ok", args="{}", tag="t", priority=0,
                options=None, awaited=False, created_at=self.clock, created_by="",
            )  # fmt: skip
            row = self.jobs[row.id] = msgspec.structs.replace(row, **_of(JobRow, columns))
            ready = ReadyRow(id=job(number), tag="t", priority=0, scheduled_for=self.clock)
            ready = msgspec.structs.replace(ready, **_of(ReadyRow, columns))
            self.ready[ready.id] = ready
            rows += [(None, row), (None, ready)]
        self.commit(CLIENT, *rows)
        self.say(CLIENT, Enqueued(jobs=[job(number) for number in numbers]))

    def pull(self, *numbers: int, worker: UUID = A, told: bool = True, asked: int = 0) -> UUID:
        """A worker claims jobs; returns the claim. `told` says that the reply came."""
        self._numbers += 1
        rows = [self.ready.pop(job(number)) for number in numbers]
        claim = ClaimRow(
            id=UUID(int=0x1000 + self._numbers),
            worker=worker,
            ids=tuple(row.id for row in rows),
            attempts=tuple(row.attempt for row in rows),
            reaped=tuple(row.reaped for row in rows),
            claimed_at=self.clock,
        )
        self.claims[claim.id] = claim
        self.commit(worker, *((row, None) for row in rows), (None, claim))
        if told:
            self.say_pulled(claim, asked=asked)
        return claim.id

    def say_pulled(self, claim: ClaimRow, *, asked: int = 0, seconds: float = 0.0) -> None:
        """The reply to a pull comes."""
        self.say(
            claim.worker,
            BatchPulled(
                worker=claim.worker,
                claim=claim.id,
                asked=asked or len(claim.ids),
                jobs=claim.ids,
                seconds=seconds,
            ),
        )

    def start(self, number: int, worker: UUID = A, *, attempt: int = 1, path: str = "ok") -> None:
        """A body begins."""
        self.say(worker, JobStarted(worker=worker, job=job(number), attempt=attempt))
        self.say(worker, BodyStarted(worker=worker, job=job(number), attempt=attempt, path=path))

    def end(
        self,
        number: int,
        worker: UUID = A,
        *,
        outcome: Outcome | None = DONE,
        log: str = "",
        attempt: int = 1,
    ) -> None:
        """A body ends."""
        name = type(outcome).__name__ if outcome is not None else "Interrupted"
        at, n = job(number), attempt
        self.say(worker, BodyEnded(worker=worker, job=at, attempt=n, outcome=outcome, log=log))
        self.say(worker, JobEnded(worker=worker, job=at, attempt=n, outcome=name))

    def run(self, *numbers: int, worker: UUID = A) -> None:
        """Bodies begin and succeed, one after the other."""
        for number in numbers:
            self.start(number, worker)
            self.end(number, worker)

    def leave(self, *numbers: int) -> list[tuple[Row | None, Row | None]]:
        """The changes of claims that jobs leave."""
        ids = {job(number) for number in numbers}
        changes: list[tuple[Row | None, Row | None]] = []
        for claim in list(self.claims.values()):
            left = [
                each
                for each in zip(claim.ids, claim.attempts, claim.reaped, strict=True)
                if each[0] not in ids
            ]
            if len(left) == len(claim.ids):
                continue
            smaller = None
            if left:
                kept, attempts, reaped = zip(*left, strict=True)
                smaller = msgspec.structs.replace(claim, ids=kept, attempts=attempts, reaped=reaped)
                self.claims[claim.id] = smaller
            else:
                del self.claims[claim.id]
            changes.append((claim, smaller))
        return changes

    def completed(self, number: int, worker: UUID | None = A, **columns: object) -> CompletedRow:
        """The row of a job that is done."""
        row = CompletedRow(
            id=job(number), status="success", result=RESULT.decode(), error=None, worker=worker,
            attempt=1, reaped=0, started_at=self.clock, completed_at=self.clock, duration_ms=0,
        )  # fmt: skip
        return msgspec.structs.replace(row, **columns)

    def store(self, *numbers: int, worker: UUID = A, told: bool = True, **columns: object) -> None:
        """Outcomes are stored in one transaction; `told` says that the reply came."""
        done = [(None, self.completed(number, worker, **columns)) for number in numbers]
        self.commit(worker, *self.leave(*numbers), *done)
        if told:
            self.say_stored(*numbers, worker=worker)

    def retry(
        self,
        number: int,
        *,
        attempt: int = 1,
        delay_s: float = 0.0,
        kept: bool = True,
        told: bool = True,
    ) -> None:
        """Worker A stores that an attempt failed and when the next is due; `kept` on record."""
        ready = ReadyRow(
            id=job(number), tag="t", priority=0, attempt=attempt + 1,
            scheduled_for=self.clock + timedelta(seconds=delay_s),
        )  # fmt: skip
        self.ready[ready.id] = ready
        failed = AttemptRow(
            id=job(number), attempt=attempt, error='{"name":"Error","message":"no"}', worker=A,
            started_at=self.clock, duration_ms=0,
        )  # fmt: skip
        history = [(None, failed)] if kept else []
        self.commit(A, *self.leave(number), (None, ready), *history)
        if told:
            self.say_stored(number)

    def say_stored(self, *numbers: int, worker: UUID = A, lost: Sequence[int] = ()) -> None:
        """A worker says that it has stored outcomes, but for the lost ones."""
        self.say(
            worker,
            BatchStored(
                worker=worker,
                jobs=[job(number) for number in numbers],
                stored=len(numbers) - len(lost),
                failed=0,
                lost=[job(number) for number in lost],
                seconds=0.0,
            ),
        )

    def fail(
        self,
        *numbers: int,
        failure: Failure,
        step: Step,
        message: str = "no",
        ambiguous: bool = False,
    ) -> None:
        """A commit of worker A fails."""
        jobs = [job(number) for number in numbers]
        self.say(
            A,
            CommitFailed(
                worker=A,
                jobs=jobs,
                size=len(jobs),
                tries=1,
                failure=failure,
                step=step,
                message=message,
                ambiguous=ambiguous,
            ),
        )

    def ask_to_stop(self, worker: UUID = A) -> None:
        """SIGTERM, and the worker hears it."""
        self.say(worker, StopAsked())
        self.say(worker, WorkerStopping(worker=worker, running=0, buffered=0))

    def exit(self, worker: UUID = A, *, status: int = 0, unsaved: Sequence[int] = ()) -> None:
        """The process says goodbye and ends."""
        ids = [job(number) for number in unsaved]
        old = self.workers[worker]
        self.workers[worker] = msgspec.structs.replace(old, stopped_at=self.clock)
        self.commit(worker, (old, self.workers[worker]))
        self.say(worker, WorkerStopped(worker=worker, unsaved=ids))
        self.say(worker, WorkerExited(status=status, unsaved=ids))

    def beat(self, worker: UUID = A) -> None:
        """A heartbeat, with its reply."""
        old = self.workers[worker]
        self.workers[worker] = msgspec.structs.replace(old, last_heartbeat=self.clock)
        self.commit(worker, (old, self.workers[worker]))
        self.statement("heartbeat", worker)

    def statement(self, name: str, worker: UUID = A, *, jobs: int = 0) -> None:
        """A named statement was run."""
        self.say(worker, StatementRun(name=name, lane="control", jobs=jobs, rows=0))

    def lose(self, worker: UUID, by: UUID) -> None:
        """Another worker's sweep takes the lease away."""
        old = self.workers[worker]
        self.workers[worker] = msgspec.structs.replace(old, lost_at=self.clock)
        self.commit(by, (old, self.workers[worker]))

    def reap(self, number: int, by: UUID) -> None:
        """Another worker's sweep makes a job ready again."""
        ready = ReadyRow(
            id=job(number), tag="t", priority=0, scheduled_for=self.clock, attempt=2, reaped=1
        )
        self.ready[ready.id] = ready
        lost = AttemptRow(
            id=job(number), attempt=1, error='{"name":"WorkerLost","message":"worker lost"}',
            worker=None, started_at=None, duration_ms=None,
        )  # fmt: skip
        self.commit(by, *self.leave(number), (None, ready), (None, lost))

    def run_once_more(self, number: int) -> None:
        """A job that has failed is made ready by a client, and how it ended is kept."""
        ready = ReadyRow(id=job(number), tag="t", priority=0, scheduled_for=self.clock, attempt=2)
        self.ready[ready.id] = ready
        error = '{"name":"Error","message":"no"}'
        done = self.completed(number, status="failure", result=None, error=error)
        failed = AttemptRow(
            id=job(number), attempt=1, error=error, worker=A, started_at=self.clock, duration_ms=0
        )
        self.commit(CLIENT, (done, None), (None, ready), (None, failed))

    @property
    def clock(self) -> datetime:
        """The server's clock."""
        return self.plan.begins + timedelta(seconds=self.now_s)

    def findings(self, *oracles: type[Oracle]) -> Sequence[Finding]:
        """What the oracles find in this trace."""
        found: list[Finding] = []
        panel = Panel(self.plan, oracles)
        panel.report_to(found.append)
        for happening in self.happenings:
            panel.see(happening)
        panel.at_the_end()
        return found


def _table(row: Row | None) -> str:
    tables = {
        JobRow: "job", ReadyRow: "ready", ClaimRow: "claim", CompletedRow: "job_completed",
        WorkerRow: "worker", AttemptRow: "job_attempt", WaitingRow: "waiting", SlotRow: "slot",
        ScheduleRow: "schedule", FlowRow: "flow", FlowStateRow: "flow_state",
        DecisionRow: "decision",
    }  # fmt: skip
    return tables.get(type(row), "job_log")  # type: ignore[arg-type]  # a row there is


def _of(kind: type[Row], columns: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in columns.items() if name in kind.__struct_fields__}
