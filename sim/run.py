"""One run from one plan: the world, the oracles that watch it, and what they found."""

import gc
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple

from sim.determinism import LeftBehind, Stuck, simulate
from sim.oracles import Finding, Oracle, all_oracles
from sim.plan import Plan
from sim.trace import Trace
from sim.world import World

HORIZON_S: Final = 3_600.0
WALL_LIMIT_S: Final = 60.0


class Result(NamedTuple):
    """What came of a run. No findings means that all invariants held."""

    plan: Plan
    trace: Trace
    findings: Sequence[Finding]
    virtual_s: float


def run(plan: Plan, *, oracles: Callable[[World], Sequence[Oracle]] = all_oracles) -> Result:
    """Run `plan` to its end; the same plan gives the same result."""
    _set_modules_aside()
    trace = Trace()
    found: list[Finding] = []
    worlds: list[World] = []

    async def main() -> None:
        world = World(plan, trace)
        worlds.append(world)
        watching = oracles(world)
        for oracle in watching:
            oracle.report_to(found.append)
            trace.listeners.append(oracle.see)
        await world.run()
        for oracle in watching:
            oracle.at_the_end()

    try:
        simulate(
            main,
            seed=plan.seed,
            horizon_s=HORIZON_S,
            wall_limit_s=WALL_LIMIT_S,
            leftovers=[lambda: (line for world in worlds for line in world.leftovers())],
        )
    except (Stuck, LeftBehind) as error:
        found.append(Finding("hygiene", str(error), trace.happenings[-1].at_s))
    virtual_s = trace.happenings[-1].at_s if trace.happenings else 0.0
    return Result(plan, trace, found, virtual_s)


@cache
def _set_modules_aside() -> None:
    """Once in a process: what stays for ever need not be searched for garbage before each run."""
    gc.collect()
    gc.freeze()
