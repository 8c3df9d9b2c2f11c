"""What Trio leaves to memory addresses, put in order; and how a simulated process is paused.

Rule of this file: it changes nothing but what `PATCHES` names, in the one version of Trio that
`sim/trio_inside.py` knows, and puts that back exactly.

*Order.* Trio's own flag for deterministic scheduling sorts each batch of runnable tasks before it
shuffles them with a seeded generator, so the order in which tasks are woken does not matter. It
does matter where Trio calls back in the middle of waking them: the abort callback of each task
under a cancelled scope, an instrument, a loop over `nursery.child_tasks`. Those follow sets, whose
order is that of addresses, and a heap of deadlines that breaks ties by `id()`. Here the sets keep
the order of insertion and the heap takes a number.

*Pause.* A process that gets SIGSTOP does nothing while the clock runs on, and on SIGCONT it finds
that everything has happened at once. Trio cannot stop a task, but every task passes through
`Runner.reschedule` before it runs; there the tasks of a paused process are taken aside. Nor may an
abort callback run for it, because that would be the stopped process telling its database to give
up: such a cancellation waits until the process goes on. What arrived in the pause wins over a
deadline that passed in it, as in Trio's own loop, which looks at its sockets first.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from heapq import heappush
from itertools import count
from typing import Final, NamedTuple, TypeVar

from outcome import Outcome
from trio._core import _run
from trio._core._run import CancelScope, CancelStatus, Deadlines, Nursery, Runner, Task

from sim.replace import replaced
from sim.trio_inside import check_trio

T = TypeVar("T")


# ---- order ----------------------------------------------------------------------------------


class InsertionOrdered(dict[T, None]):
    """As much of a set as Trio uses, in the order in which things were added."""

    # Methods of `dict` itself: Trio calls them at each step of each task.
    add = dict.setdefault
    remove = dict.__delitem__

    def discard(self, item: T) -> None:
        """Take it out if it is there."""
        self.pop(item, None)


_status_made = CancelStatus.__attrs_post_init__
_nursery_made = Nursery.__init__
_tickets = count()


def _make_status(self: CancelStatus) -> None:
    self._children = InsertionOrdered()  # type: ignore[assignment]  # as much of a set as is used
    self._tasks = InsertionOrdered()  # type: ignore[assignment]  # the same
    _status_made(self)


def _make_nursery(
    self: Nursery,
    parent_task: Task,
    cancel_scope: CancelScope,
    strict_exception_groups: bool,  # noqa: FBT001 - the signature is Trio's
) -> None:
    _nursery_made(self, parent_task, cancel_scope, strict_exception_groups)
    self._children = InsertionOrdered()  # type: ignore[assignment]  # the same


def _child_tasks(self: Nursery) -> tuple[Task, ...]:
    return tuple(self._children)


def _add_deadline(self: Deadlines, deadline: float, cancel_scope: CancelScope) -> None:
    heappush(self._heap, (deadline, next(_tickets), cancel_scope))
    self._active += 1


# ---- pause ----------------------------------------------------------------------------------


class Process:
    """A simulated operating-system process: its tasks stop and go on together.

    Set `PROCESS` to it in the task that starts the others; each task inherits the context of the
    one that spawned it. To kill a paused process cancel its scope and resume it: a task that is
    held cannot unwind.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.paused = False
        self._held: list[Task] = []
        self._uncancelled: dict[Task, None] = {}

    def pause(self) -> None:
        """Stop every task of this process, as SIGSTOP does; one more time is no different.

        A task that Trio has already put into the batch of the current tick runs once more, to its
        next checkpoint, and so does the task that calls this if it is one of them: the batch is a
        local variable of Trio's loop. In a run that is being ended nothing can be paused.
        """
        pauses = _PAUSES.get()
        if pauses is None:
            raise RuntimeError("a process can be paused only inside simulate()")
        if self.paused or pauses.ended:
            return
        self.paused = True
        pauses.paused[self] = None
        runnable = _run.GLOBAL_RUN_CONTEXT.runner.runq
        self._held += [task for task in runnable if task.context.get(PROCESS) is self]
        others = [task for task in runnable if task.context.get(PROCESS) is not self]
        runnable.clear()
        runnable.extend(others)

    def resume(self) -> None:
        """Let them go on, as SIGCONT does: those that were woken meanwhile, in that order.

        Then the cancellations that waited are delivered, to those which nothing woke.
        """
        if not self.paused:
            return
        self.paused = False
        pauses = _PAUSES.get()
        if pauses is not None:
            pauses.paused.pop(self, None)
        _run.GLOBAL_RUN_CONTEXT.runner.runq.extend(self._held)
        self._held.clear()
        uncancelled, self._uncancelled = self._uncancelled, {}
        for task in uncancelled:
            task._attempt_delivery_of_any_pending_cancel()

    def _hold(self, task: Task) -> None:
        self._held.append(task)

    def _hold_cancellation(self, task: Task) -> None:
        self._uncancelled[task] = None


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


_paused: Final[dict[Process, None]] = {}
"""Those of the run that is going on, for what is asked at each step of each task."""


class Pauses:
    """The processes that are paused in the run that is going on."""

    def __init__(self) -> None:
        self.paused = _paused
        self.paused.clear()
        self.ended = False

    def end(self) -> None:
        """Resume all and let nobody be paused again, so that every task can unwind."""
        self.ended = True
        for process in list(self.paused):
            process.resume()
        self.paused.clear()


_PAUSES: ContextVar[Pauses | None] = ContextVar("_PAUSES", default=None)

_reschedule_at_once = Runner.reschedule
_deliver_cancel_at_once = Task._attempt_delivery_of_any_pending_cancel


def _reschedule(self: Runner, task: Task, next_send: Outcome[object] = _run._NO_SEND) -> None:
    """Trio's own, which puts the task last in `runq`; new tasks come through here, too."""
    _reschedule_at_once(self, task, next_send)
    if _paused:
        process = task.context.get(PROCESS)
        if process is not None and process.paused:
            process._hold(self.runq.pop())


def _deliver_cancel(self: Task) -> None:
    """Trio's own, later when this is a blocked task of a paused process."""
    if _paused:
        process = self.context.get(PROCESS)
        if process is not None and process.paused:
            process._hold_cancellation(self)
            return
    _deliver_cancel_at_once(self)


# ---- both -----------------------------------------------------------------------------------


class Patch(NamedTuple):
    """What stands in the place of `owner.name`."""

    owner: type
    name: str
    value: object


PATCHES: Final = (
    Patch(CancelStatus, "__attrs_post_init__", _make_status),
    Patch(Nursery, "__init__", _make_nursery),
    Patch(Nursery, "child_tasks", property(_child_tasks)),
    Patch(Deadlines, "add", _add_deadline),
    Patch(Runner, "reschedule", _reschedule),
    Patch(Task, "_attempt_delivery_of_any_pending_cancel", _deliver_cancel),
)


@contextmanager
def patched() -> Iterator[Pauses]:
    """Put `PATCHES` in place, for one run at a time."""
    check_trio([(patch.owner, patch.name) for patch in PATCHES])
    if any(vars(patch.owner)[patch.name] is patch.value for patch in PATCHES):
        raise RuntimeError("simulate() is at work already; one run at a time in a process")
    pauses = Pauses()
    with ExitStack() as stack:
        for patch in PATCHES:
            stack.enter_context(replaced(patch.owner, patch.name, patch.value))
        # Set outside of the run, so that its every task inherits it.
        token = _PAUSES.set(pauses)
        stack.callback(_PAUSES.reset, token)
        yield pauses
