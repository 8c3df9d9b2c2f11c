"""The primary dies and its standby takes over: the workers find it, and no job is lost."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import trio

from tests.database_fixtures import PostgresServer, private_server
from tests.worker.harness import open_rig, until
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.worker.supervisor import Stop

JOBS = 300
PORT = 5432


def do(server: PostgresServer, *statements: str) -> list[tuple[object, ...]]:
    """Ask a server directly; returns what the last statement says."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        return connection.execute(statements[-1]).fetchall()


@asynccontextmanager
async def standby_of(primary: PostgresServer) -> AsyncIterator[PostgresServer]:
    """A standby that every commit waits for. The primary must be stopped, and runs afterwards."""
    standby = PostgresServer(primary.version)
    cluster = standby.folder.cluster
    shutil.copytree(primary.folder.cluster, cluster)
    with (cluster / "postgresql.auto.conf").open("a") as settings:
        host = primary.folder.cluster
        settings.write(f"primary_conninfo = 'host={host} port={PORT} user=postgres'\n")
    (cluster / "standby.signal").touch()
    _give(cluster, primary.folder.cluster.stat())
    primary.folder.path.chmod(0o711)  # its socket is in there
    try:
        await primary.start()
        await standby.start()
        do(primary, "alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
        in_step = "select 1 from pg_stat_replication where sync_state = 'sync'"
        await until(lambda: do(primary, in_step))
        yield standby
    finally:
        with trio.CancelScope(shield=True):
            await standby.stop(signal.SIGQUIT)
        standby.remove()


def _give(folder: Path, owner: os.stat_result) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


async def test_work_goes_on_at_the_standby() -> None:
    """By an address that names both: each job ends once, where the workers are now."""

    async def body(_job: Job) -> Outcome:
        await trio.sleep(0.01)
        return Succeeded(b"1")

    async with private_server() as primary:
        async with open_rig(primary.url):
            pass  # which makes the schema
        await primary.stop()
        async with standby_of(primary) as standby:
            hosts = f"{primary.folder.cluster},{standby.folder.cluster}"
            url = f"{primary.url.partition('?')[0]}?host={hosts}&target_session_attrs=read-write"
            async with open_rig(url) as rig, trio.open_nursery() as nursery:
                rig.runner.body = body
                stop = Stop()
                jobs = await rig.enqueue(JOBS)
                nursery.start_soon(lambda: rig.work(stop=stop, concurrency=5, pull=20))
                await until(lambda: rig.counts()["completed"] >= JOBS // 10)
                await primary.stop(signal.SIGQUIT)
                do(standby, "select pg_promote()")
                await until(lambda: _completed(standby) == JOBS, within_s=90)
                stop.ask()
        assert {*rig.runner.executions} == {*jobs}


def _completed(server: PostgresServer) -> int:
    """How many succeeded; no job is anywhere else once all have."""
    [(count,)] = do(
        server, "select count(*) from trioworker.job_completed where status = 'success'"
    )
    assert isinstance(count, int)
    return count
