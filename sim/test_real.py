"""The scenarios on a real PostgreSQL: all of them with --real, one of them always.

What is real is the server, the driver and the time; the workers are as they are. That a fault means
the same on both sides, and that a wrong worker would be found out here as well, is tested first.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest
import trio

from sim.chaos import CONNECT, fits
from sim.database.client import SimDatabase
from sim.database.faults import Fault, Kind, NoFaults
from sim.database.server import SimServer
from sim.database.wire import BEGIN, COMMIT, Wire
from sim.determinism import simulate
from sim.real.database import open_faulty
from sim.real.limits import why_not
from sim.real.run import run_for_real
from sim.real.server import RealServer
from sim.scenario import all_scenarios, load, shortcomings
from sim.streams import Streams
from trioworker.errors import StoreError
from trioworker.events import discard
from trioworker.model.batching import divide
from trioworker.model.job import NewJob
from trioworker.store.postgres.database import Database, Lane
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs

ALWAYS: Final = "poison"
SCENARIOS: Final = {path.stem: load(path) for path in all_scenarios()}
FOR_REAL: Final = [name for name, each in SCENARIOS.items() if why_not(each.plan) is None]
LANES: Final = (Lane(CLIENT),)
PLACES: Final = (CONNECT, BEGIN, "enqueue", COMMIT)
DELAYS_S: Final = {Kind.SLOW: 0.01, Kind.STALLED_BEFORE: 1.0, Kind.STALLED_AFTER: 1.0}
TIMEOUTS_S: Final = {Kind.STALLED_BEFORE: 0.5, Kind.STALLED_AFTER: 0.5}
PATIENCE_S: Final = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All scenarios that a real server can suffer, or the one that keeps this from rotting."""
    if "name" in metafunc.fixturenames:
        names = FOR_REAL if metafunc.config.getoption("--real") else [ALWAYS]
        metafunc.parametrize("name", names)


@pytest.fixture(scope="module")
def server() -> Iterator[RealServer]:
    """A server of our own, for it is taken down again and again."""
    made = RealServer()
    with ThreadPoolExecutor(1) as outside:
        outside.submit(trio.run, made.prepare).result()
        yield made
        outside.submit(trio.run, made.remove).result()


async def test_a_scenario_ends_well_for_real(server: RealServer, name: str) -> None:
    """No oracle finds anything, every fault strikes, every state comes to pass."""
    scenario = SCENARIOS[name]
    assert shortcomings(scenario, await run_for_real(scenario.plan, server)) == []


async def test_a_wrong_worker_is_found_out_for_real(
    server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fallback that forgets a job is told by the record of a real server, too."""
    monkeypatch.setattr(
        "trioworker.worker.commit.divide", lambda batch, fallback: divide(batch, fallback)[:-1]
    )
    plan = msgspec.structs.replace(SCENARIOS[ALWAYS].plan, drain_s=0.5)
    result = await run_for_real(plan, server)
    assert "nothing held" in {finding.oracle for finding in result.findings}


# ---- the faults ---------------------------------------------------------------------------------


class Case(NamedTuple):
    """A fault at the first passing of a place."""

    kind: Kind
    place: str


class Seen(NamedTuple):
    """What a client sees of it, and whether the server has done what it was asked for."""

    error: str
    ambiguous: bool
    stored: bool


CASES: Final = [Case(kind, place) for kind in Kind for place in PLACES if fits(kind, place)]


class Once(NoFaults):
    """One fault, once."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self._case: Case | None = case

    def at(self, actor: str, place: str) -> Fault | None:  # noqa: ARG002 - there is one actor
        """The fault, if this is its place."""
        if self._case is None or place != self._case.place:
            return None
        kind, self._case = self._case.kind, None
        return Fault(kind, DELAYS_S.get(kind, 0.0))


def test_a_fault_looks_the_same_modelled_and_real(server: RealServer) -> None:
    """The same class of error, as ambiguous, and the same left in the tables."""
    in_the_model = {
        case: simulate(partial(modelled, case), seed=1, horizon_s=60, wall_limit_s=60)
        for case in CASES
    }
    for_real = trio.run(all_for_real, server.empty_database())
    assert in_the_model == for_real
    assert len({seen.error for seen in for_real.values()}) > len(DELAYS_S)


async def modelled(case: Case) -> Seen:
    """What is seen of it on a modelled server."""
    async with trio.open_nursery() as tasks:
        server = SimServer(Streams(1).stream("server"))
        wires = [Wire(server, tasks, faults) for faults in (Once(case), NoFaults())]
        faulty, healthy = (
            SimDatabase(
                wire,
                LANES,
                actor="client",
                emit=discard,
                command_timeout_s=TIMEOUTS_S.get(case.kind, PATIENCE_S),
            )
            for wire in wires
        )
        seen = await look(case, faulty, healthy)
        faulty.close()
        healthy.close()
        for wire in wires:
            wire.close()
        return seen


async def all_for_real(url: str) -> dict[Case, Seen]:
    """What is seen of each on a real one."""
    open_for = partial(open_faulty, url, LANES, actor="client", emit=discard)
    seen = {}
    async with open_for(faults=NoFaults(), command_timeout_s=PATIENCE_S) as healthy:
        for case in CASES:
            timeout_s = TIMEOUTS_S.get(case.kind, PATIENCE_S)
            async with open_for(faults=Once(case), command_timeout_s=timeout_s) as faulty:
                seen[case] = await look(case, faulty, healthy)
    return seen


async def look(case: Case, faulty: Database, healthy: Database) -> Seen:
    """Enqueue a job over the faulty line, and look for it over another."""
    job = NewJob(id=uuid5(NAMESPACE_URL, repr(case)), kind="function", path="ok", args=b"{}")
    error, ambiguous = "", False
    try:
        await PostgresJobs(faulty).enqueue([job])
    except StoreError as met:
        error, ambiguous = type(met).__name__, met.ambiguous
    return Seen(error, ambiguous, bool(await PostgresJobs(healthy).states([job.id])))
