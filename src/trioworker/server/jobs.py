"""The jobs API: a thin skin around `Client`.

Rule of this file: it decides nothing about jobs. What is asked for is handed to the client, and
what the client raises becomes a status in `errors.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from trioworker.client import CHUNK_ARGS_BYTES_MAX, Client
from trioworker.model.job import NewJob
from trioworker.model.state import JobState
from trioworker.server import shapes
from trioworker.server.app import answer, patiently, stopping_of
from trioworker.server.errors import BadRequest, HttpError
from trioworker.server.events import EVENT_STREAM, EventStream, tell_job
from trioworker.server.operations import Asked, Operation

Run: TypeAlias = Callable[[Asked], Awaitable[object]]
CREATED_BY: Final = "http"


class JobsApi:
    """The operations on jobs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def operations(self) -> Sequence[Operation]:
        """All of them."""
        return (*self._of_many(), *self._of_one())

    def _of_many(self) -> Sequence[Operation]:
        return (
            Operation(
                method="POST",
                path="/api/jobs",
                summary="Enqueue a job",
                run=self._enqueue,
                body=shapes.NewJobRequest,
                reply=shapes.Enqueued,
                statuses={201: "it is stored", 200: "it was there before, or is kept out"},
                errors=(409,),
            ),
            Operation(
                method="POST",
                path="/api/jobs/batch",
                summary="Enqueue many jobs in one transaction",
                run=self._enqueue_many,
                body=shapes.NewJobsRequest,
                reply=shapes.EnqueuedJobs,
                statuses={200: "all are stored, or were there before"},
                errors=(409,),
            ),
            Operation(
                method="GET",
                path="/api/jobs",
                summary="The newest jobs that fit",
                run=self._list,
                query=shapes.JobsQuery,
                reply=shapes.Jobs,
            ),
        )

    def _of_one(self) -> Sequence[Operation]:
        one = "/api/jobs/{id}"
        return (
            _get(one, "Where a job stands", self._show, JobState),
            _get(f"{one}/attempts", "Its attempts that failed", self._attempts, shapes.Attempts),
            _get(f"{one}/logs", "What it has written so far", self._logs, shapes.Logs),
            _get(f"{one}/children", "The jobs below it", self._children, shapes.Children),
            _get(f"{one}/steps", "Its steps that are stored", self._steps, shapes.Steps),
            Operation(
                method="GET",
                path=f"{one}/result",
                summary="What came of it, once it has ended",
                run=self._result,
                query=shapes.ResultQuery,
                reply=shapes.Result,
                statuses={200: "it has ended", 202: "it has not ended"},
                errors=(404,),
            ),
            Operation(
                method="GET",
                path=f"{one}/events",
                summary="What it writes, as it comes, and its end",
                run=self._events,
                reply=shapes.JobEvent,
                media=EVENT_STREAM,
                errors=(404,),
            ),
            Operation(
                method="POST",
                path=f"{one}/cancel",
                summary="Cancel it and those that have it as a parent",
                run=self._cancel,
                body=shapes.CancelRequest,
                may_be_empty=True,
                reply=shapes.Canceled,
                statuses={200: "it is canceled", 202: "it runs, and is asked to stop"},
                errors=(404, 409),
            ),
            Operation(
                method="POST",
                path=f"{one}/retry",
                summary="Run it once more after it failed or was canceled",
                run=self._retry,
                reply=shapes.Retried,
                statuses={200: "it is ready"},
                errors=(404, 409),
            ),
        )

    async def _enqueue(self, asked: Asked) -> Response:
        (stored,) = await self._stored([asked.body])
        return answer(stored, 201 if stored.new else 200)

    async def _enqueue_many(self, asked: Asked) -> object:
        return shapes.EnqueuedJobs(jobs=await self._stored(asked.body.jobs))

    async def _stored(self, wanted: Sequence[shapes.NewJobRequest]) -> Sequence[shapes.Enqueued]:
        if sum(len(bytes(one.args)) for one in wanted) > CHUNK_ARGS_BYTES_MAX:
            raise HttpError(
                f"the arguments are too large; at most {CHUNK_ARGS_BYTES_MAX} bytes in one request",
                status=413,
            )
        from_now = any(one.delay_s is not None or one.deadline_s for one in wanted)
        now = await self._client.now() if from_now else None
        jobs = [await self._client.make(**made, now=now) for made in map(_made, wanted)]
        ids = await self._client.enqueue_many(jobs)
        return _in_order(jobs, set(ids), ids.first)

    async def _list(self, asked: Asked) -> object:
        # `?state=null` is a state that there is none of, and must not list everything.
        said = msgspec.structs.asdict(asked.query).items()
        found = await self._client.jobs(**{name: v for name, v in said if v is not UNSET})
        # Jobs move on while they are looked up: a short page need not be the last one.
        return shapes.Jobs(jobs=found, next=found[-1].id if found else None)

    async def _show(self, asked: Asked) -> object:
        return await self._client.job(asked.id)

    async def _attempts(self, asked: Asked) -> object:
        return shapes.Attempts(attempts=await self._client.attempts(asked.id))

    async def _children(self, asked: Asked) -> object:
        await self._client.job(asked.id)  # what does not exist is told with a status
        return shapes.Children(children=await self._client.children(asked.id, shapes.LIMIT_MAX))

    async def _steps(self, asked: Asked) -> object:
        await self._client.job(asked.id)
        return shapes.Steps(steps=await self._client.steps(asked.id))

    async def _logs(self, asked: Asked) -> object:
        return shapes.Logs(logs=await self._client.logs(asked.id))

    async def _result(self, asked: Asked) -> Response:
        job = asked.id
        state = await self._client.job(job)
        if not state.ended and asked.query.wait_s > 0:
            seconds = asked.query.wait_s
            ended = await patiently(asked.request, seconds, lambda: self._client.wait(job))
            state = ended or await self._client.job(job)
        return answer(shapes.result_of(state), 200 if state.ended else 202)

    async def _events(self, asked: Asked) -> Response:
        job = asked.id
        await self._client.job(job)  # what does not exist is told with a status
        return EventStream(partial(tell_job, self._client, job), stopping_of(asked.request))

    async def _cancel(self, asked: Asked) -> Response:
        job = asked.id
        found = await self._client.cancel([job], asked.body.reason)
        concerned = [*found.ended, *found.asked]
        if job not in concerned:
            before = await self._client.job(job)
            raise HttpError(f"job {job} has ended before, as {before.state}", status=409)
        ended = job in found.ended
        state: shapes.CancelState = "canceled" if ended else "asked"
        done = shapes.Canceled(state=state, jobs=concerned, more=found.more)
        return answer(done, 200 if ended else 202)

    async def _retry(self, asked: Asked) -> object:
        job = asked.id
        found = await self._client.retry([job])
        if job in found.ready:
            return shapes.Retried(id=job)
        if (first := found.kept_out.get(job)) is not None:
            raise HttpError(f"its unique key is held by job {first}", status=409)
        state = await self._client.job(job)
        raise HttpError(
            f"job {job} is {state.state}; what failed or was canceled is retried", status=409
        )


