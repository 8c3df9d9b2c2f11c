"""What columns and parameters refuse: never less than PostgreSQL does, and with its SQLSTATE."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from sim.database import parameters, values
from sim.database.rows import (
    ClaimRow,
    CompletedRow,
    ConcurrencyRow,
    DecisionRow,
    FlowRow,
    FlowStateRow,
    JobRow,
    LabelRow,
    ParentRow,
    ProgressRow,
    ReadyRow,
    ResultRow,
    Row,
    ScheduleRow,
    ScriptRow,
    SpentRow,
    StepRow,
    TokenRow,
    UniqueKeyRow,
    WaitingRow,
    WorkerRow,
)
from sim.database.server import EPOCH
from sim.database.tables import Tables
from sim.differential.history import CLAIMS, JOBS, TOKENS, WORKERS
from tests.database_fixtures import PostgresServer
from trioworker.errors import StoreError

J1: Final = JOBS[0]
TO_JSON: Final = "select %s::jsonb"
LATER: Final = "select now() + %s::float8 * interval '1 second'"


@pytest.fixture(scope="module")
def postgres(postgres_server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection that says what it thinks of a value."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        yield connection


def refused_by(postgres: psycopg.Connection[Any], question: SQL, value: object) -> str | None:
    """The SQLSTATE that PostgreSQL refuses the value with."""
    try:
        postgres.execute(question, [value])
    except psycopg.Error as error:
        return error.sqlstate
    return None


def refused_by_model(value: str) -> str | None:
    """The SQLSTATE that the model refuses JSON text with."""
    try:
        values.jsonb(value)
    except StoreError as error:
        return error.sqlstate
    return None


# ---- JSON -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, -2.5e3, true, null, "x"], "a": {}}',
        ' \t\r\n"surrounded" ',
        '"\\ud83d\\ude00 and \\\\u0000 and \\\\\\\\u0000 and \\uFFFF"',
        '"1e999999"',
        '{"1e999": "2e-999"}',
        "0e399",
        "1e399",
        "-0",
        '"\x7f\u00a0\ufeff"',
        '"\\u0000"',
        '{"\\u0000": 1}',
        '"\\\\\\u0000"',
        '["\\u0000"',
        '"\\ud800"',
        '"\\udc00"',
        '"\\ud83d\\u0041"',
        '"\\ud83dx"',
        "1e131072",
        "-1e999999",
        "1e-16384",
        "0." + "0" * 16_383 + "1",
        "1" * 131_073,
        "[" * 20_000 + "]" * 20_000,
        "",
        "  ",
        "{",
        "[1,]",
        "{1: 2}",
        "{'a': 1}",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "-Infinity",
        "nul",
        "null null",
        '"\t"',
        '"\\x"',
        '"\\u12"',
        '"open',
        "\ufeff1",
        "\u00a01",
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_json_is_refused_alike(postgres: psycopg.Connection[Any], text: str) -> None:
    """Syntax, NUL, lone surrogates and numbers without end, each with its code."""
    assert refused_by_model(text) == refused_by(postgres, SQL(TO_JSON), text)


FRAGMENTS: Final = (
    "\\u0000", "\\\\", "\\u", "\\ud83d", "\\ude00", "\\n", '\\"', '"', "a", "é", "\U0001f600",
    "\x01", "0", "1", "-", ".", "e", "E+", "5", "399", "999999", "[", "]", "{", "}", ":", ",", " ",
    "true", "null", "NaN", "e-16384",
)  # fmt: skip
_pieces: Final = st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join)
_texts: Final = st.one_of(
    _pieces,
    _pieces.map('"{}"'.format),
    _pieces.map("[{}]".format),
    _pieces.map('{{"a": {}}}'.format),
)


@settings(max_examples=300)
@given(text=_texts)
def test_the_model_takes_no_json_that_postgres_refuses(
    postgres: psycopg.Connection[Any], text: str
) -> None:
    """Whatever the text; and beyond its known gaps it refuses nothing else."""
    by_model, by_postgres = refused_by_model(text), refused_by(postgres, SQL(TO_JSON), text)
    assert (by_model is None) <= (by_postgres is None)
    if by_postgres is None:
        assert by_model in (None, "22003"), "the only known gap within reach: large exponents"


@pytest.mark.parametrize("text", ["1e400", "1e-400", "1" * 4_001, "[" * 2_000 + "]" * 2_000])
def test_known_gaps_are_on_the_strict_side(postgres: psycopg.Connection[Any], text: str) -> None:
    """What the model refuses although PostgreSQL does not: listed in `values`, which see."""
    assert refused_by(postgres, SQL(TO_JSON), text) is None
    assert refused_by_model(text) in ("22003", "54001")


# ---- times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds", ["NaN", "1e300", "-1e300", "1e15", "-1e15", "1e13", "1e10", "-5"]
)
def test_times_are_refused_alike(postgres: psycopg.Connection[Any], seconds: str) -> None:
    """No time after the end of time, nor one that is no number."""
    by_model: str | None = None
    try:
        values.later(EPOCH, float(seconds))
    except StoreError as error:
        by_model = error.sqlstate
    assert by_model == refused_by(postgres, SQL(LATER), seconds)


# ---- constraints ------------------------------------------------------------------------------

JOB: Final = JobRow(
    id=J1, kind="noop", path="p", args="{}", tag="t", priority=0, options=None, awaited=False,
    created_at=EPOCH, created_by="",
)  # fmt: skip
READY: Final = ReadyRow(id=J1, tag="t", priority=0, scheduled_for=EPOCH)
WAITING: Final = WaitingRow(id=J1, reason="", until=None, attempt=1, reaped=0, since=EPOCH)
CLAIM: Final = ClaimRow(
    id=CLAIMS[0], worker=WORKERS[0], ids=(J1,), attempts=(1,), reaped=(0,), claimed_at=EPOCH
)
COMPLETED: Final = CompletedRow(
    id=J1, status="success", result=None, error=None, worker=None, attempt=1, reaped=0,
    started_at=None, completed_at=EPOCH, duration_ms=None,
)  # fmt: skip
WORKER: Final = WorkerRow(
    id=WORKERS[0], name="", host="", pid=1, mode="", tags=(), ranks=(), lease_s=1.0,
    started_at=EPOCH, last_heartbeat=EPOCH,
)  # fmt: skip
TOKEN: Final = TokenRow(
    id=TOKENS[0], worker_group="g", tags=("red",), ranks=(0,), created_at=EPOCH,
    created_by="somebody",
)  # fmt: skip
SCRIPT: Final = ScriptRow(
    path="p", version=1, hash="h", language="python", dedicated=False, content="",
    requirements="[]", created_at=EPOCH, created_by="",
)  # fmt: skip
STEP: Final = StepRow(job=J1, name="s", result="1", at=EPOCH)
PARENT: Final = ParentRow(id=J1, tries=1, since=EPOCH)
RESULT: Final = ResultRow(key="k", job=J1, result="1", stored_at=EPOCH, expires_at=EPOCH)
CONCURRENCY: Final = ConcurrencyRow(key="k", slots=1, window_s=None, said_at=EPOCH)
SCHEDULE: Final = ScheduleRow(
    name="s", definition="{}", paused=False, last_tick=None, pending=None, decided_until=EPOCH,
    look_at=None, failures=0, problem=None, created_at=EPOCH,
)  # fmt: skip
SPENT: Final = SpentRow(key="k", free_at=EPOCH, slots=1)
KEY: Final = UniqueKeyRow(sort="unique", key="k", look_at=EPOCH)

FLOW: Final = FlowRow(path="p", version=1, definition="{}", created_at=EPOCH)
UNDER_WAY: Final = FlowStateRow(
    id=J1, root=J1, path="p", version=1, state="{}", attempt=1, reaped=0, began_at=EPOCH
)
DECISION: Final = DecisionRow(job=J1, by="ann", approved=True, form="{}", decided_at=EPOCH)
LABEL: Final = LabelRow(id=JOB.id, label="a")
PROGRESS: Final = ProgressRow(id=JOB.id, attempt=1, fraction=0.5, note="", told_at=EPOCH)
VIOLATIONS: Final[dict[str, tuple[str, Row, dict[str, Any]]]] = {
    "job_kind_check": ("job", JOB, {"kind": "poem"}),
    "job_path_check": ("job", JOB, {"path": "é" * 501}),
    "job_tag_check": ("job", JOB, {"tag": ""}),
    "job_priority_check": ("job", JOB, {"priority": -1_001}),
    "job_limit_check": ("job", JOB, {"options": '{"limit": {"slots": 0}}'}),
    "job_options_check": ("job", JOB, {"options": "[]"}),
    "ready_attempt_check": ("ready", READY, {"attempt": 0}),
    "ready_reaped_check": ("ready", READY, {"reaped": -1}),
    "waiting_attempt_check": ("waiting", WAITING, {"attempt": 0}),
    "waiting_reaped_check": ("waiting", WAITING, {"reaped": -1}),
    "claim_ids_check": ("claim", CLAIM, {"ids": (), "attempts": (), "reaped": ()}),
    "claim_check": ("claim", CLAIM, {"attempts": (1, 2)}),
    "job_completed_status_check": ("job_completed", COMPLETED, {"status": "splendid"}),
    "waiting_turn_check": ("waiting", WAITING, {"key": "k"}),
    "job_label_label_check": ("job_label", LABEL, {"label": ""}),
    "job_progress_fraction_check": ("job_progress", PROGRESS, {"fraction": 1.001}),
    "job_progress_note_check": ("job_progress", PROGRESS, {"note": "é" * 251}),
    "concurrency_key_check": ("concurrency", CONCURRENCY, {"key": ""}),
    "concurrency_slots_check": ("concurrency", CONCURRENCY, {"slots": 0}),
    "job_step_name_check": ("job_step", STEP, {"name": ""}),
    "parent_tries_check": ("parent", PARENT, {"tries": 0}),
    "result_cache_key_check": ("result_cache", RESULT, {"key": ""}),
    "script_path_check": ("script", SCRIPT, {"path": ""}),
    "script_version_check": ("script", SCRIPT, {"version": 0}),
    "script_language_check": ("script", SCRIPT, {"language": "é" * 26}),
    "script_content_check": ("script", SCRIPT, {"content": "a" * 4_194_305}),
    "script_requirements_check": ("script", SCRIPT, {"requirements": "{}"}),
    "script_lock_check": ("script", SCRIPT, {"lock": "1"}),
    "concurrency_window_s_check": ("concurrency", CONCURRENCY, {"window_s": 0.0}),
    "schedule_name_check": ("schedule", SCHEDULE, {"name": ""}),
    "schedule_definition_check": ("schedule", SCHEDULE, {"definition": "[]"}),
    "schedule_failures_check": ("schedule", SCHEDULE, {"failures": -1}),
    "spent_slot_slots_check": ("spent_slot", SPENT, {"slots": 0}),
    "unique_key_sort_check": ("unique_key", KEY, {"sort": "best"}),
    "unique_key_key_check": ("unique_key", KEY, {"key": ""}),
    "unique_key_during_check": ("unique_key", KEY, {"during": "ever"}),
    "unique_key_check": ("unique_key", KEY, {"during": "period"}),
    "agent_token_worker_group_check": ("agent_token", TOKEN, {"worker_group": ""}),
    "agent_token_tags_check": ("agent_token", TOKEN, {"tags": (), "ranks": ()}),
    "agent_token_check": ("agent_token", TOKEN, {"ranks": (0, 1)}),
    "flow_path_check": ("flow", FLOW, {"path": ""}),
    "flow_version_check": ("flow", FLOW, {"version": 0}),
    "flow_state_attempt_check": ("flow_state", UNDER_WAY, {"attempt": 0}),
    "flow_state_reaped_check": ("flow_state", UNDER_WAY, {"reaped": -1}),
    "decision_by_check": ("decision", DECISION, {"by": "é" * 101}),
    "worker_lease_s_check": ("worker", WORKER, {"lease_s": 0.0}),
    "worker_check": ("worker", WORKER, {"ranks": (1,)}),
}
BOUNDS: Final[list[tuple[str, Row, str, int]]] = [
    ("job", JOB, "priority", 2**15),
    ("ready", READY, "attempt", 2**31),
    ("ready", READY, "reaped", 2**15),
    ("job_completed", COMPLETED, "attempt", 2**31),
    ("job_completed", COMPLETED, "reaped", 2**15),
    ("job_completed", COMPLETED, "duration_ms", 2**31),
    ("flow", FLOW, "version", 2**31),
    ("parent", PARENT, "tries", 2**31),
    ("flow_state", UNDER_WAY, "version", 2**31),
    ("flow_state", UNDER_WAY, "attempt", 2**31),
    ("flow_state", UNDER_WAY, "reaped", 2**15),
    ("script", SCRIPT, "version", 2**31),
    ("worker", WORKER, "pid", 2**31),
]
"""Table, row, column, and the first number that is too large."""


def insert(url: str, table: str, row: Row) -> psycopg.Error | None:
    """Insert a row; how PostgreSQL refused it."""
    cells = {
        n: list(v) if isinstance(v, tuple) else v for n, v in msgspec.structs.asdict(row).items()
    }
    into = SQL("insert into {} ({}) values ({})").format(
        Identifier("trioworker", table),
        SQL(", ").join(map(Identifier, cells)),
        SQL(", ").join([SQL("%s")] * len(cells)),
    )
    with psycopg.connect(url) as connection:
        try:
            connection.execute(into, list(cells.values()))
        except psycopg.Error as error:
            connection.rollback()
            return error
        connection.rollback()
    return None


def refused_row(table: str, row: Row) -> StoreError | None:
    """How the model refuses a row."""
    try:
        getattr(Tables(), table).check(row)
    except StoreError as error:
        return error
    return None


def test_rows_violate_the_same_constraints(database_url: str) -> None:
    """Each constraint of the schema is one of the model's, and no row gets past either."""
    with psycopg.connect(database_url) as connection:
        names = connection.execute(
            "select conname from pg_constraint where contype = 'c'"
            "   and connamespace = 'trioworker'::regnamespace"
        ).fetchall()
    assert sorted(chain.from_iterable(names)) == sorted(VIOLATIONS)
    for name, (table, good, change) in VIOLATIONS.items():
        assert insert(database_url, table, good) is None
        assert refused_row(table, good) is None
        bad = msgspec.structs.replace(good, **change)
        by_postgres, by_model = insert(database_url, table, bad), refused_row(table, bad)
        assert by_postgres is not None
        assert by_model is not None
        assert (by_postgres.sqlstate, by_postgres.diag.constraint_name) == ("23514", name)
        assert by_model.sqlstate == "23514"
        assert f'"{name}"' in str(by_model)


