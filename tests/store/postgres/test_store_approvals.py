"""Approvals wait in the queue for people, or for their time to run out, and hold no worker."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
import trio

from tests.store.postgres.scene import Scene, executed, on_every_version
from tests.store.postgres.test_store_flows import begin, call, end, finish, push, run, steps
from trioworker.errors import UsageError
from trioworker.model.flow_decision import Decision
from trioworker.model.outcome import Succeeded
from trioworker.store.postgres.approvals import decide
from trioworker.store.postgres.jobs import CLIENT


async def say(
    scene: Scene,
    approval: UUID,
    by: str,
    form: Mapping[str, object] | None = None,
    *,
    yes: bool = True,
) -> bool:
    """What somebody decides; whether that was the last word."""
    decision = Decision(by, yes, form or {})
    return await scene.database.transact(CLIENT, lambda tx: decide(tx, approval, decision))


async def asked(scene: Scene, **approval: object) -> tuple[UUID, UUID, UUID]:
    """A flow that has come to its approval: the flow, the approval, and a worker."""
    await push(
        scene, "ask", {"id": "ok", "type": "approval", **approval},
        call("after", args=[{"expr": "results.ok.form"}]),
    )  # fmt: skip
    (flow,) = await run(scene, "ask")
    worker = await scene.worker()
    await begin(scene, worker)
    ((waiting, reason),) = scene.query("select id, reason from trioworker.waiting")
    assert reason == "approval"
    return flow, waiting, worker


def decisions(scene: Scene) -> list[tuple[Any, ...]]:
    """Who has said what."""
    return scene.query("select by, approved, form from trioworker.decision order by decided_at")


@on_every_version
async def test_the_flow_goes_on_with_the_last_approval_that_was_needed(scene: Scene) -> None:
    """In the transaction that stores it; what the forms told is there for the next step."""
    form: Mapping[str, object] = {"why": {"type": "string"}}
    flow, approval, worker = await asked(scene, needed=2, form=form)
    assert not await scene.pull(worker)
    assert not await say(scene, approval, "ann", {"why": "it is right"})
    assert await say(scene, approval, "bob")
    (after,) = await steps(scene, worker)
    assert after.args == '[{"why": "it is right"}]'
    await finish(scene, worker, [after])
    assert end(scene, flow)[0] == "success"


async def test_who_may_not_decide_changes_nothing(scene: Scene) -> None:
    """Not named, a second time, an unknown field, and about what is over."""
    _, approval, _ = await asked(scene, approvers=["ann", "bob"], needed=2)
    await say(scene, approval, "ann")
    refusals: Sequence[tuple[str, Mapping[str, object], str]] = (
        ("eve", {}, "'eve' may not decide about this approval; one of ann, bob may"),
        ("ann", {}, "'ann' has already decided about this approval"),
        ("bob", {"x": 1}, "the form has no field 'x'; this approval has none"),
    )
    for by, form, why in refusals:
        with pytest.raises(UsageError) as refusal:
            await say(scene, approval, by, form)
        assert str(refusal.value) == why
    assert decisions(scene) == [("ann", True, {})]
    await say(scene, approval, "bob")
    with pytest.raises(UsageError, match="is no approval that waits; nothing is left to decide"):
        await say(scene, approval, "bob")


async def test_a_disapproval_fails_the_flow(scene: Scene) -> None:
    """One is enough."""
    flow, approval, worker = await asked(scene, needed=2)
    assert await say(scene, approval, "ann", yes=False)
    assert end(scene, flow) == ("failure", None, "step ok: ann disapproved")
    assert not await scene.pull(worker)


async def test_time_runs_out(scene: Scene) -> None:
    """A sweep ends what nobody has approved in time; until then it is left alone."""
    flow, _, _ = await asked(scene, timeout_s=3600, needed=2)
    assert not await scene.store.sweep_flows()
    assert scene.places()["waiting"] == 1
    scene.do("update trioworker.waiting set until = now()")
    await scene.store.sweep_flows()
    status, _, message = end(scene, flow)
    assert status == "failure"
    assert message == "step ok: 0 of 2 approvals came within 3600 s"


async def test_an_approval_is_decided_once(scene: Scene) -> None:
    """Two say yes at the same moment, a sweep finds it out of time: one of them has ended it."""
    _, approval, worker = await asked(scene, timeout_s=3600)
    said: list[bool] = []

    async def try_to(by: str) -> None:
        try:
            said.append(await say(scene, approval, by))
        except UsageError:
            said.append(False)

    async with trio.open_nursery() as nursery:
        for by in ("ann", "bob", "cid"):
            nursery.start_soon(try_to, by)
    assert sorted(said) == [False, False, True]
    (after,) = await steps(scene, worker)
    await scene.store.commit(worker, [executed(after, Succeeded(b"1"))], again=False)
    assert scene.places() == {"completed": 3}
