"""The SQL function: whoever has a transaction enqueues in it, and needs nothing else of ours."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import psycopg
import pytest

from tests.client.drivers import Caller, ServerSaidNo, with_every_driver
from tests.client.harness import PATIENCE_S, Held, ask, do, happens, until, working
from trioworker import new_id, open_client

DAY_S: Final = 86_400.0
"""So seldom does a worker look by itself, in tests where only a notification may wake it."""


class ChangedMind(Exception):
    """Why a caller rolls its transaction back."""


async def in_a_transaction(caller: Caller, *calls: str, undo: bool = False) -> None:
    """Enqueue jobs; `undo` says that the caller changes its mind at last."""
    async with caller.transaction():
        for arguments in calls:
            await caller.ask(f"select trioworker.enqueue({arguments})")
        if undo:
            raise ChangedMind


def jobs(url: str) -> list[tuple[object, ...]]:
    """Path and arguments of the jobs that there are."""
    return ask(url, "select path, args from trioworker.job order by created_at, id")


def statuses(url: str) -> list[tuple[object, ...]]:
    """Path and status of the jobs that have ended, in the order of their ids."""
    return ask(
        url,
        "select path, status from trioworker.job_completed join trioworker.job using (id)"
        " order by id",
    )


async def all_ended(url: str, count: int) -> None:
    """Return when so many jobs have ended."""

    async def ended() -> bool:
        return len(statuses(url)) == count

    await until(ended)


@with_every_driver
async def test_what_is_committed_is_run(caller: Caller, database_url: str) -> None:
    """Not before, and then at once: the worker that rests is told."""
    held = Held()
    with working(database_url, held.app, poll_s=DAY_S):
        async with caller.transaction():
            await caller.ask("select trioworker.enqueue('hold')")
            assert jobs(database_url) == []
            assert not held.begun.is_set()
        await happens(held.begun)
        held.go.set()
        await all_ended(database_url, 1)
    assert statuses(database_url) == [("hold", "success")]


@with_every_driver
async def test_what_is_rolled_back_was_never_asked_for(caller: Caller, database_url: str) -> None:
    """No job, and no worker is told of one."""
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("listen trioworker_ready")
        with pytest.raises(ChangedMind):
            await in_a_transaction(caller, "'greet', tag => 'first'", undo=True)
        await caller.ask("select trioworker.enqueue('greet', tag => 'second')")
        heard = [note.payload for note in listener.notifies(timeout=PATIENCE_S, stop_after=1)]
    assert heard == ["second"]
    assert ask(database_url, "select tag from trioworker.job") == [("second",)]


@with_every_driver
async def test_a_job_goes_with_the_row_it_is_about(caller: Caller, database_url: str) -> None:
    """Part of a transaction may be undone: the job in the part goes with it."""
    async with caller.transaction():
        await caller.ask("""select trioworker.enqueue('greet', '{"name": "kept"}')""")
        with pytest.raises(ChangedMind):
            await in_a_transaction(caller, """'greet', '{"name": "undone"}'""", undo=True)
    assert jobs(database_url) == [("greet", {"name": "kept"})]


@with_every_driver
async def test_everything_about_a_job_can_be_said(caller: Caller, database_url: str) -> None:
    """By name, in any order, with values of the driver's own types."""
    asked, due = new_id(), datetime(2999, 12, 31, tzinfo=UTC)
    rows = await caller.ask(
        "select trioworker.enqueue($1, $2, awaited => true, options => $3, id => $4,"
        " scheduled_for => $5, priority => $6, tag => $7, kind => 'script')",
        "tools/resize.py",
        '{"file": "a.png"}',
        '{"timeout_s": 2.5, "dedicated": true}',
        asked,
        due,
        -7,
        "images",
    )
    assert rows == [(asked,)]
    assert ask(
        database_url,
        "select id, kind, path, args, tag, priority, options, awaited from trioworker.job",
    ) == [
        (asked, "script", "tools/resize.py", {"file": "a.png"}, "images", -7,
         {"timeout_s": 2.5, "dedicated": True}, True)
    ]  # fmt: skip
    assert ask(database_url, "select id, tag, priority, scheduled_for from trioworker.ready") == [
        (asked, "images", -7, due)
    ]


async def test_a_child_is_cancelled_with_its_parent(database_url: str) -> None:
    """Whoever enqueues it says whose it is, and a job that ran alone says nothing."""
    parent, child = new_id(), new_id()
    do(database_url, "select trioworker.enqueue('greet', id => %s)", parent)
    do(database_url, "select trioworker.enqueue('greet', parent => %s, id => %s)", parent, child)
    do(database_url, "select trioworker.enqueue('greet')")
    async with open_client(database_url) as client:
        assert sorted((await client.cancel([parent])).ended) == [parent, child]
    assert ask(database_url, "select count(*) from trioworker.ready") == [(1,)]


@with_every_driver
async def test_what_is_left_open_is_as_the_client_has_it(caller: Caller, database_url: str) -> None:
    """Both ways to enqueue leave the same job behind."""
    async with open_client(database_url) as client:
        await client.enqueue("greet")
    await caller.ask("select trioworker.enqueue('greet')")
    ours, theirs = ask(
        database_url,
        "select job.kind, job.path, job.args, job.tag, job.priority, job.options, job.awaited,"
        " ready.tag, ready.priority, ready.scheduled_for = job.created_at, ready.attempt"
        " from trioworker.job join trioworker.ready using (id)",
    )
    assert ours == theirs


