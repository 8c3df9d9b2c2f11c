"""A flow and its runs as a tree of steps, a row for each.

Rule of this file: pure. The definition says what there is, the run how far it is; what stands at a
place that the definition does not have is shown all the same, at the end.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from trioworker.model.flow import Flow
from trioworker.model.flow_shown import ApprovalState, StepState
from trioworker.model.flow_state import place_of, place_text
from trioworker.model.flow_steps import (
    AnyStep,
    ApprovalStep,
    BranchAllStep,
    BranchOneStep,
    CallStep,
    FlowStep,
    ForEachStep,
    GroupStep,
    SleepStep,
    ValueStep,
    WhileStep,
    bodies,
    is_loop,
)

ITERATIONS_SHOWN: Final = 10
NOT_BEGUN: Final = "-"
WAITS_FOR: Final[Mapping[str, str]] = {
    "slot": "waits for a slot",
    "steps": "waits for its steps",
    "approval": "waits for approval",
}

Row: TypeAlias = tuple[str, ...]
Indices: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A step, a branch or an iteration: its name, what it does, how it stands, what is inside.

    `job` is its id, where it is one.
    """

    name: str
    what: str = ""
    state: str = ""
    job: str = ""
    inner: "Sequence[Node]" = field(default=())


def plan_rows(flow: Flow) -> Sequence[Row]:
    """The steps of a flow: name, what it does, and when it is not run."""
    nodes = [_planned(step) for step in flow.steps]
    if flow.failure is not None:
        nodes.append(Node(flow.failure.id, f"{_sort(flow.failure)}, when a step has failed"))
    return [(name, what, unless) for name, what, _job, unless in _rows(nodes)]


def run_rows(
    flow: Flow | None, steps: Sequence[StepState], approvals: Sequence[ApprovalState]
) -> Sequence[Row]:
    """The same of a run, with the job of each step and how it stands.

    Without a flow the steps as they came.
    """
    run = _Run(steps, approvals)
    nodes = []
    if flow is not None:
        nodes = run.nodes(flow.steps, ())
        if flow.failure is not None:
            nodes.append(run.leaf(flow.failure, ()))
    return [*_rows([*nodes, *run.others()])]


def stands(step: StepState, approval: ApprovalState | None = None) -> str:
    """How a step stands, in words."""
    text = WAITS_FOR[step.waits_for] if step.waits_for else step.state
    if approval is not None:
        text += _asked(approval)
    if step.duration_ms is not None:
        text += f", {step.duration_ms} ms"
    if step.attempt is not None and step.attempt > 1:
        text += f", attempt {step.attempt}"
    if step.error is not None:
        text += f": {step.error.name}: {' '.join(step.error.message.split())}"
    return text


class _Run:
    """The steps of a run, taken one after the other as the definition comes to them."""

    def __init__(self, steps: Sequence[StepState], approvals: Sequence[ApprovalState]) -> None:
        self._left = {step.at: step for step in steps}
        self._asked = {approval.id: approval for approval in approvals}
        self._iterations: dict[tuple[str, Indices], set[int]] = {}
        for step in steps:
            if (place := place_of(step.at)) is not None:
                for depth, index in enumerate(place.indices):
                    around = (place.step, place.indices[:depth])
                    self._iterations.setdefault(around, set()).add(index)

    def nodes(self, steps: Sequence[AnyStep], indices: Indices) -> list[Node]:
        """These steps, in the iterations `indices` of the loops around them."""
        return [
            self.group(step, indices) if isinstance(step, GroupStep) else self.leaf(step, indices)
            for step in steps
        ]

    def leaf(self, step: AnyStep, indices: Indices) -> Node:
        """A step that is a job, or a value."""
        at = place_text(step.id, indices)
        found = self._left.pop(at, None)
        if found is not None:
            return self._begun(found, _sort(step))
        # A value is found by nobody, so nothing tells when that was.
        return Node(at, _sort(step), "" if isinstance(step, ValueStep) else NOT_BEGUN)

    def group(self, step: GroupStep, indices: Indices) -> Node:
        """A loop or branches."""
        name = place_text(step.id, indices)
        if not is_loop(step):
            inner = [
                Node(title, inner=self.nodes(body, indices)) for title, body in _branches(step)
            ]
            return Node(name, _sort(step), inner=inner)
        rounds = sorted(
            {
                index
                for inside in _ids(step)
                for index in self._iterations.get((inside, indices), ())
            }
        )
        inner = [self._iteration(step, (*indices, index)) for index in rounds]
        return Node(name, _sort(step), "" if rounds else NOT_BEGUN, inner=_few(inner))

    def others(self) -> list[Node]:
        """What stands where the definition has nothing."""
        return [self._begun(step, f"{step.kind} {step.path}") for step in self._left.values()]

    def _begun(self, step: StepState, what: str) -> Node:
        return Node(step.at, what, stands(step, self._asked.get(step.id)), str(step.id))

    def _iteration(self, step: GroupStep, indices: Indices) -> Node:
        ((_, body),) = bodies(step)
        inner = self.nodes(body, indices)
        return inner[0] if len(inner) == 1 else Node(f"[{indices[-1]}]", inner=inner)


