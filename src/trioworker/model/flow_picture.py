"""A flow as a picture: Mermaid text, drawn from the definition and nothing else.

Rule of this file: every step is seen in it, with what decides whether it runs. What a user wrote
stands in quotes and escaped, so that no expression can be taken for a part of the drawing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from trioworker.model.flow import Flow
from trioworker.model.flow_expression import Expr
from trioworker.model.flow_jobs import said
from trioworker.model.flow_steps import (
    AnyStep,
    ApprovalStep,
    BranchAllStep,
    BranchOneStep,
    FlowStep,
    ForEachStep,
    FunctionStep,
    NoopStep,
    ScriptStep,
    SleepStep,
    ValueStep,
    WhileStep,
)

TEXT_CHARS_MAX: Final = 50
_ESCAPED: Final[Mapping[str, str]] = {
    "#": "#35;",
    '"': "#quot;",
    "<": "#lt;",
    ">": "#gt;",
    "`": "#96;",
    "\n": " ",
}
_INDENT: Final = "    "
_PLAIN: Final[Mapping[type[AnyStep], str]] = {
    BranchAllStep: "all at the same time",
    BranchOneStep: "one of",
    NoopStep: "nothing",
}


def picture(flow: Flow) -> str:
    """The flow as a Mermaid flowchart."""
    lines = ['begin(["input"])', *_list(flow.steps, "begin", "flow")]
    lines.append(f'{_after(flow.steps[-1])} --> finish(["{_result(flow)}"])')
    if flow.failure is not None:
        lines += _step(flow.failure, "")
        lines.append(f'begin -. "a step has failed" .-> {_node(flow.failure)}')
        lines.append(f'{_node(flow.failure)} --> failed(["failure, unless it recovers"])')
    return "\n".join(["flowchart TD", *(_INDENT + line for line in lines)])


def _list(steps: Sequence[AnyStep], entry: str, ends: str) -> Iterator[str]:
    """The steps of a list and the arrows between them, the first one from `entry` if there is one.

    `ends` is what a stop would end.
    """
    for step in steps:
        yield from _step(step, ends)
        if entry:
            yield f"{entry} --> {_node(step)}"
        entry = _after(step)


def _step(step: AnyStep, ends: str) -> Iterator[str]:
    match step:
        case ForEachStep(steps=steps) | WhileStep(steps=steps):
            yield from _box(_node(step), _label(step, ends), _list(steps, "", "loop"))
        case BranchAllStep(branches=branches):
            drawn = []
            for number, branch in enumerate(branches):
                name = _cut(branch.name) or f"branch {number}"
                name += ", null if it fails" * branch.skip_failure
                inner = _list(branch.steps, "", ends)
                drawn += [*_box(f"b{number}_{step.id}", _escaped(name), inner)]
            yield from _box(_node(step), _label(step, ends), iter(drawn))
        case BranchOneStep():
            yield from _choice(step, ends)
        case _:
            left, right = _shape(step)
            yield f'{_node(step)}{left}"{_label(step, ends)}"{right}'


def _choice(step: BranchOneStep, ends: str) -> Iterator[str]:
    node, after = _node(step), _after(step)
    yield f'{node}{{"{_label(step, ends)}"}}'
    for case in step.branches:
        name = f"{_cut(case.name)}: " if case.name else ""
        yield from _branch(node, after, f"{name}{_cut(case.condition)}", case.steps, ends)
    yield from _branch(node, after, "else", step.default, ends)
    yield f'{after}((" "))'


def _branch(
    node: str, after: str, label: str, steps: Sequence[AnyStep], ends: str
) -> Iterator[str]:
    yield from _list(steps, "", ends)
    yield f'{node} -- "{_escaped(label)}" --> {_node(steps[0]) if steps else after}'
    if steps:
        yield f"{_after(steps[-1])} --> {after}"


def _box(node: str, label: str, inner: Iterator[str]) -> Iterator[str]:
    yield f'subgraph {node}["{label}"]'
    yield from (_INDENT + line for line in inner)
    yield "end"


def _node(step: AnyStep) -> str:
    """Its name in the drawing, where some words mean something else."""
    return f"s_{step.id}"


def _after(step: AnyStep) -> str:
    """Where the arrow to the next step begins."""
    return f"a_{step.id}" if isinstance(step, BranchOneStep) else _node(step)


def _shape(step: AnyStep) -> tuple[str, str]:
    match step:
        case ApprovalStep():
            return "{{", "}}"
        case SleepStep() | NoopStep():
            return "(", ")"
        case ValueStep():
            return "[/", "/]"
        case FlowStep():
            return "[[", "]]"
        case _:
            return "[", "]"


def _label(step: AnyStep, ends: str) -> str:
    """What a step is, and what decides about it."""
    lines = [f"{step.id}: {_what(step)}"]
    if step.skip_if is not None:
        lines.append(f"skipped if {_cut(step.skip_if)}")
    if step.continue_on_error:
        lines.append("may fail")
    if step.stop_after_if is not None:
        status = step.stop_after_if.status
        how = "" if status == "success" else f" as {status}"
        lines.append(f"ends the {ends}{how} if {_cut(step.stop_after_if.condition)}")
    return "<br/>".join(map(_escaped, lines))


def _what(step: AnyStep) -> str:
    match step:
        case FunctionStep(path=path) | ScriptStep(path=path) | FlowStep(path=path):
            return _cut(path)
        case SleepStep(seconds=seconds):
            return f"{_said(seconds)} s"
        case ApprovalStep(approvers=approvers):
            return f"approval by {_said(approvers) or 'anyone'}"
        case ValueStep(value=value):
            return _said(value) if said(value) else "value"
        case ForEachStep():
            return f"for each of {_items(step)}{_width(step)}"
        case WhileStep(condition=condition):
            return f"while {_cut(condition)}"
        case _:
            return _PLAIN[type(step)]


def _items(step: ForEachStep) -> str:
    return _said(step.items) if isinstance(step.items, Expr) else f"{len(step.items)} items"


def _width(step: ForEachStep) -> str:
    fails = ", null if it fails" * step.skip_failure
    if step.parallel is True:
        return f", all at the same time{fails}"
    return (f", {step.parallel} at a time" if step.parallel > 1 else ", one by one") + fails


def _result(flow: Flow) -> str:
    return "result" if flow.returns is None else f"result of {flow.returns}"


def _said(value: object) -> str:
    """A constant, or the expression in its place."""
    expression = said(value)
    if expression is not None:
        return _cut(expression.expr)
    return _cut(", ".join(value) if isinstance(value, list) else str(value))


def _cut(text: str) -> str:
    """What a user wrote, which may be long."""
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]}…"


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in text)
