"""What the parts of a flow must keep to, beyond their shape, and what they may say of one another.

Rule of this file: a mistake that can be seen in the definition is never found by a run. Each is
told with the place in the definition where it is, and with the mend.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from trioworker.errors import UsageError
from trioworker.model.bounds import PATH_BYTES_MAX, bounded_text, check_whole_number
from trioworker.model.flow_expression import NAMES, Expr, Expression, encoded, read, shown
from trioworker.model.flow_jobs import approval_of, said, settings_of
from trioworker.model.flow_steps import (
    AnyStep,
    ApprovalStep,
    BranchAllStep,
    BranchOneStep,
    CallStep,
    FlowStep,
    ForEachStep,
    JobStep,
    ScriptStep,
    SleepStep,
    Step,
    ValueStep,
    WhileStep,
    bodies,
    is_loop,
    is_parallel,
)
from trioworker.model.job_settings import check_settings
from trioworker.model.options import DELAY_S_MAX, within

STEPS_MAX: Final = 500
DEPTH_MAX: Final = 10
ITEMS_MAX: Final = 10_000
BRANCHES_MAX: Final = 100
ID_CHARS_MAX: Final = 100
VALUE_BYTES_MAX: Final = 64 * 1024
"""Of one result that is kept in the state of a flow, because no job returned it."""

_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EVERYWHERE: Final = frozenset({"input", "results", "previous", "flow"})
NO_TAG: Final = (
    "with same_worker all steps are run where the flow has begun; leave the tag out, and give the"
    " runs of the flow one"
)
_STOPS_FLOW, _STOPS_LOOP, _STOPS_NOTHING = "flow", "loop", ""


class _Scope(NamedTuple):
    """What expressions may name at a place, and what a stop there would end."""

    names: frozenset[str]
    before: frozenset[str]
    stops: str

    def knowing(self, *names: str) -> "_Scope":
        return self._replace(names=self.names.union(names))

    def after(self, steps: Iterable[str]) -> "_Scope":
        return self._replace(before=self.before.union(steps))


def check_flow(
    steps: Sequence[AnyStep], failure: AnyStep | None, returns: str | None, *, same_worker: bool
) -> None:
    """Raises `UsageError` when no run of such a flow could be as it says."""
    ids = [*_ids(steps, 0), *([failure.id] if failure else [])]
    if len(ids) > STEPS_MAX:
        raise UsageError(f"a flow of {len(ids)} steps is too long; at most {STEPS_MAX}")
    check = _Check(Counter(ids), same_worker=same_worker)
    top = [step.id for step in steps]
    check.steps("$.steps", steps, _Scope(_EVERYWHERE, frozenset(), _STOPS_FLOW))
    if failure is not None:
        check.failure(failure, _Scope(_EVERYWHERE | {"error"}, frozenset(top), _STOPS_NOTHING))
    if returns is not None and returns not in top:
        with at("$.returns"):
            raise UsageError(
                f"there is no step {returns!r} outside of loops and branches;"
                f" one of {', '.join(top)}"
            )


@contextmanager
def at(place: str) -> Iterator[None]:
    """Says of a mistake within where in the definition it is."""
    try:
        yield
    except UsageError as error:
        if str(error).startswith(_WILL_NOT_DO):
            raise
        raise UsageError(f"{_WILL_NOT_DO} {place}: {error}") from None


_WILL_NOT_DO: Final = "the flow will not do at"


def _ids(steps: Sequence[AnyStep], depth: int) -> Iterator[str]:
    if depth > DEPTH_MAX:
        raise UsageError(f"steps inside of steps are nested at most {DEPTH_MAX} deep")
    for step in steps:
        yield step.id
        for _, body in bodies(step):
            yield from _ids(body, depth + 1)


class _Check:
    """Walks through a flow; `ids` says how often each name is there."""

    def __init__(self, ids: Mapping[str, int], *, same_worker: bool) -> None:
        self._ids = ids
        self._same_worker = same_worker

    def steps(self, place: str, steps: Sequence[AnyStep], scope: _Scope) -> None:
        """A list of steps, which has some."""
        if not steps:
            with at(place):
                raise UsageError("there are no steps; at least one")
        for number, step in enumerate(steps):
            self._step(f"{place}[{number}]", step, scope)
            scope = scope.after([step.id])

    def failure(self, step: AnyStep, scope: _Scope) -> None:
        """The step that is run when the flow has failed."""
        with at("$.failure"):
            if step.skip_if is not None or step.stop_after_if is not None or step.continue_on_error:
                raise UsageError(
                    "the failure step has no skip_if, stop_after_if or continue_on_error"
                )
        self._step("$.failure", step, scope)

    def _step(self, place: str, step: AnyStep, scope: _Scope) -> None:
        with at(f"{place}.id"):
            self._check_id(step.id)
        self._condition(f"{place}.skip_if", step.skip_if, scope)
        if isinstance(step, JobStep):
            self._job(place, step, scope)
        self._own(place, step, scope)
        inside = scope.knowing("iter") if is_loop(step) else scope
        inside = inside._replace(stops=_stops(step, scope))
        for name, body in _named_bodies(place, step):
            self.steps(name, body, inside)
        self._stop(f"{place}.stop_after_if", step, scope)

    def _check_id(self, name: str) -> None:
        if not _ID.fullmatch(name) or len(name) > ID_CHARS_MAX:
            raise UsageError(
                f"{shown(name)} is no name for a step; letters, digits and _, no digit first,"
                f" at most {ID_CHARS_MAX}"
            )
        if self._ids[name] > 1:
            raise UsageError(f"two steps are called {name!r}; give each a name of its own")

    def _job(self, place: str, step: JobStep, scope: _Scope) -> None:
        settings = settings_of(step)
        settings["tag"], settings["priority"] = step.tag, step.priority
        with at(place):
            check_settings(settings)
        if self._same_worker and step.tag is not None:
            with at(f"{place}.tag"):
                raise UsageError(NO_TAG)
        if isinstance(step, CallStep | FlowStep):
            with at(f"{place}.path"):
                bounded_text("path", step.path, PATH_BYTES_MAX)
            self._args(f"{place}.args", step.args, scope)
        if isinstance(step, ScriptStep) and step.language is not None:
            with at(f"{place}.language"):
                bounded_text("language", step.language, ID_CHARS_MAX)

    def _args(self, place: str, args: Mapping[str, Any] | Sequence[Any], scope: _Scope) -> None:
        if isinstance(args, Mapping):
            for name, value in args.items():
                self._value(f"{place}.{name}", value, scope)
        else:
            for number, value in enumerate(args):
                self._value(f"{place}[{number}]", value, scope)

    def _own(self, place: str, step: AnyStep, scope: _Scope) -> None:
        """What only steps of this sort say."""
        match step:
            case SleepStep(seconds=seconds):
                with at(f"{place}.seconds"):
                    if not isinstance(seconds, Expr):
                        within("a sleep", seconds, 0.0, DELAY_S_MAX)
                self._value(f"{place}.seconds", seconds, scope)
            case ApprovalStep(approvers=approvers, message=message):
                with at(place):
                    constant = [] if isinstance(approvers, Expr) else approvers
                    approval_of(step, constant, "" if isinstance(message, Expr) else message)
                self._value(f"{place}.approvers", approvers, scope)
                self._value(f"{place}.message", message, scope)
            case ValueStep(value=value):
                self._value(f"{place}.value", value, scope)
                with at(f"{place}.value"):
                    _check_size(value)
            case ForEachStep(items=items, parallel=parallel):
                self._value(f"{place}.items", items, scope)
                with at(place):
                    _check_loop(items, parallel)
            case WhileStep(condition=condition, steps=steps):
                known = scope.knowing("iter").after([inner.id for inner in steps])
                self._condition(f"{place}.while", condition, known)
                with at(f"{place}.max"):
                    _check_count("iterations", step.max, ITEMS_MAX)
            case BranchOneStep(branches=branches):
                with at(f"{place}.branches"):
                    _check_count("branches", len(branches), BRANCHES_MAX)
                for number, case in enumerate(branches):
                    self._condition(f"{place}.branches[{number}].if", case.condition, scope)
            case BranchAllStep(branches=branches):
                with at(f"{place}.branches"):
                    _check_count("branches", len(branches), BRANCHES_MAX)

    def _stop(self, place: str, step: Step, scope: _Scope) -> None:
        stop = step.stop_after_if
        if stop is None:
            return
        self._condition(f"{place}.if", stop.condition, scope.knowing("result").after([step.id]))
        with at(place):
            if scope.stops == _STOPS_NOTHING:
                raise UsageError(
                    "there is nothing here that it could end: steps around it run at the same time"
                )
            if scope.stops == _STOPS_LOOP and stop.status != "success":
                raise UsageError(f"it ends a loop here, which cannot end as {stop.status}")

    def _value(self, place: str, value: Any, scope: _Scope) -> None:  # noqa: ANN401 - JSON
        expression = said(value)
        if expression is not None:
            self._condition(place, expression.expr, scope)

    def _condition(self, place: str, text: str | None, scope: _Scope) -> None:
        if text is None:
            return
        with at(place):
            self._check_names(read(text), scope)

    def _check_names(self, expression: Expression, scope: _Scope) -> None:
        for name in sorted(expression.names - scope.names):
            raise UsageError(f"the expression {shown(expression.text)} {_NOT_HERE[name]}")
        for step in sorted(expression.results - scope.before):
            why = "is not before it" if step in self._ids else "does not exist"
            before = f"; before it are {', '.join(sorted(scope.before))}" * bool(scope.before)
            raise UsageError(
                f"the expression {shown(expression.text)} names the result of the step"
                f" {shown(step)}, which {why}{before}"
            )


_NOT_HERE: Final = dict.fromkeys(NAMES, "will not do here") | {
    "iter": "names 'iter', which there is only inside a loop",
    "error": "names 'error', which only the failure step knows",
    "result": "names 'result', which only stop_after_if knows; say results.step",
}


def _named_bodies(place: str, step: AnyStep) -> Iterator[tuple[str, Sequence[AnyStep]]]:
    """The lists of steps inside, each with its place; a default that is left out is none."""
    for number, body in bodies(step):
        if isinstance(step, BranchOneStep) and number == len(step.branches):
            if body:
                yield f"{place}.default", body
        elif is_loop(step):
            yield f"{place}.steps", body
        else:
            yield f"{place}.branches[{number}].steps", body


def _stops(step: AnyStep, scope: _Scope) -> str:
    """What a stop inside of the step would end."""
    if is_parallel(step):
        return _STOPS_NOTHING
    return _STOPS_LOOP if is_loop(step) else scope.stops


def _check_loop(items: Expr | Sequence[Any], parallel: bool | int) -> None:  # noqa: FBT001 - of JSON
    if not isinstance(items, Expr) and said(items) is None:
        check_items(len(items))
    if not isinstance(parallel, bool):
        _check_count("iterations at a time", parallel, ITEMS_MAX)


def check_items(count: int) -> None:
    """Raises `UsageError` when a loop cannot be for so many items."""
    if count > ITEMS_MAX:
        raise UsageError(
            f"a loop over {count:,} items is too long; at most {ITEMS_MAX:,}: let each iteration"
            " take several of them"
        )


def _check_count(what: str, count: int, most: int) -> None:
    check_whole_number(f"the number of {what}", count)
    if not 1 <= count <= most:
        raise UsageError(f"{count:,} {what} will not do; from 1 to {most:,}")


def _check_size(value: object) -> None:
    if (size := len(encoded(value))) > VALUE_BYTES_MAX:
        raise UsageError(f"a value of {size:,} bytes is too large; at most {VALUE_BYTES_MAX:,}")
