"""What running jobs tell of their progress is stored while they run, the newest of it alone."""

import pytest
import trio

from tests.worker.harness import CountingRunner, Rig, until
from trioworker.model.batching import Mode
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome, Succeeded
from trioworker.model.progress import Progress
from trioworker.runners.joblog import JobLog

STEPS = 10_000


class Telling(CountingRunner):
    """Jobs that tell many steps at once, and the last one when they may end."""

    def __init__(self) -> None:
        super().__init__()
        self.go = trio.Event()

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """Tell, wait, tell."""
        del job
        for step in range(STEPS):
            log.progress.tell(Progress(step / STEPS, f"step {step}"))
        await self.go.wait()
        log.progress.tell(Progress(1.0, "done"))
        return Succeeded(b"1")


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_newest_is_stored_while_the_job_runs(rig: Rig, mode: Mode) -> None:
    """However much was told between two flushes, and in every mode; the last with the outcome."""
    await rig.enqueue(3)
    runner = Telling()
    told = "select fraction, note from trioworker.job_progress"
    async with trio.open_nursery() as nursery:

        async def worker() -> None:
            await rig.work(runner=runner, log_flush_s=0.01, mode=mode)

        nursery.start_soon(worker)
        await until(lambda: len(rig.query(told)) == 3)
        assert set(rig.query(told)) == {((STEPS - 1) / STEPS, f"step {STEPS - 1}")}
        runner.go.set()
    assert rig.query(told) == [(1.0, "done")] * 3
    statements = rig.statements("store_running")
    assert sum(one.jobs for one in statements) == 3
    assert len(rig.statements("store_progress")) == (1 if mode.batches else 3)
