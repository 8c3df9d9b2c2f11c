"""What keeps a queue in order: workers are forgotten, due times known, standbys not written to."""

import os
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
import trio

from tests.database_fixtures import PostgresServer, private_server
from tests.store.postgres.scene import Scene, executed, on_every_version, open_scene
from trioworker.errors import ConnectionLost, ServerUnavailable
from trioworker.ids import new_id
from trioworker.model.tags import Tags
from trioworker.store.postgres.migrate import migrate
from trioworker.store.protocol import Counters, WorkerInfo

DAY_S = 86_400


def age(scene: Scene, column: str, seconds: float, worker: UUID) -> None:
    """Let the worker be lost, or stopped, that long ago."""
    texts = {
        "lost_at": "update trioworker.worker set lost_at = now() - %s * interval '1 second'"
        " where id = %s",
        "stopped_at": "update trioworker.worker set stopped_at = now() - %s * interval '1 second'"
        " where id = %s",
    }
    scene.do(texts[column], seconds, worker)


@on_every_version
async def test_workers_are_forgotten_a_day_after_their_end(scene: Scene) -> None:
    """Those that live, ended lately, or still hold a claim stay; all others go."""
    alive, lately, holder, lost, stopped = [await scene.worker() for _ in range(5)]
    await scene.enqueue()
    await scene.pull(holder)
    age(scene, "stopped_at", DAY_S - 600, lately)
    for worker in (holder, lost):
        age(scene, "lost_at", DAY_S + 600, worker)
    age(scene, "stopped_at", DAY_S + 600, stopped)
    await scene.store.tidy()
    left = {id_ for (id_,) in scene.query("select id from trioworker.worker")}
    assert left == {alive, lately, holder}


async def test_forgetting_is_bounded_and_waits_for_nobody(scene: Scene) -> None:
    """A sweep deletes a hundred rows at most, and passes over those that are locked.

    Also with a plan made when there were none, which once looked for a hundred again and again.
    """
    scene.do("vacuum analyze trioworker.worker")
    await scene.store.tidy()
    scene.do(
        "insert into trioworker.worker (id, name, host, pid, mode, tags, ranks, lease_s,"
        " stopped_at)"
        " select lpad(to_hex(n), 32, '0')::uuid, 'w', 'h', 1, 'worker', '{}', '{}', 1,"
        " now() - interval '2 days' from generate_series(1, 150) as n"
    )
    with scene.under_way("heartbeat", UUID(int=1), 0, 0, 0), trio.fail_after(30):
        left = []
        for _ in range(2):
            await scene.store.tidy()
            left.append(scene.query("select count(*) from trioworker.worker")[0][0])
    assert left == [50, 1]


async def test_a_worker_is_known_as_it_introduced_itself(scene: Scene) -> None:
    """Its row says who it is; retiring it notes the end, and that it runs nothing any more."""
    info = WorkerInfo(
        id=new_id(), name="näme", host="here", pid=42, mode="agent-batch",
        tags=Tags(("a", "b"), (0, -3)), lease_s=2.5,
    )  # fmt: skip
    await scene.store.register(info)
    await scene.store.heartbeat(info.id, Counters(3, 1, 2))
    await scene.store.retire(info.id)
    (row,) = scene.query(
        "select name, host, pid, mode, tags, ranks, lease_s, lost_at, stopped_at is not null,"
        " jobs_done, jobs_failed, jobs_running from trioworker.worker"
    )
    assert row == ("näme", "here", 42, "agent-batch", ["a", "b"], [0, -3], 2.5, None, True, 3, 1, 0)


@on_every_version
async def test_the_next_due_time_is_the_earliest_of_all_lanes(scene: Scene) -> None:
    """Whichever tag and priority it has, and whatever is due already."""
    await scene.enqueue(3, due_s=-60)
    await scene.enqueue(due_s=3600, priority=9)
    await scene.enqueue(due_s=1800, priority=-9)
    await scene.enqueue(due_s=900, tag="b")
    await scene.enqueue(due_s=60, tag="other")
    assert await scene.store.next_due_s(["default"]) == pytest.approx(1800, abs=120)
    assert await scene.store.next_due_s(["default", "b", "none"]) == pytest.approx(900, abs=120)
    assert await scene.store.next_due_s(["none"]) is None
    assert await scene.store.next_due_s([]) is None


async def test_what_is_due_already_is_no_next_time(scene: Scene) -> None:
    """With due jobs alone there is nothing to wait for: a pull finds them."""
    await scene.enqueue(3, due_s=-60)
    assert await scene.store.next_due_s(["default"]) is None


async def restart_as_standby(server: PostgresServer) -> None:
    """Stop the server and start it as one that only follows, although nobody leads."""
    await server.stop()
    signal = server.folder.cluster / "standby.signal"
    signal.touch()
    owner = server.folder.cluster.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    await server.start()


async def past_cut_lines(call: Callable[[], Awaitable[object]]) -> None:
    """Call until it meets the server, past the idle lines that the restart has cut."""
    for _ in range(10):
        try:
            await call()
        except ConnectionLost:
            continue


async def test_a_standby_takes_no_work_until_it_is_promoted() -> None:
    """After a failover to the wrong server nothing is stored; after the promotion all goes on."""
    async with private_server() as server, open_scene(server.url) as scene:
        await migrate(scene.database, scene.schema)
        await scene.enqueue(2)
        worker = await scene.worker()
        (job,) = await scene.pull(worker, 1)
        await scene.store.ping()
        await restart_as_standby(server)
        with pytest.raises(ServerUnavailable, match="the server is a standby"):
            await past_cut_lines(scene.store.ping)
        for write in (
            lambda: scene.store.commit(worker, [executed(job)], again=True),
            lambda: scene.pull(worker, 1),
            lambda: scene.store.heartbeat(worker, Counters(0, 0, 0)),
        ):
            with pytest.raises(ServerUnavailable, match="read-only transaction") as caught:
                await past_cut_lines(write)
            assert (caught.value.sqlstate, caught.value.ambiguous) == ("25006", False)
        assert scene.query("select pg_promote()") == [(True,)]
        await scene.store.ping()
        assert (await scene.store.commit(worker, [executed(job)], again=True)).lost == set()
        assert len(await scene.pull(worker)) == 1
        assert scene.places() == {"claimed": 1, "completed": 1}
