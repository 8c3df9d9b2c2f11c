"""`Client`: enqueue jobs and learn what became of them, from a program on Trio or on asyncio.

Rule of this file: it turns what a user says into jobs, checks it, and says what is wrong in words
a user can act on. What happens in the database is `store.postgres.jobs`'s.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from math import inf
from typing import Any, Final, Unpack
from uuid import UUID

import anyio
import msgspec

from trioworker.app import App
from trioworker.enqueuing import after, check_due, check_kind, check_zone, encoded_args
from trioworker.errors import (
    ConnectionLost,
    JobFailed,
    ServerUnavailable,
    UsageError,
    WaitTimeout,
)
from trioworker.events import discard
from trioworker.flowing import Flowing, RunSettings, read_flow
from trioworker.ids import new_id
from trioworker.looking import refusing
from trioworker.model.flow import Flow, check_input
from trioworker.model.job import Kind, NewJob
from trioworker.model.job_settings import JobSettings, resolve
from trioworker.model.options import Handler
from trioworker.model.outcome import JobError
from trioworker.model.state import (
    Cancellation,
    JobAttempt,
    JobLogText,
    JobState,
    NewIds,
    PlaceInLine,
    Requeued,
    State,
    TagCounts,
    WorkerState,
)
from trioworker.schedules import Schedules
from trioworker.scripts import Scripts
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.enqueue import Enqueued
from trioworker.store.postgres.flow_admin import PostgresFlows
from trioworker.store.postgres.jobs import CLIENT, PostgresJobs
from trioworker.store.postgres.migrate import check_schema
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.scripts import PostgresScripts
from trioworker.store.postgres.statements import DEFAULT_SCHEMA
from trioworker.store.postgres.waits import Waits

__all__ = [
    "Cancellation",
    "Client",
    "JobAttempt",
    "JobLogText",
    "JobState",
    "PlaceInLine",
    "Requeued",
    "TagCounts",
    "WorkerState",
    "open_client",
]

CHUNK_JOBS_MAX: Final = 5_000
CHUNK_ARGS_BYTES_MAX: Final = 16 * 1024 * 1024


class Client(Flowing):
    """What a program may ask of the queue; made by `open_client`.

    All methods raise `UsageError` when asked for what cannot be, and `StoreError` when the
    database does not do its part. Any number of tasks may use one client.
    """

    def __init__(
        self,
        jobs: PostgresJobs,
        waits: Waits,
        app: App | None,
        *,
        schedules: Schedules | None = None,
        flows: PostgresFlows | None = None,
        scripts: Scripts | None = None,
    ) -> None:
        super().__init__(jobs, waits, flows)
        self._schedules = schedules
        self._scripts = scripts
        self._app = app

    @property
    def schedules(self) -> Schedules:
        """What may be asked about schedules. Raises `UsageError` for a queue that has none."""
        if self._schedules is None:
            raise UsageError("a queue in memory has no schedules")
        return self._schedules

    @property
    def scripts(self) -> Scripts:
        """What may be asked about deployed scripts. Raises `UsageError` where there are none."""
        if self._scripts is None:
            raise UsageError("a queue in memory has no deployed scripts")
        return self._scripts

    async def enqueue(
        self,
        path: str,
        args: dict[str, Any] | list[Any] | None = None,
        *,
        kind: Kind = "function",
        scheduled_for: datetime | None = None,
        delay_s: float | None = None,
        dedicated: bool = False,
        language: str | None = None,
        awaited: bool = False,
        id: UUID | None = None,  # noqa: A002 - the word for it everywhere
        parent: UUID | None = None,
        **settings: Unpack[JobSettings],
    ) -> UUID:
        """Put one job in the queue; returns its id once it is stored.

        `path` names a function of the app, or a script. `args` are given by name or by position.
        The job is due at once, at `scheduled_for` (with a time zone), or `delay_s` seconds from
        now by the database's clock. `awaited` makes waiting for it quick. A job whose `id` exists
        already is left as it is, so this may be repeated. It is cancelled with its `parent`.
        `settings` are those of `JobSettings`; what they leave out is as the app says, None is none.
        Of a `unique` job that is kept out it is the first one's. Raises `InvalidArguments`.
        """
        job = await self.make(
            path,
            encoded_args(path, args),
            kind=kind,
            scheduled_for=scheduled_for,
            delay_s=delay_s,
            dedicated=dedicated,
            language=language,
            awaited=awaited,
            id=id,
            parent=parent,
            **settings,
        )
        return (await self._store([job])).first.get(job.id, job.id)

    async def make(
        self,
        path: str,
        args: bytes,
        *,
        kind: Kind = "function",
        scheduled_for: datetime | None = None,
        delay_s: float | None = None,
        dedicated: bool = False,
        language: str | None = None,
        awaited: bool = False,
        id: UUID | None = None,  # noqa: A002 - the word for it everywhere
        parent: UUID | None = None,
        created_by: str = "",
        now: datetime | None = None,
        **settings: Unpack[JobSettings],
    ) -> NewJob:
        """The job that `enqueue` would store, for `enqueue_many`. `args` is encoded JSON.

        `now` is the database's clock, for whoever makes many jobs; without it the database is asked
        where a delay or a deadline counts from it.
        """
        self._check(kind, path, args)
        settings = self._settings(path, kind) | settings
        check_due(scheduled_for, delay_s)
        if now is None and (delay_s is not None or settings.get("deadline_s") is not None):
            now = await self._jobs.now()
        handler = Handler if self._app is None else self._app.handler
        resolved = resolve(settings, path=path, args=args, handler=handler, now=now)
        return NewJob(
            id=id or new_id(),
            kind=kind,
            path=path,
            args=args,
            tag=resolved.tag,
            priority=resolved.priority,
            scheduled_for=scheduled_for if delay_s is None else after(now, delay_s),
            options=msgspec.structs.replace(
                resolved.options, dedicated=dedicated, language=language
            ),
            awaited=awaited,
            parent=parent,
            created_by=created_by,
        )

    async def run_flow(
        self,
        path: str | Flow,
        args: dict[str, Any] | None = None,
        *,
        flow: Flow | Mapping[str, Any] | None = None,
        **asked: Unpack[RunSettings],
    ) -> UUID:
        """Run a flow, with `args` as its input; returns the id of its job, as `enqueue` does.

        With `flow`, or one that was written in Python in the place of its path, that is pushed
        first. `asked` is what `enqueue` takes besides, of any job. Raises `UnknownFlow`, and
        `InvalidArguments` for input that the flow does not take.
        """
        if flow is not None or isinstance(path, Flow):
            path = (await self.push_flow(path, flow)).path
        job = await self.make_run(path, args, **asked)
        return (await self._store([job])).first.get(job.id, job.id)

    async def make_run(
        self, path: str, args: dict[str, Any] | None = None, **asked: Unpack[RunSettings]
    ) -> NewJob:
        """The job that `run_flow` would store, for `enqueue_many`."""
        flow = read_flow((await self.flow(path)).definition)
        encoded = encoded_args(path, args)
        check_input(flow, encoded)
        return await self.make(path, encoded, kind="flow", **asked)

    async def enqueue_many(self, jobs: Iterable[NewJob]) -> NewIds:
        """Put many jobs in the queue; returns the ids that are new, in the order given.

        Stored in transactions of at most `CHUNK_JOBS_MAX` jobs, and `jobs` is read as far as the
        next of them. When this raises, those before are stored: the same call may be repeated,
        for jobs whose id exists already are left as they are. Raises `DuplicateJob`.
        """
        new = NewIds()
        for chunk in _chunks(jobs):
            for job in chunk:
                check_zone(job.scheduled_for)
                self._check(job.kind, job.path, job.args)
            stored = await self._store(chunk)
            new += [job.id for job in chunk if job.id in stored.new]
            new.first.update(stored.first)
        return new

    async def wait(self, job: UUID, *, timeout_s: float | None = None) -> JobState:
        """Return the job's state once it has ended, which may be long ago.

        One that was enqueued `awaited` is seen to end at once, another within about a second.
        An outage of the database that begins meanwhile is waited out. Raises `UnknownJob`, and
        `WaitTimeout` when it has not ended after `timeout_s` seconds.
        """
        if timeout_s is not None and not timeout_s >= 0:
            raise UsageError(f"a wait of {timeout_s} s will not do; it must be 0 or more")
        with self._waits.watch(job) as news:
            state = await self.job(job)
            with anyio.move_on_after(timeout_s):
                while not state.ended:
                    await news.heard()
                    # Once there is a line again, `Waits` looks and tells it again.
                    with suppress(ConnectionLost, ServerUnavailable):
                        state = await self.job(job)
        if not state.ended:
            raise WaitTimeout(f"job {job} is {state.state} after {timeout_s} s of waiting")
        return state

    async def result(self, job: UUID, *, timeout_s: float | None = None) -> Any:  # noqa: ANN401 - JSON
        """Wait for the job and return its result, decoded.

        Raises `JobFailed` when it ended without one, and what `wait` raises.
        """
        state = await self.wait(job, timeout_s=timeout_s)
        if state.state == "success":
            return state.result
        error = state.error or JobError("Unknown", "no reason was stored")
        raise JobFailed(
            job,
            status=state.state,
            name=error.name,
            reason=error.message,
            traceback=error.traceback,
        )

    async def cancel(
        self, ids: Iterable[UUID], reason: str = "cancelled by a client"
    ) -> Cancellation:
        """Cancel jobs: unstarted ones end here and now, running ones are asked to stop.

        So are all jobs below them, those whose `parent` they are and theirs in turn.
        """
        with refusing(f"the reason {reason!r}"):
            return await self._jobs.cancel(ids, reason)

    async def retry(self, ids: Iterable[UUID]) -> Requeued:
        """Make jobs that failed or were canceled ready once more, as further attempts of theirs.

        In one transaction; how they ended so far stays among their `attempts`.
        """
        return await self._jobs.requeue(list(dict.fromkeys(ids)))

    async def retry_all(
        self,
        *,
        state: State = "failure",
        path: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
    ) -> AsyncIterator[Requeued]:
        """Do so with all jobs that fit, in transactions of at most 500.

        `state` is "failure" or "canceled", and `since` when they ended at the earliest. Those that
        fail again meanwhile are left alone.
        """
        if state not in ("failure", "canceled"):
            raise UsageError(f"jobs in the state {state!r} are not retried: failure or canceled")
        check_zone(since)
        with refusing(f"to look for the tag {tag!r} and the path {path!r}"):
            async for ids in self._jobs.dead_letters(state=state, path=path, tag=tag, since=since):
                yield await self._jobs.requeue(ids)

    def _check(self, kind: str, path: str, args: bytes) -> None:
        """Whether it can be enqueued, and the app has its function and takes its arguments."""
        check_kind(kind, path)
        if self._app is not None and kind == "function":
            self._app.validate(path, args)

    def _settings(self, path: str, kind: Kind) -> JobSettings:
        """What the app says about such a job."""
        return JobSettings() if self._app is None else self._app.settings_of(path, kind)

    async def now(self) -> datetime:
        """The database's clock, by which jobs are due."""
        return await self._jobs.now()

    async def _store(self, jobs: Sequence[NewJob]) -> Enqueued:
        what = f"the job {jobs[0].path!r}" if len(jobs) == 1 else f"one of {len(jobs)} jobs"
        with refusing(what):
            return await self._jobs.enqueue(jobs)


