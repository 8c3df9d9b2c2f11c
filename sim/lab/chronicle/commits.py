"""What becomes of outcomes: stored, failed, divided, refused, dropped."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sim.database.rows import CompletedRow, ReadyRow
from sim.happenings import Committed, Happening
from sim.lab.chronicle.deed import Deed, Sort, Weight
from sim.lab.chronicle.ledger import Ledger, claims_changed, fates, is_reaped
from sim.lab.chronicle.reader import Reads
from trioworker.events import (
    BatchStored,
    CommitFailed,
    JobEnded,
    OutcomeAbandoned,
    OutcomeResumed,
    StatementRun,
)
from trioworker.model.batching import Fallback
from trioworker.model.failures import Step

FOLLOWS: Final = {
    Step.AGAIN: "tries again",
    Step.AGAIN_WHEN_BACK: "tries again when the server is back",
    Step.REFUSE: "stores a failure in its place",
}
DIVIDED: Final = {
    Fallback.PER_JOB: "falls back to per-job commits",
    Fallback.BISECT: "falls back to two halves",
}


@dataclass
class _Desk:
    """The commit stage of one life, as far as the trace shows it.

    `fresh` were settled by a commit that took effect and is not reported yet, `unknown` by one that
    was reported as failed. The last report was at `reported_s`, the last answer of a server that
    had been away at `back_s`; `ended_s` is when each job's last execution did.
    """

    fresh: dict[UUID, str] = field(default_factory=dict)
    unknown: dict[UUID, str] = field(default_factory=dict)
    reported_s: float = 0.0
    back_s: float = 0.0
    ended_s: dict[UUID, float] = field(default_factory=dict)


class CommitReader:
    """Tells it."""

    def __init__(self, ledger: Ledger, fallback: Fallback) -> None:
        self._ledger = ledger
        self._names = ledger.names
        self._divides = DIVIDED[fallback]
        self._desks: defaultdict[UUID, _Desk] = defaultdict(_Desk)

    def reads(self) -> Reads:
        """See `Reader`."""
        return {
            JobEnded: self._ended,
            Committed: self._committed,
            StatementRun: self._statement,
            BatchStored: self._stored,
            CommitFailed: self._failed,
            OutcomeAbandoned: self._abandoned,
            OutcomeResumed: self._resumed,
        }

    def end(self, at_s: float) -> Iterable[Deed]:
        """See `Reader`."""
        del at_s
        return ()

    def _ended(self, happening: Happening, event: JobEnded) -> Iterator[Deed]:
        self._desks[event.worker].ended_s[event.job] = happening.at_s
        yield from ()

    def _committed(self, _happening: Happening, event: Committed) -> Iterator[Deed]:
        holders = {old.worker for old, _ in claims_changed(event.changes) if old is not None}
        if holders and not is_reaped(event.changes):
            settled = {id_: _fate(row) for id_, row in fates(event.changes).items()}
            self._desks[holders.pop()].fresh.update(settled)
        yield from ()

    def _statement(self, happening: Happening, event: StatementRun) -> Iterator[Deed]:
        life = self._ledger.lives.get(happening.actor)
        if life is not None and (event.lane, event.name) == ("commit", "ping"):
            self._desks[life].back_s = happening.at_s
        yield from ()

    def _stored(self, happening: Happening, event: BatchStored) -> Iterator[Deed]:
        desk = self._desks[event.worker]
        known = {job: desk.unknown.pop(job) for job in event.jobs if job in desk.unknown}
        parts = [f"stored {self._by_fate(desk.fresh)}"] if desk.fresh else []
        parts += [f"found stored already: {self._by_fate(known)}"] if known else []
        if event.lost:
            lost = self._names.listed(event.lost)
            parts.append(f"dropped, for the claim is gone: {lost}")
        deed = self._deed(happening, event, Sort.STORED, "; ".join(parts) or "stored nothing")
        deed.weight = Weight.TROUBLE if event.lost else Weight.NEWS
        deed.since_s = happening.at_s - event.seconds
        deed.outcome = "lost" if event.lost else "stored"
        self._report(desk, happening.at_s)
        yield deed

    def _failed(self, happening: Happening, event: CommitFailed) -> Iterator[Deed]:
        desk, step = self._desks[event.worker], Step(event.step)
        text = (
            f"commit of {self._whose(event.jobs)} failed ({event.failure}: {event.message}): "
            f"{self._follows(step)}"
        )
        if desk.fresh:
            jobs = self._names.listed(desk.fresh)
            text += f"; but it took effect: {jobs} stored, and the worker does not know"
        sort = {Step.DIVIDE: Sort.FALLBACK, Step.REFUSE: Sort.REFUSED}.get(step, Sort.COMMIT_FAILED)
        deed = self._deed(happening, event, sort, text)
        deed.since_s = self._began_s(desk, event)
        deed.outcome = "reply lost" if desk.fresh else "failed"
        desk.unknown.update(desk.fresh)
        self._report(desk, happening.at_s)
        yield deed

    def _abandoned(self, happening: Happening, event: OutcomeAbandoned) -> Iterator[Deed]:
        text = f"puts aside {self._whose([event.job])}: not even a failure can be stored"
        yield self._deed(happening, event, Sort.ABANDONED, text)

    def _resumed(self, happening: Happening, event: OutcomeResumed) -> Iterator[Deed]:
        text = f"tries once more to store what became of {self._whose([event.job])}"
        deed = self._deed(happening, event, Sort.ROUTINE, text)
        deed.weight = Weight.ROUTINE
        yield deed

    def _deed(
        self,
        happening: Happening,
        event: BatchStored | CommitFailed | OutcomeAbandoned | OutcomeResumed,
        sort: Sort,
        text: str,
    ) -> Deed:
        at_s, actor, _ = happening
        jobs = (
            [event.job]
            if isinstance(event, OutcomeAbandoned | OutcomeResumed)
            else list(event.jobs)
        )
        who = self._names.life(event.worker)
        return Deed(at_s, actor, sort, text, who=who, jobs=jobs, weight=Weight.TROUBLE)

    def _by_fate(self, settled: Mapping[UUID, str]) -> str:
        groups: defaultdict[str, list[UUID]] = defaultdict(list)
        for job, fate in settled.items():
            groups[fate].append(job)
        return ", ".join(f"{self._names.listed(jobs)} {fate}" for fate, jobs in groups.items())

    def _whose(self, jobs: Sequence[UUID]) -> str:
        listed = self._names.listed(jobs)
        return listed if len(jobs) == 1 else f"{len(jobs)} ({listed})"

    def _follows(self, step: Step) -> str:
        return self._divides if step is Step.DIVIDE else FOLLOWS[step]

    @staticmethod
    def _began_s(desk: _Desk, event: CommitFailed) -> float:
        """A first try begins with its last outcome or after the last commit, the later of both."""
        if event.tries > 1:
            return max(desk.reported_s, desk.back_s)
        return max([desk.reported_s, *(desk.ended_s.get(job, 0.0) for job in event.jobs)])

    @staticmethod
    def _report(desk: _Desk, at_s: float) -> None:
        desk.fresh = {}
        desk.reported_s = at_s


def _fate(row: ReadyRow | CompletedRow) -> str:
    return f"as {row.status}" if isinstance(row, CompletedRow) else "ready again"
