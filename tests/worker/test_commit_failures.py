"""What happens when a batch commit fails: real refusals and dead lines on a real PostgreSQL."""

from pathlib import Path

import pytest
import trio

from tests.worker.harness import CountingRunner, Rig, open_rig, until
from tests.worker.line_cutter import line_cutter
from trioworker.events import (
    BatchStored,
    CommitFailed,
    OutcomeAbandoned,
    OutcomeRefused,
    OutcomeResumed,
)
from trioworker.model.batching import Fallback, Mode
from trioworker.model.job import Job
from trioworker.model.outcome import Failed, JobError, Outcome, Succeeded
from trioworker.worker import commit
from trioworker.worker.supervisor import Stop

POISON = {
    "nul": b'{"text": "before \\u0000 after"}',
    "number": b"1" + b"0" * 200_000,
    "surrogate": b'"\\ud800"',
}


async def poisonous(job: Job) -> Outcome:
    """Succeed, some with a result that PostgreSQL will never store."""
    return Succeeded(POISON.get(job.path, b'"fine"'))


@pytest.mark.parametrize("fallback", list(Fallback))
async def test_three_refused_results_cost_97_others_nothing(rig: Rig, fallback: Fallback) -> None:
    """97 results stored as they are, 3 as failures that name the reason, each executed once."""
    for path, count in (
        ("ok", 40),
        ("nul", 1),
        ("ok", 20),
        ("number", 1),
        ("surrogate", 1),
        ("ok", 37),
    ):
        await rig.enqueue(count, path=path)
    runner = CountingRunner(poisonous)
    await rig.work(runner=runner, fallback=fallback)
    assert rig.statuses() == {"success": 97, "failure": 3}
    assert rig.query(
        "select count(*) from trioworker.job_completed where result = '\"fine\"'::jsonb"
    ) == [(97,)]
    assert set(runner.executions.values()) == {1}
    assert len(runner.executions) == 100
    errors = rig.errors()
    assert {error["name"] for error in errors} == {"OutcomeRefused"}
    assert "before <NUL> after" in errors[0]["message"]
    assert "numeric" in errors[1]["message"]
    assert len(rig.said(OutcomeRefused)) == 3
    assert rig.counts()["claimed"] == 0


async def test_a_batch_of_refused_results_only(rig: Rig) -> None:
    """When the database takes none of them, every job still ends with its reason."""
    await rig.enqueue(20, path="nul")
    await rig.work(runner=CountingRunner(poisonous))
    assert rig.statuses() == {"failure": 20}


async def test_refused_in_per_job_mode(rig: Rig) -> None:
    """The per-job path treats a refused result in the same way."""
    await rig.enqueue(2, path="nul")
    await rig.enqueue(2)
    await rig.work(runner=CountingRunner(poisonous), mode=Mode.WORKER)
    assert rig.statuses() == {"success": 2, "failure": 2}


async def test_what_not_even_a_failure_can_replace_is_named(rig: Rig) -> None:
    """An outcome that can be stored in no form is abandoned, reported by id, and blocks nobody."""
    (hopeless,) = await rig.enqueue(1, path="nul")
    rig.do(
        "alter table trioworker.job_completed add constraint never"
        f" check (id <> '{hopeless}') not valid"
    )
    await rig.enqueue(10)
    stop = Stop()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            report = await rig.work(stop=stop, runner=CountingRunner(poisonous))
            assert report.unsaved == [hopeless]

        nursery.start_soon(run)
        await until(lambda: rig.said(OutcomeAbandoned) and rig.counts()["completed"] == 10)
        stop.ask()


async def test_what_could_be_stored_in_no_form_is_stored_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was the database's fault, and that is mended: the job does not wait for a new worker."""
    monkeypatch.setattr(commit, "RESUMED_AFTER_S", 0.2)
    (hopeless,) = await rig.enqueue(1, path="nul")
    never = f"add constraint never check (id <> '{hopeless}') not valid"
    rig.do(f"alter table trioworker.job_completed {never}")
    stop = Stop()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            report = await rig.work(stop=stop, runner=CountingRunner(poisonous))
            assert report.unsaved == []

        nursery.start_soon(run)
        await until(lambda: len(rig.said(OutcomeAbandoned)) > 1)
        rig.do("alter table trioworker.job_completed drop constraint never")
        await until(lambda: rig.counts()["completed"] == 1)
        stop.ask()
    assert len(rig.said(OutcomeResumed)) >= len(rig.said(OutcomeAbandoned)) > 1
    assert rig.statuses() == {"failure": 1}


