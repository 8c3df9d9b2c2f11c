"""Of jobs that come shortly one after the other the last is run, and not too late."""

from datetime import timedelta

import msgspec

from tests.store.postgres.keyed import debounced_job, due_s, ends, enqueue, pass_time, pull_one
from tests.store.postgres.scene import Scene, on_every_version, until


@on_every_version
async def test_of_debounced_jobs_the_last_is_run(scene: Scene) -> None:
    """Each moves the time, at most so far from the first of them."""
    first, second, third = (debounced_job(max_wait_s=100) for _ in range(3))
    await enqueue(scene, first)
    assert due_s(scene) == {first.id: 60}
    pass_time(scene, 30)
    await enqueue(scene, second)
    assert due_s(scene) == {second.id: 60}
    pass_time(scene, 30)
    await enqueue(scene, third)
    assert due_s(scene) == {third.id: 40}
    assert ends(scene).keys() == {first.id, second.id}


async def test_one_that_has_begun_is_not_debounced(scene: Scene) -> None:
    """The next one waits its own time, from its own first on."""
    await enqueue(scene, debounced_job(delay_s=0.001, max_wait_s=0.001))
    await until(lambda: scene.query("select from trioworker.ready where scheduled_for <= now()"))
    await pull_one(scene)
    pass_time(scene, 30)
    second = debounced_job(max_wait_s=60)
    await enqueue(scene, second)
    assert due_s(scene) == {second.id: 60}


async def test_a_debounced_job_is_not_due_before_its_time(scene: Scene) -> None:
    """A time that is given goes before all delays."""
    now = await scene.jobs.now()
    job = debounced_job(max_wait_s=60)
    later = msgspec.structs.replace(job, scheduled_for=now + timedelta(seconds=600))
    await enqueue(scene, later)
    assert due_s(scene) == {job.id: 600}
