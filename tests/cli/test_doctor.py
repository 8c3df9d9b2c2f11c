"""`trioworker doctor`: what must agree in the database is recounted, and mended."""

from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

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


def stuck(url: str) -> None:
    """A flow whose step is gone, one nested in a flow that is gone, and one that goes on."""
    with psycopg.connect(url, autocommit=True) as connection:
        for flow, root, step in ((1, 1, None), (2, 9, 3), (4, 4, 5)):
            connection.execute(
                "insert into trioworker.job (id, kind, path, args, tag)"
                " values (%s, 'flow', 'order', '{}', 'default')",
                (UUID(int=flow),),
            )
            connection.execute(
                "insert into trioworker.flow_state"
                " (id, root, path, version, state, attempt, reaped)"
                " values (%s, %s, 'order', 1, '{}', 1, 0)",
                (UUID(int=flow), UUID(int=root)),
            )
            if step is not None:
                connection.execute(
                    "insert into trioworker.job (id, kind, path, args, tag, parent, options)"
                    " values (%s, 'noop', 'a', '{}', 'default', %s, %s)",
                    (UUID(int=step), UUID(int=flow), Jsonb({"step": {"at": "a"}})),
                )
                connection.execute(
                    "insert into trioworker.ready (id, tag, priority, scheduled_for)"
                    " values (%s, 'default', 0, now())",
                    (UUID(int=step),),
                )


def test_a_flow_that_nothing_will_move_is_canceled(database_url: str) -> None:
    """Because its steps are gone, or the flow that it is nested in; others go on."""
    stuck(database_url)
    here = told(database_url)
    found = here("doctor", "--json")
    assert found.status == 1
    assert [(flaw["what"], flaw["key"], flaw["job"]) for flaw in found.document["found"]] == [
        ("a flow that stands still without a step to wait for", "order", str(UUID(int=1))),
        ("a flow whose outermost flow is gone", "order", str(UUID(int=2))),
    ]
    assert here("doctor", "--fix", "--json").well().document["left"] == 0
    states = {
        number: here("jobs", "show", str(UUID(int=number)), "--json").document["state"]
        for number in range(1, 6)
    }
    assert states == {1: "canceled", 2: "canceled", 3: "canceled", 4: "waiting", 5: "ready"}
    assert here("doctor").well().output == "all is well\n"
