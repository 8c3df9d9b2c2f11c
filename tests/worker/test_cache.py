"""Jobs whose result an equal job has left are not run."""

from collections.abc import Mapping, Sequence

import pytest
import trio

from tests.worker.harness import Rig
from trioworker.errors import ConnectionLost
from trioworker.events import LookupFailed
from trioworker.model.batching import Mode
from trioworker.model.cache import CachedResult
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.store.postgres.store import PostgresStore
from trioworker.worker.supervisor import Stop

FOR_A_MINUTE = '{"cache_ttl_s": 60}'


async def echo(job: Job) -> Outcome:
    """What it was given."""
    return Succeeded(job.args.encode())


async def enqueue(rig: Rig, *args: str, options: str = FOR_A_MINUTE) -> None:
    """A job for each of the arguments."""
    rig.runner.body = echo
    for one in args:
        await rig.enqueue(1, args=one, options=options)


def ran(rig: Rig) -> int:
    """How many jobs have been run."""
    return rig.runner.executions.total()


@pytest.mark.parametrize("mode", list(Mode))
async def test_equal_jobs_are_run_once_in_their_time(rig: Rig, mode: Mode) -> None:
    """The others succeed with that result, and their log says where it is from."""
    await enqueue(rig, '{"a": 1, "b": 2}', "[3]")
    await rig.work(mode=mode)
    await enqueue(rig, '{"b": 2, "a": 1}', '{"b": 2, "a": 1}', "[3]", "[4]")
    await rig.work(mode=mode)
    assert ran(rig) == 3
    assert rig.statuses() == {"success": 6}
    assert rig.query(
        "select count(*) from trioworker.job_completed join trioworker.job using (id)"
        " where result = args"
    ) == [(6,)]
    assert rig.query(
        "select count(*) from trioworker.job_log where text like 'from the cache: the result of %%'"
    ) == [(3,)]


async def test_one_look_is_for_a_whole_batch(rig: Rig) -> None:
    """And none is made when nobody asks for it."""
    await rig.enqueue(5)
    await rig.work()
    assert rig.statements("cached_results") == []
    await enqueue(rig, *map(str, ([number] for number in range(5))))
    await rig.work()
    assert len(rig.statements("cached_results")) == 1
    assert len(rig.statements("store_results")) <= len(rig.statements("commit"))


async def test_a_result_grows_old_however_often_it_is_taken(rig: Rig) -> None:
    """By the word of the job that asks, counted from when it was stored."""
    await enqueue(rig, "[1]")
    await rig.work()
    for age_s, runs in ((50, 1), (50, 2)):
        rig.do(
            "update trioworker.result_cache set stored_at = stored_at - %s * interval '1 second'",
            age_s,
        )
        await enqueue(rig, "[1]")
        await rig.work()
        assert ran(rig) == runs


async def test_a_hit_takes_no_slot(rig: Rig) -> None:
    """It ends although another job, of the same batch, takes all there are."""
    await enqueue(rig, "[1]")
    await rig.work()
    done = "select from trioworker.job_completed"

    async def quick_then_long(job: Job) -> Outcome:
        with trio.fail_after(30):
            while job.priority == 5 and len(rig.query(done)) < 3:  # noqa: ASYNC110 - it is there
                await trio.sleep(0.01)
        return Succeeded(b"2")

    # After a quick one the worker claims more than it has slots for.
    await rig.enqueue(1, priority=9)
    await rig.enqueue(1, priority=5)
    await enqueue(rig, "[1]")
    rig.runner.body = quick_then_long
    await rig.work(concurrency=1, start_within_s=1000.0)
    assert ran(rig) == 3
    assert rig.statuses() == {"success": 4}


async def test_a_look_that_fails_costs_a_run(rig: Rig) -> None:
    """Nothing else."""

    class Blind(PostgresStore):
        async def cached_results(self, keys: Sequence[str]) -> Mapping[str, CachedResult]:
            del keys
            raise ConnectionLost("cut")

    for _ in range(2):
        await enqueue(rig, "[1]")
        await rig.work(store=Blind(rig.database, now_s=trio.current_time))
    assert (ran(rig), rig.statuses()) == (2, {"success": 2})
    assert [event.message for event in rig.said(LookupFailed)] == ["cut", "cut"]


async def test_a_stop_does_not_wait_for_a_look(rig: Rig) -> None:
    """What was looked for goes back at once, long before the grace is over."""
    looks = trio.Event()

    class Slow(PostgresStore):
        async def cached_results(self, keys: Sequence[str]) -> Mapping[str, CachedResult]:
            del keys
            looks.set()
            await trio.sleep_forever()
            raise AssertionError

    await enqueue(rig, "[1]", "[2]")
    stop = Stop()
    store = Slow(rig.database, now_s=trio.current_time)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: rig.work(stop=stop, store=store, grace_s=60.0))
            await looks.wait()
            stop.ask()
    assert (ran(rig), rig.counts()["ready"]) == (0, 2)


async def test_what_nobody_may_take_any_more_is_deleted(rig: Rig) -> None:
    """By any worker's sweep, when the time of the job that left it is over."""
    await enqueue(rig, "[1]", "[2]")
    await rig.work()
    rig.do(
        "update trioworker.result_cache set expires_at = now() - interval '1 second'"
        " where result = '[1]'"
    )
    await rig.store().tidy()
    assert rig.query("select result from trioworker.result_cache") == [([2],)]
