"""The modelled side: a history on a `SimServer`, in virtual time.

Rule of this file: a step is over when nothing moves any more, and nothing would if time passed:
those who wait have waited long enough to look for a deadlock.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

import trio
from trio.testing import wait_all_tasks_blocked

from sim.database.parameters import encode
from sim.database.server import SimServer
from sim.database.session import Session
from sim.database.table import Table, Version
from sim.database.transaction import DEADLOCK_TIMEOUT_S, Change
from sim.determinism import simulate
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
    BASE,
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
)
from trioworker.errors import ConnectionLost, StoreError

TICK_S: Final = 0.001
"""Between two steps, so that their clocks differ as real ones do."""
HORIZON_S: Final = 1_500.0
WALL_LIMIT_S: Final = 60.0


class Modelled(NamedTuple):
    """A play of the model; `chances` are the steps in which it left something to chance."""

    transcript: Transcript
    chances: Sequence[int]


def play_modelled(history: History, luck: Mapping[int, int]) -> Modelled:
    """The history on a new modelled server.

    `luck` decides what PostgreSQL leaves open, step by step: two plays with the same luck up to
    a step are the same up to there.
    """
    return simulate(
        lambda: _Play(history, luck).run(), seed=0, horizon_s=HORIZON_S, wall_limit_s=WALL_LIMIT_S
    )


class _Play:
    def __init__(self, history: History, luck: Mapping[int, int]) -> None:
        self._history = history
        self._luck = luck
        self._rng = Random()
        self._server = SimServer(self._rng)
        self._marks = [self._server.clock()]
        self._normal = Normal(BASE, self._marks)
        self._sessions: dict[int, Session] = {}
        self._busy: dict[int, None] = {}
        self._ended: dict[int, Answer] = {}
        self._heard: list[tuple[str, str]] = []
        self._chances: list[int] = []

    async def run(self) -> Modelled:
        # As long ago as a test's server: later than the longest lease, earlier than the shortest.
        self._server.started_at = BASE
        set_scene(self._server, self._history.scene)
        listener = Session(self._server, actor="listener", durable=True)
        listener.listen(CHANNELS, lambda *news: self._heard.append(news))
        seen = []
        async with trio.open_nursery() as tasks:
            for number, step in enumerate(self._history.steps):
                self._rng.seed(f"{self._luck.get(number, 0)}/{number}")
                state = self._rng.getstate()
                await trio.sleep(TICK_S)
                if self._take(step, tasks):
                    await self._settle()
                if self._rng.getstate() != state:
                    self._chances.append(number)
                seen.append(self._seen())
                self._marks.append(self._server.clock())
            tasks.cancel_scope.cancel()
        assert not any(s.in_transaction for s in self._sessions.values())
        return Modelled(Transcript(seen=seen, contents=self._contents()), self._chances)

    def _take(self, step: Step, tasks: trio.Nursery) -> bool:
        """Begin a step; whether it meant anything."""
        session = self._sessions.get(step.session)
        if step.what == KILL:
            return self._kill(step.session)
        if step.session in self._busy:
            return False
        if session is None:
            session = Session(self._server, actor=str(step.session), durable=True)
            self._sessions[step.session] = session
        if step.what in BOUNDARIES and session.in_transaction == (step.what == BEGIN):
            return False
        self._busy[step.session] = None
        tasks.start_soon(self._answer, step, session)
        return True

    def _kill(self, number: int) -> bool:
        session = self._sessions.pop(number, None)
        if session is None:
            return False
        session.end()
        return True

    async def _answer(self, step: Step, session: Session) -> None:
        try:
            answer = await self._do(step, session)
        except StoreError as failure:
            answer = error(failure)
        self._busy.pop(step.session)
        self._ended[step.session] = answer

    async def _do(self, step: Step, session: Session) -> Answer:
        if step.what == BEGIN:
            session.begin()
            return Answer(BEGUN)
        if step.what == COMMIT:
            return Answer(COMMITTED if session.commit() else ROLLED_BACK)
        if step.what == ROLLBACK:
            session.rollback()
            return Answer(ROLLED_BACK)
        if not session.has_failed:
            encode(step.what, step.arguments)
        rows = await session.run(step.what, step.arguments)
        if rows is None:
            raise ConnectionLost("killed", ambiguous=True)
        return self._normal.rows(step.what, rows)

    async def _settle(self) -> None:
        await wait_all_tasks_blocked()
        before = None
        while self._busy and before != (before := self._blocked()):
            await trio.sleep(DEADLOCK_TIMEOUT_S * 1.1)
            await wait_all_tasks_blocked()

    def _seen(self) -> Seen:
        seen = Seen(self._ended, self._blocked(), tuple(sorted(self._heard)))
        self._ended = {}
        self._heard.clear()
        return seen

    def _blocked(self) -> dict[int, frozenset[int]]:
        return {
            number: frozenset(int(who.actor) for who in self._sessions[number].waits_for)
            for number in self._busy
        }

    def _contents(self) -> dict[str, Any]:
        tables: dict[str, Table[Any]] = vars(self._server.tables)
        return {name: self._normal.table(table.committed()) for name, table in tables.items()}


def set_scene(server: SimServer, scene: Scene) -> None:
    """Fill the tables, past the checks of any statement."""
    filling = server.begin("scene", durable=True)
    tables: dict[str, Table[Any]] = vars(server.tables)
    for name, rows in {"migration": MIGRATIONS, **scene}.items():
        for row in rows:
            version = Version(row, filling, filling.command)
            tables[name].add(version)
            filling.changes.append(Change(tables[name], None, version))
    server.commit(filling)
