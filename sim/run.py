"""One run from one plan: the world, the oracles that watch it, and what they found."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import trio

from sim.bounds import bounds_of
from sim.determinism import LeftBehind, Stuck, simulate
from sim.oracles import ORACLES, Finding, Oracle, Panel
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


def run(
    plan: Plan,
    *,
    oracles: Sequence[type[Oracle]] = ORACLES,
    until: type[Oracle] | None = None,
    trace: Trace | None = None,
) -> Result:
    """Run `plan` to its end, or `until` that oracle finds something; always with the same result.

    Whoever hands in a `trace` has it also of a run that raises, as far as it came.
    """
    trace = Trace() if trace is None else trace
    found: list[Finding] = []
    worlds: list[World] = []
    panel = Panel(plan, oracles)
    enough = trio.CancelScope()

    def note(finding: Finding) -> None:
        found.append(finding)
        if until is not None and finding.oracle == until.name:
            enough.cancel()

    panel.report_to(note)
    trace.listeners.append(panel.see)

    async def main() -> None:
        world = World(plan, trace)
        worlds.append(world)
        with enough:
            await world.run()
            panel.at_the_end()

    try:
        with bounds_of(plan):
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
