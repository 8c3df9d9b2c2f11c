"""How workers and single jobs end before their time."""

from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.counting.part import Part
from sim.database.rows import CancelRow, CompletedRow
from sim.happenings import (
    Committed,
    Happening,
    ServerDown,
    ServerUp,
    StopAsked,
    WorkerExited,
    WorkerKilled,
)
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from trioworker.cli.exits import ExitStatus
from trioworker.events import (
    BatchStored,
    CancelReceived,
    Event,
    JobEnded,
    JobStarted,
    WorkerStopping,
)

AT_ONCE_S: Final = 0.1
"""A hint and the heartbeat that it wakes take no longer; another heartbeat comes later."""


class Ends(Part):
    """How workers and single jobs end before their time."""

    states = (
        "a crash between execution and commit",
        "a commit of a dead worker that takes effect",
        "a commit of a paused worker that takes effect",
        "a stop that ends with unsaved results",
        "a stop that ends with everything stored",
        "a stop while the server is down",
        "a second signal",
        "a database that cannot be reached at the start",
        "jobs given back that had not begun",
        "a running job interrupted by a stop",
        "a job cancelled in ready",
        "a job cancelled while it waits in a worker",
        "a job cancelled while it runs",
        "a running job that a hint cancels at once",
        "a running job that a later heartbeat cancels",
        "a cancelled job stored as canceled by its worker",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._asked_s: dict[UUID, float] = {}
        self._begun: set[tuple[UUID, UUID]] = set()
        self._over: Counter[UUID] = Counter()
        self._stopping: set[UUID] = set()
        self._server_is_down = False

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {
            JobStarted: self._started,
            JobEnded: self._ended,
            BatchStored: self._stored,
            Committed: self._committed,
            WorkerKilled: self._killed,
            WorkerStopping: self._stops,
            StopAsked: self._stop_asked,
            WorkerExited: self._exited,
            ServerDown: self._down,
            ServerUp: self._up,
            CancelReceived: self._cancelled,
        }

    def _started(self, _happening: Happening, event: JobStarted) -> None:
        self._begun.add((event.worker, event.job))

    def _ended(self, _happening: Happening, event: JobEnded) -> None:
        key = (event.worker, event.job)
        self._over[event.worker] += 1
        if event.outcome == "Interrupted" and event.worker in self._stopping:
            begun = key in self._begun
            what = "a running job interrupted by a stop"
            self._seen[what if begun else "jobs given back that had not begun"] += 1
        self._begun.discard(key)

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        self._over[event.worker] -= len(event.jobs)

    def _committed(self, happening: Happening, event: Committed) -> None:
        process = self._facts.processes.get(happening.actor)
        if process is not None and self._facts.outcomes:
            if not process.alive:
                self._seen["a commit of a dead worker that takes effect"] += 1
            elif process.paused:
                self._seen["a commit of a paused worker that takes effect"] += 1
        for change in event.changes:
            row = change.new
            if isinstance(row, CancelRow):
                self._asked_s[row.id] = self._facts.now_s
            if isinstance(row, CompletedRow) and row.status == "canceled":
                by_worker = "a cancelled job stored as canceled by its worker"
                by = "a job cancelled in ready" if row.worker is None else by_worker
                self._seen[by] += 1

    def _killed(self, happening: Happening, _event: object) -> None:
        life = self._facts.processes[happening.actor].life
        if life is not None and self._over[life]:
            self._seen["a crash between execution and commit"] += 1

    def _stops(self, _happening: Happening, event: WorkerStopping) -> None:
        self._stopping.add(event.worker)

    def _stop_asked(self, happening: Happening, _event: object) -> None:
        if self._server_is_down:
            self._seen["a stop while the server is down"] += 1
        if self._facts.processes[happening.actor].stops > 1:
            self._seen["a second signal"] += 1

    def _exited(self, _happening: Happening, event: WorkerExited) -> None:
        what = {
            ExitStatus.UNSAVED: "a stop that ends with unsaved results",
            ExitStatus.OK: "a stop that ends with everything stored",
            ExitStatus.UNREACHABLE: "a database that cannot be reached at the start",
        }
        self._seen[what[ExitStatus(event.status)]] += 1

    def _down(self, *_: object) -> None:
        self._server_is_down = True

    def _up(self, _happening: Happening, event: ServerUp) -> None:
        self._server_is_down = event.health != "up"

    def _cancelled(self, _happening: Happening, event: CancelReceived) -> None:
        runs = (event.worker, event.job) in self._begun
        self._seen[f"a job cancelled while it {'runs' if runs else 'waits in a worker'}"] += 1
        asked_s = self._asked_s.get(event.job)
        if runs and asked_s is not None:
            at_once = self._facts.now_s - asked_s <= AT_ONCE_S
            how = "a hint cancels at once" if at_once else "a later heartbeat cancels"
            self._seen[f"a running job that {how}"] += 1
