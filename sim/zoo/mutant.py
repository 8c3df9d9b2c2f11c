"""What a mutant is: a bug with a name, planted in the running code for the time of a run.

Rule of these files: a mutant changes the worker, the store or a statement, and never the world, the
trace or an oracle. Its docstring says what it does, in the words of somebody who would report it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import msgspec

from sim.database.models import MODELS, Model, all_models
from sim.oracles import Oracle
from sim.plan import Plan
from sim.scenario import FOLDER, load

OURS: Final = "trioworker, until the simulator found it"

Planting = Callable[[], AbstractContextManager[None]]


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A planted bug. `caught_by` is the oracle that must find it.

    `seen_in` says which system does or did this, empty where none is known to. `plan` is for one
    that drawn plans meet too rarely; its seed is replaced by the one that is tried.
    """

    name: str
    does: str
    caught_by: type[Oracle]
    planted: Planting
    seen_in: str = ""
    plan: Plan | None = None


MUTANTS: Final[dict[str, Mutant]] = {}
"""All of them, by name."""


def mutant(
    name: str, *, caught_by: type[Oracle], seen_in: str = "", plan: Plan | None = None
) -> Callable[[Callable[[], Iterator[None]]], Planting]:
    """Makes a generator that plants a bug and takes it out again the mutant `name`."""

    def register(plants: Callable[[], Iterator[None]]) -> Planting:
        assert name not in MUTANTS, f"there are two mutants called {name}"
        assert plants.__doc__, f"the mutant {name} does not say what it does"
        planted = contextmanager(plants)
        MUTANTS[name] = Mutant(
            name=name,
            does=" ".join(plants.__doc__.split()),
            caught_by=caught_by,
            planted=planted,
            seen_in=seen_in,
            plan=plan,
        )
        return planted

    return register


def of_scenario(name: str) -> Plan:
    """The plan of a scenario, for a mutant that goes wrong in just that story."""
    return load(FOLDER / f"{name}.toml").plan


@contextmanager
def statement(name: str, model: Model) -> Iterator[None]:
    """The statement `name` does as `model` says inside the block."""
    before = all_models()[name]
    MODELS[name] = model
    try:
        yield
    finally:
        MODELS[name] = before
