"""What follows from an end: whom it tells, what they are told, and whether the job comes again."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import msgspec
import pytest

from tests.model.jobs import claimed_job
from trioworker.errors import UsageError
from trioworker.model.follow_ups import (
    FACT_BYTES_MAX,
    Ended,
    EndedJob,
    Origin,
    ended,
    follow_ups,
    restarts,
)
from trioworker.model.job import ARGS_BYTES_MAX, UNCLAIMED, Job, NewJob
from trioworker.model.options import Debounce, Handler, JobOptions, Unique
from trioworker.model.outcome import (
    ERROR_MESSAGE_CHARS_MAX,
    Cancelled,
    Executed,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
    Succeeded,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOOM = JobError("Boom", "it broke")
ALL = JobOptions(
    on_error=Handler("tell", "urgent", 5), on_success=Handler("cheer"), on_recovery=Handler("relax")
)
OUTCOMES = (
    Succeeded(b'"done"'),
    Failed(BOOM),
    Retried(BOOM, 1.0),
    Snoozed(1.0),
    Cancelled("no"),
    Skipped("no need"),
    Interrupted(),
)


def job(options: JobOptions = ALL, **said: object) -> Job:
    """A job in a worker's hands."""
    return msgspec.structs.replace(claimed_job(1), options=options, **said)


def name_of(job: UUID, attempt: int, why: str) -> UUID:
    """An id that can be read."""
    return UUID(int=int.from_bytes(f"{job.int} {attempt} {why}".encode()))


def after(
    *ends: tuple[Job, Outcome],
    failures: dict[str, int] | None = None,
    origins: dict[UUID, Origin] | None = None,
    age_s: float = 60.0,
) -> list[NewJob]:
    """The jobs that follow when these end in one batch, all having begun `age_s` seconds ago."""
    batch = [Executed(one, outcome, 100.0 - age_s, age_s) for one, outcome in ends]
    return list(
        follow_ups(
            ended(batch, now_s=100.0),
            now=NOW,
            failures=failures or {},
            origins=origins or {},
            id_of=name_of,
        )
    )


def told(*ends: tuple[Job, Outcome], failures: dict[str, int] | None = None) -> list[str]:
    """Who is told of these ends."""
    return [call.path for call in after(*ends, failures=failures)]


def fact(call: NewJob) -> EndedJob:
    """What the handler gets as its argument."""
    (one,) = msgspec.json.decode(call.args, type=list[EndedJob])
    return one


@pytest.mark.parametrize(("attempt", "outcome"), [*product((1, 2), OUTCOMES)], ids=str)
def test_each_end_tells_those_whom_it_concerns(attempt: int, outcome: Outcome) -> None:
    """A failure the one, a success the other, after failures a third; no other end anybody."""
    expected = {
        (1, Succeeded): ["cheer"],
        (2, Succeeded): ["cheer", "relax"],
        (1, Failed): ["tell"],
        (2, Failed): ["tell"],
    }
    assert told((job(attempt=attempt), outcome)) == expected.get((attempt, type(outcome)), [])


def test_an_attempt_that_was_lost_with_its_worker_is_no_failure() -> None:
    """Nobody was told of it, so there is nothing to recover from."""
    assert told((job(attempt=2, reaped=1), Succeeded(b"1"))) == ["cheer"]


def test_a_schedule_recovers_with_the_success_after_its_last_failure() -> None:
    """Each end of the batch counts for those after it."""
    options = msgspec.structs.replace(ALL, schedule="s")
    good, bad = (job(options), Succeeded(b"1")), (job(options), Failed(BOOM))
    assert told(good) == ["cheer"]
    assert told(good, failures={"s": 2}) == ["cheer", "relax"]
    assert told(good, good, failures={"s": 2}) == ["cheer", "relax", "cheer"]
    assert told(bad, good, good) == ["tell", "cheer", "relax", "cheer"]
    other = (job(msgspec.structs.replace(options, schedule="t")), Succeeded(b"1"))
    assert told(bad, other) == ["tell", "cheer"]


@pytest.mark.parametrize("options", [{"muted": True}, {"handles": "error"}], ids=str)
@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_muted_jobs_and_handlers_tell_nobody(options: dict[str, object], outcome: Outcome) -> None:
    """So no handler is ever the reason for another."""
    silent = msgspec.structs.replace(ALL, **options)
    assert told((job(silent, attempt=2), outcome)) == []


def test_a_handler_knows_how_the_job_ended() -> None:
    """The facts are its one argument; it is a function job with the handler's tag and priority."""
    options = msgspec.structs.replace(ALL, schedule="s", tick=NOW - timedelta(hours=1))
    (call,) = after((job(options, args='{"a": 1}', attempt=3), Failed(BOOM)))
    assert (call.kind, call.path, call.tag, call.priority) == ("function", "tell", "urgent", 5)
    assert call.id == name_of(UUID(int=1), 3, "error")
    assert (call.options, call.parent, call.scheduled_for) == (
        JobOptions(handles="error"),
        None,
        None,
    )
    assert fact(call) == EndedJob(
        id=UUID(int=1),
        kind="function",
        path="f",
        tag="a",
        status="failure",
        attempt=3,
        completed_at=NOW,
        started_at=NOW - timedelta(seconds=60),
        args={"a": 1},
        error=BOOM,
        schedule="s",
        tick=NOW - timedelta(hours=1),
    )


