"""`dedicated`: one long-lived process per script, fed one job at a time or through a window.

Rule of this file: a worker's throughput (first pull to last commit of a full queue) and the
throughput end to end (enqueue of the first job to the last commit) are two figures. All processes
are started beforehand: that they live on is the point of them.
"""

import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from random import Random
from typing import Final

import trio

from trioworker.bench.figures import Figure, Measured, Samples, ratio, shown
from trioworker.bench.rig import Rig, Server, Sort
from trioworker.bench.tally import CONCURRENCY, SEED, worker_config
from trioworker.bench.turns import in_turns
from trioworker.model.batching import Mode
from trioworker.runners.host_group import HostLimits
from trioworker.runners.protocol import Runner
from trioworker.runners.registry import build_runners, open_runners

JOBS: Final = 20_000
BASELINE_SHARE: Final = 10
"""The baseline gets so many times fewer jobs, to take about as long."""
BATCH: Final = 500
ENQUEUED: Final = 1_000
"""How many jobs the client of the end-to-end figure enqueues in one transaction."""
WARM_UP: Final = 50
ROUNDS: Final = 3
LANGUAGES: Final = {"python": ("python", "identity.py"), "node": ("node", "identity.mjs")}
ARGS: Final = '{"value": 1}'


@dataclass(frozen=True)
class Rates:
    """Jobs per second of one language."""

    baseline: Samples
    worker: Samples
    end_to_end: Samples


class _Bench:
    """One language's script, with the runners of both sides open."""

    def __init__(
        self, rig: Rig, file: str, jobs: int, one: Mapping[str, Runner], many: Mapping[str, Runner]
    ) -> None:
        self._rig = rig
        self._sort = Sort("script", path=file, args=ARGS, options='{"dedicated": true}')
        self._jobs = jobs
        self._one = one
        self._many = many

    async def rates(self) -> Rates:
        """All three, in turns."""
        await self.baseline(WARM_UP)
        await self.worker(WARM_UP)
        found = await in_turns(
            ROUNDS,
            {
                "baseline": lambda: self.baseline(max(1, self._jobs // BASELINE_SHARE)),
                "worker": lambda: self.worker(self._jobs),
                "end to end": lambda: self.end_to_end(self._jobs),
            },
        )
        return Rates(*(Samples(rates) for rates in found.values()))

    async def baseline(self, jobs: int) -> float:
        """Worker mode with one job at a time: the next one goes out when the last is stored."""
        await self._rig.refill(jobs, self._sort)
        drained = await self._rig.drain(self._one, worker_config(Mode.WORKER, concurrency=1), jobs)
        assert drained.tally.failed == 0
        return drained.jobs_per_s

    async def worker(self, jobs: int) -> float:
        """Agent-batch mode on a full queue, the lines to the process pipelined."""
        await self._rig.refill(jobs, self._sort)
        config = worker_config(Mode.AGENT_BATCH, batch=BATCH)
        drained = await self._rig.drain(self._many, config, jobs)
        assert drained.tally.failed == 0
        return drained.jobs_per_s

    async def end_to_end(self, jobs: int) -> float:
        """The same while the queue is being filled, from the first enqueue on."""
        await self._rig.refill(0, self._sort)
        config = worker_config(Mode.AGENT_BATCH, batch=BATCH, drain=False)
        async with self._rig.worker(self._many, config) as tally:
            await self._rig.fill(1, self._sort, notify=True)
            await tally.until_stored(1)
            started_s = trio.current_time()
            for done in range(0, jobs, ENQUEUED):
                await self._rig.fill(min(ENQUEUED, jobs - done), self._sort, notify=True)
            await tally.until_stored(jobs + 1)
        assert tally.failed == 0
        return jobs / (tally.stored_s - started_s)


async def measure(server: Server, *, jobs: int = JOBS) -> Measured:
    """Send `jobs` jobs through an identity script in each language that is installed."""
    found: dict[str, Rates | None] = {}
    for language, (program, file) in LANGUAGES.items():
        if language != "python" and shutil.which(program) is None:
            found[language] = None
            continue
        async with _bench(server, file, jobs) as bench:
            found[language] = await bench.rates()
    return _measured(found, jobs)


@asynccontextmanager
async def _bench(server: Server, file: str, jobs: int) -> AsyncIterator[_Bench]:
    with resources.as_file(resources.files("trioworker.bench") / "scripts") as folder:
        one, many = (dedicated_runners(folder, window) for window in (1, CONCURRENCY))
        async with server.rig() as rig, open_runners(one), open_runners(many):
            yield _Bench(rig, file, jobs, one, many)


def dedicated_runners(folder: Path, window: int) -> Mapping[str, Runner]:
    """Runners of the scripts in `folder`, with up to `window` jobs on their way to each process."""
    return build_runners(
        None, scripts_dir=folder, rng=Random(SEED), dedicated=HostLimits(window=window)
    )


def _measured(found: Mapping[str, Rates | None], jobs: int) -> Measured:
    figures: dict[str, Figure] = {}
    rows: list[Sequence[str]] = []
    for language, rates in found.items():
        figures |= _figures(language, rates)
        rows += _rows(language, rates)
    return Measured(
        about="An identity script in one long-lived process: one job at a time in worker mode (the"
        f" baseline), against agent-batch in batches of up to {BATCH} with {CONCURRENCY} jobs on"
        " their way to the process.",
        columns=("language", "", "jobs/s, median", "lowest … highest", "times baseline"),
        rows=rows,
        figures=figures | {"jobs": jobs, "batch": BATCH, "window": CONCURRENCY, "rounds": ROUNDS},
    )


def _figures(language: str, rates: Rates | None) -> Mapping[str, Figure]:
    keys = ("ratio", "baseline_jobs_per_s", "worker_jobs_per_s", "end_to_end_jobs_per_s")
    figures: Sequence[Figure] = (None, None, None, None)
    if rates is not None:
        baseline, worker, end_to_end = (
            each.median for each in (rates.baseline, rates.worker, rates.end_to_end)
        )
        figures = (ratio(worker, baseline), baseline, worker, end_to_end)
    return {f"{language}_{key}": figure for key, figure in zip(keys, figures, strict=True)}


def _rows(language: str, rates: Rates | None) -> list[Sequence[str]]:
    if rates is None:
        return [(language, "not installed", shown(None), "", "")]
    baseline, worker, end_to_end = rates.baseline, rates.worker, rates.end_to_end
    return [
        (language, "baseline", *baseline.shown(), ""),
        (language, "worker", *worker.shown(), shown(ratio(worker.median, baseline.median))),
        (language, "end to end", *end_to_end.shown(), ""),
    ]
