"""Flows whose steps share a worker: handed over in its commits, and lost with it as a whole."""

from collections.abc import Sequence
from uuid import UUID

from tests.store.postgres.scene import Scene, executed, on_every_version
from tests.store.postgres.test_store_flows import call, end, push, run
from trioworker.ids import new_id
from trioworker.model.job import Job, NewJob
from trioworker.model.options import JobOptions, Limit
from trioworker.model.outcome import Begun, JobError, Outcome, Retried, Snoozed, Succeeded
from trioworker.model.tags import own_tag
from trioworker.store.protocol import Stored

NESTED = {"id": "inside", "type": "flow", "path": "inner"}
LOST = "the worker that ran all steps of this flow is lost"


async def finish(
    scene: Scene, worker: UUID, jobs: Sequence[Job], outcome: Outcome | None = None
) -> Stored:
    """End all jobs in one transaction: flows begin, and steps succeed unless it is said how."""
    batch = [
        executed(job, Begun() if job.kind == "flow" else outcome or Succeeded(b"1")) for job in jobs
    ]
    stored = await scene.store.commit(worker, batch, again=False)
    assert not stored.lost
    return stored


async def begin(scene: Scene, worker: UUID) -> Stored:
    """Pull what is ready, which are flows, and begin them in one transaction."""
    return await finish(scene, worker, await scene.pull(worker))


async def lose(scene: Scene, worker: UUID, *, reaped_max: int = 3) -> None:
    """The worker is silent for too long, and somebody else's sweep takes back what it has."""
    await scene.silence(worker)
    await scene.store.reap(claims_max=10, reaped_max=reaped_max)


@on_every_version
async def test_the_next_step_comes_with_the_commit_of_the_one_before(scene: Scene) -> None:
    """Claimed in the same transaction, as `pull` would give it; nobody else could take it."""
    await push(scene, "two", call("one"), call("two"), same_worker=True)
    (flow,) = await run(scene, "two")
    worker = await scene.worker()
    stored = await begin(scene, worker)
    for name in ("one", "two"):
        (job,) = stored.handed
        assert (job.path, job.tag, job.attempt) == (name, own_tag(worker), 1)
        assert job.options.step is not None
        assert job.options.step.shared == flow
        assert await scene.store.adopt(worker, {job.claim}) == []
        (same,) = await scene.store.adopt(worker, set())
        assert (same.id, same.claim, same.options) == (job.id, job.claim, job.options)
        stored = await finish(scene, worker, [job])
    assert stored == Stored(frozenset(), let_go=[flow])
    assert end(scene, flow) == ("success", 1, None)
    assert scene.places() == {"completed": 3}
    names = [ran.name for ran in scene.statements()]
    assert names.count("pull") == 1


async def test_no_more_is_handed_over_than_was_taken_out_of_hands(scene: Scene) -> None:
    """The rest is ready under the worker's own tag, which nobody else asks for."""
    await push(scene, "all", {
        "id": "each", "type": "for_each", "items": [1, 2, 3], "parallel": True,
        "steps": [call("one")],
    }, same_worker=True)  # fmt: skip
    (flow,) = await run(scene, "all")
    worker, other = await scene.worker(), await scene.worker()
    stored = await begin(scene, worker)
    assert len(stored.handed) == 1
    assert stored.own
    assert await scene.pull(other) == []
    rest = await scene.pull(worker, tags=["default", own_tag(worker)])
    assert len(rest) == 2
    await finish(scene, worker, [*stored.handed, *rest])
    assert end(scene, flow) == ("success", [1, 1, 1], None)


async def test_many_flows_are_handed_over_as_one_claim(scene: Scene) -> None:
    """A batch costs one statement more, however many steps it hands over."""
    await push(scene, "two", call("one"), call("two"), same_worker=True)
    flows = await run(scene, *["two"] * 100)
    worker = await scene.worker()
    stored = await begin(scene, worker)
    assert len({job.claim for job in stored.handed}) == 1
    before = len(scene.statements())
    stored = await finish(scene, worker, stored.handed)
    assert [ran.name for ran in scene.statements()[before:]] == [
        "commit", "lock_flows", "clock", "read_flows", "store_flows", "enqueue", "hand_over",
    ]  # fmt: skip
    assert len(stored.handed) == 100
    stored = await finish(scene, worker, stored.handed)
    assert {*stored.let_go} == {*flows}


