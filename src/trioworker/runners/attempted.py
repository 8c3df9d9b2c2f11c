"""The children and the steps of one attempt: which jobs they are, and which of them are there.

Rule of this file: the id of a child is made of its parent's and of what is asked for, so that a
later attempt that asks the same finds the same child. Children that are asked for alike are told
apart by their order, or by a key.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import trio

from trioworker.app import App
from trioworker.children import Asked, How
from trioworker.errors import DuplicateJob, InvalidArguments, ReplayMismatch, StoreError, UsageError
from trioworker.ids import child_id
from trioworker.model.job import Job, NewJob
from trioworker.model.job_settings import JobSettings, resolve
from trioworker.model.options import DELAY_S_MAX, within
from trioworker.model.unique import refused
from trioworker.model.workflow import CHILDREN_AT_ONCE_MAX, ChildEnd, check_name
from trioworker.runners.workflow import Workflow

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Attempted:
    """A `Backend` for the function of `job`, one of those of `app`."""

    def __init__(self, app: App, job: Job, workflow: Workflow) -> None:
        self._app = app
        self._job = job
        self._workflow = workflow
        self._asked: Counter[tuple[str, str, bytes]] = Counter()
        self._loading = trio.Lock()
        self._results: Mapping[str, str] | None = None
        self._begun: set[str] = set()

    async def enqueue(self, asked: Sequence[Asked]) -> Sequence[UUID]:
        """See `Backend`."""
        # Numbered before anything is awaited, in the order in which the function asks.
        made = [self._made(one) for one in asked]
        now = await self._workflow.now() if any(map(self._needs_clock, asked)) else None
        jobs = [
            self._job_of(one, id_, args, now) for one, (id_, args) in zip(asked, made, strict=True)
        ]
        first: dict[UUID, UUID] = {}
        for start in range(0, len(jobs), CHILDREN_AT_ONCE_MAX):
            first |= await self._enqueued(jobs[start : start + CHILDREN_AT_ONCE_MAX])
        return [first.get(job.id, job.id) for job in jobs]

    async def ends(self, ids: Sequence[UUID], *, all_of_them: bool) -> Mapping[UUID, ChildEnd]:
        """See `Backend`."""
        return await self._workflow.ends(ids, all_of_them=all_of_them)

    async def begin_step(self, name: str) -> str | None:
        """See `Backend`."""
        check_name("name of the step", name)
        if name in self._begun:
            raise UsageError(
                f"two steps of a job cannot both be called {name!r}; give each a name of its own,"
                f" as f'{name} {{n}}' in a loop"
            )
        self._begun.add(name)
        async with self._loading:
            if self._results is None:
                try:
                    self._results = await self._workflow.steps()
                except StoreError as error:
                    self.leave_step(name)
                    raise UsageError(f"the steps of the job could not be read: {error}") from error
        return self._results.get(name)

    async def end_step(self, name: str, result: str) -> None:
        """See `Backend`."""
        try:
            await self._workflow.store_step(name, result)
        except StoreError as error:
            self.leave_step(name)
            raise UsageError(f"the result of step {name!r} could not be stored: {error}") from error

    def leave_step(self, name: str) -> None:
        """See `Backend`."""
        self._begun.discard(name)

    async def _enqueued(self, jobs: Sequence[NewJob]) -> Mapping[UUID, UUID]:
        """Store them; of those that are kept out by other jobs, which these are."""
        try:
            placed = await self._workflow.enqueue(jobs)
        except StoreError as error:
            raise UsageError(f"a child could not be enqueued: {error}") from error
        for job in jobs:
            if job.id in placed.strange:
                raise ReplayMismatch(
                    f"child {job.id} of an earlier attempt is another than the {job.path!r} that is"
                    " asked for under its key now; keep what decides about it in a step"
                )
        for id_, holder, key in refused(jobs, placed.first):
            raise DuplicateJob(id_, first=holder, key=key)
        return placed.first

    def _made(self, asked: Asked) -> tuple[UUID, bytes]:
        """The id of the child, and its arguments."""
        args = self._args(asked)
        kind, key = asked.how.kind, asked.how.key
        if key is not None:
            check_name("key of the child", key)
            return child_id(self._job.id, "key", key), args
        like = (kind, asked.path, args)
        self._asked[like] += 1
        return child_id(
            self._job.id, "call", kind, asked.path, args.decode(), self._asked[like]
        ), args

    def _args(self, asked: Asked) -> bytes:
        """The arguments as JSON, the same for the same. Raises `InvalidArguments`."""
        path, args, kwargs = asked.path, list(asked.args), dict(asked.kwargs)
        function = self._app.jobs.get(path) if asked.how.kind == "function" else None
        if function is not None and args:
            by_name: dict[str, Any] = msgspec.json.decode(
                function.signature.by_name(_encoded(path, args))
            )
            if twice := sorted(by_name.keys() & kwargs.keys()):
                raise InvalidArguments(f"job {path!r}: the argument {twice[0]!r} is given twice")
            args, kwargs = [], by_name | kwargs
        if args and kwargs:
            raise InvalidArguments(
                f"job {path!r}: this app does not know the names of its arguments; give all of them"
                " by name, or all by position"
            )
        return _encoded(path, args or kwargs)

    def _needs_clock(self, asked: Asked) -> bool:
        settings = self._settings(asked)
        return asked.how.delay_s is not None or settings.get("deadline_s") is not None

    def _settings(self, asked: Asked) -> JobSettings:
        how = asked.how
        if how.kind != "function":
            return self._app.settings_of(asked.path, how.kind) | how.settings
        if asked.path in self._app.jobs:
            return self._app.settings_of(asked.path) | how.settings
        if how.settings.get("tag") is None:
            raise UsageError(
                f"{self._app.unknown(asked.path)}; for one that other workers have, say its tag:"
                " ctx.using(tag=…)"
            )
        return self._app.settings | how.settings

    def _job_of(self, asked: Asked, id_: UUID, args: bytes, now: datetime | None) -> NewJob:
        settings = self._settings(asked)
        if asked.how.kind == "function" and asked.path in self._app.jobs:
            self._app.validate(asked.path, args)
        resolved = resolve(settings, path=asked.path, args=args, handler=self._app.handler, now=now)
        return NewJob(
            id=id_,
            kind=asked.how.kind,
            path=asked.path,
            args=args,
            tag=resolved.tag,
            priority=resolved.priority,
            scheduled_for=_due(asked.how, now),
            options=msgspec.structs.replace(
                resolved.options, dedicated=asked.how.dedicated, language=asked.how.language
            ),
            awaited=True,
            parent=self._job.id,
        )


def _encoded(path: str, args: object) -> bytes:
    try:
        return _encode(args)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArguments(f"job {path!r}: the arguments cannot be JSON: {error}") from error


def _due(how: How, now: datetime | None) -> datetime | None:
    if how.delay_s is None:
        if how.scheduled_for is not None and how.scheduled_for.tzinfo is None:
            raise UsageError(f"the time {how.scheduled_for} has no time zone; give it one")
        return how.scheduled_for
    if how.scheduled_for is not None:
        raise UsageError("a job is due at a time or after a delay; give one of the two")
    within("the delay", how.delay_s, 0.0, DELAY_S_MAX)
    assert now is not None
    return now + timedelta(seconds=how.delay_s)
