"""The agents of a world, the servers that they ask, and the network between them.

Rule of this file: it puts them together. What becomes of them is for `sim.world`.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import UUID

import trio

from sim.api import SECRET, ApiProcess
from sim.chaos import Chaos
from sim.database.client import SimDatabase
from sim.database.rows import ClaimRow
from sim.database.wire import Wire
from sim.intruder import Intruder
from sim.network import Network, SimLine
from sim.plan import Plan, slots_of_agents, tags_of
from sim.process import AgentProcess, Line
from sim.streams import Streams
from trioworker.errors import StoreError
from trioworker.events import Emit, Event
from trioworker.model.agent_token import AgentToken, encode_token
from trioworker.server.agents import AGENT_LANES
from trioworker.store.agent import AgentStore
from trioworker.store.postgres.tokens import PostgresTokens
from trioworker.store.protocol import Store

AGAIN_S: Final = 0.1


class Agency:
    """None of all that when the plan has no agents."""

    def __init__(
        self,
        plan: Plan,
        wire: Wire,
        chaos: Chaos,
        streams: Streams,
        *,
        new_id: Callable[[], UUID],
        executions: Counter[UUID],
        happened: Callable[[str, Event], None],
    ) -> None:
        self._plan = plan
        self._wire = wire
        self._streams = streams
        self._new_id = new_id
        self._executions = executions
        self._happened = happened
        self._tokens: list[AgentToken] = []
        self._network = network = Network(wire.post, chaos, happened=happened)
        sizes = plan.sizes
        slots = slots_of_agents(sizes)
        self.apis: Final = [self._api(slot) for slot in range(sizes.apis if slots else 0)]
        self.agents: Final = [self._agent(slot) for slot in slots]
        network.servers.extend(self.apis)

    async def begin(self, people: trio.Nursery, tokens: PostgresTokens) -> None:
        """Start the agents as soon as their tokens are stored, and all servers were there once."""
        for token in self._tokens:
            await _stored(tokens, token)
        for api in self.apis:
            await api.listened.wait()
        for agent in self.agents:
            people.start_soon(agent.run)

    def intruder(self, claims: Callable[[], Sequence[ClaimRow]]) -> Intruder:
        """Somebody with a token like the first worker's, who knows all `claims`."""
        return Intruder(
            self._network,
            self._token(0),
            rng=self._streams.stream("intruder"),
            claims=claims,
            new_id=self._new_id,
        )

    def _api(self, slot: int) -> ApiProcess:
        return ApiProcess(
            slot,
            sizes=self._plan.sizes,
            open_database=self._open_database,
            new_id=self._new_id,
            rng=self._streams.stream(f"api-{slot}"),
            happened=self._happened,
        )

    def _agent(self, slot: int) -> AgentProcess:
        return AgentProcess(
            slot,
            sizes=self._plan.sizes,
            tags=tags_of(self._plan, slot),
            open_store=partial(self._open_store, self._token(slot)),
            new_id=self._new_id,
            rng=self._streams.stream(f"worker-{slot}"),
            executions=self._executions,
            happened=self._happened,
        )

    def _token(self, slot: int) -> str:
        token = AgentToken(self._new_id(), "simulated", tags_of(self._plan, slot))
        self._tokens.append(token)
        return encode_token(token, SECRET)

    @asynccontextmanager
    async def _open_store(self, token: str, agent: str) -> AsyncIterator[tuple[Line, Store]]:
        line = SimLine(self._network, agent)
        yield (
            line,
            AgentStore(
                line,
                token,
                batches=self._plan.sizes.mode.batches,
                packs=True,
                now_s=trio.current_time,
                timeout_s=self._plan.sizes.command_timeout_s,
            ),
        )

    @asynccontextmanager
    async def _open_database(
        self, actor: str, emit: Emit, asker: Callable[[], str]
    ) -> AsyncIterator[SimDatabase]:
        database = SimDatabase(
            self._wire,
            AGENT_LANES,
            actor=actor,
            emit=emit,
            command_timeout_s=self._plan.sizes.command_timeout_s,
            asker=asker,
        )
        try:
            yield database
        finally:
            database.close()


async def _stored(tokens: PostgresTokens, token: AgentToken) -> None:
    while True:
        try:
            return await tokens.add(token, created_by="simulated")
        except StoreError:
            await trio.sleep(AGAIN_S)
