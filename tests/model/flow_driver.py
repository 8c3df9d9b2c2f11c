"""Runs flows in memory, against the pure model: jobs end in any order and in any batches.

It stands for the store and for all workers at once, and holds what the store relies on: no job is
made twice, a state survives being written down, and it names just the jobs that have not ended.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec

from trioworker.model import flow_state
from trioworker.model.flow import Flow
from trioworker.model.flow_advance import (
    Advanced,
    End,
    FlowRun,
    Missing,
    StepEnd,
    advance,
    begin,
    unfinished,
)
from trioworker.model.job import NewJob
from trioworker.model.outcome import Cancelled, Failed, JobError, Skipped, Succeeded

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
ROOT: Final = UUID(int=1)
ROUNDS_MAX: Final = 50
"""How often results may have to be read for one call."""

Work = Callable[[NewJob], End]
"""What a worker, or people, make of a job in the end."""


class Asked(NamedTuple):
    """What to run: the flow `path` of `flows` with this input."""

    flows: Mapping[str, Flow]
    path: str
    args: Any


def id_of(flow: UUID, attempt: int, fact: str) -> UUID:
    """The same id for the same facts."""
    return uuid5(flow, f"{attempt} {fact}")


class Driver:
    """One run of a flow, and of all flows in it; `made` are its jobs as they were made."""

    def __init__(self, asked: Asked, work: Work, rng: Random, *, tag: str = "default") -> None:
        self.made: list[NewJob] = []
        self.results: dict[UUID, bytes | None] = {}
        self.outcomes: dict[UUID, End] = {}
        self.states: dict[UUID, flow_state.FlowState] = {}
        self.reads = 0
        self._flows = asked.flows
        self._work = work
        self._rng = rng
        self._now = START
        self._runs: dict[UUID, FlowRun] = {}
        self._steps: dict[UUID, NewJob] = {}
        self._pending: list[UUID] = []
        self._told: list[tuple[UUID, StepEnd]] = []
        self._ended: list[tuple[UUID, End]] = []
        args = msgspec.json.encode(asked.args)
        self._begin(NewJob(id=ROOT, kind="flow", path=asked.path, args=args, tag=tag), ROOT)
        self._end_flows()

    def run(self, most: int = 1_000_000) -> End:
        """All of it, at most `most` jobs at a time; how the outermost flow ended."""
        while self._pending:
            self.end_some(most)
        return self.outcomes[ROOT]

    def end_some(self, most: int) -> None:
        """Let some jobs end that are under way, together; what ended before is told again."""
        self._rng.shuffle(self._pending)
        count = self._rng.randint(1, min(most, len(self._pending)))
        ending, self._pending = self._pending[:count], self._pending[count:]
        self.end(*((job, self._work(self._steps[job])) for job in ending))

    def end(self, *ends: tuple[UUID, End]) -> None:
        """These jobs end so, together."""
        self._now += timedelta(seconds=1)
        flows: dict[UUID, list[StepEnd]] = {}
        for job, outcome in ends:
            if job in self._pending:
                self._pending.remove(job)
            step = self._steps[job].options.step
            assert step is not None
            flows.setdefault(step.flow, []).append(_end(step.at, job, outcome))
        for flow, new in flows.items():
            self._advance(flow, new)
        self._end_flows()

    def _end_flows(self) -> None:
        """The ends of nested flows are ends of steps in turn."""
        ended, self._ended = self._ended, []
        if ended:
            self.end(*ended)

    def pending(self) -> Sequence[NewJob]:
        """The jobs of steps that are under way."""
        return [self._steps[job] for job in self._pending]

    def _begin(self, job: NewJob, root: UUID) -> None:
        flow = self._flows[job.path]
        run = FlowRun(job.id, 1, root, job.path, job.args, job.tag, job.priority, flow, state=None)
        self._runs[job.id] = run
        self._take(job.id, self._called(lambda known: begin(run, known=known, **self._ports())))

    def _advance(self, flow: UUID, new: list[StepEnd]) -> None:
        run = self._runs[flow]
        self._told += [(flow, end) for end in new]
        self.results |= {end.job: end.result for end in new}
        again = [end for of, end in self._told if of == flow and self._rng.random() < 0.1]
        strange = [StepEnd("nobody[3]", UUID(int=7), "success", b"1", None)]
        ends = [*new, *again[-3:], *strange * self._rng.randint(0, 1), *new[:1]]
        self._rng.shuffle(ends)
        assert run.state is not None
        before = flow_state.encode(run.state)

        def call(known: Mapping[UUID, bytes | None]) -> Advanced:
            return advance(run, ends, known=known, **self._ports())

        advanced = self._called(call)
        assert before == flow_state.encode(run.state), "the state was changed"
        self._take(flow, advanced)

    def _ports(self) -> dict[str, Any]:
        return {"now": self._now, "id_of": id_of}

    def _called(self, call: Callable[[Mapping[UUID, bytes | None]], Advanced]) -> Advanced:
        known: dict[UUID, bytes | None] = {}
        for _ in range(ROUNDS_MAX):
            try:
                return call(known)
            except Missing as missing:
                jobs = missing.jobs
            assert jobs, "nothing is missing"
            assert not jobs & known.keys(), "what was read is asked for again"
            known |= {job: self.results[job] for job in jobs}
            self.reads += len(jobs)
        raise AssertionError("the results never suffice")

    def _take(self, flow: UUID, advanced: Advanced) -> None:
        """Store what came of a call."""
        state = flow_state.decode(flow_state.encode(advanced.state))
        assert flow_state.encode(state) == flow_state.encode(advanced.state)
        self._runs[flow] = self._runs[flow]._replace(state=state)
        self.states[flow] = state
        for job in advanced.jobs:
            self._store(job)
        if advanced.outcome is not None:
            assert flow not in self.outcomes, "a flow ended twice"
            self.outcomes[flow] = advanced.outcome
            assert not advanced.jobs, "a flow that has ended makes jobs"
        left = {*unfinished(state)}
        assert left == {job for job in self._unended() if self._flow_of(job) == flow}
        assert bool(left) == (advanced.outcome is None and flow not in self.outcomes)
        if advanced.outcome is not None and flow in self._steps:
            self._ended.append((flow, advanced.outcome))

    def _store(self, job: NewJob) -> None:
        assert job.id not in self._steps, "a step was made twice"
        assert job.options.step is not None
        assert job.parent == job.options.step.flow
        assert job.options.step.root == ROOT
        self._steps[job.id] = job
        self.made.append(job)
        if job.kind == "flow":
            self._begin(job, ROOT)
        else:
            self._pending.append(job.id)

    def _unended(self) -> Sequence[UUID]:
        return [job for job in self._steps if job not in self.results]

    def _flow_of(self, job: UUID) -> UUID:
        step = self._steps[job].options.step
        assert step is not None
        return step.flow


def _end(at: str, job: UUID, outcome: End) -> StepEnd:
    match outcome:
        case Succeeded(result):
            return StepEnd(at, job, "success", result, None)
        case Failed(error):
            return StepEnd(at, job, "failure", None, error)
        case Cancelled(reason):
            return StepEnd(at, job, "canceled", None, JobError("Cancelled", reason))
        case Skipped(reason):
            return StepEnd(at, job, "skipped", None, JobError("Skipped", reason))
