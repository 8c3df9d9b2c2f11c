"""Children and steps of functions on agents: as with a database, and nobody else's are seen."""

from uuid import UUID

import pytest
import trio

from tests.server.agents import Line, Server
from tests.worker import parents
from tests.worker.harness import Rig, until
from tests.worker.parents import error, result, runs, work
from tests.worker.test_children import FAMILIES
from trioworker.ids import new_id
from trioworker.model.batching import Mode
from trioworker.model.tags import unranked


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is left of another test."""
    parents.reset()


@pytest.mark.parametrize("mode", [Mode.AGENT, Mode.AGENT_BATCH])
async def test_one_slot_is_enough(rig: Rig, server: Server, mode: Mode) -> None:
    """All that a parent may do with its children comes to the same over HTTP."""
    families = {path: family for path, family in FAMILIES.items() if path != "of_others"}
    jobs = {
        path: (await rig.enqueue(1, path=path, args=args))[0]
        for path, (args, _) in families.items()
    }
    async with server.store(batches=mode.batches) as store:
        await work(rig, store=store, mode=mode, concurrency=1)
    assert {path: result(rig, job) for path, job in jobs.items()} == {
        path: expected for path, (_, expected) in families.items()
    }
    assert rig.query("select name, result from trioworker.job_step") == [("first", 100)] * 2


async def test_a_child_that_ends_elsewhere_is_heard_of(rig: Rig, server: Server) -> None:
    """Whoever runs it."""
    (job,) = await rig.enqueue(1, path="elsewhere")
    other = await server.token("other")
    with trio.fail_after(30):
        async with (
            server.store() as store,
            server.store(other) as their_store,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(lambda: work(rig, store=store))
            await until(lambda: rig.query("select from trioworker.job where tag = 'other'"))
            await work(rig, store=their_store, tags=unranked("other"))
    assert result(rig, job) == 6
    assert runs == {"double 3": 1}


async def test_a_child_that_is_kept_out_is_refused(rig: Rig, server: Server) -> None:
    """An agent may wait for its own children only, not for the one that holds their key."""
    (job,) = await rig.enqueue(1, path="of_others")
    async with server.store() as store:
        await work(rig, store=store)
    assert error(rig, job) == ("failure", "UsageError")


class Asking:
    """A worker of an agent that holds a job, and what it asks for."""

    def __init__(self, line: Line, token: str, worker: UUID) -> None:
        self._line = line
        self._token = token
        self.worker = worker

    async def ask(self, path: str, **said: object) -> tuple[int, dict[str, object]]:
        """The reply to a request."""
        body = {"worker": str(self.worker)} | said
        reply = await self._line.post(path, body, token=self._token)
        return reply.status_code, reply.json()


@pytest.fixture
async def asking(server: Server, line: Line) -> Asking:
    """One that holds nothing yet."""
    token = await server.token()
    return Asking(line, token, await line.registered(token))


def child(**fields: object) -> list[object]:
    """A job as it is sent."""
    known = {"id": str(new_id()), "kind": "function", "path": "p", "args": "{}", "tag": "x"}
    return [*(known | {"priority": 0, "due": None, "options": None} | fields).values()]


async def test_nothing_is_done_for_a_job_that_the_agent_does_not_hold(
    rig: Rig, asking: Asking
) -> None:
    """No child of it, no step, and no look at what it has."""
    (job,) = await rig.enqueue(1)
    which = [str(new_id()), str(job), 1]
    status, reply = await asking.ask("enqueue", families=[[which, [child()]]])
    assert (status, reply["lost"]) == (200, [str(job)])
    status, reply = await asking.ask("store_steps", steps=[[which, "s", "1"]])
    assert (status, reply) == (200, {"lost": [str(job)]})
    rig.do("insert into trioworker.job_step (job, name, result) values (%s, 's', '1')", job)
    assert await asking.ask("steps", job=which) == (200, {"results": {}})
    rig.do(
        "insert into trioworker.job_completed (id, status, attempt) values (%s, 'success', 1)", job
    )
    assert await asking.ask("ends", ids=[str(job)]) == (200, {"ends": {}})
    assert rig.query("select count(*) from trioworker.job") == [(1,)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"priority": 5000}, "priority 5000 is out of range"),
        ({"options": {"retry": {"attempts": 0}}}, "a retry policy of 0 attempts"),
        ({"kind": "poem"}, "Invalid enum value 'poem'"),
    ],
)
async def test_a_child_that_cannot_be_is_told(
    asking: Asking, fields: dict[str, object], said: str
) -> None:
    """In one sentence."""
    which = [str(new_id()), str(new_id()), 1]
    status, reply = await asking.ask("enqueue", families=[[which, [child(**fields)]]])
    assert status == 400
    assert said in str(reply["error"])
