"""Running flows and approving as a type checker sees them; the rule of `api.py` holds here, too."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from collections.abc import Mapping, Sequence
from typing import Any, assert_type
from uuid import UUID

from trioworker import (
    ApprovalState,
    Client,
    Decided,
    FlowListed,
    FlowRunState,
    FlowVersion,
    MayNotDecide,
    NothingToDecide,
    Pushed,
    StepState,
    UnknownFlow,
)
from trioworker.flows import flow, noop

hello = flow("hello", [noop("a")])


async def flows(client: Client, definition: Mapping[str, Any]) -> None:
    """What a client says of them."""
    assert_type(await client.push_flow(hello), Pushed)
    await client.push_flow("hello", definition, by="me")
    await client.push_flow("hello", '{"steps": []}')
    await client.push_flow("hello", 3)  # type: ignore[arg-type]  # no definition
    assert_type(await client.flows(), Sequence[FlowListed])
    assert_type(await client.flow("hello", 2), FlowVersion)
    assert_type(await client.run_flow(hello, {"a": 1}, awaited=True, tag="t", delay_s=2), UUID)
    await client.run_flow("hello", flow=definition, priority=3)
    await client.run_flow("hello", [1])  # type: ignore[arg-type]  # input is by name
    await client.run_flow("hello", nonsense=1)  # type: ignore[call-arg]  # there is no such setting


async def approvals(client: Client, run: UUID) -> None:
    """What people may decide."""
    seen = await client.flow_run(run, limit=3)
    assert_type(seen, FlowRunState)
    assert_type(seen.steps, Sequence[StepState])
    assert_type(seen.job.waits_for, str | None)  # type: ignore[assert-type]  # one of a few words
    assert_type(await client.approvals(), Sequence[ApprovalState])
    try:
        assert_type(await client.approve(run, by="ann", form={"a": 1}, step="s"), Decided)
        await client.approve(run)  # type: ignore[call-arg]  # somebody has to say so
        assert_type((await client.disapprove(run, by="ann")).over, bool)
    except (MayNotDecide, NothingToDecide, UnknownFlow) as error:
        assert_type(error, MayNotDecide | NothingToDecide | UnknownFlow)
