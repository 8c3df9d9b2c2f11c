"""What becomes of executions: from a job's start in a life to its outcome there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sim.happenings import BodyEnded, Happening, WorkerKilled
from sim.lab.chronicle.deed import Deed, Sort, Weight
from sim.lab.chronicle.ledger import Ledger
from sim.lab.chronicle.reader import Reads
from trioworker.events import JobEnded, JobStarted, LeaseTaken, WorkerStopped
from trioworker.model.outcome import Cancelled, Failed, Outcome, Retried, Snoozed

CUT_OFF: Final = "cut off"
_SAID: Final = {
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Retried": "asks for another try",
    "Snoozed": "asks for another time",
    "Cancelled": "was cancelled",
    "Skipped": "was skipped",
    "Interrupted": "was interrupted",
}


@dataclass
class _Run:
    actor: str
    worker: UUID
    job: UUID
    attempt: int
    since_s: float
    outcome: Outcome | None = None


class RunReader:
    """Tells it."""

    def __init__(self, ledger: Ledger) -> None:
        self._names = ledger.names
        self._open: list[_Run] = []

    def reads(self) -> Reads:
        """See `Reader`."""
        return {
            JobStarted: self._started,
            BodyEnded: self._body_ended,
            JobEnded: self._ended,
            WorkerKilled: self._killed,
            LeaseTaken: self._dropped,
            WorkerStopped: self._stopped,
        }

    def end(self, at_s: float) -> Iterator[Deed]:
        """See `Reader`."""
        for run in self._open:
            yield self._cut_off(run, at_s, "still runs at the end")

    def _started(self, happening: Happening, event: JobStarted) -> Iterator[Deed]:
        at_s, actor, _ = happening
        self._open.append(_Run(actor, event.worker, event.job, event.attempt, at_s))
        yield from ()

    def _body_ended(self, _happening: Happening, event: BodyEnded) -> Iterator[Deed]:
        run = self._find(event.worker, event.job, event.attempt)
        if run is not None:
            run.outcome = event.outcome
        yield from ()

    def _ended(self, happening: Happening, event: JobEnded) -> Iterator[Deed]:
        at_s, actor, _ = happening
        run = self._find(event.worker, event.job, event.attempt)
        if run is None:
            # It was given back without having begun.
            run = _Run(actor, event.worker, event.job, event.attempt, at_s)
        else:
            self._open.remove(run)
        ending = _SAID.get(event.outcome, event.outcome) + _why(run.outcome, event.outcome)
        text = f"ran {self._told(run)} {ending}"
        if run.since_s < at_s:
            text += f" after {at_s - run.since_s:.3f} s"
        yield self._deed(run, at_s, text, event.outcome)

    def _killed(self, happening: Happening, _event: WorkerKilled) -> Iterator[Deed]:
        for run in [run for run in self._open if run.actor == happening.actor]:
            self._open.remove(run)
            yield self._cut_off(run, happening.at_s, "killed with its worker")

    def _dropped(self, happening: Happening, event: LeaseTaken) -> Iterator[Deed]:
        yield from self._cut_off_all(happening.at_s, event.worker, "dropped with the lease")

    def _stopped(self, happening: Happening, event: WorkerStopped) -> Iterator[Deed]:
        yield from self._cut_off_all(happening.at_s, event.worker, "cut off by the stop")

    def _cut_off_all(self, at_s: float, worker: UUID, how: str) -> Iterator[Deed]:
        for run in [run for run in self._open if run.worker == worker]:
            self._open.remove(run)
            yield self._cut_off(run, at_s, how)

    def _cut_off(self, run: _Run, at_s: float, how: str) -> Deed:
        text = f"ran {self._told(run)} {how} after {at_s - run.since_s:.3f} s"
        deed = self._deed(run, at_s, text, CUT_OFF)
        deed.weight = Weight.TROUBLE
        return deed

    def _told(self, run: _Run) -> str:
        attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
        path = self._names.paths.get(run.job, "?")
        return f"job {self._names.job(run.job)} ({path}{attempt}):"

    def _deed(self, run: _Run, at_s: float, text: str, outcome: str) -> Deed:
        who = self._names.life(run.worker)
        return Deed(
            at_s, run.actor, Sort.RAN, text, who=who, jobs=[run.job], since_s=run.since_s,
            outcome=outcome,
        )  # fmt: skip

    def _find(self, worker: UUID, job: UUID, attempt: int) -> _Run | None:
        """The oldest that fits: after a crash of the server a job may run twice in one life."""
        wanted = (worker, job, attempt)
        return next((r for r in self._open if (r.worker, r.job, r.attempt) == wanted), None)


def _why(outcome: Outcome | None, kind: str) -> str:
    match outcome:
        case Failed(error):
            return f" ({error.name}: {error.message})"
        case Retried(error, delay_s):
            return f" in {delay_s:.2f} s ({error.name}: {error.message})"
        case Snoozed(delay_s):
            return f" in {delay_s:.2f} s"
        case Cancelled(reason):
            return f" ({reason})"
        case None if kind == "Failed":
            return " (its timeout ended it)"
        case _:
            return ""