async def test_steps_that_come_back_wait_for_their_worker(scene: Scene) -> None:
    """Retried, put off, limited, and after a sleep: always under the tag of that one worker."""
    await push(scene, "two", {"id": "nap", "type": "sleep", "seconds": 0},
               call("one", limit=1), same_worker=True)  # fmt: skip
    await run(scene, "two", "two")
    worker, other = await scene.worker(), await scene.worker()
    tags = ["default", own_tag(worker)]
    stored = await begin(scene, worker)
    stored = await finish(scene, worker, stored.handed)
    assert len(stored.handed) == 1  # the other one has no slot yet
    boom = Retried(JobError("Boom", "again"), 0.0)
    for outcome in (boom, Snoozed(0.0)):
        stored = await finish(scene, worker, [*stored.handed], outcome)
        assert await scene.pull(other) == []
        stored = Stored(frozenset(), await scene.pull(worker, tags=tags))
        assert len(stored.handed) == 1
    await finish(scene, worker, stored.handed)
    (last,) = await scene.pull(worker, tags=tags)
    await finish(scene, worker, [last])
    assert scene.query("select from trioworker.flow_state") == []


async def test_what_is_nested_keeps_to_the_same_worker(scene: Scene) -> None:
    """All of it shares the folder of the flow around it, and a failure step does, too."""
    await push(scene, "inner", call("one"))
    await push(scene, "outer", NESTED, call("two"), same_worker=True, failure=call("mend"))
    (flow,) = await run(scene, "outer")
    worker = await scene.worker()
    stored = await begin(scene, worker)
    paths = []
    while stored.handed:
        (job,) = stored.handed
        assert job.options.step is not None
        assert (job.tag, job.options.step.shared) == (own_tag(worker), flow)
        paths.append(job.path)
        stored = await finish(scene, worker, [job])
    assert paths == ["inner", "one", "two"]
    assert stored.let_go == [flow]


async def test_a_flow_that_shares_may_be_a_step_of_one_that_does_not(scene: Scene) -> None:
    """It ends its own sharing, and what comes after it is for everybody."""
    await push(scene, "inner", call("one"), same_worker=True)
    await push(scene, "outer", NESTED, call("two"))
    (flow,) = await run(scene, "outer")
    ann, bob = await scene.worker(), await scene.worker()
    assert (await begin(scene, ann)).handed == ()
    (inner,) = await scene.pull(bob)
    stored = await finish(scene, bob, [inner])
    (one,) = stored.handed
    stored = await finish(scene, bob, [one])
    assert stored.let_go == [inner.id]
    (two,) = await scene.pull(ann)
    await finish(scene, ann, [two])
    assert end(scene, flow) == ("success", 1, None)


@on_every_version
async def test_a_flow_fails_with_its_worker(scene: Scene) -> None:
    """Steps in its hands and steps that wait: nobody gets them, and the flow says why it failed."""
    await push(scene, "all", {
        "id": "each", "type": "branch_all",
        "branches": [
            {"steps": [call("held", continue_on_error=True)]},
            {"steps": [call("ready")]},
            {"steps": [{"id": "asked", "type": "approval"}]},
            {"steps": [NESTED]},
        ],
    }, same_worker=True, failure=call("mend"))  # fmt: skip
    await push(scene, "inner", call("one"))
    (flow,) = await run(scene, "all")
    worker = await scene.worker(lease_s=0.01)
    await begin(scene, worker)
    await lose(scene, worker)
    assert end(scene, flow) == ("failure", None, LOST)
    assert scene.query("select from trioworker.flow_state") == []
    assert scene.places() == {"completed": 5}
    said = scene.query(
        "select distinct error ->> 'message' from trioworker.job_completed where id <> %s", flow
    )
    assert said == [("the one worker that may run it is lost",)]


async def test_a_flow_is_begun_anew_by_somebody_else(scene: Scene) -> None:
    """With another attempt, which is charged as a lost worker; a limit bounds how often."""
    await push(scene, "two", NESTED, call("two"), same_worker=True, on_worker_lost="restart")
    await push(scene, "inner", call("one"))
    (flow,) = await run(scene, "two")
    seen = set()
    for attempt in (1, 2):
        worker = await scene.worker(lease_s=0.01)
        (job,) = await scene.pull(worker)
        assert (job.id, job.attempt, job.reaped) == (flow, attempt, attempt - 1)
        stored = await finish(scene, worker, [job])
        stored = await finish(scene, worker, stored.handed)
        seen.add(stored.handed[0].id)
        await lose(scene, worker, reaped_max=1)
    assert len(seen) == 2
    assert end(scene, flow) == ("failure", None, LOST)
    assert scene.query("select attempt, error ->> 'message' from trioworker.job_attempt") == [
        (1, LOST)
    ]


