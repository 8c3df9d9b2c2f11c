"""The rights of a role that only enqueues: those of the tutorial, and none that is not needed."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import psycopg
import pytest
from psycopg import sql

from tests.docs.pages import page
from trioworker import new_id

GRANTS: Final = (
    "grant usage on schema trioworker",
    "grant insert on trioworker.job",
    "grant insert on trioworker.ready",
    "grant select (id) on trioworker.job",
)
"""What the tutorial grants, each right by itself."""
ENQUEUE: Final = "select trioworker.enqueue('greet', id => %s)"

RIGHTS: Final = """
select nspacl::text from pg_namespace where nspname = 'trioworker'
union all select relacl::text from pg_class where relnamespace = 'trioworker'::regnamespace
union all select attacl::text from pg_attribute where attrelid = 'trioworker.job'::regclass
order by 1
"""


def documented() -> Sequence[str]:
    """The statements of the tutorial, for the role `app`."""
    (block,) = (
        block.text
        for block in page("docs/tutorial.md").blocks
        if block.language == "sql" and block.text.startswith("grant ")
    )
    return block.strip().split("\n")


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner of the queue, in a transaction that is undone: roles belong to the whole server."""
    with psycopg.connect(database_url) as connection:
        connection.execute("create role app")
        yield connection
        connection.rollback()


def enqueue_as_app(owner: psycopg.Connection[Any], grants: Sequence[str]) -> None:
    """Grant the rights, and enqueue the same job twice with them and no others."""
    for grant in grants:
        owner.execute(sql.SQL(cast("Any", grant)))
    owner.execute("set local role app")
    job = new_id()
    for _ in range(2):
        assert owner.execute(ENQUEUE, (job,)).fetchone() == (job,)


def test_the_documented_grants_suffice(owner: psycopg.Connection[Any]) -> None:
    """A role that has nothing else enqueues, also what is there already."""
    enqueue_as_app(owner, documented())
    owner.execute("reset role")
    ready = owner.execute("select path from trioworker.ready join trioworker.job using (id)")
    assert ready.fetchall() == [("greet",)]


def test_the_list_of_this_file_is_the_documented_one(owner: psycopg.Connection[Any]) -> None:
    """Both leave the same rights behind."""
    found = []
    for grants in (documented(), [f"{grant} to app" for grant in GRANTS]):
        with owner.transaction(force_rollback=True):
            for grant in grants:
                owner.execute(sql.SQL(cast("Any", grant)))
            found.append(owner.execute(RIGHTS).fetchall())
    assert found[0] == found[1]


@pytest.mark.parametrize("missing", GRANTS)
def test_none_of_them_can_be_spared(owner: psycopg.Connection[Any], missing: str) -> None:
    """Without any one of them the server refuses, and says which table or schema it is about."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for"):
        enqueue_as_app(owner, [f"{grant} to app" for grant in GRANTS if grant != missing])


def test_the_documented_grants_suffice_to_replace(owner: psycopg.Connection[Any]) -> None:
    """A role that enqueues with keys needs some more."""
    for grant in (
        *GRANTS,
        "grant select, insert, update on trioworker.unique_key",
        "grant select on trioworker.ready, trioworker.waiting, trioworker.job",
        "grant select on trioworker.job_completed",
        "grant select, delete on trioworker.ready, trioworker.waiting, trioworker.slot",
        "grant update on trioworker.waiting",
        "grant insert on trioworker.job_completed, trioworker.job_label, trioworker.expiry",
    ):
        owner.execute(sql.SQL(cast("Any", f"{grant} to app")))
    owner.execute("set local role app")
    unique = '{"unique": {"key": "k", "on_conflict": "replace"}, "labels": ["x"]}'
    for _ in range(2):
        owner.execute("select trioworker.enqueue('greet', options => %s)", [unique])
    assert owner.execute("select count(*) from trioworker.job_completed").fetchone() == (1,)
