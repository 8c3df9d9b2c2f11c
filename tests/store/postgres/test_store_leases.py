"""Leases on a real database: renewed, taken away, and what becomes of the jobs under them."""

from collections.abc import Sequence
from uuid import UUID

import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, executed, ids_of, on_every_version
from trioworker.ids import new_id
from trioworker.model.outcome import Interrupted
from trioworker.store.protocol import Counters, Reaped

NO_COUNTERS = Counters(0, 0, 0)
NEVER_S = 30 * 24 * 3600.0
"""A lease longer than any test server has been up."""


async def reap(scene: Scene, *, claims_max: int = 100, reaped_max: int = 3) -> Reaped:
    """One sweep."""
    return await scene.store.reap(claims_max=claims_max, reaped_max=reaped_max)


async def dead_worker(scene: Scene, *, claims: int = 1, size: int = 1) -> tuple[UUID, list[UUID]]:
    """A worker that fell silent with `claims` claims of `size` jobs each, and these jobs."""
    jobs = await scene.enqueue(claims * size)
    worker = await scene.worker(lease_s=0.01)
    for _ in range(claims):
        assert len(await scene.pull(worker, size)) == size
    await scene.silence(worker)
    return worker, jobs


def state_of(scene: Scene, worker: UUID) -> Sequence[object]:
    """Whether it is lost, whether it is stopped, and how many seconds it has been silent."""
    (row,) = scene.query(
        "select lost_at is not null, stopped_at is not null,"
        " round(extract(epoch from clock_timestamp() - last_heartbeat))::integer"
        " from trioworker.worker where id = %s",
        worker,
    )
    return row


@on_every_version
async def test_a_heartbeat_renews_and_counts(scene: Scene) -> None:
    """The lease begins anew, and what the worker has done stands in its row."""
    worker, other = await scene.worker(), await scene.worker()
    await scene.silence(worker, 1000)
    await scene.silence(other, 1000)
    beat = await scene.store.heartbeat(worker, Counters(done=7, failed=2, running=3))
    assert (beat.alive, dict(beat.cancels)) == (True, {})
    assert state_of(scene, worker) == (False, False, pytest.approx(0, abs=60))
    assert state_of(scene, other) == (False, False, pytest.approx(1000, abs=60))
    counters = "select jobs_done, jobs_failed, jobs_running from trioworker.worker where id = %s"
    assert scene.query(counters, worker) == [(7, 2, 3)]


async def test_who_lost_its_lease_cannot_renew_it(scene: Scene) -> None:
    """Once taken away a lease stays so, and a worker nobody knows has none."""
    worker, _ = await dead_worker(scene)
    await reap(scene)
    assert not (await scene.store.heartbeat(worker, Counters(9, 9, 9))).alive
    assert state_of(scene, worker) == (True, False, pytest.approx(3600, abs=60))
    assert not (await scene.store.heartbeat(new_id(), NO_COUNTERS)).alive


async def test_registering_twice_is_registering_once(scene: Scene) -> None:
    """A repeated introduction, after a lost reply, neither fails nor gives a lease back."""
    worker, _ = await dead_worker(scene)
    await reap(scene)
    await scene.worker(id_=worker)
    assert not (await scene.store.heartbeat(worker, NO_COUNTERS)).alive
    assert scene.query("select count(*) from trioworker.worker") == [(1,)]


@on_every_version
async def test_the_silent_lose_their_jobs_to_all(scene: Scene) -> None:
    """After its lease a silent worker is lost; its jobs are ready at once, one attempt later."""
    worker, jobs = await dead_worker(scene, claims=2, size=3)
    alive = await scene.worker()
    held = await scene.enqueue(2)
    await scene.pull(alive)
    reaped = await reap(scene)
    assert (sorted(reaped.ready), list(reaped.failed)) == (jobs, [])
    assert state_of(scene, worker)[0]
    assert scene.places() == {"ready": 6, "claimed": 2}
    again = await scene.pull(alive)
    assert sorted(ids_of(again)) == jobs
    assert {(job.attempt, job.reaped) for job in again} == {(2, 1)}
    assert set(held).isdisjoint(ids_of(again))
    assert await reap(scene) == Reaped([], [])


async def test_a_reaped_job_keeps_its_tag_and_priority(scene: Scene) -> None:
    """It goes back to the lane that it was enqueued in."""
    await scene.enqueue(tag="t", priority=-7)
    worker = await scene.worker(lease_s=0.01)
    await scene.pull(worker, tags=("t",))
    await scene.silence(worker)
    await reap(scene)
    assert scene.query("select tag, priority, scheduled_for <= now() from trioworker.ready") == [
        ("t", -7, True)
    ]