async def test_a_flow_waits_for_nobody_who_has_stopped(scene: Scene) -> None:
    """What a worker gave back when it stopped ends, or begins anew without being charged."""
    await push(scene, "two", call("one"), same_worker=True, on_worker_lost="restart")
    (flow,) = await run(scene, "two")
    worker = await scene.worker()
    stored = await begin(scene, worker)
    await scene.store.retire(worker)
    reaped = await scene.store.reap(claims_max=10, reaped_max=0)
    assert reaped.failed == [stored.handed[0].id]
    assert reaped.ready == [flow]
    (job,) = await scene.pull(await scene.worker())
    assert (job.id, job.attempt, job.reaped) == (flow, 2, 0)


async def test_a_lost_flow_moves_the_one_around_it(scene: Scene) -> None:
    """For that it is a step that has failed."""
    await push(scene, "inner", call("one"), same_worker=True)
    await push(scene, "outer", {**NESTED, "continue_on_error": True}, call("two"))
    await run(scene, "outer")
    ann, bob = await scene.worker(), await scene.worker(lease_s=0.01)
    await begin(scene, ann)
    await begin(scene, bob)
    await lose(scene, bob)
    (two,) = await scene.pull(ann)
    assert two.path == "two"


async def test_others_are_not_lost_with_it(scene: Scene) -> None:
    """Not the flows of a worker that lives, nor the jobs of a tag that only looks like its own."""
    await push(scene, "one", call("one"), same_worker=True)
    ids = await run(scene, "one", "one")
    ann, bob = await scene.worker(lease_s=0.01), await scene.worker()
    for worker in (ann, bob):
        (job,) = await scene.pull(worker, 1)
        await finish(scene, worker, [job])
    await scene.enqueue(tag=own_tag(ann))
    await lose(scene, ann)
    assert scene.query("select id from trioworker.flow_state") == [(ids[1],)]
    assert scene.places() == {"ready": 1, "claimed": 1, "completed": 2}


async def test_a_worker_asks_which_flows_it_still_keeps(scene: Scene) -> None:
    """So that it may let go of what ended elsewhere."""
    await push(scene, "one", call("one"), same_worker=True)
    flows = await run(scene, "one", "one")
    worker = await scene.worker()
    await begin(scene, worker)
    assert await scene.store.kept_flows(worker, [*flows, new_id()]) == {*flows}
    await scene.jobs.cancel([flows[0]], "enough")
    assert await scene.store.kept_flows(worker, flows) == {flows[1]}
    assert await scene.store.kept_flows(new_id(), flows) == set()


async def test_a_commit_that_comes_again_hands_nothing_over(scene: Scene) -> None:
    """What the first try has handed over is found by `adopt`."""
    await push(scene, "one", call("one"), same_worker=True)
    await run(scene, "one")
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    batch = [executed(job, Begun()) for job in jobs]
    first = await scene.store.commit(worker, batch, again=False)
    assert (await scene.store.commit(worker, batch, again=True)).handed == ()
    (found,) = await scene.store.adopt(worker, set())
    assert found.id == first.handed[0].id


async def test_a_flow_with_a_limit_keeps_its_slot(scene: Scene) -> None:
    """While it is begun anew nobody else gets in."""
    await push(scene, "one", call("one"), same_worker=True, on_worker_lost="restart")
    options = JobOptions(limit=Limit(1, "line"))
    jobs = [
        NewJob(id=new_id(), kind="flow", path="one", args=b"{}", options=options) for _ in range(2)
    ]
    await scene.jobs.enqueue(jobs)
    worker = await scene.worker(lease_s=0.01)
    await begin(scene, worker)
    await lose(scene, worker)
    (job,) = await scene.pull(await scene.worker())
    assert job.id == jobs[0].id
    assert scene.query("select id from trioworker.slot") == [(jobs[0].id,)]
