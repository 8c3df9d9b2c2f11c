"""What a flow means, said as plainly as can be: its steps called one inside another, no state.

What the model comes to is held against this. It runs everything in order and at once, so it cannot
say which of several failures comes first: it knows all that may.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jmespath

Definition = Mapping[str, Any]
Calling = Callable[[Definition, Any], Any]
"""Calls a step with its arguments; raises `Broken`."""


class Broken(Exception):
    """A step failed, which may be one of these."""

    def __init__(self, *steps: str) -> None:
        super().__init__(*steps)
        self.steps = {*steps}


class Stopped(Exception):
    """A step said that what is around it ends."""

    def __init__(self, value: Any, status: str) -> None:  # noqa: ANN401 - JSON
        super().__init__(value)
        self.value = value
        self.status = status


class Around(NamedTuple):
    """What the steps of a list know from outside."""

    given: Any
    results: Mapping[str, Any]
    previous: Any = None
    iteration: Any = None

    def value(self, said: Any) -> Any:  # noqa: ANN401 - JSON
        """A constant, or the value of the expression in its place."""
        is_expression = isinstance(said, dict) and [*said] == ["expr"]
        return self.asked(said["expr"]) if is_expression else said

    def asked(self, text: str, **more: object) -> Any:  # noqa: ANN401 - JSON
        """The value of an expression."""
        data = {
            "input": self.given,
            "results": self.results,
            "previous": self.previous,
            "iter": self.iteration,
        }
        return jmespath.search(text, data | more)


def meaning(flow: Definition, given: Any, call: Calling) -> Any:  # noqa: ANN401 - JSON
    """What the flow returns. Raises `Broken`, and `Stopped` when it is skipped or fails so."""
    known: dict[str, Any] = {}
    try:
        value = _list(flow["steps"], Around(given, {}), call, known)
    except Stopped as stopped:
        if stopped.status != "success":
            raise
        value = stopped.value
    return known.get(flow["returns"]) if "returns" in flow else value


def _list(steps: Sequence[Definition], around: Around, call: Calling, known: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """What the last step returns; `known` gets what each of them does."""
    value = None
    for step in steps:
        here = around._replace(results={**around.results, **known})
        try:
            value = _step(step, here, call, known)
        except Stopped as stopped:
            known[step["id"]] = stopped.value
            raise
        known[step["id"]] = value
        around = around._replace(previous=value)
    return value


def _step(step: Definition, here: Around, call: Calling, known: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if "skip_if" in step and here.asked(step["skip_if"]):
        return None
    try:
        value = _run(step, here, call)
    except Broken as broken:
        if not step.get("continue_on_error"):
            raise
        return {"error": sorted(broken.steps)}
    stop = step.get("stop_after_if")
    if stop:
        results = {**here.results, **known, step["id"]: value}
        if here._replace(results=results).asked(stop["if"], result=value):
            raise Stopped(value, stop.get("status", "success"))
    return value


def _run(step: Definition, here: Around, call: Calling) -> Any:  # noqa: ANN401 - JSON
    match step["type"]:
        case "value":
            return here.value(step["value"])
        case "for_each":
            return _for_each(step, here, call)
        case "while":
            return _while(step, here, call)
        case "branch_one":
            chosen = (case["steps"] for case in step["branches"] if here.asked(case["if"]))
            return _list(next(chosen, step.get("default", [])), here, call, {})
        case "branch_all":
            return _all(step, here, call)
        case _:
            args = step.get("args", {})
            if isinstance(args, dict):
                return call(step, {name: here.value(said) for name, said in args.items()})
            return call(step, [here.value(said) for said in args])


def _for_each(step: Definition, here: Around, call: Calling) -> list[Any]:
    width = step.get("parallel", False)
    parallel = width is True or width > 1
    results: list[Any] = []
    broken: set[str] = set()
    for index, item in enumerate(here.value(step["items"])):
        inside = here._replace(
            previous=None if parallel or not results else results[-1],
            iteration={"value": item, "index": index, "outer": here.iteration},
        )
        try:
            results.append(_list(step["steps"], inside, call, {}))
        except Stopped as stopped:
            return [*results, stopped.value]
        except Broken as one:
            if not step.get("skip_failure"):
                broken |= one.steps
                if not parallel:
                    break
            results.append(None)
    if broken:
        raise Broken(*broken)
    return results


def _while(step: Definition, here: Around, call: Calling) -> list[Any]:
    results: list[Any] = []
    known: dict[str, Any] = {}
    while True:
        inside = here._replace(
            previous=results[-1] if results else None,
            iteration={"value": None, "index": len(results), "outer": here.iteration},
        )
        asking = inside._replace(results={**here.results, **known})
        if not asking.asked(step["while"]):
            return results
        if len(results) == step["max"]:
            raise Broken(step["id"])
        known = {}
        try:
            results.append(_list(step["steps"], inside, call, known))
        except Stopped as stopped:
            return [*results, stopped.value]


def _all(step: Definition, here: Around, call: Calling) -> list[Any]:
    results: list[Any] = []
    broken: set[str] = set()
    for branch in step["branches"]:
        try:
            results.append(_list(branch["steps"], here, call, {}))
        except Broken as one:
            if not branch.get("skip_failure"):
                broken |= one.steps
            results.append(None)
    if broken:
        raise Broken(*broken)
    return results
