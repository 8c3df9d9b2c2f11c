"""The flows of the simulated world, and what their oracles allow, in traces made by hand."""

import msgspec
import pytest

from sim.database.rows import CancelRow, DecisionRow, ReadyRow
from sim.flowing import BY_HAND, FLOWS, RUNS, definition_of, needed_for, when_and_which
from sim.handmade import CLIENT, A, Handmade, job
from sim.handmade_flows import asked, begun, defined, flow_row
from sim.happenings import CancelAsked
from sim.oracles.approvals import Decided
from sim.oracles.flows import NothingStuck, StepByStep
from sim.plan import Plan, draw_plan
from sim.run import run
from trioworker.errors import UsageError
from trioworker.model.flow import flow_of

PLAN = Plan(seed=0)
CANCELLED = '{"name": "Cancelled", "message": "no"}'
TOO_LATE = '{"name": "ApprovalTimeout", "message": "0 of 1 approval came within 5 s"}'


@pytest.mark.parametrize("name", FLOWS)
def test_each_flow_can_be_run(name: str) -> None:
    """What is pushed is read as it was meant, and what is nested in it is there as well."""
    assert flow_of(definition_of(name)).steps
    assert set(needed_for([name])) <= FLOWS.keys()


def test_a_run_of_a_flow_is_written_with_its_time() -> None:
    """`nested@0.5`; what is no run says how to write one."""
    assert when_and_which("nested@0.5") == (0.5, "nested")
    assert when_and_which("deep") == (0.0, "deep")
    for wrong in ("poem", "deep@soon", "deep@-1"):
        with pytest.raises(UsageError, match="is no run of a flow; write it as 'nested'"):
            when_and_which(wrong)


def test_one_seed_in_five_has_flows() -> None:
    """And of all of them each is drawn."""
    drawn = [draw_plan(seed).flows for seed in range(400)]
    assert 50 < sum(map(bool, drawn)) < 110
    assert {when_and_which(one)[1] for runs in drawn for one in runs} == set(RUNS)


def test_all_flows_in_a_quiet_world() -> None:
    """All at once come to their ends, and nobody finds anything."""
    assert run(Plan(seed=3, flows=RUNS, chaos_s=2.0)).findings == []


@pytest.mark.parametrize("name", BY_HAND)
def test_a_flow_that_no_seed_draws(name: str) -> None:
    """It does as its steps say, with faults and without."""
    lost = {"line lost after the effect": 0.06}
    assert run(Plan(seed=1, flows=[name], chaos_s=2.0)).findings == []
    assert run(Plan(seed=1, flows=[name] * 6, chaos_s=6.0, faults=lost)).findings == []


# ---- by hand ----------------------------------------------------------------------------------


def test_a_flow_that_goes_on_as_it_should() -> None:
    """Its step ends, and it with the step."""
    made = Handmade(PLAN)
    begun(made)
    made.pull(2)
    over = (flow_row(made), None)
    made.commit(
        A, *made.leave(2), (None, made.completed(2, result=None)), over,
        (None, made.completed(1, result="null")),
    )  # fmt: skip
    assert made.findings(StepByStep, NothingStuck) == []


def test_a_flow_that_ends_before_its_step() -> None:
    """Both see it."""
    made = Handmade(PLAN)
    begun(made)
    made.commit(A, (flow_row(made), None), (None, made.completed(1, result="null")))
    assert {found.oracle for found in made.findings(StepByStep, NothingStuck)} == {
        "step by step",
        "nothing stuck",
    }


def test_a_flow_may_be_cancelled_while_its_step_runs() -> None:
    """The worker of the step is asked to stop it; if not, it is forgotten."""
    for is_asked in (True, False):
        made = Handmade(PLAN)
        begun(made)
        made.pull(2)
        request = CancelRow(id=job(2), reason="no", requested_at=made.clock)
        ended = made.completed(
            1, None, status="canceled", result=None, error=CANCELLED, started_at=None
        )
        asking = [(None, request)] if is_asked else []
        made.say(CLIENT, CancelAsked(jobs=[job(1)]))
        made.commit(CLIENT, (flow_row(made), None), (None, ended), *asking)
        assert bool(made.findings(StepByStep, NothingStuck)) != is_asked


def test_a_flow_may_be_cancelled_before_it_begins() -> None:
    """By the worker that has it in its hands; but nobody else may say that it is canceled."""
    for is_asked in (True, False):
        made = Handmade(PLAN)
        defined(made)
        made.enqueue(1, kind="flow", path="f")
        made.pull(1)
        if is_asked:
            made.say(CLIENT, CancelAsked(jobs=[job(1)]))
        made.store(1, status="canceled", result=None, error=CANCELLED)
        assert bool(made.findings(StepByStep)) != is_asked


def test_a_step_that_nobody_asked_for() -> None:
    """A job that says that it is a step of a flow, and of which that flow knows nothing."""
    made = Handmade(PLAN)
    begun(made)
    stray = msgspec.structs.replace(made.jobs[job(2)], id=job(3))
    ready = ReadyRow(id=job(3), tag="t", priority=0, scheduled_for=made.clock)
    made.commit(A, (None, stray), (None, ready))
    (found,) = made.findings(StepByStep)
    assert "for nothing" in found.message


def test_an_approval_may_end_when_its_time_is_over() -> None:
    """Or be cancelled; but not succeed when nobody has approved."""
    ends = {TOO_LATE: "failure", CANCELLED: "canceled", None: "success"}
    for error, status in ends.items():
        made = Handmade(PLAN)
        waiting = asked(made)
        ended = made.completed(1, None, status=status, result=None, error=error)
        made.commit(A, (waiting, None), (None, ended))
        assert bool(made.findings(Decided)) == (error is None)


def test_nobody_decides_about_what_has_ended() -> None:
    """A decision that comes too late is none."""
    made = Handmade(PLAN)
    waiting = asked(made)
    ended = made.completed(1, None, status="canceled", result=None, error=CANCELLED)
    made.commit(CLIENT, (waiting, None), (None, ended))
    said = DecisionRow(job=job(1), by="ann", approved=True, form="{}", decided_at=made.clock)
    made.commit(CLIENT, (None, said))
    (found,) = made.findings(Decided)
    assert "does not wait" in found.message
