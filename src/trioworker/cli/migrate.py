"""`trioworker migrate`: bring the schema up to date."""

from collections.abc import Sequence
from typing import Annotated

import typer

from trioworker.cli.loop import run_trio
from trioworker.cli.options import takes_settings
from trioworker.cli.place import open_admin, open_server
from trioworker.settings import Settings
from trioworker.store.postgres import migrate as migrations
from trioworker.store.postgres.migrate import Migration


@takes_settings()
def migrate(
    settings: Settings,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")
    ] = False,
    show_sql: Annotated[bool, typer.Option("--sql", help="Print the statements as well.")] = False,
) -> None:
    """Bring the schema of the database up to date.

    Does nothing when it is. Safe to run from several places at once. DATABASE_URL needs a user who
    may create tables.
    """
    found = run_trio(_pending if dry_run else _apply, settings)
    for migration in found:
        typer.echo(
            f"{'would apply' if dry_run else 'applied'} {migration.number:04} {migration.name}"
        )
        if show_sql:
            typer.echo(migration.sql)
    if not found:
        typer.echo(f"the schema {settings.schema} is up to date")


async def _pending(settings: Settings) -> Sequence[Migration]:
    async with open_server(settings) as url, open_admin(url, settings) as database:
        return await migrations.pending_migrations(database, settings.schema)


async def _apply(settings: Settings) -> Sequence[Migration]:
    async with open_server(settings) as url, open_admin(url, settings) as database:
        return await migrations.migrate(database, settings.schema)
