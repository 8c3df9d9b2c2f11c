"""The public API as a user's type checker sees it. Never run: mypy and pyright read it.

A line that must not pass is marked with an ignore of its error; both checkers complain about an
ignore that nothing needs.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict, assert_type
from uuid import UUID

import trio

import trioworker
from trioworker import (
    App,
    Call,
    Cancel,
    Cancellation,
    Client,
    Debounce,
    DuplicateJob,
    Flavour,
    Flaw,
    InvalidArguments,
    JobAttempt,
    JobContext,
    JobError,
    JobFailed,
    JobFunction,
    JobLogText,
    JobOptions,
    JobState,
    Kind,
    NewIds,
    NewJob,
    PlaceInLine,
    Requeued,
    Retry,
    RetryPolicy,
    SchemaMismatch,
    SettingsError,
    Snooze,
    State,
    StoreError,
    TagCounts,
    TrioworkerError,
    Unique,
    UnknownJob,
    UsageError,
    WaitTimeout,
    WorkerState,
    new_id,
    open_client,
)
from trioworker.testing import FrozenClock, MemoryQueue, run_job

# ---- jobs -------------------------------------------------------------------------------------

app = App()


@app.job
async def greet(name: str, *, loud: bool = False) -> str:
    """An async job, with a bare decorator."""
    return name.upper() if loud else name


@app.job(name="shrink_image", flavour="process", tag="images", priority=5, timeout_s=60)
def shrink(file: str, by: int = 2) -> dict[str, int]:
    """A plain one, with everything that a decorator may say."""
    return {file: by}


def may_pass(error: BaseException) -> bool:
    """Which errors of a job are worth another attempt."""
    return not isinstance(error, ValueError)


@app.job(retry=RetryPolicy(attempts=5, delay_s=2, jitter=0.5, never=("KeyError",)))
async def patient(url: str) -> int:
    """One that is tried again as a policy says."""
    return len(url)


@app.job(retry=3, retry_if=may_pass)
async def choosy(url: str) -> int:
    """One that is tried three times at most, and decides about its own errors."""
    return len(url)


@app.job(retry=3, retry_if=len)  # type: ignore[arg-type]  # it takes no exception
async def confused() -> None:
    """One that decides about something else."""


@app.job(flavour="asyncio")
async def report(context: JobContext, to: list[str]) -> None:
    """One that knows about itself."""
    assert_type(context.id, UUID)
    assert_type(context.attempt, int)
    assert_type(context.tag, str)
    assert_type(context.log, Callable[[str], None])
    context.log(f"to {to}")


class Mail(TypedDict):
    """What the jobs of a chunk function take."""

    to: str


@app.job(chunk=100, linger_s=0.05, timeout_s=60)
async def send(calls: list[Mail]) -> list[str | Exception]:
    """One that takes many jobs at once."""
    return [mail["to"] for mail in calls]


@app.job(flavour="thread", chunk=10)
def send_and_tell(calls: list[Call[Mail]]) -> list[str]:
    """The same, with what each job knows about itself."""
    for call in calls:
        assert_type(call.args, Mail)
        assert_type((call.id, call.attempt, call.tag), tuple[UUID, int, str])
        call.log("sent")
    return [call.args["to"] for call in calls]


@app.job()
def verdicts(number: int) -> int:
    """One that ends otherwise than by returning."""
    if number == 1:
        raise Snooze(2.5)
    if number == 2:
        raise Retry("the other side is busy", delay_s=10)
    if number == 3:
        raise Cancel("nothing to do")
    return number


async def decorated_functions_stay_what_they_are() -> None:
    """A decorated function keeps its parameters and what it returns."""
    assert_type(await greet("you"), str)
    assert_type(await greet("you", loud=True), str)
    assert_type(await greet.function("you"), str)
    assert_type(await report(context_of_a_test(), ["you"]), None)
    assert_type(shrink("a.png", by=3), dict[str, int])
    assert_type(verdicts(1), int)
    assert_type(await send([{"to": "you"}]), list[str | Exception])
    await greet(1)  # type: ignore[arg-type]  # a number is no name
    await greet("you", loud="yes")  # type: ignore[arg-type]  # nor is a word a bool
    await greet("you", volume=11)  # type: ignore[call-arg]  # it has no such parameter
    shrink()  # type: ignore[call-arg]  # it needs a file
    verdicts(number="1")  # type: ignore[arg-type]  # text is no number


def context_of_a_test() -> JobContext:
    """What a user's own test hands to a job."""
    context = JobContext(id=new_id(), attempt=1, tag="default", log=print)
    context.commit_with("insert into t values ($1, $2, $3)", 1, [context.id], {"a": None})
    context.commit_with(1)  # type: ignore[arg-type]  # SQL is text
    return context


