"""The real side: a history on PostgreSQL, over connections as the worker has them.

Rule of this file: a step is over when every session is done or waits for one that is done, and
that is observed, never guessed. `pg_blocking_pids` says who waits for whom. A waiter's look for a
deadlock decides who goes down in one, so nobody goes on before it: with `log_lock_waits` on, the
server tells each waiter by a message when it has looked.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg
import msgspec

from sim.database.rows import (
    AttemptRow,
    CancelRow,
    ClaimRow,
    CompletedRow,
    ConcurrencyRow,
    DecisionRow,
    ExpiryRow,
    FlowRow,
    FlowStateRow,
    JobRow,
    LabelRow,
    LogRow,
    MigrationRow,
    ParentRow,
    PreprocessedRow,
    ProgressRow,
    ReadyRow,
    ResultRow,
    Row,
    ScheduleRow,
    ScriptRow,
    SlotRow,
    SpentRow,
    StepRow,
    TokenRow,
    UniqueKeyRow,
    WaitingRow,
    WorkerRow,
)
from sim.differential.answers import (
    BEGUN,
    COMMITTED,
    ROLLED_BACK,
    Answer,
    Normal,
    Seen,
    Transcript,
    error,
)
from sim.differential.history import (
    BEGIN,
    BOUNDARIES,
    CHANNELS,
    COMMIT,
    KILL,
    MIGRATIONS,
    ROLLBACK,
    History,
    Scene,
    Step,
    after,
)
from trioworker.errors import StoreError
from trioworker.events import discard
from trioworker.store.postgres.database import PostgresDatabase
from trioworker.store.postgres.sqlstates import NEVER_SENT
from trioworker.store.postgres.statements import DEFAULT_SCHEMA, load_statements
from trioworker.store.postgres.translation import translate

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Waits: TypeAlias = Mapping[int, frozenset[int]]

STEP_S_MAX: Final = 60.0
"""For a machine that is busy with something else: no step takes long."""

TABLES: Final[Mapping[str, type[Row]]] = {
    "job": JobRow,
    "ready": ReadyRow,
    "waiting": WaitingRow,
    "claim": ClaimRow,
    "job_completed": CompletedRow,
    "job_log": LogRow,
    "job_attempt": AttemptRow,
    "result_cache": ResultRow,
    "script": ScriptRow,
    "job_preprocessed": PreprocessedRow,
    "job_label": LabelRow,
    "job_progress": ProgressRow,
    "expiry": ExpiryRow,
    "concurrency": ConcurrencyRow,
    "slot": SlotRow,
    "spent_slot": SpentRow,
    "unique_key": UniqueKeyRow,
    "worker": WorkerRow,
    "agent_token": TokenRow,
    "schedule": ScheduleRow,
    "flow": FlowRow,
    "flow_state": FlowStateRow,
    "decision": DecisionRow,
    "job_step": StepRow,
    "parent": ParentRow,
    "cancel_request": CancelRow,
    "migration": MigrationRow,
}
_NAMES: Final = [f"{DEFAULT_SCHEMA}.{table}" for table in TABLES]
CLEAR: Final = "; ".join(f"delete from {table}" for table in _NAMES)  # noqa: S608 - names of ours
FILL: Final = "with {} select".format(
    ", ".join(
        f"t{n} as (insert into {table} select * from unnest(${n}::{table}[]))"  # noqa: S608 - too
        for n, table in enumerate(_NAMES, start=1)
    )
)
ALL: Final = "select {}".format(
    ", ".join(f"array(select each from {table} as each)" for table in _NAMES)  # noqa: S608 - too
)
# It takes locks when it likes; between histories we do it ourselves.
NO_AUTOVACUUM: Final = "; ".join(
    f"alter table {table} set (autovacuum_enabled = off, toast.autovacuum_enabled = off)"
    for table in _NAMES
)
VACUUM: Final = f"vacuum {', '.join(_NAMES)}"
VACUUM_EVERY: Final = 50
WATCH: Final = """
set deadlock_timeout = '1ms'; set log_lock_waits = on; set client_min_messages = log
"""
LOOK: Final = """
select clock_timestamp(), pid, pg_blocking_pids(pid)
  from (select) as always left join unnest($1::integer[]) as busy (pid) on true
