"""Migrations: applied once whoever races for it, whole or not at all, and never changed later."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources

import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, on_every_version
from tests.store.postgres.schema_dump import COMMAND, FILE, schema_text
from trioworker.errors import SchemaMismatch, UnknownStoreError
from trioworker.events import discard
from trioworker.store.postgres.database import Lane, PostgresDatabase, open_database
from trioworker.store.postgres.migrate import (
    ADMIN,
    Migration,
    check_schema,
    load_migrations,
    migrate,
    pending_migrations,
    schema_number,
)

SCHEMA = "trioworker"
ALL = load_migrations()
TOO_NEW = "newer .migration 9999. than this trioworker knows .*; upgrade trioworker on this host"
TOO_OLD = "lacks 1 of .* migrations; run `trioworker migrate` first"


@asynccontextmanager
async def admin_of(url: str) -> AsyncIterator[PostgresDatabase]:
    """The database as `trioworker migrate` opens it."""
    async with open_database(url, (Lane(ADMIN),), emit=discard) as database:
        yield database


def query(url: str, text: str) -> list[tuple[object, ...]]:
    """Ask the database directly."""
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


def recorded(url: str) -> list[tuple[object, ...]]:
    """What the database says was applied, in the order in which it was."""
    return query(url, "select number, name from trioworker.migration order by applied_at, number")


async def until_waiting_for_locks(connection: psycopg.Connection, count: int) -> None:
    """Return when that many others wait for a lock."""
    with trio.fail_after(30):
        while True:
            row = connection.execute(
                "select count(distinct pid) from pg_locks where not granted"
            ).fetchone()
            if row == (count,):
                return
            await trio.sleep(0.01)


@on_every_version
async def test_migrating_makes_the_schema_that_was_agreed(bare_url: str) -> None:
    """Each version of PostgreSQL ends with the schema in the file, made by these migrations."""
    async with admin_of(bare_url) as database:
        assert await migrate(database, SCHEMA) == ALL
    assert schema_text(bare_url) == FILE.read_text("utf-8"), (
        "the migrations make another schema than tests/store/postgres/schema.sql says. A migration"
        f" that was released never changes: add one. Then write the file anew: `{COMMAND}`"
    )
    assert recorded(bare_url) == [(m.number, m.name) for m in ALL]


async def test_a_second_time_changes_nothing(scene: Scene) -> None:
    """On an up-to-date schema there is nothing to do, and nothing is done."""
    before = query(scene.url, "select number, applied_at from trioworker.migration")
    async with admin_of(scene.url) as database:
        assert await pending_migrations(database, SCHEMA) == []
        assert await migrate(database, SCHEMA) == []
        await check_schema(database, SCHEMA)
    assert query(scene.url, "select number, applied_at from trioworker.migration") == before


async def test_asking_what_is_pending_changes_nothing(bare_url: str) -> None:
    """A dry run on an empty database names all migrations and leaves it empty."""
    async with admin_of(bare_url) as database:
        assert await pending_migrations(database, SCHEMA) == ALL
        assert await schema_number(database) == 0
    assert query(bare_url, "select from pg_namespace where nspname = 'trioworker'") == []


def hold_bootstrap(connection: psycopg.Connection) -> None:
    """Keep everybody from the place where migrations are recorded, before it is made."""
    connection.execute("select pg_advisory_xact_lock(hashtext('trioworker migrations'))")


def hold_record(connection: psycopg.Connection) -> None:
    """Let everybody find all migrations pending, and keep them from recording the first."""
    folder = resources.files("trioworker.store.postgres") / "migrations"
    connection.execute((folder / "bootstrap.sql").read_bytes())
    connection.commit()
    connection.execute("lock table trioworker.migration in share mode")


@pytest.mark.parametrize("hold", [hold_bootstrap, hold_record])
async def test_many_that_migrate_at_once_do_it_once(
    bare_url: str, hold: Callable[[psycopg.Connection], None]
) -> None:
    """Wherever they meet, each migration is applied by one, and all return with the schema."""
    applied: list[Migration] = []

    async def run() -> None:
        async with admin_of(bare_url) as database:
            applied.extend(await migrate(database, SCHEMA))
            await check_schema(database, SCHEMA)

    async with trio.open_nursery() as nursery:
        with psycopg.connect(bare_url) as other:
            hold(other)
            for _ in range(4):
                nursery.start_soon(run)
            await until_waiting_for_locks(other, 4)
    assert sorted(applied, key=lambda migration: migration.number) == ALL
    assert recorded(bare_url) == [(m.number, m.name) for m in ALL]


async def test_a_migration_that_fails_leaves_nothing_of_itself(bare_url: str) -> None:
    """What stands in the way is told; once it is gone, migrating goes on where it stopped."""
    with psycopg.connect(bare_url) as connection:
        connection.execute("create schema trioworker")
        connection.execute("create table trioworker.claim ()")
    async with admin_of(bare_url) as database:
        with pytest.raises(UnknownStoreError, match='relation "claim" already exists') as caught:
            await migrate(database, SCHEMA)
        assert caught.value.sqlstate == "42P07"
        assert await schema_number(database) == 0
        tables = query(bare_url, "select tablename from pg_tables where schemaname = 'trioworker'")
        assert sorted(tables) == [("claim",), ("migration",)]
        await database.transact(ADMIN, lambda tx: tx.script("drop table trioworker.claim"))
        assert await migrate(database, SCHEMA) == ALL


async def test_a_schema_that_is_too_new_is_refused(scene: Scene) -> None:
    """An old program neither works on a newer schema nor migrates it, and says the mend."""
    scene.do("insert into trioworker.migration (number, name) values (9999, 'from_the_future')")
    async with admin_of(scene.url) as database:
        for ask in (check_schema, migrate, pending_migrations):
            with pytest.raises(SchemaMismatch, match=TOO_NEW):
                await ask(database, SCHEMA)


async def test_a_schema_that_is_too_old_is_refused_and_can_be_migrated(bare_url: str) -> None:
    """What is missing is counted, the mend is named, and it is one."""
    async with admin_of(bare_url) as database:
        with pytest.MonkeyPatch.context() as before:
            before.setattr("trioworker.store.postgres.migrate.load_migrations", lambda _: ALL[:-1])
            assert await migrate(database, SCHEMA) == ALL[:-1]
        with pytest.raises(SchemaMismatch, match=TOO_OLD):
            await check_schema(database, SCHEMA)
        assert await migrate(database, SCHEMA) == [ALL[-1]]
        await check_schema(database, SCHEMA)


async def test_a_database_without_our_schema_lacks_everything(bare_url: str) -> None:
    """A database that was never migrated is too old, not broken."""
    async with admin_of(bare_url) as database:
        with pytest.raises(SchemaMismatch, match=f"lacks {len(ALL)} of {len(ALL)} migrations"):
            await check_schema(database, SCHEMA)
