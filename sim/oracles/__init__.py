"""The oracles: one class per invariant."""

from collections.abc import Sequence

from sim.oracles.base import Finding, Oracle
from sim.oracles.liveness import Live
from sim.oracles.places import NothingLost
from sim.world import World

ORACLES = (NothingLost, Live)


def all_oracles(world: World) -> Sequence[Oracle]:
    """One of each, for one run."""
    return [oracle(world.plan) for oracle in ORACLES]


__all__ = ["Finding", "Oracle", "all_oracles"]
