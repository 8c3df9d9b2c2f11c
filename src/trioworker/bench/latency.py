"""`latency`: how long a job waits for a worker that has nothing else to do.

Rule of this file: the clock starts before the client sends anything and stops inside the job, so
the enqueueing transaction, its wait for the disk included, is part of the figure. Client and
worker share a process here; between two processes it is rather less.
"""

from pathlib import Path
from random import Random
from typing import Final

import trio

from trioworker.app import App
from trioworker.bench.figures import Measured, Samples
from trioworker.bench.rig import Rig, Server, Sort
from trioworker.bench.tally import SEED, worker_config
from trioworker.model.batching import Mode
from trioworker.runners.registry import build_runners, open_runners

SAMPLES: Final = 1_000
WARM_UP: Final = 20
GAP_S: Final = (0.02, 0.1)
"""Between two jobs: never the same, so that no rhythm of the worker's is met or missed."""
MARK: Final = Sort("function", path="mark", args="{}")


async def measure(server: Server, *, jobs: int = SAMPLES) -> Measured:
    """Enqueue `jobs` jobs one at a time, each into an empty queue, and time their starts."""
    started = _Started()
    runners = build_runners(started.app, scripts_dir=Path(), rng=Random(SEED))
    config = worker_config(Mode.WORKER, drain=False)
    async with server.rig() as rig, open_runners(runners), rig.worker(runners, config):
        for _ in range(WARM_UP):
            await _sample(rig, started)
        rng = Random(SEED)
        found = []
        for _ in range(jobs):
            await trio.sleep(rng.uniform(*GAP_S))
            found.append(await _sample(rig, started))
    starts, enqueues = zip(*found, strict=True)
    return _measured(Samples(starts), Samples(enqueues))


class _Started:
    """An app whose one job says when it begins."""

    def __init__(self) -> None:
        self.app = App()
        self.app.job(self.mark)
        self.began = trio.Event()
        self.began_s = 0.0

    async def mark(self) -> None:
        """Note the time."""
        self.began_s = trio.current_time()
        self.began.set()


async def _sample(rig: Rig, started: _Started) -> tuple[float, float]:
    """Milliseconds from the call of enqueue to the start of the job, and to enqueue's return."""
    started.began = trio.Event()
    asked_s = trio.current_time()
    await rig.fill(1, MARK, notify=True)
    returned_s = trio.current_time()
    await started.began.wait()
    return (started.began_s - asked_s) * 1000, (returned_s - asked_s) * 1000


def _measured(starts: Samples, enqueues: Samples) -> Measured:
    return Measured(
        about="An idle worker that listens: from the client's call of enqueue to the first line of"
        " the job.",
        columns=("", "median, ms", "lowest … highest", "99 of 100 below"),
        rows=(
            ("call of enqueue to start", *starts.shown(), f"{starts.percentile(99):.2f}"),
            ("    enqueue itself", *enqueues.shown(), f"{enqueues.percentile(99):.2f}"),
        ),
        figures={
            "p50_ms": starts.median,
            "p99_ms": starts.percentile(99),
            "worst_ms": max(starts.values),
            "enqueue_p50_ms": enqueues.median,
            "jobs": len(starts.values),
        },
    )
