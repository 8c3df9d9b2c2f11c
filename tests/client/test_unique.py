"""Unique and debounced jobs, enqueued by clients and in the transactions of others."""

from contextlib import suppress
from uuid import UUID

import anyio
import pytest

from tests.client.drivers import Caller, ServerSaidNo, with_both_drivers
from tests.client.harness import ask, new_job, on_both, until
from trioworker import (
    App,
    Debounce,
    DuplicateJob,
    JobOptions,
    NewJob,
    Unique,
    UsageError,
    new_id,
    open_client,
)

UNIQUE = """'{"unique": {"key": "k"}}'"""


def ids(url: str) -> set[UUID]:
    """Of all jobs there are."""
    return {row[0] for row in ask(url, "select id from trioworker.job")}


def reasons(url: str) -> dict[UUID, str]:
    """Why jobs ended."""
    rows = ask(url, "select id, error ->> 'message' from trioworker.job_completed")
    return {row[0]: row[1] for row in rows}


def unique_job(unique: Unique) -> NewJob:
    """A ready-made job."""
    return NewJob(id=new_id(), kind="noop", path="p", args=b"{}", options=JobOptions(unique=unique))


@on_both
async def test_an_enqueue_returns_the_id_of_the_job_there_is(database_url: str) -> None:
    """The key is made of the arguments that it names, or of path and all arguments."""
    app = App()

    @app.job(unique=Unique("order {order}"))
    async def ship(order: int, note: str = "") -> None:
        pass

    @app.job(unique=Unique())
    async def pack(order: int) -> None:
        pass

    async with open_client(database_url, app=app) as client:
        first = await client.enqueue("ship", {"order": 1})
        assert await client.enqueue("ship", {"order": 1, "note": "quick"}) == first
        other = await client.enqueue("ship", {"order": 2})
        packed = [await client.enqueue("pack", {"order": n}) for n in (1, 1, 2)]
    assert packed[0] == packed[1]
    assert ids(database_url) == {first, other, *packed}
    assert len({first, other, *packed}) == 4


@on_both
async def test_many_tell_whom_others_kept_out(database_url: str) -> None:
    """And by whom; ids that exist already are neither new nor kept out."""
    jobs = [unique_job(Unique("k")), new_job(), unique_job(Unique("k"))]
    async with open_client(database_url) as client:
        new = await client.enqueue_many(jobs)
        assert new == [jobs[0].id, jobs[1].id]
        assert new.first == {jobs[2].id: jobs[0].id}
        again = await client.enqueue_many(jobs)
        assert (again, again.first) == ([], {jobs[2].id: jobs[0].id})


@on_both
async def test_a_duplicate_is_an_error_for_who_wants_that(database_url: str) -> None:
    """It is a `UsageError` in one line, and names the job there is."""
    async with open_client(database_url) as client:
        first = await client.enqueue("f", unique=Unique("k"))
        with pytest.raises(DuplicateJob) as raised:
            await client.enqueue("g", unique=Unique("k", on_conflict="raise"))
    assert raised.value.first == first
    assert isinstance(raised.value, UsageError)
    assert str(raised.value) == f"the unique key 'k' is held by job {first}; nothing was enqueued"
    assert ids(database_url) == {first}


@on_both
async def test_who_waits_for_a_replaced_job_is_told(database_url: str) -> None:
    """It has ended, and says which job came in its place."""
    async with open_client(database_url) as client, anyio.create_task_group() as tasks:
        first = await client.enqueue("f", awaited=True, unique=Unique("k"))

        async def wait() -> None:
            state = await client.wait(first)
            assert (state.state, state.ended) == ("canceled", True)
            assert state.error is not None
            assert state.error.message == f"replaced by job {second}"

        second = new_id()
        tasks.start_soon(wait)
        await client.enqueue("f", id=second, unique=Unique("k", on_conflict="replace"))


@on_both
async def test_many_clients_enqueue_one_job(database_url: str) -> None:
    """Each has a connection of its own, and none of them knows of the others."""
    found: list[UUID] = []

    async def one() -> None:
        async with open_client(database_url, pool_size=1) as client:
            found.append(await client.enqueue("f", unique=Unique("k")))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(one)
    assert len(found) == 8
    assert set(found) == ids(database_url)
    assert len(set(found)) == 1


