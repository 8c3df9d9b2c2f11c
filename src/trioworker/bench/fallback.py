r"""`fallback`: what refused results cost the batch that they are in.

Rule of this file: the refusals are real. PostgreSQL's jsonb cannot hold \u0000, so a result that
contains it is valid JSON which the database will never take.
"""

import itertools
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Final, NamedTuple

from trioworker.bench.figures import Measured, Samples
from trioworker.bench.rig import Rig, Server
from trioworker.bench.tally import SEED, worker_config
from trioworker.bench.turns import in_turns
from trioworker.model.batching import Fallback, Mode
from trioworker.model.outcome import Succeeded
from trioworker.runners.immediate import ImmediateRunner

BATCH: Final = 500
ROUNDS: Final = 5
MANY: Final = 10
"""One refused result in so many outcomes is what counts as many: 50 of 500."""
GOOD: Final = Succeeded(b"null")
REFUSED: Final = Succeeded(b'"\\u0000"')


class Case(NamedTuple):
    """How many results of the batch are refused, and how the batch is then divided."""

    refused: int
    fallback: Fallback


async def measure(server: Server, *, jobs: int = BATCH) -> Measured:
    """Store a batch of `jobs` outcomes of which none, one, or one in ten is refused."""
    many = max(1, jobs // MANY)
    cases = (
        Case(0, Fallback.PER_JOB),
        *(Case(refused, fallback) for refused in (1, many) for fallback in Fallback),
    )
    async with server.rig() as rig:
        sides = {case: partial(_settle, rig, jobs, case) for case in cases}
        await in_turns(1, sides)
        turns = await in_turns(ROUNDS, sides)
    return _measured({case: Samples(seconds) for case, seconds in turns.items()}, jobs, many)


async def _settle(rig: Rig, jobs: int, case: Case) -> float:
    """Seconds from the claim of a batch until the fate of each of its jobs is stored."""
    await rig.refill(jobs)
    # As many slots as jobs: the planner then asks for the whole batch at once.
    config = worker_config(Mode.AGENT_BATCH, batch=jobs, concurrency=jobs, fallback=case.fallback)
    tally = (await rig.drain({"noop": _refusing(jobs, case.refused)}, config, jobs)).tally
    assert tally.pulls == 1
    assert tally.failed == case.refused
    assert tally.claimed_s is not None
    return tally.stored_s - tally.claimed_s


def _refusing(jobs: int, refused: int) -> ImmediateRunner:
    """A runner of which `refused` in `jobs` results, spread by chance, will not be taken."""
    places = frozenset(Random(SEED).sample(range(jobs), refused))
    place = itertools.count()
    return ImmediateRunner(lambda _job: REFUSED if next(place) in places else GOOD)


def _measured(settled: Mapping[Case, Samples], jobs: int, many: int) -> Measured:
    per_job, bisect = settled[Case(1, Fallback.PER_JOB)], settled[Case(1, Fallback.BISECT)]
    many_per_job = settled[Case(many, Fallback.PER_JOB)]
    many_bisect = settled[Case(many, Fallback.BISECT)]
    clean = settled[Case(0, Fallback.PER_JOB)]
    return Measured(
        about=f"A batch of {jobs} outcomes, some of which the database refuses: the time from its"
        " claim until the fate of every job is stored.",
        columns=("refused", "divided", "median of rounds, ms", "lowest … highest"),
        rows=[
            (
                str(case.refused),
                case.fallback if case.refused else "-",
                *seconds.scaled(1000).shown(),
            )
            for case, seconds in settled.items()
        ],
        figures={
            "clean_s": clean.median,
            "per_job_s": per_job.median,
            "bisect_s": bisect.median,
            "many_per_job_s": many_per_job.median,
            "many_bisect_s": many_bisect.median,
            "many_refused": many,
            "jobs": jobs,
            "rounds": ROUNDS,
        },
    )