@asynccontextmanager
async def open_client(
    url: str,
    *,
    schema: str = DEFAULT_SCHEMA,
    app: App | None = None,
    pool_size: int = 4,
    command_timeout_s: float = 30.0,
) -> AsyncGenerator[Client, None]:
    """A client of the database at `url` (postgresql://…), for as long as the context lasts.

    Works on Trio and on asyncio. With an `app`, function jobs are checked against it before they
    are enqueued. At most `pool_size` connections are opened, and one more once somebody waits.
    A statement that has no answer after `command_timeout_s` seconds is given up.
    Raises `SettingsError` when the url or the schema's name will not do, `SchemaMismatch` when
    the database must be migrated first, `StoreError` when it cannot be reached.
    """
    if pool_size < 1:
        raise UsageError(f"a pool of {pool_size} connections will not do; at least 1")
    if not 0 < command_timeout_s < inf:
        raise UsageError(
            f"a command timeout of {command_timeout_s} s will not do; it must be above 0"
        )
    ended_by: Exception | None = None
    async with open_database(
        url,
        (Lane(CLIENT, pool_size),),
        schema=schema,
        command_timeout_s=command_timeout_s,
        emit=discard,
    ) as database:
        await check_schema(database, schema, lane=CLIENT)
        jobs = PostgresJobs(database)
        waits = Waits(database, jobs)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waits.run)
            try:
                schedules = Schedules(PostgresSchedules(database, CLIENT), app)
                scripts = Scripts(PostgresScripts(database, CLIENT))
                flows = PostgresFlows(database, CLIENT)
                yield Client(jobs, waits, app, schedules=schedules, flows=flows, scripts=scripts)
            except Exception as error:  # noqa: BLE001 - raised again below
                # Through the task group it would reach the caller inside an exception group.
                ended_by = error
            tasks.cancel_scope.cancel()
    if ended_by is not None:
        raise ended_by


def _chunks(jobs: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    """Cut into what one transaction stores; a job that comes twice in a chunk is in it once."""
    chunk: dict[UUID, NewJob] = {}
    size = 0
    for job in jobs:
        chunk.setdefault(job.id, job)
        size += len(job.args)
        if len(chunk) >= CHUNK_JOBS_MAX or size >= CHUNK_ARGS_BYTES_MAX:
            yield list(chunk.values())
            chunk, size = {}, 0
    if chunk:
        yield list(chunk.values())
