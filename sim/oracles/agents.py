"""What holds for agents and their servers besides what holds for every worker."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.database.rows import ClaimRow, ReadyRow
from sim.happenings import ApiCrashed, ApiTurned, CancelAsked, Committed, Drained, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts, may_be_replaced
from sim.oracles.idle import Idle
from sim.oracles.liveness import SETTLING_S, SLACK_S, STATEMENTS_PER_SWEEP, SWEEP_JITTER
from sim.plan import Plan
from trioworker.events import (
    Event,
    JobStarted,
    MaintenanceFailed,
    StatementRun,
    WorkerStarted,
)
from trioworker.model.tags import MARK, own_tag
from trioworker.store.postgres.store import READY_CHANNEL

WOKEN_S: Final = 1.5
"""How long a hint and the pull that follows it may take, unless a poll comes before it."""


class OwnTags(Oracle):
    """No job is run by a worker that does not take its tag; which these are, an agent's token says.

    The agent itself knows it from there. The row of a worker has what its server took for true.
    """

    name = "own tags"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._tags: dict[UUID, set[str]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {WorkerStarted: self._began, JobStarted: self._started}

    def _began(self, _happening: Happening, event: WorkerStarted) -> None:
        tags = {tag.partition(MARK)[0] for tag in event.tags}
        self._tags[event.worker] = {*tags, own_tag(event.worker)}

    def _started(self, happening: Happening, event: JobStarted) -> None:
        job = self.facts.jobs.get(event.job)  # none, when it has ended elsewhere and was deleted
        if job is not None and job.tag not in self._tags[event.worker]:
            self.find(f"{happening.actor} runs job {event.job} of the tag {job.tag}, not its own")


class ServersSweep(Oracle):
    """Invariant 12: a server that lives sweeps at its intervals, for agents do not.

    A sweep may take as long as its statements may until they time out, and is done also when it
    failed.
    """

    name = "servers sweep"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        sizes = plan.sizes
        self._every_s = (
            SWEEP_JITTER * sizes.sweep_s + STATEMENTS_PER_SWEEP * sizes.command_timeout_s + SLACK_S
        )
        self._did_s: dict[str, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            ApiTurned: self._turned,
            ApiCrashed: self._over,
            StatementRun: self._ran,
            MaintenanceFailed: self._swept,
            Drained: self._look_at_all,
        }

    def _turned(self, happening: Happening, event: ApiTurned) -> None:
        if event.to in ("born", "resumed"):
            self._did_s[happening.actor] = self.facts.now_s
        else:
            self._look(happening.actor)
            self._over(happening, event)

    def _over(self, happening: Happening, _event: object) -> None:
        self._did_s.pop(happening.actor, None)

    def _ran(self, happening: Happening, event: StatementRun) -> None:
        if event.name == "reap":
            self._swept(happening, event)

    def _swept(self, happening: Happening, _event: object) -> None:
        self._look(happening.actor)
        if happening.actor in self._did_s:
            self._did_s[happening.actor] = self.facts.now_s

    def _look_at_all(self, *_: object) -> None:
        for actor in list(self._did_s):
            self._look(actor)

    def _look(self, actor: str) -> None:
        pause_s = self.facts.now_s - self._did_s.get(actor, self.facts.now_s)
        if pause_s > self._every_s:
            self.find(f"{actor} sweeps no more: {pause_s:.2f} s since the last time")


class Woken(Oracle):
    """A hint wakes an agent that has nothing to do: it does not come upon the job by polling.

    Judged when the job is claimed at last, by anybody, and only when the last trouble is over for
    good; of jobs that were due when their hint was sent. Allowed: a job that somebody wants to
    cancel, or that gives way to another, may be locked.
    """

    name = "woken"

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        poll_s = plan.sizes.poll_s
        self._patience_s = WOKEN_S if poll_s > WOKEN_S else poll_s + SLACK_S
        self._idle = Idle(facts)
        self._hinted_s: dict[UUID, float] = {}
        self._cancelled: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        if not self.plan.sizes.agents:
            return {}
        return {
            **self._idle.handlers(),
            CancelAsked: self._cancel_asked,
            Committed: self._committed,
        }

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._cancelled.update(event.jobs)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        facts = self.facts
        tags = {payload for channel, payload in event.notified if channel == READY_CHANNEL}
        calm = facts.now_s - self._patience_s >= facts.troubled_s + SETTLING_S
        for job, old, new in facts.moves:
            if new is not None and isinstance(new.row, ReadyRow):
                self._hinted_s.pop(job, None)
                if new.row.tag in tags:
                    self._hinted_s[job] = facts.now_s
            elif new is not None and isinstance(new.row, ClaimRow) and old is not None:
                hinted_s = self._hinted_s.pop(job, facts.now_s)
                if not calm or not isinstance(old.row, ReadyRow) or self._may_be_locked(job):
                    continue
                due_for_s = (new.row.claimed_at - old.row.scheduled_for).total_seconds()
                if due_for_s >= facts.now_s - hinted_s > self._patience_s:
                    self._judge(job, old.row.tag, hinted_s)

    def _may_be_locked(self, job: UUID) -> bool:
        cancelled = not self._cancelled.isdisjoint(self.facts.lineage(job))
        return cancelled or may_be_replaced(self.facts.jobs[job])

    def _judge(self, job: UUID, tag: str, hinted_s: float) -> None:
        waited_s = self.facts.now_s - hinted_s
        for worker in self._idle.takers(tag, since_s=hinted_s):
            if self.facts.is_agent(worker):
                self.find(f"agent {worker} idled while job {job} waited for {waited_s:.2f} s")
                return
