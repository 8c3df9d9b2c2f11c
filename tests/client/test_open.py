"""Opening a client: on the right database, or one line that says what is wrong with this one."""

from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from tests.client.harness import do, new_job, on_both
from trioworker import SettingsError, StoreError, UsageError, open_client
from trioworker.errors import ConnectionLost, Exhausted, SchemaMismatch
from trioworker.events import discard
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.migrate import ADMIN, load_migrations, migrate

KNOWN = len(load_migrations())


async def opened(url: str, **options: Any) -> None:  # noqa: ANN401 - those of open_client()
    """Open a client and close it again."""
    async with open_client(url, **options):
        pass


@on_both
async def test_an_empty_database_must_be_migrated_first(empty_database_url: str) -> None:
    """The mend is in the line."""
    with pytest.raises(SchemaMismatch) as caught:
        await opened(empty_database_url)
    assert str(caught.value) == (
        f"the database's schema lacks {KNOWN} of {KNOWN} migrations; run `trioworker migrate` first"
    )


@on_both
async def test_an_old_schema_must_be_migrated_first(empty_database_url: str) -> None:
    """As an empty one, and it says how much is missing."""
    async with open_database(empty_database_url, (Lane(ADMIN),), emit=discard) as database:
        await migrate(database, "trioworker")
    do(empty_database_url, "delete from trioworker.migration where number > 1")
    with pytest.raises(SchemaMismatch, match=f"lacks {KNOWN - 1} of {KNOWN} migrations; run"):
        await opened(empty_database_url)


@on_both
async def test_a_newer_schema_wants_a_newer_client(empty_database_url: str) -> None:
    """Whoever does not know the schema keeps its hands off."""
    async with open_database(empty_database_url, (Lane(ADMIN),), emit=discard) as database:
        await migrate(database, "trioworker")
    do(empty_database_url, "insert into trioworker.migration values (9999, 'later')")
    with pytest.raises(SchemaMismatch) as caught:
        await opened(empty_database_url)
    assert str(caught.value) == (
        "the database's schema is newer (migration 9999) than this trioworker knows"
        f" ({KNOWN}); upgrade trioworker on this host"
    )


@on_both
async def test_each_schema_is_a_queue_of_its_own(empty_database_url: str) -> None:
    """Two clients of one database with different schemas share no job."""
    for schema in ("trioworker", "other"):
        async with open_database(
            empty_database_url, (Lane(ADMIN),), emit=discard, schema=schema
        ) as database:
            await migrate(database, schema)
    async with (
        open_client(empty_database_url) as here,
        open_client(empty_database_url, schema="other") as there,
    ):
        job = await there.enqueue("greet")
        assert [found.id for found in await there.jobs()] == [job]
        assert await here.jobs() == []
        assert (await here.cancel([job])).ended == []
        assert (await there.cancel([job])).ended == [job]


@pytest.mark.parametrize(
    ("url", "kind", "line"),
    [
        ("postgresql://me@/db?host=FOLDER&port=5432", ConnectionLost, "No such file or directory"),
        ("postgresql://me@127.0.0.1:1/db", ConnectionLost, "Connect call failed"),
        ("mysql://me@localhost/db", SettingsError, "the database's address cannot be used: "),
        ("postgresql://me@localhost:port/db", SettingsError, "the database's address cannot be"),
    ],
)
@on_both
async def test_a_database_that_cannot_be_reached_is_told_in_one_line(
    tmp_path: Path, url: str, kind: type[Exception], line: str
) -> None:
    """What is wrong with the way to it, or with its address."""
    with pytest.raises(kind) as caught:
        await opened(url.replace("FOLDER", str(tmp_path)))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, StoreError | UsageError)


@on_both
async def test_a_database_that_does_not_exist_is_named(database_url: str) -> None:
    """The server's own words."""
    path = database_url.partition("?")[0].rpartition("/")[2]
    with pytest.raises(Exhausted, match='database "nowhere" does not exist'):
        await opened(database_url.replace(f"/{path}?", "/nowhere?"))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"pool_size": 0}, "a pool of 0 connections will not do; at least 1"),
        ({"schema": "Trio Worker"}, "the schema name 'Trio Worker' will not do: use lower-case"),
        ({"command_timeout_s": 0}, "a command timeout of 0 s will not do; it must be above 0"),
    ],
)
@on_both
async def test_options_out_of_bounds_are_told(
    database_url: str, options: dict[str, Any], line: str
) -> None:
    """Before anything is connected to."""
    with pytest.raises(UsageError) as caught:
        await opened(database_url, **options)
    assert str(caught.value).startswith(line)


class OwnError(Exception):
    """Something of the caller's."""


@on_both
async def test_an_error_of_the_callers_comes_out_as_it_was_raised(database_url: str) -> None:
    """Not inside a group, though there are task groups below; waiting or not."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")

    async def fail(*, after_waiting: bool) -> None:
        async with open_client(database_url) as client:
            with anyio.move_on_after(0.05 * after_waiting):
                await client.wait(job)
            raise OwnError

    with pytest.raises(OwnError):
        await fail(after_waiting=False)
    with pytest.raises(OwnError):
        await fail(after_waiting=True)


@on_both
async def test_a_client_can_be_cancelled(database_url: str) -> None:
    """In the middle of whatever it does, and at once."""
    with anyio.fail_after(30):
        async with open_client(database_url) as client:
            job = await client.enqueue("greet")
            with anyio.move_on_after(0.05) as scope:
                await client.wait(job)
            assert scope.cancelled_caught
        with anyio.move_on_after(0.05) as scope:
            async with open_client(database_url) as client:
                await client.wait(job)
        assert scope.cancelled_caught


@on_both
async def test_nothing_is_left_connected(database_url: str) -> None:
    """However many tasks used it, and however many connections that took."""
    async with open_client(database_url, pool_size=3) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(client.enqueue_many, [new_job() for _ in range(10)])
        assert 1 <= connections(database_url) <= 3
        assert sum(counts.ready for counts in await client.counts()) == 300
        with anyio.move_on_after(0.05):
            await client.wait((await client.jobs())[0].id)
        assert connections(database_url) <= 4
    with anyio.fail_after(30):
        while connections(database_url):  # noqa: ASYNC110 - the server closes them in its own time
            await anyio.sleep(0.01)


def connections(url: str) -> int:
    """How many connections of ours the server has."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name like 'trioworker%'"
        ).fetchone()
    assert row is not None
    return int(row[0])