@with_every_driver
async def test_an_id_may_be_given_and_repeated(caller: Caller, database_url: str) -> None:
    """The first of an id stands, in the same transaction, in a later one, and when it has ended."""
    job = new_id()
    again = "select trioworker.enqueue('greet', $2, id => $1)"
    async with caller.transaction():
        assert await caller.ask(again, job, '{"name": "first"}') == [(job,)]
        assert await caller.ask(again, job, '{"name": "second"}') == [(job,)]
    assert await caller.ask(again, job, '{"name": "third"}') == [(job,)]
    with working(database_url, Held().app):
        await all_ended(database_url, 1)
    assert await caller.ask(again, job, '{"name": "fourth"}') == [(job,)]
    assert jobs(database_url) == [("greet", {"name": "first"})]
    assert ask(database_url, "select count(*) from trioworker.ready") == [(0,)]


@with_every_driver
async def test_many_are_enqueued_by_one_statement(caller: Caller, database_url: str) -> None:
    """All of them are run, in the order of their ids, and the workers are told once."""
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("listen trioworker_ready")
        rows = await caller.ask(
            "select trioworker.enqueue('greet', jsonb_build_object('name', n::text))"
            " from generate_series(1, 500) as n"
        )
        await caller.ask("select pg_notify('trioworker_ready', 'the end')")
        heard = [note.payload for note in listener.notifies(timeout=PATIENCE_S, stop_after=2)]
    assert heard == ["default", "the end"]
    ids: list[UUID] = [row[0] for row in rows]
    assert ids == sorted(set(ids))
    with working(database_url, Held().app):
        await all_ended(database_url, 500)
    assert set(statuses(database_url)) == {("greet", "success")}


@with_every_driver
async def test_a_job_from_a_long_transaction_is_not_overlooked(
    caller: Caller, database_url: str
) -> None:
    """It is due since its transaction began, which others that came later have overtaken."""
    with working(database_url, Held().app, poll_s=DAY_S):
        async with caller.transaction(), open_client(database_url) as client:
            await caller.ask("select trioworker.enqueue('greet')")
            later = [await client.enqueue("greet", awaited=True) for _ in range(20)]
            for job in later:
                await client.wait(job)
        await all_ended(database_url, 21)


@with_every_driver
async def test_a_client_can_wait_for_it(caller: Caller, database_url: str) -> None:
    """Whoever enqueued it."""
    async with open_client(database_url) as client:
        rows = await caller.ask("select trioworker.enqueue('greet', '[\"you\"]', awaited => true)")
        with working(database_url, Held().app):
            assert await client.result(rows[0][0]) == "Hello, you!"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("''", "job_path_check"),
        ("repeat('x', 1001)", "job_path_check"),
        ("'f', tag => ''", "job_tag_check"),
        ("'f', tag => repeat('ž', 61)", "job_tag_check"),
        ("'f', priority => 1001", "job_priority_check"),
        ("'f', priority => -1001", "job_priority_check"),
        ("'f', priority => 100000", "smallint out of range"),
        ("'f', kind => 'magic'", "job_kind_check"),
        ("'f', options => '[]'", "job_options_check"),
        ("""'f', options => '{"limit": {"slots": 0}}'""", "a limit of 0 jobs would let none run"),
        ("""'f', options => '{"retry": {}}'""", "a retry policy has attempts, at least 1, or is"),
        ("""'f', options => '{"retry": {"attempts": 0}}'""", "a retry policy has attempts"),
        ("""'f', options => '{"retry": 3}'""", "a retry policy has attempts, at least 1, or is"),
        ("'f', args => 'no JSON'", "invalid input syntax for type json"),
        ("'f', args => null", 'null value in column "args"'),
        ("null", 'null value in column "path"'),
        ("'f', tag => null", 'null value in column "tag"'),
    ],
)
@with_every_driver
async def test_bad_values_are_refused_by_name(
    caller: Caller, database_url: str, arguments: str, name: str
) -> None:
    """The server names the check, and nothing of the transaction is stored."""
    with pytest.raises(ServerSaidNo, match=name):
        await in_a_transaction(caller, "'greet'", arguments)
    assert jobs(database_url) == []


@with_every_driver
async def test_no_due_time_is_now(caller: Caller, database_url: str) -> None:
    """A null where a time may stand, as a program has it that knows none."""
    await caller.ask("select trioworker.enqueue('greet', scheduled_for => $1)", None)
    assert ask(database_url, "select scheduled_for <= now() from trioworker.ready") == [(True,)]


@with_every_driver
async def test_a_trigger_can_enqueue(caller: Caller, database_url: str) -> None:
    """The database itself is a caller, too, with whatever search path it has."""
    do(
        database_url,
        """
        create table orders (id integer, tag text);
        create function ship() returns trigger language plpgsql set search_path = pg_temp as $$
        begin
            perform trioworker.enqueue('ship', jsonb_build_object('order', new.id));
            return new;
        end $$;
        create trigger ship after insert on orders for each row execute function ship();
        """,
    )
    try:
        await caller.ask("insert into orders values (7, 'x'), (8, 'y')")
        assert jobs(database_url) == [("ship", {"order": 7}), ("ship", {"order": 8})]
    finally:
        do(database_url, "drop table orders; drop function ship")


@with_every_driver
async def test_a_caller_needs_no_more_than_to_insert(caller: Caller, database_url: str) -> None:
    """A role that may use the schema and insert; it cannot look at the jobs of others."""
    do(
        database_url,
        "create role shop;"
        " grant usage on schema trioworker to shop;"
        " grant insert on trioworker.job, trioworker.ready to shop;"
        " grant select (id) on trioworker.job to shop",
    )
    try:
        await caller.ask("set role shop")
        await caller.ask("select trioworker.enqueue('greet')")
        with pytest.raises(ServerSaidNo, match="permission denied for table job"):
            await caller.ask("select args from trioworker.job")
        await caller.ask("reset role")
    finally:
        do(database_url, "drop owned by shop; drop role shop")
    assert jobs(database_url) == [("greet", {})]