async def test_time_alone_takes_nothing(scene: Scene) -> None:
    """Who keeps beating keeps its jobs, however long it has had them."""
    await scene.enqueue(2)
    worker = await scene.worker(lease_s=0.01)
    await scene.pull(worker)
    scene.do("update trioworker.claim set claimed_at = now() - interval '3 days'")
    await scene.silence(worker, -3600)  # as if it had beaten just now, whenever now is
    assert await reap(scene) == Reaped([], [])
    assert scene.places() == {"claimed": 2}


async def test_after_a_start_of_the_server_everybody_has_a_whole_lease(scene: Scene) -> None:
    """While the server was down nobody could renew: silence counts from its start."""
    await scene.enqueue()
    worker = await scene.worker(lease_s=NEVER_S)
    await scene.pull(worker)
    await scene.silence(worker, NEVER_S * 10)
    assert await reap(scene) == Reaped([], [])
    assert (await scene.store.heartbeat(worker, NO_COUNTERS)).alive


async def test_a_worker_that_said_goodbye_is_reaped_at_once(scene: Scene) -> None:
    """What a retired worker still claims needs no lease to end, and it is not called lost."""
    jobs = await scene.enqueue(2)
    worker = await scene.worker()
    await scene.pull(worker)
    await scene.store.retire(worker)
    assert sorted((await reap(scene)).ready) == jobs
    assert state_of(scene, worker)[:2] == (False, True)


async def test_a_claim_of_nobody_is_reaped(scene: Scene) -> None:
    """A claim whose worker has no row, as after a restored backup, is not left for ever."""
    worker, jobs = await dead_worker(scene, size=2)
    scene.do("delete from trioworker.worker where id = %s", worker)
    assert sorted((await reap(scene)).ready) == jobs


async def test_a_sweep_is_bounded(scene: Scene) -> None:
    """A sweep takes as many claims as it may; the next ones take the rest."""
    _, jobs = await dead_worker(scene, claims=5, size=2)
    sweeps = [await reap(scene, claims_max=2) for _ in range(4)]
    assert [len(sweep.ready) for sweep in sweeps] == [4, 4, 2, 0]
    assert sorted(id_ for sweep in sweeps for id_ in sweep.ready) == jobs


@on_every_version
async def test_reapers_share_the_work(scene: Scene) -> None:
    """Whoever reaps at the same time, each job is taken back once."""
    _, jobs = await dead_worker(scene, claims=40, size=2)
    taken: list[UUID] = []

    async def sweep() -> None:
        while found := (await reap(scene, claims_max=3)).ready:
            taken.extend(found)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(sweep)
    assert sorted(taken) == jobs
    assert scene.query("select distinct attempt, reaped from trioworker.ready") == [(2, 1)]


async def test_a_reaper_waits_for_nobody(scene: Scene) -> None:
    """Claims and workers that somebody has locked are passed over, and found the next time."""
    _, jobs = await dead_worker(scene, claims=3)
    with psycopg.connect(scene.url) as other:
        other.execute("select from trioworker.claim order by id limit 1 for update")
        with trio.fail_after(30):
            assert sorted((await reap(scene)).ready) == jobs[1:]
    silent, _ = await dead_worker(scene)
    with psycopg.connect(scene.url) as other:
        other.execute("select from trioworker.worker where id = %s for update", (silent,))
        with trio.fail_after(30):
            assert list((await reap(scene)).ready) == jobs[:1]
        assert not state_of(scene, silent)[0]


async def test_many_that_fell_silent_are_found_in_turn(scene: Scene) -> None:
    """One sweep takes the leases of a hundred workers at most, and of all in the end.

    Also with a plan made when there were none, which once looked for a hundred again and again.
    """
    scene.do("vacuum analyze trioworker.worker")
    await reap(scene)
    scene.do(
        "insert into trioworker.worker"
        " (id, name, host, pid, mode, tags, ranks, lease_s, last_heartbeat)"
        " select gen_random_uuid(), 'w', 'h', 1, 'worker', '{}', '{}', 0.01,"
        " now() - interval '1 hour' from generate_series(1, 150)"
    )
    for lost in (100, 150):
        await reap(scene)
        count = scene.query("select count(*) from trioworker.worker where lost_at is not null")
        assert count == [(lost,)]


