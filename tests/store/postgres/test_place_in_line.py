"""Who waits for a slot is told for which, and how many are before him."""

from datetime import UTC, datetime, timedelta

from tests.store.postgres.scene import Scene, executed, on_every_version
from trioworker.ids import new_id
from trioworker.model.options import JobOptions, Limit
from trioworker.model.state import PlaceInLine


def limited(window_s: float | None = None) -> JobOptions:
    """The options of a job with a limit of two."""
    return JobOptions(limit=Limit(2, "k", window_s))


@on_every_version
async def test_a_job_in_line_knows_its_place(scene: Scene) -> None:
    """Whoever has a higher priority or came first is before it, whoever is due later is not."""
    ready = await scene.enqueue(2, options=limited())
    first, second = await scene.enqueue(2, options=limited())
    (later,) = await scene.enqueue(options=limited(), due_s=3600, priority=9)
    (best,) = await scene.enqueue(options=limited(), priority=1)
    lines = {
        id_: await scene.jobs.place_in_line(id_) for id_ in (*ready, first, second, later, best)
    }
    places = {id_: line and line.place for id_, line in lines.items()}
    assert places == {ready[0]: None, ready[1]: None, best: 1, first: 2, second: 3, later: 1}
    assert (found := lines[second])
    assert (found.key, found.slots, found.taken, found.spent) == ("k", 2, 2, 0)
    assert found.due_at <= datetime.now(UTC)
    assert (waits := lines[later])
    assert waits.due_at > datetime.now(UTC) + timedelta(minutes=50)


async def test_a_window_that_has_to_pass_is_told(scene: Scene) -> None:
    """How many slots jobs have left that ended, and when the first of them is free again."""
    await scene.enqueue(3, options=limited(3600.0))
    (waits,) = await scene.enqueue(options=limited(3600.0))
    worker = await scene.worker()
    (job, _) = await scene.pull(worker)
    await scene.store.commit(worker, [executed(job)], again=False)
    line = await scene.jobs.place_in_line(waits)
    ((free_at,),) = scene.query("select free_at from trioworker.spent_slot")
    assert line
    assert line == PlaceInLine("k", line.due_at, 2, 2, 1, 1, free_at)


async def test_who_waits_for_no_slot_stands_in_no_line(scene: Scene) -> None:
    """A job that is ready, and one that does not exist."""
    (ready,) = await scene.enqueue()
    assert await scene.jobs.place_in_line(ready) is None
    assert await scene.jobs.place_in_line(new_id()) is None


async def test_a_line_that_nobody_has_looked_at_has_no_limit_yet(scene: Scene) -> None:
    """The job came in a transaction that locks no key: what its limit is, the next look finds."""
    options = '{"limit": {"slots": 2, "key": "of SQL"}}'
    ((job,),) = scene.query(
        "select trioworker.enqueue('f', '{}'::jsonb, options => %s::jsonb)", options
    )
    line = await scene.jobs.place_in_line(job)
    assert line
    assert (line.key, line.place, line.slots, line.taken) == ("of SQL", 1, None, 0)
