"""Flows that wait for people wait in the database alone."""

import sys
from functools import partial
from typing import Final
from uuid import UUID

import msgspec
import psutil
import trio

from tests.flows.played import PUSH
from tests.worker.harness import Rig, open_rig, until
from trioworker.model.flow_decision import Decision
from trioworker.store.postgres.approvals import decide
from trioworker.store.postgres.store import CONTROL

FLOWS: Final = 1_000
WARM: Final = 100
LEASE_S: Final = 10.0
MEMORY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of growth: a thousand flows in hand, each with a state and a job, would be more."""
SUSPENDED: Final = {
    "steps": [
        {"id": "before", "type": "function", "path": "echo", "args": {"value": "x" * 4_000}},
        {"id": "ok", "type": "approval", "timeout_s": None},
        {
            "id": "after", "type": "function", "path": "echo",
            "args": {"value": {"expr": "results.ok.by[0]"}},
        },
    ]
}  # fmt: skip
CONNECTIONS: Final = """
select count(*) from pg_stat_activity
 where datname = current_database() and starts_with(application_name, 'trioworker ')
"""


async def bring_to_their_approvals(rig: Rig, count: int) -> list[UUID]:
    """Enqueue so many flows; when all wait for people, the approvals of these."""
    known = {row[0] for row in rig.query("select id from trioworker.waiting")}
    rig.query(
        "select trioworker.enqueue('ask', '{}', kind => 'flow') from generate_series(1, %s)", count
    )
    waiting = partial(rig.query, "select id from trioworker.waiting where reason = 'approval'")
    await until(lambda: len(waiting()) == len(known) + count, within_s=60)
    return [row[0] for row in waiting() if row[0] not in known]


async def approve(rig: Rig, approvals: list[UUID]) -> None:
    """One after the other, until there is none left."""
    while approvals:
        job = approvals.pop()
        yes = partial(decide, job=job, decision=Decision(by="ann", approve=True))
        await rig.database.transact(CONTROL, yes)


async def test_a_thousand_suspended_flows_hold_nothing_of_a_worker(empty_database_url: str) -> None:
    """No claim, no more memory, no more connections; and when all are approved, all go on."""
    async with open_rig(empty_database_url) as rig:
        with_definition = ("ask", msgspec.json.encode(SUSPENDED).decode())
        rig.do(PUSH, *with_definition)
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tests.flows.program", rig.url, str(LEASE_S)]
        )
        try:
            approvals = await bring_to_their_approvals(rig, WARM)
            memory = psutil.Process(process.pid).memory_info
            before, connections = memory().rss, rig.query(CONNECTIONS)
            approvals += await bring_to_their_approvals(rig, FLOWS - WARM)
            assert rig.query("select from trioworker.claim") == []
            assert rig.query(CONNECTIONS) == connections
            assert memory().rss - before < MEMORY_BYTES_MAX
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(approve, rig, approvals)
            await until(
                lambda: rig.query("select count(*) from trioworker.flow_state") == [(0,)],
                within_s=60,
            )
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        assert rig.query(
            "select status, result, count(*) from trioworker.job_completed join trioworker.job"
            " using (id) where kind = 'flow' group by 1, 2"
        ) == [("success", "ann", FLOWS)]
