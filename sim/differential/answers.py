"""What was seen of a history, put so that two sides can be compared.

Rule of this file: what may differ is taken out here and nowhere else. Two clocks never agree, so a
time becomes hours from the beginning and the step in which it was read. JSON is compared decoded,
rows without an order as sorted ones, the jobs of a claim as a set, because a pull leaves their
order open.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import ClaimRow, CompletedRow, Row
from sim.differential.history import HOUR, HOUR_S, NAMES
from trioworker.errors import ConnectionLost, StoreError
from trioworker.store.postgres.statements import load_statements

ROWS: Final = "rows"
BEGUN: Final = "begun"
COMMITTED: Final = "committed"
ROLLED_BACK: Final = "rolled back"
WORDS: Final = (ROWS, BEGUN, COMMITTED, ROLLED_BACK)

_ORDERED: Final = re.compile(r"^ order by ", re.MULTILINE)
_STARTED_AT, _RESULT = 13, 16  # of the columns of `job_states`
_LIKE_JSON: Final = re.compile(r"[\[{\"\dntf-]")


class Moment(NamedTuple):
    """A time: so many hours from the beginning, or from the reading of a clock in a step."""

    hours: int
    step: int | None

    def __repr__(self) -> str:
        start = "start" if self.step is None else f"step {self.step}"
        return f"{start}{self.hours:+d}h" if self.hours else start


class Answer(msgspec.Struct, frozen=True):
    """How a step ended: a word for a boundary, rows, or an error and its SQLSTATE."""

    word: str = ROWS
    rows: tuple[Any, ...] = ()
    sqlstate: str | None = None

    def __repr__(self) -> str:
        if self.word == ROWS:
            return shown_rows(self.rows)
        return f"{self.word} {self.sqlstate}" if self.sqlstate else self.word

    @property
    def is_error(self) -> bool:
        """Whether it is one."""
        return self.word not in WORDS


class Seen(msgspec.Struct, frozen=True):
    """What was to be seen when everybody was done or waited for somebody.

    `ended` has the answers that came since the last step, by session; `blocked` the sessions that
    wait, and for whom; `heard` what a listener was told.
    """

    ended: Mapping[int, Answer]
    blocked: Mapping[int, frozenset[int]]
    heard: tuple[tuple[str, str], ...] = ()


class Transcript(msgspec.Struct, frozen=True):
    """A whole history as one side saw it; `contents` are all rows at the end, by table."""

    seen: Sequence[Seen]
    contents: Mapping[str, Sequence[Any]]


class Normal:
    """Makes what one side answers comparable. `marks` are its clock's readings before each step."""

    def __init__(self, base: datetime, marks: Sequence[datetime]) -> None:
        self._base = base
        self._marks = marks

    def rows(self, query: str, rows: Iterable[Iterable[Any]]) -> Answer:
        """The rows that a query gave."""
        if query == "job_states":
            rows = map(_with_lasting, rows)
        found = [tuple(self.value(value) for value in row) for row in rows]
        if query == "cached_results":
            found = [(key, job, _hours(age_s), result) for key, job, age_s, result in found]
        if query == "end_flows":
            found = [(*row[:-1], _hours(row[-1] / 1_000)) for row in found]  # type: ignore[operator]  # a number
        if query in ("next_due", "next_look"):
            found = [tuple(_hours(value) for value in row) for row in found]
        if query == "server_version":
            found = [("a version",)] * len(found)
        return Answer(rows=tuple(found) if is_ordered(query) else sorted_rows(found))

    def table(self, rows: Iterable[Row]) -> tuple[Any, ...]:
        """All rows of a table."""
        return sorted_rows(self._row(row) for row in rows)

    def value(self, value: object) -> object:
        """One value."""
        match value:
            case datetime():
                return self._moment(value)
            case UUID():
                return NAMES.get(value, value)
            case str():
                return _text(value)
            case float():
                return float(f"{value:.6g}")
            case list() | tuple():
                return tuple(self.value(each) for each in value)
            case _:
                return value

    def _row(self, row: Row) -> tuple[Any, ...]:
        if isinstance(row, ClaimRow):
            jobs = zip(row.ids, row.attempts, row.reaped, strict=True)
            held = sorted_rows(tuple(self.value(each) for each in job) for job in jobs)
            return (*map(self.value, (row.id, row.worker, row.claimed_at)), held)
        values = msgspec.structs.astuple(row)
        if isinstance(row, CompletedRow):
            values = (*values[:-3], *_lasting(*values[-3:]))
        return tuple(map(self.value, values))

    def _moment(self, value: datetime) -> Moment:
        seconds = (value - self._base).total_seconds()
        hours = round(seconds / HOUR_S)
        if seconds == hours * HOUR_S:
            return Moment(hours, None)
        return Moment(hours, bisect_left(self._marks, value - hours * HOUR) - 1)


def _with_lasting(state: Iterable[Any]) -> tuple[Any, ...]:
    """What `job_states` says of a job."""
    values = tuple(state)
    return (*values[:_STARTED_AT], *_lasting(*values[_STARTED_AT:_RESULT]), *values[_RESULT:])


def _lasting(
    started_at: datetime | None, completed_at: datetime | None, duration_ms: int | None
) -> tuple[object, ...]:
    """The three, but for a duration that is from the one to the other: two clocks never agree."""
    if started_at is not None and completed_at is not None:
        microseconds = (completed_at - started_at) // timedelta(microseconds=1)
        if duration_ms == (microseconds + 500) // 1_000:
            return started_at, completed_at, "to its end"
    return started_at, completed_at, duration_ms


def error(failure: StoreError) -> Answer:
    """An error. How a lost line is told differs; `test_database_client` compares that."""
    sqlstate = None if isinstance(failure, ConnectionLost) else failure.sqlstate
    return Answer(type(failure).__name__, sqlstate=sqlstate)


@cache
def is_ordered(query: str) -> bool:
    """Whether the order of a query's rows is part of its answer.

    It is not where the order of a claim's jobs shows through.
    """
    return query != "adopt" and _ORDERED.search(load_statements()[query].sql) is not None


def sorted_rows(rows: Iterable[Any]) -> tuple[Any, ...]:
    """Rows in an order that only depends on what they are."""
    return tuple(sorted(rows, key=repr))


def shown_rows(rows: Sequence[Any]) -> str:
    """Rows in few words."""
    if not rows:
        return "no rows"
    return "; ".join(", ".join(_shown(value) for value in row) for row in rows)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _text(value: str) -> object:
    if not _LIKE_JSON.match(value):
        return value
    try:
        return _frozen(json.loads(value))
    except ValueError:
        return value


def _frozen(value: object) -> object:
    """JSON as something that can be compared and sorted; 1.50 is 1.5."""
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(each)) for key, each in value.items()))
    if isinstance(value, list):
        return tuple(_frozen(each) for each in value)
    return value


def _hours(value: object) -> object:
    return f"{round(value / HOUR_S)} h" if isinstance(value, float) else value