@with_both_drivers
async def test_sql_and_clients_have_the_same_keys(caller: Caller, database_url: str) -> None:
    """Whoever comes first keeps the other out."""
    async with open_client(database_url) as client:
        first = await client.enqueue("f", unique=Unique("k"))
        rows = await caller.ask(f"select trioworker.enqueue('g', options => {UNIQUE})")
        assert rows == [(first,)]
        await client.cancel([first])
        ((second,),) = await caller.ask(f"select trioworker.enqueue('g', options => {UNIQUE})")
        assert await client.enqueue("f", unique=Unique("k")) == second
    assert ids(database_url) == {first, second}


@with_both_drivers
async def test_a_key_goes_back_with_its_transaction(caller: Caller, database_url: str) -> None:
    """Until it is over others wait; what is rolled back never held a key."""

    class ChangedMind(Exception):
        pass

    found: list[UUID] = []
    async with open_client(database_url) as client, anyio.create_task_group() as tasks:

        async def late() -> None:
            found.append(await client.enqueue("f", unique=Unique("k")))

        with suppress(ChangedMind):
            async with caller.transaction():
                await caller.ask(f"select trioworker.enqueue('g', options => {UNIQUE})")
                tasks.start_soon(late)
                await somebody_is_blocked(database_url)
                assert found == []
                raise ChangedMind
    assert ids(database_url) == set(found)
    assert len(found) == 1


@with_both_drivers
async def test_who_waits_for_a_transaction_sees_what_it_did(
    caller: Caller, database_url: str
) -> None:
    """Both ways: the client behind SQL, and SQL behind SQL."""
    found: list[UUID] = []
    call = f"select trioworker.enqueue('g', options => {UNIQUE})"
    async with open_client(database_url) as client, anyio.create_task_group() as tasks:

        async def client_late() -> None:
            found.append(await client.enqueue("f", unique=Unique("k")))

        async def sql_late() -> None:
            rows = await anyio.to_thread.run_sync(ask, database_url, call)
            found.append(rows[0][0])

        async with caller.transaction():
            ((first,),) = await caller.ask(call)
            tasks.start_soon(client_late)
            tasks.start_soon(sql_late)
            await somebody_is_blocked(database_url, 2)
    assert found == [first, first]


@with_both_drivers
async def test_sql_replaces_and_refuses(caller: Caller, database_url: str) -> None:
    """As a client does, with an error of the server for an error of ours."""
    enqueue = "select trioworker.enqueue('f', awaited => true, options => $1)"
    option = '{"unique": {"key": "k", "during": "queued", "on_conflict": "%s"}}'
    ((first,),) = await caller.ask(enqueue, option % "keep")
    with pytest.raises(ServerSaidNo, match=f"the unique key 'k' is held by job {first}"):
        await caller.ask(enqueue, option % "raise")
    ((second,),) = await caller.ask(enqueue, option % "replace")
    assert await caller.ask(enqueue, option % "keep") == [(second,)]
    assert ids(database_url) == {first, second}
    assert reasons(database_url) == {first: f"replaced by job {second}"}
    again = "select trioworker.enqueue('f', options => $1, id => $2)"
    assert await caller.ask(again, option % "replace", first) == [(first,)]
    assert reasons(database_url).keys() == {first}


