"""`trioworker doctor`: what must agree in the database is recounted, and mended."""

import psycopg
import pytest

from tests.cli.commands import Run, run_here
from trioworker.ids import new_id

LIMITED = '{"limit": {"slots": 2, "key": "k"}}'


def drift(url: str, *statements: str) -> None:
    """Three jobs of a key with two slots, and what somebody does to them by hand."""
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(3):
            connection.execute("select trioworker.enqueue('greet', options => %s)", (LIMITED,))
        for statement in (*statements,):
            connection.execute(statement, {"id": new_id()} if "%(id)s" in statement else None)


def told(url: str) -> Run:
    """Runs commands on the database."""
    return lambda *arguments, **given: run_here(*arguments, url=url, **given)


PROMOTED = """
insert into trioworker.concurrency (key, slots, said_at) values ('k', 2, now());
update trioworker.waiting set fresh = false;
with first as (delete from trioworker.waiting where id = (select min(id::text)::uuid from
    trioworker.waiting) returning id)
insert into trioworker.ready (id, tag, priority, scheduled_for)
select id, 'default', 0, now() from first
"""
"""One of them may run, and has no slot."""


def test_all_is_well_at_first(database_url: str) -> None:
    """Jobs that wait for a worker to look at them are no flaw."""
    drift(database_url)
    assert told(database_url)("doctor").well().output == "all is well\n"


@pytest.mark.parametrize(
    ("statements", "flaws"),
    [
        (
            ["insert into trioworker.slot values (%(id)s, 'k')"],
            ["a key whose limit is not known", "a slot that no job holds"],
        ),
        (
            PROMOTED.split(";"),
            ["a job that may run without a slot", "a job that waits although a slot is free"],
        ),
        (
            [*PROMOTED.split(";"), "delete from trioworker.concurrency"],
            [
                "a job that may run without a slot",
                "a key whose limit is not known",
                "a key whose limit is not known",
            ],
        ),
    ],
)
def test_what_is_found_is_mended(
    database_url: str, statements: list[str], flaws: list[str]
) -> None:
    """Each kind of drift fails the command, and is gone after --fix."""
    drift(database_url, *statements)
    here = told(database_url)
    found = here("doctor")
    assert found.status == 1
    assert "`trioworker doctor --fix` mends them" in found.complaints
    mended = here("doctor", "--fix", "--json").well().document
    assert sorted(flaw["what"] for flaw in mended["found"]) == flaws
    assert mended["left"] == 0
    assert here("doctor").well().output == "all is well\n"
