"""Planted bugs, each of which an oracle must find: a survivor is a missing oracle."""

from sim.zoo import (
    agents,
    cancels,
    commits,
    effects,
    endings,
    families,
    flows,
    follow_ups,
    following,
    handing_over,
    leases,
    limits,
    progress,
    pulls,
    retries,
    reuse,
    schedules,
    sharing,
    stops,
    unique,
)
from sim.zoo.hunting import Catch, first_seeds, hunt, hunt_all, plan_for, table
from sim.zoo.mutant import MUTANTS, Mutant

THEMES = (
    commits,
    effects,
    follow_ups,
    leases,
    pulls,
    stops,
    cancels,
    limits,
    retries,
    schedules,
    unique,
    handing_over,
    reuse,
    progress,
    endings,
    following,
    agents,
    flows,
    families,
    sharing,
)
"""Imported for the mutants that they name."""

__all__ = [
    "MUTANTS",
    "THEMES",
    "Catch",
    "Mutant",
    "first_seeds",
    "hunt",
    "hunt_all",
    "plan_for",
    "table",
]