def test_a_success_brings_its_result() -> None:
    """Decoded, as the arguments are."""
    (call,) = after((job(), Succeeded(b'{"rows": [1, 2]}')))
    assert (fact(call).status, fact(call).result) == ("success", {"rows": [1, 2]})
    assert fact(call).error is None


def test_nobody_knows_when_a_job_began_whose_worker_was_lost() -> None:
    """Its start is left open."""
    (call,) = after((job(claim=UNCLAIMED), Failed(BOOM)), age_s=0.0)
    assert fact(call).started_at is None


def test_what_is_too_large_is_left_out_by_name() -> None:
    """A handler costs little, whatever its job has eaten."""
    large = b'"' + b"x" * FACT_BYTES_MAX + b'"'
    (call,) = after((job(args=large.decode()), Succeeded(large)))
    assert (fact(call).args, fact(call).result) == (None, None)
    assert fact(call).left_out == ("args", "result")
    (call,) = after((job(), Failed(JobError("Boom", "y" * 1_000_000))))
    assert len(call.args) < 2 * ERROR_MESSAGE_CHARS_MAX


def test_what_postgresql_cannot_store_is_not_in_the_facts() -> None:
    """An error's own words never keep its job from ending."""
    (call,) = after((job(), Failed(JobError("Boom", "a\x00b\ud800"))))
    error = fact(call).error
    assert error is not None
    assert "\x00" not in error.message
    assert error.message.encode().decode() == error.message


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_a_job_that_restarts_comes_again_after_any_end_but_a_cancellation(outcome: Outcome) -> None:
    """As it was, with a new id, below the same job; nobody waits for it."""
    options = JobOptions(restart=True, labels=("a",), timeout_s=5)
    one = job(options, args='{"a": 1}', priority=3, awaited=True, attempt=4)
    origin = Origin(UUID(int=7), "somebody")
    found = after((one, outcome), origins={one.id: origin})
    if not isinstance(outcome, Succeeded | Failed | Skipped):
        assert found == []
        return
    assert found == [
        NewJob(
            id=name_of(one.id, 4, "restart"),
            kind="function",
            path="f",
            args=b'{"a":1}',
            tag="a",
            priority=3,
            options=options,
            created_by="somebody",
            parent=UUID(int=7),
        )
    ]


@pytest.mark.parametrize(("age_s", "due_s"), [(0.0, 10.0), (4.0, 6.0), (10.0, None), (60.0, None)])
def test_a_job_begins_again_at_most_every_ten_seconds(age_s: float, due_s: float | None) -> None:
    """One that fails at once does not keep a worker busy with nothing else."""
    (again,) = after((job(JobOptions(restart=True)), Failed(BOOM)), age_s=age_s)
    assert again.scheduled_for == (None if due_s is None else NOW + timedelta(seconds=due_s))


def test_a_job_that_was_given_up_rests_before_it_comes_again() -> None:
    """Nobody knows when it began."""
    lost = job(JobOptions(restart=True), claim=UNCLAIMED)
    (again,) = after((lost, Failed(BOOM)), age_s=0.0)
    assert again.scheduled_for == NOW + timedelta(seconds=10)


def test_arguments_that_postgresql_has_made_longer_are_no_obstacle() -> None:
    """It shows JSON with spaces; what is too long without them is not run again."""
    spaces = f"[1{' ' * ARGS_BYTES_MAX}]"
    restarting = JobOptions(restart=True)
    (again,) = after((job(restarting, args=spaces), Failed(BOOM)))
    assert again.args == b"[1]"
    long = '"' + "x" * ARGS_BYTES_MAX + '"'
    assert after((job(restarting, args=long), Failed(BOOM))) == []


def test_handlers_and_restart_of_one_end_have_ids_of_their_own() -> None:
    """Several may follow from one end, and another attempt leads to others."""
    options = msgspec.structs.replace(ALL, restart=True)
    ends = [(job(options, attempt=n), Succeeded(b"1")) for n in (2, 3)]
    ids = [one.id for one in after(*ends)]
    assert len(ids) == len(set(ids)) == 6


def test_only_restarts_are_asked_for_their_origin() -> None:
    """A batch without any costs no statement for it."""
    batch = [
        Ended(job(), Succeeded(b"1"), 1.0),
        Ended(job(JobOptions(restart=True)), Succeeded(b"1"), 1.0),
    ]
    assert restarts(batch[:1]) == []
    assert restarts(batch) == [UUID(int=1)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"restart": True, "deadline": NOW}, "deadline"),
        ({"restart": True, "schedule": "s"}, "schedule"),
        ({"restart": True, "debounce": Debounce(1.0)}, "debounced"),
        ({"restart": True, "unique": Unique(during="period", period_s=1.0)}, "for a period"),
        ({"labels": ["a\x00"]}, "NUL"),
        ({"labels": [""]}, "empty"),
        ({"labels": ["x" * 201]}, "201 bytes"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(said: dict[str, object], why: str) -> None:
    """In one line that says which part will not do."""
    with pytest.raises(UsageError, match=why):
        msgspec.structs.replace(JobOptions(), **said)


@pytest.mark.parametrize(
    "said", [("",), ("p" * 1001,), ("p\x00",), ("p", ""), ("p", "t", 5000)], ids=str
)
def test_a_handler_that_no_queue_could_take_is_refused(said: tuple[object, ...]) -> None:
    """Where it is said, not when the job has ended."""
    with pytest.raises(UsageError):
        Handler(*said)  # type: ignore[arg-type]  # that is the point
