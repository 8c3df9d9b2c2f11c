"""Flows over HTTP: push, run and watch them, and decide about approvals.

Rule of this file: as in `jobs.py`, it decides nothing.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from trioworker.client import Client
from trioworker.model.flow_shown import Decided, FlowRunState, FlowVersion, Pushed
from trioworker.server import shapes, shapes_of_flows
from trioworker.server.app import answer
from trioworker.server.errors import BadRequest
from trioworker.server.operations import Asked, Operation


class FlowsApi:
    """The operations on flows."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def operations(self) -> Sequence[Operation]:
        """All of them."""
        return (*self._of_flows(), *self._of_runs())

    def _of_flows(self) -> Sequence[Operation]:
        one = "/api/flows/{name}"
        return (
            Operation(
                method="GET",
                path="/api/flows",
                summary="All flows, by path",
                run=self._list,
                query=shapes.LimitQuery,
                reply=shapes_of_flows.Flows,
            ),
            Operation(
                method="POST",
                path="/api/flows",
                summary="Store a flow as the next version of its path",
                run=self._push,
                body=shapes_of_flows.NewFlow,
                reply=Pushed,
                statuses={201: "it is a new version", 200: "it is equal to the newest version"},
            ),
            Operation(
                method="GET",
                path=one,
                summary="A flow as it was pushed",
                run=self._show,
                query=shapes_of_flows.FlowQuery,
                reply=FlowVersion,
                errors=(404,),
            ),
            Operation(
                method="POST",
                path=f"{one}/runs",
                summary="Run it",
                run=self._run,
                body=shapes_of_flows.NewRun,
                may_be_empty=True,
                reply=shapes.Enqueued,
                statuses={201: "it is stored", 200: "it was there before"},
                errors=(404, 409),
            ),
        )

    def _of_runs(self) -> Sequence[Operation]:
        return (
            Operation(
                method="GET",
                path="/api/flow_runs/{id}",
                summary="How far a run of a flow is, and what it waits for",
                run=self._watch,
                query=shapes_of_flows.RunQuery,
                reply=FlowRunState,
                errors=(404,),
            ),
            Operation(
                method="GET",
                path="/api/approvals",
                summary="Approvals that wait for people, oldest first",
                run=self._approvals,
                query=shapes.LimitQuery,
                reply=shapes_of_flows.Approvals,
            ),
            Operation(
                method="POST",
                path="/api/approvals/{id}",
                summary="Approve or disapprove",
                run=self._decide,
                body=shapes_of_flows.DecisionRequest,
                reply=Decided,
                statuses={200: "it is stored"},
                errors=(403, 404, 409),
            ),
        )

    async def _list(self, asked: Asked) -> object:
        return shapes_of_flows.Flows(flows=await self._client.flows(asked.query.limit))

    async def _push(self, asked: Asked) -> Response:
        body: shapes_of_flows.NewFlow = asked.body
        pushed = await self._client.push_flow(body.path, bytes(body.definition), by=body.by)
        return answer(pushed, 201 if pushed.new else 200)

    async def _show(self, asked: Asked) -> object:
        version = asked.query.version
        return await self._client.flow(asked.name, None if version is UNSET else version)

    async def _run(self, asked: Asked) -> Response:
        body: shapes_of_flows.NewRun = asked.body
        given = {"tag": body.tag, "priority": body.priority}
        settings: Any = {name: value for name, value in given.items() if value is not UNSET}
        job = await self._client.make_run(
            asked.name,
            _input(bytes(body.args)),
            id=body.id,
            parent=body.parent,
            scheduled_for=body.scheduled_for,
            delay_s=body.delay_s,
            awaited=body.awaited,
            **settings,
        )
        new = await self._client.enqueue_many([job])
        stored = shapes.Enqueued(id=new.first.get(job.id, job.id), new=bool(new))
        return answer(stored, 201 if stored.new else 200)

    async def _watch(self, asked: Asked) -> object:
        return await self._client.flow_run(asked.id, limit=asked.query.limit)

    async def _approvals(self, asked: Asked) -> object:
        found = await self._client.approvals(asked.query.limit)
        return shapes_of_flows.Approvals(approvals=found)

    async def _decide(self, asked: Asked) -> object:
        body: shapes_of_flows.DecisionRequest = asked.body
        decide = self._client.approve if body.approve else self._client.disapprove
        return await decide(asked.id, by=body.by, form=body.form, step=body.step)


def _input(args: bytes) -> dict[str, Any]:
    found = msgspec.json.decode(args)
    if not isinstance(found, dict):
        raise BadRequest("the input of a flow is an object: what it is given by name")
    return found
