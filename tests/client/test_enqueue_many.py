"""Enqueueing many jobs: in transactions of a bounded size, and repeatable."""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

import anyio
import pytest

from tests.client.harness import ask, new_job, on_both
from trioworker import App, Client, NewJob, RetryPolicy, UsageError, client, new_id, open_client


def transactions(url: str) -> list[int]:
    """How many jobs each transaction stored, in the order of the jobs."""
    rows = ask(
        url, "select count(*) from trioworker.job group by xmin::text order by min(id::text)"
    )
    return [row[0] for row in rows]


@on_both
async def test_many_jobs_are_stored_and_told_in_their_order(database_url: str) -> None:
    """The answer is the new ids as they were given, whatever way they sort."""
    jobs = [new_job(args={"name": str(number)}) for number in range(100)]
    Random(1).shuffle(jobs)
    async with open_client(database_url) as queue:
        assert await queue.enqueue_many(jobs) == [job.id for job in jobs]
        assert (await queue.job(jobs[7].id)).args == {"name": jobs[7].args.decode()[9:-2]}
    assert transactions(database_url) == [100]


@on_both
async def test_nothing_is_as_good_as_many(database_url: str) -> None:
    """No jobs, no transaction, no complaint."""
    async with open_client(database_url) as queue:
        assert await queue.enqueue_many([]) == []


