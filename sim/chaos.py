"""When faults strike: the plan's decisions, each by a name of its own.

Rule of this file: a decision depends on the seed, the place and how often that place was passed
before, and on nothing else. So a plan `without` one fault has all the others where they were, and
a failing run can be shrunk fault by fault.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from math import log
from random import Random
from typing import Final

from sim.database.faults import Fault, Kind
from sim.database.wire import BEGIN, COMMIT, ROLLBACK
from sim.plan import Plan
from sim.streams import Streams, draws

CONNECT: Final = "connect"
ONLY_AT: Final = {
    Kind.CONNECT_REFUSED: {CONNECT},
    Kind.TOO_MANY_CONNECTIONS: {CONNECT},
}
NOT_AT: Final = {
    CONNECT: frozenset(Kind) - {Kind.CONNECT_REFUSED, Kind.TOO_MANY_CONNECTIONS},
    BEGIN: {Kind.DEADLOCK, Kind.SERIALIZATION, Kind.LOCK_TIMEOUT, Kind.DISK_FULL},
    COMMIT: {Kind.DEADLOCK, Kind.LOCK_TIMEOUT},
    ROLLBACK: {Kind.DEADLOCK, Kind.SERIALIZATION, Kind.LOCK_TIMEOUT, Kind.DISK_FULL},
}
SLOT: Final = 1 / len(Kind)
"""Each kind has its own part of the unit interval, so that no kind's rate moves another's; a rate
cannot be larger than this."""
LATENCY_S: Final = (0.0002, 0.002)
SLOW_S: Final = (0.05, 0.5)
STALL_S: Final = (0.5, 8.0)


class Chaos:
    """The `Faults` of a plan. `fired` is called with the name of each that strikes.

    After `heal` nothing goes wrong any more.
    """

    def __init__(self, plan: Plan, streams: Streams, fired: Callable[[str], None]) -> None:
        self._plan = plan
        self._streams = streams
        self._fired = fired
        self._without = frozenset(plan.without)
        self._passed: Counter[str] = Counter()
        self._rates = [plan.faults.get(kind.value, 0.0) for kind in Kind]
        self._kinds = list(Kind)
        self.healed = False

    def heal(self) -> None:
        """From now on the world is perfect."""
        self.healed = True

    def at(self, actor: str, place: str) -> Fault | None:
        """See `Faults.at`."""
        where = f"{actor}/{place}"
        ordinal = self._passed[where]
        self._passed[where] += 1
        if self.healed:
            return None
        which, how_long, *_ = draws(self._plan.seed, where, ordinal)
        index = int(which / SLOT)
        kind = self._kinds[index]
        if which - index * SLOT >= self._rates[index] or not _fits(kind, place):
            return None
        return self._struck(kind, f"{kind.value}@{where}#{ordinal}", how_long)

    def luck(self, actor: str, place: str) -> float:
        """See `Faults.luck`."""
        where = f"luck/{actor}/{place}"
        self._passed[where] += 1
        return draws(self._plan.seed, where, self._passed[where])[0]

    def latency_s(self, actor: str) -> float:
        """See `Faults.latency_s`."""
        return self._streams.stream(f"latency/{actor}").uniform(*LATENCY_S)

    def strikes(self, name: str, target: str) -> Iterator[tuple[float, Random]]:
        """When a fault of the world strikes `target`, in seconds from the start, one by one.

        With each comes a source of chance for its details. A strike counts as fired when the
        iterator is asked for the next.
        """
        mean = self._plan.faults.get(name, 0.0)
        if mean <= 0:
            return
        at_s = 0.0
        for ordinal in range(100):
            pause, detail, *_ = draws(self._plan.seed, f"{name}/{target}", ordinal)
            at_s += -log(1 - pause) * self._plan.chaos_s / mean
            if at_s >= self._plan.chaos_s:
                return
            fault = f"{name}@{target}#{ordinal}"
            if fault not in self._without:
                yield at_s, Random(f"{fault}/{detail}")

    def _struck(self, kind: Kind, name: str, how_long: float) -> Fault | None:
        if name in self._without:
            return None
        self._fired(name)
        if kind is Kind.SLOW:
            return Fault(kind, _between(SLOW_S, how_long))
        if kind in (Kind.STALLED_BEFORE, Kind.STALLED_AFTER):
            return Fault(kind, _between(STALL_S, how_long))
        return Fault(kind)


def _fits(kind: Kind, place: str) -> bool:
    if kind in ONLY_AT:
        return place in ONLY_AT[kind]
    return kind not in NOT_AT.get(place, ())


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return low + (high - low) * share
