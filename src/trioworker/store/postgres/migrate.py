"""Numbered migrations: each applied once, in order, under one lock, each in its own transaction.

A migration is a file `migrations/NNNN_purpose.sql`; the number and the name are recorded in the
table `migration`. Two processes that migrate at once do the work once.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from trioworker.errors import SchemaMismatch
from trioworker.store.postgres.database import PostgresDatabase, Transaction
from trioworker.store.postgres.statements import DEFAULT_SCHEMA, in_schema

ADMIN: Final = "control"
_FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema; `sql` is written for the schema that was asked for."""

    number: int
    name: str
    sql: str


@cache
def load_migrations(schema: str = DEFAULT_SCHEMA) -> Sequence[Migration]:
    """All migrations in order. Their numbers have no gaps."""
    folder = resources.files("trioworker.store.postgres") / "migrations"
    found = sorted(
        (
            Migration(int(match[1]), match[2], in_schema(file.read_text("utf-8"), schema))
            for file in folder.iterdir()
            if (match := _FILE_NAME.fullmatch(file.name))
        ),
        key=lambda migration: migration.number,
    )
    assert [m.number for m in found] == list(range(1, len(found) + 1))
    return found


async def pending_migrations(
    database: PostgresDatabase, schema: str, *, lane: str = ADMIN
) -> Sequence[Migration]:
    """The migrations that the database lacks. Raises `SchemaMismatch` when it is too new."""
    known = load_migrations(schema)
    number = await schema_number(database, lane=lane)
    if number > len(known):
        raise SchemaMismatch(
            f"the database's schema is newer (migration {number}) than this trioworker knows"
            f" ({len(known)}); upgrade trioworker on this host"
        )
    return known[number:]


async def migrate(database: PostgresDatabase, schema: str) -> Sequence[Migration]:
    """Bring the schema up to date; returns what was applied, possibly nothing."""
    await database.transact(ADMIN, lambda tx: tx.script(_bootstrap(schema)))
    pending = await pending_migrations(database, schema)
    return [migration for migration in pending if await _apply(database, migration)]


async def check_schema(database: PostgresDatabase, schema: str, *, lane: str = ADMIN) -> None:
    """Raises `SchemaMismatch`, saying the mend, unless the schema is exactly what we know."""
    if missing := await pending_migrations(database, schema, lane=lane):
        raise SchemaMismatch(
            f"the database's schema lacks {len(missing)} of {len(load_migrations(schema))}"
            " migrations; run `trioworker migrate` first"
        )


async def schema_number(database: PostgresDatabase, *, lane: str = ADMIN) -> int:
    """The number of the last applied migration, 0 when there is no schema yet."""
    try:
        rows = await database.run(lane, "schema_version")
    except SchemaMismatch:
        return 0
    number: int = rows[0][0]
    return number


async def _apply(database: PostgresDatabase, migration: Migration) -> bool:
    """Apply one migration unless another process did so while we waited for the lock."""

    async def body(tx: Transaction) -> bool:
        await tx.run("lock_migrations")
        if not await tx.run("record_migration", migration.number, migration.name):
            return False
        await tx.script(migration.sql)
        return True

    return await database.transact(ADMIN, body)


def _bootstrap(schema: str) -> str:
    folder = resources.files("trioworker.store.postgres") / "migrations"
    return in_schema((folder / "bootstrap.sql").read_text("utf-8"), schema)
