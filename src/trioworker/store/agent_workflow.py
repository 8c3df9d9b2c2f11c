"""`AgentWorkflow`: what functions ask of the store, from a worker that asks a server over HTTP."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from trioworker.errors import Refused
from trioworker.model.job import Job
from trioworker.model.workflow import ChildEnd, Children, Placed, Step
from trioworker.store import wire, wire_workflow

T = TypeVar("T")


class Ask(Protocol):
    """One request, and its reply."""

    async def __call__(self, path: str, asked: object, answer: type[T]) -> T:
        """Raises `StoreError`."""
        ...


class AgentWorkflow:
    """A `WorkflowStore` over the requests of an `AgentStore`."""

    def __init__(self, ask: Any) -> None:  # noqa: ANN401 - an `Ask`
        self._ask: Ask = ask
        self.worker: UUID | None = None

    async def now(self) -> datetime:
        """See `WorkflowStore.now`."""
        assert self.worker is not None
        return (await self._ask("now", wire.Mine(self.worker), wire_workflow.Now)).now

    async def enqueue(self, worker: UUID, children: Sequence[Children]) -> Placed:
        """See `WorkflowStore.enqueue`; what another's job keeps out is refused here."""
        asked = wire_workflow.Enqueue(worker, wire_workflow.families(children))
        placed = wire_workflow.placed(await self._ask("enqueue", asked, wire_workflow.Stood))
        if placed.first:
            child, first = next(iter(placed.first.items()))
            raise Refused(
                f"child {child} is kept out by job {first}, which is unique; an agent may wait for"
                " no job but its own children"
            )
        return placed

    async def ends(self, worker: UUID, ids: Sequence[UUID]) -> Mapping[UUID, ChildEnd]:
        """See `WorkflowStore.ends`."""
        asked = wire_workflow.Ends(worker, ids)
        return wire_workflow.ends(await self._ask("ends", asked, wire_workflow.AllEnded))

    async def own_children(self, worker: UUID, ids: Sequence[UUID]) -> Sequence[UUID]:
        """See `WorkflowStore.own_children`: the server's say, with each answer."""
        del worker
        return ids

    async def steps(self, worker: UUID, job: Job) -> Mapping[str, str]:
        """See `WorkflowStore.steps`."""
        asked = wire_workflow.Steps(worker, wire.Which.of(job))
        return (await self._ask("steps", asked, wire_workflow.AllSteps)).results

    async def store_steps(self, worker: UUID, steps: Sequence[Step]) -> AbstractSet[UUID]:
        """See `WorkflowStore.store_steps`."""
        asked = wire_workflow.StoreSteps(worker, wire_workflow.stepped(steps))
        return {*(await self._ask("store_steps", asked, wire.Lost)).lost}

    async def end_parents(self) -> bool:
        """See `WorkflowStore.end_parents`: the server's work."""
        return False
