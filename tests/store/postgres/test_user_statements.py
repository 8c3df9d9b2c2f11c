"""What jobs hand over is run in the transaction that stores their success, or not at all."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.errors import Contention, Refused, StatementOfJobTimeout, UnknownStoreError
from trioworker.events import discard
from trioworker.ids import new_id
from trioworker.model.job import Job
from trioworker.model.outcome import Executed, Succeeded
from trioworker.model.user_statement import user_statement
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.store import COMMIT, PostgresStore

PAY = "insert into payment (who, amount) values ($1, $2)"
TAKE = "update account set balance = balance - $1 where name = $2"


@pytest.fixture
async def shop(scene: Scene) -> Scene:
    """A scene with the tables of a user beside ours."""
    scene.do("create table payment (who text, amount integer check (amount > 0), n serial)")
    scene.do("create table account (name text primary key, balance integer)")
    scene.do("insert into account values ('a', 100), ('b', 100)")
    return scene


def handing(job: Job, *statements: tuple[object, ...]) -> Executed:
    """A success that hands these over, each a text and its values."""
    handed = tuple(user_statement(str(sql), values) for sql, *values in statements)
    return executed(job, Succeeded(b"1", handed))


async def held(scene: Scene, count: int = 1) -> tuple[UUID, Sequence[Job]]:
    """A worker with so many jobs."""
    await scene.enqueue(count)
    worker = await scene.worker()
    return worker, await scene.pull(worker)


@on_every_version
async def test_a_batch_runs_what_each_has_handed_over(shop: Scene) -> None:
    """All of it, and what is alike is one exchange for all; a job's own order is kept."""
    worker, jobs = await held(shop, 50)
    batch = [handing(job, (TAKE, 1, "a"), (PAY, f"{n}", n + 1)) for n, job in enumerate(jobs)]
    assert (await shop.store.commit(worker, batch, again=False)).lost == set()
    assert shop.query("select balance from account where name = 'a'") == [(50,)]
    assert shop.query("select count(*), sum(amount) from payment") == [(50, 1275)]
    assert shop.places() == {"completed": 50}
    names = [run.name for run in shop.statements()]
    assert names[names.index("commit") :] == ["commit", "user_statement", "user_statement"]


async def test_the_order_of_a_job_is_kept(shop: Scene) -> None:
    """Also where another job's statements come in another order."""
    worker, jobs = await held(shop, 2)
    raise_, double = (
        "update account set balance = balance + 1",
        ("update account set balance = balance * 2"),
    )
    await shop.store.commit(worker, [handing(jobs[0], (raise_,), (double,))], again=False)
    assert shop.query("select balance from account where name = 'a'") == [(202,)]
    await shop.store.commit(worker, [handing(jobs[1], (double,), (raise_,))], again=False)
    assert shop.query("select balance from account where name = 'a'") == [(405,)]


async def test_only_a_success_that_is_stored_has_an_effect(shop: Scene) -> None:
    """Whoever has lost the lease stores no outcome and no effect, among others that do."""
    worker, jobs = await held(shop, 3)
    shop.do("update trioworker.claim set attempts = array[1, 2, 1]")
    batch = [handing(job, (PAY, str(n), 1)) for n, job in enumerate(jobs)]
    assert (await shop.store.commit(worker, batch, again=False)).lost == {jobs[1].id}
    assert shop.query("select who from payment order by who") == [("0",), ("2",)]


async def test_a_commit_that_is_repeated_has_its_effects_once(shop: Scene) -> None:
    """After an ambiguous failure the completion is found, and nothing is run again."""
    worker, jobs = await held(shop, 4)
    batch = [handing(job, (PAY, "x", 1)) for job in jobs]
    await shop.store.commit(worker, batch[:2], again=False)
    assert (await shop.store.commit(worker, batch, again=True)).lost == set()
    assert (await shop.store.commit(worker, batch, again=True)).lost == set()
    assert shop.query("select count(*) from payment") == [(4,)]


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ((PAY, "x", -1), "violates check constraint"),
        ((PAY, "x"), "the server expects 2 arguments for this query, 1 was passed"),
        ((PAY, "x", "much"), "invalid input for query argument $2"),
        (("insert into payments values (1)",), 'relation "payments" does not exist'),
        (("insert into payment bla",), "syntax error"),
        (("select 1; commit",), "cannot insert multiple commands"),
        (("do $$ begin commit; end $$",), "invalid transaction termination"),
        (("do $$ begin raise exception 'no more'; end $$",), "no more"),
        (("select 1 / 0",), "division by zero"),
    ],
)
async def test_what_the_database_does_not_take_is_refused(
    shop: Scene, statement: tuple[object, ...], why: str
) -> None:
    """The error says which statement of the job and why; nothing of the batch is stored."""
    worker, jobs = await held(shop, 2)
    for batch in (
        [handing(jobs[0], (TAKE, 1, "a"), statement)],
        [handing(jobs[0], (TAKE, 1, "a"), statement), handing(jobs[1], (TAKE, 1, "b"))],
    ):
        with pytest.raises(Refused) as refused:
            await shop.store.commit(worker, batch, again=False)
        assert f"statement 2 that was handed over, {statement[0]}" in str(refused.value)
        assert why in str(refused.value)
        assert not refused.value.ambiguous
    assert shop.places() == {"claimed": 2}
    assert shop.query("select balance from account") == [(100,), (100,)]
    await shop.store.commit(worker, [handing(job, (PAY, "x", 1)) for job in jobs], again=False)
    assert shop.places() == {"completed": 2}


