"""What people and programs ask about jobs, and the SQL functions, on every PostgreSQL there is."""

from itertools import pairwise
from uuid import UUID

import psycopg

from tests.store.postgres.scene import Scene, executed, ids_of, on_every_version
from trioworker.ids import new_id
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Skipped,
    Succeeded,
)

BOOM = JobError("Boom", "it broke")


async def one_of_each(scene: Scene) -> dict[str, UUID]:
    """A job in each state, by the state's name; each is older than the next."""
    names = ("success", "failure", "canceled", "skipped", "running", "waiting", "ready")
    outcomes: tuple[Outcome, ...] = (
        Succeeded(b"1"),
        Failed(BOOM),
        Cancelled("enough"),
        Skipped("no need"),
    )
    ids = dict(zip(names, await scene.enqueue(len(names)), strict=True))
    worker = await scene.worker()
    jobs = await scene.pull(worker, 5)
    batch = [executed(job, outcome) for job, outcome in zip(jobs, outcomes, strict=False)]
    await scene.store.commit(worker, batch, again=False)
    scene.do("delete from trioworker.ready where id = %s", ids["waiting"])
    scene.do("insert into trioworker.waiting (id, reason) values (%s, 'flow')", ids["waiting"])
    (ids["scheduled"],) = await scene.enqueue(due_s=3600)
    return ids


async def newest(
    scene: Scene, state: str | None, limit: int = 100, before: UUID | None = None
) -> list[UUID]:
    """The ids of the newest jobs in that state."""
    found = await scene.jobs.newest(state=state, tag=None, path=None, limit=limit, before=before)
    assert state is None or {job.state for job in found} <= {state}
    return [job.id for job in found]


@on_every_version
async def test_each_job_is_found_in_its_state_and_in_no_other(scene: Scene) -> None:
    """Every state that a job can be in can be asked for, and all together."""
    ids = await one_of_each(scene)
    for state, id_ in ids.items():
        assert await newest(scene, state) == [id_], state
    assert await newest(scene, None) == [*ids.values()][::-1]
    assert await newest(scene, None, 3, ids["ready"]) == [
        ids[state] for state in ("waiting", "running", "skipped")
    ]
    states = await scene.jobs.states([*ids.values()])
    assert {job.state: job.id for job in states} == ids
    assert await scene.jobs.ended([*ids.values()]) == {
        ids[state] for state in ("success", "failure", "canceled", "skipped")
    }


@on_every_version
async def test_unfinished_jobs_are_counted_where_they_stand(scene: Scene) -> None:
    """A job that ended counts nowhere; tags are told apart."""
    await one_of_each(scene)
    await scene.enqueue(2, tag="b")
    counts = await scene.jobs.counts()
    assert [(c.tag, c.ready, c.scheduled, c.waiting, c.running) for c in counts] == [
        ("b", 2, 0, 0, 0),
        ("default", 1, 1, 1, 1),
    ]


async def test_states_come_in_the_order_they_were_asked_for(scene: Scene) -> None:
    """Ids that no job has are left out; one that is asked for twice is told twice."""
    first, second = await scene.enqueue(2)
    asked = [second, new_id(), first, second]
    assert [job.id for job in await scene.jobs.states(asked)] == [second, first, second]
    assert await scene.jobs.states([]) == []
    assert await scene.jobs.ended([]) == set()


async def test_a_job_that_stands_nowhere_is_said_to(scene: Scene) -> None:
    """A job that was lost, which must not be, is shown and not hidden."""
    (id_,) = await scene.enqueue()
    scene.do("delete from trioworker.ready")
    (found,) = await scene.jobs.states([id_])
    assert (found.state, found.attempt) == ("nowhere", None)


async def test_what_jobs_wrote_is_kept_by_attempt(scene: Scene) -> None:
    """Of each attempt what it wrote; nothing is not the same as no such job."""
    silent, first = await scene.enqueue(2)
    worker = await scene.worker()
    jobs = await scene.pull(worker)
    batch = [executed(jobs[0]), executed(jobs[1], Retried(BOOM, 0.0), log="one")]
    await scene.store.commit(worker, batch, again=False)
    (again,) = await scene.pull(worker)
    await scene.store.commit(worker, [executed(again, log="two")], again=False)
    logs = await scene.jobs.logs(first)
    assert logs is not None
    assert [(log.attempt, log.text) for log in logs] == [(1, "one"), (2, "two")]
    assert await scene.jobs.logs(silent) == []
    assert await scene.jobs.logs(new_id()) is None


async def test_workers_are_listed_from_the_living_to_the_long_gone(scene: Scene) -> None:
    """Each with its state and what it holds."""
    alive, silent, lost, stopped = [await scene.worker() for _ in range(4)]
    await scene.enqueue(3)
    await scene.pull(alive, 2)
    await scene.pull(alive, 1)
    await scene.silence(silent)
    scene.do("update trioworker.worker set lost_at = now() where id = %s", lost)
    scene.do("update trioworker.worker set stopped_at = now() - interval '1 hour' where id = %s",
             stopped)  # fmt: skip
    workers = await scene.jobs.workers(10)
    assert [(w.id, w.state, w.claimed) for w in workers] == [
        (silent, "silent", 0),
        (alive, "alive", 3),
        (lost, "lost", 0),
        (stopped, "stopped", 0),
    ]
    assert len(await scene.jobs.workers(1)) == 1


@on_every_version
async def test_ids_made_in_sql_are_like_our_own(scene: Scene) -> None:
    """They are of version 7, sort as they were made, and between others to the millisecond."""
    before = new_id()
    made = [
        id_ for (id_,) in scene.query("select trioworker.new_id() from generate_series(1, 999)")
    ]
    after = new_id()
    assert {(id_.version, id_.variant) for id_ in made} == {(7, before.variant)}
    assert len(set(made)) == 999
    assert all(one.int >> 64 <= other.int >> 64 for one, other in pairwise(made))
    assert before.int >> 80 <= made[0].int >> 80 <= made[-1].int >> 80 <= after.int >> 80


@on_every_version
async def test_what_sql_enqueues_is_pulled_like_any_other(scene: Scene) -> None:
    """From any driver, in the caller's own transaction; what is left out has its default."""
    with psycopg.connect(scene.url) as caller:
        for _ in range(2):
            caller.execute("select trioworker.enqueue('never')")
            caller.rollback()
        row = caller.execute(
            "select trioworker.enqueue('f', '{\"n\": 1}', priority => 5)"
        ).fetchone()
    assert row
    (job,) = await scene.pull(await scene.worker())
    assert (job.id, job.kind, job.path, job.args, job.tag, job.priority) == (
        row[0], "function", "f", '{"n": 1}', "default", 5,
    )  # fmt: skip


@on_every_version
async def test_enqueuing_again_is_enqueuing_once(scene: Scene) -> None:
    """An id that exists is left as it is, whoever made it, also beside others that are new."""
    ids = await scene.enqueue(2)
    worker = await scene.worker()
    pulled = await scene.pull(worker, 1)
    again = [*ids, new_id()]
    scene.query("select trioworker.enqueue('other', id => id) from unnest(%s) as id", again)
    assert ids_of(pulled) == ids[:1]
    assert scene.places() == {"ready": 2, "claimed": 1}
    assert scene.query("select count(*) from trioworker.job where path = 'other'") == [(1,)]
