"""workflow: stores what running functions ask for, and tells them when their children have ended.

What several functions ask for in the same moment goes into one transaction where batches are
allowed, as with commit: whoever comes while one is under way goes with the next.

How a child ended is read from where it is stored, never taken from the hands of this worker, so
that an attempt that comes later sees the very same. Hints and the worker's own commits say when to
look, and looking now and then makes it true: one statement for all that are waited for.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from math import inf
from typing import Final, Generic, TypeVar
from uuid import UUID

import trio

from trioworker.errors import StoreError
from trioworker.events import WorkflowFailed
from trioworker.model.failures import Failure, backoff_s, classify, next_step
from trioworker.model.failures import Step as Next
from trioworker.model.job import Job
from trioworker.model.outcome import Cancelled, Executed, Failed
from trioworker.model.planner import Backoff
from trioworker.model.workflow import (
    CHILDREN_AT_ONCE_MAX,
    STEP_BYTES_MAX,
    ChildEnd,
    Children,
    Placed,
    Step,
)
from trioworker.worker.channel import Reminder
from trioworker.worker.config import Context
from trioworker.worker.patience import until_back

A = TypeVar("A")
R = TypeVar("R")

PUT_OFF_S: Final = 5.0
"""How long what may not wait here is put off; its children are run meanwhile."""
PUT_OFF_MARGIN_S: Final = 0.5
LOOK_FIRST_S: Final = 0.1
LOOK_LAST_S: Final = 1.0
LOOK_IDS_MAX: Final = 5_000
"""About so many jobs one statement asks."""


class WorkflowTask:
    """What one worker does for the functions that it runs.

    It calls `enqueued` with the tags of jobs that it has enqueued.
    """

    def __init__(self, context: Context, *, enqueued: Callable[[AbstractSet[str]], None]) -> None:
        self._context = context
        self._worker = context.worker
        self._store = context.store.workflow
        self._enqueued = enqueued
        size = context.config.sizes.commit
        self._children = _Writer(context, self._store_children, size, _jobs)
        self._steps = _Writer(context, self._store_steps, size, _bytes)
        self._parents: set[UUID] = set()
        self._put_off: set[UUID] = set()
        self._back_at_s = -inf
        self._left_behind = Reminder()
        self._waiting: dict[UUID, list[_Wait]] = {}
        self._told: set[UUID] = set()
        self._stirred = Reminder()
        self._pauses = Backoff(LOOK_FIRST_S, LOOK_LAST_S)

    async def run(self) -> None:
        """Serve until cancelled. Nothing is asked of the store while nobody asks for anything."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._children.run)
            nursery.start_soon(self._steps.run)
            nursery.start_soon(self._end_parents)
            nursery.start_soon(self._look_now_and_then)

    # ---- for attempts -------------------------------------------------------------------------

    async def now(self) -> datetime:
        """The time by the database's clock."""
        return await self._at_last(self._store.now)

    async def enqueue(self, children: Children) -> Placed:
        """Enqueue them. Raises `StoreError` for what the database will not take."""
        self._parents.add(children.parent.id)
        return await self._children.ask(children)

    async def steps(self, job: Job) -> Mapping[str, str]:
        """The results of steps that are stored."""
        return await self._at_last(lambda: self._store.steps(self._worker, job))

    async def store_step(self, step: Step) -> bool:
        """Store the result of one; whether it could not be, because the job is not ours any more.

        Raises `StoreError` for what the database will not take.
        """
        return await self._steps.ask(step)

    async def ends(self, ids: Sequence[UUID], *, all_of_them: bool) -> Mapping[UUID, ChildEnd]:
        """How the children have ended, once all have, or one without success if that will do."""
        wait = _Wait(ids, all_of_them=all_of_them)
        for id_ in wait.missing:
            self._waiting.setdefault(id_, []).append(wait)
        self._look_at(wait.missing)
        try:
            await wait.over.wait()
        finally:
            for id_ in wait.missing:
                self._forget(id_, wait)
        return wait.ends

    async def ended(
        self, ids: Sequence[UUID], *, all_of_them: bool
    ) -> Mapping[UUID, ChildEnd] | None:
        """The same if it is so already; None when there is something to wait for."""
        wait = _Wait(ids, all_of_them=all_of_them)
        asked = list(wait.missing)
        ends = await self._at_last(lambda: self._store.ends(self._worker, asked))
        for id_, end in ends.items():
            wait.tell(id_, end)
        return wait.ends if wait.over.is_set() else None

    def put_off(self, job: UUID) -> float:
        """That attempt ends here, to come again after so many seconds."""
        self._put_off.add(job)
        return PUT_OFF_S

    @property
    def put_off_for_s(self) -> float:
        """How long it takes until all is due again that was put off; 0 or less for nothing."""
        return self._back_at_s - trio.current_time()

    # ---- what happens elsewhere ---------------------------------------------------------------

    def stored(self, batch: Iterable[Executed], lost: AbstractSet[UUID]) -> None:
        """This worker has stored these ends of attempts, but for the `lost`."""
        if not (self._waiting or self._parents):
            return
        ended = {executed.job.id: executed.outcome for executed in batch}
        self._look_at(self._waiting.keys() & (ended.keys() - lost))
        parents = self._parents & ended.keys()
        self._parents -= parents
        if any(isinstance(ended[parent], Failed | Cancelled) for parent in parents - lost):
            self._left_behind.set()
        if put_off := self._put_off & ended.keys():
            self._put_off -= put_off
            self._back_at_s = trio.current_time() + PUT_OFF_S + PUT_OFF_MARGIN_S

    def heard(self, done: str | None) -> None:
        """Somebody has stored the end of that job; None: of any."""
        if not self._waiting:
            return
        if done is None:
            self._look_at(self._waiting.keys())
        elif (job := _as_id(done)) in self._waiting:
            self._look_at({job})

    # ---- the ends of children -----------------------------------------------------------------

    def _look_at(self, ids: Iterable[UUID]) -> None:
        before = len(self._told)
        self._told.update(ids)
        if len(self._told) > before:
            self._pauses.reset()
            self._stirred.set()

    async def _look_now_and_then(self) -> None:
        while True:
            with trio.move_on_after(self._pauses.next_s() if self._waiting else inf) as pause:
                await self._stirred.wait()
            asked = list(self._waiting if pause.cancelled_caught else self._told)
            self._told.clear()
            for start in range(0, len(asked), LOOK_IDS_MAX):
                await self._look(asked[start : start + LOOK_IDS_MAX])

    async def _look(self, asked: Sequence[UUID]) -> None:
        wanted = [id_ for id_ in asked if id_ in self._waiting]
        if not wanted:
            return
        try:
            ends = await self._store.ends(self._worker, wanted)
        except StoreError as error:
            self._context.emit(_failed(self._worker, error))
            return  # the next look asks for all of them
        for id_, end in ends.items():
            for wait in list(self._waiting.get(id_, ())):
                wait.tell(id_, end)
                self._forget(id_, wait)

    def _forget(self, id_: UUID, wait: "_Wait") -> None:
        waits = self._waiting.get(id_, [])
        if wait in waits:
            waits.remove(wait)
            if not waits:
                del self._waiting[id_]

    # ---- what is stored -----------------------------------------------------------------------

    async def _store_children(self, asked: Sequence[Children]) -> Sequence[Placed]:
        placed = await self._store.enqueue(self._worker, asked)
        self._enqueued({job.tag for children in asked for job in children.jobs})
        return [placed] * len(asked)

    async def _store_steps(self, asked: Sequence[Step]) -> Sequence[bool]:
        lost = await self._store.store_steps(self._worker, asked)
        return [step.job.id in lost for step in asked]

    async def _end_parents(self) -> None:
        """See to what failed parents have left behind; what goes wrong here is a sweep's."""
        while True:
            await self._left_behind.wait()
            try:
                while await self._store.end_parents():
                    pass
            except StoreError as error:
                self._context.emit(_failed(self._worker, error))

    async def _at_last(self, ask: Callable[[], Awaitable[R]]) -> R:
        """What the store answers, however long that takes. Raises what it will say for ever."""
        failures: Counter[Failure] = Counter()
        while True:
            try:
                return await ask()
            except StoreError as error:
                failures[failure := classify(error)] += 1
                self._context.emit(_failed(self._worker, error))
                outage = failure is Failure.CONNECTION
                tries, alike = failures.total(), 1 if outage else failures[failure]
                if next_step(failure, size=1, tries=tries, alike=alike) is Next.REFUSE:
                    raise
                await trio.sleep(backoff_s(tries, self._context.ports.rng))


