"""The model is PostgreSQL, as far as our statements can tell: the same histories on both."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from sim.database.models import MODELS, Statement, all_models, commit, pull
from sim.database.parameters import PARAMETERS
from sim.database.rows import ClaimRow, ReadyRow
from sim.database.session import WRITES
from sim.differential.compare import ENDING, compare, shrunk
from sim.differential.explore import Exploration, explore
from sim.differential.history import PRIORITIES, WORKERS, History, Step
from sim.differential.real import RealSide
from sim.differential.report import report
from sim.differential.scripts import SCRIPTS
from tests.database_fixtures import NEWEST, PostgresServer, fresh_database
from trioworker.store.postgres.statements import load_statements

HISTORIES: Final = 80
HISTORIES_ABOUT_ONE: Final = 400
"""A planted divergence ends the run long before."""
ERRORS: Final = (
    "Refused 21000",
    "Refused 22000",
    "Refused 22003",
    "Refused 22021",
    "Refused 22P05",
    "Refused 23505",
    "Refused 23514",
    "Contention 40P01",
    "UnknownStoreError 25P02",
    "ConnectionLost",
)
"""Every error that the worker classifies and that a database in good health can give."""


@pytest.fixture(scope="module")
def real(
    postgres_server: PostgresServer, migrated_template_of: Callable[[int], str]
) -> Iterator[RealSide]:
    """A database with our schema, for histories."""
    with fresh_database(postgres_server, migrated_template_of(NEWEST)) as url:
        side = RealSide(url)
        yield side
        side.close()


@pytest.fixture(scope="module")
def explored(real: RealSide, pytestconfig: pytest.Config) -> Exploration:
    """The scripts and the histories of every run; with `--histories N` as many as that."""
    count = pytestconfig.getoption("--histories", default=None)
    return explore(real.play, first=SCRIPTS.values(), count=count or HISTORIES)


def test_both_sides_agree(real: RealSide, explored: Exploration) -> None:
    """Rows, errors, who waits for whom, notifications and what is stored: all the same."""
    if explored.difference is not None:
        pytest.fail(report(shrunk(real.play, explored.difference)), pytrace=False)


def test_every_query_occurs(explored: Exploration) -> None:
    """No query's model goes unexamined."""
    assert sorted(load_statements().keys() - explored.queries.keys()) == []


def test_every_error_occurs(explored: Exploration) -> None:
    """Each error that the worker knows how to answer comes about, deadlocks by a real circle."""
    assert [error for error in ERRORS if not explored.errors[error]] == []


def test_chance_explains_little(explored: Exploration) -> None:
    """Sessions wait all the time, and yet the model is seldom asked what else it might do."""
    assert explored.waits > explored.histories / 2
    assert explored.open_ones < explored.histories / 3


def test_parameters_are_those_of_the_statements(database_url: str) -> None:
    """The types that the modelled driver encodes for are those that the server infers."""
    with psycopg.connect(database_url) as connection:
        for name, statement in load_statements().items():
            connection.execute(SQL("prepare {} as {}").format(Identifier(name), SQL(statement.sql)))
        rows = connection.execute(
            "select name, array_to_string(parameter_types::text[], ' ')"
            "  from pg_prepared_statements where from_sql"
        ).fetchall()
    assert dict(rows) == PARAMETERS


def test_writes_are_what_a_server_without_writes_refuses(database_url: str) -> None:
    """25006 for each query that changes rows; a standby alone would refuse to send news, too."""
    refused = set()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = on")
        for name, statement in load_statements().items():
            connection.execute(SQL("prepare {} as {}").format(Identifier(name), SQL(statement.sql)))
            count = max(map(int, re.findall(r"\$(\d+)", statement.sql)), default=0)
            nulls = [SQL("null")] * count
            arguments = SQL("({})").format(SQL(", ").join(nulls)) if nulls else SQL("")
            try:
                connection.execute(SQL("execute {}{}").format(Identifier(name), arguments))
            except psycopg.errors.ReadOnlySqlTransaction:
                refused.add(name)
    assert refused == WRITES - {"notify_done", "notify_ready"}


# ---- planted divergences ----------------------------------------------------------------------


def pull_ignores_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest jobs first."""

    def age(row: ReadyRow) -> tuple[object, ...]:
        return row.scheduled_for, row.id

    def lanes(*_: object) -> Iterator[int]:
        return iter(PRIORITIES)

    monkeypatch.setattr(pull, "_place", age)
    monkeypatch.setattr(pull, "_lanes", lanes)


def commit_forgets_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a claim may commit to it."""

    async def held(s: Statement, _worker: UUID, claims: Sequence[UUID]) -> Sequence[ClaimRow]:
        locked = [await s.lock(s.tables.claim, claim) for claim in sorted(set(claims))]
        return [claim for claim in locked if claim is not None]

    monkeypatch.setattr(commit, "held_claims", held)


class _Patient:
    """A statement that waits for what it should pass over."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a statement has
        return getattr(self._statement, name)

    async def lock(self, table: Any, key: UUID, *, skip_locked: bool) -> object:  # noqa: ANN401 - any table
        assert skip_locked
        return await self._statement.lock(table, key)


def reap_forgets_skip_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that somebody has in hand is waited for."""
    right = all_models()["reap"]
    monkeypatch.setitem(MODELS, "reap", lambda s, *arguments: right(_Patient(s), *arguments))


Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: Final[Sequence[tuple[Plant, str]]] = (
    (pull_ignores_priority, "pull"),
    (commit_forgets_the_worker, "commit"),
    (reap_forgets_skip_locked, "reap"),
)


@pytest.mark.parametrize(("plant", "query"), PLANTS)
def test_a_planted_divergence_is_found(
    real: RealSide, monkeypatch: pytest.MonkeyPatch, plant: Plant, query: str
) -> None:
    """A model that is wrong in one place does not get through, and the report names the query."""
    plant(monkeypatch)
    difference = explore(real.play, count=HISTORIES_ABOUT_ONE, about=query).difference
    assert difference is not None
    assert f": {query} (" in report(difference)


def test_a_difference_is_shown_by_what_it_takes(
    real: RealSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not matter is left out: one claim and one statement show a missing fence."""
    commit_forgets_the_worker(monkeypatch)
    found = compare(real.play, unfenced(SCRIPTS["all that can be looked at"])).difference
    assert found is not None
    smallest = shrunk(real.play, found)
    text = report(smallest)
    assert len(smallest.history.steps) - ENDING == 1, text
    assert list(smallest.history.scene) == ["claim"], text
    assert text.endswith("step 0 is the first that differs"), text


def unfenced(history: History) -> History:
    """The history, and in the midst of it a commit to the claim of another worker."""
    (claim,) = history.scene["claim"]
    assert isinstance(claim, ClaimRow)
    jobs: tuple[object, ...] = (list(claim.ids), list(claim.attempts))
    successes: tuple[object, ...] = ([], ['"done"'], [], [0.0], [1], [], [])
    step = Step(1, "commit", (WORKERS[0], [claim.id], *jobs, *successes))
    steps = [*history.steps[:5], step, *history.steps[5:]]
    return msgspec.structs.replace(history, steps=steps)
