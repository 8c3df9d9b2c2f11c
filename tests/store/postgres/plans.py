"""What a statement reads: from its plan, and from the blocks that a run of it has touched.

Rule of this file: plans are those of the worker. A connection here has the very settings that a
connection of the store has, and statements are prepared and executed, never explained as text.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, cast

import psycopg
import trio

from trioworker.events import discard
from trioworker.store.postgres.database import Lane, open_database

Plan: TypeAlias = Mapping[str, Any]

ALL_OF_IT: Final = "all of it"
PLACE: Final = "place"  # by ctid
GROWING: Final = (
    "job", "ready", "waiting", "claim", "job_completed", "job_log", "job_attempt",
    "concurrency", "schedule", "slot", "spent_slot", "job_preprocessed",
    "result_cache", "unique_key", "job_label", "job_progress", "expiry", "flow_state", "decision",
    "job_step", "parent",
)  # fmt: skip
"""The tables whose size is the users' to choose."""

FEW: Final = ("waiting_fresh", "waiting_undecided", "concurrency_look", "flow_state_worker")
"""Indexes that have nothing in them but what is looked for: they are read without a condition."""

BLOCKS: Final = """
select coalesce(sum(pg_stat_get_xact_blocks_fetched(oid)), 0)::integer from pg_class
 where relnamespace in ('trioworker'::regnamespace, 'pg_toast'::regnamespace)
"""


def worker_settings(url: str) -> Mapping[str, str]:
    """What a connection of the store says to the server when it is opened."""
    lane = Lane("pull", durable=False)
    note = (
        "create table as_worker as select name, setting from pg_settings where source = 'client'"
        " and context = 'user' and name <> 'client_encoding'"
    )

    async def ask() -> None:
        async with open_database(url, (lane,), emit=discard) as database:
            await database.transact(lane.name, lambda tx: tx.script(note))

    trio.run(ask)
    with psycopg.connect(url) as connection:
        return dict(connection.execute("select name, setting from as_worker").fetchall())


class Planner:
    """A connection like the worker's. What a run of a statement does is undone."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def plan(self, sql: str, arguments: Sequence[object] = ()) -> Plan:
        """The plan that the worker would execute `sql` with; nulls are as good as any arguments."""
        self.prepare(sql)
        row = self._connection.execute(
            "select cardinality(parameter_types) from pg_prepared_statements where name = 's'"
        ).fetchone()
        assert row
        [[plan]] = self._execute("explain (format json) ", arguments or [None] * row[0])[0]
        return cast("Plan", plan["Plan"])

    def prepare(self, sql: str) -> None:
        """Prepare the statement that `blocks` runs."""
        self._connection.execute("deallocate all")
        self._connection.execute(b"prepare s as " + sql.replace("%", "%%").encode())

    def blocks(self, arguments: Sequence[object]) -> int:
        """How many blocks of our tables and indexes a run of the prepared statement touches."""
        with self._connection.transaction(force_rollback=True):
            before = self._connection.execute(BLOCKS).fetchone()
            self._execute("", arguments)
            after = self._connection.execute(BLOCKS).fetchone()
        assert before
        assert after
        return int(after[0] - before[0])

    def _execute(self, before: str, arguments: Sequence[object]) -> list[tuple[Any, ...]]:
        holes = ", ".join(["%s"] * len(arguments))
        call = f"{before}execute s" + (f" ({holes})" if arguments else "")
        answer = self._connection.execute(call.encode(), arguments)
        return answer.fetchall() if answer.description is not None else []


@contextmanager
def planner(url: str, settings: Mapping[str, str]) -> Iterator[Planner]:
    """A planner on the database at `url`."""
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for name, setting in settings.items():
            connection.execute("select set_config(%s, %s, false)", (name, setting))
        yield Planner(connection)


def ways(plan: Plan) -> Mapping[str, frozenset[str]]:
    """By which indexes a plan reads each of the `GROWING` tables; `ALL_OF_IT` where by none."""
    found: dict[str, set[str]] = {}
    for node in _nodes(plan):
        table = node.get("Relation Name")
        if table in GROWING and node["Node Type"] != "ModifyTable":
            found.setdefault(table, set()).update(_ways_of(node))
    return {table: frozenset(indexes) for table, indexes in found.items()}


def _ways_of(scan: Plan) -> Iterator[str]:
    match scan["Node Type"]:
        case "Tid Scan":
            yield PLACE
        case "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" if (
            "Index Cond" in scan or scan["Index Name"] in FEW
        ):
            yield scan["Index Name"]
        case "Bitmap Heap Scan" | "BitmapAnd" | "BitmapOr":
            for part in scan["Plans"]:
                if part["Node Type"].startswith("Bitmap"):
                    yield from _ways_of(part)
        case _:
            yield ALL_OF_IT


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
