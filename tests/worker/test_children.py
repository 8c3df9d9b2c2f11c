"""Functions that enqueue children and wait for them, on a real database."""

from collections.abc import Mapping
from typing import Final

import pytest
import trio

from tests.worker import parents
from tests.worker.harness import Rig, until
from tests.worker.parents import busy, error, events, result, runs, work
from trioworker.model.batching import Mode
from trioworker.worker import execute, workflow
from trioworker.worker.supervisor import Stop

BOTH = pytest.mark.parametrize("mode", [Mode.WORKER, Mode.AGENT_BATCH])


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is left of another test."""
    parents.reset()


FAMILIES: Final[Mapping[str, tuple[str, object]]] = {
    "sum_of_doubles": ('{"count": 10}', 90),
    "one_by_one": ('{"count": 3}', [0, 2, 4]),
    "side_by_side": ('{"count": 5}', {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8}),
    "deep": ('{"depth": 4}', 4),
    "in_thread": ('{"count": 3}', [100, 0, 2, 4, 100]),
    "on_asyncio": ('{"count": 3}', [100, 0, 2, 4]),
    "hopes": ("{}", ["ChildFailed", "int", "boom", "ValueError"]),
    "of_others": ("{}", ["a", "a"]),
}


@BOTH
async def test_one_slot_is_enough(rig: Rig, mode: Mode) -> None:
    """A parent that waits holds no slot, at whatever depth, and a drain does not end before it."""
    jobs = {
        path: (await rig.enqueue(1, path=path, args=args))[0]
        for path, (args, _) in FAMILIES.items()
    }
    await work(rig, mode=mode, concurrency=1)
    expected = {path: result for path, (_, result) in FAMILIES.items()}
    assert {path: result(rig, job) for path, job in jobs.items()} == expected


async def test_a_thousand_children_are_enqueued_at_once(rig: Rig) -> None:
    """One transaction for all of them, and their results in order."""
    (job,) = await rig.enqueue(1, path="sum_of_doubles", args='{"count": 1000}')
    await work(rig)
    assert result(rig, job) == 999 * 1000
    assert [run.rows for run in rig.statements("enqueue")] == [1, 1000]
    assert set(runs.values()) == {1}


@BOTH
async def test_no_more_run_than_there_are_slots(rig: Rig, mode: Mode) -> None:
    """A parent goes on only when it has a slot again."""
    await rig.enqueue(12, path="computes_between", args='{"rounds": 3}')
    await work(rig, mode=mode, concurrency=3)
    assert rig.statuses() == {"success": 12 * 4}
    assert busy.most == 3


@BOTH
async def test_what_several_ask_for_is_stored_together_where_batches_are_allowed(
    rig: Rig, mode: Mode
) -> None:
    """Outside agent-batch no statement enqueues for two parents, or stores two steps."""
    await rig.enqueue(30, path="one_by_one", args='{"count": 1}')
    await rig.enqueue(30, path="in_thread", args='{"count": 1}')
    await work(rig, mode=mode, concurrency=60)
    for name in ("hold_parents", "store_steps"):
        most = max(run.jobs for run in rig.statements(name))
        assert (most > 1) is (mode is Mode.AGENT_BATCH)


async def test_a_crowd_that_is_too_large_is_put_off(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many wait as may; the others come again, and a drain does not end without them."""
    monkeypatch.setattr(execute, "WAITING_MAX", 2)
    monkeypatch.setattr(workflow, "PUT_OFF_S", 0.05)
    args = [f'{{"count": {n}}}' for n in range(9)]
    jobs = [(await rig.enqueue(1, path="one_by_one", args=each))[0] for each in args]
    await work(rig, concurrency=1)
    assert [result(rig, job) for job in jobs] == [[2 * n for n in range(m)] for m in range(9)]


async def test_a_parent_on_its_last_chance_is_put_off(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is in hand nothing is pulled: waiting for its child would last for ever."""
    monkeypatch.setattr(workflow, "PUT_OFF_S", 0.05)
    (job,) = await rig.enqueue(1, path="one_by_one", args='{"count": 2}')
    rig.do("update trioworker.ready set reaped = 3")
    await work(rig)
    assert result(rig, job) == [0, 2]
    assert set(runs.values()) == {1}


async def test_a_parent_that_waits_is_given_back_when_its_worker_stops(rig: Rig) -> None:
    """At once, whatever the grace; the next worker finds its children and runs none again."""
    (job,) = await rig.enqueue(1, path="waits", args='{"name": "a"}')
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: work(rig, stop=stop, grace_s=0.0))
        await events["began a"].wait()
        stop.ask()
    assert rig.query("select attempt, reaped from trioworker.ready where id = %s", job) == [(1, 0)]
    events["a"].set()
    await work(rig)
    assert result(rig, job) == "a"
    assert runs == {"waits": 2, "held a": 2}


async def test_what_has_succeeded_is_not_run_again_in_a_later_try(rig: Rig) -> None:
    """A child that failed is, as a further attempt of its own."""
    options = '{"retry": {"attempts": 3, "delay_s": 0.0, "jitter": 0.0}}'
    (job,) = await rig.enqueue(1, path="tries_again", options=options)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: work(rig, stop=stop))
        await until(lambda: rig.counts()["completed"] == 3)
        stop.ask()
    assert result(rig, job) == [2, 2]
    assert runs == {"tries again": 2, "double 1": 1, "at second": 2}
    attempts = "select attempt from trioworker.job_completed order by attempt"
    assert rig.query(attempts) == [(1,), (2,), (2,)]


async def test_another_child_under_the_same_key_is_a_mistake(rig: Rig) -> None:
    """What decides about a child must not change from attempt to attempt."""
    options = '{"retry": {"attempts": 2, "delay_s": 0.0, "jitter": 0.0}}'
    (job,) = await rig.enqueue(1, path="changes_its_mind", options=options)
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: work(rig, stop=stop))
        await until(lambda: rig.counts()["completed"] == 2)
        stop.ask()
    assert error(rig, job) == ("failure", "ReplayMismatch")
    assert runs == {"changes its mind": 2, "double 1": 1}


async def test_who_can_have_no_children_is_told_so(rig: Rig) -> None:
    """Functions that take a chunk of jobs, or run in a process of their own."""
    jobs = [(await rig.enqueue(1, path=path))[0] for path in ("chunk", "in_process")]
    await work(rig)
    said = "UsageError: this job can neither enqueue children nor store steps"
    assert all(str(result(rig, job)).startswith(said) for job in jobs)
