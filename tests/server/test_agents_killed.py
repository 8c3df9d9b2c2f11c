"""A server and agents as real processes, killed in the middle of their work: each job ends once."""

import signal
from collections.abc import Callable, Sequence

import trio

from tests.server.agents import Server
from tests.server.programs import a_server, an_agent, free_port, running
from tests.worker.harness import Rig, until
from trioworker.events import discard
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES

JOBS = 20_000
TAGS = ("red", "green", "blue")
GROUPS = {"north": ("red", "green"), "south": ("green", "blue"), "east": ("blue", "red")}
AT_ONCE = 1_000


async def test_nothing_is_lost_and_nothing_is_done_twice(database_url: str) -> None:
    """Three agents of different tags, one of them and the server killed, and both back again."""
    port = free_port()
    async with open_database(database_url, WORKER_LANES, emit=discard) as database:
        rig, server = Rig(database_url, database, []), a_server(database_url, port)
        issuer = Server("", database, [])
        agents = {
            group: an_agent(port, await issuer.token(*tags, group=group))
            for group, tags in GROUPS.items()
        }
        async with running(server) as nursery:
            await server.until_said("server listening")
            for agent in agents.values():
                await nursery.start(agent.run)
            await until(lambda: _known(rig) == len(agents), within_s=60)
            await _enqueue(rig, JOBS // 2)
            await until(_ended(rig, JOBS // 8), within_s=60)
            agents["north"].signal(signal.SIGKILL)
            await _enqueue(rig, JOBS // 4)
            server.signal(signal.SIGKILL)
            await _enqueue(rig, JOBS // 4)
            await trio.sleep(0.5)
            await nursery.start(server.run)
            await until(lambda: server.said.count("server listening") > 1, within_s=60)
            await nursery.start(agents["north"].run)
            await until(_ended(rig, JOBS), within_s=60)
            # The others may have left nothing for it by the time it has started.
            await until(lambda: agents["north"].said.count("worker started") > 1, within_s=60)
            for agent in agents.values():
                agent.signal(signal.SIGTERM)
            await until(lambda: _stopped(rig) >= len(agents), within_s=60)
    assert rig.counts() == {"ready": 0, "waiting": 0, "claimed": 0, "completed": JOBS}
    assert rig.statuses() == {"success": JOBS}
    assert _by_strangers(rig) == []
    assert _groups_at_work(rig) == len(GROUPS)


async def _enqueue(rig: Rig, jobs: int) -> None:
    """Some of one tag, some of the next."""
    for start in range(0, jobs, AT_ONCE):
        await rig.enqueue(AT_ONCE, tag=TAGS[start // AT_ONCE % len(TAGS)], kind="noop")


def _ended(rig: Rig, jobs: int) -> Callable[[], bool]:
    return lambda: rig.counts()["completed"] >= jobs


def _known(rig: Rig) -> int:
    return len(rig.query("select from trioworker.worker"))


def _stopped(rig: Rig) -> int:
    return len(rig.query("select from trioworker.worker where stopped_at is not null"))


def _by_strangers(rig: Rig) -> Sequence[object]:
    """Jobs that were run by a worker without their tag, or by none that is known."""
    return rig.query(
        "select done.id from trioworker.job_completed as done"
        " join trioworker.job using (id)"
        " left join trioworker.worker on worker.id = done.worker"
        " where worker.id is null or job.tag <> all (worker.tags)"
    )


def _groups_at_work(rig: Rig) -> int:
    """How many tokens had a worker that ended jobs."""
    return len(
        rig.query(
            "select distinct worker.token from trioworker.job_completed as done"
            " join trioworker.worker on worker.id = done.worker"
        )
    )
