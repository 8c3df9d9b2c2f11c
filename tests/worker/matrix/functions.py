"""The functions of all sorts: each does what its sort does, and ends as its job says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import trio

from tests.worker.matrix.sorts import HEAR, NOTE, SORTS, Boom, Sort
from trioworker.app import App, Call, JobContext
from trioworker.model.follow_ups import EndedJob

How = Literal["at once", "return", "raise", "hang", "poison", "refused statement"]
"""How a job ends. Only "at once" does not wait for the gate."""


@dataclass
class Arguments:
    """What each job is told."""

    copy: int
    how: How


class Functions:
    """An app with a function for each sort; they begin when the `gate` is open."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.app = App()
        self.app.job(name=HEAR)(_hear)
        for sort in SORTS:
            self.app.job(name=sort.name, chunk=sort.chunk)(self._function(sort))
        self._begun: set[UUID] = set()

    def _function(self, sort: Sort) -> Callable[..., Any]:
        async def one(context: JobContext, copy: int, how: How) -> str:
            del copy
            return await self._run(sort, context, how)

        async def many(calls: list[Call[Arguments]]) -> list[str | Boom]:
            return [await self._caught(sort, call) for call in calls]

        return one if sort.chunk is None else many

    async def _caught(self, sort: Sort, call: Call[Arguments]) -> str | Boom:
        try:
            return await self._run(sort, call, call.args.how)
        except Boom as error:
            return error

    async def _run(self, sort: Sort, context: JobContext, how: How) -> str:
        # No checkpoint before the job has done its part, however short its time is.
        if how != "at once" and not self.gate.is_set():
            await self.gate.wait()
        sort.does(context)
        if sort.first is not None and context.id not in self._begun:
            self._begun.add(context.id)
            raise sort.first()
        match how:
            case "raise":
                raise Boom("it broke")
            case "hang":
                await trio.sleep_forever()
            case "poison":
                return "\x00"
            case "refused statement":
                context.commit_with(NOTE, None)
        return "done"


async def _hear(end: EndedJob) -> None:
    del end