@pytest.mark.parametrize(("table", "good", "column", "bound"), BOUNDS)
def test_numbers_have_the_same_bounds(
    database_url: str, table: str, good: Row, column: str, bound: int
) -> None:
    """22003 for the first number that a column cannot hold, in both directions, no earlier."""
    for number in (bound, bound - 1, -bound, -bound - 1):
        tried = msgspec.structs.replace(good, **{column: number})
        by_postgres, by_model = insert(database_url, table, tried), refused_row(table, tried)
        assert (by_model and by_model.sqlstate) == (by_postgres and by_postgres.sqlstate)


# ---- parameters -------------------------------------------------------------------------------


def test_the_driver_encodes_what_fits() -> None:
    """22000, before the server hears of it, for a number or a text that the type cannot hold."""
    parameters.encode("heartbeat", (WORKERS[0], 2**63 - 1, -(2**63), 2**31 - 1))
    parameters.encode("notify_ready", (["é", "\x00", "\U0001f600"],))
    for name, arguments in (
        ("heartbeat", (WORKERS[0], 1, 1, 2**31)),
        ("heartbeat", (WORKERS[0], 2**63, 1, 1)),
        ("reap", (1, -(2**15) - 1)),
        ("store_logs", ([J1], [2**31], [0], ["line"])),
        ("notify_ready", (["fine", "\ud800"],)),
        ("record_migration", (1, "\udfff")),
    ):
        with pytest.raises(StoreError) as refused:
            parameters.encode(name, arguments)
        assert refused.value.sqlstate == "22000"


def test_the_server_reads_no_nul() -> None:
    """22021 for text with a NUL in it, alone or in an array; null is no text."""
    parameters.read("list_jobs", (None, "tag", None, 1, None, None))
    for name, arguments in (
        ("cancel_unstarted", ([J1], "en\x00ough", [])),
        ("store_logs", ([J1, J1], [1, 2], [0, 0], ["line", "\x00"])),
    ):
        with pytest.raises(StoreError) as refused:
            parameters.read(name, arguments)
        assert refused.value.sqlstate == "22021"
