"""Mutants of the end: what is dropped, kept or kept quiet when a worker stops."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from uuid import UUID

import trio

from sim.oracles.stopping import (
    ExitsAsPromised,
    GivesBackAtOnce,
    NothingHeld,
    StartsNothingMore,
    StopsInTime,
)
from sim.plan import Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import OURS, mutant, of_scenario
from trioworker.errors import StoreError
from trioworker.worker.commit import Commit
from trioworker.worker.execute import Execute
from trioworker.worker.supervisor import Report, _Life

ONE_WAITS: Final = of_scenario("stop-gives-back-at-once")
BUSY_GOODBYE: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, lease_s=15.0, heartbeat_s=5.0, grace_s=5.0),
    jobs=("slow",),
    script=[Scripted(fault="worker stopped@worker-0#0", at_s=0.2)],
    chaos_s=1.0,
)
"""A worker stops while a job runs, which ends before the next heartbeat."""
NO_WELCOME: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
    jobs=("ok",),
    exactly=[
        *(f"line lost before the effect@worker-0/heartbeat#{ordinal}" for ordinal in range(30)),
        "line lost before the effect@worker-0/register_worker#1",
    ],
    chaos_s=6.0,
)
"""A worker loses its lease, and its line once more when it registers anew."""


@mutant(
    "buffer dropped at exit",
    caught_by=NothingHeld,
    seen_in="pgqueuer, river: when the last flush fails its results are lost without a list of ids",
    plan=of_scenario("stop-under-outage"),
)
def buffer_dropped_at_exit() -> Iterator[None]:
    """What could not be stored by the deadline is dropped, and the exit status is 0."""

    def nothing(_self: Commit) -> list[UUID]:
        return []

    with replaced(Commit, "unsaved", nothing):
        yield


@mutant(
    "kept quiet",
    caught_by=NothingHeld,
    seen_in=OURS,
    plan=of_scenario("stop-names-what-waits"),
)
def kept_quiet() -> Iterator[None]:
    """Jobs that still wait for a slot at the deadline are in no list."""

    def nothing(_self: Execute) -> list[UUID]:
        return []

    with replaced(Execute, "unstarted", nothing):
        yield


@mutant(
    "give-back forgotten",
    caught_by=StartsNothingMore,
    seen_in="oban: a queue that stops still starts jobs",
    plan=ONE_WAITS,
)
def give_back_forgotten() -> Iterator[None]:
    """A worker that stops begins what it has claimed, instead of giving it back."""

    def nothing(_self: Execute) -> None:
        return

    with replaced(Execute, "give_back", nothing):
        yield


@mutant("given back after the grace", caught_by=GivesBackAtOnce, seen_in=OURS, plan=ONE_WAITS)
def given_back_after_the_grace() -> Iterator[None]:
    """What has not begun goes back only when a slot is free for it."""

    def only_with_a_slot(self: Execute, nursery: trio.Nursery) -> None:
        full = self._slots.full
        if self._slot_on_its_way or full or not self._may_begin:
            return
        self._slot_on_its_way = True
        nursery.start_soon(self._slot, nursery)

    with replaced(Execute, "_start_slot", only_with_a_slot):
        yield


@mutant(
    "stop that waits for the database",
    caught_by=StopsInTime,
    seen_in="pgqueuer: endless tries in an outage block the shutdown",
    plan=of_scenario("stop-in-the-first-sweep"),
)
def stop_that_waits_for_the_database() -> Iterator[None]:
    """A stop has no deadline: it ends when everything is stored."""

    async def patiently(self: _Life) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._force_when_asked)
            await self._stop.asked.wait()
            self._pull.stop()
            self._execute.give_back()
            await trio.sleep(self._config.grace_s)
            self._execute.interrupt()
            await trio.sleep_forever()

    with replaced(_Life, "_stop_when_asked", patiently):
        yield


@mutant("goodbye before the flush", caught_by=NothingHeld, plan=BUSY_GOODBYE)
def goodbye_before_the_flush() -> Iterator[None]:
    """A worker that stops says so first, and stores afterwards what others take meanwhile."""
    stop_when_asked = _Life._stop_when_asked

    async def say_goodbye(self: _Life) -> None:
        await self._stop.asked.wait()
        with suppress(StoreError):
            await self._store.retire(self._worker)

    async def goodbye_first(self: _Life) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_goodbye, self)
            await stop_when_asked(self)

    with replaced(_Life, "_stop_when_asked", goodbye_first):
        yield


@mutant(
    "gives up in an outage",
    caught_by=ExitsAsPromised,
    seen_in="pg-boss: the process dies when the database is away",
    plan=NO_WELCOME,
)
def gives_up_in_an_outage() -> Iterator[None]:
    """A worker that has to register anew and finds no database ends."""
    run = _Life.run

    async def impatiently(self: _Life, *, patient: bool) -> Report:
        del patient
        return await run(self, patient=False)

    with replaced(_Life, "run", impatiently):
        yield