"""
END: Final = "select pg_terminate_backend($1, 10000)"
SQL: Final = {BEGIN: "begin", COMMIT: "commit", ROLLBACK: "rollback"}
TAGS: Final = {"BEGIN": BEGUN, "COMMIT": COMMITTED, "ROLLBACK": ROLLED_BACK}


class RealSide:
    """The sessions on one migrated database, which nobody else may use. Close it in the end."""

    def __init__(self, url: str) -> None:
        # trio_asyncio would give it a slow loop on top of Trio.
        self._runner = asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)
        self._database = PostgresDatabase(
            url, (), schema=DEFAULT_SCHEMA, command_timeout_s=STEP_S_MAX, emit=discard
        )
        self.sessions: dict[int, _Session] = {}
        self.heard: list[tuple[str, str]] = []
        self.news = asyncio.Event()
        self._plays = 0
        self.control = self._runner.run(self._prepare())

    def play(self, history: History) -> Transcript:
        """The history on tables that hold its scene and nothing else."""
        self._plays += 1
        if self._plays % VACUUM_EVERY == 0:
            self._runner.run(self.control.execute(VACUUM))
        try:
            return self._runner.run(_Play(self, history).run())
        except BaseException:
            self._hang_up()
            raise

    def tell(self, _about: object = None) -> None:
        """Wake the play: an answer or a message has come."""
        self.news.set()

    def close(self) -> None:
        """Hang up on every connection."""
        self._hang_up()
        self.control.terminate()
        self._runner.close()

    def _hang_up(self) -> None:
        for session in self.sessions.values():
            session.connection.terminate()
        self.sessions.clear()

    async def connect(self) -> Connection:
        """A connection with the worker's own settings."""
        return await self._database._connect("history", durable=True)  # noqa: SLF001 - for its settings

    async def _prepare(self) -> Connection:
        connection = await self.connect()
        await connection.execute(NO_AUTOVACUUM)
        for channel in CHANNELS:
            await connection.add_listener(
                channel, lambda _c, _pid, channel, payload: self.heard.append((channel, payload))
            )
        return connection


