"""Flows go on in the transaction that stores the ends of their steps, or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest
import trio

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.errors import Refused
from trioworker.ids import new_id
from trioworker.model.job import Job, NewJob
from trioworker.model.options import Handler, JobOptions, Limit
from trioworker.model.outcome import Begun, Cancelled, Failed, JobError, Outcome, Succeeded
from trioworker.model.state import Cancellation

BOOM = Failed(JobError("Boom", "it broke"))
TICKED = JobOptions(schedule="s")


def call(step: str, **more: object) -> Mapping[str, object]:
    """A step that calls a function of its own name."""
    return {"id": step, "type": "function", "path": step, **more}


async def push(scene: Scene, path: str, *steps: Mapping[str, object], **more: object) -> None:
    """Make the steps the newest version of the flow `path`."""
    scene.do(
        "insert into trioworker.flow (path, version, definition)"
        " select %s, count(*) + 1, %s::jsonb from trioworker.flow where path = %s",
        path,
        msgspec.json.encode({"steps": steps, **more}).decode(),
        path,
    )


async def run(scene: Scene, *paths: str, args: bytes = b"{}") -> list[UUID]:
    """Enqueue a run of each flow."""
    jobs = [NewJob(id=new_id(), kind="flow", path=path, args=args) for path in paths]
    await scene.jobs.enqueue(jobs)
    return [job.id for job in jobs]


async def begin(scene: Scene, worker: UUID) -> None:
    """Pull what is ready, which are flows, and begin them in one transaction."""
    jobs = await scene.pull(worker)
    assert {job.kind for job in jobs} == {"flow"}
    assert not (
        await scene.store.commit(worker, [executed(job, Begun()) for job in jobs], again=False)
    ).lost


async def steps(scene: Scene, worker: UUID) -> Sequence[Job]:
    """The steps that are ready, in the worker's hands."""
    jobs = await scene.pull(worker)
    assert all(job.options.step for job in jobs)
    return jobs


def end(scene: Scene, flow: UUID) -> tuple[Any, ...]:
    """How the flow has ended."""
    ((found),) = scene.query(
        "select status, result, error ->> 'message' from trioworker.job_completed where id = %s",
        flow,
    )
    return found


@on_every_version
async def test_a_step_that_ends_makes_the_next_a_job(scene: Scene) -> None:
    """From the first step to the result of the flow; no worker holds it in between."""
    await push(scene, "two", call("one"), call("two"))
    (flow,) = await run(scene, "two")
    worker = await scene.worker()
    await begin(scene, worker)
    assert scene.query("select id, root from trioworker.flow_state") == [(flow, flow)]
    for name in ("one", "two"):
        (job,) = await steps(scene, worker)
        assert job.path == name
        done = executed(job, Succeeded(f'"{name} is done"'.encode()))
        assert not (await scene.store.commit(worker, [done], again=False)).lost
    assert end(scene, flow) == ("success", "two is done", None)
    assert scene.query("select from trioworker.flow_state") == []
    assert scene.places() == {"completed": 3}


async def finish(
    scene: Scene, worker: UUID, jobs: Sequence[Job], outcome: Outcome | None = None
) -> None:
    """End all jobs in one transaction, by default with success."""
    batch = [executed(job, outcome or Succeeded(b"1")) for job in jobs]
    assert not (await scene.store.commit(worker, batch, again=False)).lost


async def test_flows_of_a_batch_share_their_statements(scene: Scene) -> None:
    """A hundred flows begin, and go on, with as many statements as one."""
    await push(scene, "two", call("one"), call("two"))
    flows = await run(scene, *["two"] * 100)
    worker = await scene.worker()
    await begin(scene, worker)
    jobs = await steps(scene, worker)
    assert len(jobs) == 100
    before = len(scene.statements())
    await finish(scene, worker, jobs)
    assert [ran.name for ran in scene.statements()[before:]] == [
        "commit", "lock_flows", "clock", "read_flows", "store_flows", "enqueue",
    ]  # fmt: skip
    await finish(scene, worker, await steps(scene, worker))
    assert {end(scene, flow) for flow in flows} == {("success", 1, None)}


async def test_a_step_that_is_not_stored_moves_nothing(scene: Scene) -> None:
    """The database refuses an outcome of the batch: no flow of it has gone on."""
    await push(scene, "two", call("one"), call("two"))
    await run(scene, "two", "two")
    worker = await scene.worker()
    await begin(scene, worker)
    jobs = await steps(scene, worker)
    states = scene.query("select id, state from trioworker.flow_state order by id")
    ends = [executed(jobs[0]), executed(jobs[1], Succeeded(b'"\\u0000"'))]
    with pytest.raises(Refused):
        await scene.store.commit(worker, ends, again=False)
    assert scene.query("select id, state from trioworker.flow_state order by id") == states
    assert scene.places() == {"claimed": 2}


