"""Mutants of unique keys: keys that are stuck, and keys that two jobs hold."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sim.database.models import MODELS, Rows, Statement, unique
from sim.database.rows import UniqueKeyRow
from sim.database.transaction import Transaction
from sim.oracles.unique import FreeKeys, OneHolder
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement

_CROWD: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, pull=5, commit=5, jobs=120),
    keys=("unfinished",),
    enqueue_s=2.0,
    chaos_s=4.0,
)
"""Two clients who want the same key all the time."""
_DEADLY: Final = Plan(
    seed=0,
    sizes=Sizes(workers=2, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5, reaped_max=1),
    jobs=("deadly", *(f"ok@{second}" for second in range(1, 30))),
    keys=("unfinished",),
    chaos_s=4.0,
)
"""A job that holds the key and kills its workers until it is given up."""


@mutant("unique key stuck", caught_by=FreeKeys, plan=_DEADLY)
def unique_key_stuck() -> Iterator[None]:
    """A job that is given up because its workers died holds its key for ever."""
    standing = unique._standing

    def stuck(s: Statement, id_: UUID | None) -> str:
        done = None if id_ is None else s.find(s.tables.job_completed, id_)
        given_up = done is not None and '"WorkerLost"' in (done.error or "")
        return "begun" if given_up else standing(s, id_)

    with replaced(unique, "_standing", stuck):
        yield


@mutant(
    "two holders of one key",
    caught_by=OneHolder,
    plan=_CROWD,
)
def two_holders_of_one_key() -> Iterator[None]:
    """Who enqueues looks whether a key is free, and does not lock it before."""

    async def makes_it_and_locks_nothing(
        s: Statement, sorts: Sequence[str], keys: Sequence[str]
    ) -> Rows:
        for sort, key in sorted(set(zip(sorts, keys, strict=True))):
            row = UniqueKeyRow(sort=sort, key=key, look_at=s.now)
            await s.insert(s.tables.unique_key, row, do_nothing=True)
        return []

    with statement("lock_keys", makes_it_and_locks_nothing):
        yield


@mutant("key judged in the snapshot before the lock", caught_by=OneHolder, plan=_CROWD)
def key_judged_in_the_snapshot_before_the_lock() -> Iterator[None]:
    """Who waits for a key goes by who held it when the wait began."""
    lock, holders = MODELS["lock_keys"], MODELS["key_holders"]
    before: dict[Transaction, Statement] = {}

    async def look_and_lock(s: Statement, *columns: Any) -> Rows:  # noqa: ANN401 - columns
        before[s._transaction] = s
        return await lock(s, *columns)

    async def as_it_was(s: Statement, *columns: Any) -> Rows:  # noqa: ANN401 - columns
        rows = await holders(before.get(s._transaction, s), *columns)
        return rows or await holders(s, *columns)

    with statement("lock_keys", look_and_lock), statement("key_holders", as_it_was):
        yield