@on_every_version
@pytest.mark.parametrize("reaped_max", [0, 2])
async def test_a_job_that_loses_too_many_workers_ends(scene: Scene, reaped_max: int) -> None:
    """Past the limit it is a failure that says so; its neighbours in the claim go back."""
    worker, (first, last) = await dead_worker(scene, size=2)
    scene.do("update trioworker.claim set reaped = %s", [reaped_max, 0])
    scene.do("update trioworker.claim set attempts = %s", [reaped_max + 1, 1])
    reaped = await reap(scene, reaped_max=reaped_max)
    hopeless = {first, last} if reaped_max == 0 else {first}
    assert set(reaped.failed) == hopeless
    assert set(reaped.ready) == {first, last} - hopeless
    (row,) = scene.query(
        "select status, error, worker, attempt, reaped, result from trioworker.job_completed"
        " where id = %s",
        first,
    )
    lost = f"worker lost: {reaped_max + 1} workers died with this job in their hands"
    error = {"name": "WorkerLost", "message": lost}
    assert row == ("failure", error, worker, reaped_max + 1, reaped_max + 1, None)


async def test_a_commit_that_is_under_way_is_not_reaped(scene: Scene) -> None:
    """The reaper passes over a claim that a commit has locked; what is stored is stored."""
    worker, _ = await dead_worker(scene, size=2)
    with psycopg.connect(scene.url) as other:
        other.execute("select from trioworker.claim for update")
        with trio.fail_after(30):
            assert await reap(scene) == Reaped([], [])
    jobs = await scene.store.adopt(worker, set())
    assert (
        await scene.store.commit(worker, [executed(j) for j in jobs], again=False)
    ).lost == set()
    assert await reap(scene) == Reaped([], [])
    assert scene.places() == {"completed": 2}


async def test_a_commit_that_comes_during_the_reaping_stores_nothing(scene: Scene) -> None:
    """It waits for the reaper, then finds its claim gone: the jobs are others' by then."""
    worker, ids = await dead_worker(scene, size=2)
    batch = [executed(job) for job in await scene.store.adopt(worker, set())]
    lost: set[UUID] = set()

    async def commit() -> None:
        lost.update((await scene.store.commit(worker, batch, again=False)).lost)

    async with trio.open_nursery() as nursery:
        scene.do("update trioworker.worker set lost_at = now()")
        with scene.under_way("reap", 10, 3):
            nursery.start_soon(commit)
            await scene.until_blocked()
    assert lost == set(ids)
    assert scene.places() == {"ready": 2}


@on_every_version
async def test_adopting_finds_what_the_worker_does_not_know(scene: Scene) -> None:
    """All jobs of a claim whose reply was lost, as a pull would have brought them."""
    worker, other = await scene.worker(), await scene.worker()
    await scene.enqueue(2)
    known = await scene.pull(worker)
    await scene.enqueue(3, priority=5, awaited=True)
    pulled = await scene.pull(worker)
    await scene.enqueue()
    await scene.pull(other)
    adopted = await scene.store.adopt(worker, {known[0].claim})
    fields = ("id", "claim", "attempt", "reaped", "kind", "path", "args", "tag", "priority",
              "awaited", "options")  # fmt: skip
    assert [[getattr(job, name) for name in fields] for job in adopted] == [
        [getattr(job, name) for name in fields] for job in pulled
    ]
    assert await scene.store.adopt(worker, {known[0].claim, pulled[0].claim}) == []
    batch = [executed(job) for job in adopted]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()


async def test_adopting_brings_what_is_left_of_a_claim(scene: Scene) -> None:
    """Jobs whose outcome is stored already are not run again."""
    await scene.enqueue(3)
    worker = await scene.worker()
    first, second, third = await scene.pull(worker)
    await scene.store.commit(worker, [executed(second)], again=False)
    assert ids_of(await scene.store.adopt(worker, set())) == ids_of([first, third])


async def test_what_is_given_back_is_as_it_was(scene: Scene) -> None:
    """Interrupted jobs are ready at once for anybody, and no attempt is charged."""
    ids = await scene.enqueue(3)
    scene.do("update trioworker.ready set attempt = 4, reaped = 1")
    worker, other = await scene.worker(), await scene.worker()
    jobs = await scene.pull(worker)
    batch = [executed(job, Interrupted()) for job in jobs[1:]]
    assert (await scene.store.commit(worker, batch, again=False)).lost == set()
    again = await scene.pull(other)
    assert ids_of(again) == ids[1:]
    assert {(job.attempt, job.reaped) for job in again} == {(4, 1)}
    assert scene.places() == {"claimed": 3}
