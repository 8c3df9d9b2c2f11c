"""The flows of the simulated world: what they are made of, which runs a plan has, and when.

Rule of this file: like the plan itself this is data, and can be written into a scenario file. The
steps are functions with the same bodies as other jobs, so what they return says who they were.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any, Final

import msgspec

from trioworker.errors import UsageError
from trioworker.model.flow import definition, flow_of

RECOVER: Final = "recover"
"""A body whose result makes a success of a flow that has failed."""
APPROVED_BY: Final = ("ann", "bob", "eve")
NOWHERE: Final = "nowhere"
"""A flow that nobody has pushed."""
IN_LINE: Final = "in line"
"""A flow whose steps run one after the other, for they have a limit of this name."""
DYING: Final = "dying"
"""A flow that goes on although a step of it kills all who run it."""
TOGETHER: Final = "together"
ANEW: Final = "together again"
"""Flows that keep to one worker: when it is gone, one fails and the other begins anew."""
LOOKS_BACK: Final = "looks back"
"""A flow that asks, wherever it can, what came before."""
CANNOT: Final = "cannot"
"""A flow whose expressions fail in one way after the other."""
UNHEARD: Final = "unheard"
"""A flow that asks people who never answer."""


def _call(name: str, path: str = "ok", **more: object) -> dict[str, Any]:
    return {"id": name, "type": "function", "path": path, **more}


def _asks(name: str, **more: object) -> dict[str, Any]:
    return {"id": name, "type": "approval", "timeout_s": 5, **more}


def _nested(name: str, path: str) -> dict[str, Any]:
    return {"id": name, "type": "flow", "path": path}


def _items(many: int) -> dict[str, str]:
    return {"expr": f"[{', '.join(f'`{number}`' for number in range(many))}]"}


_LAST: Final = {"of": {"expr": "previous"}}

FLOWS: Final[Mapping[str, Mapping[str, Any]]] = {
    "sequence": {
        "steps": [
            _call("a"), {"id": "b", "type": "noop"},
            _call("c", args={"n": {"expr": "results.a.execution"}}),
        ],
    },
    "parallel": {
        "steps": [
            {
                "id": "each", "type": "for_each", "items": [1, 2, 3, 4], "parallel": True,
                "steps": [_call("one", args={"n": {"expr": "iter.value"}})],
            },
            _call("join", args={"n": {"expr": "length(results.each)"}}),
        ],
    },
    "wide": {
        "steps": [
            {
                "id": "each", "type": "for_each", "items": list(range(7)), "parallel": 3,
                "steps": [_call("log", "log"), _call("two")],
            },
        ],
    },
    "serial": {
        "steps": [
            {"id": "list", "type": "value", "value": [1, 2, 3]},
            {
                "id": "each", "type": "for_each", "items": {"expr": "results.list"},
                "steps": [_call("one", args={"n": {"expr": "iter.index"}})],
            },
            {
                "id": "again", "type": "while", "while": "iter.index < `2`",
                "steps": [{"id": "beat", "type": "noop"}],
            },
        ],
    },
    "branches": {
        "steps": [
            {
                "id": "all", "type": "branch_all",
                "branches": [
                    {"steps": [_call("left"), _call("lefter")]},
                    {"steps": [_call("fails", "raise")], "skip_failure": True},
                    {"steps": [_call("right", "slow")]},
                ],
            },
            {
                "id": "one", "type": "branch_one",
                "branches": [
                    {"if": "results.all[0].execution > `99`", "steps": [_call("never")]},
                    {"if": "length(results.all) == `3`", "steps": [_call("taken")]},
                ],
            },
        ],
    },
    "nested": {"steps": [_nested("first", "parallel"), _nested("then", "sequence")]},
    "deep": {
        "steps": [
            {
                "id": "each", "type": "for_each", "items": [1, 2], "parallel": True,
                "steps": [_nested("inner", "nested")],
            },
        ],
    },
    "approved": {
        "steps": [
            _call("before"), _asks("ask"),
            _call("after", args={"by": {"expr": "results.ask.by"}}),
        ],
    },
    "two of them": {
        "steps": [_asks("ask", needed=2, approvers=[*APPROVED_BY], go_on=True), _call("after")],
    },
    UNHEARD: {
        "steps": [_asks("ask", timeout_s=1.0), _call("never")],
        "failure": _call("mend", RECOVER),
    },
    "failing": {
        "steps": [
            {
                "id": "all", "type": "branch_all",
                "branches": [
                    {"steps": [_call("slow", "slow")]}, {"steps": [_call("fails", "raise")]},
                ],
            },
            _call("never"),
        ],
        "failure": _call("told", "log", args={"of": {"expr": "error.step"}}),
    },
    "tolerant": {
        "steps": [
            _call("fails", "raise", continue_on_error=True),
            _call("then", args={"why": {"expr": "results.fails.error.name"}}),
        ],
        "returns": "then",
    },
    DYING: {"steps": [_call("dies", "deadly", continue_on_error=True), _call("then")]},
    "asleep": {"steps": [{"id": "nap", "type": "sleep", "seconds": 0.7}, _call("awake")]},
    "retried": {
        "steps": [
            _call("tries", "fail twice", retry={"attempts": 4, "delay_s": 0.1}), _call("then"),
        ],
    },
    "stopped": {
        "steps": [
            _call("first", stop_after_if={"if": "result.execution > `0`", "status": "skipped"}),
            _call("never"),
        ],
    },
    "skipping": {
        "steps": [
            _call("a"),
            _call("never", skip_if="results.a.execution > `0`"),
            {
                "id": "one", "type": "branch_one",
                "branches": [{"if": "results.never != `null`", "steps": [_call("nor")]}],
                "default": [_call("instead", args={"f": {"expr": "flow.path"}})],
            },
            {
                "id": "none", "type": "branch_one",
                "branches": [{"if": "previous == `null`", "steps": [_call("not")]}],
            },
            {"id": "each", "type": "for_each", "items": [], "steps": [_call("nothing")]},
        ],
        "returns": "a",
    },
    "loops": {
        "steps": [
            {
                "id": "outer", "type": "for_each", "items": [1, 2],
                "steps": [
                    {
                        "id": "inner", "type": "for_each", "items": _items(3), "parallel": 2,
                        "steps": [
                            _call("one", args={"of": {"expr": "[iter.value, iter.outer.index]"}}),
                        ],
                    },
                    _call(
                        "enough", args={"n": {"expr": "length(previous)"}},
                        stop_after_if={"if": "iter.index == `0`"},
                    ),
                ],
            },
            {
                "id": "endless", "type": "while", "while": "`true`", "max": 2,
                "steps": [{"id": "turn", "type": "noop"}], "continue_on_error": True,
            },
            _call("last", stop_after_if={"if": "result.attempt > `0`"}),
            _call("never"),
        ],
    },
    "tolerated": {
        "steps": [
            {
                "id": "each", "type": "for_each", "items": [1, 2, 3], "parallel": True,
                "skip_failure": True,
                "steps": [_call("fails", "raise"), _call("after")],
            },
            {
                "id": "all", "type": "branch_all", "continue_on_error": True,
                "branches": [
                    {"steps": [_call("slow", "slow"), _call("slower")]},
                    {"steps": [_call("quick"), _call("broken", "raise")]},
                ],
            },
            {
                "id": "some", "type": "branch_all",
                "branches": [
                    {
                        "skip_failure": True,
                        "steps": [
                            {
                                "id": "both", "type": "branch_all",
                                "branches": [
                                    {"steps": [_call("long", "slow")]},
                                    {"steps": [_call("short", "raise")]},
                                ],
                            },
                        ],
                    },
                    {"steps": [_call("beside")]},
                ],
            },
        ],
    },
    "odd": {
        "steps": [
            _call("a"),
            _call("cannot", skip_if="length(results.a.attempt) > `1`", continue_on_error=True),
            {"id": "nap", "type": "sleep", "seconds": {"expr": "results.cannot.error.name"}},
        ],
        "failure": _call("fails_too", "raise"),
    },
    "ended by itself": {
        "steps": [
            _call("first", stop_after_if={"if": "`true`", "status": "failure"}), _call("never"),
        ],
        "failure": _call("mend", RECOVER),
    },
    "without input": {
        "inputs": {"n": {"type": "number", "required": True}}, "steps": [_call("never")],
    },
    TOGETHER: {
        "same_worker": True,
        "steps": [
            _call("a"), _call("b", "slow"),
            {
                "id": "each", "type": "for_each", "items": [1, 2, 3], "parallel": True,
                "steps": [_call("one")],
            },
            _call("c", args={"n": {"expr": "results.a.execution"}}),
        ],
    },
    ANEW: {
        "same_worker": True, "on_worker_lost": "restart",
        "steps": [_call("a", "slow"), _nested("inner", "sequence"), _call("c")],
    },
    IN_LINE: {
        "steps": [
            {
                "id": "each", "type": "for_each", "items": [1, 2, 3], "parallel": True,
                "steps": [_call("one", limit={"slots": 1, "key": IN_LINE})],
            },
        ],
    },
    LOOKS_BACK: {
        "steps": [
            _call("first", args={"of": {"expr": "previous"}}, tag="tag-0", priority=3),
            {
                "id": "one", "type": "branch_one",
                "branches": [{"if": "`true`", "steps": [_call("in", args=_LAST)]}],
            },
            {
                "id": "each", "type": "for_each", "items": {"expr": "[results.first, previous]"},
                "steps": [
                    _call("begin", args=_LAST),
                    _call("end", args={"of": {"expr": "[previous, results.one, iter.value]"}}),
                ],
            },
            {
                "id": "all", "type": "for_each", "items": _items(2), "parallel": True,
                "steps": [_call("beside", args=_LAST)],
            },
            {
                "id": "while", "type": "while", "while": "iter.index < `2`",
                "steps": [_call("turn", args=_LAST)],
            },
            _call("with", args={"of": {"expr": "input"}, "path": {"expr": "flow.path"}}),
        ],
        "inputs": {name: {"type": name} for name in ("string", "number", "any")},
        "returns": "each",
    },
    CANNOT: {
        "steps": [
            *(
                _call(f"no_{number}", args={"of": {"expr": wrong}}, continue_on_error=True)
                for number, wrong in enumerate(
                    (
                        "length(`1`)", "abs(flow.path)", "sum(['a'])", "join(`1`, flow)",
                        "sort_by(`[{}, {}]`, &a)", "max_by(`[1]`, &@)", "keys(`null`)",
                        "length(`true`)", "contains(`1.5`, `1`)", "reverse(`{}`)",
                    )
                )
            ),
            _call("no_list", skip_if="`[]`", continue_on_error=True),
            _call("no_text", skip_if="'yes'", continue_on_error=True),
            {
                "id": "each", "type": "for_each", "items": {"expr": "flow.path"},
                "steps": [_call("never")], "continue_on_error": True,
            },
            {
                "id": "again", "type": "while", "while": "flow.path > `1`", "max": 3,
                "steps": [_call("nor")], "continue_on_error": True,
            },
            {
                "id": "inside", "type": "branch_all", "continue_on_error": True,
                "branches": [
                    {"steps": [_call("fails", "raise", continue_on_error=True), _call("goes_on")]},
                    {"steps": [_call("is", skip_if="length(flow.path) > 'a'")]},
                ],
            },
        ],
    },
}  # fmt: skip
"""All that are pushed, by their paths."""
BY_HAND: Final = (LOOKS_BACK, CANNOT)
"""Those that no seed draws: it is enough to run them once."""
RUNS: Final = (*(name for name in FLOWS if name not in BY_HAND), NOWHERE)
"""What seeds run."""

SHARE: Final = 0.2
"""How many of the seeds have flows."""


@cache
def definition_of(name: str) -> bytes:
    """What is pushed for a flow."""
    return definition(flow_of(msgspec.json.encode(FLOWS[name])))


def needed_for(names: Sequence[str]) -> Sequence[str]:
    """The flows that runs of these need: they, and all that are nested in them."""
    found: dict[str, None] = {}
    left = [name for name in names if name in FLOWS]
    while left:
        name = left.pop(0)
        found[name] = None
        left += [inner for inner in _nested_in(FLOWS[name]) if inner not in found]
    return list(found)


def _nested_in(part: object) -> Sequence[str]:
    if isinstance(part, list):
        return [name for inner in part for name in _nested_in(inner)]
    if not isinstance(part, Mapping):
        return []
    own = [str(part["path"])] if part.get("type") == "flow" else []
    return own + [name for inner in part.values() for name in _nested_in(inner)]


def when_and_which(run: str) -> tuple[float, str]:
    """The second and the flow that an entry of `Plan.flows` names. Raises `UsageError`."""
    name, at, seconds = run.partition("@")
    try:
        at_s = float(seconds) if at else 0.0
    except ValueError:
        at_s = -1.0
    if name not in (*RUNS, *BY_HAND) or not at_s >= 0:
        raise UsageError(f"'{run}' is no run of a flow; write it as 'nested' or 'nested@0.5'")
    return at_s, name


def draw_flows(rng: Random, until_s: float) -> list[str]:
    """Runs that begin until some time; none in four worlds of five."""
    if rng.random() >= SHARE:
        return []
    names = rng.choices(RUNS, k=rng.choice((2, 5, 9)))
    return [f"{name}@{rng.uniform(0.0, until_s):.2f}" for name in names]


def draw_kept(rng: Random, until_s: float) -> list[str]:
    """Runs that keep to one worker, for a world in which workers die."""
    return [f"{name}@{rng.uniform(0.0, until_s):.2f}" for name in (TOGETHER, TOGETHER, ANEW)]
