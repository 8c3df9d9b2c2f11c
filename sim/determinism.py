"""One run of the simulator: the same seed gives the same run, in every process, on every machine.

Rule of this file: whatever could make a run differ is set before it and put back exactly after it,
also when it fails; and a run that ends has either returned, raised, or been told why it was ended.

What it takes, and why nothing may be left out, was measured with hashes of whole traces in many
processes (`sim/test_determinism.py` measures it again):

* Trio's flag for deterministic scheduling *and* a seed for its generator, set at every run. Without
  the flag a batch is only turned round or not: what was woken by address runs by address, and
  many seeds share few schedules. Importing Hypothesis sets the flag, too, so that a run that did
  not set it would depend on an import.
* sets in order instead of sets by address (`sim/trio_patch.py`);
* a clock (`sim/clock.py`) that jumps to the next deadline when nothing else is left to do;
* traps on everything from outside (`sim/traps.py`), set once Trio has its own wake-up sockets;
* no garbage collection in the middle: finalizers run where the collector happens to be.

A clock that jumps has a price: with no deadline left Trio spins for ever. Hence the horizon in
virtual time, and for a run that makes no virtual progress the limit in wall time. A loop without
a checkpoint, or one that swallows every cancellation, is beyond both; give such runs a process
with a time limit of its own.
"""

import gc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Final, Generic, TypeVar

import trio
from trio.lowlevel import Task

from sim.clock import VirtualClock
from sim.traps import trapped
from sim.trio_inside import (
    described,
    is_failing,
    living_tasks,
    lower_shields,
    open_generators,
    scheduling_from,
)
from sim.trio_patch import Pauses, patched

T = TypeVar("T")

Leftovers = Callable[[], Iterable[str]]
"""Says what the caller finds left at the end of a run, one line for each thing."""

UNWINDING_S: Final = 60.0
"""Virtual seconds that a run may take to unwind before its shields are lowered."""
UNWINDING_WALL_S: Final = 1.0
"""The same in wall time, for a run that was too slow."""
NAMED_TASKS: Final = 10


class Stuck(AssertionError):
    """The run did not end within its virtual horizon; sibling: `TooSlow`."""


class TooSlow(AssertionError):
    """The run took more wall time than it was given; sibling: `Stuck`."""


class LeftBehind(AssertionError):
    """The run returned while something of it was still open."""


def simulate(
    main: Callable[[], Awaitable[T]],
    *,
    seed: int,
    horizon_s: float,
    wall_limit_s: float,
    leftovers: Sequence[Leftovers] = (),
) -> T:
    """Run `main` in virtual time from 0 and return what it returns.

    `leftovers` are asked when `main` has returned; more may be added to the list while it runs.
    With many runs in a row, `gc.freeze()` before the first makes each cheaper.

    Raises what `main` raises, out of its exception groups as long as they hold one exception;
    `Stuck` or `TooSlow` when the run had to be ended, unless it was failing already; `Leak` when
    a trap sprang, even if `main` swallowed that; `LeftBehind`; `UsageError` for another Trio.
    """
    with _deterministic(seed) as pauses:
        guard = _Guard(horizon_s=horizon_s, wall_limit_s=wall_limit_s, pauses=pauses)
        run = _Run(main, guard, leftovers)
        try:
            return trio.run(
                run.run,
                clock=VirtualClock(),
                instruments=[guard],
            )
        except BaseExceptionGroup as group:
            bare = _bare(group)
            if bare is group:
                raise
    # Raised here, so that it does not drag the group along as its context.
    raise bare


@contextmanager
def _deterministic(seed: int) -> Iterator[Pauses]:
    with ExitStack() as stack:
        pauses = stack.enter_context(patched())
        stack.enter_context(scheduling_from(seed))
        if gc.isenabled():
            stack.callback(gc.enable)
        gc.collect()
        gc.disable()
        yield pauses


