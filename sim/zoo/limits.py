"""Mutants of concurrency limits: slots that are lost, counted wrongly, or given out of turn."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Final
from uuid import UUID

from sim.database.models import MODELS, Rows, Statement, limits
from sim.database.transaction import Transaction
from sim.oracles.calm import NoStorm
from sim.oracles.limits import NextInLine, SlotFilled, SlotsHeld, WithinLimit
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import OURS, mutant, of_scenario, statement
from trioworker.store.protocol import Promoted
from trioworker.worker.maintenance import Maintenance

_LIMITED: Final = Plan(
    seed=0,
    sizes=Sizes(workers=3, pull=5, commit=5, concurrency=5),
    jobs=("ok",) * 30,
    limits=(2,),
    chaos_s=4.0,
)
"""Three workers and one line."""
_BY_THE_CLOCK: Final = Plan(
    seed=0,
    sizes=Sizes(workers=4, pull=5, commit=5, concurrency=5, sweep_s=0.5),
    jobs=tuple(f"{body}@{number * 0.1:.1f}" for number in range(20) for body in ("snooze", "ok")),
    limits=(1,),
    window_s=0.3,
    chaos_s=4.0,
)
"""A line that time moves, and four workers who look at the same moment."""
SELDOM: Final = 12
_LATER: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, pull=5, commit=5, concurrency=5, sweep_s=0.5),
    jobs=("retry",) * 8,
    limits=(2,),
    chaos_s=8.0,
)
"""Jobs whose second try is due while nobody enqueues anything."""
_DEADLY: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, pull=5, commit=5, lease_s=1.5, heartbeat_s=0.5, reaped_max=1),
    jobs=("deadly", "ok", "ok", "deadly", "ok"),
    limits=(1,),
    chaos_s=8.0,
)  # fmt: skip
"""Jobs that kill their workers until they are given up."""


@mutant(
    "slot leaked at a crash",
    caught_by=SlotsHeld,
    seen_in="pgqueuer: rows of killed workers filled the concurrency limit and blocked the queue",
    plan=_DEADLY,
)
def slot_leaked_at_a_crash() -> Iterator[None]:
    """A job that is given up because its workers died keeps its slot for ever."""
    release = MODELS["release_slots"]

    async def unless_given_up(s: Statement, ids: Sequence[UUID], ran: Sequence[bool]) -> Rows:
        kept = [
            (id_, has_run)
            for id_, has_run in zip(ids, ran, strict=True)
            if (done := s.find(s.tables.job_completed, id_)) is None
            or done.started_at is not None
            or done.worker is None
        ]
        return await release(s, [id_ for id_, _ in kept], [has_run for _, has_run in kept])

    with statement("release_slots", unless_given_up):
        yield


@mutant("slot never released", caught_by=SlotsHeld, plan=_LIMITED)
def slot_never_released() -> Iterator[None]:
    """A commit promotes and forgets that its own jobs have left."""

    async def nothing(_s: Statement, _ids: Sequence[UUID], _ran: Sequence[bool]) -> Rows:
        return []

    with statement("release_slots", nothing):
        yield


@mutant(
    "slots counted before the lock",
    caught_by=SlotsHeld,
    seen_in="pgqueuer, Windmill: check and claim were not serialised between workers",
    plan=_BY_THE_CLOCK,
)
def slots_counted_before_the_lock() -> Iterator[None]:
    """Who waits for a key goes by what was taken when the wait began."""
    lock, now = MODELS["lock_limits"], limits.taken
    counted: dict[Transaction, dict[str, int]] = {}

    async def count_and_lock(s: Statement, ids: Sequence[UUID], *columns: Any) -> Rows:  # noqa: ANN401 - columns
        slots = [slot.key for slot in s.rows(s.tables.slot) if slot.id not in ids]
        counted[s._transaction] = {key: slots.count(key) for key in ("key-0", *slots)}
        return await lock(s, ids, *columns)

    def as_it_was(s: Statement, key: str) -> int:
        return counted.get(s._transaction, {}).get(key, now(s, key))

    with statement("lock_limits", count_and_lock), replaced(limits, "taken", as_it_was):
        yield


@mutant("promoted out of order", caught_by=NextInLine, plan=_LIMITED)
def promoted_out_of_order() -> Iterator[None]:
    """The last in line gets the slot."""
    place = limits._place

    def the_other_way(row: Any) -> tuple[float, float, int]:  # noqa: ANN401 - a row
        priority, due, id_ = place(row)
        return -priority, -due.timestamp(), -id_.int

    with replaced(limits, "_place", the_other_way):
        yield


@mutant("one more than the limit", caught_by=WithinLimit, plan=_LIMITED)
def one_more_than_the_limit() -> Iterator[None]:
    """A key has a slot more than its jobs say."""
    right = limits.taken

    def one_less(s: Statement, key: str) -> int:
        return right(s, key) - 1

    with replaced(limits, "taken", one_less):
        yield


@mutant("limits looked at seldom", caught_by=SlotFilled, plan=_LATER)
def limits_looked_at_seldom() -> Iterator[None]:
    """Nobody looks at a line when a job in it becomes due, but once in many sweeps."""
    look = Maintenance._promote_all

    async def seldom(self: Maintenance) -> None:
        if self._sweeps % SELDOM == 0:
            await look(self)

    with replaced(Maintenance, "_promote_all", seldom):
        yield


@mutant(
    "looks without a rest",
    caught_by=NoStorm,
    seen_in=OURS,
    plan=of_scenario("line-in-other-hands"),
)
def looks_without_a_rest() -> Iterator[None]:
    """Who looks at a line whose first job a client has in its hands looks again at once."""

    def at_once(_self: Maintenance, found: Promoted) -> float:
        return inf if found.look_s is None else found.look_s

    with replaced(Maintenance, "_pause_s", at_once):
        yield
