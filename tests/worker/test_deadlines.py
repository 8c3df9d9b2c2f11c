"""A job has until its deadline, all its attempts together: none is begun or goes on after it."""

import pytest
import trio

from tests.worker.harness import Rig
from trioworker.model.job import Job
from trioworker.model.outcome import Failed, JobError, Outcome, Snoozed, Succeeded

BOOM = Failed(JobError("Boom", "it broke"))


def deadline(rig: Rig, seconds: float, more: str = "") -> str:
    """The options of a job whose deadline is so many seconds from now, and more options."""
    ((text,),) = rig.query("select to_json(now() + %s * interval '1 second')::text", seconds)
    return f'{{"deadline": {text}{more}}}'


async def hang(_job: Job) -> Outcome:
    """Run for ever."""
    await trio.sleep_forever()
    raise AssertionError


async def fail(_job: Job) -> Outcome:
    """Break."""
    return BOOM


async def test_a_running_attempt_is_cut_at_the_deadline(rig: Rig) -> None:
    """It is no timeout, and no policy has a say in it."""
    rig.runner.body = hang
    more = ', "timeout_s": 3600.0, "retry": {"attempts": 9, "delay_s": 0.0}'
    for seconds in (1.0, 10.0, 100.0):
        await rig.enqueue(1, options=deadline(rig, seconds, more))
        await rig.work()
        if rig.runner.executions:  # it began in time, on however slow a machine
            break
    assert list(rig.runner.executions.values()) == [1]
    assert rig.errors()[-1] == {
        "name": "DeadlineExceeded",
        "message": "the job was stopped at its deadline",
    }


async def test_a_timeout_before_the_deadline_is_a_timeout(rig: Rig) -> None:
    """The limit that comes first is the one that counts."""
    rig.runner.body = hang
    await rig.enqueue(1, options=deadline(rig, 3600.0, ', "timeout_s": 0.01'))
    await rig.work()
    assert [error["name"] for error in rig.errors()] == ["Timeout"]


@pytest.mark.parametrize("kind", ["function", "noop"])
async def test_a_job_that_comes_after_its_deadline_fails_without_running(
    rig: Rig, kind: str
) -> None:
    """Of whatever kind it is; one beside it that has time left runs."""
    late, early = await rig.enqueue(2)
    rig.do(
        "update trioworker.job set kind = %s, options = jsonb_build_object('deadline', now()"
        " + case when id = %s then interval '-1 second' else interval '1 hour' end)",
        kind,
        late,
    )
    await rig.work()
    assert rig.statuses() == {"failure": 1, "success": 1}
    assert rig.query("select id, error->>'name' from trioworker.job_completed order by id") == [
        (late, "DeadlineExceeded"),
        (early, None),
    ]
    assert rig.runner.executions == ({early: 1} if kind == "function" else {})


async def test_a_retry_past_the_deadline_is_not_made(rig: Rig) -> None:
    """The job fails at once, and says with what it had failed."""
    rig.runner.body = fail
    more = ', "retry": {"attempts": 9, "delay_s": 3600.0}'
    await rig.enqueue(1, options=deadline(rig, 60.0, more))
    await rig.work()
    (error,) = rig.errors()
    assert error["name"] == "DeadlineExceeded"
    assert error["message"].endswith("attempt 1 failed with Boom: it broke")


async def test_a_deadline_is_for_all_attempts_together(rig: Rig) -> None:
    """Neither a job that snoozes nor one that retries for ever gets past it."""

    async def go_on(job: Job) -> Outcome:
        await trio.sleep(0.01)
        return Snoozed(0.0) if job.path == "snooze" else BOOM

    rig.runner.body = go_on
    more = ', "retry": {"forever": true, "delay_s": 0.0}'
    for path in ("snooze", "retry"):
        await rig.enqueue(1, path=path, options=deadline(rig, 1.0, more))
    await rig.work()
    assert [error["name"] for error in rig.errors()] == ["DeadlineExceeded"] * 2


async def test_a_job_waits_in_hand_no_longer_than_its_deadline(rig: Rig) -> None:
    """Claimed in time and begun too late is too late."""

    async def slow(_job: Job) -> Outcome:
        await trio.sleep(1.2)
        return Succeeded(b"1")

    rig.runner.body = slow
    first, second = await rig.enqueue(2)
    rig.do("update trioworker.job set options = %s where id = %s", deadline(rig, 1.0), second)
    await rig.work(concurrency=1)
    assert rig.runner.executions == {first: 1}
    assert rig.statuses() == {"success": 1, "failure": 1}
