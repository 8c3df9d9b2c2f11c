"""Databases that tests use one after the other: emptied in a moment, where a new one takes long.

Rule of this file: whoever gets one cannot tell it from a new one. One that somebody has changed
otherwise than by its rows, or is still connected to, is not used again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final

import psycopg

LEAVE_S: Final = 10.0

EMPTY: Final = """
delete from trioworker.job; delete from trioworker.ready; delete from trioworker.waiting;
delete from trioworker.claim; delete from trioworker.job_completed; delete from trioworker.job_log;
delete from trioworker.job_attempt; delete from trioworker.concurrency;
delete from trioworker.slot; delete from trioworker.spent_slot;
delete from trioworker.unique_key;
delete from trioworker.schedule;
delete from trioworker.job_label; delete from trioworker.job_progress;
delete from trioworker.expiry;
delete from trioworker.result_cache;
delete from trioworker.script; delete from trioworker.job_preprocessed;
delete from trioworker.agent_token;
delete from trioworker.job_step; delete from trioworker.parent;
delete from trioworker.flow; delete from trioworker.flow_state; delete from trioworker.decision;
delete from trioworker.worker; delete from trioworker.cancel_request;
"""
SHAPE: Final = """
select (select array_agg(oid order by oid) from pg_class where oid >= 16384),
       (select array_agg((oid, xmin::text) order by oid) from pg_proc where oid >= 16384)::text,
       (select array_agg(oid order by oid) from pg_trigger),
       (select array_agg((number, name) order by number) from trioworker.migration)::text
"""
OTHERS: Final = """
select count(*) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


class Databases:
    """Migrated databases of one server, each made by `make` and alive until `close`."""

    def __init__(self, make: Callable[[], AbstractContextManager[str]]) -> None:
        self._make = make
        self._made = ExitStack()
        self._shapes: dict[str, Any] = {}
        self._free: list[str] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The address of one with nothing in it."""
        url = self._free.pop() if self._free else self._new()
        yield url
        if self._emptied(url):
            self._free.append(url)

    def close(self) -> None:
        """Drop them all."""
        self._made.close()

    def _new(self) -> str:
        url = self._made.enter_context(self._make())
        with psycopg.connect(url) as connection:
            self._shapes[url] = connection.execute(SHAPE).fetchone()
        return url

    def _emptied(self, url: str) -> bool:
        with psycopg.connect(url, autocommit=True) as connection:
            give_up_s = time.monotonic() + LEAVE_S
            while connection.execute(OTHERS).fetchone() != (0,):
                if time.monotonic() > give_up_s:
                    return False
                time.sleep(0.005)
            connection.execute(EMPTY)
            return bool(connection.execute(SHAPE).fetchone() == self._shapes[url])
