"""Outcomes: each stored one was produced by an execution, with all its effects."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sim.bodies import IMMEDIATE
from sim.bounds import RESULT_BYTES_MAX
from sim.database.rows import CompletedRow, LogRow
from sim.happenings import BodyEnded, CancelAsked, Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Attempt, Facts, Leaving, replaced_by
from sim.oracles.families import is_put_off, parents_given_up
from sim.oracles.retries import options_of
from sim.plan import BY_HAND, OTHER_KIND, Plan
from trioworker.events import (
    CancelReceived,
    Event,
    JobEnded,
    JobStarted,
    OutcomeRefused,
)
from trioworker.model.completion import storable_error
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from trioworker.model.transitions import Place

UNRUNNABLE: Final = (OTHER_KIND, BY_HAND)
DONE_CHANNEL: Final = "trioworker_done"
LAST: Final = re.compile(r"^attempt \d+ of \d+: ")
"""What the worker puts before the words of a failure that was not the first."""
REFUSALS_BEFORE_BARE: Final = 2
"""From the second refusal on nothing but the failure itself is stored."""


class Produced(Oracle):
    """Invariant 2: what is stored is what an execution of that very attempt produced.

    Also of what goes back to ready. Stored without an execution are: a cancellation that a client
    asked for, of the job or of one above it, or that follows from the end of a parent; that a job
    cannot be run at all, or has a result that is too large; the failure of a job whose deadline
    passed, which may also take the place of another failure; a reaped job's failure (see
    `Transitions`); a refused outcome's failure, which the worker must have announced; a result that
    an equal job has left (see `Reused`); what never began goes back when its worker stops, and so
    does a parent that is put off. Flows and approvals are for `StepByStep` and `Decided`. A success
    on an agent that hands SQL over is stored as a failure.
    """

    name = "produced"
    invariant = 2

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._outcomes: dict[Attempt, list[Outcome | None]] = {}
        self._ended: dict[Attempt, list[str]] = {}
        self._refused: set[tuple[UUID, UUID]] = set()
        self._cancel_asked: set[UUID] = set()
        self._cancel_heard: set[tuple[UUID, UUID]] = set()
        self._unsuccessful: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BodyEnded: self._body_ended,
            JobEnded: self._job_ended,
            OutcomeRefused: self._was_refused,
            CancelAsked: self._asked,
            CancelReceived: self._heard,
            Committed: self._committed,
        }

    def _body_ended(self, _happening: Happening, event: BodyEnded) -> None:
        key = (event.worker, event.job, event.attempt)
        self._outcomes.setdefault(key, []).append(event.outcome)

    def _job_ended(self, _happening: Happening, event: JobEnded) -> None:
        key = (event.worker, event.job, event.attempt)
        self._ended.setdefault(key, []).append(event.outcome)

    def _was_refused(self, _happening: Happening, event: OutcomeRefused) -> None:
        self._refused.add((event.worker, event.job))

    def _asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._cancel_asked.update(event.jobs)

    def _heard(self, _happening: Happening, event: CancelReceived) -> None:
        self._cancel_heard.add((event.worker, event.job))

    def _committed(self, *_: object) -> None:
        for job, old, new in self.facts.moves:
            if old is None or new is None or not isinstance(new.row, CompletedRow):
                continue
            self._unsuccessful.update(parents_given_up(self.facts, job, new.row))
            if not self.facts.has_body(job):
                continue
            allowed = self._was_cancelled(job, new.row) or self.facts.is_stranded(new.row)
            if new.worker is None and not allowed:
                self.find(f"job {job} ended as {new.row.status} without anybody's doing")
        for leaving in self.facts.outcomes:
            job, _worker, old, new = leaving
            if not self.facts.has_body(job):
                continue
            if isinstance(new.row, CompletedRow):
                if not self._made(leaving.attempt, new.row):
                    self.find(f"job {job} has a stored {new.row.status} that nothing produced")
            elif not self._goes_back(leaving.attempt, charged=new.attempt > old.attempt):
                self.find(f"job {job} went back to ready, which no execution asked for")

    def _was_cancelled(self, job: UUID, row: CompletedRow) -> bool:
        above = self.facts.lineage(job)
        asked = not (self._cancel_asked | self._unsuccessful).isdisjoint(above)
        return row.status == "canceled" and (asked or replaced_by(row) in self.facts.known)

    def _made(self, key: Attempt, row: CompletedRow) -> bool:
        outcomes = self._outcomes.get(key, ())
        match row.status:
            case "success":
                return self._succeeded(key, row, outcomes)
            case "failure":
                return self._failed(key, row, outcomes)
            case "canceled":
                heard = key[:2] in self._cancel_heard
                return heard or any(isinstance(each, Cancelled) for each in outcomes)
        return False

    def _succeeded(
        self, key: Attempt, row: CompletedRow, outcomes: Sequence[Outcome | None]
    ) -> bool:
        stored = json.loads(row.result or "null")
        job = self.facts.jobs[row.id]
        if job.kind in IMMEDIATE:
            expected = json.loads(job.args) if job.kind == "identity" else None
            return "Succeeded" in self._ended.get(key, ()) and stored == expected
        results = [each.result for each in outcomes if isinstance(each, Succeeded)]
        # Who has ended more often than it ran has once taken the result of another.
        took = self._ended.get(key, []).count("Succeeded") > len(results)
        if took and options_of(self.facts, row.id).cache_ttl_s is not None:
            return True
        return any(json.loads(result) == stored for result in results)

    def _failed(self, key: Attempt, row: CompletedRow, outcomes: Sequence[Outcome | None]) -> bool:
        error = json.loads(row.error or "{}")
        if error["name"] == "OutcomeRefused":
            return key[:2] in self._refused
        if error["name"] == "Timeout":
            return None in outcomes
        failures = [each.error for each in outcomes if isinstance(each, Failed | Retried)]
        if error["name"] == "DeadlineExceeded":
            return options_of(self.facts, row.id).deadline is not None and (
                error["message"].endswith("before it could begin")
                or None in outcomes
                or any(error["message"].endswith(f": {each.message}") for each in failures)
            )
        if error["name"] in ("InvalidJob", "UnknownKind"):
            return row.worker is not None and self.facts.jobs[row.id].path in UNRUNNABLE
        if error["name"] == "ResultTooLarge":
            sizes = [len(each.result) for each in outcomes if isinstance(each, Succeeded)]
            return self.plan.narrow and any(size > RESULT_BYTES_MAX for size in sizes)
        if error["name"] == "NotAllowed" and self.facts.is_agent(key[0]):
            return any(isinstance(each, Succeeded) and each.statements for each in outcomes)
        told = (error["name"], LAST.sub("", error["message"]))
        return any(_as_kept(each) == told for each in failures)

    def _goes_back(self, key: Attempt, *, charged: bool) -> bool:
        outcomes = self._outcomes.get(key, ())
        if charged:
            has_policy = options_of(self.facts, key[1]).policy(None) is not None
            return any(
                isinstance(each, Retried)
                or (has_policy and (each is None or isinstance(each, Failed)))
                for each in outcomes
            )
        snoozed = any(isinstance(each, Snoozed) for each in outcomes)
        snoozed = snoozed or is_put_off(self.facts, key, self._ended)
        return snoozed or Interrupted.__name__ in self._ended.get(key, ())


def _as_kept(error: JobError) -> tuple[str, str]:
    kept = storable_error(error)
    return kept.name, kept.message


class OncePerClaim(Oracle):
    """Invariants 3 and 7: one claim, one execution; a failed commit never causes another.

    A job is run at most as often under an attempt as this worker claimed it at that attempt. So
    whatever becomes of a commit, its jobs are not run again before the tables say so; and how
    they come to say so is for `Transitions` and `Produced`.
    """

    name = "once per claim"
    invariant = 7

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._right: Counter[Attempt] = Counter()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, JobStarted: self._started}

    def _committed(self, *_: object) -> None:
        for job, _old, new in self.facts.moves:
            if new is not None and new.place is Place.CLAIMED and new.worker is not None:
                self._right[new.worker, job, new.attempt] += 1

    def _started(self, _happening: Happening, event: JobStarted) -> None:
        key = (event.worker, event.job, event.attempt)
        self._right[key] -= 1
        if self._right[key] < 0:
            self.find(f"job {event.job} was run again without having been claimed again")


class AllOrNothing(Oracle):
    """Invariant 6: an outcome and its effects are stored together or not at all.

    The last piece of its log in the same transaction, so that the pieces together are what an
    execution of that very attempt wrote; a notification for whom it awaits it. What a job writes
    while it runs is stored by the worker that holds it, and by nobody else.
    Allowed: no log beside a failure that was stored bare because even its log was refused, nor of a
    job that has not been run since it was claimed; no notification from a reaper, since who waits
    looks for himself, too.
    """

    name = "all or nothing"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._logs: dict[Attempt, list[str]] = {}
        self._run: set[Attempt] = set()
        self._pieces: dict[tuple[UUID, int], dict[int, str]] = {}
        self._refusals: Counter[tuple[UUID, UUID]] = Counter()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BodyEnded: self._ended,
            OutcomeRefused: self._refused,
            Committed: self._committed,
        }

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        key = (event.worker, event.job, event.attempt)
        self._logs.setdefault(key, []).append(event.log)
        self._run.add(key)

    def _refused(self, _happening: Happening, event: OutcomeRefused) -> None:
        self._refusals[event.worker, event.job] += 1

    def _committed(self, happening: Happening, event: Committed) -> None:
        logs = self._stored(event)
        for move in self.facts.moves:
            if (new := move.new) is not None and new.worker and new.place is Place.CLAIMED:
                self._run.discard((new.worker, move.job, new.attempt))
        told = {payload for channel, payload in event.notified if channel == DONE_CHANNEL}
        for leaving in self.facts.outcomes:
            self._log(leaving, logs.pop(leaving.job, None))
            if leaving.new.place is Place.COMPLETED and str(leaving.job) not in told:
                job = self.facts.jobs.get(leaving.job)
                if job is not None and job.awaited:
                    self.find(f"job {job.id} was stored and nobody who waits for it was told")
        for row in logs.values():
            self._live(happening.actor, row)

    def _stored(self, event: Committed) -> dict[UUID, LogRow]:
        """The pieces of log that a commit stores, by job; all there are are brought up to date."""
        stored = {}
        for change in event.changes:
            if isinstance(old := change.old, LogRow):
                self._pieces[old.id, old.attempt].pop(old.chunk, None)
            if isinstance(row := change.new, LogRow):
                self._put(row)
                stored[row.id] = row
        return stored

    def _put(self, row: LogRow) -> None:
        self._pieces.setdefault((row.id, row.attempt), {})[row.chunk] = row.text

    def _live(self, actor: str, row: LogRow) -> None:
        """A piece without an outcome."""
        stand = self.facts.stands.get(row.id)
        if stand is None or stand.worker is None or stand.place is not Place.CLAIMED:
            self.find(f"a log of job {row.id} was stored while nobody had it")
        elif (stand.attempt, self.facts.actors.get(stand.worker)) != (row.attempt, actor):
            self.find(f"{actor} stored a log of job {row.id}, which is another attempt's")

    def _log(self, leaving: Leaving, log: LogRow | None) -> None:
        job, worker, old, _new = leaving
        written = self._logs.get(leaving.attempt, [])
        pieces = sorted(self._pieces.get((job, old.attempt), {}).items())
        whole = "".join(text for _, text in pieces)
        if log is not None:
            if leaving.attempt not in self._run and whole.startswith("from the cache: "):
                return
            if whole not in written or log.attempt != old.attempt:
                self.find(f"job {job} has a log that attempt {old.attempt} did not write")
            return
        bare = self._refusals[worker, job] >= REFUSALS_BEFORE_BARE
        told = leaving.attempt in self._run and all(written)
        if told and whole not in written and not bare:
            self.find(f"job {job} was stored without what it wrote")
