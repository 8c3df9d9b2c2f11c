"""Flows as a program pushes, runs and watches them, and lets people decide."""

from typing import Any
from uuid import UUID

import pytest

from tests.client.harness import Held, ask, happens, on_both, until, working
from trioworker import (
    App,
    Client,
    FlowRunState,
    InvalidArguments,
    JobFailed,
    MayNotDecide,
    NothingToDecide,
    UnknownFlow,
    UnknownJob,
    UsageError,
    new_id,
    open_client,
)
from trioworker.flows import flow, value
from trioworker.model.flow import flow_of
from trioworker.model.options import JobOptions
from trioworker.testing import MemoryQueue

GREET = {"type": "function", "id": "greet", "path": "greet"}
ASK = {
    "type": "approval", "id": "ask", "approvers": ["ann", "bob"], "message": "really?",
    "form": {"note": {"type": "string", "required": True}},
}  # fmt: skip
ORDER: dict[str, Any] = {
    "inputs": {"who": {"type": "string"}},
    "steps": [GREET, ASK, {**GREET, "id": "again", "args": {"name": {"expr": "input.who"}}}],
}
PACK = {
    "type": "for_each", "id": "each", "items": ["a", "b"], "parallel": True,
    "steps": [{**ASK, "id": "pack"}],
}  # fmt: skip


async def waits(client: Client, run: UUID, count: int = 1) -> FlowRunState:
    """The run, once so many of its steps wait for people."""

    async def asked() -> bool:
        return len((await client.flow_run(run)).approvals) == count

    await until(asked)
    return await client.flow_run(run)


@on_both
async def test_a_flow_is_pushed_run_watched_and_approved(database_url: str) -> None:
    """The whole of it: each step is seen where it stands, and the decision lets it go on."""
    async with open_client(database_url) as client:
        pushed = await client.push_flow("order", ORDER, by="me")
        with working(database_url, Held().app):
            run = await client.run_flow("order", {"who": "Eve"}, awaited=True)
            seen = await waits(client, run)
            decided = await client.approve(run, by="bob", form={"note": "go"})
            state = await client.wait(run)
            after = await client.flow_run(run)
    assert (pushed.path, pushed.version, pushed.new) == ("order", 1, True)
    assert (seen.job.state, seen.job.waits_for, seen.version) == ("waiting", "steps", 1)
    assert [(step.at, step.state, step.waits_for) for step in seen.steps] == [
        ("greet", "success", None), ("ask", "waiting", "approval")
    ]  # fmt: skip
    (approval,) = seen.approvals
    assert (approval.flow, approval.path, approval.at, approval.message) == (
        run, "order", "ask", "really?"
    )  # fmt: skip
    assert (decided.id, decided.at, decided.over) == (approval.id, "ask", True)
    assert (state.state, state.result) == ("success", "Hello, Eve!")
    assert [step.at for step in after.steps] == ["greet", "ask", "again"]
    assert (after.version, after.approvals, after.more) == (None, (), False)


@on_both
async def test_a_flow_is_pushed_in_any_form(database_url: str) -> None:
    """A `Flow`, JSON decoded or as text are the same; the second time nothing is new."""
    async with open_client(database_url) as client:
        found = [
            await client.push_flow("order", form)
            for form in (ORDER, flow_of(b'{"steps": [{"type": "noop", "id": "a"}]}'),
                         '{"steps": [{"id": "a", "type": "noop"}]}')
        ]  # fmt: skip
        newest, first = await client.flow("order"), await client.flow("order", 1)
        (listed,) = await client.flows()
    assert [(one.version, one.new) for one in found] == [(1, True), (2, True), (2, False)]
    assert newest.definition == {"steps": [{"type": "noop", "id": "a"}]}
    assert first.definition["steps"][1]["approvers"] == ["ann", "bob"]
    assert (listed.path, listed.version, listed.versions) == ("order", 2, 2)


@on_both
async def test_a_run_may_push_its_flow_first(database_url: str) -> None:
    """What is passed is what is run."""
    seven = {"steps": [{"type": "value", "id": "a", "value": 7}]}
    async with open_client(database_url) as client:
        with working(database_url, Held().app):
            run = await client.run_flow("seven", flow=seven, awaited=True)
            assert await client.result(run) == 7
        assert (await client.flow("seven")).version == 1


