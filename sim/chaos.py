"""When faults strike: the plan's decisions, each by a name of its own.

Rule of this file: a decision depends on the seed, the place and how often that place was passed
before, and on nothing else. So a plan `without` one fault has all the others where they were, and
a failing run can be shrunk fault by fault.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log
from random import Random
from typing import Final, NamedTuple

import trio

from sim.database.faults import Fault, Kind
from sim.database.wire import BEGIN, COMMIT, ROLLBACK
from sim.http_faults import HttpFault, HttpKind
from sim.plan import (
    API_FAULTS,
    API_KILL,
    API_PAUSE,
    API_STOP,
    CRASH,
    DATABASE_FAULTS,
    HTTP_FAULTS,
    KILL,
    OUTAGE,
    PAUSE,
    RESTART,
    STANDBY,
    STOP,
    Plan,
)
from sim.streams import Streams, draws
from trioworker.errors import UsageError

SERVER: Final = "server"
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
HTTP_SLOT: Final = 1 / len(HttpKind)
"""The same for the faults of requests."""
LARGE: Final = 150
"""So many times its rate, of the few requests that it strikes: those with several outcomes."""
TWICE_S: Final = (0.0, 2.0)
LATENCY_S: Final = (0.0002, 0.002)
AT_ONCE: Final = 0.5
"""How many messages take no time at all: a moment in which nothing else happens costs time for
nothing."""
FAULT_NAME: Final = re.compile(r"(?P<kind>[^@]+)@(?P<where>[^#]+)#(?P<ordinal>\d+)")
STRIKES_MAX: Final = 100
STALL_S: Final = (0.5, 8.0)
DELAYS_S: Final = {
    Kind.SLOW: (0.05, 0.5),
    Kind.STALLED_BEFORE: STALL_S,
    Kind.STALLED_AFTER: STALL_S,
}
"""Between which bounds the delay of a fault is drawn."""
HTTP_DELAYS_S: Final = {
    HttpKind.LATE: STALL_S,
    HttpKind.SLOW_BODY: STALL_S,
    HttpKind.REPLY_LATE: STALL_S,
    HttpKind.TWICE: TWICE_S,
    HttpKind.TWICE_UNHEARD: TWICE_S,
}
"""The same for the faults of requests: how late one is, or comes for the second time."""
AIMS: Final = {
    KILL: "commit", PAUSE: "commit", STOP: "pull",
    CRASH: "pull", STANDBY: "pull", RESTART: "commit", OUTAGE: "commit",
    API_KILL: "commit", API_PAUSE: "commit", API_STOP: "pull",
}  # fmt: skip
"""At which of its target's queries, or of anybody's where that is the server, a fault is worst."""
AIMED: Final = 0.5
"""How many of the drawn strikes wait for such a query to be sent. At any other moment most meet
nothing that they could harm."""
AIM_S: Final = 0.003
"""How long after that they strike, at most: around its arrival and its reply."""


class Strike(NamedTuple):
    """A fault of the world: full name, when, chance for its details.

    `after` is the exchange from which `at_s` counts, `for_s` how long it lasts, where that is said.
    `aim` is the query whose next sending is waited for, once it is time.
    """

    fault: str
    at_s: float
    rng: Random
    after: str | None = None
    for_s: float | None = None
    aim: str | None = None

    def lasts(self, drawn_s: float) -> float:
        """How long it lasts: as the script says, else as drawn."""
        return drawn_s if self.for_s is None else self.for_s


class Chaos:
    """The `Faults` of a plan. `fired` is called with the name of each that strikes.

    After `heal` nothing goes wrong any more.
    """

    def __init__(self, plan: Plan, streams: Streams, fired: Callable[[str], None]) -> None:
        self._plan = plan
        self._streams = streams
        self._fired = fired
        self._without = frozenset(plan.without)
        self._exactly = _by_place(plan.exactly)
        self._latencies: dict[str, Random] = {}
        self._passed: Counter[str] = Counter()
        self._rates = [plan.faults.get(kind.value, 0.0) for kind in Kind]
        self._kinds = list(Kind)
        self._strikes_exchanges = any(self._rates) or bool(self._exactly)
        self._http_rates = [plan.faults.get(kind.value, 0.0) for kind in HttpKind]
        self._http_kinds = list(HttpKind)
        self._too_large = LARGE * plan.faults.get(HttpKind.TOO_LARGE.value, 0.0)
        self._awaited = {s.after: trio.Event() for s in plan.script if s.after is not None}
        self._aims: dict[str, trio.Event] = {}
        self.began_s = 0.0
        self.healed = False

    def heal(self) -> None:
        """From now on the world is perfect."""
        self.healed = True
        for event in (*self._awaited.values(), *self._aims.values()):
            event.set()

    def at(self, actor: str, place: str) -> Fault | None:
        """See `Faults.at`."""
        where = f"{actor}/{place}"
        ordinal = self._pass(where, place)
        if self.healed or not self._strikes_exchanges:
            return None
        which, how_long, *_ = draws(self._plan.seed, where, ordinal)
        name = self._exactly.get((where, ordinal)) if self._exactly else None
        kind = None if name is None else Kind(name)
        if kind is None:
            index = int(which / SLOT)
            kind = self._kinds[index]
            if which - index * SLOT >= self._rates[index] or not fits(kind, place):
                return None
        bounds = DELAYS_S.get(kind, (0.0, 0.0))
        delay_s = self._struck(f"{kind.value}@{where}#{ordinal}", bounds, how_long)
        return None if delay_s is None else Fault(kind, delay_s)

    def on_the_way(self, actor: str, path: str, *, divisible: bool) -> HttpFault | None:
        """The fault of the next request of `actor`; a `divisible` one carries several outcomes."""
        where = f"{actor}/http {path}"
        ordinal = self._pass(where, f"http {path}")
        if self.healed:
            return None
        which, how_long, too_large, *_ = draws(self._plan.seed, where, ordinal)
        name = self._exactly.get((where, ordinal)) if self._exactly else None
        kind = None if name is None else HttpKind(name)
        if kind is None and divisible and too_large < self._too_large:
            kind = HttpKind.TOO_LARGE
        if kind is None:
            index = int(which / HTTP_SLOT)
            kind = self._http_kinds[index]
            if kind is HttpKind.TOO_LARGE or which - index * HTTP_SLOT >= self._http_rates[index]:
                return None
        bounds = HTTP_DELAYS_S.get(kind, (0.0, 0.0))
        delay_s = self._struck(f"{kind.value}@{where}#{ordinal}", bounds, how_long)
        return None if delay_s is None else HttpFault(kind, delay_s)

    def _pass(self, where: str, place: str) -> int:
        """Whoever waits for this exchange is told; returns how often it was passed before."""
        ordinal = self._passed[where]
        self._passed[where] += 1
        if self.healed:
            return ordinal
        if self._awaited and (exchange := f"{where}#{ordinal}") in self._awaited:
            self._awaited[exchange].set()
        if self._aims:
            for aim in (where, place):
                if aim in self._aims:
                    self._aims.pop(aim).set()
        return ordinal

    def luck(self, actor: str, place: str) -> float:
        """See `Faults.luck`."""
        where = f"luck/{actor}/{place}"
        self._passed[where] += 1
        return draws(self._plan.seed, where, self._passed[where])[0]

    def latency_s(self, actor: str) -> float:
        """See `Faults.latency_s`."""
        rng = self._latencies.get(actor)
        if rng is None:
            rng = self._latencies[actor] = self._streams.stream(f"latency/{actor}")
        share = rng.random()
        return 0.0 if share < AT_ONCE else _between(LATENCY_S, share)

    def strikes(self, fault: str, target: str) -> Sequence[Strike]:
        """When a fault of the world strikes `target`: as drawn, and as the plan's script says."""
        strikes = [*self._drawn(fault, target), *self._scripted(f"{fault}@{target}#")]
        return sorted(strikes, key=lambda strike: strike.at_s)

    async def comes(self, strike: Strike) -> bool:
        """Wait for the moment of a strike; False when the world has healed before."""
        from_s = self.began_s
        if strike.after is not None:
            await self._awaited[strike.after].wait()
            from_s = trio.current_time()
        if not self.healed:
            await trio.sleep_until(from_s + strike.at_s)
        if strike.aim is not None and not self.healed:
            await self._aims.setdefault(strike.aim, trio.Event()).wait()
            await trio.sleep(strike.rng.uniform(0.0, AIM_S))
        return not self.healed

    def strike(self, strike: Strike) -> None:
        """One of them happens now."""
        self._fired(strike.fault)

    def _drawn(self, fault: str, target: str) -> Iterator[Strike]:
        mean = self._plan.faults.get(fault, 0.0)
        at_s = 0.0
        for ordinal in range(STRIKES_MAX if mean > 0 else 0):
            pause, aimed, *_ = draws(self._plan.seed, f"{fault}/{target}", ordinal)
            at_s += -log(1 - pause) * self._plan.chaos_s / mean
            name = f"{fault}@{target}#{ordinal}"
            if at_s < self._plan.chaos_s and name not in self._without:
                aim = AIMS.get(fault) if aimed < AIMED else None
                if aim is not None and target != SERVER and fault not in API_FAULTS:
                    aim = f"{target}/{aim}"
                yield self._strike(name, at_s)._replace(aim=aim)

    def _scripted(self, prefix: str) -> Iterator[Strike]:
        for scripted in self._plan.script:
            if scripted.fault.startswith(prefix):
                strike = self._strike(scripted.fault, scripted.at_s)
                yield strike._replace(after=scripted.after, for_s=scripted.for_s)

    def _strike(self, name: str, at_s: float) -> Strike:
        return Strike(name, at_s, Random(f"{self._plan.seed}/{name}"))

    def _struck(self, name: str, bounds: tuple[float, float], how_long: float) -> float | None:
        """How long the fault `name` takes; None when it does not happen."""
        if name in self._without:
            return None
        self._fired(name)
        return self._plan.lasting.get(name, _between(bounds, how_long))


def _by_place(faults: Sequence[str]) -> Mapping[tuple[str, int], str]:
    """Names of faults as (where, ordinal) → their class. Raises `UsageError` for no such name."""
    found = {}
    for fault in faults:
        name = FAULT_NAME.fullmatch(fault)
        kinds = HTTP_FAULTS if name and "/http " in name["where"] else DATABASE_FAULTS
        if name is None or name["kind"] not in kinds:
            raise UsageError(f"'{fault}' names no fault; write it as 'slow@worker-0/pull#3'")
        found[name["where"], int(name["ordinal"])] = name["kind"]
    return found


def fits(kind: Kind, place: str) -> bool:
    """Whether such a fault can strike at such a place at all."""
    if kind in ONLY_AT:
        return place in ONLY_AT[kind]
    return kind not in NOT_AT.get(place, ())


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return low + (high - low) * share
