"""Flows whose steps share a worker: handed over without a pull, in one folder, lost as a whole."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trio

from tests.server.agents import open_server
from tests.worker.harness import Rig, read_until, until
from tests.worker.sharing import (
    DEDICATED,
    SCRIPT,
    call,
    chain,
    push,
    results,
    run_one,
)
from trioworker.errors import ConnectionLost
from trioworker.events import BatchAdopted, BatchHanded, BatchPulled, StatementRun
from trioworker.model.batching import Mode
from trioworker.model.outcome import Executed
from trioworker.store.agent import AgentStore
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.store.protocol import Stored
from trioworker.worker.supervisor import Stop

BOTH = pytest.mark.parametrize("mode", [Mode.WORKER, Mode.AGENT_BATCH])
NAMES = ("a", "b", "c", "d", "e")
CHAINS = int(os.environ.get("CHAINS", "60"))
"""How many flows three workers share: `CHAINS=1000 make test ARGS="-n 0 …"` takes minutes."""
LOST = "the worker that ran all steps of this flow is lost"


async def drain(rig: Rig, folder: Path, mode: Mode, scripts_dir: Path = Path()) -> None:
    """Run a worker until nothing is left to do."""
    await run_one(rig.store(), folder, mode=mode, emit=rig.events.append, scripts_dir=scripts_dir)


def files(folder: Path) -> list[Path]:
    """The files that steps share now."""
    return [*folder.rglob("steps")]


def ends(rig: Rig, *flows: UUID) -> list[tuple[Any, ...]]:
    """How the flows have ended."""
    return rig.query(
        "select status, error ->> 'message' from trioworker.job_completed"
        " where id = any (%s) order by id",
        list(flows),
    )


@BOTH
async def test_all_steps_of_a_flow_are_on_one_worker(rig: Rig, tmp_path: Path, mode: Mode) -> None:
    """With three workers at once: each step sees the files before it, and only flows are pulled."""
    push(rig, "chain", chain(*NAMES))
    count = CHAINS
    flows = await rig.enqueue(count, kind="flow", path="chain")
    stop = Stop()
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(_work_apart, rig, tmp_path / str(number), mode, stop)
        done = count * (len(NAMES) + 1)
        await until(lambda: rig.counts()["completed"] == done, within_s=90 + count)
        stop.ask()
    for flow in flows:
        seen = results(rig, flow)
        assert [one["seen"] for one in seen] == [list(NAMES[: n + 1]) for n in range(len(NAMES))]
        assert len({one["tag"] for one in seen}) == 1
    pulled = [id_ for event in rig.said(BatchPulled) for id_ in event.jobs]
    assert sorted(pulled) == sorted(flows)
    handed = [event for event in rig.said(BatchHanded) if event.jobs]
    assert sum(len(event.jobs) for event in handed) == count * len(NAMES)
    if mode is Mode.WORKER:
        assert all(len(event.jobs) == 1 for event in handed)
    assert not rig.said(BatchAdopted)
    assert {*ends(rig, *flows)} == {("success", None)}
    assert files(tmp_path) == []


async def _work_apart(rig: Rig, folder: Path, mode: Mode, stop: Stop) -> None:
    """A worker on connections of its own."""
    async with open_database(rig.url, WORKER_LANES, emit=rig.events.append) as database:
        store = PostgresStore(database, now_s=trio.current_time)
        await run_one(store, folder, mode=mode, emit=rig.events.append, stop=stop)


@BOTH
async def test_every_way_to_run_a_step_shares_the_folder(
    rig: Rig, tmp_path: Path, mode: Mode
) -> None:
    """Functions of all sorts, a script of its own, a dedicated one, and what is nested."""
    (tmp_path / "s.py").write_text(SCRIPT)
    (tmp_path / "d.py").write_text(DEDICATED)
    push(rig, "inner", [call("inside")], same_worker=False)
    dedicated = {"id": "d", "type": "script", "path": "d.py", "args": {"name": "d"}}
    push(rig, "all", [
        call("a"), call("t", "threaded"), call("p", "elsewhere"),
        {"id": "s", "type": "script", "path": "s.py"}, {**dedicated, "dedicated": True},
        {"id": "n", "type": "flow", "path": "inner"}, call("z", "slow"),
    ])  # fmt: skip
    (flow,) = await rig.enqueue(1, kind="flow", path="all")
    (alone,) = await rig.enqueue(1, path="alone")
    await drain(rig, tmp_path / "shared", mode, scripts_dir=tmp_path)
    expected = ["a", "t", "p", "script", "d", "inside", "z"]
    assert rig.query("select status, result from trioworker.job_completed where id = %s", flow) == [
        ("success", expected)
    ]
    assert results(rig, flow)[4] == expected[:5]
    assert rig.query("select result from trioworker.job_completed where id = %s", alone) == [
        (False,)
    ]
    assert files(tmp_path) == []


@BOTH
async def test_loops_retries_and_sleeps_stay_with_their_worker(
    rig: Rig, tmp_path: Path, mode: Mode
) -> None:
    """What is not handed over is pulled under the worker's own tag."""
    each = {
        "id": "each", "type": "for_each", "items": [*range(30)], "parallel": True,
        "steps": [{"id": "one", "type": "function", "path": "step", "args": {"name": "one"}}],
    }  # fmt: skip
    retry = {"attempts": 2, "delay_s": 0}
    nap = {"id": "nap", "type": "sleep", "seconds": 0.05}
    push(rig, "all", [each, call("again", "flaky", retry=retry), nap, call("last", "slow")])
    (flow,) = await rig.enqueue(1, kind="flow", path="all")
    stop = Stop()
    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(_work_apart, rig, tmp_path / str(number), mode, stop)
        await until(lambda: ends(rig, flow))
        stop.ask()
    assert ends(rig, flow) == [("success", None)]
    assert results(rig, flow)[-1] == ["one"] * 30 + ["again", "again", "last"]
    if mode is Mode.WORKER:
        assert {len(event.jobs) for event in rig.said(BatchPulled)} == {1}
        assert {len(event.jobs) for event in rig.said(BatchHanded)} == {1}


