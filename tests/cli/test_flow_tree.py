"""The tree of a flow, and of a run of it: what there is, and how far it is."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from trioworker.cli.flow_tree import plan_rows, run_rows
from trioworker.model.flow import Flow, flow_of
from trioworker.model.flow_shown import ApprovalState, DecisionShown, StepState
from trioworker.model.outcome import JobError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "steps": [
        {"type": "function", "id": "charge", "path": "pay", "skip_if": "input.free"},
        {"type": "for_each", "id": "items", "items": {"expr": "input.items"}, "parallel": 3,
         "steps": [{"type": "function", "id": "pack", "path": "pack"}]},
        {"type": "branch_one", "id": "check", "branches": [
            {"if": "input.dear", "name": "dear", "steps": [
                {"type": "approval", "id": "ask", "approvers": ["ann", "bob"]}]}],
         "default": [{"type": "sleep", "id": "rest", "seconds": 2.5}]},
        {"type": "branch_all", "id": "both", "branches": [
            {"steps": [{"type": "flow", "id": "ship", "path": "ship"}]},
            {"name": "bill", "steps": [{"type": "script", "id": "bill", "path": "bill.py"}]}]},
        {"type": "while", "id": "again", "while": "previous < `3`", "steps": [
            {"type": "noop", "id": "one"}, {"type": "value", "id": "two", "value": 1}]},
    ],
    "failure": {"type": "function", "id": "sorry", "path": "sorry"},
}  # fmt: skip


def flow(definition: dict[str, Any]) -> Flow:
    """The flow that it defines."""
    return flow_of(msgspec.json.encode(definition))


def step(at: str, state: str = "success", **fields: Any) -> StepState:  # noqa: ANN401 - those of a step
    """A step at this place."""
    given: dict[str, Any] = {
        "at": at, "id": UUID(int=hash(at) % 2**64), "kind": "function", "path": "f", "state": state,
        "waits_for": None, "attempt": 1, "started_at": NOW, "duration_ms": None, "error": None,
    }  # fmt: skip
    return StepState(**given | fields)


def shown(rows: Any) -> list[str]:  # noqa: ANN401 - of cells
    """The rows as lines, without the ids of jobs."""
    return [" | ".join([*row[:2], row[-1]]).rstrip(" |") for row in rows]


def test_a_flow_is_a_tree_of_its_steps() -> None:
    """Each says what it does and when it is not run; what is inside stands below it."""
    assert shown(plan_rows(flow(ORDER))) == [
        "├─ charge | function pay | skipped if input.free",
        "├─ items | for_each, 3 at a time",
        "│  └─ pack | function pack",
        "├─ check | branch_one",
        "│  ├─ dear if input.dear",
        "│  │  └─ ask | approval by ann, bob",
        "│  └─ otherwise",
        "│     └─ rest | sleep 2.5 s",
        "├─ both | branch_all",
        "│  ├─ branch 1",
        "│  │  └─ ship | flow ship",
        "│  └─ bill",
        "│     └─ bill | script bill.py",
        "├─ again | while previous < `3`",
        "│  ├─ one | noop",
        "│  └─ two | value",
        "└─ sorry | function sorry, when a step has failed",
    ]


def test_a_run_shows_how_each_step_stands() -> None:
    """Iterations by their index; what has not begun is a dash, what fits nowhere comes last."""
    steps = [
        step("charge", duration_ms=120, attempt=2),
        step("pack[0]"),
        step("pack[1]", "failure", error=JobError("Boom", "it\nbroke")),
        step("rest", "scheduled"),
        step("ship", "waiting", waits_for="steps"),
        step("bill", "waiting", waits_for="slot"),
        step("one[0]"),
        step("one[1]", "running"),
        step("gone"),
    ]
    assert shown(run_rows(flow(ORDER), steps, ())) == [
        "├─ charge | function pay | success, 120 ms, attempt 2",
        "├─ items | for_each, 3 at a time",
        "│  ├─ pack[0] | function pack | success",
        "│  └─ pack[1] | function pack | failure: Boom: it broke",
        "├─ check | branch_one",
        "│  ├─ dear if input.dear",
        "│  │  └─ ask | approval by ann, bob | -",
        "│  └─ otherwise",
        "│     └─ rest | sleep 2.5 s | scheduled",
        "├─ both | branch_all",
        "│  ├─ branch 1",
        "│  │  └─ ship | flow ship | waits for its steps",
        "│  └─ bill",
        "│     └─ bill | script bill.py | waits for a slot",
        "├─ again | while previous < `3`",
        "│  ├─ [0]",
        "│  │  ├─ one[0] | noop | success",
        "│  │  └─ two[0] | value",
        "│  └─ [1]",
        "│     ├─ one[1] | noop | running",
        "│     └─ two[1] | value",
        "├─ sorry | function sorry | -",
        "└─ gone | function f | success",
    ]


def test_of_many_iterations_those_are_shown_that_go_on() -> None:
    """The others are counted."""
    steps = [step(f"pack[{n}]", "running" if n == 77 else "success") for n in range(100)]
    lines = shown(run_rows(flow({"steps": ORDER["steps"][1:2]}), steps, ()))
    assert lines[-2:] == [
        "   ├─ pack[77] | function pack | running",
        "   └─ … 90 more |  | 90 done",
    ]
    assert len(lines) == 12


def test_loops_in_loops_are_told_apart() -> None:
    """Each inner loop has the iterations of its own."""
    inner = {"type": "for_each", "id": "in", "items": [1], "steps": [{"type": "noop", "id": "a"}]}
    outer = {"type": "for_each", "id": "out", "items": [1, 2], "steps": [inner]}
    steps = [step("a[0][0]"), step("a[0][1]"), step("a[1][0]", "ready")]
    assert shown(run_rows(flow({"steps": [outer]}), steps, ())) == [
        "└─ out | for_each",
        "   ├─ in[0] | for_each",
        "   │  ├─ a[0][0] | noop | success",
        "   │  └─ a[0][1] | noop | success",
        "   └─ in[1] | for_each",
        "      └─ a[1][0] | noop | ready",
    ]


def test_an_approval_says_who_is_asked_what() -> None:
    """And how many have approved so far."""
    asked = step("ask", "waiting", waits_for="approval")
    approval = ApprovalState(
        id=asked.id, flow=None, root=None, path="order", at="ask", message="ship it?",
        approvers=("ann", "bob"), needed=2, form={}, since=NOW, until=None,
        decisions=[DecisionShown(by="ann", approved=True, form={}, decided_at=NOW)],
    )  # fmt: skip
    (row,) = run_rows(None, [asked], [approval])
    assert row[2] == str(asked.id)
    assert row[3] == "waits for approval by ann or bob, 1 of 2 so far: ship it?"
