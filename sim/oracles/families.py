"""Children and steps of functions: each once, for who holds the parent, and before its success."""

import json
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sim.database.rows import CompletedRow, JobRow, StepRow
from sim.families import FAMILIES, PARENT
from sim.happenings import BodyStarted, Committed, Happening, RequeueAsked, StepDone
from sim.oracles.base import Handler, Oracle, sweeps_have_passed_s
from sim.oracles.facts import Attempt, Facts
from sim.plan import Plan
from trioworker.events import Event
from trioworker.model.outcome import Snoozed
from trioworker.model.transitions import Place


class Families(Oracle):
    """Invariants 2 and 4, of children and steps: each is made once, by who has its parent.

    A child is enqueued, and a step stored, by the worker that holds the job at that moment. No
    child is made twice. No attempt that begins after a step was stored does it again. A parent
    succeeds after all the children that it has waited for, and leaves none behind when it fails.
    """

    name = "families"
    invariant = 2

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._parents: set[UUID] = set()
        self._children: dict[tuple[UUID, str, str], UUID] = {}
        self._stored_s: dict[tuple[UUID, str], float] = {}
        self._again: set[UUID] = set()
        self._failed_s: dict[UUID, float] = {}
        self._began_s: dict[Attempt, float] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BodyStarted: self._starts,
            StepDone: self._done,
            RequeueAsked: self._asked,
            Committed: self._committed,
        }

    def _asked(self, _happening: Happening, event: RequeueAsked) -> None:
        self._again.update(event.jobs)

    def at_the_end(self) -> None:
        """What was left behind had time enough to be canceled, if nothing happened since."""
        enough_s = sweeps_have_passed_s(self.plan.sizes)
        for (parent, _, _), child in self._children.items():
            failed_s = self._failed_s.get(parent)
            stand, above = self.facts.stands.get(child), self.facts.stands.get(parent)
            if failed_s is None or stand is None or child in self._again or parent in self._again:
                continue
            quiet_s = self.facts.now_s - max(failed_s, self.facts.troubled_s)
            is_over = above is not None and above.place is Place.COMPLETED
            if is_over and stand.place is not Place.COMPLETED and quiet_s > enough_s:
                self.find(f"job {child} was left behind by its parent {parent}")

    def _starts(self, _happening: Happening, event: BodyStarted) -> None:
        if event.path in FAMILIES:
            self._parents.add(event.job)
            self._began_s[event.worker, event.job, event.attempt] = self.facts.now_s

    def _done(self, _happening: Happening, event: StepDone) -> None:
        stored_s = self._stored_s.get((event.job, event.name))
        if (
            stored_s is not None
            and stored_s < self._began_s[event.worker, event.job, event.attempt]
        ):
            self.find(f"job {event.job} did its step {event.name!r} again, which was stored")

    def _committed(self, happening: Happening, event: Committed) -> None:
        for change in event.changes:
            if isinstance(row := change.new, StepRow) and change.old is None:
                self._stored_s[row.job, row.name] = self.facts.now_s
                self._is_held(happening.actor, row.job, f"a step of job {row.job}")
            elif isinstance(row, JobRow) and self._is_child(row) and change.old is None:
                self._is_new(row)
                self._is_held(happening.actor, row.parent, f"child {row.id}")
        for leaving in self.facts.outcomes:
            done = leaving.new.row
            if isinstance(done, CompletedRow) and done.status == "success":
                self._succeeded(done)
            elif isinstance(done, CompletedRow):
                self._failed_s[done.id] = self.facts.now_s

    def _is_child(self, row: JobRow) -> bool:
        """Those that clients enqueue have a parent now and then; their arguments are no list."""
        return row.parent in self._parents and row.args.startswith("[")

    def _is_held(self, actor: str, parent: UUID | None, what: str) -> None:
        stand = None if parent is None else self.facts.stands.get(parent)
        if stand is None or stand.place is not Place.CLAIMED or stand.worker is None:
            self.find(f"{what} was stored while nobody had job {parent}")
        elif self.facts.actors.get(stand.worker) != actor and not self.plan.sizes.agents:
            self.find(f"{what} was stored by {actor}, which does not have job {parent}")

    def _is_new(self, row: JobRow) -> None:
        assert row.parent is not None
        other = self._children.setdefault((row.parent, row.path, row.args), row.id)
        if other != row.id:
            self.find(f"job {row.parent} has the child {row.path} {row.args} twice")

    def _succeeded(self, done: CompletedRow) -> None:
        job = self.facts.known.get(done.id)
        if job is None or job.path != PARENT:
            return
        _, children = json.loads(done.result or "[null, []]")
        for child in map(UUID, children):
            stand = self.facts.stands.get(child)
            gone = child in self.facts.known and child not in self.facts.jobs
            gone = gone or child in self._again
            if not gone and (stand is None or stand.place is not Place.COMPLETED):
                self.find(f"job {done.id} succeeded before its child {child} had ended")


def parents_given_up(facts: Facts, job: UUID, row: CompletedRow) -> Iterable[UUID]:
    """The job, if it is a parent that ends without success: what it leaves behind is canceled."""
    is_parent = facts.jobs[job].path in FAMILIES
    return (job,) if is_parent and row.status in ("failure", "canceled") else ()


def is_put_off(facts: Facts, key: Attempt, ended: Mapping[Attempt, Sequence[str]]) -> bool:
    """Whether this attempt of a parent was not allowed to wait for its children."""
    return facts.known[key[1]].path in FAMILIES and Snoozed.__name__ in ended.get(key, ())
