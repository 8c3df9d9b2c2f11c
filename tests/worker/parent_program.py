"""A worker of functions that have children and steps, in a process that a test kills.

    python -m tests.worker.parent_program URL

What runs leaves a row in the table `ran`. `slow` waits until the table `gate` has a row.
"""

import random
import sys

import psycopg
import trio

from trioworker import App, JobContext
from trioworker.events import discard
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.tags import unranked
from trioworker.runners.function import FunctionRunner
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

LEASE_S = 1.0
app = App()


def note(what: str) -> int:
    """Leave a row, past the code under test."""
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        connection.execute("insert into ran values (%s)", (what,))
        ((count,),) = connection.execute(
            "select count(*) from ran where what = %s", (what,)
        ).fetchall()
    return int(count)


@app.job
async def quick(number: int) -> int:
    """Ends at once."""
    note(f"quick {number}")
    return number


@app.job
async def slow() -> str:
    """Ends when it may."""
    note("slow")
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        while not connection.execute("select from gate").fetchall():  # noqa: ASYNC110 - in the database
            await trio.sleep(0.02)
    return "at last"


@app.job
async def parent(ctx: JobContext) -> list[object]:
    """A step, children, another step, and a child for which it waits long."""
    note("parent")
    first = await ctx.step("first", note, "first")
    children = await ctx.enqueue_each(quick, [[number] for number in range(20)])
    numbers = await ctx.gather(children)
    second = await ctx.step("second", note, "second")
    return [first, sum(numbers), second, await ctx.call(slow)]


async def main(url: str) -> None:
    """Work until killed."""
    config = WorkerConfig(
        name="parents",
        host="here",
        pid=1,
        mode=Mode.AGENT_BATCH,
        tags=unranked("default"),
        sizes=sizes_for(Mode.AGENT_BATCH, pull=100, commit=100),
        concurrency=4,
        heartbeat_s=LEASE_S / 6,
        lease_s=LEASE_S,
        sweep_s=LEASE_S / 4,
    )
    runner = FunctionRunner(app, random.Random(1), concurrency=4)
    async with open_database(url, WORKER_LANES, emit=discard) as database, runner.open():
        await work(
            store=PostgresStore(database, now_s=trio.current_time),
            runners={"function": runner},
            config=config,
            ports=Ports(new_id, random.Random()),
            stop=Stop(),
            emit=discard,
        )


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
