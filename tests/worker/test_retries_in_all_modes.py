"""The same jobs end the same in every mode: what they store does not depend on who batches."""

from typing import Any, Final

import pytest
import trio

from tests.worker.harness import Rig
from trioworker.model.batching import BatchPolicy, Mode
from trioworker.model.job import Job
from trioworker.model.outcome import Cancelled, Failed, JobError, Outcome, Retried, Succeeded

RETRY: Final = '{"retry": {"attempts": 3, "delay_s": 0.0}}'
OVERDUE: Final = '{"deadline": "2020-01-01T00:00:00Z"}'
OPTIONS: Final = {
    "succeeds": None,
    "fails": RETRY,
    "recovers": RETRY,
    "asks": RETRY,
    "fails without a policy": None,
    "hangs": '{"timeout_s": 0.01, "retry": {"attempts": 2, "delay_s": 0.0}}',
    "cancels itself": RETRY,
    "is overdue": OVERDUE,
}
COMPLETED: Final = """
select path, status, result, error->>'name', error->>'message', attempt, reaped,
       completed.worker is not null, started_at is not null, completed.duration_ms is not null
  from trioworker.job_completed as completed join trioworker.job using (id) order by path
"""
ATTEMPTS: Final = """
select path, attempt, error->>'name', error->>'message', worker is not null,
       started_at is not null, duration_ms is not null
  from trioworker.job_attempt join trioworker.job using (id) order by path, attempt
"""


async def body(job: Job) -> Outcome:
    """Do what the path says."""
    boom = JobError("Boom", f"attempt {job.attempt} broke")
    match job.path:
        case "succeeds":
            return Succeeded(b"1")
        case "recovers" if job.attempt > 1:
            return Succeeded(b"2")
        case "asks":
            return Retried(boom, 0.0)
        case "cancels itself":
            return Cancelled("enough")
        case "hangs":
            await trio.sleep_forever()
    return Failed(boom)


async def rows(rig: Rig, mode: Mode, policy: BatchPolicy) -> tuple[list[Any], list[Any]]:
    """All that is stored of the jobs that are run in this mode."""
    rig.do("delete from trioworker.job_completed")
    rig.do("delete from trioworker.job_attempt")
    rig.do("delete from trioworker.job")
    for path, options in OPTIONS.items():
        await rig.enqueue(1, path=path, options=options)
    await rig.work(mode=mode, policy=policy)
    return rig.query(COMPLETED), rig.query(ATTEMPTS)


@pytest.mark.parametrize(
    ("mode", "policy"),
    [
        (Mode.STANDALONE, BatchPolicy.FULL),
        (Mode.WORKER, BatchPolicy.FULL),
        (Mode.AGENT_BATCH, BatchPolicy.SIMPLE),
    ],
)
async def test_what_is_stored_is_the_same(rig: Rig, mode: Mode, policy: BatchPolicy) -> None:
    """Completions and attempts of all sorts of ends are those of a full batch."""
    rig.runner.body = body
    completed, attempts = await rows(rig, Mode.AGENT_BATCH, BatchPolicy.FULL)
    assert [(row[0], row[1], row[5]) for row in completed] == [
        ("asks", "failure", 3),
        ("cancels itself", "canceled", 1),
        ("fails", "failure", 3),
        ("fails without a policy", "failure", 1),
        ("hangs", "failure", 2),
        ("is overdue", "failure", 1),
        ("recovers", "success", 2),
        ("succeeds", "success", 1),
    ]
    assert [(row[0], row[1]) for row in attempts] == [
        ("asks", 1),
        ("asks", 2),
        ("fails", 1),
        ("fails", 2),
        ("hangs", 1),
        ("recovers", 1),
    ]
    assert await rows(rig, mode, policy) == (completed, attempts)


async def test_a_batch_that_falls_back_loses_no_attempt(rig: Rig) -> None:
    """One outcome of the batch is refused; the others are stored with all that follows."""

    async def one_is_poison(job: Job) -> Outcome:
        return Succeeded(b'"\\u0000"') if job.path == "succeeds" else await body(job)

    rig.runner.body = body
    completed, attempts = await rows(rig, Mode.AGENT_BATCH, BatchPolicy.FULL)
    rig.runner.body = one_is_poison
    fallen, kept = await rows(rig, Mode.AGENT_BATCH, BatchPolicy.FULL)
    assert rig.statements("store_attempts")
    assert kept == attempts
    assert [row for row in fallen if row[0] != "succeeds"] == [
        row for row in completed if row[0] != "succeeds"
    ]
    assert [row[3] for row in fallen if row[0] == "succeeds"] == ["OutcomeRefused"]
