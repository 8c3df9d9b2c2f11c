"""What an oracle is: one property, watched from the trace and nothing else.

Rule of these files: one class per property, fed by happenings, as small as the property. An oracle
knows what the invariant allows, and why, and reports each breach once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from sim.happenings import Happening
from sim.oracles.facts import Facts
from sim.plan import Plan, Sizes
from trioworker.events import BatchAdopted, BatchHanded, BatchPulled, Event

Handler = Callable[[Happening, Any], None]


class Finding(NamedTuple):
    """A breach: which oracle found it, what is wrong, at which virtual second."""

    oracle: str
    message: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.oracle} at {self.at_s:.4f} s: {self.message}"


class Oracle:
    """Base of all. `invariant` is the number in the list of invariants, 0 for hygiene.

    `facts` is shared with the others and already knows of the happening at hand.
    """

    name: ClassVar[str]
    invariant: ClassVar[int] = 0

    def __init__(self, plan: Plan, facts: Facts) -> None:
        self.plan: Final = plan
        self.facts: Final = facts
        self.report: Callable[[Finding], None] = _nobody

    def handlers(self) -> Mapping[type[Event], Handler]:
        """Which events it looks at, and with what: called with the happening and its event."""
        raise NotImplementedError

    def at_the_end(self) -> None:
        """The world is over: say what is missing."""

    def find(self, message: str) -> None:
        """Report a breach."""
        self.report(Finding(self.name, message, self.facts.now_s))


def sweeps_have_passed_s(sizes: Sizes) -> float:
    """How long without trouble it takes until what is a sweep's to do has been done for certain."""
    return 2 * (sizes.sweep_s + sizes.heartbeat_s) + sizes.command_timeout_s


class Panel:
    """Oracles that watch one run together; each event goes to those who look at its kind."""

    def __init__(self, plan: Plan, kinds: Sequence[type[Oracle]]) -> None:
        self.facts: Final = Facts()
        self.oracles: Final = [kind(plan, self.facts) for kind in kinds]
        # `facts` first: an oracle is told of what they know already.
        self._handlers = {kind: [handler] for kind, handler in self.facts.handlers.items()}
        for oracle in self.oracles:
            for kind, handler in _handlers(oracle):
                self._handlers.setdefault(kind, []).append(handler)

    def see(self, happening: Happening) -> None:
        """Look at one happening."""
        at_s, _actor, event = happening
        self.facts.now_s = at_s
        for handler in self._handlers.get(type(event), ()):
            handler(happening, event)

    def at_the_end(self) -> None:
        """The world is over."""
        for oracle in self.oracles:
            oracle.at_the_end()

    def report_to(self, report: Callable[[Finding], None]) -> None:
        """Where findings go."""
        for oracle in self.oracles:
            oracle.report = report


def _handlers(oracle: Oracle) -> Iterator[tuple[type[Event], Handler]]:
    """Those of an oracle. What was handed over is in hand like what was adopted."""
    handlers = oracle.handlers()
    yield from handlers.items()
    if BatchPulled in handlers and BatchAdopted in handlers:
        yield BatchHanded, handlers[BatchAdopted]


def _nobody(finding: Finding) -> None:
    raise AssertionError(f"nobody listens to {finding}")
