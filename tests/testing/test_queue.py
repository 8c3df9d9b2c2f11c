"""The queue in memory: what is enqueued is checked, kept, found again, and run when asked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import anyio
import pytest
import trio

from tests.testing.shop import Shop, app
from trioworker import (
    App,
    InvalidArguments,
    JobContext,
    JobFailed,
    JobProgress,
    NewJob,
    Snooze,
    UnknownJob,
    UsageError,
    WaitTimeout,
    new_id,
)
from trioworker.testing import FrozenClock, MemoryQueue, run_job


@pytest.fixture
def queue() -> Iterator[MemoryQueue]:
    """A queue of the shop's, which its jobs use, too."""
    made = MemoryQueue(app)
    Shop.client = made
    yield made
    del Shop.client


# ---- what is enqueued -------------------------------------------------------------------------


async def test_what_is_enqueued_is_found_by_what_it_is(queue: MemoryQueue) -> None:
    """By path, arguments in either form, tag, priority and delay; each narrows it down."""
    first = await queue.enqueue("order", {"item": "lamp"})
    second = await queue.enqueue("order", ["lamp"], tag="vip", priority=5, delay_s=60)
    third = await queue.enqueue("order", {"item": "chair"})

    def ids(**wanted: object) -> list[object]:
        return [job.id for job in queue.enqueued("order", **wanted)]  # type: ignore[arg-type]  # some of them

    assert ids() == [first, second, third]
    assert ids(args={"item": "lamp"}) == ids(args=["lamp"]) == [first, second]
    assert ids(args={"item": "lamp"}, tag="vip") == ids(priority=5) == ids(delay_s=60) == [second]
    assert ids(delay_s=0, count=2) == [first, third]
    assert [job.id for job in queue.new_jobs] == [first, second, third]
    assert queue.enqueued("send", count=0) == []


async def test_what_was_not_enqueued_is_told_with_what_was(queue: MemoryQueue) -> None:
    """A failed test says what there is instead."""
    with pytest.raises(AssertionError) as empty:
        queue.enqueued("order")
    assert str(empty.value) == "no job like order enqueued; the queue is empty"
    await queue.enqueue("order", {"item": "lamp"}, delay_s=1.5)
    with pytest.raises(AssertionError) as other:
        queue.enqueued("order", {"item": "chair"}, tag="vip")
    assert str(other.value) == (
        'no job like order {"item":"chair"} tag=vip enqueued; enqueued were:\n'
        '  order {"item":"lamp"} tag=default priority=0 delay_s=1.5'
    )
    with pytest.raises(AssertionError, match="1 jobs like order enqueued, not 2; enqueued were:"):
        queue.enqueued("order", count=2)


async def test_a_long_queue_is_cut_in_the_message(queue: MemoryQueue) -> None:
    """Nobody reads a thousand lines."""
    for _ in range(25):
        await queue.enqueue("order", ["lamp"])
    with pytest.raises(AssertionError, match=r"and 5 more$") as caught:
        queue.enqueued("send")
    assert len(str(caught.value).splitlines()) == 22


