"""execute: runs the jobs of a batch side by side, and forwards outcomes as they come.

A *slot* is a task that runs one job after the other for as long as jobs wait. Slots are started
one from another, never in bulk: a batch of jobs that do not wait is run through by the first slot
alone, a batch of jobs that do wait fans out to `concurrency` slots. Nothing is spawned per job.
While a function waits for its children its slot is somebody else's; see `slots.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

import trio

from trioworker.errors import UsageError
from trioworker.events import JobStarted
from trioworker.model.job import Job
from trioworker.model.outcome import (
    RESULT_BYTES_MAX,
    Cancelled,
    Executed,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Snoozed,
    Succeeded,
)
from trioworker.model.planner import Load, alone_from
from trioworker.model.retry import past_deadline, settled, tries_of
from trioworker.runners.joblog import JobLog
from trioworker.runners.protocol import Runner
from trioworker.worker.attempt import Attempt
from trioworker.worker.channel import BatchChannel, Signal
from trioworker.worker.config import Context
from trioworker.worker.shared import SharedTask
from trioworker.worker.slots import Slots
from trioworker.worker.workflow import WorkflowTask

YIELD_AFTER_S: Final = 0.005
"""A slot whose jobs never wait lets other tasks run this often."""
WAITING_MAX: Final = 1_000
"""So many attempts of a worker wait for children at a time: they are in memory, and run nothing."""
MEAN_WEIGHT: Final = 0.05
"""How much one job moves the mean duration: the last twenty or so count."""


class Execute:
    """The execute stage of one worker."""

    def __init__(
        self,
        context: Context,
        *,
        runners: Mapping[str, Runner],
        jobs: BatchChannel[Job],
        outcomes: BatchChannel[Executed],
        workflow: WorkflowTask,
        shared: SharedTask,
    ) -> None:
        self._config = context.config
        self._worker = context.worker
        self._emit = context.emit
        self._report_end = context.report_end
        self._rng = context.ports.rng
        self._runners = runners
        self._jobs = jobs
        self._outcomes = outcomes
        self._workflow = workflow
        self._shared = shared
        self._attempts: dict[Attempt, None] = {}
        self._alone_from = alone_from(self._config.reaped_max)
        self._cancelled_early: dict[UUID, str] = {}
        self._immediate = {
            kind: runner.run_now for kind, runner in runners.items() if runner.run_now is not None
        }
        self._slots = Slots(self._config.concurrency)
        self._slot_on_its_way = False
        self._mean_s: float | None = None
        self._giving_back = False
        self._held = False
        self.changed = Signal()

    async def run(self) -> None:
        """Run what comes until the jobs channel is closed and empty; then close the outcomes."""
        async with trio.open_nursery() as nursery:
            try:
                while True:
                    await self._jobs.filled()
                    self._start_slot(nursery)
                    await self.changed.wait()
            except trio.EndOfChannel:
                pass
        self._outcomes.close()

    def load(self) -> Load:
        """What there is to do, for the planner."""
        mean_s = self._mean_s
        running = [attempt for attempt in self._attempts if not attempt.waits]
        # Ages correct a pace that was seen; of jobs that have just begun they say nothing.
        if mean_s is not None and running:
            now_s = trio.current_time()
            ages_s = sum(now_s - attempt.started_s - attempt.waited_s for attempt in running)
            mean_s = max(mean_s, ages_s / len(running))
        return Load(
            concurrency=self._config.concurrency,
            running=len(running),
            buffered=len(self._jobs),
            mean_s=mean_s,
        )

    def cancel(self, job: UUID, reason: str) -> bool:
        """Cancel a job that runs or waits here; False when neither is the case."""
        running = [attempt for attempt in self._attempts if attempt.job.id == job]
        for attempt in running:
            attempt.stop(Cancelled(reason))
        if running:
            return True
        if any(waiting.id == job for waiting in self._jobs.items):
            self._cancelled_early[job] = reason
            return True
        return False

    def running(self) -> Iterator[tuple[Job, JobLog]]:
        """What runs now, each with its log."""
        return ((attempt.job, attempt.log) for attempt in self._attempts)

    def unstarted(self) -> list[UUID]:
        """The jobs in hand that no slot has taken."""
        return [job.id for job in self._jobs.items]

    def give_back(self) -> None:
        """From now on jobs that have not started become `Interrupted` without being run.

        So do those that wait for children: nothing is pulled here any more that could end them.
        """
        self._giving_back = True
        for attempt in self._attempts:
            if attempt.waits:
                attempt.stop(Interrupted())
        self.changed.set()

    def hold(self, *, held: bool) -> None:
        """Begin no job while the lease is in doubt; a stop may give them back all the same."""
        self._held = held
        self.changed.set()

    def interrupt(self) -> None:
        """Stop what runs now; it becomes `Interrupted`, not charged as an attempt."""
        for attempt in self._attempts:
            attempt.stop(Interrupted())

    def has_place_for(self, attempt: Attempt) -> bool:
        """Not on its last chance, for nothing is pulled as long as that is in hand."""
        return self._waiting < WAITING_MAX and attempt.job.reaped < self._alone_from

    def begins_to_wait(self, attempt: Attempt) -> None:
        """Its slot is free, unless the worker stops: then it is not waited for."""
        if self._giving_back:
            attempt.stop(Interrupted())
        self.changed.set()

    def put_off(self, attempt: Attempt) -> None:
        """Its children are run meanwhile."""
        attempt.stop(Snoozed(self._workflow.put_off(attempt.job.id)))

    @property
    def _waiting(self) -> int:
        return sum(attempt.waits for attempt in self._attempts)

    def _start_slot(self, nursery: trio.Nursery) -> None:
        # What is given back is not run, so it need not wait until a slot is free.
        full = self._slots.full and not self._giving_back
        if self._slot_on_its_way or full or not self._may_begin:
            return
        self._slot_on_its_way = True
        nursery.start_soon(self._slot, nursery)

    @property
    def _may_begin(self) -> bool:
        """Whether a job waits and may leave the channel."""
        return bool(self._jobs) and (self._giving_back or not self._held)

    async def _slot(self, nursery: trio.Nursery) -> None:
        self._slot_on_its_way = False
        self._slots.take()
        try:
            await self._run_through(nursery)
        finally:
            self._slots.give()
            self.changed.set()

    async def _run_through(self, nursery: trio.Nursery) -> None:
        yielded_s = trio.current_time()
        while True:
            await self._outcomes.room()
            if not self._may_begin or (self._slots.wanted and not self._giving_back):
                return
            if immediate := self._jobs.take_while(self._is_immediate, self._outcomes.free):
                self._outcomes.put(self._execute_now(immediate))
                continue
            (job,) = self._jobs.take(1)
            self._start_slot(nursery)
            self._tell_if_none_waits()
            executed = await self._execute(job)
            self._note(executed)
            self._outcomes.put((executed,))
            now_s = trio.current_time()
            if now_s - yielded_s > YIELD_AFTER_S:
                self.changed.set()
                await trio.lowlevel.checkpoint()
                yielded_s = trio.current_time()

    def _tell_if_none_waits(self) -> None:
        """With slots left the next pull need not wait until one of these jobs has ended."""
        if not self._jobs:
            self.changed.set()

    def _is_immediate(self, job: Job) -> bool:
        return job.kind in self._immediate

    def _execute_now(self, jobs: Sequence[Job]) -> list[Executed]:
        """Run jobs that never wait, all in one go."""
        now_s = trio.current_time()
        verdicts = [self._without_running(job) for job in jobs]
        executed = [
            Executed(job, verdict or self._immediate[job.kind](job), now_s, 0.0)
            for job, verdict in zip(jobs, verdicts, strict=True)
        ]
        self._note_mean(0.0)
        self.changed.set()
        if self._config.report_jobs:
            for one, verdict in zip(executed, verdicts, strict=True):
                if verdict is None:
                    self._report_start(one.job)
                self._report_end(one)
        return executed

    async def _execute(self, job: Job) -> Executed:
        started_s = trio.current_time()
        if (outcome := self._without_running(job)) is not None:
            return Executed(job, outcome, started_s, 0.0)
        runner = self._runners.get(job.kind)
        if runner is None:
            message = f"this worker cannot run jobs of the kind {job.kind!r}"
            return Executed(job, Failed(JobError("UnknownKind", message)), started_s, 0.0)
        if self._config.report_jobs:
            self._report_start(job)
        return await self._attempt(runner, job, started_s)

    def _without_running(self, job: Job) -> Outcome | None:
        if self._giving_back:
            return Interrupted()
        if self._cancelled_early and job.id in self._cancelled_early:
            return Cancelled(self._cancelled_early.pop(job.id))
        if job.defect is not None:
            return Failed(JobError("InvalidJob", job.defect))
        if job.deadline_s is not None and trio.current_time() >= job.deadline_s:
            return past_deadline()
        return None

    async def _attempt(self, runner: Runner, job: Job, started_s: float) -> Executed:
        log = JobLog()
        attempt = Attempt(job, log, self._workflow, self._slots, self)
        log.workflow = attempt
        self._attempts[attempt] = None
        outcome: Outcome | None = None
        try:
            with self._shared.used(_shares(job)) as log.shared, attempt.scope:
                outcome = await runner.run(job, log)
        except UsageError as error:
            outcome = Failed(JobError(type(error).__name__, str(error)), for_good=True)
        finally:
            log.workflow = None
            del self._attempts[attempt]
            if not attempt.has_slot:
                self._slots.take()
        if outcome is None:
            outcome = attempt.verdict()
        now_s = trio.current_time()
        outcome = settled(
            _within_bounds(outcome),
            job.options.policy(runner.retry_of(job)),
            tries=tries_of(job),
            left_s=None if job.deadline_s is None else job.deadline_s - now_s,
            rng=self._rng,
        )
        self._note_mean(now_s - started_s - attempt.waited_s)
        return Executed(
            job, outcome, started_s, now_s - started_s, log.rest(), log.chunk, tuple(log.labels),
            progress=log.progress.offer(), preprocessed=log.preprocessed,
        )  # fmt: skip

    def _note(self, executed: Executed) -> None:
        self.changed.set()
        self._report_end(executed)

    def _note_mean(self, duration_s: float) -> None:
        if self._mean_s is None:
            self._mean_s = duration_s
        else:
            self._mean_s += (duration_s - self._mean_s) * MEAN_WEIGHT

    def _report_start(self, job: Job) -> None:
        self._emit(JobStarted(worker=self._worker, job=job.id, attempt=job.attempt))


def _shares(job: Job) -> UUID | None:
    """The flow whose folder the job shares."""
    step = job.options.step
    return None if step is None else step.shared


def _within_bounds(outcome: Outcome) -> Outcome:
    """`outcome`, unless its result is larger than the database could take."""
    if type(outcome) is not Succeeded or len(outcome.result) <= RESULT_BYTES_MAX:
        return outcome
    message = f"the result has {len(outcome.result):,} bytes; at most {RESULT_BYTES_MAX:,}"
    return Failed(JobError("ResultTooLarge", message))