def _few(iterations: Sequence[Node]) -> Sequence[Node]:
    """Some of them, those first that did not simply succeed; how the others stand is counted."""
    if len(iterations) <= ITERATIONS_SHOWN:
        return iterations
    ranked = sorted(enumerate(iterations), key=lambda pair: (_is_done(pair[1]), pair[0]))
    shown = sorted(number for number, _ in ranked[:ITERATIONS_SHOWN])
    rest = [node for number, node in enumerate(iterations) if number not in shown]
    counts = Counter("done" if _is_done(node) else "not done" for node in rest)
    said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return [*(iterations[number] for number in shown), Node(f"… {len(rest)} more", "", said)]


def _is_done(node: Node) -> bool:
    if node.inner:
        return all(map(_is_done, node.inner))
    return not node.state or node.state.startswith(("success", "skipped"))


def _planned(step: AnyStep) -> Node:
    if not isinstance(step, GroupStep):
        return Node(step.id, _sort(step), _unless(step))
    if is_loop(step):
        ((_, body),) = bodies(step)
        return Node(step.id, _sort(step), _unless(step), inner=[*map(_planned, body)])
    inner = [Node(title, inner=[*map(_planned, body)]) for title, body in _branches(step)]
    return Node(step.id, _sort(step), _unless(step), inner=inner)


def _branches(step: GroupStep) -> Iterator[tuple[str, Sequence[AnyStep]]]:
    """The branches that have steps, each with what is said of it."""
    if isinstance(step, BranchOneStep):
        for case in step.branches:
            yield f"{case.name} if {case.condition}".strip(), case.steps
        if step.default:
            yield "otherwise", step.default
    elif isinstance(step, BranchAllStep):
        for number, branch in enumerate(step.branches, start=1):
            yield branch.name or f"branch {number}", branch.steps


def _ids(step: GroupStep) -> Iterator[str]:
    for _, body in bodies(step):
        for inner in body:
            yield inner.id
            if isinstance(inner, GroupStep):
                yield from _ids(inner)


def _sort(step: AnyStep) -> str:
    """What the step does."""
    sort = str(step.__struct_config__.tag)
    match step:
        case CallStep() | FlowStep():
            return f"{sort} {step.path}"
        case SleepStep():
            return f"{sort} {step.seconds:g} s" if isinstance(step.seconds, int | float) else sort
        case ApprovalStep() if isinstance(step.approvers, list) and step.approvers:
            return f"{sort} by {', '.join(step.approvers)}"
        case ForEachStep() if step.parallel:
            wide = "all at once" if step.parallel is True else f"{step.parallel} at a time"
            return f"{sort}, {wide}"
        case WhileStep():
            return f"{sort} {step.condition}"
        case _:
            return sort


def _unless(step: AnyStep) -> str:
    return "" if step.skip_if is None else f"skipped if {step.skip_if}"


def _asked(approval: ApprovalState) -> str:
    who = f" by {' or '.join(approval.approvers)}" if approval.approvers else ""
    if approval.needed > 1:
        so_far = sum(one.approved for one in approval.decisions)
        who += f", {so_far} of {approval.needed} so far"
    return f"{who}: {approval.message}" if approval.message else who


def _rows(nodes: Sequence[Node], before: str = "") -> Iterator[Row]:
    for node in nodes:
        last = node is nodes[-1]
        yield f"{before}{'└─' if last else '├─'} {node.name}", node.what, node.job, node.state
        yield from _rows(node.inner, f"{before}{'   ' if last else '│  '}")