async def test_backend_killed_just_before_commit(rig: Rig) -> None:
    """The backend dies in the commit: nothing was stored, everything is stored by the retry."""
    rig.do(
        """
        create sequence deaths;
        create function die_once() returns trigger language plpgsql as $$
        begin
            if nextval('deaths') <= 1 then perform pg_terminate_backend(pg_backend_pid()); end if;
            return null;
        end $$;
        create constraint trigger die after insert on trioworker.job_completed
            deferrable initially deferred for each row execute function die_once()
        """
    )
    ids = await rig.enqueue(100)
    await rig.work()
    failures = rig.said(CommitFailed)
    assert failures[0].failure == "connection lost"
    assert rig.statuses() == {"success": 100}
    assert rig.runner.executions == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("mode", [Mode.AGENT_BATCH, Mode.WORKER])
async def test_reply_lost_just_after_commit(
    database_url: str, short_folder: Path, mode: Mode
) -> None:
    """COMMIT took effect and its reply never came: the retry finds its own rows; nothing twice."""
    async with (
        line_cutter(database_url, short_folder) as (url, cutter),
        open_rig(url) as rig,
    ):
        rig.url = database_url
        ids = await rig.enqueue(100)

        async def body(_job: Job) -> Outcome:
            if not cutter.cuts and len(rig.said(BatchStored)) >= 1:
                cutter.cut_next_reply("commit")
            return Succeeded(b"1")

        runner = CountingRunner(body)
        await rig.work(runner=runner, mode=mode, pull=20, commit=20)
        assert cutter.cuts == 1
        (failure,) = rig.said(CommitFailed)
        assert (failure.failure, failure.ambiguous) == ("connection lost", True)
        assert rig.statuses() == {"success": 100}
        assert runner.executions == dict.fromkeys(ids, 1)
        assert all(event.lost == [] for event in rig.said(BatchStored))


async def test_deadlocked_commit_is_tried_again(rig: Rig) -> None:
    """A transient failure costs one retry of the same batch, not a fallback."""
    rig.do(
        """
        create sequence tries;
        create function fail_once() returns trigger language plpgsql as $$
        begin
            if nextval('tries') <= 1 then
                raise exception 'deadlock detected' using errcode = '40P01';
            end if;
            return new;
        end $$;
        create trigger fail before insert on trioworker.job_completed
            for each row execute function fail_once()
        """
    )
    await rig.enqueue(50)
    await rig.work()
    (failure,) = rig.said(CommitFailed)
    assert (failure.failure, failure.step, failure.ambiguous) == ("contention", "again", False)
    assert rig.statuses() == {"success": 50}


async def test_bad_weather_is_never_taken_for_a_bad_result(rig: Rig) -> None:
    """Two deadlocks and one error that nobody knows are no three errors that nobody knows."""
    rig.do(
        """
        create sequence tries;
        create function fail_thrice() returns trigger language plpgsql as $$
        begin
            case nextval('tries')
                when 1, 2 then raise exception 'deadlock' using errcode = '40P01';
                when 3 then raise exception 'who knows' using errcode = 'XX000';
                else return new;
            end case;
        end $$;
        create trigger fail before insert on trioworker.job_completed
            for each row execute function fail_thrice()
        """
    )
    await rig.enqueue(1)
    await rig.work(mode=Mode.WORKER)
    failures = [failure.failure for failure in rig.said(CommitFailed)]
    assert failures == ["contention", "contention", "unknown"]
    assert rig.statuses() == {"success": 1}


async def test_what_is_said_of_a_commit_names_its_jobs(rig: Rig) -> None:
    """Whoever reads the log of a bad night finds the jobs that shared a failed transaction."""
    rig.do(
        """
        create function refuse() returns trigger language plpgsql as $$
        begin
            raise check_violation;
        end $$;
        create trigger refuse before insert on trioworker.job_completed
            for each row when (new.status = 'success') execute function refuse()
        """
    )
    ids = await rig.enqueue(3)
    await rig.work(pull=3, commit=3)
    whole, *alone = [failure.jobs for failure in rig.said(CommitFailed)]
    assert sorted(whole) == sorted(ids)
    assert alone == [event.jobs for event in rig.said(BatchStored)] == [[job] for job in whole]


async def test_an_error_with_every_awkward_character_is_kept(rig: Rig) -> None:
    """A job's own error never becomes the reason that its outcome is refused."""

    async def body(_job: Job) -> Outcome:
        return Failed(JobError("Odd\x00", "\ud800 \x00 " + "x" * 100_000))

    await rig.enqueue(1)
    await rig.work(runner=CountingRunner(body))
    assert rig.said(CommitFailed) == []
    (error,) = rig.errors()
    assert error["name"] == "Odd\ufffd"
    assert len(error["message"]) < 10_000