def _get(path: str, summary: str, run: Run, reply: type) -> Operation:
    return Operation(
        method="GET",
        path=path,
        summary=summary,
        run=run,
        reply=reply,
        errors=(404,),
    )


def _made(wanted: shapes.NewJobRequest) -> dict[str, Any]:
    """The arguments that make a job of what is wanted. Raises a refusal."""
    args = bytes(wanted.args)
    if args.lstrip()[:1] not in {b"{", b"["}:
        raise BadRequest(
            f"job {wanted.path!r}: args is an object (by name) or an array (by position)"
        )
    if wanted.dedicated and wanted.kind != "script":
        raise BadRequest(f"job {wanted.path!r}: only a script can be dedicated")
    return {
        "path": wanted.path,
        "args": args,
        "kind": wanted.kind,
        "id": wanted.id,
        "parent": wanted.parent,
        "scheduled_for": wanted.scheduled_for,
        "delay_s": wanted.delay_s,
        "awaited": wanted.awaited,
        "dedicated": wanted.dedicated,
        "language": wanted.language,
        "created_by": CREATED_BY,
        **shapes.settings_of(wanted),
    }


def _in_order(
    jobs: Sequence[NewJob], new: set[UUID], first: Mapping[UUID, UUID]
) -> Sequence[shapes.Enqueued]:
    """What became of each; one that comes twice is new once."""
    found = []
    for job in jobs:
        found.append(shapes.Enqueued(id=first.get(job.id, job.id), new=job.id in new))
        new.discard(job.id)
    return found
