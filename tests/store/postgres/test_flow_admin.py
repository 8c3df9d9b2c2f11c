"""What people see of flows and approvals is what is stored, and a push makes a version or none."""

from collections.abc import Sequence
from uuid import UUID

import pytest
import trio

from tests.store.postgres.scene import Scene, on_every_version
from trioworker.errors import UsageError
from trioworker.ids import new_id
from trioworker.model.flow_approval import Approval
from trioworker.model.flow_decision import Decision
from trioworker.model.job import Kind, NewJob
from trioworker.model.options import NO_OPTIONS, JobOptions, StepOf
from trioworker.store.postgres.flow_admin import PostgresFlows
from trioworker.store.postgres.jobs import CLIENT

ANN_OR_BOB = Approval(("ann", "bob"), needed=2, message="ship it?")


def flows(scene: Scene) -> PostgresFlows:
    """The flows of the scene."""
    return PostgresFlows(scene.database, CLIENT)


def under_way(scene: Scene, *ids: UUID, root: UUID | None = None) -> None:
    """Let these be flows that have begun."""
    for id_ in ids:
        scene.do(
            "insert into trioworker.flow_state (id, root, path, version, state, attempt, reaped)"
            " values (%s, %s, 'order', 2, '{}', 1, 0)",
            id_,
            root or id_,
        )


async def enqueued(
    scene: Scene, kind: Kind, *, flow: UUID | None = None, at: str = "", approval: bool = False
) -> UUID:
    """A job of the kind, a step of the flow if there is one."""
    options = NO_OPTIONS
    if flow is not None:
        step = StepOf(flow, flow, at)
        options = JobOptions(step=step, approval=ANN_OR_BOB if approval else None)
    job = NewJob(
        id=new_id(), kind=kind, path=f"order/{at}", args=b"{}", options=options, parent=flow
    )
    await scene.jobs.enqueue([job])
    return job.id


async def begun(scene: Scene) -> UUID:
    """A flow that has begun: nothing of it is in ready."""
    job = await enqueued(scene, "flow")
    scene.do("delete from trioworker.ready where id = %s", job)
    under_way(scene, job)
    return job


@on_every_version
async def test_a_push_makes_a_version_unless_nothing_changed(scene: Scene) -> None:
    """What is equal to the newest version makes none; what was one before makes one more."""
    pushed = [
        await flows(scene).push("order", definition, by="ann")
        for definition in (b'{"a": 1}', b'{"a":1}', b'{"a": 2}', b'{"a": 1}')
    ]
    assert [(one.version, one.new) for one in pushed] == [
        (1, True), (1, False), (2, True), (3, True)
    ]  # fmt: skip
    newest = await flows(scene).read("order", None)
    second = await flows(scene).read("order", 2)
    assert newest is not None
    assert second is not None
    assert (newest.version, newest.definition, newest.created_by) == (3, {"a": 1}, "ann")
    assert (second.version, second.definition) == (2, {"a": 2})
    assert await flows(scene).read("order", 4) is None
    assert await flows(scene).read("nothing", None) is None


async def test_many_push_at_once(scene: Scene) -> None:
    """Each different definition gets a version of its own; none is lost."""
    found: list[int] = []

    async def push(number: int) -> None:
        pushed = await flows(scene).push("order", b'{"n": %d}' % number, by="")
        found.append(pushed.version)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(push, number)
    assert sorted(found) == list(range(1, 9))


@on_every_version
async def test_flows_are_listed_by_path(scene: Scene) -> None:
    """With their newest version, how many there are, and the runs under way."""
    for path, definition in (("ship", b"{}"), ("order", b"{}"), ("order", b"[]")):
        await flows(scene).push(path, definition, by="ann")
    under_way(scene, new_id(), new_id())
    listed = await flows(scene).newest(9)
    shown = [(one.path, one.version, one.versions, one.created_by, one.runs) for one in listed]
    assert shown == [("order", 2, 2, "ann", 2), ("ship", 1, 1, "ann", 0)]
    assert [one.path for one in await flows(scene).newest(1)] == ["order"]


@on_every_version
async def test_the_steps_of_a_flow_are_its_own(scene: Scene) -> None:
    """Not what somebody enqueued with it as a parent; the newest are kept when there are many."""
    flow = await begun(scene)
    steps = [(await enqueued(scene, "noop", flow=flow, at=at), at) for at in ("a", "b[0]", "b[1]")]
    await scene.jobs.enqueue(
        [NewJob(id=new_id(), kind="noop", path="own", args=b"{}", parent=flow)]
    )
    assert await flows(scene).steps(flow, 9) == steps
    assert await flows(scene).steps(flow, 2) == steps[1:]
    assert await flows(scene).version_of(flow) == 2
    assert await flows(scene).version_of(steps[0][0]) is None


async def waits(scene: Scene, ids: Sequence[UUID]) -> list[tuple[str | None, UUID | None, object]]:
    """What each of the jobs waits for, of which flow it is a step, and where."""
    return [(one.waits_for, one.flow, one.step) for one in await scene.jobs.states(ids)]


@on_every_version
async def test_a_job_says_what_it_waits_for(scene: Scene) -> None:
    """A flow for its steps, an approval for people; an ended one for nothing."""
    flow = await begun(scene)
    step = await enqueued(scene, "noop", flow=flow, at="a")
    approval = await enqueued(scene, "approval", flow=flow, at="b", approval=True)
    assert await waits(scene, [flow, step, approval]) == [
        ("steps", None, None), (None, flow, "a"), ("approval", flow, "b")
    ]  # fmt: skip
    await scene.jobs.cancel([flow], "no")
    assert [one[0] for one in await waits(scene, [flow, step, approval])] == [None] * 3


@on_every_version
async def test_an_approval_is_shown_until_it_is_decided(scene: Scene) -> None:
    """With what it asks for and what has been said of it so far."""
    flow = await begun(scene)
    id_ = await enqueued(scene, "approval", flow=flow, at="b[2]", approval=True)
    await enqueued(scene, "noop", flow=flow, at="a")
    assert not await flows(scene).decide(id_, Decision("bob", approve=True))
    (approval,) = await flows(scene).approvals(9)
    assert (approval.id, approval.flow, approval.root, approval.at) == (id_, flow, flow, "b[2]")
    assert (approval.message, approval.approvers, approval.needed) == (
        "ship it?", ("ann", "bob"), 2
    )  # fmt: skip
    assert [(one.by, one.approved) for one in approval.decisions] == [("bob", True)]
    for about in (flow, id_):
        assert await flows(scene).approvals_of(about) == [approval]
    assert await flows(scene).approvals_of(new_id()) == []
    with pytest.raises(UsageError, match="has already decided"):
        await flows(scene).decide(id_, Decision("bob", approve=True))
    await scene.jobs.cancel([flow], "no")
    assert await flows(scene).approvals(9) == []


async def test_what_runs_out_first_is_shown_first(scene: Scene) -> None:
    """Approvals that wait for ever come last, and no more are shown than asked for."""
    jobs = [await enqueued(scene, "approval", flow=await begun(scene), at="b") for _ in range(3)]
    for job, seconds in zip(jobs[1:], (60, 30), strict=True):
        scene.do(
            "update trioworker.waiting set until = now() + %s * interval '1 second' where id = %s",
            seconds,
            job,
        )
    shown = [approval.id for approval in await flows(scene).approvals(9)]
    assert shown == [jobs[2], jobs[1], jobs[0]]
    assert len(await flows(scene).approvals(2)) == 2
