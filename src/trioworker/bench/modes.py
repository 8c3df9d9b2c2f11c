"""`modes`: what batches are worth to one and the same worker, with jobs that do nothing.

Rule of this file: the modes differ in their batch sizes and in nothing else.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from trioworker.app import App
from trioworker.bench.figures import Measured, Samples, ratio, shown
from trioworker.bench.rig import NOOP, Rig, Server, Sort
from trioworker.bench.tally import SEED, worker_config
from trioworker.bench.turns import in_turns
from trioworker.model.batching import Mode
from trioworker.runners.protocol import Runner
from trioworker.runners.registry import build_runners, open_runners

JOBS: Final = 50_000
PER_JOB_SHARE: Final = 20
"""Per-job mode gets so many times fewer jobs, to take about as long."""
BATCH: Final = 500
ROUNDS: Final = 3
FUNCTION: Final = Sort("function", path="nothing", args="{}")
SORTS: Final[Mapping[str, Sort]] = {"async function": FUNCTION, "noop": NOOP}

app = App()


@app.job
async def nothing() -> None:
    """The job that is nothing but the cost of being one."""


async def measure(server: Server, *, jobs: int = JOBS) -> Measured:
    """Drain `jobs` jobs in agent-batch mode and a part of that in worker mode, in turns."""
    runners = build_runners(app, scripts_dir=Path(), rng=Random(SEED))
    async with server.rig() as rig, open_runners(runners):
        sides = {
            (name, mode): partial(_rate, rig, runners, sort, mode, jobs)
            for name, sort in SORTS.items()
            for mode in (Mode.WORKER, Mode.AGENT_BATCH)
        }
        rates = await in_turns(ROUNDS, sides)
    return _measured({side: Samples(found) for side, found in rates.items()}, jobs)


async def _rate(
    rig: Rig, runners: Mapping[str, Runner], sort: Sort, mode: Mode, jobs: int
) -> float:
    """Jobs per second in `mode`, stored."""
    count = jobs if mode.batches else max(1, jobs // PER_JOB_SHARE)
    await rig.refill(count, sort)
    drained = await rig.drain(runners, worker_config(mode, batch=BATCH), count)
    assert drained.tally.failed == 0
    return drained.jobs_per_s


def _measured(rates: Mapping[tuple[str, Mode], Samples], jobs: int) -> Measured:
    def times(name: str) -> float | None:
        per_job, batch = rates[name, Mode.WORKER], rates[name, Mode.AGENT_BATCH]
        return ratio(batch.median, per_job.median)

    function, noop = SORTS
    return Measured(
        about=f"Jobs that do nothing, pulled, run and stored: one worker per job, and in batches"
        f" of up to {BATCH}.",
        columns=("jobs", "mode", "jobs/s, median", "lowest … highest", "times per-job"),
        rows=[
            (name, mode, *found.shown(), shown(times(name)) if mode.batches else "")
            for (name, mode), found in rates.items()
        ],
        figures={
            "ratio": times(function),
            "noop_ratio": times(noop),
            "jobs_per_s": rates[function, Mode.AGENT_BATCH].median,
            "per_job_jobs_per_s": rates[function, Mode.WORKER].median,
            "noop_jobs_per_s": rates[noop, Mode.AGENT_BATCH].median,
            "noop_per_job_jobs_per_s": rates[noop, Mode.WORKER].median,
            "jobs": jobs,
            "batch": BATCH,
            "rounds": ROUNDS,
        },
    )
