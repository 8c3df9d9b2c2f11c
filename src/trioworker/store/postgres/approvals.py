"""Approvals: jobs that wait for people, or for the time until which these may decide.

Rule of this file: whoever ends an approval holds the outermost flow first, as whoever ends a step
does, so that it is ended once and its flow goes on in the same transaction.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from trioworker.errors import NothingToDecide
from trioworker.model.completion import complete
from trioworker.model.flow_approval import Approval
from trioworker.model.flow_decision import Decision, decided, undecided
from trioworker.model.options import JobOptions, options_of
from trioworker.model.outcome import Failed, Succeeded
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.effects import store_ends
from trioworker.store.postgres.telling import tell_waiters

APPROVALS_PER_SWEEP_MAX: Final = 500

_encode = msgspec.json.Encoder().encode
_decode_form = msgspec.json.Decoder(dict[str, object]).decode


async def decide(tx: Transaction, job: UUID, decision: Decision) -> bool:
    """Store what somebody says of the approval `job`; whether it has ended with it.

    Raises `UsageError` when there is nothing to decide, or this one may not decide it so.
    """
    await tx.run("lock_flows_of", [job])
    rows = await tx.run("read_approval", job)
    if not rows:
        raise NothingToDecide(f"job {job} is no approval that waits; nothing is left to decide")
    approval = _approval(rows[0][0])
    if rows[0][1]:
        raise NothingToDecide(f"the time to decide about {job} has run out")
    so_far = [Decision(by, approved, _decode_form(form)) for _, _, by, approved, form in rows if by]
    outcome = decided(approval, so_far, decision)
    form = _encode(decision.form).decode()
    await tx.run("store_decision", job, decision.by, decision.approve, form)
    if outcome is not None:
        await _end(tx, {job: outcome})
    return outcome is not None


async def sweep_approvals(tx: Transaction) -> int:
    """End the approvals whose time has run out, some at a time; how many were looked at."""
    due = await tx.run("due_approvals", APPROVALS_PER_SWEEP_MAX)
    if not due:
        return 0
    await tx.run("lock_flows_of", [row[0] for row in due])
    await _end(tx, {id_: undecided(_approval(options), approved) for id_, options, approved in due})
    return len(due)


async def _end(tx: Transaction, outcomes: Mapping[UUID, Succeeded | Failed]) -> None:
    completions = [complete(outcome) for outcome in outcomes.values()]
    rows = await tx.run(
        "end_approvals",
        list(outcomes),
        [completion.status for completion in completions],
        [completion.result for completion in completions],
        [completion.error for completion in completions],
    )
    ended = {row[0]: outcomes[row[0]] for row in rows}
    await store_ends(tx, ended, left={})
    await tell_waiters(tx, [(row[0], row[1]) for row in rows])


def _approval(stored: str | None) -> Approval:
    """What is asked for; of what nobody can read any more, anyone's word."""
    options: JobOptions = options_of(stored)[0]
    return options.approval or Approval()
