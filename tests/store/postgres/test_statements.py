"""The loader of named statements: what it reads, what it refuses, and that nothing is left over."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trioworker
from tests.store.postgres.scene import Scene
from trioworker.errors import SettingsError
from trioworker.events import discard
from trioworker.store.postgres import database as database_module
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.statements import (
    Statement,
    check_schema_name,
    in_schema,
    load_statements,
    parse_statement,
)

SOURCES = Path(trioworker.__file__).parent
HEADER = "-- name: look\n-- rows: one\n-- does: looks\n-- locks: nothing\n"
NAMED_AT = {"tx": 0, "database": 1, "_database": 1}
"""Where a call of `run` names the statement, by whose: tx.run("x"), database.run(lane, "x")."""


def trees() -> Iterator[ast.Module]:
    """Every file of the product, parsed."""
    for file in SOURCES.rglob("*.py"):
        yield ast.parse(file.read_text("utf-8"), str(file))


def constants(tree: ast.AST) -> set[str]:
    """Every string that stands in the code by itself."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def statements_run(tree: ast.AST) -> Iterator[str]:
    """The names that are handed to `run`, as literals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            owner_name = getattr(owner, "attr", getattr(owner, "id", ""))
            place = NAMED_AT.get(owner_name)
            if node.func.attr == "run" and place is not None and len(node.args) > place:
                yield from constants(node.args[place])


def test_a_header_says_all_there_is_to_know() -> None:
    """Name, cardinality, purpose and locks are read; the text is kept whole, header included."""
    text = f"{HEADER}table trioworker.job\n"
    assert parse_statement("look.sql", text) == Statement("look", "one", "looks", "nothing", text)


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("look.sql", "select 1\n"),
        ("look.sql", HEADER.replace("rows: one", "rows: few") + "select 1\n"),
        ("look.sql", HEADER.replace("-- locks: nothing\n", "") + "select 1\n"),
        ("look.sql", "\n" + HEADER + "select 1\n"),
        ("peek.sql", HEADER + "select 1\n"),
    ],
)
def test_a_file_that_breaks_the_form_is_not_loaded(file_name: str, text: str) -> None:
    """A header that is not as agreed, or not the file's own, stops the program that ships it."""
    with pytest.raises(AssertionError, match=file_name):
        parse_statement(file_name, text)


def test_a_schema_of_another_name_is_put_in_everywhere() -> None:
    """No statement for another schema mentions ours, and none for ours is touched."""
    for name, statement in load_statements("jobs").items():
        ours = load_statements()[name]
        assert "trioworker." not in statement.sql
        assert statement.sql.count('"jobs".') == ours.sql.count("trioworker.")
        assert ours.sql == (SOURCES / f"store/postgres/queries/{name}.sql").read_text("utf-8")


def test_only_the_schemas_name_is_replaced() -> None:
    """Channels and other words that begin alike stay as they are."""
    text = (
        "create schema if not exists trioworker; select pg_notify('trioworker_x'), trioworker.f()"
    )
    assert in_schema(text, "user") == (
        'create schema if not exists "user"; select pg_notify(\'trioworker_x\'), "user".f()'
    )


@pytest.mark.parametrize("schema", ["trioworker", "jobs", "_", "user", "a" * 63, "q2"])
def test_a_plain_name_will_do(schema: str) -> None:
    """Any lower-case name of PostgreSQL's length is taken, its reserved words among them."""
    assert check_schema_name(schema) == schema


@pytest.mark.parametrize(
    "schema", ["", "Jobs", "2q", "a b", 'a"b', "a.b", "jöbs", "a" * 64, "pg_jobs", "a\n", "a; --"]
)
def test_a_name_that_could_be_anything_else_is_refused(schema: str) -> None:
    """What is no plain name never gets near SQL, and the message says what would do."""
    with pytest.raises(SettingsError, match="use lower-case letters, digits and _"):
        load_statements(schema)


async def test_a_statement_that_breaks_its_word_is_a_bug(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rows: one` is held at each run, and what `rows: none` answers nobody can come to need."""
    liars = {
        "one": Statement("one", "one", "lies", "nothing", "select 1 where $1::integer > 0"),
        "none": Statement("none", "none", "lies", "nothing", "select 1"),
    }
    monkeypatch.setattr(database_module, "load_statements", lambda _: liars)
    async with open_database(empty_database_url, (Lane("x"),), emit=discard) as database:
        assert [tuple(row) for row in await database.run("x", "one", 1)] == [(1,)]
        with pytest.raises(AssertionError, match="one gave 0 rows, not one"):
            await database.run("x", "one", 0)
        assert list(await database.run("x", "none")) == []


async def test_every_statement_can_be_run(scene: Scene) -> None:
    """Each is prepared by the server as it stands: no column, table or type is misspelt."""
    for statement in load_statements().values():
        scene.do(f"prepare {statement.name} as {statement.sql}")


def test_every_statement_is_used() -> None:
    """A statement that no code names is dead, and goes."""
    named = set().union(*(constants(tree) for tree in trees()))
    assert sorted(set(load_statements()) - named) == []


def test_every_statement_that_code_runs_exists() -> None:
    """A misspelt name is found here and not by the worker that runs it."""
    run = {name for tree in trees() for name in statements_run(tree)}
    assert len(run) > len(load_statements()) / 2
    assert sorted(run - set(load_statements())) == []
