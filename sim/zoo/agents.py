"""Mutants of agents and their servers: what HTTP loses and repeats, and who is believed."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import trio
from starlette.requests import Request

from sim.database.models import Rows, Statement, all_models
from sim.oracles.agents import OwnTags, ServersSweep, Woken
from sim.oracles.fence import Fenced
from sim.oracles.limits import SlotsHeld
from sim.oracles.liveness import Live
from sim.oracles.outcomes import AllOrNothing
from sim.oracles.told import ToldRight
from sim.plan import CLIMB, Plan, Scripted, Sizes
from sim.replace import replaced
from sim.zoo.mutant import mutant, statement
from trioworker.errors import StoreError
from trioworker.model.agent_token import AgentToken
from trioworker.model.job import Job
from trioworker.model.outcome import Executed
from trioworker.model.tags import unranked
from trioworker.server.agents import Agents, Caller
from trioworker.server.auth import AgentAuth
from trioworker.server.claims import Claims, _shell
from trioworker.server.hints import Hub
from trioworker.store import wire
from trioworker.store.agent import AgentStore
from trioworker.store.protocol import Hint
from trioworker.store.wire import Which
from trioworker.worker.maintenance import Maintenance
from trioworker.worker.pull import Pull

TWO_AGENTS: Final = Sizes(workers=2, agents=2, lease_s=3.0, heartbeat_s=0.5)
LOSING: Final = Plan(
    seed=0,
    sizes=TWO_AGENTS,
    bodies={"ok": 1.0, "log": 1.0},
    faults={"reply dropped": 0.06, "reply cut in its middle": 0.06},
)
"""Replies of servers that have done what they were asked to are lost."""
REPEATING: Final = Plan(
    seed=0,
    sizes=msgspec.structs.replace(TWO_AGENTS, apis=2, concurrency=10),
    bodies={"talk": 1.0, CLIMB: 1.0, "ok": 1.0},
    faults={
        "request twice, the first unheard": 0.06,
        "request twice, the second unheard": 0.06,
        "request late": 0.06,
    },
)
"""Requests come twice, or after those that were sent later."""
INTRUDED: Final = Plan(
    seed=0,
    sizes=TWO_AGENTS,
    bodies={"slow": 1.0},
    intruder=True,
)
"""Jobs are long in the hands of agents, in whose names somebody asks."""
GREEDY: Final = Plan(
    seed=0,
    sizes=msgspec.structs.replace(TWO_AGENTS, workers=3, agents=3, tags=3),
    own_tags=True,
)
"""No two agents take the same tags."""
RESTARTED: Final = Plan(
    seed=0,
    sizes=TWO_AGENTS,
    jobs=("slow",) * 8,
    limits=(1,),
    script=[Scripted(fault=f"api killed@api-0#{n}", at_s=0.5 + 1.5 * n) for n in range(4)],
    chaos_s=8.0,
)
"""A server ends while limited jobs run, and another one is told how they ended."""
HINTED: Final = Plan(
    seed=0,
    sizes=msgspec.structs.replace(TWO_AGENTS, concurrency=1, poll_s=20.0),
    jobs=[f"long@{25 + n / 2}" for n in range(6)],
    chaos_s=1.0,
)
"""Long jobs come one by one to agents that hardly poll."""
LASTING: Final = Plan(
    seed=0,
    sizes=msgspec.structs.replace(TWO_AGENTS, command_timeout_s=0.5, sweep_s=0.5),
    jobs=[f"ok@{n}" for n in range(16)],
)
"""Jobs come now and then, for many sweeps."""


@mutant("lost reply of a server, taken for nothing done", caught_by=Live, plan=LOSING)
def lost_reply_taken_for_nothing() -> Iterator[None]:
    """An agent whose pull had no reply takes it that nothing was claimed, and never looks again."""
    ask = AgentStore._ask

    async def unambiguous(self: AgentStore, path: str, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - handed on
        try:
            return await ask(self, path, *args, **more)
        except StoreError as error:
            error.ambiguous = False
            raise

    with replaced(AgentStore, "_ask", unambiguous), replaced(Pull, "_adoption_is_due", _never):
        yield


@mutant("commit over HTTP, always as for the first time", caught_by=ToldRight, plan=LOSING)
def commit_as_for_the_first_time() -> Iterator[None]:
    """A server never looks whether outcomes were stored by an earlier request with them."""

    async def once(
        self: Agents, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> wire.Lost:
        del again
        return wire.Lost(sorted((await self._store.commit(worker, batch, again=False)).lost))

    with replaced(Agents, "_store_ends", once):
        yield


@mutant("tags on an agent's word", caught_by=OwnTags, plan=GREEDY)
def tags_on_an_agents_word() -> Iterator[None]:
    """An agent says which tags it takes, and its server believes it; this one takes all."""
    token = AgentAuth.token

    async def of_all(self: AgentAuth, request: Request) -> AgentToken:
        tags = unranked(*(f"tag-{number}" for number in range(3)))
        return msgspec.structs.replace(await token(self, request), tags=tags)

    with replaced(AgentAuth, "token", of_all):
        yield


@mutant("any token for any worker", caught_by=Fenced, plan=INTRUDED)
def any_token_for_any_worker() -> Iterator[None]:
    """A server does not ask whether a worker belongs to the token that came with the request."""

    async def owns(_self: AgentAuth, _token: AgentToken, _worker: UUID) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    with replaced(AgentAuth, "owns", owns):
        yield


@mutant("jobs forgotten with their server", caught_by=SlotsHeld, plan=RESTARTED)
def jobs_forgotten_with_their_server() -> Iterator[None]:
    """What a server has not handed out itself ends as if it were a job like any other."""

    async def find(self: Claims, worker: UUID, which: Sequence[Which]) -> list[Job]:
        await trio.lowlevel.checkpoint()
        found = self._found(worker, which)
        return [job or _shell(one) for job, one in zip(found, which, strict=True)]

    with replaced(Claims, "find", find):
        yield


@mutant("claims named by the server", caught_by=ToldRight, plan=REPEATING)
def claims_named_by_the_server() -> Iterator[None]:
    """A server makes up the id of each claim, so a pull that comes twice claims twice."""
    pull = Agents._pull

    async def renamed(self: Agents, caller: Caller, asked: wire.Pull) -> wire.Batch:
        number = self.__dict__["pulls"] = self.__dict__.get("pulls", 0) + 1
        claim = UUID(int=asked.claim.int ^ number)
        return await pull(self, caller, msgspec.structs.replace(asked, claim=claim))

    with replaced(Agents, "_pull", renamed):
        yield


@mutant("hint for one agent alone", caught_by=Woken, plan=HINTED)
def hint_for_one_agent() -> Iterator[None]:
    """A hint is passed on to the first agent that takes its tag, however busy that one is."""
    heard = Hub.heard

    def by_the_first(self: Hub, hint: Hint) -> None:
        everybody = self._waiting
        takers = (worker for worker, kept in everybody.items() if hint.tag in kept.tags)
        first = next(takers, None)
        self._waiting = everybody if first is None else {first: everybody[first]}
        heard(self, hint)
        self._waiting = everybody

    with replaced(Hub, "heard", by_the_first):
        yield


@mutant("server that does not sweep", caught_by=ServersSweep, plan=LASTING)
def server_that_does_not_sweep() -> Iterator[None]:
    """A server leaves the sweeps to workers, and its agents have no database to sweep."""

    async def nothing(_self: Maintenance) -> None:
        await trio.lowlevel.checkpoint()

    with replaced(Maintenance, "sweep", nothing):
        yield


@mutant(
    "a late flush as good as any",
    caught_by=AllOrNothing,
    plan=REPEATING,
    seen_in="trioworker, until the simulator found it",
)
def a_late_flush_as_good_as_any() -> Iterator[None]:
    """What a running job wrote is stored in the order in which it comes, and comes late or twice.

    The first piece, come again, drops those after it.
    """
    numbered = all_models()["store_running"]

    async def in_any_order(
        s: Statement, worker: UUID, claims: Sequence[UUID], *columns: Sequence[Any] | int
    ) -> Rows:
        *said, _number = columns
        latest = max((row.flushed for row in s.rows(s.tables.claim)), default=0) + 1
        return await numbered(s, worker, claims, *said, latest)

    with statement("store_running", in_any_order):
        yield


def _never(_self: Pull) -> bool:
    return False
