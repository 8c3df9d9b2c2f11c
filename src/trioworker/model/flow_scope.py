"""What an expression knows at the place where it stands.

    name        what stands behind it
    ----------  ---------------------------------------------------------------------------------
    input       the arguments of the flow
    results     by name, what steps returned that are before it here or around it; null if skipped
    previous    the result of the step before; of the first in a branch, of the step before that;
                of the first in a loop's body, of the iteration before, null in a parallel loop
    iter        of the innermost loop {"value", "index", "outer"}; outer is the same of the next one
    error       for the failure step {"step", "at", "name", "message"}
    flow        {"id", "path"} of this run
    result      for stop_after_if, what its step returned

Rule of this file: only what an expression names is looked up, and a result that nobody has read yet
is asked for together with all others of that step.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from trioworker.model.flow_expression import Expr, Expression, ExpressionFailed, read
from trioworker.model.flow_frames import Frame, loops_around, previous, result_of
from trioworker.model.flow_state import Group, Ref, job_of, jobs_of
from trioworker.model.flow_steps import ForEachStep

_decode: Final = msgspec.json.Decoder().decode


class Missing(Exception):
    """Results that must be read before a flow can go on: those of `jobs`."""

    def __init__(self, jobs: frozenset[UUID]) -> None:
        super().__init__(f"the results of {len(jobs)} jobs must be read first")
        self.jobs = jobs


class Results:
    """What jobs returned, as far as it is known, and decoded no more than once."""

    def __init__(self, known: Mapping[UUID, bytes | None]) -> None:
        self._known = dict(known)
        self._lists: dict[int, tuple[Ref, Any]] = {}
        self._values: dict[str, Any] = {}

    def add(self, job: UUID, result: bytes | None) -> None:
        """One has just ended."""
        self._known[job] = result

    def need(self, refs: Iterable[Ref]) -> None:
        """Raises `Missing` for those that nobody has read."""
        jobs = (job for ref in refs if id(ref) not in self._lists for job in jobs_of(ref))
        if missing := frozenset(job for job in jobs if job not in self._known):
            raise Missing(missing)

    def value(self, ref: Ref) -> Any:  # noqa: ANN401 - JSON
        """A result. Raises `Missing`, and `ExpressionFailed` when it cannot be read."""
        if isinstance(ref, dict):
            return ref["v"]
        if isinstance(ref, str):
            if ref not in self._values:
                self._values[ref] = self._decoded(job_of(ref))
            return self._values[ref]
        if ref is None:
            return None
        if id(ref) not in self._lists:
            self.need([ref])
            # Kept with the value, so that no other list can come to stand where it stood.
            self._lists[id(ref)] = ref, [self.value(part) for part in ref]
        return self._lists[id(ref)][1]

    def raw(self, ref: Ref) -> bytes:
        """A result as JSON. Raises `Missing`."""
        self.need([ref])
        return b"".join(self._raw(ref))

    def _raw(self, ref: Ref) -> Iterator[bytes]:
        if isinstance(ref, list):
            yield b"["
            for number, part in enumerate(ref):
                if number:
                    yield b","
                yield from self._raw(part)
            yield b"]"
        elif isinstance(ref, str):
            yield self._known[job_of(ref)] or b"null"
        else:
            yield b"null" if ref is None else msgspec.json.encode(ref["v"])

    def _decoded(self, job: UUID) -> Any:  # noqa: ANN401 - JSON
        if job not in self._known:
            raise Missing(frozenset([job]))
        try:
            return _decode(self._known[job] or b"null")
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ExpressionFailed(f"the result of job {job} cannot be read: {error}") from None


class Scope:
    """Evaluates the expressions of one run."""

    def __init__(self, flow: Mapping[str, str], args: bytes, results: Results) -> None:
        self._flow = flow
        self._args = args
        self._input: Any = None
        self._results = results
        self._items: dict[int, tuple[Group, list[Any]]] = {}
        self.error: Mapping[str, str] | None = None

    def need(self, frame: Frame, expressions: Iterable[Expression]) -> None:
        """Raises `Missing` for all results that they ask for and nobody has read."""
        self._results.need(ref for each in expressions for ref in self._refs(frame, each))

    def value(self, frame: Frame, expression: Expression, result: Ref = None) -> Any:  # noqa: ANN401 - JSON
        """Raises `Missing` and `ExpressionFailed`."""
        return expression.value(self._data(frame, expression, result))

    def holds(self, frame: Frame, condition: str, result: Ref = None) -> bool:
        """Whether a condition is true. Raises as `value`."""
        expression = read(condition)
        return expression.holds(self._data(frame, expression, result))

    def items(self, up: Frame, step: ForEachStep, group: Group | None) -> list[Any]:
        """The items of a loop in the body `up`, which are looked up anew if they are too many."""
        if group is not None and group.items is not None:
            return group.items
        if group is not None and id(group) in self._items:
            return self._items[id(group)][1]
        found = step.items
        if isinstance(found, Expr):
            found = self.value(up, read(found.expr))
        if not isinstance(found, list):
            raise ExpressionFailed("the items of a loop are a list, which this is not")
        if group is not None:
            self.remember(group, found)
        return found

    def remember(self, group: Group, items: list[Any]) -> None:
        """These are the items of the group."""
        self._items[id(group)] = group, items

    def _refs(self, frame: Frame, expression: Expression) -> Iterator[Ref]:
        for step in expression.results:
            yield result_of(frame, step)
        if "previous" in expression.names:
            yield previous(frame)
        if "iter" in expression.names:
            for loop in loops_around(frame):
                if isinstance(loop.step, ForEachStep) and isinstance(loop.step.items, Expr):
                    known = loop.group.items is not None or id(loop.group) in self._items
                    asked = () if known else self._refs(loop.up, read(loop.step.items.expr))
                    yield from asked

    def _data(self, frame: Frame, expression: Expression, result: Ref) -> Mapping[str, Any]:
        data: dict[str, Any] = {}
        for name in expression.names:
            match name:
                case "input":
                    data[name] = self._given()
                case "results":
                    data[name] = {
                        step: self._results.value(result_of(frame, step))
                        for step in expression.results
                    }
                case "previous":
                    data[name] = self._results.value(previous(frame))
                case "iter":
                    data[name] = self._iter(frame)
                case "error":
                    data[name] = self.error
                case "flow":
                    data[name] = self._flow
                case "result":
                    data[name] = self._results.value(result)
        return data

    def _given(self) -> Any:  # noqa: ANN401 - JSON
        if self._input is None:
            try:
                self._input = _decode(self._args)
            except (msgspec.DecodeError, RecursionError) as error:
                raise ExpressionFailed(f"the input of the flow cannot be read: {error}") from None
        return self._input

    def _iter(self, frame: Frame) -> Mapping[str, Any] | None:
        for up, step, group, index in loops_around(frame):
            value = None
            if isinstance(step, ForEachStep):
                value = self.items(up, step, group)[index]
            return {"value": value, "index": index, "outer": self._iter(up)}
        return None