@on_every_version
async def test_two_workers_may_end_steps_of_one_flow_at_once(scene: Scene) -> None:
    """Whoever comes second waits for the first, and sees what that one has stored."""
    await push(scene, "all", {
        "id": "each", "type": "for_each", "items": [1, 2], "parallel": True, "steps": [call("one")],
    })  # fmt: skip
    (flow,) = await run(scene, "all")
    ann, bob = await scene.worker(), await scene.worker()
    await begin(scene, ann)
    (first,), (second,) = await scene.pull(ann, 1), await scene.pull(bob, 1)
    async with trio.open_nursery() as nursery:
        with scene.under_way("lock_flows", [flow]):
            nursery.start_soon(finish, scene, ann, [first], Succeeded(b'"a"'))
            nursery.start_soon(finish, scene, bob, [second], Succeeded(b'"b"'))
            await scene.until_blocked(2)
    status, result, _ = end(scene, flow)
    assert status == "success"
    assert sorted(result) == ["a", "b"]


async def test_a_nested_flow_moves_the_outer_one_with_its_end(scene: Scene) -> None:
    """In the same transaction, however deep they are nested."""
    await push(scene, "inner", call("one"))
    for path, inner in (("middle", "inner"), ("outer", "middle")):
        await push(scene, path, {"id": "nested", "type": "flow", "path": inner})
    (outer,) = await run(scene, "outer")
    worker = await scene.worker()
    for _ in range(3):
        await begin(scene, worker)
    assert scene.query("select distinct root from trioworker.flow_state") == [(outer,)]
    await finish(scene, worker, await steps(scene, worker), Succeeded(b'"deep"'))
    assert end(scene, outer) == ("success", "deep", None)
    assert scene.places() == {"completed": 4}


async def test_what_follows_from_the_end_of_a_job_follows_from_a_flows(scene: Scene) -> None:
    """Handlers, labels and slots: a flow that waits for its steps keeps the slot it has."""
    await push(scene, "one", call("one"))
    options = JobOptions(
        limit=Limit(1, "line"), on_error=Handler("tell"), labels=("flow",), delete_after_s=60
    )
    jobs = [
        NewJob(id=new_id(), kind="flow", path="one", args=b"{}", options=options, awaited=True)
        for _ in range(2)
    ]
    await scene.jobs.enqueue(jobs)
    worker = await scene.worker()
    await begin(scene, worker)
    assert scene.query("select id from trioworker.slot") == [(jobs[0].id,)]
    await finish(scene, worker, await steps(scene, worker), BOOM)
    assert end(scene, jobs[0].id)[0] == "failure"
    assert scene.query("select path from trioworker.job where options ? 'handles'") == [("tell",)]
    assert scene.query("select id, label from trioworker.job_label") == [(jobs[0].id, "flow")]
    assert scene.query("select id from trioworker.slot") == [(jobs[1].id,)]
    assert "notify_done" in [ran.name for ran in scene.statements()]


async def test_what_cannot_begin_fails_and_says_why(scene: Scene) -> None:
    """A flow that nobody has pushed, one that is none, and one that was written by hand."""
    scene.do("insert into trioworker.flow (path, version, definition) values ('odd', 1, '[]')")
    await push(scene, "f", call("one"))
    flows = await run(scene, "nowhere", "odd")
    await scene.enqueue(1)
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    begun = [executed(job, Begun()) for job in jobs]
    assert not (await scene.store.commit(worker, begun, again=False)).lost
    said = [end(scene, job.id)[2] for job in jobs]
    assert said[0] == "there is no flow 'nowhere'; push it with `trioworker flows push`"
    assert said[1].startswith("the flow does not match its schema at $")
    assert said[2] == "a job of the kind function is no flow, and cannot begin like one"
    assert {end(scene, flow)[0] for flow in flows} == {"failure"}
    assert scene.places() == {"completed": 3}


