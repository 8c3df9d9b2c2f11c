"""`PostgresFlows`: what people do with flows, their runs and their approvals.

Rule of this file: like `jobs.py` it knows which statements make a transaction, and nothing of
connections or retries. Every method raises `StoreError`; how a flow goes on is not its affair.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from trioworker.errors import Contention
from trioworker.model.flow import flow_of
from trioworker.model.flow_advance import Missing, early_result
from trioworker.model.flow_approval import Approval
from trioworker.model.flow_decision import Decision
from trioworker.model.flow_shown import (
    ApprovalState,
    DecisionShown,
    FlowListed,
    FlowVersion,
    Pushed,
)
from trioworker.model.flow_state import decode
from trioworker.model.options import options_of
from trioworker.store.postgres.approvals import decide
from trioworker.store.postgres.database import Database, Row, Transaction
from trioworker.store.postgres.flows import results_of

PUSHES_MAX: Final = 100
"""So often a push is done again because somebody else was quicker."""

FAMILY_MAX: Final = 10_000
"""Among so many unfinished jobs below one another an approval is looked for."""

_decode: Final = msgspec.json.Decoder().decode


class PostgresFlows:
    """Flows over one lane of a database."""

    def __init__(self, database: Database, lane: str) -> None:
        self._database = database
        self._lane = lane

    async def push(self, path: str, definition: bytes, *, by: str) -> Pushed:
        """Store the definition, encoded JSON, as the flow's next version.

        One that is equal to the newest version makes none.
        """
        for _ in range(PUSHES_MAX):
            rows = await self._database.run(self._lane, "push_flow", path, definition.decode(), by)
            if rows:
                version, new = rows[0]
                return Pushed(path=path, version=version, new=new)
        raise Contention(f"others push the flow {path!r} all the time; try again")

    async def newest(self, limit: int) -> Sequence[FlowListed]:
        """Up to `limit` flows, by path."""
        rows = await self._database.run(self._lane, "list_flows", limit)
        return [
            FlowListed(**dict(zip(FlowListed.__struct_fields__, row, strict=True))) for row in rows
        ]

    async def read(self, path: str, version: int | None) -> FlowVersion | None:
        """That version of the flow, the newest one for None; None when there is none."""
        rows = await self._database.run(self._lane, "read_flow", path, version)
        for number, definition, created_at, created_by in rows:
            return FlowVersion(
                path=path, version=number, definition=_decode(definition), created_at=created_at,
                created_by=created_by,
            )  # fmt: skip
        return None

    async def version_of(self, job: UUID) -> int | None:
        """Which version of its flow a job runs that is under way; None when it is not."""
        rows = await self._database.run(self._lane, "flow_version", job)
        return rows[0][0] if rows else None

    async def early_result(self, job: UUID) -> bytes | None:
        """What a flow under way `returns`, encoded JSON, if the step that it is of has ended."""

        async def body(tx: Transaction) -> bytes | None:
            rows = await tx.run("read_flows", [job])
            if not rows or rows[0][-1] is None:
                return None
            flow, state = flow_of(rows[0][-1]), decode(rows[0][4])
            try:
                return early_result(flow, state, {})
            except Missing as asked:
                return early_result(flow, state, await results_of(tx, asked.jobs))

        return await self._database.transact(self._lane, body)

    async def steps(self, job: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
        """The newest `limit` steps of the flow, oldest first: the job of each, and its place."""
        rows = await self._database.run(self._lane, "flow_steps", job, limit)
        return [(id_, at) for id_, at in reversed(rows)]

    async def approvals(self, limit: int) -> Sequence[ApprovalState]:
        """The first `limit` approvals that wait, those first whose time is over first."""

        async def body(tx: Transaction) -> Sequence[ApprovalState]:
            ids = [row[0] for row in await tx.run("list_approvals", limit)]
            found = {one.id: one for one in _approvals(await tx.run("approval_states", ids))}
            return [found[id_] for id_ in ids if id_ in found]

        return await self._database.transact(self._lane, body)

    async def approvals_of(self, job: UUID) -> Sequence[ApprovalState]:
        """Those that the job is, or that hold it up: its steps', or those of flows nested in it."""

        async def body(tx: Transaction) -> Sequence[Row]:
            family = await tx.run("family", [job], FAMILY_MAX)
            return await tx.run("approval_states", [row[0] for row in family])

        return _approvals(await self._database.transact(self._lane, body))

    async def decide(self, job: UUID, decision: Decision) -> bool:
        """Store what somebody says of the approval `job`; whether it has ended with it.

        Raises `UsageError` when there is nothing to decide, or this one may not decide it so.
        """
        return await self._database.transact(self._lane, lambda tx: decide(tx, job, decision))


def _approvals(rows: Sequence[Row]) -> Sequence[ApprovalState]:
    """One for each job; a row is of one decision about it, or of none."""
    found: dict[UUID, tuple[Row, list[DecisionShown]]] = {}
    for row in rows:
        _, decisions = found.setdefault(row[0], (row, []))
        by, approved, form, decided_at = row[6:]
        if by is not None:
            decisions.append(
                DecisionShown(by=by, approved=approved, form=_decode(form), decided_at=decided_at)
            )
    return [_approval(row, decisions) for row, decisions in found.values()]


def _approval(row: Row, decisions: Sequence[DecisionShown]) -> ApprovalState:
    id_, flow, path, stored, since, until = row[:6]
    options = options_of(stored)[0]
    approval = options.approval or Approval()
    return ApprovalState(
        id=id_,
        flow=flow,
        root=options.step.root if options.step else None,
        path=path or "",
        at=options.step.at if options.step else "",
        message=approval.message,
        approvers=approval.approvers,
        needed=approval.needed,
        form=approval.form,
        since=since,
        until=until,
        decisions=decisions,
    )
