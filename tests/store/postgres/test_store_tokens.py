"""What is stored of tokens: whether they count, who made them, and which workers are theirs."""

from datetime import timedelta

import msgspec

from tests.store.postgres.scene import Scene, on_every_version
from trioworker.ids import new_id
from trioworker.model.agent_token import AgentToken, TokenState
from trioworker.model.tags import Tags, unranked
from trioworker.store.postgres.store import CONTROL
from trioworker.store.postgres.tokens import PostgresTokens
from trioworker.store.protocol import WorkerInfo


def tokens(scene: Scene) -> PostgresTokens:
    """The tokens of a scene."""
    return PostgresTokens(scene.database, CONTROL)


async def made(scene: Scene, *, ends_s: float | None = 3_600.0, group: str = "gpu") -> AgentToken:
    """A token that is noted."""
    now = await tokens(scene).now()
    ends = None if ends_s is None else now + timedelta(seconds=ends_s)
    token = AgentToken(new_id(), group, Tags(("red", "blue"), (7, 0)), ends)
    await tokens(scene).add(token, created_by="me@here")
    return token


def worker_of(token: AgentToken | None) -> WorkerInfo:
    """A worker that registers with a token, or with the database."""
    whose = None if token is None else token.id
    return WorkerInfo(
        id=new_id(),
        name="w",
        host="h",
        pid=1,
        mode="agent",
        tags=unranked("red"),
        lease_s=30.0,
        token=whose,
    )


async def shown(scene: Scene) -> list[TokenState]:
    """What people are shown."""
    return list(await tokens(scene).newest(10))


@on_every_version
async def test_a_token_is_noted_and_shown(scene: Scene) -> None:
    """All that it says and who made it; a second note under its id changes nothing."""
    token = await made(scene)
    await tokens(scene).add(msgspec.structs.replace(token, group="other"), created_by="you")
    (state,) = await shown(scene)
    assert (state.id, state.group, state.tags) == (token.id, "gpu", ["red", "blue"])
    assert state.ranks == [7, 0]
    assert (state.state, state.created_by, state.revoked_at) == ("valid", "me@here", None)
    assert (state.expires_at, state.workers) == (token.expires_at, 0)


async def test_the_newest_token_is_shown_first(scene: Scene) -> None:
    """And no more than asked for."""
    ids = [(await made(scene)).id for _ in range(3)]
    assert [state.id for state in await tokens(scene).newest(2)] == ids[:0:-1]


@on_every_version
async def test_a_token_stands_until_it_is_revoked(scene: Scene) -> None:
    """Both are told with the time; a token that nobody has noted does not stand at all."""
    token, other = await made(scene), await made(scene)
    before = await tokens(scene).now()
    standing = await tokens(scene).standing(token.id)
    assert standing is not None
    assert not standing.revoked
    assert before <= standing.now <= await tokens(scene).now()
    assert await tokens(scene).revoke([token.id, new_id()]) == {token.id}
    standing = await tokens(scene).standing(token.id)
    assert standing is not None
    assert standing.revoked
    standing = await tokens(scene).standing(other.id)
    assert standing is not None
    assert not standing.revoked
    assert await tokens(scene).standing(new_id()) is None


async def test_a_token_is_revoked_once(scene: Scene) -> None:
    """The time at which it was is kept."""
    token = await made(scene)
    await tokens(scene).revoke([token.id])
    (first,) = await shown(scene)
    assert await tokens(scene).revoke([token.id, token.id]) == {token.id}
    assert await shown(scene) == [first]
    assert first.state == "revoked"


async def test_a_token_expires_by_the_database_clock(scene: Scene) -> None:
    """One without an end never does; to be revoked is more than to have expired."""
    past, future, never = [await made(scene, ends_s=s) for s in (-1.0, 3_600.0, None)]
    states = {state.id: state.state for state in await shown(scene)}
    assert states == {past.id: "expired", future.id: "valid", never.id: "valid"}
    await tokens(scene).revoke([past.id])
    assert {state.id: state.state for state in await shown(scene)}[past.id] == "revoked"


@on_every_version
async def test_a_worker_belongs_to_the_token_that_first_used_it(scene: Scene) -> None:
    """Whoever registers it again changes nothing; one with a database belongs to none."""
    mine, others = await made(scene), await made(scene)
    agent, local = worker_of(mine), worker_of(None)
    for info in (agent, msgspec.structs.replace(agent, token=others.id), local):
        await scene.store.register(info)
    found = {
        (token.group, worker.name): await tokens(scene).has_worker(token.id, worker.id)
        for token in (msgspec.structs.replace(mine, group="mine"), others)
        for worker in (
            msgspec.structs.replace(agent, name="agent"),
            msgspec.structs.replace(local, name="local"),
        )
    }
    assert found == {
        ("mine", "agent"): True, ("mine", "local"): False,
        ("gpu", "agent"): False, ("gpu", "local"): False,
    }  # fmt: skip
    assert not await tokens(scene).has_worker(mine.id, new_id())


async def test_workers_are_counted_until_they_end(scene: Scene) -> None:
    """Those that stopped or were lost do not count."""
    token = await made(scene)
    infos = [worker_of(token) for _ in range(3)]
    for info in infos:
        await scene.store.register(info)
    await scene.store.retire(infos[0].id)
    scene.do("update trioworker.worker set lost_at = now() where id = %s", infos[1].id)
    (state,) = await shown(scene)
    assert state.workers == 1