async def test_jobs_are_checked_as_a_client_checks_them(queue: MemoryQueue) -> None:
    """Names, arguments and settings that would be refused are refused."""
    with pytest.raises(UsageError, match="unknown job 'odrer'"):
        await queue.enqueue("odrer")
    with pytest.raises(InvalidArguments, match="there is no argument 'thing'"):
        await queue.enqueue("order", {"thing": "lamp"})
    with pytest.raises(UsageError, match="has no time zone"):
        await queue.enqueue("order", ["lamp"], scheduled_for=datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(UsageError, match="a timeout of 0 s will not do"):
        await queue.enqueue("order", ["lamp"], timeout_s=0)
    assert queue.new_jobs == []


async def test_ids_that_are_known_are_left_as_they_are(queue: MemoryQueue) -> None:
    """As on a database, an enqueue may be repeated."""
    job = NewJob(id=new_id(), kind="function", path="order", args=b'["lamp"]')
    assert await queue.enqueue_many([job, job]) == [job.id]
    assert await queue.enqueue_many([job]) == []
    assert queue.enqueued("order", count=1) == [job]


async def test_the_app_settles_what_the_enqueue_leaves_open(queue: MemoryQueue) -> None:
    """A function's own settings are in the job's options."""
    await queue.enqueue("hangs")
    (job,) = queue.enqueued("hangs")
    assert job.options.timeout_s == 0.01


# ---- running ----------------------------------------------------------------------------------


async def test_drain_runs_what_is_due_and_what_that_enqueues(queue: MemoryQueue) -> None:
    """Jobs in threads and on Trio; what is due later waits for the clock."""
    await queue.enqueue("in_a_thread", {"item": "lamp"})
    ran = await queue.drain()
    assert [(job.path, job.state, job.result) for job in ran] == [
        ("in_a_thread", "success", "attempt 1"),
        ("order", "success", "1 lamp"),
        ("send", "success", "1 at once"),
    ]
    (later,) = queue.enqueued("ask_how_it_was", {"item": "lamp"}, tag="later", delay_s=3600)
    assert (await queue.job(later.id)).state == "scheduled"
    assert await queue.drain() == []
    queue.clock.advance(3600)
    assert [job.result for job in await queue.drain()] == ["how was lamp?"]
    assert [log.text for log in await queue.logs(ran[0].id)] == ["ordered lamp\n"]


async def test_due_jobs_run_in_the_order_of_a_worker(queue: MemoryQueue) -> None:
    """Higher priority first, then who has been due for longer."""
    late = await queue.enqueue("in_a_process", [1], delay_s=10)
    early = await queue.enqueue("in_a_process", [2], delay_s=5)
    urgent = await queue.enqueue("in_a_process", [3], priority=1, delay_s=20)
    queue.clock.advance(60)
    ran = await queue.drain()
    assert [job.id for job in ran] == [urgent, early, late]
    assert ran[0].result == [9, None]


async def test_jobs_of_a_chunk_function_run_in_chunks(queue: MemoryQueue) -> None:
    """As many at once as are due, up to its size, without waiting for more."""
    for number in range(4):
        await queue.enqueue("send", [f"{number}@example.org"])
    with trio.fail_after(30):
        ran = await queue.drain()
    assert sorted(str(job.result) for job in ran) == ["1 at once"] + ["3 at once"] * 3
    assert [log.text for log in await queue.logs(queue.new_jobs[0].id)] == ["to 0@example.org\n"]


async def test_a_failure_is_raised_or_kept(queue: MemoryQueue) -> None:
    """By default a test hears of it at once."""
    await queue.enqueue("ends", ["error"])
    with pytest.raises(JobFailed, match="ended as failure: ValueError: no good") as caught:
        await queue.drain()
    assert "shop.py" in str(caught.value.traceback)
    await queue.enqueue("ends", ["error"])
    (failed,) = await queue.drain(raise_failures=False)
    assert (failed.state, failed.error and failed.error.name) == ("failure", "ValueError")


async def test_retries_follow_the_policy_by_the_clock(queue: MemoryQueue) -> None:
    """Each attempt is due when a worker would make it; the last error is the job's."""
    job = await queue.enqueue("fails", [2])
    for seconds in (10, 20):
        assert [one.state for one in await queue.drain()] == ["scheduled"]
        queue.clock.advance(seconds - 1)
        assert await queue.drain() == []
        queue.clock.advance(1)
    await queue.drain()
    assert await queue.result(job) == "at last"
    assert [one.error.message for one in await queue.attempts(job)] == ["no 1", "no 2"]
    hopeless = await queue.enqueue("fails", [9])
    for _ in range(3):
        await queue.drain(raise_failures=False)
        queue.clock.advance(100)
    assert (await queue.job(hopeless)).state == "failure"


async def test_timeouts_and_deadlines_cut_as_in_a_worker(queue: MemoryQueue) -> None:
    """The timeout is real time, the deadline by the clock."""
    await queue.enqueue("hangs")
    late = await queue.enqueue("in_a_process", [1], delay_s=10, deadline_s=5)
    with pytest.raises(JobFailed, match=r"Timeout: the job ran longer than its timeout of 0.01 s"):
        await queue.drain()
    queue.clock.advance(10)
    with pytest.raises(JobFailed, match="DeadlineExceeded: the deadline of the job had passed"):
        await queue.drain()
    assert (await queue.job(late)).state == "failure"


async def test_jobs_that_never_stop_coming_are_told(queue: MemoryQueue) -> None:
    """A drain has an end."""
    await queue.enqueue("ends", ["for ever"])
    with pytest.raises(UsageError, match="after 10 attempts there is still a 'ends' due"):
        await queue.drain(runs_max=10)


async def test_a_wait_drains_the_queue(queue: MemoryQueue) -> None:
    """Code that waits for a result gets it, when the clock allows."""
    job = await queue.enqueue("order", ["lamp"], awaited=True)
    assert await queue.result(job) == "1 lamp"
    later = await queue.enqueue("order", ["lamp"], delay_s=60)
    with pytest.raises(WaitTimeout, match=f"job {later} is scheduled, due at 2026-01-01 12:01:00"):
        await queue.wait(later, timeout_s=1)
    with pytest.raises(UnknownJob):
        await queue.wait(new_id())
    with pytest.raises(JobFailed):
        await queue.result(await queue.enqueue("ends", ["error"]))


async def test_what_has_not_started_can_be_cancelled(queue: MemoryQueue) -> None:
    """With its children; it does not run, and nothing ends twice."""
    parent = await queue.enqueue("order", ["lamp"], delay_s=60)
    child = await queue.enqueue("order", ["lamp"], parent=parent)
    other = await queue.enqueue("order", ["lamp"])
    cancellation = await queue.cancel([parent], "no more")
    assert (cancellation.ended, cancellation.asked) == ([parent, child], [])
    assert (await queue.cancel([parent])).ended == []
    assert [job.id for job in await queue.drain() if job.path == "order"] == [other]
    assert (await queue.job(child)).state == "canceled"


async def test_a_client_may_look_at_its_jobs(queue: MemoryQueue) -> None:
    """Newest first, by state and by path; and how many are where."""
    first = await queue.enqueue("order", ["lamp"])
    second = await queue.enqueue("ends", ["snooze"], delay_s=60)
    assert [job.id for job in await queue.jobs()] == [second, first]
    assert [job.id for job in await queue.jobs(state="ready")] == [first]
    assert [job.id for job in await queue.jobs(path="ends", limit=1)] == [second]
    (counts,) = await queue.counts()
    assert (counts.tag, counts.ready, counts.scheduled) == ("default", 1, 1)
    assert await queue.workers() == []


async def test_other_kinds_are_kept_and_the_simple_ones_run(queue: MemoryQueue) -> None:
    """A script needs a worker; identity returns its arguments."""
    script = await queue.enqueue("a.py", kind="script")
    same = await queue.enqueue("x", {"a": 1}, kind="identity")
    assert [(job.id, job.result) for job in await queue.drain()] == [(same, {"a": 1})]
    assert (await queue.job(script)).state == "ready"


async def test_without_an_app_jobs_are_kept_unchecked_and_cannot_run() -> None:
    """One line says what is missing."""
    queue = MemoryQueue()
    await queue.enqueue("anything", {"a": 1})
    queue.enqueued("anything", {"a": 1})
    with pytest.raises(UsageError, match="a queue without an app has no functions to run"):
        await queue.drain()


async def test_a_program_that_opens_its_own_client_can_be_given_the_queue(
    queue: MemoryQueue,
) -> None:
    """`open_client` of a queue stands in for ours."""
    async with queue.open_client("postgresql://…", app=app, pool_size=3) as client:
        await client.enqueue("order", ["lamp"])
    queue.enqueued("order")


def test_it_all_works_on_asyncio(queue: MemoryQueue) -> None:
    """For tests that run on asyncio, jobs run on a Trio of their own."""

    async def main() -> None:
        await queue.enqueue("order", {"item": "lamp"})
        assert [job.path for job in await queue.drain()] == ["order", "send"]
        assert await run_job(app, "in_a_process", [4]) == [16, None]

    anyio.run(main, backend="asyncio")


# ---- one job ----------------------------------------------------------------------------------


async def test_a_job_is_run_inline() -> None:
    """Its result is what a client would get: JSON."""
    assert await run_job(app, "in_a_process", {"number": 3}) == [9, None]
    assert await run_job(app, "send", ["a@b"]) == "1 at once"
    assert await run_job(app, "fails", [0]) == "at last"


@pytest.mark.parametrize(
    ("path", "args", "status", "line"),
    [
        ("ends", ["error"], "failure", "ValueError: no good"),
        ("ends", ["cancel"], "canceled", "Cancelled: enough"),
        ("ends", ["snooze"], "snoozed", "Snooze: it asked to be run again in 60 s"),
        ("ends", ["retry"], "retried", "Retry: busy; another attempt follows in 30 s"),
        ("fails", [1], "retried", "ValueError: no 1; another attempt follows in 10 s"),
        ("hangs", [], "failure", "Timeout: the job ran longer than its timeout of 0.01 s"),
    ],
)
async def test_a_job_that_has_no_result_says_why(
    path: str, args: list[object], status: str, line: str
) -> None:
    """`JobFailed` tells how this attempt ended."""
    with pytest.raises(JobFailed) as caught:
        await run_job(app, path, args)
    assert caught.value.status == status
    assert str(caught.value).endswith(line)


async def test_bad_arguments_are_refused_before_the_job_runs() -> None:
    """As at an enqueue."""
    with pytest.raises(InvalidArguments, match="the argument 'number' is missing"):
        await run_job(app, "in_a_process")
    with pytest.raises(UsageError, match="unknown job 'nothing'; this app has no jobs"):
        await run_job(App(), "nothing")


# ---- the clock --------------------------------------------------------------------------------


async def test_a_frozen_clock_moves_when_it_is_told_to() -> None:
    """Forwards only; the queue's times are its."""
    clock = FrozenClock(datetime(2026, 3, 1, tzinfo=UTC))
    queue = MemoryQueue(app, clock=clock)
    clock.advance(90)
    assert clock.now == await queue.now() == datetime(2026, 3, 1, 0, 1, 30, tzinfo=UTC)
    job = await queue.job(await queue.enqueue("order", ["lamp"], delay_s=30))
    assert (job.created_at, job.scheduled_for) == (clock.now, clock.now + timedelta(seconds=30))
    with pytest.raises(UsageError, match="a clock does not go back"):
        clock.advance(-1)
    with pytest.raises(UsageError, match="has no time zone"):
        clock.move_to(datetime(2027, 1, 1))  # noqa: DTZ001 - the point


async def test_what_a_job_tells_of_its_progress_is_told() -> None:
    """What is put off keeps it, a later attempt begins anew."""
    climbing = App()
    fractions = iter((0.2, 0.4, 0.3))

    @climbing.job(retry=2)
    def climb(context: JobContext) -> None:
        fraction = next(fractions)
        context.progress(0.9)
        context.progress(fraction, f"attempt {context.attempt}")
        if fraction < 0.3:
            raise Snooze(10)
        if fraction > 0.3:
            raise ValueError("slipped")

    queue = MemoryQueue(climbing)
    job = await queue.enqueue("climb")
    found = []
    for _ in range(3):
        await queue.run_attempt(job)
        found.append((await queue.job(job)).progress)
    now = queue.clock.now
    assert found == [JobProgress(0.2, "attempt 1", now), None, JobProgress(0.3, "attempt 2", now)]
