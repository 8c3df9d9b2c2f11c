"""Pulling on a real database: what is claimed, in which order, and what is left alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, ids_of, on_every_version
from trioworker.ids import new_id
from trioworker.model.job import Job, NewJob
from trioworker.model.options import NO_OPTIONS, JobOptions
from trioworker.model.planner import NO_FLOORS, FloorColumns
from trioworker.model.tags import unranked


def floor_at(job: Job) -> FloorColumns:
    """The floor that a full pull which ended with `job` leaves behind."""
    return FloorColumns([job.tag], [job.priority], [job.scheduled_for], [job.id])


async def test_order_is_priority_then_due_time_then_id(scene: Scene) -> None:
    """Of one tag, nothing that is claimed has lower priority or is due later than what is left."""
    late, same = await scene.enqueue(due_s=-10), await scene.enqueue(3, due_s=-20)
    high, low = await scene.enqueue(due_s=-5, priority=7), await scene.enqueue(priority=-7)
    worker = await scene.worker()
    first = await scene.pull(worker, 3)
    rest = await scene.pull(worker, 10)
    assert ids_of(first) == [*high, *same[:2]]
    assert ids_of(rest) == [same[2], *late, *low]


@on_every_version
async def test_tags_are_merged_best_first(scene: Scene) -> None:
    """A pull over several tags takes the best of all of them, and of no other tag."""
    in_a = await scene.enqueue(2, tag="a", due_s=-10)
    in_b = await scene.enqueue(2, tag="b", due_s=-20)
    best_b = await scene.enqueue(tag="b", priority=1)
    await scene.enqueue(5, tag="other", priority=9)
    jobs = await scene.pull(await scene.worker(), 4, tags=("a", "b", "empty"))
    assert ids_of(jobs) == [*best_b, *in_b, in_a[0]]
    assert scene.places() == {"ready": 6, "claimed": 4}


@on_every_version
async def test_a_job_comes_as_it_was_asked_for(scene: Scene) -> None:
    """The definition, the attempt and the claim are all there."""
    due = datetime(2025, 1, 1, tzinfo=UTC)
    asked = NewJob(
        id=new_id(),
        kind="script",
        path="päth",
        args=b'{"n": [1, null]}',
        tag="t",
        priority=3,
        scheduled_for=due,
        options=JobOptions(timeout_s=1.5, dedicated=True, language="python"),
        awaited=True,
    )
    await scene.jobs.enqueue([asked])
    claim = new_id()
    (job,) = await scene.store.pull(
        await scene.worker(), claim, 1, unranked("t"), NO_FLOORS, alone_from=3
    )
    assert job == Job(
        id=asked.id,
        claim=claim,
        attempt=1,
        reaped=0,
        kind="script",
        path="päth",
        args='{"n": [1, null]}',
        tag="t",
        priority=3,
        scheduled_for=due,
        awaited=True,
        options=asked.options,
    )


async def test_options_nobody_knows_are_a_defect_of_that_job_only(scene: Scene) -> None:
    """Options written by hand or by a later version do not keep a batch from being pulled."""
    strange, fine = await scene.enqueue(2)
    scene.do("update trioworker.job set options = '{\"colour\": 1}' where id = %s", strange)
    first, second = await scene.pull(await scene.worker())
    assert (first.id, second.id) == (strange, fine)
    assert first.defect is not None
    assert "colour" in first.defect
    assert (first.options, second.defect) == (NO_OPTIONS, None)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ('{"timeout_s": -1}', "above 0"),
        ('{"retry": {}}', "would never end"),
        ('{"deadline": "tomorrow"}', "deadline"),
        ('{"deadline": "2026-01-01T00:00:00"}', "time zone"),
        ('{"deadline": 7}', "deadline"),
    ],
)
async def test_options_that_cannot_be_are_a_defect_of_that_job_only(
    scene: Scene, stored: str, said: str
) -> None:
    """Whatever somebody has written by hand, it is that job's failure and no other's."""
    first, second = await scene.enqueue(2)
    scene.do("update trioworker.job set options = %s::jsonb where id = %s", stored, first)
    jobs = {job.id: job for job in await scene.pull(await scene.worker())}
    assert said in (jobs[first].defect or "")
    assert jobs[second].defect is None


@on_every_version
async def test_a_job_with_a_deadline_knows_how_long_it_has(scene: Scene) -> None:
    """By the worker's clock, counted from the database's; so does one that is adopted."""
    now = await scene.jobs.now()
    deadlines = [now + timedelta(seconds=s) for s in (100, -100)]
    ids = [
        *await scene.enqueue(options=JobOptions(deadline=deadlines[0])),
        *await scene.enqueue(options=JobOptions(deadline=deadlines[1])),
        *await scene.enqueue(options=JobOptions(timeout_s=1.0)),
    ]
    worker = await scene.worker()
    pulled = await scene.pull(worker)
    adopted = await scene.store.adopt(worker, set())
    for jobs in (pulled, adopted):
        left_s = {
            job.id: None if job.deadline_s is None else job.deadline_s - trio.current_time()
            for job in jobs
        }
        assert left_s[ids[0]] == pytest.approx(100, abs=20)
        assert left_s[ids[1]] == pytest.approx(-100, abs=20)
        assert left_s[ids[2]] is None


async def test_the_claim_is_one_row_for_the_batch(scene: Scene) -> None:
    """A pull writes who holds which attempts of which jobs; an empty pull writes nothing."""
    await scene.enqueue(3)
    scene.do("update trioworker.ready set attempt = 5, reaped = 2")
    worker, claim = await scene.worker(), new_id()
    tags = unranked("default")
    jobs = await scene.store.pull(worker, claim, 3, tags, NO_FLOORS, alone_from=3)
    assert await scene.pull(worker) == []
    ((id_, holder, ids, attempts, reaped),) = scene.query(
        "select id, worker, ids, attempts, reaped from trioworker.claim"
    )
    assert (id_, holder, attempts, reaped) == (claim, worker, [5, 5, 5], [2, 2, 2])
    assert sorted(ids) == sorted(ids_of(jobs))
    assert {(job.attempt, job.reaped) for job in jobs} == {(5, 2)}


@on_every_version
async def test_concurrent_pulls_share_no_job(scene: Scene) -> None:
    """Whoever pulls at the same time, each job is claimed once, and all are claimed."""
    ids = await scene.enqueue(600)
    pulled: list[UUID] = []

    async def drain() -> None:
        worker = await scene.worker()
        while jobs := await scene.pull(worker, 20):
            pulled.extend(ids_of(jobs))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(drain)
    assert sorted(pulled) == ids
    assert scene.places() == {"claimed": 600}


@on_every_version
async def test_what_others_have_locked_is_passed_over(scene: Scene) -> None:
    """A pull never waits for a row that somebody else is taking; it takes the next ones."""
    ids = await scene.enqueue(5)
    worker = await scene.worker()
    with psycopg.connect(scene.url) as other:
        other.execute("select from trioworker.ready where id = any(%s) for update", [ids[:2]])
        with trio.fail_after(5):
            assert ids_of(await scene.pull(worker, 2)) == ids[2:4]
        other.rollback()
    assert ids_of(await scene.pull(worker)) == [*ids[:2], ids[4]]


async def test_future_jobs_are_left_until_they_are_due(scene: Scene) -> None:
    """A scheduled job, whatever its priority, is claimed at its time, which can be asked for."""
    later = await scene.enqueue(due_s=0.4, priority=9)
    await scene.enqueue(due_s=3600, priority=9)
    now = await scene.enqueue()
    worker = await scene.worker()
    assert ids_of(await scene.pull(worker)) == now
    due_s = await scene.store.next_due_s(["other", "default"])
    assert due_s is not None
    assert 0 < due_s <= 0.4
    await trio.sleep(due_s)
    assert ids_of(await scene.pull(worker)) == later
    assert await scene.store.next_due_s(["other"]) is None


@on_every_version
async def test_a_floor_hides_what_is_behind_it_and_nothing_else(scene: Scene) -> None:
    """A pull with a floor starts there in that lane only; a full pull finds what is behind."""
    (first,) = await scene.enqueue(due_s=-30)
    worker = await scene.worker()
    (job,) = await scene.pull(worker)
    behind = await scene.enqueue(due_s=-60)
    ahead = await scene.enqueue(due_s=-10)
    other_priority = await scene.enqueue(due_s=-60, priority=-1)
    higher = await scene.enqueue(due_s=-60, priority=5)
    other_tag = await scene.enqueue(due_s=-60, tag="b")
    found = await scene.pull(worker, tags=("default", "b"), floors=floor_at(job))
    assert job.id == first
    assert ids_of(found) == [*higher, *other_tag, *ahead, *other_priority]
    assert ids_of(await scene.pull(worker)) == behind


async def test_a_floor_still_finds_jobs_due_at_its_very_time(scene: Scene) -> None:
    """Jobs with the due time of the floor and a later id are not skipped: ids break the tie."""
    due = datetime(2025, 1, 1, tzinfo=UTC)
    jobs = [
        NewJob(id=new_id(), kind="noop", path="x", args=b"{}", scheduled_for=due) for _ in range(5)
    ]
    await scene.jobs.enqueue(jobs)
    worker = await scene.worker()
    found = list(await scene.pull(worker, 2))
    for _ in range(3):
        found += await scene.pull(worker, 1, floors=floor_at(found[-1]))
    assert ids_of(found) == [job.id for job in jobs]


@pytest.mark.parametrize("priorities", [range(-1000, 1001, 250), [0], [-1000, 1000]])
async def test_every_priority_is_found(scene: Scene, priorities: list[int]) -> None:
    """However many priorities a tag has, with and without floors, all are pulled in order."""
    ids = [(await scene.enqueue(priority=p))[0] for p in priorities]
    worker = await scene.worker()
    (best,) = await scene.pull(worker, 1)
    rest = await scene.pull(worker, floors=floor_at(best))
    assert [best.id, *ids_of(rest)] == ids[::-1]


async def test_a_worker_without_a_lease_gets_nothing(scene: Scene) -> None:
    """Who was declared lost, or was never known, cannot claim: nobody would take it back."""
    await scene.enqueue(3)
    lost = await scene.worker()
    scene.do("update trioworker.worker set lost_at = now() where id = %s", lost)
    assert await scene.pull(lost) == []
    assert await scene.pull(new_id()) == []
    assert scene.places() == {"ready": 3}


@on_every_version
async def test_a_job_on_its_last_chance_is_claimed_alone(scene: Scene) -> None:
    """A batch ends before the first one; then that one comes, and nothing with it."""
    ids = await scene.enqueue(6)
    for place, reaped in ((2, 2), (3, 3), (4, 7)):
        scene.do("update trioworker.ready set reaped = %s where id = %s", reaped, ids[place])
    worker = await scene.worker()
    pulls = [ids_of(await scene.pull(worker)) for _ in range(5)]
    assert pulls == [ids[:3], ids[3:4], ids[4:5], ids[5:], []]
    assert scene.query("select cardinality(ids) from trioworker.claim order by id") == [
        (3,), (1,), (1,), (1,)
    ]  # fmt: skip


async def test_the_first_of_all_tags_decides_who_is_claimed_alone(scene: Scene) -> None:
    """What is cut is the batch as it would be claimed, whichever tags its jobs have."""
    in_a = await scene.enqueue(3, tag="a", due_s=-20)
    in_b = await scene.enqueue(2, tag="b", due_s=-10)
    best = await scene.enqueue(tag="b", priority=1)
    scene.do("update trioworker.ready set reaped = 1 where id = any(%s)", [*best, in_a[2]])
    worker = await scene.worker()
    pulls = [ids_of(await scene.pull(worker, 4, tags=("a", "b"), alone_from=1)) for _ in range(4)]
    assert pulls == [best, in_a[:2], in_a[2:], in_b]


async def test_what_a_last_chance_leaves_behind_others_may_claim(scene: Scene) -> None:
    """Jobs after the cut are ready as before, and as soon as the pull has ended."""
    ids = await scene.enqueue(3)
    scene.do("update trioworker.ready set reaped = 3 where id = %s", ids[0])
    first, second = await scene.worker(), await scene.worker()
    assert ids_of(await scene.pull(first)) == ids[:1]
    assert ids_of(await scene.pull(second)) == ids[1:]


@on_every_version
async def test_jobs_of_a_higher_ranked_tag_come_first(scene: Scene) -> None:
    """Whatever their own priority is; the batch is in that order, and nothing else is taken."""
    best = await scene.enqueue(2, tag="low", priority=1000, due_s=-3600)
    worst = await scene.enqueue(2, tag="high", priority=-1000)
    worker = await scene.worker()
    first = await scene.pull(worker, 3, tags=("low", "empty", "high"), ranks=(-1, 32_767, 0))
    assert ids_of(first) == [*worst, best[0]]
    assert scene.places() == {"ready": 1, "claimed": 3}


async def test_tags_of_equal_rank_compete_as_if_they_had_none(scene: Scene) -> None:
    """Priority first, then who is due longest, then the id; two levels of two tags each."""
    old, young = await scene.enqueue(tag="a", due_s=-20), await scene.enqueue(tag="b", due_s=-10)
    urgent = await scene.enqueue(tag="b", priority=1)
    low = await scene.enqueue(tag="c", priority=5), await scene.enqueue(tag="d", priority=9)
    worker, tags = await scene.worker(), ("a", "b", "c", "d")
    jobs = await scene.pull(worker, tags=tags, ranks=(7, 7, 0, 0))
    assert ids_of(jobs) == [*urgent, *old, *young, *low[1], *low[0]]


async def test_one_by_one_they_come_in_the_same_order(scene: Scene) -> None:
    """Two workers that rank the same tags differently each take their own first."""
    in_a, in_b = await scene.enqueue(2, tag="a", priority=9), await scene.enqueue(2, tag="b")
    one, other, tags = await scene.worker(), await scene.worker(), ("a", "b")
    found = [
        *await scene.pull(one, 1, tags=tags, ranks=(0, 1)),
        *await scene.pull(other, 1, tags=tags, ranks=(1, 0)),
        *await scene.pull(one, 1, tags=tags, ranks=(0, 1)),
        *await scene.pull(one, 1, tags=tags, ranks=(0, 1)),
    ]
    assert ids_of(found) == [in_b[0], in_a[0], in_b[1], in_a[1]]


async def test_what_others_hold_does_not_keep_a_lower_rank_back(scene: Scene) -> None:
    """A job of the higher rank that somebody else has in hand is passed over, like any."""
    await scene.enqueue(tag="high")
    low = await scene.enqueue(tag="low")
    one, other = await scene.worker(), await scene.worker()
    floors: list[list[object]] = [[], [], [], []]
    with scene.under_way("pull", new_id(), one, 1, ["high"], *floors, 3, [0]):
        jobs = await scene.pull(other, 1, tags=("high", "low"), ranks=(1, 0))
    assert ids_of(jobs) == low


async def test_a_last_chance_takes_its_turn_among_the_ranks(scene: Scene) -> None:
    """A batch ends before the first of them in the order of claiming; at its turn it is alone."""
    high = await scene.enqueue(2, tag="high")
    low = await scene.enqueue(2, tag="low", priority=9)
    scene.do("update trioworker.ready set reaped = 1 where id = any(%s)", [high[1], low[0]])
    worker, tags = await scene.worker(), ("low", "high")
    pulls = [
        ids_of(await scene.pull(worker, 9, tags=tags, ranks=(0, 1), alone_from=1)) for _ in range(4)
    ]
    assert pulls == [[id_] for id_ in (*high, *low)]


async def test_a_floor_belongs_to_its_tag_whatever_the_rank(scene: Scene) -> None:
    """A full pull of the higher tag leaves floors that hide nothing of the lower one."""
    high = await scene.enqueue(3, tag="high", priority=-1)
    low = await scene.enqueue(2, tag="low", priority=-1, due_s=-60)
    worker, tags, ranks = await scene.worker(), ("low", "high"), (0, 1)
    first = await scene.pull(worker, 2, tags=tags, ranks=ranks)
    rest = await scene.pull(worker, tags=tags, ranks=ranks, floors=floor_at(first[-1]))
    assert (ids_of(first), ids_of(rest)) == (high[:2], [high[2], *low])
