"""One running attempt: its cancel scope, why it was stopped if it was, and what it asks for.

An attempt that waits for children gives its slot up meanwhile. It counts as waiting while at least
one of its tasks does, so that a slot is never held by one that waits for a job without a slot.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import trio

from trioworker.model.job import Job, NewJob
from trioworker.model.outcome import Interrupted, Outcome, timed_out
from trioworker.model.retry import cut_at_deadline
from trioworker.model.workflow import ChildEnd, Children, Placed, Step
from trioworker.runners.joblog import JobLog
from trioworker.worker.slots import Slots
from trioworker.worker.workflow import WorkflowTask


class Room(Protocol):
    """Where attempts are that wait for children."""

    def has_place_for(self, attempt: "Attempt") -> bool:
        """Whether it may wait here."""
        ...

    def begins_to_wait(self, attempt: "Attempt") -> None:
        """It waits from now on."""
        ...

    def put_off(self, attempt: "Attempt") -> None:
        """It is to come again later: there is no place for it."""
        ...


class Attempt:
    """A `Workflow` for the function that is run.

    A job may run twice at a time: when the server crashed and forgot a claim, this worker may
    claim again what it has in hand. The fence drops the outcome of the forgotten claim.
    """

    __slots__ = (
        "_deadline_s", "_returning", "_room", "_slots", "_stopped_as", "_task", "_timeout_s",
        "_waited_from_s", "_waits", "has_slot", "job", "log", "scope", "started_s", "waited_s",
    )  # fmt: skip

    def __init__(self, job: Job, log: JobLog, task: WorkflowTask, slots: Slots, room: Room) -> None:
        self.job = job
        self.log = log
        self.started_s = trio.current_time()
        self.waited_s = 0.0
        self.scope = trio.CancelScope()
        self.has_slot = True
        self._task = task
        self._slots = slots
        self._room = room
        self._waits = 0
        self._waited_from_s = 0.0
        self._returning: trio.Lock | None = None
        self._timeout_s = job.options.own_timeout_s
        self._deadline_s = job.deadline_s
        if self._timeout_s is not None:
            self.scope.deadline = self.started_s + self._timeout_s
        if self._deadline_s is not None:
            self.scope.deadline = min(self.scope.deadline, self._deadline_s)
        self._stopped_as: Outcome | None = None

    @property
    def waits(self) -> bool:
        """Whether it waits for children."""
        return self._waits > 0

    def stop(self, outcome: Outcome) -> None:
        """Cancel the attempt; it will count as `outcome` unless it ends by itself first."""
        if self._stopped_as is None:
            self._stopped_as = outcome
        self.scope.cancel()

    def verdict(self) -> Outcome:
        """What a cancelled attempt counts as: as it was stopped, else the limit it ran into."""
        if self._stopped_as is not None:
            return self._stopped_as
        if self._deadline_s is not None and self.scope.deadline == self._deadline_s:
            return cut_at_deadline()
        assert self._timeout_s is not None
        return timed_out(self._timeout_s)

    # ---- what its function asks for -----------------------------------------------------------

    async def now(self) -> datetime:
        """See `Workflow.now`."""
        return await self._task.now()

    async def enqueue(self, jobs: Sequence[NewJob]) -> Placed:
        """See `Workflow.enqueue`."""
        placed = await self._task.enqueue(Children(self.job, jobs))
        if self.job.id in placed.lost:
            await self._not_ours()
        return placed

    async def ends(self, ids: Sequence[UUID], *, all_of_them: bool) -> Mapping[UUID, ChildEnd]:
        """See `Workflow.ends`."""
        if not self._waits and not self._room.has_place_for(self):
            return await self._ended(ids, all_of_them=all_of_them)
        self._waits += 1
        if self._waits == 1:
            self._begin_to_wait()
        try:
            ends = await self._task.ends(ids, all_of_them=all_of_them)
        finally:
            self._waits -= 1
            if not self._waits:
                self.waited_s += trio.current_time() - self._waited_from_s
        await self._go_on()
        return ends

    async def steps(self) -> Mapping[str, str]:
        """See `Workflow.steps`."""
        return await self._task.steps(self.job)

    async def store_step(self, name: str, result: str) -> None:
        """See `Workflow.store_step`."""
        if await self._task.store_step(Step(self.job, name, result)):
            await self._not_ours()

    async def _ended(self, ids: Sequence[UUID], *, all_of_them: bool) -> Mapping[UUID, ChildEnd]:
        """How the children have ended, for one that may not wait for it."""
        ends = await self._task.ended(ids, all_of_them=all_of_them)
        if ends is None:
            self._room.put_off(self)
            await trio.sleep_forever()
        return ends

    def _begin_to_wait(self) -> None:
        self._waited_from_s = trio.current_time()
        if self.has_slot:
            self._give_slot()
        self._room.begins_to_wait(self)

    def _give_slot(self) -> None:
        self.has_slot = False
        self._slots.give()

    async def _go_on(self) -> None:
        """Return with a slot; without one while another task of this attempt still waits."""
        if self._returning is None:
            self._returning = trio.Lock()
        async with self._returning:
            if self.waits or self.has_slot:
                return
            await self._slots.regain(self)
            self._give_slot_if_waiting()

    def _give_slot_if_waiting(self) -> None:
        if self._waits:
            self._give_slot()

    async def _not_ours(self) -> None:
        """Somebody else has this job now: what it does here counts for nothing any more."""
        self.stop(Interrupted())
        await trio.sleep_forever()
