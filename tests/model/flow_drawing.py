"""Flows as Hypothesis draws them: every construct, in every other, with failures and stops."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Parts = dict[str, Any]

SUB: Final[Parts] = {
    "steps": [
        {"type": "function", "id": "one", "path": "echo", "args": [{"expr": "input.x"}]},
        {"type": "value", "id": "two", "value": {"expr": "[results.one, flow.path]"}},
    ]
}
"""What the nested flows of those that are drawn are."""
GIVEN: Final[Mapping[str, Any]] = {"n": 2, "list": [0, 1, 2], "yes": True, "no": False}


@st.composite
def flows(draw: Draw) -> Parts:
    """A definition; what it is given is `GIVEN`."""
    drawing = _Drawing(draw)
    flow: Parts = {"steps": drawing.steps([], "flow", loops=0, depth=0)}
    if draw(st.integers(0, 3)) == 0:
        flow["returns"] = draw(st.sampled_from([step["id"] for step in flow["steps"]]))
    if draw(st.integers(0, 3)) == 0:
        flow["failure"] = _call("last_words", "echo", {"value": {"expr": "error.step"}})
    return flow


def _call(name: str, path: str, args: object) -> Parts:
    return {"type": "function", "id": name, "path": path, "args": args}


class _Drawing:
    """Draws one flow; `stops` says what a stop would end, as in the check of flows."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._count = 0

    def steps(self, before: list[str], stops: str, *, loops: int, depth: int) -> list[Parts]:
        """A list of steps, which know those `before`."""
        before, steps = [*before], []
        for _ in range(self._draw(st.integers(1, 3))):
            step = self._step(before, stops, loops=loops, depth=depth)
            steps.append(step)
            before.append(step["id"])
        return steps

    def _step(self, before: list[str], stops: str, *, loops: int, depth: int) -> Parts:
        name = f"s{self._count}"
        self._count += 1
        simple = ["echo", "echo", "items", "fail_if", "value", "flow", "noop", "sleep"]
        groups = ["for_each", "for_each", "while", "branch_one", "branch_all", "branch_all"]
        room = depth < 3 and self._count < 20
        sort = self._draw(st.sampled_from(simple + groups * room))
        step = self._of_sort(sort, name, before, stops, loops=loops, depth=depth)
        if self._one_in(6):
            step["skip_if"] = self._condition(before, loops)
        if self._one_in(2 if "steps" in step or "branches" in step else 6):
            step["continue_on_error"] = True
        if stops and self._one_in(6):
            step["stop_after_if"] = {"if": self._condition([*before, name], loops)}
            if stops == "flow":
                status = st.sampled_from(["success", "success", "skipped", "failure"])
                step["stop_after_if"]["status"] = self._draw(status)
        return step

    def _of_sort(
        self, sort: str, name: str, before: list[str], stops: str, *, loops: int, depth: int
    ) -> Parts:
        match sort:
            case "echo":
                return _call(name, "echo", {"value": self._value(before, loops)})
            case "items":
                return _call(name, "items", [self._draw(st.integers(0, 3))])
            case "fail_if":
                bad = True if self._one_in(2) else {"expr": self._condition(before, loops)}
                return _call(name, "fail_if", {"bad": bad, "value": self._value(before, loops)})
            case "value":
                return {"type": "value", "id": name, "value": self._value(before, loops)}
            case "flow":
                args = {"x": self._value(before, loops)}
                return {"type": "flow", "id": name, "path": "sub", "args": args}
            case "noop":
                return {"type": "noop", "id": name}
            case "sleep":
                return {"type": "sleep", "id": name, "seconds": {"expr": "input.n"}}
            case _:
                return self._group(sort, name, before, stops, loops=loops, depth=depth)

    def _group(
        self, sort: str, name: str, before: list[str], stops: str, *, loops: int, depth: int
    ) -> Parts:
        def inside(stops: str, *, loop: bool) -> list[Parts]:
            return self.steps(before, stops, loops=loops + loop, depth=depth + 1)

        step: Parts = {"type": sort, "id": name}
        match sort:
            case "for_each":
                parallel = self._draw(st.sampled_from([False, True, 1, 2]))
                serial = parallel in (False, 1) and parallel is not True
                lists = st.sampled_from([{"expr": "input.list"}, [], [5], [1, "a", None, 2]])
                step |= {"items": self._draw(lists), "parallel": parallel}
                step["steps"] = inside("loop" * serial, loop=True)
                step["skip_failure"] = self._one_in(3)
            case "while":
                step |= {"while": f"iter.index < `{self._draw(st.integers(0, 3))}`", "max": 2}
                step["steps"] = inside("loop", loop=True)
            case "branch_one":
                count = range(self._draw(st.integers(1, 2)))
                step["branches"] = [
                    {"if": self._condition(before, loops), "steps": inside(stops, loop=False)}
                    for _ in count
                ]
                if self._one_in(2):
                    step["default"] = inside(stops, loop=False)
            case _:
                count = range(self._draw(st.integers(1, 3)))
                step["branches"] = [
                    {"steps": inside("", loop=False), "skip_failure": self._one_in(3)}
                    for _ in count
                ]
        return step

    def _names(self, before: Sequence[str], loops: int) -> list[str]:
        names = ["input.n", "previous", *(f"results.{step}" for step in before)]
        if loops:
            names += ["iter.value", "iter.index"]
        return names + ["iter.outer.index"] * (loops > 1)

    def _value(self, before: Sequence[str], loops: int) -> object:
        if self._one_in(4):
            return self._draw(st.sampled_from([None, 1, "x", [1, 2], {"a": 1}]))
        name = self._draw(st.sampled_from(self._names(before, loops)))
        return {"expr": name if self._one_in(2) else f"[{name}, input.yes]"}

    def _condition(self, before: Sequence[str], loops: int) -> str:
        if self._one_in(3):
            return str(self._draw(st.sampled_from(["input.yes", "input.no"])))
        name = self._draw(st.sampled_from(self._names(before, loops)))
        return f"{name} == `{self._draw(st.sampled_from(['0', '1', '2', 'null']))}`"

    def _one_in(self, count: int) -> bool:
        return bool(self._draw(st.integers(1, count)) == count)
