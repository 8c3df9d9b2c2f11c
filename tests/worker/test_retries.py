"""A worker retries what failed, as the job or its function says, and never what was stopped."""

from collections import Counter
from random import Random

import trio

from tests.worker.harness import Rig
from trioworker.app import App
from trioworker.errors import Retry
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Cancelled, Failed, JobError, Outcome, Retried, Snoozed
from trioworker.runners.function import FunctionRunner

AT_ONCE = '"delay_s": 0.0, "jitter": 0.0'
BOOM = Failed(JobError("Boom", "it broke"), ("OSError",))


async def fail(_job: Job) -> Outcome:
    """Break."""
    return BOOM


def tries(rig: Rig) -> int:
    """How often the one job was run."""
    (count,) = rig.runner.executions.values()
    return count


async def test_a_failure_is_retried_as_the_job_says(rig: Rig) -> None:
    """As often as that, then it has failed and says how often it was tried."""
    rig.runner.body = fail
    await rig.enqueue(1, options=f'{{"retry": {{"attempts": 3, {AT_ONCE}}}}}')
    await rig.work()
    assert tries(rig) == 3
    assert rig.errors() == [{"name": "Boom", "message": "attempt 3 of 3: it broke"}]
    assert rig.query("select attempt, error->>'message' from trioworker.job_attempt") == [
        (1, "it broke"),
        (2, "it broke"),
    ]


async def test_an_error_that_is_not_meant_is_the_end(rig: Rig) -> None:
    """By its class or by one that it is derived from."""
    rig.runner.body = fail
    never = f'{{"retry": {{"attempts": 3, "never": ["OSError"], {AT_ONCE}}}}}'
    await rig.enqueue(1, options=never)
    await rig.work()
    assert tries(rig) == 1
    assert rig.errors() == [{"name": "Boom", "message": "it broke"}]


async def test_a_timeout_is_retried_like_an_error(rig: Rig) -> None:
    """The attempt is cut, and another is made."""

    async def hang_first(job: Job) -> Outcome:
        if job.attempt == 1:
            await trio.sleep_forever()
        return BOOM

    rig.runner.body = hang_first
    retry = f'"retry": {{"attempts": 5, "only": ["Timeout"], {AT_ONCE}}}'
    await rig.enqueue(1, options=f'{{"timeout_s": 0.01, {retry}}}')
    await rig.work()
    assert tries(rig) == 2
    assert rig.query("select error->>'name' from trioworker.job_attempt") == [("Timeout",)]


async def test_what_is_cancelled_or_put_off_is_no_failure(rig: Rig) -> None:
    """A policy has no say in either; a snooze costs no attempt."""

    async def snooze_then_cancel(job: Job) -> Outcome:
        return Cancelled("enough") if rig.runner.executions[job.id] > 3 else Snoozed(0.0)

    rig.runner.body = snooze_then_cancel
    await rig.enqueue(1, options=f'{{"retry": {{"attempts": 2, {AT_ONCE}}}}}')
    await rig.work()
    assert tries(rig) == 4
    assert rig.statuses() == {"canceled": 1}


async def test_a_retry_that_the_job_asks_for_is_an_attempt(rig: Rig) -> None:
    """It comes when the job says, and as often as the policy says."""

    async def ask(_job: Job) -> Outcome:
        return Retried(JobError("Retry", "busy"), 0.0)

    rig.runner.body = ask
    await rig.enqueue(1, options='{"retry": {"attempts": 3, "delay_s": 3600.0}}')
    await rig.work()
    assert tries(rig) == 3
    assert rig.errors() == [{"name": "Retry", "message": "attempt 3 of 3: busy"}]


async def test_a_function_is_retried_as_it_says_itself(rig: Rig) -> None:
    """Its job may come from SQL and say nothing; what a job says goes before it, none included."""
    app, runs = App(), Counter[str]()
    policy = RetryPolicy(attempts=3, delay_s=0.0, jitter=0.0)

    @app.job(retry=policy, retry_if=lambda error: "busy" in str(error))
    async def raises(what: str) -> None:
        runs[what] += 1
        if what == "ask":
            raise Retry("again", delay_s=0)
        raise ValueError(what)

    functions = FunctionRunner(app, Random(1))
    for what in ("busy", "gone", "ask"):
        await rig.enqueue(1, path="raises", args=f'{{"what": "{what}"}}')
    once = '{"retry": null}'
    await rig.enqueue(1, path="raises", args='{"what": "busy once"}', options=once)
    said = f'{{"retry": {{"attempts": 2, {AT_ONCE}}}}}'
    await rig.enqueue(1, path="raises", args='{"what": "busy too"}', options=said)
    async with functions.open():
        await rig.work(runner=functions)
    assert runs == {"busy": 3, "gone": 1, "ask": 3, "busy once": 1, "busy too": 2}


async def test_a_job_may_have_no_timeout_whatever_its_function_says(rig: Rig) -> None:
    """One that says nothing has the function's."""
    app = App()

    @app.job(timeout_s=0.01)
    async def waits() -> None:
        await trio.sleep(0.1)

    functions = FunctionRunner(app, Random(1))
    await rig.enqueue(1, path="waits")
    await rig.enqueue(1, path="waits", options='{"timeout_s": null}')
    async with functions.open():
        await rig.work(runner=functions)
    assert rig.statuses() == {"failure": 1, "success": 1}
    assert [error["name"] for error in rig.errors()] == ["Timeout"]
