"""A schema of another name: everything works in it, and two in one database do not meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.store.postgres.scene import Scene, executed, ids_of, open_scene
from trioworker.model.outcome import Interrupted, Succeeded
from trioworker.store.postgres.migrate import check_schema, migrate
from trioworker.store.protocol import Counters, Hint


@asynccontextmanager
async def scene_in(url: str, schema: str) -> AsyncIterator[Scene]:
    """A queue in a schema of that name, migrated."""
    async with open_scene(url, schema=schema) as scene:
        await migrate(scene.database, schema)
        await check_schema(scene.database, schema)
        yield scene


@pytest.mark.parametrize("schema", ["jobs", "user", "claim", "trioworker2"])
async def test_everything_works_in_a_schema_of_any_name(bare_url: str, schema: str) -> None:
    """Migrations, functions and the life of a job, also where the name is a word of SQL's."""
    async with scene_in(bare_url, schema) as scene:
        first, second, third = await scene.enqueue(3)
        ((by_sql,),) = scene.query("select trioworker.enqueue('f', '{}')")
        worker = await scene.worker(lease_s=0.01)
        assert (await scene.store.heartbeat(worker, Counters(0, 0, 0))).alive
        jobs = await scene.pull(worker)
        assert ids_of(jobs) == [first, second, third, by_sql]
        await scene.jobs.cancel([second], "enough")
        assert dict((await scene.store.heartbeat(worker, Counters(0, 0, 4))).cancels) == {
            second: "enough"
        }
        batch = [executed(jobs[0], log="said"), executed(jobs[1]), executed(jobs[2], Interrupted())]
        assert (await scene.store.commit(worker, batch, again=True)).lost == set()
        await scene.silence(worker)
        assert (await scene.store.reap(claims_max=9, reaped_max=9)).ready == [by_sql]
        await scene.store.tidy()
        states = [found.state for found in await scene.jobs.states(ids_of(jobs))]
        assert states == ["success", "success", "ready", "ready"]
        assert await scene.jobs.logs(first)
        found = scene.query("select distinct schemaname from pg_tables where tablename = 'claim'")
        assert found == [(schema,)]


async def test_two_schemas_in_one_database_do_not_meet(bare_url: str) -> None:
    """Workers of each see their own jobs only, whatever the other does."""
    async with scene_in(bare_url, "one") as one, scene_in(bare_url, "two") as two:
        in_one, in_two = await one.enqueue(2), await two.enqueue(3)
        here, there = await one.worker(), await two.worker()
        jobs = await one.pull(here)
        assert ids_of(jobs) == in_one
        assert await one.pull(there) == []
        assert ids_of(await two.pull(there)) == in_two
        assert (
            await two.store.commit(there, [executed(job) for job in jobs], again=True)
        ).lost == set(in_one)
        await one.store.commit(here, [executed(job, Succeeded(b"1")) for job in jobs], again=False)
        assert (one.places(), two.places()) == ({"completed": 2}, {"claimed": 3})
        assert [state.state for state in await two.jobs.states(in_one + in_two)] == ["running"] * 3


async def test_hints_cross_schemas_and_harm_nobody(bare_url: str) -> None:
    """The channels are the database's: a hint from the other schema costs a look, no more."""
    async with scene_in(bare_url, "one") as one, scene_in(bare_url, "two") as two:
        send, receive = trio.open_memory_channel[Hint](10)

        worker, other = await one.worker(tags=("a",)), await two.worker(tags=("a",))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.store.listen, send.send_nowait)
            with trio.fail_after(30):
                assert await receive.receive() == Hint()
                (job,) = await two.enqueue(tag="a")
                assert await receive.receive() == Hint(tag="a")
                assert ids_of(await two.pull(other, tags=("a",))) == [job]
                await two.jobs.cancel([job], "enough")
                assert await receive.receive() == Hint(cancel_for=str(other))
            nursery.cancel_scope.cancel()
        assert await one.pull(worker, tags=("a",)) == []
        assert (await one.store.heartbeat(worker, Counters(0, 0, 0))).cancels == {}
