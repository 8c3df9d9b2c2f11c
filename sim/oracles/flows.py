"""What is promised of flows: they go on as their steps say, in the same commit, and never stop."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from sim.database.rows import CancelRow, CompletedRow, FlowRow, FlowStateRow, JobRow
from sim.happenings import CancelAsked, Committed, Drained, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.endings import ends_of
from sim.oracles.facts import Facts, Move
from sim.oracles.retries import options_of
from sim.plan import Plan
from trioworker.errors import UsageError
from trioworker.events import Event, OutcomeRefused
from trioworker.model.completion import complete
from trioworker.model.flow import flow_of
from trioworker.model.flow_advance import Missing, advance, begin, unfinished
from trioworker.model.flow_run import Advanced, FlowRun, StepEnd
from trioworker.model.flow_state import decode
from trioworker.model.options import StepOf
from trioworker.model.outcome import JobError
from trioworker.model.transitions import Place
from trioworker.store.postgres.store import WORKER_LOST

STANDING: Final = (Place.READY, Place.WAITING, Place.CLAIMED, Place.FLOW)
NOT_MADE: Final = UUID(int=0)


def step_of(facts: Facts, job: UUID) -> StepOf | None:
    """Of which flow, and where, a job is a step."""
    return options_of(facts, job).step


class _Change(NamedTuple):
    """What a commit has done to one flow: its state before and after, and which steps ended."""

    flow: UUID
    old: FlowStateRow | None
    new: FlowStateRow | None
    ends: Sequence[CompletedRow]


class StepByStep(Oracle):
    """A flow goes on in the commit that ends its steps, to where a run of the pure model comes.

    The model is given the state before, the ends of the steps and what all steps have returned so
    far. It must make the same steps, store the same state, and end as the flow did, so no step is
    made twice or left out, and a loop or branches go on when all of them have ended and not before.
    Allowed: whoever cancels a flow may end it as it stands, and then what is nested in it does not
    even begin; nor does one that nobody has pushed, or whose beginning the database refuses. One
    that somebody may have deleted a result of is not looked at.
    """

    name = "step by step"
    invariant = 6

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._definitions: dict[tuple[str, int], bytes] = {}
        self._results: dict[UUID, bytes | None] = {}
        self._doubtful: set[UUID] = set()
        self._asked: set[UUID] = set()
        self._refused: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            Committed: self._committed,
            CancelAsked: self._cancel_asked,
            OutcomeRefused: self._was_refused,
        }

    def _was_refused(self, _happening: Happening, event: OutcomeRefused) -> None:
        self._refused.add(event.job)

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._asked.update(event.jobs)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        if not self.facts.has_flows:
            return
        self._learn(event)
        made = {
            (step.flow, step.at): change.new
            for change in event.changes
            if isinstance(change.new, JobRow) and change.old is None
            if (step := step_of(self.facts, change.new.id)) is not None
        }
        for changed in self._changes(event):
            if changed.flow not in self._doubtful:
                self._judge(changed, made)
        for (flow, at), row in made.items():
            if flow not in self._doubtful:
                self.find(f"step {at} of flow {flow} was made a job {row.id} for nothing")

    def _learn(self, event: Committed) -> None:
        """What the model has to know."""
        for change in event.changes:
            if isinstance(row := change.new, FlowRow):
                self._definitions[row.path, row.version] = row.definition.encode()
            if isinstance(row, CompletedRow):
                self._results[row.id] = None if row.result is None else row.result.encode()
        for job in self.facts.deleted:
            if (step := step_of(self.facts, job)) is not None:
                self._doubtful.add(step.flow)

    def _changes(self, event: Committed) -> Iterator[_Change]:
        """Each flow that the commit has begun, moved or ended, or a step of which it has ended."""
        states: dict[UUID, list[FlowStateRow | None]] = {}
        for change in event.changes:
            old, new = change.old, change.new
            if isinstance(row := new or old, FlowStateRow):
                before = old if isinstance(old, FlowStateRow) else None
                after = new if isinstance(new, FlowStateRow) else None
                states.setdefault(row.id, [before, after])[1] = after
        ends: dict[UUID, list[CompletedRow]] = {}
        for move, row in ends_of(self.facts):
            step = step_of(self.facts, move.job)
            if step is not None and not self.facts.is_stranded(row):
                ends.setdefault(step.flow, []).append(row)
        for flow in sorted({*states, *ends, *self._begun()}):
            before, after = states.get(flow, [self.facts.flows.get(flow)] * 2)
            if before is not None or after is not None or flow in self._begun():
                yield _Change(flow, before, after, ends.get(flow, ()))

    def _begun(self) -> set[UUID]:
        """The flows that have begun with the commit, and may be over at once."""
        return {
            leaving.job
            for leaving in self.facts.outcomes
            if leaving.new.place in (Place.FLOW, Place.COMPLETED)
            and self.facts.known[leaving.job].kind == "flow"
        }

    def _judge(self, change: _Change, made: dict[tuple[UUID, str], JobRow]) -> None:
        stand = self.facts.stands[change.flow]
        done = stand.row if isinstance(stand.row, CompletedRow) else None
        if self._is_lost(change) or (
            done is not None
            and (self._is_cancelled(change, done) or self._is_refused(change, done))
        ):
            return
        advanced = self._advanced(change, made)
        if advanced is None:
            return
        for job in advanced.jobs:
            step = job.options.step
            assert step is not None
            row = made.pop((step.flow, step.at), None)
            if row is None:
                self.find(f"flow {change.flow} went on, and its step {step.at} was not made a job")
            elif _json(row.args) != msgspec.json.decode(job.args):
                self.find(f"step {step.at} of flow {change.flow} is to be run with {row.args}")
        if done is not None:
            self._ended(change, done, advanced)
        elif advanced.outcome is not None:
            self.find(f"all steps of flow {change.flow} have ended, and it has not")
        elif change.new is None or decode(change.new.state) != advanced.state:
            self.find(f"flow {change.flow} stands where its steps do not lead")

    def _is_cancelled(self, change: _Change, done: CompletedRow) -> bool:
        """Whether somebody has cancelled the flow, begun or not, or what it was to be nested in."""
        if done.status != "canceled":
            return False
        step = step_of(self.facts, change.flow)
        if change.old is None and step is not None and not self._is_awaited(step, change.flow):
            return True
        asked = not self._asked.isdisjoint(self.facts.lineage(change.flow))
        return asked and (change.old is None or done.worker is None)

    def _is_awaited(self, step: StepOf, job: UUID) -> bool:
        """Whether the flow around a step waits for it: for one that is run once more it may not."""
        around = self.facts.flows.get(step.flow)
        return around is not None and job in set(unfinished(decode(around.state)))

    def _is_lost(self, change: _Change) -> bool:
        """Whether the flow is over, or begins anew, because the worker is gone that it kept to."""
        keeper = None if change.old is None else change.old.worker
        return keeper is not None and change.new is None and self.facts.is_dead(keeper)

    def _is_refused(self, change: _Change, done: CompletedRow) -> bool:
        """Whether the flow could not begin: nobody has pushed it, or the database took nothing."""
        if change.old is not None or done.error is None:
            return False
        match msgspec.json.decode(done.error, type=JobError).name:
            case "OutcomeRefused":
                return done.id in self._refused
            case "FlowRefused":
                return not self._newest(self.facts.known[done.id].path)
        return False

    def _ended(self, change: _Change, done: CompletedRow, advanced: Advanced) -> None:
        if advanced.outcome is None:
            self.find(f"flow {change.flow} ended as {done.status} before its steps did")
            return
        expected = complete(advanced.outcome)
        same = _json(done.result) == _json(expected.result)
        if done.status != expected.status or not same:
            self.find(f"flow {change.flow} is a {done.status}, and its steps make a {expected}")

    def _advanced(
        self, change: _Change, made: Mapping[tuple[UUID, str], JobRow]
    ) -> Advanced | None:
        """What the model says. None when it cannot say."""
        row = change.old or change.new
        job = self.facts.known[change.flow]
        path, version = (
            (job.path, self._newest(job.path)) if row is None else (row.path, row.version)
        )
        text = self._definitions.get((path, version))
        if text is None:
            self.find(f"flow {change.flow} has begun or ended, and nobody has pushed it")
            return None
        state = None if change.old is None else decode(change.old.state)
        step = step_of(self.facts, change.flow)
        run = FlowRun(
            job.id, self.facts.stands[job.id].attempt, job.id if step is None else step.root, path,
            job.args.encode(), job.tag, job.priority, flow_of(text), state,
        )  # fmt: skip
        ends = list(map(self._end, change.ends))
        now = job.created_at

        def id_of(flow: UUID, _attempt: int, fact: str) -> UUID:
            row = made.get((flow, fact.removeprefix("step ")))
            return NOT_MADE if row is None else row.id

        try:
            if state is None:
                return begin(run, now=now, id_of=id_of, known=self._results)
            return advance(run, ends, now=now, id_of=id_of, known=self._results)
        except (Missing, UsageError):
            return None

    def _newest(self, path: str) -> int:
        return max((version for known, version in self._definitions if known == path), default=0)

    def _end(self, row: CompletedRow) -> StepEnd:
        step = step_of(self.facts, row.id)
        assert step is not None
        error = None
        if row.error is not None:
            error = msgspec.json.decode(row.error, type=JobError)
            if error.name == WORKER_LOST.error.name:
                error = WORKER_LOST.error  # the row says how many workers it were
        result = None if row.result is None else row.result.encode()
        return StepEnd(step.at, row.id, row.status, result, error)


def _json(text: str | None) -> object:
    return None if text is None else msgspec.json.decode(text)


class NothingStuck(Oracle):
    """What a flow waits for is under way: each step that its state names has not ended, and will.

    So none stands still. A flow that has ended waits for nothing: its steps have ended before it
    or with it, and what it is nested in goes on. Allowed: of one that is cancelled the steps that
    are asked to stop, because they run at that moment, or a moment before; and what is run once
    more.
    When all that was promised has come to its end no flow is under way.
    """

    name = "nothing stuck"
    invariant = 12

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._requests: set[UUID] = set()
        self._steps: dict[UUID, set[UUID]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed, Drained: self._drained}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        if not self.facts.has_flows:
            return
        for flow in self._touched(event):
            if (state := self.facts.flows.get(flow)) is not None:
                self._goes_on(state)
        for move in self.facts.moves:
            if move.places == (Place.FLOW, Place.COMPLETED):
                self._is_over(move)
            elif move.places[0] is Place.FLOW:
                self._steps.pop(move.job, None)  # it begins anew

    def _touched(self, event: Committed) -> dict[UUID, None]:
        """The flows that the commit may have moved."""
        touched: dict[UUID, None] = {}
        for change in event.changes:
            row = change.new or change.old
            if isinstance(row, FlowStateRow):
                touched[row.id] = None
            if isinstance(row, CancelRow):
                (self._requests.discard if change.new is None else self._requests.add)(row.id)
        for move in self.facts.moves:
            if (step := step_of(self.facts, move.job)) is not None:
                touched[step.flow] = None
                self._note(step.flow, move)
        return touched

    def _note(self, flow: UUID, move: Move) -> None:
        """A step is made a job; one that is run once more is none."""
        if move.old is None:
            self._steps.setdefault(flow, set()).add(move.job)
        elif move.old.place is Place.COMPLETED:
            self._steps.get(flow, set()).discard(move.job)

    def _goes_on(self, row: FlowStateRow) -> None:
        if row.worker is not None and self.facts.is_dead(row.worker):
            return  # the next sweep ends it, or begins it anew
        waits_for = list(unfinished(decode(row.state)))
        if not waits_for:
            self.find(f"flow {row.id} is under way and waits for nothing")
        for job in waits_for:
            stand = self.facts.stands.get(job)
            if stand is None or stand.place not in STANDING:
                self.find(f"flow {row.id} waits for job {job}, which is over or never was")

    def _is_over(self, move: Move) -> None:
        assert move.new is not None
        by_a_client = move.new.worker is None
        for job in sorted(self._steps.pop(move.job, ())):
            stand = self.facts.stands.get(job)
            if stand is None or stand.place is Place.COMPLETED:
                continue
            if by_a_client and job in self._requests:
                continue
            self.find(f"flow {move.job} has ended, and its step {job} stands in {stand.place}")

    def _drained(self, *_: object) -> None:
        for flow in self.facts.flows:
            self.find(f"all is over, and flow {flow} is still under way")