@on_both
async def test_a_flow_in_python_knows_its_path(database_url: str) -> None:
    """So it stands alone; a `Flow` without one does not."""
    seven = flow("numbers/seven", [value("a", 7)])
    nameless = flow_of(b'{"steps": [{"type": "noop", "id": "a"}]}')
    async with open_client(database_url) as client:
        with working(database_url, Held().app):
            assert await client.result(await client.run_flow(seven, awaited=True)) == 7
        assert (await client.push_flow(seven)).version == 1
        for path, pushed in ((nameless, None), (seven, seven), ("seven", None)):
            with pytest.raises(UsageError, match="path"):
                await client.push_flow(path, pushed)


@on_both
async def test_a_disapproval_fails_the_flow(database_url: str) -> None:
    """With who said so; the steps after it are never begun."""
    async with open_client(database_url) as client:
        with working(database_url, Held().app):
            run = await client.run_flow("order", {"who": "Eve"}, flow=ORDER, awaited=True)
            await waits(client, run)
            await client.disapprove(run, by="ann")
            with pytest.raises(JobFailed, match="ann disapproved"):
                await client.result(run)
        assert [step.at for step in (await client.flow_run(run)).steps] == ["greet", "ask"]


@on_both
async def test_an_approval_among_several_is_named(database_url: str) -> None:
    """By its place or its own id; its step alone is not enough when it is in a loop."""
    async with open_client(database_url) as client:
        await client.push_flow("pack", {"steps": [PACK]})
        with working(database_url, Held().app):
            run = await client.run_flow("pack", awaited=True)
            seen = await waits(client, run, 2)
            said = {"by": "ann", "form": {"note": "x"}}
            for step in (None, "pack"):
                with pytest.raises(UsageError, match=r"2 approvals wait in .*: pack\[\d\] \(job"):
                    await client.approve(run, step=step, **said)  # type: ignore[arg-type]  # as above
            with pytest.raises(UsageError, match="no approval waits at 'peck'"):
                await client.approve(run, step="peck", by="ann")
            other = next(one.id for one in seen.approvals if one.at == "pack[0]")
            first = await client.approve(run, step="pack[1]", **said)  # type: ignore[arg-type]  # as above
            second = await client.approve(other, **said)  # type: ignore[arg-type]  # as above
            state = await client.wait(run)
    assert (first.at, second.at) == ("pack[1]", "pack[0]")
    assert state.state == "success"


@on_both
async def test_a_decision_that_cannot_be_taken_changes_nothing(database_url: str) -> None:
    """By somebody else, without the form, twice, too late, about what is no approval."""
    async with open_client(database_url) as client:
        await client.push_flow("order", ORDER)
        with working(database_url, Held().app):
            run = await client.run_flow("order", {"who": "Eve"}, awaited=True)
            await waits(client, run)
            for mistake, by, form in (
                (MayNotDecide, "carl", {"note": "x"}),
                (UsageError, "ann", {}),
                (UsageError, "ann", {"note": 3}),
                (UsageError, "ann", {"note": "x", "more": 1}),
                (UsageError, "ann", {"note": object()}),
                (UsageError, "ann", {"note": "\x00"}),
                (UsageError, "ann\x00", {"note": "x"}),
                (UsageError, "", {"note": "x"}),
            ):
                with pytest.raises(mistake):
                    await client.approve(run, by=by, form=form)
            assert ask(database_url, "select * from trioworker.decision") == []
            await client.approve(run, by="ann", form={"note": "x"})
            await client.wait(run)
        with pytest.raises(NothingToDecide, match="which is success"):
            await client.approve(run, by="ann", form={"note": "x"})
        with pytest.raises(UnknownJob):
            await client.approve(new_id(), by="ann")


@on_both
async def test_two_approvals_are_by_two(database_url: str) -> None:
    """Whoever has approved may not do so again, and the flow waits for another."""
    both = {**ASK, "needed": 2, "form": {}}
    async with open_client(database_url) as client:
        await client.push_flow("both", {"steps": [both]})
        with working(database_url, Held().app):
            run = await client.run_flow("both", awaited=True)
            await waits(client, run)
            assert not (await client.approve(run, by="ann")).over
            with pytest.raises(NothingToDecide, match="has already decided"):
                await client.approve(run, by="ann")
            (approval,) = await client.approvals()
            assert [one.by for one in approval.decisions] == ["ann"]
            assert (await client.approve(run, by="bob")).over
            assert (await client.result(run))["by"] == ["ann", "bob"]