def a_job_is_described(job: JobFunction[[int], str]) -> None:
    """What a decorated function knows besides."""
    assert_type(job(1), str)
    assert_type(job.function, Callable[[int], str])
    assert_type(job.name, str)
    assert_type(job.flavour, Flavour)
    assert_type(job.tag, str)
    assert_type(job.priority, int)
    assert_type(job.timeout_s, float | None)
    assert_type(job.where, str)


def an_app_is_a_list_of_jobs() -> None:
    """What an app knows, and what it refuses."""
    assert_type(app.jobs, Mapping[str, JobFunction[..., Any]])
    app.validate("greet", '{"name": "you"}')
    app.validate("greet", b'["you"]')
    app.check()
    app.job(flavour="fiber")  # type: ignore[call-overload]  # there is no such flavour
    app.job(1)  # type: ignore[call-overload]  # a number cannot be called
    Retry("why")  # type: ignore[call-arg]  # when?
    Snooze()  # type: ignore[call-arg]  # for how long?


# ---- the client -------------------------------------------------------------------------------


async def a_client_is_opened(url: str) -> None:
    """For as long as a context lasts."""
    opened: AbstractAsyncContextManager[Client] = trioworker.open_client(url)
    async with opened as client:
        assert_type(client, Client)
    async with open_client(url) as client:
        assert_type(client, Client)
    async with open_client(url, schema="jobs", app=app, pool_size=2, command_timeout_s=5) as client:
        await everything_is_asked(client)


async def everything_is_asked(client: Client) -> None:
    """Each method, as briefly and as fully as it can be called."""
    job = await client.enqueue("greet")
    assert_type(job, UUID)
    assert_type(
        await client.enqueue(
            "greet.py", {"name": "you"}, kind="script", tag="fast", priority=1, delay_s=2,
            timeout_s=3, dedicated=True, language="python", awaited=True, id=new_id(),
        ),
        UUID,
    )  # fmt: skip
    await client.enqueue("greet", ["you"], scheduled_for=datetime.now(UTC))
    made = await client.make("greet", b"{}", priority=1, delay_s=2, now=await client.now())
    assert_type(made, NewJob)
    new = await client.enqueue_many([*new_jobs(), made])
    assert_type(new, NewIds)
    assert_type(new[0], UUID)
    assert_type(new.first, dict[UUID, UUID])
    await client.enqueue("greet", unique=Unique("k", "period", 60, on_conflict="raise"))
    await client.enqueue("greet", debounce=Debounce(5, "{name}", max_wait_s=60))
    Unique("k", during="ever")  # type: ignore[arg-type]  # one of three
    assert_type(await client.wait(job), JobState)
    assert_type(await client.wait(job, timeout_s=1), JobState)
    assert_type(await client.result(job, timeout_s=1), Any)
    assert_type(await client.job(job), JobState)
    assert_type(await client.jobs(), Sequence[JobState])
    await client.jobs(state="failure", tag="fast", path="greet", limit=10, before=job)
    assert_type(await client.logs(job), Sequence[JobLogText])
    async for log in client.follow_logs(job):
        assert_type(log, JobLogText)
    (attempt,) = await client.attempts(job)
    assert_type(attempt, JobAttempt)
    assert_type((attempt.error, attempt.started_at), tuple[JobError, datetime | None])
    assert_type(await client.place_in_line(job), PlaceInLine | None)
    assert_type(await client.workers(limit=10), Sequence[WorkerState])
    assert_type(await client.counts(), Sequence[TagCounts])
    assert_type(await client.flaws(mend=True), Sequence[Flaw])
    assert_type(await client.now(), datetime)
    cancellation = await client.cancel([job], "changed my mind")
    assert_type(cancellation, Cancellation)
    assert_type(cancellation.ended, Sequence[UUID])
    assert_type(cancellation.asked, Sequence[UUID])
    assert_type(cancellation.more, bool)
    assert_type((await client.retry([job])).kept_out, Mapping[UUID, UUID])
    async for part in client.retry_all(path="greet", state="canceled"):
        assert_type(part, Requeued)


async def what_makes_no_sense_is_seen_before_it_is_run(client: Client) -> None:
    """Words that are none of ours."""
    await client.enqueue("greet", kind="magic")  # type: ignore[arg-type]  # no such kind
    await client.enqueue("greet", "you")  # type: ignore[arg-type]  # text is no arguments
    await client.enqueue("greet", {}, "script")  # type: ignore[call-arg]  # by name only
    await client.jobs(state="done")  # type: ignore[arg-type]  # no such state
    await client.wait("0192")  # type: ignore[arg-type]  # text is no id
    await client.wait(new_id(), 5)  # type: ignore[call-arg]  # by name only
    NewJob(new_id(), "function", "greet", b"{}")  # type: ignore[call-arg]  # by name only


