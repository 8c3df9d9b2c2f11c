"""Shrinking: the smallest plan that still fails, found by leaving things out one after the other.

Rule of this file: it edits plans and never draws. Faults have names that do not depend on each
other, so a class, a job or a single fault can go while all the rest stays where it was. Greedy, in
the order of what makes a story shorter most: classes of faults, sorts of jobs, jobs, workers, then
single faults. At the end the faults that are left are written down one by one, so that the plan
says what happens instead of how likely it is.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from sim.happenings import FaultFired, Happening
from sim.plan import EXCHANGE_FAULTS, Plan, Scripted
from sim.run import Result, run

StillFails = Callable[[Result], bool]
RUNS_MAX: Final = 500


class Step(NamedTuple):
    """A smaller plan that still fails, and what it does without."""

    what: str
    plan: Plan


def shrink(
    plan: Plan,
    still_fails: StillFails,
    *,
    kept: Callable[[Step], None] = lambda _step: None,
    runs_max: int = RUNS_MAX,
    attempt: Callable[[Plan], Result] = run,
) -> Plan:
    """The smallest plan that it finds for which `still_fails`, in at most `runs_max` runs.

    `kept` hears of each step. Raises `ValueError` when the plan itself does not fail.
    """
    shrinking = _Shrinking(still_fails, kept, runs_max, attempt)
    if not shrinking.fails(plan):
        raise ValueError("the plan does not fail, so there is nothing to shrink")
    for steps in (_without_classes, _without_bodies, _fewer_jobs, _fewer_workers, _shorter):
        plan = shrinking.to_the_end(plan, steps)
    plan = shrinking.written_out(plan)
    return shrinking.to_the_end(plan, _without_singles)


class _Shrinking:
    """One search: how many runs are left, and the last result that failed."""

    def __init__(
        self,
        still_fails: StillFails,
        kept: Callable[[Step], None],
        runs_max: int,
        attempt: Callable[[Plan], Result],
    ) -> None:
        self._still_fails = still_fails
        self._kept = kept
        self._runs_left = runs_max
        self._attempt = attempt
        self._failed: Result | None = None

    def fails(self, plan: Plan) -> bool:
        """Whether the plan fails; False as well when no run is left."""
        if self._runs_left == 0:
            return False
        self._runs_left -= 1
        result = self._attempt(plan)
        if not self._still_fails(result):
            return False
        self._failed = result
        return True

    def to_the_end(self, plan: Plan, steps: Callable[[Plan], Iterator[Step]]) -> Plan:
        """Take every step that leaves a failing plan, again until none does."""
        while True:
            taken = next((step for step in steps(plan) if self.fails(step.plan)), None)
            if taken is None:
                return plan
            self._kept(taken)
            plan = taken.plan

    def written_out(self, plan: Plan) -> Plan:
        """The plan with its faults by name instead of by chance, if it fails just the same."""
        assert self._failed is not None
        step = Step("faults are named instead of drawn", named_faults(plan, self._failed.trace))
        if not self.fails(step.plan):
            return plan
        self._kept(step)
        return step.plan


def named_faults(plan: Plan, happenings: Iterable[Happening]) -> Plan:
    """`plan` with those faults alone that struck in a run of it."""
    exactly: list[str] = []
    script: list[Scripted] = []
    scripted = {chosen.fault: chosen for chosen in plan.script}
    for at_s, _, event in happenings:
        if not isinstance(event, FaultFired):
            continue
        if event.fault.partition("@")[0] in EXCHANGE_FAULTS:
            exactly.append(event.fault)
        else:
            script.append(scripted.get(event.fault, Scripted(fault=event.fault, at_s=at_s)))
    return msgspec.structs.replace(plan, faults={}, without=(), exactly=exactly, script=script)


def _without_classes(plan: Plan) -> Iterator[Step]:
    for name in plan.faults:
        fewer = {other: rate for other, rate in plan.faults.items() if other != name}
        yield Step(f"no '{name}'", msgspec.structs.replace(plan, faults=fewer))


def _without_bodies(plan: Plan) -> Iterator[Step]:
    for name in plan.bodies if len(plan.bodies) > 1 else ():
        fewer = {other: weight for other, weight in plan.bodies.items() if other != name}
        yield Step(f"no jobs that are '{name}'", msgspec.structs.replace(plan, bodies=fewer))
    if plan.cancels or plan.cancels_running:
        fewer_cancels = msgspec.structs.replace(plan, cancels=0, cancels_running=0)
        yield Step("no cancellations", fewer_cancels)
    if plan.schedules:
        yield Step("no schedules", msgspec.structs.replace(plan, schedules=(), meddling=()))
    if plan.flows:
        yield Step("no flows", msgspec.structs.replace(plan, flows=(), flows_cancelled=0))
    for place, flow in enumerate(plan.flows if len(plan.flows) > 1 else ()):
        fewer_flows = [*plan.flows[:place], *plan.flows[place + 1 :]]
        yield Step(f"without the flow '{flow}'", msgspec.structs.replace(plan, flows=fewer_flows))
    for deed in plan.meddling:
        fewer_deeds = [other for other in plan.meddling if other != deed]
        yield Step(f"without '{deed}'", msgspec.structs.replace(plan, meddling=fewer_deeds))


def _fewer_jobs(plan: Plan) -> Iterator[Step]:
    if plan.jobs:
        for place, path in enumerate(plan.jobs if len(plan.jobs) > 1 else ()):
            others = [*plan.jobs[:place], *plan.jobs[place + 1 :]]
            step = f"without job {place + 1}, which is '{path}'"
            yield Step(step, msgspec.structs.replace(plan, jobs=others))
        return
    jobs = plan.sizes.jobs
    for fewer in sorted({jobs // 4, jobs // 2, jobs - 1} - {0, jobs}):
        sizes = msgspec.structs.replace(plan.sizes, jobs=fewer)
        yield Step(f"{fewer} jobs", msgspec.structs.replace(plan, sizes=sizes))


def _fewer_workers(plan: Plan) -> Iterator[Step]:
    yield from _without_agents(plan)
    if plan.sizes.workers > 1:
        sizes = msgspec.structs.replace(plan.sizes, workers=plan.sizes.workers - 1)
        yield Step(f"{sizes.workers} workers", msgspec.structs.replace(plan, sizes=sizes))


def _without_agents(plan: Plan) -> Iterator[Step]:
    if plan.sizes.agents:
        with_database = msgspec.structs.replace(plan.sizes, agents=0)
        yield Step("no agents", msgspec.structs.replace(plan, sizes=with_database, intruder=False))
    if plan.sizes.agents and plan.sizes.apis > 1:
        one = msgspec.structs.replace(plan.sizes, apis=1)
        yield Step("one server for the agents", msgspec.structs.replace(plan, sizes=one))
    if plan.intruder:
        yield Step("no intruder", msgspec.structs.replace(plan, intruder=False))


def _shorter(plan: Plan) -> Iterator[Step]:
    if plan.enqueue_s > 0:
        yield Step("all jobs at once", msgspec.structs.replace(plan, enqueue_s=0.0))
    if plan.chaos_s > 1:
        yield Step(
            f"{plan.chaos_s / 2:g} s of faults",
            msgspec.structs.replace(plan, chaos_s=plan.chaos_s / 2),
        )


def _without_singles(plan: Plan) -> Iterator[Step]:
    for scripted in plan.script:
        fewer = [other for other in plan.script if other is not scripted]
        yield Step(f"without {scripted.fault}", msgspec.structs.replace(plan, script=fewer))
    for fault in plan.exactly:
        rest = [other for other in plan.exactly if other != fault]
        yield Step(f"without {fault}", msgspec.structs.replace(plan, exactly=rest))
