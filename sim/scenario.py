"""Scenario files: a plan that somebody wants to keep, with its story and what must come of it.

A find of the explorer is worth its weight only as long as it can be run again. A seed is void after
a change of the code that draws; a scenario names its faults one by one and stays what it is. The
format is TOML:

    version = 1
    story = "One sentence: what happens, and what must not come of it."
    must_see = ["states of sim.counters that have to occur"]

    [plan]          # the fields of sim.plan.Plan; what is left out has its default
    seed = 1
    exactly = ["line lost after the effect@worker-0/commit#0"]

    [plan.sizes]
    workers = 1
"""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import tomli_w

from sim.counters import count
from sim.happenings import FaultFired
from sim.plan import Plan
from sim.run import Result
from trioworker.errors import UsageError

VERSION: Final = 1
FOLDER: Final = Path(__file__).parent / "scenarios"


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan with a name, a story, and the states that a run of it must pass through."""

    version: int
    story: str
    plan: Plan
    must_see: Sequence[str] = ()


def load(path: Path) -> Scenario:
    """Read a scenario file. Raises `UsageError` when it is none, or one of another version."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no scenario: {error}") from None
    if (version := data.get("version")) != VERSION:
        raise UsageError(
            f"{path} is of version {version}, and this simulator reads {VERSION}; shrink its seed"
            " again to write a new one"
        )
    try:
        return msgspec.convert(data, Scenario)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is no scenario: {error}".replace("`", "'")) from None


def save(scenario: Scenario, path: Path) -> None:
    """Write a scenario file, without what has its default anyway."""
    path.write_text(tomli_w.dumps(_without_defaults(scenario)), "utf-8")


def shortcomings(scenario: Scenario, result: Result) -> list[str]:
    """What keeps a run from being the scenario's story: what it broke, and what it passed by."""
    struck = {
        happening.event.fault
        for happening in result.trace
        if isinstance(happening.event, FaultFired)
    }
    plan, seen = scenario.plan, count(result.trace)
    named = (*plan.exactly, *(scripted.fault for scripted in plan.script))
    return [
        *map(str, result.findings),
        *(f"{fault} does not strike" for fault in named if fault not in struck),
        *(f"not seen: {state}" for state in scenario.must_see if not seen[state]),
    ]


def all_scenarios() -> Iterator[Path]:
    """The scenarios that are kept, by name."""
    yield from sorted(FOLDER.glob("*.toml"))


def _without_defaults(value: msgspec.Struct) -> dict[str, object]:
    fields = msgspec.structs.fields(value)
    found: dict[str, object] = {}
    for field in fields:
        there = getattr(value, field.name)
        default = (
            field.default_factory()
            if field.default_factory is not msgspec.NODEFAULT
            else field.default
        )
        if there != default:
            found[field.name] = _plain(there)
    return found


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _without_defaults(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return msgspec.to_builtins(value)
