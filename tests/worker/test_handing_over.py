"""What a job hands over, end to end: exactly once with its success, in every mode."""

import pytest

from tests.worker.harness import CountingRunner, Rig
from trioworker.events import CommitFailed, OutcomeRefused
from trioworker.model.batching import BatchPolicy, Fallback, Mode
from trioworker.model.job import Job
from trioworker.model.outcome import Failed, JobError, Outcome, Retried, Succeeded
from trioworker.model.user_statement import user_statement

NOTE = "insert into effect (job, amount) values ($1, $2)"


@pytest.fixture
async def shop(rig: Rig) -> Rig:
    """A rig with a user's table beside ours."""
    rig.do("create table effect (job uuid, amount integer check (amount > 0))")
    return rig


async def note(job: Job) -> Outcome:
    """Hand over a row about the job; some are refused, some jobs fail, some try again."""
    handed = [user_statement(NOTE, [job.id, 1]), user_statement(NOTE, [job.id, 2])]
    if job.path == "refused":
        handed.append(user_statement(NOTE, [job.id, -1]))
    if job.path == "fails":
        return Failed(JobError("Boom", "no"))
    if job.path == "again" and job.attempt == 1:
        return Retried(JobError("Boom", "not yet"), 0.0)
    return Succeeded(b"1", tuple(handed))


def effects(rig: Rig) -> list[tuple[object, ...]]:
    """The jobs that have had an effect, each with how often."""
    return rig.query("select job, count(*) from effect group by job order by job")


@pytest.mark.parametrize(
    ("mode", "policy", "fallback"),
    [
        (Mode.AGENT_BATCH, BatchPolicy.FULL, Fallback.PER_JOB),
        (Mode.AGENT_BATCH, BatchPolicy.FULL, Fallback.BISECT),
        (Mode.AGENT_BATCH, BatchPolicy.SIMPLE, Fallback.PER_JOB),
        (Mode.WORKER, BatchPolicy.FULL, Fallback.PER_JOB),
        (Mode.STANDALONE, BatchPolicy.FULL, Fallback.PER_JOB),
    ],
)
async def test_the_effect_of_a_success_is_there_once(
    shop: Rig, mode: Mode, policy: BatchPolicy, fallback: Fallback
) -> None:
    """Those that fail have none; one that is refused costs its neighbours nothing."""
    fine = await shop.enqueue(20)
    (refused,) = await shop.enqueue(1, path="refused")
    await shop.enqueue(3, path="fails")
    again = await shop.enqueue(3, path="again")
    await shop.work(runner=CountingRunner(note), mode=mode, policy=policy, fallback=fallback)
    assert effects(shop) == [(job, 2) for job in sorted([*fine, *again])]
    assert shop.statuses() == {"success": 23, "failure": 4}
    assert [event.job for event in shop.said(OutcomeRefused)] == [refused]
    error = next(error for error in shop.errors() if error["name"] == "OutcomeRefused")
    assert error["message"].startswith(
        f"the database refused the outcome of this job: statement 3 that was handed over, {NOTE}:"
    )
    assert "violates check constraint" in error["message"]
    assert error["message"].endswith("1 byte): 1")


async def test_a_batch_whose_commit_dies_has_its_effects_once(shop: Rig) -> None:
    """The first transaction goes with its line, effects included; the second has them all."""
    shop.do(
        """
        create sequence deaths;
        create function die_once() returns trigger language plpgsql as $$
        begin
            if nextval('deaths') <= 1 then perform pg_terminate_backend(pg_backend_pid()); end if;
            return null;
        end $$;
        create constraint trigger die after insert on effect
            deferrable initially deferred for each row execute function die_once()
        """
    )
    jobs = await shop.enqueue(50)
    await shop.work(runner=CountingRunner(note))
    assert shop.said(CommitFailed)[0].failure == "connection lost"
    assert effects(shop) == [(job, 2) for job in sorted(jobs)]


async def test_a_server_that_fails_inside_is_asked_again(shop: Rig) -> None:
    """An error of the server's own at a job's statement costs the job a try of its commit."""
    shop.do(
        """
        create sequence errors;
        create function fail_twice() returns trigger language plpgsql as $$
        begin
            if nextval('errors') <= 2 then
                raise exception 'tuple concurrently updated' using errcode = 'XX000';
            end if;
            return new;
        end $$;
        create trigger fail before insert on effect for each row execute function fail_twice()
        """
    )
    (job,) = await shop.enqueue(1)
    await shop.work(runner=CountingRunner(note))
    assert [event.failure for event in shop.said(CommitFailed)] == ["unknown", "unknown"]
    assert effects(shop) == [(job, 2)]
