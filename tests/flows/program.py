"""A worker that runs the functions of the corpus, in a process of its own, to be killed.

python -m tests.flows.program URL LEASE_SECONDS
"""

import os
import random
import sys
from pathlib import Path

import trio

from tests.flows.functions import app
from trioworker.events import discard
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.tags import unranked
from trioworker.runners.registry import build_runners, open_runners
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work


async def main(url: str, lease_s: float) -> None:
    """Work until killed."""
    rng = random.Random()
    runners = build_runners(app, scripts_dir=Path(), rng=rng)
    config = WorkerConfig(
        name="program",
        host="here",
        pid=os.getpid(),
        mode=Mode.AGENT_BATCH,
        tags=unranked("default"),
        sizes=sizes_for(Mode.AGENT_BATCH, pull=20, commit=20),
        concurrency=20,
        heartbeat_s=lease_s / 6,
        lease_s=lease_s,
        sweep_s=lease_s / 4,
        poll_s=0.1,
        reaped_max=1_000,
    )
    async with open_database(url, WORKER_LANES, emit=discard) as database, open_runners(runners):
        await work(
            store=PostgresStore(database, now_s=trio.current_time),
            runners=runners,
            config=config,
            ports=Ports(new_id, rng),
            stop=Stop(),
            emit=discard,
        )


if __name__ == "__main__":
    trio.run(main, sys.argv[1], float(sys.argv[2]))
