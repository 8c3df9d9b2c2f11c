"""Schedules under real workers: they race, they are killed, and no tick is run twice or lost."""

import signal

import trio

from tests.worker.harness import Rig, program, until
from trioworker.model.schedule import Schedule
from trioworker.model.ticks import Timing
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.store import CONTROL

LEASE_S = 2.0
SCHEDULES = 20

EXECUTED = """
select job.options ->> 'schedule', count(distinct job.options ->> 'tick'), count(*)
  from executed join trioworker.job on job.id = executed.id
 group by 1
"""
ASTRAY = """
select name from trioworker.schedule
 where not exists (select from trioworker.ready where ready.id = schedule.pending)
"""


async def declare(rig: Rig, **said: object) -> PostgresSchedules:
    """Schedules that tick every second."""
    admin = PostgresSchedules(rig.database, CONTROL)
    fields = {"path": "f", "timing": Timing(every_s=1.0)} | said
    schedules = [Schedule(name=f"s{n}", **fields) for n in range(SCHEDULES)]  # type: ignore[arg-type]  # any of its fields
    await admin.declare({schedule.name: schedule for schedule in schedules})
    return admin


def ticks(rig: Rig) -> int:
    """How many ticks were run by the schedule that ran fewest."""
    rows = rig.query(EXECUTED)
    return min(row[1] for row in rows) if len(rows) == SCHEDULES else 0


async def test_three_workers_run_each_tick_once(rig: Rig) -> None:
    """They share the ticks, and when one is told to stop the others go on."""
    admin = await declare(rig)
    async with program(rig, 0.01, 60.0) as one, program(rig, 0.01, 60.0), program(rig, 0.01, 60.0):
        await until(lambda: ticks(rig) >= 2)
        one.terminate()
        assert await one.wait() == 0
        seen = ticks(rig)
        await until(lambda: ticks(rig) >= seen + 2)
        for number in range(SCHEDULES):
            await admin.pause(f"s{number}")
        await until(lambda: rig.counts().get("claimed", 0) == 0)
    assert [row for row in rig.query(EXECUTED) if row[1] != row[2]] == []


async def test_schedules_survive_a_killed_worker(rig: Rig) -> None:
    """Its ticks are run again by another, and theirs is the end that makes the next ones jobs."""
    await declare(rig)
    async with program(rig, 3600, LEASE_S) as victim:
        await until(lambda: rig.counts()["claimed"] == SCHEDULES)
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
    assert rig.query("select count(*) from trioworker.job") == [(SCHEDULES,)]
    async with program(rig, 0.01, LEASE_S) as heir:
        await until(lambda: ticks(rig) >= 2)
        rig.do("update trioworker.schedule set look_at = null")
        heir.terminate()
        assert await heir.wait() == 0
    assert rig.query(ASTRAY) == []
    assert [row for row in rig.query(EXECUTED) if row[1] != row[2]] == []


async def test_jobs_that_overlap_do_not_hold_up_their_schedule(rig: Rig) -> None:
    """With overlap "allow" each tick runs at its time, however long the others take."""
    await declare(rig, overlap="allow")
    async with program(rig, 3600, 60.0):
        with trio.fail_after(30):
            await until(lambda: rig.counts()["claimed"] >= 3 * SCHEDULES)
    assert rig.counts().get("completed", 0) == 0
