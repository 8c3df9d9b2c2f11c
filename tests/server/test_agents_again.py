"""What is lost or comes twice between agent and server, and a server that starts anew: no harm."""

from uuid import UUID

import trio

from tests.server.agents import Server, open_line, open_server
from tests.worker.harness import Rig, until
from trioworker.events import JobStarted
from trioworker.ids import new_id
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.model.tags import unranked
from trioworker.settings import Address
from trioworker.store import wire
from trioworker.store.agent import open_agent_store
from trioworker.store.protocol import Hint, WorkerInfo
from trioworker.worker.supervisor import Stop

ANSWERED_S = 20.0


def ended(batch: dict[str, object], result: bytes = b"1") -> list[wire.Sent]:
    """A success for each job of a pulled batch."""
    claim = UUID(str(batch["claim"]))
    return [
        wire.Sent(wire.Which(claim, UUID(job[0]), job[1]), wire.Result(result), 0.1, 0.1)
        for job in batch["jobs"]  # type: ignore[attr-defined]  # it is JSON
    ]


async def test_a_pull_that_comes_again_when_its_jobs_have_ended_claims_nothing(
    server: Server, rig: Rig
) -> None:
    """Its claim is gone by then, and nobody would know of the jobs of another one."""
    await rig.enqueue(5)
    token = await server.token()
    async with open_line(server) as line:
        worker = await line.registered(token)
        asked = wire.Pull(worker, new_id(), 3)
        first = await line.post("batch_pull", asked, token=token)
        done = wire.Commit(worker, ended(first.json()))
        assert (await line.post("batch_commit", done, token=token)).json() == {"lost": []}
        second = await line.post("batch_pull", asked, token=token)
        assert (second.status_code, second.json()["ambiguous"]) == (422, True)
        found = await line.post("adopt", wire.Adopt(worker, []), token=token)
    assert found.json() == {"batches": []}


async def test_a_pull_that_comes_twice_claims_once(server: Server, rig: Rig) -> None:
    """The second is told so that its agent looks for the claim of the first."""
    await rig.enqueue(5)
    token = await server.token()
    async with open_line(server) as line:
        worker = await line.registered(token)
        asked = wire.Pull(worker, new_id(), 3)
        first = await line.post("batch_pull", asked, token=token)
        second = await line.post("batch_pull", asked, token=token)
        assert len(first.json()["jobs"]) == 3
        assert (second.status_code, second.json()["ambiguous"]) == (422, True)
        found = await line.post("adopt", wire.Adopt(worker, []), token=token)
    [batch] = found.json()["batches"]
    assert batch["claim"] == str(asked.claim)
    assert [job[0] for job in batch["jobs"]] == [job[0] for job in first.json()["jobs"]]
    assert rig.counts() == {"ready": 2, "waiting": 0, "claimed": 3, "completed": 0}


async def test_a_commit_that_comes_twice_is_stored_once(server: Server, rig: Rig) -> None:
    """And the second says that nothing was lost, although it does not know of the first."""
    await rig.enqueue(3, options='{"labels": ["once"]}')
    token = await server.token()
    async with open_line(server) as line:
        worker = await line.registered(token)
        asked = wire.Commit(worker, ended(await line.pulled(token, worker)))
        replies = [await line.post("batch_commit", asked, token=token) for _ in range(2)]
    assert [reply.json() for reply in replies] == [{"lost": []}] * 2
    assert rig.query("select count(*) from trioworker.job_completed") == [(3,)]
    assert rig.query("select count(*) from trioworker.job_label") == [(3,)]


async def test_a_server_that_starts_anew_knows_the_jobs_of_others(
    database_url: str,
) -> None:
    """What one server handed out another one stores, with all that follows from it."""
    async with open_server(database_url) as server, open_line(server) as line:
        rig = Rig(database_url, server.database, [])
        await rig.enqueue(4, options='{"labels": ["kept"]}')
        token = await server.token()
        worker = await line.registered(token)
        batch = await line.pulled(token, worker)
    async with open_server(database_url) as server, open_line(server) as line:
        said = wire.Commit(worker, ended(batch))
        reply = await line.post("batch_commit", said, token=token)
        assert reply.json() == {"lost": []}
        rows = rig.query("select label, count(*) from trioworker.job_label group by 1")
    assert rows == [("kept", 4)]