async def test_a_flow_is_cancelled_with_all_that_is_under_way(scene: Scene) -> None:
    """Its own row goes at once, with steps that wait; who holds another is told."""
    await push(scene, "inner", call("one"))
    nested = {"id": "nested", "type": "flow", "path": "inner"}
    await push(scene, "both", {
        "id": "all", "type": "branch_all",
        "branches": [{"steps": [nested]}, {"steps": [call("b")]}],
    })  # fmt: skip
    (flow,) = await run(scene, "both")
    worker = await scene.worker()
    await begin(scene, worker)
    inner, b = sorted(await scene.pull(worker), key=lambda job: job.kind)
    assert (inner.kind, b.kind) == ("flow", "function")
    assert not (await scene.store.commit(worker, [executed(inner, Begun())], again=False)).lost
    done = await scene.jobs.cancel([flow], "enough")
    assert flow in done.ended
    assert done.asked == [b.id]
    assert scene.query("select from trioworker.flow_state") == []
    await finish(scene, worker, [b], Cancelled("enough"))
    assert end(scene, flow) == ("canceled", None, "enough")
    assert scene.places() == {"completed": 4}


async def test_a_step_that_is_cancelled_ends_its_flow(scene: Scene) -> None:
    """A step that nobody has begun yet, cancelled by itself."""
    await push(scene, "two", call("one"), call("two"))
    (flow,) = await run(scene, "two")
    worker = await scene.worker()
    await begin(scene, worker)
    ((step,),) = scene.query("select id from trioworker.ready")
    assert (await scene.jobs.cancel([step], "not this one")).ended == [step]
    assert end(scene, flow)[0] == "canceled"


async def test_a_flow_that_was_cancelled_as_it_began_is_found_by_a_sweep(scene: Scene) -> None:
    """Its worker was told of it when it had let go of the flow already."""
    await push(scene, "one", call("one"))
    (flow,) = await run(scene, "one")
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    assert (await scene.jobs.cancel([flow], "too late?")).asked == [flow]
    assert not (await scene.store.commit(worker, [executed(job, Begun())], again=False)).lost
    assert not await scene.store.cancel_late()
    assert end(scene, flow) == ("canceled", None, "too late?")
    assert scene.places() == {"completed": 2}


async def test_a_nested_flow_that_is_run_once_more_is_waited_for_by_nobody(scene: Scene) -> None:
    """It has failed for the flow around it, which goes on; begun again it would never end."""
    await push(scene, "inner", call("one"))
    nested = {"id": "nested", "type": "flow", "path": "inner", "continue_on_error": True}
    await push(scene, "outer", nested, call("then"))
    await run(scene, "outer")
    worker = await scene.worker()
    await begin(scene, worker)
    ((inner,),) = scene.query("select id from trioworker.ready")
    await begin(scene, worker)
    await finish(scene, worker, await steps(scene, worker), BOOM)
    assert end(scene, inner)[0] == "failure"
    assert (await scene.jobs.requeue([inner])).ready == [inner]
    again = [job for job in await scene.pull(worker) if job.id == inner]
    await finish(scene, worker, again, Begun())
    assert end(scene, inner)[0] == "canceled"


async def test_a_flow_that_begins_while_somebody_cancels_it_is_left_to_a_sweep(
    scene: Scene,
) -> None:
    """It has a step of which who cancels knows nothing, and so is not ended without it."""
    await push(scene, "one", call("one"))
    (flow,) = await run(scene, "one")
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    scene.do("insert into trioworker.schedule (name, definition) values ('s', '{}')")
    tick = NewJob(id=new_id(), kind="noop", path="tick", args=b"{}", options=TICKED)
    await scene.jobs.enqueue([tick])
    told: list[Cancellation] = []

    async def cancel() -> None:
        told.append(await scene.jobs.cancel([tick.id, flow], "enough"))

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            with scene.under_way("lock_schedules", ["s"]):
                nursery.start_soon(cancel)
                await scene.until_blocked()
                begun = [executed(job, Begun())]
                assert not (await scene.store.commit(worker, begun, again=False)).lost
    assert (told[0].ended, told[0].asked) == ([tick.id], [flow])
    assert scene.query("select id from trioworker.flow_state") == [(flow,)]
    await scene.store.cancel_late()
    assert end(scene, flow) == ("canceled", None, "enough")
    assert scene.query("select count(*) from trioworker.ready") == [(0,)]


async def test_a_step_that_is_given_up_fails_its_flow(scene: Scene) -> None:
    """Workers died with it in their hands: the sweep that ends it moves the flow on."""
    await push(scene, "one", call("one"))
    (flow,) = await run(scene, "one")
    worker = await scene.worker(lease_s=0.01)
    await begin(scene, worker)
    await steps(scene, worker)
    await scene.silence(worker)
    reaped = await scene.store.reap(claims_max=10, reaped_max=0)
    assert len(reaped.failed) == 1
    status, _, message = end(scene, flow)
    assert status == "failure"
    assert "workers died with this job in their hands" in message
