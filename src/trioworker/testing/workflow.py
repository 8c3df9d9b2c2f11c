"""Children and steps of a function that a test runs: what a worker does for it, in memory.

Rule of this file: a child that is waited for is run here and now, by whoever waits. One that is due
later is not, for the clock is the test's to move.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from trioworker.errors import UsageError
from trioworker.model.job import NewJob
from trioworker.model.outcome import JobError
from trioworker.model.state import JobStep
from trioworker.model.workflow import GONE, ChildEnd, Placed
from trioworker.testing.clock import FrozenClock
from trioworker.testing.memory import Entry, MemoryJobs

RunOne = Callable[[Entry], Awaitable[None]]


class MemoryWorkflow:
    """A `Workflow` for one attempt of the job in `entry`; `run_one` runs one of another."""

    def __init__(
        self, entry: Entry, memory: MemoryJobs, clock: FrozenClock, run_one: RunOne
    ) -> None:
        self._entry = entry
        self._memory = memory
        self._clock = clock
        self._run_one = run_one

    async def now(self) -> datetime:
        """What the clock shows."""
        return self._clock.now

    async def enqueue(self, jobs: Sequence[NewJob]) -> Placed:
        """Keep those that are new; what failed in an earlier attempt is run again."""
        attempt = self._entry.attempt
        await self._memory.enqueue(jobs)
        entries = [self._memory.entries[job.id] for job in jobs]
        for entry in entries:
            entry.ask_again(attempt, self._clock.now)
        pairs = zip(entries, jobs, strict=True)
        strange = {job.id for entry, job in pairs if not _is_same(entry.new, job)}
        return Placed(strange=strange)

    async def ends(self, ids: Sequence[UUID], *, all_of_them: bool) -> Mapping[UUID, ChildEnd]:
        """Run them one after the other, as far as that is needed."""
        ends: dict[UUID, ChildEnd] = {}
        for id_ in ids:
            ends[id_] = await self._end(id_)
            if ends[id_].status != "success" and not all_of_them:
                break
        return ends

    async def steps(self) -> Mapping[str, str]:
        """The results that were stored."""
        return {step.name: _json(step.result) for step in self._entry.steps}

    async def store_step(self, name: str, result: str) -> None:
        """Keep it."""
        self._entry.steps.append(JobStep(name, msgspec.json.decode(result), self._clock.now))

    async def _end(self, id_: UUID) -> ChildEnd:
        entry = self._memory.entries.get(id_)
        if entry is None:
            return ChildEnd(GONE, None, None)
        async with entry.in_hand:
            while entry.ended_as is None:
                if entry.due > self._clock.now:
                    raise UsageError(
                        f"the child '{entry.new.path}' is due at {entry.due}, and the clock of the"
                        f" test stands at {self._clock.now}; it cannot be waited for here"
                    )
                await self._run_one(entry)
        error: JobError | None = entry.error
        return ChildEnd(entry.ended_as, _json(entry.result), error)


def _is_same(known: NewJob, asked: NewJob) -> bool:
    return (known.parent, known.kind, known.path, known.args) == (
        asked.parent,
        asked.kind,
        asked.path,
        asked.args,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