@with_both_drivers
async def test_sql_has_periods_and_debounces(caller: Caller, database_url: str) -> None:
    """With the times that a client would have given them."""
    enqueue = "select trioworker.enqueue('f', options => $1)"
    period = '{"unique": {"key": "p", "during": "period", "period_s": 100}}'
    debounce = '{"debounce": {"key": "d", "delay_s": 60, "max_wait_s": 100}}'
    for option in (period, debounce, debounce):
        await caller.ask(enqueue, option)
    async with open_client(database_url) as client:
        await client.enqueue("f", unique=Unique("q", "period", 100))
        await client.enqueue("f", debounce=Debounce(60, "e", 100))
    rows = ask(
        database_url,
        "select during, round(extract(epoch from until - now()) / 10) * 10,"
        " round(extract(epoch from first_at - now()) / 10) * 10,"
        " round(extract(epoch from scheduled_for - now()) / 10) * 10,"
        " round(extract(epoch from look_at - now()) / 10) * 10"
        " from trioworker.unique_key join trioworker.ready on ready.id = job order by key",
    )
    assert rows == [
        (None, None, 0, 60, 60), (None, None, 0, 60, 60),
        ("period", 100, None, 0, 100), ("period", 100, None, 0, 100),
    ]  # fmt: skip
    assert len(reasons(database_url)) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('{"unique": {}}', "needs a key of 1 to 500 bytes"),
        ('{"unique": {"key": ""}}', "needs a key of 1 to 500 bytes"),
        ('{"unique": {"key": "%s"}}' % ("x" * 501), "needs a key of 1 to 500 bytes"),
        ('{"unique": {"key": "k", "during": "ever"}}', "is held during queued, unfinished, or"),
        ('{"unique": {"key": "k", "during": "period"}}', "is held during queued, unfinished, or"),
        ('{"unique": {"key": "k", "period_s": 9}}', "is held during queued, unfinished, or"),
        ('{"unique": {"key": "k", "on_conflict": "no"}}', "is to keep, replace, or raise"),
        ('{"debounce": {"key": "k"}}', "needs a delay"),
        ('{"debounce": {"key": "k", "delay_s": 0}}', "needs a delay"),
        ('{"unique": {"key": "k"}, "debounce": {"key": "k", "delay_s": 1}}', "not both"),
    ],
)
@with_both_drivers
async def test_sql_says_what_will_not_do(
    caller: Caller, database_url: str, options: str, reason: str
) -> None:
    """In one line, and nothing is stored."""
    with pytest.raises(ServerSaidNo, match=reason):
        await caller.ask("select trioworker.enqueue('f', options => $1)", options)
    assert ids(database_url) == set()


@with_both_drivers
async def test_a_replaced_job_leaves_its_slot_in_sql_too(caller: Caller, database_url: str) -> None:
    """The job that waits for it is marked for a worker to let in."""
    option = '{"unique": {"key": "k", "on_conflict": "replace"}}'
    async with open_client(database_url) as client:
        first = await client.enqueue("f", unique=Unique("k"), limit=1)
        behind = await client.enqueue("f", limit=1)
    await caller.ask("select trioworker.enqueue('g', options => $1)", option)
    assert reasons(database_url).keys() == {first}
    assert ask(database_url, "select id, fresh from trioworker.waiting") == [(behind, True)]
    assert ask(database_url, "select id from trioworker.slot") == []


@with_both_drivers
async def test_a_replaced_job_ends_as_a_cancelled_one(caller: Caller, database_url: str) -> None:
    """With its labels, and deleted in its time, whoever replaces it; what is no label is none."""
    enqueue = "select trioworker.enqueue('f', options => $1)"
    async with open_client(database_url) as client:
        labels = ["night", "night", "mail"]
        replace = '{"unique": {"key": "%s", "on_conflict": "replace"}}'
        cancelled, by_client, by_sql = [
            await client.enqueue("f", unique=Unique(key), labels=labels, delete_after_s=1_000)
            for key in "abc"
        ]
        await client.cancel([cancelled])
        await client.enqueue("f", unique=Unique("b", on_conflict="replace"))
        await caller.ask(enqueue, replace % "c")
    by_hand = '{"unique": {"key": "d"}, "labels": ["", null, 7, {}], "delete_after_s": "soon"}'
    ((odd,),) = await caller.ask(enqueue, by_hand)
    await caller.ask(enqueue, '{"unique": {"key": "e"}, "labels": "x", "delete_after_s": 1e99}')
    await caller.ask(enqueue, replace % "d")
    await caller.ask(enqueue, replace % "e")
    assert len(reasons(database_url)) == 5
    kept = ask(database_url, "select id, label from trioworker.job_label order by 1, 2")
    assert [row for row in kept if row[0] != odd] == [
        (job, label) for job in (cancelled, by_client, by_sql) for label in ("mail", "night")
    ]
    assert ask(
        database_url,
        "select id, at - completed_at = interval '1000 s' from trioworker.expiry"
        " join trioworker.job_completed using (id) order by 1",
    ) == [(cancelled, True), (by_client, True), (by_sql, True)]


async def somebody_is_blocked(url: str, count: int = 1) -> None:
    """Return when so many connections wait for a lock."""

    async def found() -> bool:
        return ask(
            url,
            "select count(*) from pg_stat_activity"
            " where wait_event_type = 'Lock' and datname = current_database()",
        ) == [(count,)]

    await until(found)
