"""Two databases behind one seam: `PostgresDatabase` and `SimDatabase`, each with its server's end.

Rule of this file: a case sees a `Line` only, does the same to both, and what it returns is compared
as it is. What is done to the server's end is done past the seam.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final, LiteralString, Protocol
from uuid import UUID

import psycopg
import trio
from psycopg.sql import SQL, Identifier

from sim.database.client import SimDatabase
from sim.database.faults import Fault, Kind, NoFaults
from sim.database.server import Health, SimServer
from sim.database.session import Session
from sim.database.wire import COMMIT, Wire
from tests.worker.line_cutter import LineCutter, line_cutter
from trioworker.events import Event, discard
from trioworker.store.postgres.database import Database, Lane, PostgresDatabase, open_database

LANE: Final = "commit"
WIDE: Final = "control"
WIDTH: Final = 2
LANES: Final = (Lane(LANE), Lane(WIDE, size=WIDTH))
PATIENCE_S: Final = 60.0


class Line(Protocol):
    """One client, and the server's end of its connections."""

    events: list[Event]

    @property
    def database(self) -> Database:
        """What the client has."""
        ...

    def kill(self) -> None:
        """The server ends every connection of the client."""
        ...

    def backends(self) -> frozenset[object]:
        """The server's ends of the client's connections."""
        ...

    def waiting(self) -> int:
        """How many of the client's statements wait for a lock."""
        ...

    def held(self, worker: UUID) -> AbstractContextManager[None]:
        """Somebody else has changed a worker's row, and goes back in the end."""
        ...

    def refuse_writes(self) -> None:
        """Connections that are made from now on meet a server that takes no writes."""
        ...

    def refuse_commits(self) -> None:
        """From now on who has changed a worker's row hears of a conflict at COMMIT."""
        ...

    async def noticed(self) -> None:
        """Return when the client knows that its idle connection is dead."""
        ...

    def lose_next_reply(self) -> None:
        """What is asked next is carried out, and the line is cut before the answer."""
        ...

    async def ask_nobody(self) -> object:
        """Ask a server that is not there."""
        ...


async def until(holds: Callable[[], bool]) -> None:
    """Return when it holds."""
    with trio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - the server knows it, and sends no events
            await trio.sleep(0.005)


# ---- the real one -----------------------------------------------------------------------------

KILL: Final = """
select pg_terminate_backend(pid, 10000) from pg_stat_activity
 where datname = current_database() and application_name like 'trioworker %'
"""
BACKENDS: Final = """
select pid from pg_stat_activity
 where datname = current_database() and application_name like 'trioworker %'
"""
WAITING: Final = BACKENDS + " and wait_event_type = 'Lock'"
NOBODY: Final = "postgresql:///nobody?host=/nowhere"
HOLD: Final = "update trioworker.worker set pid = 2 where id = %s"
REFUSE_COMMITS: Final = """
create function refuse() returns trigger language plpgsql as $$
begin
    raise exception 'not now' using errcode = 'serialization_failure';
end
$$;
create constraint trigger refuse after update on trioworker.worker
    deferrable initially deferred for each row execute function refuse()
"""
REFUSE_WRITES: Final = "alter database {} set default_transaction_read_only = on"


class RealLine:
    """A `PostgresDatabase`."""

    def __init__(
        self, url: str, database: PostgresDatabase, events: list[Event], cutter: LineCutter
    ) -> None:
        self.database = database
        self._cutter = cutter
        self.events = events
        self._url = url

    def kill(self) -> None:
        """See `Line.kill`."""
        self._ask(KILL)

    def backends(self) -> frozenset[object]:
        """See `Line.backends`."""
        return frozenset(row[0] for row in self._ask(BACKENDS))

    def waiting(self) -> int:
        """See `Line.waiting`."""
        return len(self._ask(WAITING))

    @contextmanager
    def held(self, worker: UUID) -> Iterator[None]:
        """See `Line.held`."""
        with psycopg.connect(self._url) as other:
            other.execute(HOLD, [worker])
            yield
            other.rollback()

    def refuse_writes(self) -> None:
        """See `Line.refuse_writes`."""
        with psycopg.connect(self._url, autocommit=True) as admin:
            admin.execute(SQL(REFUSE_WRITES).format(Identifier(admin.info.dbname)))

    def refuse_commits(self) -> None:
        """See `Line.refuse_commits`."""
        self._ask(REFUSE_COMMITS)

    async def noticed(self) -> None:
        """See `Line.noticed`."""
        (idle,) = self.database._lanes[LANE].idle  # noqa: SLF001 - nothing else knows it
        await until(idle.is_closed)

    def lose_next_reply(self) -> None:
        """See `Line.lose_next_reply`."""
        self._cutter.cut_next_reply(LANE)

    async def ask_nobody(self) -> object:
        """See `Line.ask_nobody`."""
        async with open_database(NOBODY, LANES, emit=discard) as database:
            return await database.run(LANE, "clock")

    def _ask(self, question: LiteralString) -> list[tuple[object, ...]]:
        with psycopg.connect(self._url, autocommit=True) as admin:
            answer = admin.execute(question)
            return answer.fetchall() if answer.description else []