class _Session:
    """A connection, and what its server process said about its waits."""

    def __init__(self, side: RealSide, connection: Connection) -> None:
        self.connection = connection
        self.pid = connection.get_server_pid()
        self.has_looked = False
        self.has_failed = False
        self._side = side
        connection.add_log_listener(self._said)

    @classmethod
    async def open(cls, side: RealSide) -> "_Session":
        """A new one."""
        connection = await side.connect()
        await connection.execute(WATCH)
        return cls(side, connection)

    async def failed(self, failure: StoreError) -> None:
        """Note the failure of a statement."""
        if failure.sqlstate == NEVER_SENT:
            # The driver may have had the statement parsed and left it at that: end that exchange.
            await self.connection.execute("select")
        elif self.connection.is_in_transaction():
            self.has_failed = True

    def _said(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        if " still waiting for " in str(message):
            self.has_looked = True
        elif " acquired " in str(message):
            self.has_looked = False
        self._side.tell()


class _Busy(NamedTuple):
    """A session and its statement, which is under way."""

    session: _Session
    task: "asyncio.Task[Answer]"


class _Play:
    def __init__(self, side: RealSide, history: History) -> None:
        self._side = side
        self._history = history
        self._marks: list[datetime] = []
        self._busy: dict[int, _Busy] = {}
        self._waits: Waits = {}
        self._now: datetime
        self._base: datetime
        self._normal: Normal

    async def run(self) -> Transcript:
        await self._look([])
        self._base = self._now
        self._normal = Normal(self._base, self._marks)
        await self._set_scene(self._history.scene)
        await self._look([])
        self._marks.append(self._now)
        self._side.heard.clear()
        seen = [await self._step(step) for step in self._history.steps]
        assert not self._busy, "a history ends with everybody done"
        left = [n for n, s in self._side.sessions.items() if s.connection.is_in_transaction()]
        assert not left, (left, self._history.steps, seen)
        return Transcript(seen=seen, contents=await self._contents())

    async def _step(self, step: Step) -> Seen:
        taken = await (self._kill(step.session) if step.what == KILL else self._take(step))
        if taken:
            async with asyncio.timeout(STEP_S_MAX):
                await self._settle()
        self._marks.append(self._now)
        seen = Seen(self._ended(), self._blocked(), tuple(sorted(self._side.heard)))
        self._side.heard.clear()
        return seen

    async def _take(self, step: Step) -> bool:
        """Begin a step; whether it meant anything."""
        if step.session in self._busy:
            return False
        sessions = self._side.sessions
        if step.session not in sessions:
            sessions[step.session] = await _Session.open(self._side)
        session = sessions[step.session]
        in_transaction = session.connection.is_in_transaction()
        if step.what in BOUNDARIES and in_transaction == (step.what == BEGIN):
            return False
        session.has_looked = False
        task = asyncio.create_task(self._answer(session, step))
        task.add_done_callback(self._side.tell)
        self._busy[step.session] = _Busy(session, task)
        return True

    async def _kill(self, number: int) -> bool:
        session = self._side.sessions.pop(number, None)
        if session is None:
            return False
        await self._side.control.fetch(END, session.pid)
        if number not in self._busy:
            session.connection.terminate()
        return True

    async def _answer(self, session: _Session, step: Step) -> Answer:
        try:
            answer = await self._do(session, step)
        except Exception as failure:
            ours = translate(failure, connecting=False)
            if not isinstance(ours, StoreError):
                raise
            await session.failed(ours)
            return error(ours)
        if step.what in BOUNDARIES:
            session.has_failed = False
        return answer

    async def _do(self, session: _Session, step: Step) -> Answer:
        if step.what in BOUNDARIES:
            return Answer(TAGS[await session.connection.execute(SQL[step.what])])
        arguments = [after(self._base, argument) for argument in step.arguments]
        sql = load_statements()[step.what].sql
        if session.has_failed:
            # A text that is not prepared yet: else the driver might look at the arguments first.
            sql += " "
        rows = await session.connection.fetch(sql, *arguments)
        return self._normal.rows(step.what, rows)

    async def _settle(self) -> None:
        """Return when nobody is busy but those who wait, and look like that twice."""
        before: Waits = {}
        while True:
            self._side.news.clear()
            busy = [each.session for each in self._busy.values() if not each.task.done()]
            if all(session.has_looked for session in busy):
                await self._look([session.pid for session in busy])
                if self._waits == before and all(self._waits.values()):
                    return
                before = self._waits
            else:
                await self._side.news.wait()

    async def _look(self, pids: Sequence[int]) -> None:
        rows = await self._side.control.fetch(LOOK, pids)
        # What had arrived by then on other connections is taken in.
        await asyncio.sleep(0)
        self._now = rows[0][0]
        self._waits = {pid: frozenset(by) for _, pid, by in rows if pid is not None}

    def _ended(self) -> dict[int, Answer]:
        done = {n: each.task.result() for n, each in self._busy.items() if each.task.done()}
        for number in done:
            del self._busy[number]
        return done

    def _blocked(self) -> dict[int, frozenset[int]]:
        numbers = {session.pid: number for number, session in self._side.sessions.items()}
        return {
            number: frozenset(numbers[pid] for pid in self._waits[each.session.pid])
            for number, each in self._busy.items()
        }

    async def _set_scene(self, scene: Scene) -> None:
        tables: Scene = {"migration": MIGRATIONS, **scene}
        await self._side.control.execute(CLEAR)
        await self._side.control.fetch(
            FILL, *(after(self._base, rows_of(tables.get(table, ()))) for table in TABLES)
        )

    async def _contents(self) -> dict[str, Any]:
        record = await self._side.control.fetchrow(ALL)
        assert record is not None
        return {
            table: self._normal.table(kind(**row) for row in rows)
            for (table, kind), rows in zip(TABLES.items(), record, strict=True)
        }


def rows_of(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """The rows as the driver wants them."""
    return [msgspec.structs.astuple(row) for row in rows]
