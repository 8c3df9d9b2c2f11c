"""A worker in a process of its own, for tests that kill, pause or signal it.

    python -m tests.worker.program URL JOB_SECONDS LEASE_SECONDS

Each execution leaves a row in the table `executed`; one of the path `DEADLY` kills the process
instead. One of the path `LIMITED` is seen to run by everybody for as long as it does, and leaves in
the table `seen` how many of its key it saw run, itself included. Prints a line per incarnation;
exits with 3 when outcomes could not be stored.
"""

import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import trio

from trioworker.events import Event, LeaseTaken, WorkerStarted, discard
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.model.tags import unranked
from trioworker.runners.joblog import JobLog
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

DEADLY = "deadly"
LIMITED = "limited"
RUNNING = """
select count(*) from pg_stat_activity
 where application_name = current_setting('application_name') and datname = current_database()
"""


class Recorder:
    """Runs jobs by sleeping; writes each execution down, past the code under test."""

    run_now = None

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._seconds = seconds

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing but what the job says."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing lives between the jobs."""
        yield

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Sleep, and say so in the database."""
        del log
        if job.path == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.path == LIMITED:
            await self._watched(job)
        else:
            await trio.sleep(self._seconds)
        self._record(job.id)
        return Succeeded(str(os.getpid()).encode())

    async def _watched(self, job: Job) -> None:
        """Sleep on a connection whose name says so; the server drops it when this process dies."""
        assert job.options.limit
        key = job.options.limit.key
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("select set_config('application_name', %s, false)", (f"runs {key}",))
            try:
                (running,) = connection.execute(RUNNING).fetchone() or (0,)
                connection.execute("insert into seen values (%s, %s)", (key, running))
                await trio.sleep(self._seconds)
            finally:
                connection.execute("set application_name = 'over'")

    def _record(self, job: UUID) -> None:
        self._connection.execute("insert into executed values (%s, %s)", (job, os.getpid()))


def tell(event: Event) -> None:
    """Say what the test waits for."""
    if isinstance(event, WorkerStarted):
        sys.stdout.write(f"started {event.worker}\n")
    elif isinstance(event, LeaseTaken):
        sys.stdout.write(f"lost {event.worker} {event.dropped}\n")
    sys.stdout.flush()


async def main(url: str, job_s: float, lease_s: float) -> int:
    """Work until SIGTERM."""
    stop = Stop()
    config = WorkerConfig(
        name="program",
        host="here",
        pid=os.getpid(),
        mode=Mode.AGENT_BATCH,
        tags=unranked("default"),
        sizes=sizes_for(Mode.AGENT_BATCH, pull=100, commit=100),
        concurrency=100,
        heartbeat_s=lease_s / 6,
        lease_s=lease_s,
        sweep_s=lease_s / 4,
    )
    async with (
        open_database(url, WORKER_LANES, emit=discard) as database,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_stop_on_signal, stop)
        report = await work(
            store=PostgresStore(database, now_s=trio.current_time),
            runners={"function": Recorder(url, job_s)},
            config=config,
            ports=Ports(new_id, random.Random()),
            stop=stop,
            emit=tell,
        )
        nursery.cancel_scope.cancel()
    return 3 if report.unsaved else 0


async def _stop_on_signal(stop: Stop) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            stop.ask()


if __name__ == "__main__":
    sys.exit(trio.run(main, sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