async def test_a_right_that_is_missing_is_the_jobs_own_fault(shop: Scene) -> None:
    """No other try would have it; what we lack ourselves is waited for."""
    worker, jobs = await held(shop)
    become = "select set_config('role', 'pg_read_all_data', true)"
    with pytest.raises(Refused, match="permission denied for table payment"):
        await shop.store.commit(worker, [handing(jobs[0], (become,), (PAY, "x", 1))], again=False)


async def test_an_error_inside_the_server_is_no_refusal(shop: Scene) -> None:
    """Another try may do better; the error says where it was, as every other does."""
    worker, jobs = await held(shop)
    broken = "do $$ begin raise exception 'cache lookup failed' using errcode = 'XX000'; end $$"
    with pytest.raises(UnknownStoreError) as unknown:
        await shop.store.commit(worker, [handing(jobs[0], (PAY, "x", 1), (broken,))], again=False)
    assert str(unknown.value).startswith("statement 2 that was handed over, do $$ begin raise")
    assert (unknown.value.sqlstate, unknown.value.ambiguous) == ("XX000", False)
    assert shop.query("select count(*) from payment") == [(0,)]


async def test_values_have_the_types_of_the_columns(shop: Scene) -> None:
    """What Python has a type for is stored as that; a mapping as JSON, a list as an array."""
    shop.do(
        "create table every (i bigint, f float8, n numeric, t text, b bytea, u uuid,"
        " at timestamptz, j jsonb, a integer[], nothing text)"
    )
    worker, jobs = await held(shop)
    values = (
        5, 1.5, Decimal("2.50"), "ž", b"\x00", new_id(), datetime(2026, 1, 1, tzinfo=UTC),
        {"a": [1]}, [1, 2], None,
    )  # fmt: skip
    text = "insert into every values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    await shop.store.commit(worker, [handing(jobs[0], (text, *values))], again=False)
    assert shop.query("select * from every") == [values]


async def test_a_deferred_constraint_refuses_the_outcome(shop: Scene) -> None:
    """It speaks at the commit, and is the fault of the job all the same."""
    shop.do("alter table payment add foreign key (who) references account deferrable"
            " initially deferred")  # fmt: skip
    worker, jobs = await held(shop)
    with pytest.raises(Refused, match="foreign key"):
        await shop.store.commit(worker, [handing(jobs[0], (PAY, "nobody", 1))], again=False)
    assert shop.places() == {"claimed": 1}


async def test_users_who_wait_crosswise_are_told_to_try_again(shop: Scene) -> None:
    """A deadlock with somebody else is contention, no refusal."""
    worker, jobs = await held(shop)
    batch = [handing(jobs[0], (TAKE, 1, "a"), (TAKE, 1, "b"))]

    async def commit() -> None:
        with pytest.raises(Contention):
            await shop.store.commit(worker, batch, again=False)

    with psycopg.connect(shop.url) as other:
        other.execute("set deadlock_timeout = '60s'")  # so that it is not they who go down
        other.execute("update account set balance = 1 where name = 'b'")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit)
            await shop.until_blocked()
            cross = "update account set balance = 1 where name = 'a'"
            await trio.to_thread.run_sync(other.execute, cross)
    await shop.store.commit(worker, batch, again=False)
    assert shop.query("select balance from account") == [(0,), (0,)]


async def test_a_statement_that_takes_too_long_is_the_jobs(shop: Scene) -> None:
    """By our patience and by the server's; the line of the first is not used again."""
    worker, jobs = await held(shop)
    sleep = [handing(jobs[0], ("select pg_sleep(60)",))]
    async with open_database(
        shop.url, (Lane(COMMIT),), emit=discard, command_timeout_s=0.3
    ) as database:
        with pytest.raises(StatementOfJobTimeout, match=r"statement 1 .*pg_sleep"):
            await PostgresStore(database, now_s=trio.current_time).commit(
                worker, sleep, again=False
            )
    short = [handing(jobs[0], ("select set_config('statement_timeout', '10', true)",),
                     ("select pg_sleep(60)",))]  # fmt: skip
    with pytest.raises(StatementOfJobTimeout, match=r"statement 2 .*statement timeout"):
        await shop.store.commit(worker, short, again=False)
    assert shop.places() == {"claimed": 1}


async def test_a_table_that_was_altered_meanwhile_costs_another_try(shop: Scene) -> None:
    """A plan that has grown old is no refusal."""
    worker, jobs = await held(shop, 2)
    text = "select * from account"
    await shop.store.commit(worker, [handing(jobs[0], (text,))], again=False)
    shop.do("alter table account add column more text")
    with pytest.raises(Contention):
        await shop.store.commit(worker, [handing(jobs[1], (text,))], again=False)
    assert (await shop.store.commit(worker, [handing(jobs[1], (text,))], again=False)).lost == set()
