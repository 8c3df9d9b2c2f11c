"""The commits of a real server, read back after they happened: as the simulated one tells of them.

Triggers of the test's own write down each change of a row, within the transaction that makes it
(`audit.sql`). The server says when each transaction was committed (`track_commit_timestamp`), in
an order that fits: of two transactions that touch the same row the later one waited for the first.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import psycopg
import trio
from psycopg.sql import SQL, Identifier

from sim.database.rows import (
    AttemptRow,
    CancelRow,
    ClaimRow,
    CompletedRow,
    ConcurrencyRow,
    EffectRow,
    ExpiryRow,
    JobRow,
    LabelRow,
    LogRow,
    MigrationRow,
    ProgressRow,
    ReadyRow,
    ResultRow,
    Row,
    ScheduleRow,
    SlotRow,
    SpentRow,
    TokenRow,
    UniqueKeyRow,
    WaitingRow,
    WorkerRow,
)
from sim.database.user_table import TABLE
from sim.happenings import RowChange
from trioworker.store.postgres.statements import DEFAULT_SCHEMA

HERE: Final = Path(__file__).parent
INSTALL: Final = (HERE / "audit.sql").read_bytes()
CHANGES: Final = (HERE / "changes.sql").read_bytes()
STARTED: Final = b"select pg_postmaster_start_time()"
RECORD: Final = Identifier("sim", "change")
USERS: Final = Identifier("sim", TABLE)
LOOKS_AT_THE_CLOCK: Final = 20

ROWS: Final[Mapping[str, type[Row]]] = {
    "job": JobRow,
    "ready": ReadyRow,
    "waiting": WaitingRow,
    "claim": ClaimRow,
    "job_completed": CompletedRow,
    "job_log": LogRow,
    "job_attempt": AttemptRow,
    "job_label": LabelRow,
    "job_progress": ProgressRow,
    "expiry": ExpiryRow,
    "concurrency": ConcurrencyRow,
    "slot": SlotRow,
    "spent_slot": SpentRow,
    "schedule": ScheduleRow,
    "unique_key": UniqueKeyRow,
    "result_cache": ResultRow,
    "worker": WorkerRow,
    "agent_token": TokenRow,
    "cancel_request": CancelRow,
    TABLE: EffectRow,
    "migration": MigrationRow,
}
KEPT: Final = ("migration", TABLE)
"""Those that are not emptied, or not among ours."""


class Audited(NamedTuple):
    """A transaction that was committed `at`, by the server's clock.

    `key` tells it from all others, those that a crash undid as well.
    """

    key: tuple[int, datetime]
    at: datetime
    actor: str
    changes: Sequence[RowChange]

    @property
    def number(self) -> int:
        """The server's own number for it."""
        return self.key[0]


def install(url: str) -> None:
    """Watch every table of our schema, which must be there."""
    with psycopg.connect(url) as connection:
        connection.execute(INSTALL)


def clear(url: str) -> None:
    """Leave nothing in the tables, nor in the record of their changes."""
    tables = [Identifier(DEFAULT_SCHEMA, table) for table in ROWS if table not in KEPT]
    with psycopg.connect(url) as connection:
        connection.execute(SQL("truncate {}").format(SQL(", ").join([*tables, RECORD, USERS])))


def read(url: str) -> Sequence[Audited]:
    """Everything that is committed, in the order of the commits."""
    with psycopg.connect(url) as connection:
        return list(_transactions(connection.execute(CHANGES).fetchall()))


def started(url: str) -> datetime:
    """When the server was started, by its own clock."""
    with psycopg.connect(url) as connection:
        row = connection.execute(STARTED).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def _transactions(
    rows: Sequence[tuple[int, datetime, str, datetime, str, str, str]],
) -> Iterator[Audited]:
    for (number, started, actor, at), changes in groupby(rows, lambda row: row[:4]):
        yield Audited(
            (number, started),
            at,
            actor,
            [
                RowChange(table=table, old=_row(table, before), new=_row(table, after))
                for *_, table, before, after in changes
            ],
        )


def _row(table: str, text: str | None) -> Row | None:
    return None if text is None else msgspec.json.decode(text, type=ROWS[table])


class Clock(NamedTuple):
    """How the server's clock, which is the machine's, compares to Trio's.

    To ask the server was tried first: on a busy machine the answer is half a millisecond wrong, and
    a worker seems to know of a pull before it is committed.
    """

    ahead_s: float

    @classmethod
    def look(cls) -> "Clock":
        """Read both, some times over; the quickest look is the most exact one."""
        looks: list[tuple[float, float]] = []
        for _ in range(LOOKS_AT_THE_CLOCK):
            before_s = trio.current_time()
            now_s = time.time()
            after_s = trio.current_time()
            looks.append((after_s - before_s, now_s - (before_s + after_s) / 2))
        return cls(min(looks)[1])

    def in_trio_s(self, at: datetime) -> float:
        """A moment by the server's clock as Trio's."""
        return at.timestamp() - self.ahead_s
