"""Breaches of what is promised of agents and their servers, each as small as can be."""

from collections.abc import Callable
from typing import Final

import msgspec

from sim import handmade_handing_over
from sim.handmade import CLIENT, A, Handmade, job
from sim.handmade_families import FAMILY_BREACHES
from sim.handmade_flows import FLOW_BREACHES
from sim.happenings import ApiTurned, Drained
from sim.oracles import Oracle
from sim.oracles.agents import OwnTags, ServersSweep, Woken
from sim.oracles.liveness import SETTLING_S
from trioworker.store.postgres.store import READY_CHANNEL

PLAN: Final = msgspec.structs.replace(
    handmade_handing_over.PLAN,
    sizes=msgspec.structs.replace(handmade_handing_over.PLAN.sizes, agents=1),
)


def of_another_tag(made: Handmade) -> None:
    """A job is run by a worker that takes others."""
    made.begin(A, other=0)
    made.enqueue(1)
    made.pull(1)
    made.start(1)


def sweeps_no_more(made: Handmade) -> None:
    """A server lives for two minutes and does nothing."""
    made.say("api-0", ApiTurned(to="born"))
    made.wait(120)
    made.say("chaos", Drained())


def sleeps_on(made: Handmade) -> None:
    """A hint is sent, and the only agent takes the job ten seconds later."""
    made.begin()
    row = made.workers[A]
    made.commit(A, (row, msgspec.structs.replace(row, token=job(9))))
    made.enqueue(1)
    made.wait(SETTLING_S + 10)
    before = made.ready[job(1)]
    made.ready[job(1)] = msgspec.structs.replace(before, priority=1)
    made.commit(CLIENT, (before, made.ready[job(1)]), told=[(READY_CHANNEL, "t")])
    made.wait(10)
    made.pull(1)


SORT_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {
    **handmade_handing_over.SORT_BREACHES,
    **FLOW_BREACHES,
    **FAMILY_BREACHES,
    OwnTags: of_another_tag,
    ServersSweep: sweeps_no_more,
    Woken: sleeps_on,
}
"""Those of the other sorts, and these."""