async def users_name_our_types(client: Client, kind: Kind, state: State) -> None:
    """Where their own functions take what ours do."""
    flavour: Flavour = "process"
    app.job(flavour=flavour)
    await client.enqueue("greet", kind=kind)
    await client.jobs(state=state)


def new_jobs() -> list[NewJob]:
    """Many at once, as briefly and as fully as they can be written."""
    return [
        NewJob(id=new_id(), kind="function", path="greet", args=b'{"name": "you"}'),
        NewJob(
            id=new_id(), kind="script", path="a.py", args=b"[]", tag="fast", priority=1,
            scheduled_for=datetime.now(UTC), awaited=True, created_by="me",
            options=JobOptions(timeout_s=5, dedicated=True, language="python"),
        ),
    ]  # fmt: skip


def a_job_is_looked_at(job: JobState, log: JobLogText, counts: TagCounts) -> None:
    """What there is to know."""
    assert_type(job.id, UUID)
    assert_type(job.args, Any)
    assert_type(job.result, Any)
    assert_type(job.error, JobError | None)
    assert_type(job.attempt, int | None)
    assert_type(job.worker, UUID | None)
    assert_type(job.created_at, datetime)
    assert_type(job.completed_at, datetime | None)
    assert_type(job.duration_ms, int | None)
    assert_type(job.ended, bool)
    if job.error is not None:
        assert_type(job.error.name, str)
        assert_type(job.error.message, str)
        assert_type(job.error.traceback, str | None)
    assert_type(job.state, State)
    assert_type((log.attempt, log.text), tuple[int, str])
    assert_type(counts.ready + counts.scheduled + counts.waiting + counts.running, int)
    job.state = "success"  # type: ignore[misc]  # it is what it is


def a_worker_is_looked_at(worker: WorkerState) -> None:
    """Who it is and what it does."""
    assert_type((worker.name, worker.host, worker.pid), tuple[str, str, int])
    assert_type((worker.tags, worker.ranks), tuple[Sequence[str], Sequence[int]])
    assert_type(worker.state, Literal["alive", "silent", "lost", "stopped"])
    assert_type(worker.claimed + worker.jobs_done + worker.jobs_failed + worker.jobs_running, int)


# ---- tests of users ---------------------------------------------------------------------------


async def a_queue_in_memory_is_a_client(queue: MemoryQueue) -> None:
    """And more: it tells what was enqueued, and runs it."""
    client: Client = queue
    await client.enqueue("greet", {"name": "you"})
    assert_type(queue.enqueued("greet", {"name": "you"}, tag="default", count=1), list[NewJob])
    assert_type(queue.new_jobs, Sequence[NewJob])
    assert_type(await queue.drain(raise_failures=False), Sequence[JobState])
    assert_type(await run_job(app, "greet", ["you"]), Any)
    queue.clock.advance(60)
    assert_type(queue.clock.now, datetime)
    MemoryQueue(app, clock=FrozenClock(datetime.now(UTC)))
    queue.enqueued("greet", name="you")  # type: ignore[call-arg]  # arguments are one argument


# ---- errors -----------------------------------------------------------------------------------


async def errors_are_told_apart(client: Client, job: UUID) -> str | None:
    """By whose move it is."""
    try:
        await client.result(job, timeout_s=5)
    except JobFailed as failed:
        assert_type(failed.job, UUID)
        assert_type((failed.status, failed.name, failed.reason), tuple[str, str, str])
        return assert_type(failed.traceback, str | None)
    except DuplicateJob as duplicate:
        return str(assert_type(duplicate.first, UUID))
    except (InvalidArguments, SettingsError, UnknownJob) as error:
        mistake: UsageError = error
        return str(mistake)
    except WaitTimeout as error:
        timeout: TimeoutError = error
        return str(timeout)
    except SchemaMismatch as error:
        store_error: StoreError = error
        return assert_type(store_error.sqlstate, str | None)
    except TrioworkerError as error:
        return str(error)
    return None


# ---- programs ---------------------------------------------------------------------------------


async def main(url: str) -> None:
    """The same on either library."""
    async with open_client(url) as client:
        await client.enqueue("greet", {"name": "you"})


def programs() -> None:
    """Both take it."""
    trio.run(main, "postgresql://…")
    asyncio.run(main("postgresql://…"))