class Unheard(PostgresStore):
    """Loses the answer to the first try of every commit, which has taken effect."""

    async def commit(self, worker: UUID, batch: Sequence[Executed], *, again: bool) -> Stored:
        """Commit, and say so only of further tries."""
        stored = await super().commit(worker, batch, again=again)
        if not again:
            raise ConnectionLost("the line went dead", ambiguous=True)
        return stored


@BOTH
async def test_what_was_handed_over_unheard_is_adopted(
    rig: Rig, tmp_path: Path, mode: Mode
) -> None:
    """No reply is heard, and no step is run twice."""
    push(rig, "chain", chain(*NAMES))
    flows = await rig.enqueue(5, kind="flow", path="chain")
    store = Unheard(rig.database, now_s=trio.current_time)
    await run_one(store, tmp_path, mode=mode, emit=rig.events.append)
    assert {*ends(rig, *flows)} == {("success", None)}
    for flow in flows:
        assert results(rig, flow)[-1]["seen"] == [*NAMES]
    assert rig.said(BatchAdopted)


@BOTH
async def test_agents_are_handed_their_steps_as_well(rig: Rig, tmp_path: Path, mode: Mode) -> None:
    """Over HTTP the next step comes with the reply to the outcome of the one before."""
    agent = Mode.AGENT_BATCH if mode is Mode.AGENT_BATCH else Mode.AGENT
    push(rig, "chain", [*chain(*NAMES), {"id": "nap", "type": "sleep", "seconds": 0.05},
                        call("f", "flaky", retry={"attempts": 2, "delay_s": 0})])  # fmt: skip
    flows = await rig.enqueue(20, kind="flow", path="chain")
    stop = Stop()
    async with (
        open_server(rig.url) as server,
        server.store(batches=agent.batches) as ann,
        server.store(batches=agent.batches) as bob,
        trio.open_nursery() as nursery,
    ):
        for number, store in enumerate((ann, bob)):
            nursery.start_soon(_run_agent, rig, store, tmp_path / str(number), agent, stop)
        await until(lambda: len(ends(rig, *flows)) == len(flows))
        stop.ask()
        statements = [e for e in server.events if isinstance(e, StatementRun)]
    assert {*ends(rig, *flows)} == {("success", None)}
    for flow in flows:
        assert results(rig, flow)[-1] == [*NAMES, "f", "f"]
    handed = sum(len(event.jobs) for event in rig.said(BatchHanded))
    assert handed >= len(flows) * len(NAMES)
    assert any(ran.name == "hand_over" for ran in statements)


async def _run_agent(rig: Rig, store: AgentStore, folder: Path, mode: Mode, stop: Stop) -> None:
    await run_one(store, folder, mode=mode, emit=rig.events.append, stop=stop)


@asynccontextmanager
async def process(rig: Rig, folder: Path, mode: Mode) -> AsyncIterator[trio.Process]:
    """A worker in a process of its own, once it has started."""
    worker = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.worker.sharing", rig.url, str(folder), mode, "3"],
        stdout=subprocess.PIPE,
    )
    try:
        await read_until(worker, "started")
        yield worker
    finally:
        worker.kill()
        with trio.CancelScope(shield=True):
            await worker.wait()


@BOTH
@pytest.mark.parametrize("way", ["kill", "terminate"])
async def test_flows_end_with_their_worker_or_begin_anew(
    rig: Rig, tmp_path: Path, mode: Mode, way: str
) -> None:
    """Kill -9 in the middle, or a stop: as each flow says; its folder is gone, and begun anew."""
    push(rig, "fails", chain(*NAMES, path="slow"))
    push(rig, "again", chain(*NAMES, path="slow"), on_worker_lost="restart")
    async with process(rig, tmp_path, mode) as first:
        fails = await rig.enqueue(5, kind="flow", path="fails")
        again = await rig.enqueue(5, kind="flow", path="again")
        flows = "select count(*) from trioworker.flow_state"
        await until(lambda: rig.query(flows)[0][0] == 10)
        await until(lambda: len(files(tmp_path)) >= 5)
        first.kill() if way == "kill" else first.terminate()
        with trio.fail_after(30):
            await first.wait()
        async with process(rig, tmp_path, mode):
            await until(lambda: len(ends(rig, *fails, *again)) == 10)
            assert {*ends(rig, *again)} == {("success", None)}
            assert {*ends(rig, *fails)} == {("failure", LOST)}
            for flow in again:
                assert results(rig, flow)[-1] == [*NAMES]
            assert rig.query("select from trioworker.flow_state") == []
            await until(lambda: files(tmp_path) == [])
