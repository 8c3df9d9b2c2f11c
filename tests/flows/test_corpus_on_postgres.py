"""The flows of the corpus on a real PostgreSQL: the same in every mode, whatever goes wrong."""

import random
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.flows.corpus_cases import Case, cases
from tests.flows.functions import app
from tests.flows.played import Played
from tests.worker.harness import Rig, open_rig, until
from tests.worker.line_cutter import LineCutter, line_cutter
from trioworker.events import CommitFailed
from trioworker.ids import new_id
from trioworker.model.batching import BatchPolicy, Mode, sizes_for
from trioworker.model.tags import unranked
from trioworker.runners.registry import build_runners, open_runners
from trioworker.store.postgres.store import CONTROL
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

CASES: Final = cases()
MODES: Final = {
    "worker": (Mode.WORKER, BatchPolicy.FULL),
    "agent-batch": (Mode.AGENT_BATCH, BatchPolicy.FULL),
    "agent-batch simple": (Mode.AGENT_BATCH, BatchPolicy.SIMPLE),
}
ROUGH: Final = (
    "sequence", "for_each_nested", "for_each_parallel", "for_each_parallel_skip_failure",
    "branches_in_branches", "flow_in_flow_in_flow", "flow_in_flow_that_fails", "while",
    "failure_step", "order",
)  # fmt: skip
"""Cases whose ends do not depend on which attempt it is: a lost worker costs one."""
COPIES: Final = 5
LEASE_S: Final = 1.5
CUTS: Final = 10
KILLS: Final = 3
"""Of each of the workers; then it is left alone, so that all ends in bounded time."""
SEED: Final = 5
HOLDS: Final = """
select from trioworker.claim join trioworker.worker on worker.id = claim.worker
 where worker.pid = %s
"""


def config(mode: Mode, policy: BatchPolicy) -> WorkerConfig:
    """A worker that looks often, so that a test need not wait for long."""
    return WorkerConfig(
        name="test", host="here", pid=1, mode=mode, tags=unranked("default"),
        sizes=sizes_for(mode, pull=50, commit=50), concurrency=50, policy=policy, poll_s=0.05,
        sweep_s=0.2,
    )  # fmt: skip


async def run_a_worker(rig: Rig, mode: Mode, policy: BatchPolicy, stop: Stop) -> None:
    """One worker with the functions of the corpus, until it is stopped."""
    rng = random.Random(SEED)
    runners = build_runners(app, scripts_dir=Path(), rng=rng)
    async with open_runners(runners):
        await work(
            store=rig.store(), runners=runners, config=config(mode, policy),
            ports=Ports(new_id, rng), stop=stop, emit=rig.events.append,
        )  # fmt: skip


@asynccontextmanager
async def worker(rig: Rig, mode: Mode, policy: BatchPolicy) -> AsyncIterator[None]:
    """A worker for as long as the context lasts."""
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_a_worker, rig, mode, policy, stop)
        yield
        stop.ask()


@pytest.mark.parametrize("mode", MODES)
async def test_every_flow_comes_to_the_same_in_every_mode(
    empty_database_url: str, mode: str
) -> None:
    """All of the corpus at once, one worker: state, result or error, and which steps."""
    played = Played(empty_database_url, CASES)
    async with open_rig(empty_database_url) as rig:
        played.enqueue()
        async with worker(rig, *MODES[mode]):
            await played.decide_and_wait(rig.database, CONTROL, within_s=60)
    played.check()


def rough() -> Mapping[str, Case]:
    """The cases that are run while workers and lines are lost."""
    return {name: CASES[name] for name in ROUGH}


async def test_commits_whose_answer_is_lost_move_each_flow_once(
    empty_database_url: str, short_folder: Path
) -> None:
    """The line is cut again and again while a commit is under way, or when it has taken effect."""
    async with open_rig(empty_database_url):
        pass
    played = Played(empty_database_url, rough(), times=COPIES)
    played.enqueue()
    async with (
        line_cutter(empty_database_url, short_folder) as (url, cutter),
        open_rig(url) as rig,
        worker(rig, Mode.AGENT_BATCH, BatchPolicy.FULL),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(cut_now_and_then, cutter)
        await played.decide_and_wait(rig.database, CONTROL, within_s=90)
        nursery.cancel_scope.cancel()
        assert cutter.cuts == CUTS
        assert any(failure.ambiguous for failure in rig.said(CommitFailed))
    played.check()


async def test_workers_that_are_killed_lose_no_step_and_make_none_twice(
    empty_database_url: str,
) -> None:
    """Two worker processes, killed in turns while flows are under way."""
    async with open_rig(empty_database_url) as rig:
        played = Played(empty_database_url, rough(), times=COPIES)
        played.enqueue()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(killed_again_and_again, rig)
            await played.decide_and_wait(rig.database, CONTROL, within_s=100)
            nursery.cancel_scope.cancel()
        lost = rig.query("select count(*) from trioworker.worker where lost_at is not null")
        assert lost == [(2 * KILLS,)]
    played.check()


async def cut_now_and_then(cutter: LineCutter) -> None:
    """Lose an early answer within a commit, then later ones, that to COMMIT itself among them."""
    for number in range(1, CUTS + 1):
        cutter.cut_next_reply("commit", after=number)
        await until(partial(cutter.has_cut, number))


async def killed_again_and_again(rig: Rig) -> None:
    """A worker process that is killed with jobs in its hands, and its successors."""
    for life in range(KILLS + 1):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tests.flows.program", rig.url, str(LEASE_S)],
        )
        try:
            await until(partial(rig.query, HOLDS, process.pid))
            if life == KILLS:
                await process.wait()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