async def test_what_is_not_in_its_hands_is_lost(server: Server, rig: Rig) -> None:
    """Another attempt, another claim, a job that there is not: nothing is stored of it."""
    await rig.enqueue(1)
    token = await server.token()
    async with open_line(server) as line:
        worker = await line.registered(token)
        [one] = ended(await line.pulled(token, worker))
        which = one.job
        for wrong in (
            wire.Which(which.claim, which.id, which.attempt + 1),
            wire.Which(new_id(), which.id, which.attempt),
            wire.Which(which.claim, new_id(), 1),
        ):
            sent = wire.Sent(wrong, wire.Result(b"1"), 0.1, 0.1)
            reply = await line.post("batch_commit", wire.Commit(worker, [sent]), token=token)
            assert reply.json() == {"lost": [str(wrong.id)]}
    assert rig.counts() == {"ready": 0, "waiting": 0, "claimed": 1, "completed": 0}


async def test_a_job_twice_in_a_commit_is_refused(server: Server, rig: Rig) -> None:
    """In one transaction it would end twice over."""
    await rig.enqueue(1)
    token = await server.token()
    async with open_line(server) as line:
        worker = await line.registered(token)
        one = ended(await line.pulled(token, worker))
        reply = await line.post("batch_commit", wire.Commit(worker, one * 2), token=token)
    assert reply.status_code == 400
    assert "comes twice" in reply.json()["error"]
    assert rig.counts()["claimed"] == 1


async def test_the_work_of_a_server_that_comes_back_goes_on(database_url: str) -> None:
    """An agent waits, and what was in its hands is stored when there is a server again."""
    ran = trio.Event()
    gone = trio.Event()

    async def body(_job: Job) -> Outcome:
        ran.set()
        await gone.wait()
        return Succeeded(b"1")

    async with trio.open_nursery() as nursery:
        stop = Stop()
        async with open_server(database_url) as server:
            token = await server.token()
            rig = Rig(database_url, server.database, [])
            rig.runner.body = body
            jobs = await rig.enqueue(2)
            nursery.start_soon(_work, rig, server.address, token, stop)
            await ran.wait()
        gone.set()
        await trio.sleep(0.3)
        port = int(server.address.rpartition(":")[2])
        async with open_server(database_url, listen=Address("127.0.0.1", port)):
            await until(lambda: rig.counts()["completed"] == 2)
            stop.ask()
            running = "select from trioworker.worker where stopped_at is null"
            await until(lambda: not rig.query(running))
    assert rig.runner.executions == dict.fromkeys(jobs, 1)


async def _work(rig: Rig, address: str, token: str, stop: Stop) -> None:
    async with open_agent_store(address, token, batches=True, now_s=trio.current_time) as store:
        await rig.work(store=store, stop=stop, heartbeat_s=0.2)


async def test_a_new_job_reaches_a_waiting_agent_at_once(server: Server, rig: Rig) -> None:
    """Long before its next look: the server passes the database's hint on."""
    stop = Stop()
    async with server.store() as store, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: rig.work(store=store, stop=stop, poll_s=1000.0))
        await until(lambda: rig.query("select from trioworker.worker"))
        await trio.sleep(0.5)  # its first looks come soon one after the other
        await rig.enqueue(1)
        await rig.database.run("control", "notify_ready", ["default"])
        await until(lambda: rig.counts()["completed"] == 1, within_s=ANSWERED_S)
        stop.ask()


async def test_a_cancel_reaches_a_job_on_an_agent_at_once(server: Server, rig: Rig) -> None:
    """Long before the next heartbeat."""
    stop = Stop()

    async def body(_job: Job) -> Outcome:
        await trio.sleep_forever()
        raise AssertionError

    rig.runner.body = body
    [job] = await rig.enqueue(1)
    async with server.store() as store, trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: rig.work(store=store, stop=stop, heartbeat_s=50.0, lease_s=200.0)
        )
        await until(lambda: any(isinstance(event, JobStarted) for event in rig.events))
        await trio.sleep(0.3)
        await rig.database.run("control", "request_cancel", [job], "not needed")
        await until(lambda: rig.statuses() == {"canceled": 1}, within_s=ANSWERED_S)
        stop.ask()


async def test_hints_are_for_the_tags_of_the_token(server: Server) -> None:
    """And the first answer says that anything may have happened before it."""
    heard: list[Hint] = []
    async with server.store(await server.token("mine")) as store, trio.open_nursery() as nursery:
        await store.register(
            WorkerInfo(
                id=new_id(), name="a", host="h", pid=1, mode="agent", tags=unranked(), lease_s=60.0
            )
        )
        nursery.start_soon(store.listen, heard.append)
        await until(lambda: heard.count(Hint()) == 2)
        for tag in ("others", "mine"):
            await server.database.run("control", "notify_ready", [tag])
        await until(lambda: Hint(tag="mine") in heard)
        nursery.cancel_scope.cancel()
    assert Hint(tag="others") not in heard
