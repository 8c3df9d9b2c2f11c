"""What a real server cannot be made to suffer, and what cannot be judged by real time.

Rule of this file: each exception has its reason, and the page of the scenarios repeats it.
"""

from collections.abc import Mapping
from typing import Final

from sim.database.wire import ROLLBACK
from sim.oracles import ORACLES, Oracle
from sim.oracles.calm import Quiet
from sim.oracles.cancels import CancelHeard
from sim.oracles.endings import Deleted
from sim.oracles.fence import OneAtATime, SelfFence
from sim.oracles.liveness import GoesOn, NobodyIdles, ReapedInTime
from sim.oracles.slots import NoSlotIdles
from sim.oracles.stopping import GivesBackAtOnce, StopsInTime
from sim.plan import CLOCK, PAUSE, Plan

NOT_FOR_REAL: Final[Mapping[str, str]] = {
    PAUSE: "the workers share one process, and the system stops a process as a whole",
    CLOCK: "the server shares its clock with the machine",
    ROLLBACK: "the driver sends it by itself",
}
"""Faults, and places of faults, with the reason why they stay simulated."""
PHASE_S_MAX: Final = 15.0
"""Of a plan whose faults take longer than this we have no time to see the end."""

STALLS: Final = "a busy machine stalls for longer than the oracle allows a worker to be late"
LEFT_OUT: Final[Mapping[type[Oracle], str]] = {
    SelfFence: STALLS,
    OneAtATime: STALLS,
    StopsInTime: STALLS,
    GivesBackAtOnce: STALLS,
    CancelHeard: STALLS,
    NobodyIdles: STALLS,
    NoSlotIdles: STALLS,
    ReapedInTime: STALLS,
    GoesOn: STALLS,
    Quiet: "a machine that stalls is a fault which no plan names",
    Deleted: "a real server's clock does not begin when the plan says",
}
"""The oracles that do not judge a real run, with the reason."""
JUDGES: Final = tuple(oracle for oracle in ORACLES if oracle not in LEFT_OUT)


def why_not(plan: Plan) -> str | None:
    """The reason why `plan` is not run on a real server, None when it is."""
    if plan.chaos_s > PHASE_S_MAX:
        return f"it takes {plan.chaos_s:g} s of real time"
    if plan.sizes.agents:
        return "its agents and their servers share a network that is modelled"
    if plan.schedules:
        return "its schedules tick in virtual time"
    if plan.flows:
        return "which commit ends a flow follows from virtual time"
    named = [*plan.faults, *plan.exactly, *(scripted.fault for scripted in plan.script)]
    for what, reason in NOT_FOR_REAL.items():
        if any(_is_about(fault, what) for fault in named):
            return f"{what}: {reason}"
    return None


def _is_about(fault: str, what: str) -> bool:
    kind, _, where = fault.partition("@")
    return what in (kind, where.partition("#")[0].partition("/")[2])