@on_both
async def test_no_transaction_stores_more_than_its_share(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk ends when it has enough jobs."""
    monkeypatch.setattr(client, "CHUNK_JOBS_MAX", 3)
    async with open_client(database_url) as queue:
        await queue.enqueue_many(new_job() for _ in range(7))
    assert transactions(database_url) == [3, 3, 1]


@on_both
async def test_no_transaction_stores_much_more_than_its_bytes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk ends when its arguments are enough, and one large job is a chunk."""
    monkeypatch.setattr(client, "CHUNK_ARGS_BYTES_MAX", 100)
    async with open_client(database_url) as queue:
        await queue.enqueue_many(new_job(args=["x" * n]) for n in (40, 40, 40, 500, 1, 1))
    assert transactions(database_url) == [3, 1, 2]


@on_both
async def test_a_job_that_comes_twice_is_stored_and_told_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one chunk or in two, the first of an id wins."""
    monkeypatch.setattr(client, "CHUNK_JOBS_MAX", 3)
    first, second, third, fourth = (new_job(args=[number]) for number in range(4))
    again = new_job(args=["again"], id=first.id)
    async with open_client(database_url) as queue:
        told = await queue.enqueue_many([first, again, second, third, again, fourth])
        assert told == [first.id, second.id, third.id, fourth.id]
        assert (await queue.job(first.id)).args == [0]


@on_both
async def test_ids_that_exist_are_left_as_they_are(database_url: str) -> None:
    """A file may be enqueued again from its beginning after it was cut short."""
    jobs = [new_job(args=[number]) for number in range(10)]
    async with open_client(database_url) as queue:
        await queue.enqueue_many(jobs[2:5])
        assert await queue.enqueue_many(jobs) == [job.id for job in jobs[:2] + jobs[5:]]
        assert await queue.enqueue_many(jobs) == []
        assert len(await queue.jobs()) == 10


@on_both
async def test_the_jobs_are_read_as_they_are_stored(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can be read only piece by piece needs no memory for all of it."""
    monkeypatch.setattr(client, "CHUNK_JOBS_MAX", 4)
    ahead: list[int] = []

    def jobs() -> Iterator[NewJob]:
        for number in range(1, 13):
            ahead.append(number - stored(database_url))
            yield new_job()

    async with open_client(database_url) as queue:
        assert len(await queue.enqueue_many(jobs())) == 12
    assert max(ahead) == 4


@on_both
async def test_what_stood_before_the_refused_one_is_stored(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk of the refused one stores nothing, and the call may be repeated."""
    monkeypatch.setattr(client, "CHUNK_JOBS_MAX", 2)
    jobs = [new_job(args=[text]) for text in ("a", "b", "c", "\0", "d")]
    async with open_client(database_url) as queue:
        with pytest.raises(UsageError, match="the database refuses one of 2 jobs: unsupported"):
            await queue.enqueue_many(jobs)
        assert await ids(queue) == {job.id for job in jobs[:2]}
        mended = jobs[:3] + jobs[4:]
        assert await queue.enqueue_many(mended) == [job.id for job in mended[2:]]


@on_both
async def test_a_source_that_fails_leaves_whole_chunks(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the caller's own comes out as it is."""
    monkeypatch.setattr(client, "CHUNK_JOBS_MAX", 2)

    def jobs() -> Iterator[NewJob]:
        for _ in range(3):
            yield new_job()
        raise OSError("the file ends here")

    async with open_client(database_url) as queue:
        with pytest.raises(OSError, match="the file ends here"):
            await queue.enqueue_many(jobs())
    assert stored(database_url) == 2


@on_both
async def test_a_time_needs_its_zone_among_many_as_well(database_url: str) -> None:
    """A naive time would be read as the time of this computer, whichever that is."""
    naive = new_job(due=datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None))
    async with open_client(database_url) as queue:
        with pytest.raises(UsageError, match="the time 2030-01-01 00:00:00 has no time zone"):
            await queue.enqueue_many([new_job(), naive])
    assert stored(database_url) == 0


@on_both
async def test_arguments_that_are_no_text_are_refused(database_url: str) -> None:
    """Bytes that are no UTF-8 and text that is no JSON each get their line."""
    bad = NewJob(id=new_id(), kind="function", path="f", args=b'"\xff"')
    worse = NewJob(id=new_id(), kind="function", path="f", args=b"{")
    async with open_client(database_url) as queue:
        with pytest.raises(UsageError, match="refuses the job 'f': 'utf-8' codec can't decode"):
            await queue.enqueue_many([bad])
        with pytest.raises(UsageError, match="refuses the job 'f': invalid input syntax for type"):
            await queue.enqueue_many([worse])


@on_both
async def test_two_who_enqueue_the_same_jobs_at_once_share_them(database_url: str) -> None:
    """They wait for each other and never crosswise: each job is new to exactly one of them."""
    jobs = [new_job() for _ in range(2000)]
    told: list[list[object]] = []

    async def enqueue(order: list[NewJob]) -> None:
        async with open_client(database_url) as queue:
            told.append(list(await queue.enqueue_many(order)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enqueue, jobs)
        tasks.start_soon(enqueue, jobs[::-1])
    assert sorted(told[0] + told[1], key=str) == [job.id for job in jobs]


@on_both
async def test_a_job_is_made_as_it_would_be_enqueued(database_url: str) -> None:
    """The app's settings and checks hold for what is enqueued with many others, too."""
    app = App(tag="mail", retry=3)

    @app.job
    async def send(to: str) -> None: ...

    now = datetime(2030, 1, 1, tzinfo=UTC)
    async with open_client(database_url, app=app) as queue:
        made = await queue.make("send", b'{"to": "you"}', delay_s=60, now=now)
        with pytest.raises(UsageError, match="unknown job 'sent'"):
            await queue.make("sent", b"{}")
        assert await queue.enqueue_many([made]) == [made.id]
        state = await queue.job(made.id)
    assert (made.tag, made.options.retry) == ("mail", RetryPolicy(attempts=3))
    assert (state.tag, state.scheduled_for) == ("mail", datetime(2030, 1, 1, 0, 1, tzinfo=UTC))


async def ids(queue: Client) -> set[object]:
    """Which jobs there are."""
    return {job.id for job in await queue.jobs()}


def stored(url: str) -> int:
    """How many jobs there are."""
    count: int = ask(url, "select count(*) from trioworker.job")[0][0]
    return count
