"""Children and steps of functions on agents: what these may ask for while they run.

Rule of this file: an agent asks for the attempts in its own hands. It may look at their children
and at nobody else's jobs.
"""

from collections.abc import Mapping

from trioworker.errors import UsageError
from trioworker.model.workflow import CHILDREN_AT_ONCE_MAX, Step
from trioworker.server.claims import Claims
from trioworker.server.errors import BadRequest
from trioworker.server.hints import Hub
from trioworker.store import wire, wire_workflow
from trioworker.store.protocol import WorkflowStore


class AgentWorkflows:
    """The replies. What a worker has asked for in vain it hears of when it has come about."""

    def __init__(self, store: WorkflowStore, claims: Claims, hub: Hub) -> None:
        self._store = store
        self._claims = claims
        self._hub = hub

    async def now(self, _: object, __: wire.Mine) -> wire_workflow.Now:
        """By the database's clock."""
        return wire_workflow.Now(await self._store.now())

    async def enqueue(self, _: object, asked: wire_workflow.Enqueue) -> wire_workflow.Stood:
        """Children of jobs that the agent has claimed."""
        if sum(len(family.jobs) for family in asked.families) > CHILDREN_AT_ONCE_MAX:
            raise BadRequest(f"at most {CHILDREN_AT_ONCE_MAX:,} children go into one request")
        parents = await self._claims.find(asked.worker, [one.parent for one in asked.families])
        try:
            children = [
                wire_workflow.children(family, parent)
                for family, parent in zip(asked.families, parents, strict=True)
            ]
        except UsageError as error:
            raise BadRequest(str(error)) from None
        return wire_workflow.stood(await self._store.enqueue(asked.worker, children))

    async def ends(self, _: object, asked: wire_workflow.Ends) -> wire_workflow.AllEnded:
        """How its children have ended."""
        own = await self._store.own_children(asked.worker, asked.ids)
        ends = await self._store.ends(asked.worker, own)
        self._hub.expect(asked.worker, [id_ for id_ in own if id_ not in ends])
        return wire_workflow.all_ended(ends)

    async def steps(self, _: object, asked: wire_workflow.Steps) -> wire_workflow.AllSteps:
        """The results of a job's steps."""
        (job,) = await self._claims.find(asked.worker, [asked.job])
        results: Mapping[str, str] = {}
        if job.path:
            results = await self._store.steps(asked.worker, job)
        return wire_workflow.AllSteps(results)

    async def store_steps(self, _: object, asked: wire_workflow.StoreSteps) -> wire.Lost:
        """Results of steps."""
        jobs = await self._claims.find(asked.worker, [one.job for one in asked.steps])
        steps = [
            Step(job, one.name, one.result) for job, one in zip(jobs, asked.steps, strict=True)
        ]
        return wire.Lost(sorted(await self._store.store_steps(asked.worker, steps)))
