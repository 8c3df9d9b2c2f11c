"""One run of a plan on a real server, judged as a simulated one is."""

from sim.bounds import bounds_of
from sim.oracles import Finding, Panel
from sim.plan import CRASH, STANDBY, Plan
from sim.real.limits import JUDGES
from sim.real.server import RealServer
from sim.real.world import RealWorld
from sim.run import Result
from sim.trace import Trace


async def run_for_real(plan: Plan, server: RealServer) -> Result:
    """Run `plan` to its end on `server`; it never comes out the same twice."""
    if any(scripted.fault.startswith((CRASH, STANDBY)) for scripted in plan.script):
        # The WAL writer has just been round, and does not save what a crash is to undo.
        await server.restart()
    world = RealWorld(plan, server.empty_database(), server)
    with bounds_of(plan):
        await world.run()
    trace = Trace()
    found: list[Finding] = []
    panel = Panel(plan, JUDGES)
    panel.report_to(found.append)
    trace.listeners.append(panel.see)
    for happening in world.history():
        trace.add(*happening)
    panel.at_the_end()
    return Result(plan, trace, found, trace.happenings[-1].at_s)