@asynccontextmanager
async def real_line(url: str, timeout_s: float) -> AsyncIterator[Line]:
    """A client of the database at `url`, each statement of which may take `timeout_s`."""
    events: list[Event] = []
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        async with (
            line_cutter(url, Path(folder)) as (through, cutter),
            open_database(
                through, LANES, emit=events.append, command_timeout_s=timeout_s
            ) as database,
        ):
            yield RealLine(url, database, events, cutter)


# ---- the modelled one -------------------------------------------------------------------------


class _Luck(NoFaults):
    """A perfect world, but for a reply; in which news of a loss comes in time or never."""

    in_time = False
    refuses_commits = False
    next_fault: Fault | None = None

    def at(self, actor: str, place: str) -> Fault | None:
        """See `Faults.at`."""
        del actor
        if self.refuses_commits and place == COMMIT:
            return Fault(Kind.SERIALIZATION)
        fault, self.next_fault = self.next_fault, None
        return fault

    def luck(self, actor: str, place: str) -> float:
        """See `Faults.luck`."""
        del actor, place
        return 0.0 if self.in_time else 1.0


class ModelledLine:
    """A `SimDatabase`."""

    def __init__(self, server: SimServer, tasks: trio.Nursery, timeout_s: float) -> None:
        self._server = server
        self._faults = _Luck()
        self._wire = Wire(server, tasks, self._faults)
        self.events: list[Event] = []
        self.database = SimDatabase(
            self._wire,
            LANES,
            actor="client",
            emit=self.events.append,
            command_timeout_s=timeout_s,
        )

    def kill(self) -> None:
        """See `Line.kill`."""
        for session in self._sessions():
            session.end()

    def backends(self) -> frozenset[object]:
        """See `Line.backends`."""
        return frozenset(self._sessions())

    def waiting(self) -> int:
        """See `Line.waiting`."""
        return sum(bool(session.waits_for) for session in self._sessions())

    @contextmanager
    def held(self, worker: UUID) -> Iterator[None]:
        """See `Line.held`."""
        other = Session(self._server, actor="other", durable=True)
        other.begin()
        with suppress(StopIteration):
            # Nobody is in its way: it ends without having waited for anything.
            other.run("retire_worker", (worker,)).send(None)
        yield
        other.end()

    def refuse_writes(self) -> None:
        """See `Line.refuse_writes`."""
        self._server.start(Health.STANDBY)

    async def noticed(self) -> None:
        """See `Line.noticed`."""
        self._faults.in_time = True

    def refuse_commits(self) -> None:
        """See `Line.refuse_commits`."""
        self._faults.refuses_commits = True

    def lose_next_reply(self) -> None:
        """See `Line.lose_next_reply`."""
        self._faults.next_fault = Fault(Kind.LOST_AFTER)

    async def ask_nobody(self) -> object:
        """See `Line.ask_nobody`."""
        self._server.stop(lose_unwritten=False)
        return await self.database.run(LANE, "clock")

    def _sessions(self) -> list[Session]:
        return [session for session in self._server.sessions if session.actor == "client"]


@asynccontextmanager
async def modelled_line(timeout_s: float) -> AsyncIterator[Line]:
    """A client of a new modelled server, each statement of which may take `timeout_s`."""
    async with trio.open_nursery() as tasks:
        yield ModelledLine(SimServer(Random("lines")), tasks, timeout_s)
        tasks.cancel_scope.cancel()
