"""Schedules whose rows somebody has written with SQL: a sweep makes of them what it can."""

from random import Random
from typing import Final
from uuid import UUID

import trio
from msgspec.structs import replace

from sim.database.client import SimDatabase
from sim.database.faults import NoFaults
from sim.database.rows import ScheduleRow
from sim.database.server import EPOCH, SimServer
from sim.database.session import Session
from sim.database.statement import Statement
from sim.database.wire import Wire
from sim.determinism import simulate
from trioworker.events import discard
from trioworker.store.postgres.schedules import tick_id
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore

NAME: Final = "by hand"
ROW: Final = ScheduleRow(
    name=NAME, definition='{"name": "by hand", "path": "ok", "timing": {"every_s": 60.0}}',
    decided_until=EPOCH, look_at=EPOCH, created_at=EPOCH,
)  # fmt: skip


def swept(row: ScheduleRow) -> ScheduleRow:
    """What a worker's sweep makes of a row that somebody has inserted."""
    found: list[ScheduleRow] = []

    async def insert(s: Statement) -> None:
        await s.insert(s.tables.schedule, row)

    async def look(s: Statement) -> None:
        found.extend(s.rows(s.tables.schedule))

    async def main() -> None:
        server = SimServer(Random(NAME))
        somebody = Session(server, actor="somebody", durable=True)
        await somebody.carry_out(insert)
        async with trio.open_nursery() as tasks:
            wire = Wire(server, tasks, NoFaults())
            database = SimDatabase(
                wire, WORKER_LANES, actor="worker", emit=discard, command_timeout_s=9.0
            )
            await PostgresStore(database, now_s=trio.current_time).sweep_schedules()
            database.close()
            wire.close()
        await somebody.carry_out(look)
        somebody.end()

    simulate(main, seed=1, horizon_s=100.0, wall_limit_s=60.0)
    return found[0]


def test_a_row_begins_with_the_next_sweep() -> None:
    """Its first tick becomes a job, and is what it waits for."""
    row = swept(ROW)
    assert row.last_tick is not None
    assert row.pending == tick_id(NAME, row.last_tick)


def test_one_that_is_paused_waits_for_nothing() -> None:
    """Nobody looks at it again before it is resumed."""
    row = swept(replace(ROW, paused=True))
    assert (row.last_tick, row.pending, row.look_at) == (None, None, None)


def test_one_whose_job_was_deleted_goes_on() -> None:
    """The job has gone as no job goes by itself, and the next tick becomes one."""
    row = swept(replace(ROW, last_tick=EPOCH, pending=UUID(int=1)))
    assert row.last_tick is not None
    assert row.last_tick > EPOCH


def test_one_that_says_nothing_sensible_is_left_with_its_problem() -> None:
    """It is looked at once, and says why it does not tick."""
    row = swept(replace(ROW, definition='{"name": "by hand"}'))
    assert row.look_at is None
    assert "cannot be used" in (row.problem or "")
