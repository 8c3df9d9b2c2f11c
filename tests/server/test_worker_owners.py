"""A worker id belongs to the token that it came with first, and to nobody else."""

from collections.abc import AsyncIterator

import pytest

from tests.server.gate import Gate
from tests.store.postgres.scene import open_scene
from trioworker.ids import new_id
from trioworker.model.tags import unranked
from trioworker.server.auth import OWNED_S
from trioworker.store.protocol import WorkerInfo


@pytest.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    """See `Gate`."""
    async with open_scene(database_url) as scene:
        yield Gate(scene)


async def test_a_worker_is_its_own_tokens_only(gate: Gate) -> None:
    """Not another token's, and no token has one with a database, or one that nobody knows."""
    mine, others = await gate.make(), await gate.make()
    agent, local = await gate.register(mine), await gate.register(None)
    assert await gate.auth.owns(mine, agent)
    assert gate.refused == []
    for token, worker in ((others, agent), (mine, local), (others, local), (mine, new_id())):
        assert not await gate.auth.owns(token, worker)
        event = gate.refused.pop()
        assert event.reason == f"the worker {worker} is not one of this token's"
        assert (event.token, event.group) == (token.id, "gpu")


async def test_a_worker_that_is_registered_again_stays_whose_it_was(gate: Gate) -> None:
    """Whoever guesses its id gets nothing by it."""
    mine, others = await gate.make(), await gate.make()
    agent = await gate.register(mine)
    info = WorkerInfo(
        id=agent, name="w", host="h", pid=1, mode="agent", tags=unranked("red"), lease_s=60.0,
        token=others.id,
    )  # fmt: skip
    await gate.scene.store.register(info)
    assert not await gate.auth.owns(others, agent)
    assert await gate.auth.owns(mine, agent)


async def test_whose_a_worker_is_is_remembered(gate: Gate) -> None:
    """For a while, and only what was found; a refusal may be out of date at once."""
    token = await gate.make()
    early = new_id()
    assert not await gate.auth.owns(token, early)
    gate.scene.do(
        "insert into trioworker.worker (id, name, host, pid, mode, tags, ranks, lease_s, token)"
        " values (%s, 'w', 'h', 1, 'agent', '{red}', '{0}', 60, %s)",
        early,
        token.id,
    )
    for _ in range(3):
        assert await gate.auth.owns(token, early)
    assert sum(s.name == "token_of_worker" for s in gate.scene.statements()) == 2
    gate.scene.do("delete from trioworker.worker")
    assert await gate.auth.owns(token, early)
    gate.now_s += OWNED_S
    assert not await gate.auth.owns(token, early)