def _bare(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class _Run(Generic[T]):
    """The main task of a run: `main` between traps, guarded, and what it must not leave."""

    def __init__(
        self, main: Callable[[], Awaitable[T]], guard: "_Guard", leftovers: Sequence[Leftovers]
    ) -> None:
        self._main = main
        self._guard = guard
        self._leftovers = leftovers

    async def run(self) -> T:
        trio.lowlevel.current_task().name = "main"
        with trapped() as leaks:
            trio.lowlevel.spawn_system_task(self._guard.sentinel, name="the horizon")
            at_start = living_tasks()
            self._guard.watch(at_start)
            try:
                result = await self._ended_or_returned()
            except BaseException as error:
                if leaks:
                    _bare(error).add_note(f"Before that: {leaks[0]}")
                raise
            if leaks:
                raise leaks[0]
            self._check_left(at_start)
            return result

    async def _ended_or_returned(self) -> T:
        guard = self._guard
        results: list[T] = []
        try:
            with guard.scope:
                results.append(await self._main())
        except BaseException as error:
            if guard.verdict is None:
                raise
            if guard.was_failing:
                _bare(error).add_note(
                    f"It could unwind only when the run was ended: {guard.verdict}"
                )
                raise
            raise guard.verdict from error
        if guard.verdict is not None:
            raise guard.verdict
        return results[0]

    def _check_left(self, at_start: Sequence[Task]) -> None:
        left = [f"task {described(task)}" for task in living_tasks() if task not in at_start]
        left += [f"async generator {name}" for name in open_generators()]
        left += [line for leftover in self._leftovers for line in leftover()]
        if left:
            raise LeftBehind(f"main returned and left {len(left)} open: {'; '.join(left)}")


class _Guard(trio.abc.Instrument):
    """Ends a run that does not end by itself: gently first, then through its shields."""

    def __init__(self, *, horizon_s: float, wall_limit_s: float, pauses: Pauses) -> None:
        self.scope = trio.CancelScope()
        self.verdict: Stuck | TooSlow | None = None
        self.was_failing = False
        self._horizon_s = horizon_s
        self._wall_limit_s = wall_limit_s
        self._wall_end = perf_counter() + wall_limit_s
        self._pauses = pauses
        self._without_shields = False
        self._not_watched: set[Task] = set()

    def watch(self, at_start: Iterable[Task]) -> None:
        """From now on there is a main task; the others of `at_start` are Trio's and ours."""
        self._not_watched = set(at_start) - {trio.lowlevel.current_task()}

    async def sentinel(self) -> None:
        """Sleep to the horizon, which is also the deadline that keeps the clock from spinning."""
        await trio.sleep(self._horizon_s)
        waiting = [task for task in living_tasks() if task not in self._not_watched]
        listed = ", ".join(described(task) for task in waiting[:NAMED_TASKS])
        more = ", …" if len(waiting) > NAMED_TASKS else ""
        paused = ", ".join(process.name for process in self._pauses.paused)
        paused = f"; paused: {paused}" if paused else ""
        self._end(
            Stuck(
                f"not over after {self._horizon_s:g} virtual seconds; "
                f"waiting: {listed}{more}{paused}"
            )
        )
        await trio.sleep(UNWINDING_S)
        self._without_shields = True

    def before_io_wait(self, timeout: float) -> None:
        """Trio calls this once in each turn of its loop."""
        del timeout
        if self._without_shields:
            lower_shields(self.scope)
        elif perf_counter() > self._wall_end:
            self._without_shields = self.verdict is not None
            self._wall_end = perf_counter() + UNWINDING_WALL_S
            now_s = trio.current_time()
            self._end(
                TooSlow(f"at {now_s:g} virtual seconds after {self._wall_limit_s:g} s of wall time")
            )

    def _end(self, verdict: Stuck | TooSlow) -> None:
        if self.verdict is None:
            self.verdict = verdict
            # A failure may be unable to come out because a paused process cannot unwind.
            self.was_failing = any(is_failing(task) for task in living_tasks())
            self._pauses.end()
            self.scope.cancel()
