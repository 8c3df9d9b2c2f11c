"""Sometimes-assertions: states that a batch of seeds must pass through, or it proves little.

An oracle that is silent because nothing interesting ever happens looks like one that is content. So
each state that the invariants are about has a name here and is counted in every trace; over a few
hundred seeds none may stay at zero.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from sim.counting import PARTS
from sim.happenings import FaultFired, Happening
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from sim.plan import FAULT_CLASSES
from trioworker.events import Event

STATES: Final = (*FAULT_CLASSES, *(state for part in PARTS for state in part.states))
"""All that has to be seen, by name: that each fault strikes, and what it may lead to."""


def count(trace: Iterable[Happening]) -> Counter[str]:
    """How often each state was passed through."""
    seen: Counter[str] = Counter()
    facts = Facts()

    def struck(_happening: Happening, event: FaultFired) -> None:
        seen[event.fault.partition("@")[0]] += 1

    # `facts` first: what is counted is asked of them.
    handlers: dict[type[Event], list[Handler]]
    handlers = {kind: [handler] for kind, handler in facts.handlers.items()}
    handlers.setdefault(FaultFired, []).append(struck)
    for part in PARTS:
        for kind, handler in part(facts, seen).handlers().items():
            handlers.setdefault(kind, []).append(handler)
    for happening in trace:
        event = happening.event
        facts.now_s = happening.at_s
        for handler in handlers.get(type(event), ()):
            handler(happening, event)
    return seen
