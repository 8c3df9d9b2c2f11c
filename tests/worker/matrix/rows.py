"""All that is stored in the end, job by job, without what differs from run to run.

Rule of this file: what is left out is named here. Every table is read, so the rows of a new sort of
effect are compared from its first day; it needs a line in `FACTS` to be told of in words.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from tests.worker.matrix.scene import Name, Scene

TABLES: Final = """
select table_name, format('select to_jsonb(it) from %I.%I as it', table_schema, table_name)
  from information_schema.tables
 where table_schema in ('trioworker', 'public') and table_name not in ('migration', 'worker')
"""
KEYS: Final = {"concurrency": "key", "spent_slot": "key", "unique_key": "key", "schedule": "name"}
"""Tables of what jobs share, and the column that says which sort and copy a row is of."""
FACTS: Final = {
    "job_attempt": "attempt {attempt} {error[name]}",
    "job_completed": "{status} {attempt} {error[name]}",
    "ready": "ready {attempt}",
    "waiting": "waiting {attempt}",
    "claim": "claimed",
    "cancel_request": "to be canceled",
    "slot": "in a slot",
    "spent_slot": "{slots} slot spent",
    "job_log": "log {attempt}",
    "job_label": "label {label}",
    "job_progress": "told {attempt}",
    "expiry": "to be deleted",
    "result_cache": "result kept",
    "effect": "effect",
    "unique_key": "of {job}",
    "schedule": "then {pending}, {failures} failed",
}
"""What the rows of each table say of a job or of a key, in the order in which it is told."""

ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
AGE: Final = re.compile(r"\b\d+ s old")
KEY: Final = re.compile(r"(.+) (\d+)")


class Row(NamedTuple):
    """A row of a table, and the job that it is about, or "key"."""

    table: str
    about: str
    columns: str


class Reader:
    """What is stored now, by sort and copy."""

    def __init__(self, scene: Scene) -> None:
        self._names = dict(scene.names)
        self._now, stored = _everything(scene.rig.url)
        for table, row in stored:
            if table == "job":
                self._names.setdefault(UUID(row["id"]), _follower(row))
        self._rows: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for table, row in stored:
            sort, copy, about = self._whose(table, row)
            columns = msgspec.json.encode(self._timeless(row), order="sorted").decode()
            self._rows[sort, copy].append(Row(table, about, columns))

    def rows(self, sort: str, copy: int = 0) -> Sequence[Row]:
        """All there is of a copy of a sort."""
        return sorted(self._rows[sort, copy])

    def words(self, sort: str, copy: int = 0) -> str:
        """The same in words, job by job."""
        said: dict[str, list[str]] = defaultdict(list)
        rows = self.rows(sort, copy)
        for table, fact in FACTS.items():
            for row in rows:
                if row.table == table:
                    columns = {"error": None} | msgspec.json.decode(row.columns)
                    columns["error"] = columns["error"] or {"name": ""}
                    said[row.about].append(fact.format_map(columns).strip())
        return "; ".join(f"{about}: {', '.join(facts)}" for about, facts in sorted(said.items()))

    def _whose(self, table: str, row: Mapping[str, Any]) -> Name:
        if table not in KEYS:
            return self._names[UUID(row.get("id") or row["job"])]
        key = KEY.fullmatch(row[KEYS[table]])
        assert key is not None
        return Name(key[1], int(key[2]), "key")

    def _timeless(self, value: object) -> object:
        """What is the same in every run: names for ids, and whether times are yet to come."""
        if isinstance(value, dict):
            timed = {"duration_ms": "some"} if value.get("duration_ms") is not None else {}
            return {name: self._timeless(one) for name, one in (value | timed).items()}
        if isinstance(value, list):
            return [self._timeless(one) for one in value]
        if not isinstance(value, str):
            return value
        if TIME.match(value):
            return "past" if datetime.fromisoformat(value) <= self._now else "to come"
        return AGE.sub("… s old", ID.sub(self._name, value))

    def _name(self, id_: re.Match[str]) -> str:
        name = self._names.get(UUID(id_[0]))
        return "a worker" if name is None else name.job


def _everything(url: str) -> tuple[datetime, Sequence[tuple[str, dict[str, Any]]]]:
    """The time, and the rows of all tables with the tables' names."""
    with psycopg.connect(url) as connection:
        ((now,),) = connection.execute("select now()")
        tables = connection.execute(TABLES).fetchall()
        return now, [(name, row) for name, text in tables for (row,) in connection.execute(text)]


def _follower(job: Mapping[str, Any]) -> Name:
    """The name of a job that nobody has enqueued but the end of another."""
    args, handles = job["args"], (job["options"] or {}).get("handles")
    if handles is not None:
        return Name(args[0]["path"], args[0]["args"]["copy"], f"on {handles}")
    return Name(job["path"], args["copy"], "next")