@on_both
async def test_a_run_that_cannot_be_is_refused(database_url: str) -> None:
    """An unknown flow, input that it does not take, what defines none: no job is stored."""
    async with open_client(database_url) as client:
        with pytest.raises(UnknownFlow, match="there is no flow 'order'"):
            await client.run_flow("order")
        with pytest.raises(UsageError, match=r"at \$.steps\[0\]"):
            await client.push_flow("order", {"steps": [{"type": "function", "id": "a"}]})
        with pytest.raises(UsageError, match="cannot be JSON"):
            await client.push_flow("order", {"steps": object()})
        with pytest.raises(UsageError, match="path"):
            await client.push_flow("", ORDER)
        with pytest.raises(UsageError, match="NUL character"):
            await client.push_flow("order\x00", ORDER)
        await client.push_flow("order", ORDER)
        with pytest.raises(InvalidArguments, match="'who' in the input"):
            await client.run_flow("order", {"who": 3})
        for version in (0, 2, 2**40):
            with pytest.raises(UnknownFlow, match=f"no version {version} of the flow 'order'"):
                await client.flow("order", version)
        with pytest.raises(UnknownFlow):
            await client.flow("or\x00der")
        assert await client.jobs() == []


@on_both
async def test_only_a_flow_can_be_watched_as_one(database_url: str) -> None:
    """And an approval is never enqueued by itself."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        with pytest.raises(UnknownJob, match="no run of a flow"):
            await client.flow_run(job)
        with pytest.raises(NothingToDecide, match="which is ready"):
            await client.approve(job, by="ann")
        with pytest.raises(UsageError, match="a step of a flow"):
            await client.enqueue("greet", kind="approval")
        with pytest.raises(UsageError, match="a step of a flow"):
            await client.schedules.add("s", "greet", kind="approval", every_s=60)


@on_both
async def test_the_newest_steps_are_shown(database_url: str) -> None:
    """No more than asked for, and it says that there are others."""
    held = Held()
    long = {"steps": [{"type": "noop", "id": f"s{n}"} for n in range(4)]
            + [{"type": "function", "id": "hold", "path": "hold"}]}  # fmt: skip
    async with open_client(database_url) as client:
        await client.push_flow("long", long)
        with working(database_url, held.app):
            run = await client.run_flow("long", awaited=True)
            await happens(held.begun)
            seen = await client.flow_run(run, limit=2)
            held.go.set()
            await client.wait(run)
    assert ([step.at for step in seen.steps], seen.more) == (["s3", "hold"], True)


async def test_a_queue_in_memory_has_no_flows() -> None:
    """It says so in one sentence."""
    with pytest.raises(UsageError, match="a queue in memory has no flows"):
        await MemoryQueue().push_flow("order", ORDER)


@on_both
async def test_what_bounds_attempts_is_said_of_steps(database_url: str) -> None:
    """A flow as a whole has none of it, and what an app says for all is not meant for its flows."""
    async with open_client(database_url, app=App(retry=3, timeout_s=5, labels=["all"])) as client:
        await client.push_flow("order", ORDER)
        for said in ({"retry": 3}, {"timeout_s": 5.0}, {"deadline_s": 60.0}):
            (name,) = said
            with pytest.raises(UsageError) as refusal:
                await client.run_flow("order", {"who": "Eve"}, **said)
            assert str(refusal.value) == f"a flow has no {name} of its own; say it of its steps"
        made = await client.make_run("order", {"who": "Eve"})
    assert made.options == JobOptions(labels=("all",))


@on_both
async def test_what_a_flow_returns_is_known_while_it_goes_on(database_url: str) -> None:
    """As soon as that step has ended; a flow that says nothing of it has no early result."""
    early = {"steps": [GREET, {**ASK, "form": {}}], "returns": "greet"}
    async with open_client(database_url) as client:
        await client.push_flow("early", early)
        await client.push_flow("late", {"steps": early["steps"]})
        with working(database_url, Held().app):
            for path, result in (("early", "Hello, world!"), ("late", None)):
                run = await client.run_flow(path, {})
                assert (await waits(client, run)).early_result == result
                await client.approve(run, by="ann")
                assert (await client.wait(run)).state == "success"
                assert (await client.flow_run(run)).early_result is None