class _Wait:
    """One who waits for several jobs to end, or for the first of them to fail."""

    def __init__(self, ids: Iterable[UUID], *, all_of_them: bool) -> None:
        self.missing = dict.fromkeys(ids)
        self.ends: dict[UUID, ChildEnd] = {}
        self.over = trio.Event()
        self._all_of_them = all_of_them
        if not self.missing:
            self.over.set()

    def tell(self, id_: UUID, end: ChildEnd) -> None:
        """It has ended."""
        self.ends[id_] = end
        self.missing.pop(id_, None)
        if not self.missing or (end.status != "success" and not self._all_of_them):
            self.over.set()


class _Asked(Generic[A, R]):
    """Something to store, and what came of it."""

    def __init__(self, what: A) -> None:
        self.what = what
        self.settled = trio.Event()
        self.answer: list[R] = []
        self.error: StoreError | None = None


class _Writer(Generic[A, R]):
    """Stores what is asked for, all that waits up to `size`; nobody pays for another's fault.

    One transaction carries things of a `weight` of 1 altogether, or a single one.
    """

    def __init__(
        self,
        context: Context,
        store: Callable[[Sequence[A]], Awaitable[Sequence[R]]],
        size: int,
        weight: Callable[[A], float],
    ) -> None:
        self._context = context
        self._store = store
        self._size = size
        self._weight = weight
        self._asked: deque[_Asked[A, R]] = deque()
        self._more = Reminder()

    async def ask(self, what: A) -> R:
        """What the store says to it. Raises `StoreError` for what it will never take."""
        asked: _Asked[A, R] = _Asked(what)
        self._asked.append(asked)
        self._more.set()
        try:
            await asked.settled.wait()
        finally:
            asked.settled.set()  # whoever leaves is not waited for
        if asked.error is not None:
            raise asked.error
        return asked.answer[0]

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._more.wait()
            while self._asked:
                await self._settle(self._next())

    def _next(self) -> Sequence[_Asked[A, R]]:
        """At least one, and no more than one transaction should carry."""
        batch = [self._asked.popleft()]
        weight = self._weight(batch[0].what)
        while self._asked and len(batch) < self._size:
            weight += self._weight(self._asked[0].what)
            if weight > 1:
                break
            batch.append(self._asked.popleft())
        return batch

    async def _settle(self, batch: Sequence[_Asked[A, R]]) -> None:
        failures: Counter[Failure] = Counter()
        while left := [asked for asked in batch if not asked.settled.is_set()]:
            try:
                answers = await self._store([asked.what for asked in left])
            except StoreError as error:
                failures[classify(error)] += 1
                if not await self._after_failure(left, error, failures):
                    return
                continue
            for asked, answer in zip(left, answers, strict=True):
                asked.answer.append(answer)
                asked.settled.set()

    async def _after_failure(
        self, batch: Sequence[_Asked[A, R]], error: StoreError, failures: Counter[Failure]
    ) -> bool:
        """Whether to try the same again, after the pause that this has made."""
        context, tries, failure = self._context, failures.total(), classify(error)
        context.emit(_failed(context.worker, error))
        match next_step(failure, size=len(batch), tries=tries, alike=failures[failure]):
            case Next.DIVIDE:
                for asked in batch:
                    await self._settle([asked])
                return False
            case Next.REFUSE:
                batch[0].error = error
                batch[0].settled.set()
                return False
            case Next.AGAIN_WHEN_BACK:
                await until_back(context.store, context.ports.rng)
            case Next.AGAIN:
                await trio.sleep(backoff_s(tries, context.ports.rng))
        return True


def _jobs(children: Children) -> float:
    return len(children.jobs) / CHILDREN_AT_ONCE_MAX


def _bytes(step: Step) -> float:
    return len(step.result) / STEP_BYTES_MAX


def _failed(worker: UUID, error: StoreError) -> WorkflowFailed:
    return WorkflowFailed(worker=worker, failure=classify(error), message=str(error))


def _as_id(text: str) -> UUID | None:
    """The id in a notification; None for what somebody else has sent."""
    try:
        return UUID(text)
    except ValueError:
        return None
