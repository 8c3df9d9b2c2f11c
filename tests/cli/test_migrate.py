"""`trioworker migrate`: what it would do, what it did, and which schemas it leaves alone."""

from functools import partial

import psycopg
import pytest

from tests.cli.commands import Run, run_here
from trioworker.store.postgres.migrate import load_migrations

NAMES = [f"{migration.number:04} {migration.name}" for migration in load_migrations()]
UP_TO_DATE = "the schema trioworker is up to date\n"


@pytest.fixture
def empty(empty_database_url: str) -> Run:
    """Commands on an empty database."""
    return partial(run_here, url=empty_database_url)


def tables(url: str) -> int:
    """How many tables of ours there are."""
    with psycopg.connect(url) as connection:
        found = connection.execute("select count(*) from pg_tables where schemaname = 'trioworker'")
        return int(found.fetchall()[0][0])


def test_it_brings_up_to_date_once(empty: Run, empty_database_url: str) -> None:
    """A dry run changes nothing, the real one says what it applied, another finds nothing to do."""
    would = empty("migrate", "--dry-run").well()
    assert would.output.splitlines() == [f"would apply {name}" for name in NAMES]
    assert tables(empty_database_url) == 0

    did = empty("migrate").well()
    assert did.output.splitlines() == [f"applied {name}" for name in NAMES]
    assert did.complaints == ""
    assert tables(empty_database_url) > 0

    assert empty("migrate").well().output == UP_TO_DATE
    assert empty("migrate", "--dry-run", "--sql").well().output == UP_TO_DATE
    assert empty("jobs", "list", "--json").well().document == []


def test_sql_shows_the_statements_for_the_schema_asked_for(empty: Run) -> None:
    """--sql prints each migration after its name, with the schema's own name in it."""
    shown = empty("migrate", "--dry-run", "--sql", "--schema", "jobs_of_ours").well().output
    assert 'create table "jobs_of_ours".job (' in shown
    assert "create table trioworker." not in shown
    assert [line for line in shown.splitlines() if line.startswith("would apply")] == [
        f"would apply {name}" for name in NAMES
    ]


def test_two_schemas_in_one_database_are_strangers(empty: Run) -> None:
    """What is enqueued in a schema of another name is not seen in this one."""
    empty("migrate").well()
    empty("migrate", "--schema", "other").well()
    empty("enqueue", "greet", "--schema", "other").well()
    assert empty("jobs", "list", "--json").well().document == []
    assert len(empty("jobs", "list", "--json", "--schema", "other").well().document) == 1


def test_a_newer_schema_is_left_alone(here: Run, database_url: str) -> None:
    """A schema from the future is refused by every command, and not touched."""
    with psycopg.connect(database_url) as connection:
        connection.execute("insert into trioworker.migration values (9999, 'from_the_future')")
    for command in (["migrate"], ["migrate", "--dry-run"], ["jobs", "list"], ["run", "--drain"]):
        ended = here(*command)
        assert (ended.status, ended.output) == (4, "")
        assert ended.complaints == (
            "trioworker: the database's schema is newer (migration 9999) than this trioworker"
            f" knows ({len(NAMES)}); upgrade trioworker on this host\n"
        )
