"""`limit`: how much of what the server could do does the worker get out of it.

Rule of this file: both sides run the very same statements, read from the same files, on the same
queue, in turns.
"""

import re
from typing import Final

import trio

from trioworker.bench.figures import Measured, Samples, ratio, shown
from trioworker.bench.rig import ALONE_FROM, BENCH, Rig, Server, script
from trioworker.bench.tally import TAG, Drained, worker_config
from trioworker.bench.turns import in_turns
from trioworker.model.batching import Mode
from trioworker.runners.immediate import noop_runner
from trioworker.store.postgres.statements import load_statements

JOBS: Final = 120_000
BATCH: Final = 500
ROUNDS: Final = 5
WARM_UP_BATCHES: Final = 4

# What the worker sends as parameters, in the words of sql/server_loop.sql.
PULL_PARAMETERS: Final = (
    "my_claim",
    "my_worker",
    "my_size",
    f"array['{TAG}']",
    "'{}'",
    "'{}'",
    "'{}'",
    "'{}'",
    str(ALONE_FROM),
    "'{0}'",
)
COMMIT_PARAMETERS: Final = (
    "my_worker",
    "array[my_claim]",
    "my_ids",
    "my_attempts",
    "'{}'::text[]",
    "my_results",
    "'{}'",
    "my_ages",
    "my_durations",
    "'{}'",
    "'{}'",
)
PARAMETER: Final = re.compile(r"\$(\d+)")


async def measure(server: Server, *, jobs: int = JOBS, batch: int = BATCH) -> Measured:
    """Drain `jobs` no-op jobs with the worker and with a loop inside the server, in turns."""
    async with server.rig() as rig:

        async def by_worker(jobs: int = jobs) -> Drained:
            await rig.refill(jobs)
            config = worker_config(Mode.AGENT_BATCH, batch=batch)
            return await rig.drain({"noop": noop_runner()}, config, jobs)

        async def by_server(jobs: int = jobs) -> float:
            await rig.refill(jobs)
            return jobs / await _loop_in_server(rig, batch)

        await by_worker(batch * WARM_UP_BATCHES)
        await by_server(batch * WARM_UP_BATCHES)
        drains: list[Drained] = []

        async def worker_rate() -> float:
            drains.append(await by_worker())
            return drains[-1].jobs_per_s

        rates = await in_turns(ROUNDS, {"worker": worker_rate, "server": by_server})
    return _measured(Samples(rates["worker"]), Samples(rates["server"]), drains, batch)


async def _loop_in_server(rig: Rig, batch: int) -> float:
    """Seconds for the server to pull and commit all there is, `batch` at a time."""
    worker = await rig.register()
    started_s = trio.current_time()
    await script(
        rig.database,
        "server_loop",
        worker=worker,
        size=batch,
        pull=_filled("pull", PULL_PARAMETERS),
        commit=_filled("commit", COMMIT_PARAMETERS),
    )
    seconds = trio.current_time() - started_s
    assert not await rig.database.run(BENCH, "count_jobs"), "the loop left jobs behind"
    return seconds


def _filled(statement: str, parameters: tuple[str, ...]) -> str:
    """The text of a named statement with expressions in the place of its parameters."""
    text = load_statements()[statement].sql
    return PARAMETER.sub(lambda hole: parameters[int(hole[1]) - 1], text)


def _measured(worker: Samples, server: Samples, drains: list[Drained], batch: int) -> Measured:
    pairs = Samples([w / s for w, s in zip(worker.values, server.values, strict=True)])
    pull_ms = Samples([1000 * d.tally.pull_s / d.tally.pulls for d in drains])
    commit_ms = Samples([1000 * d.tally.commit_s / d.tally.commits for d in drains])
    client = Samples([d.cpu_s / d.seconds for d in drains])
    share = ratio(worker.median, server.median)
    return Measured(
        about=f"No-op jobs pulled, run and stored in batches of {batch}: one agent-batch worker,"
        " against the same SQL looped inside the server.",
        columns=("", "median of rounds", "lowest … highest"),
        rows=(
            ("worker, jobs/s", *worker.shown()),
            ("server alone, jobs/s", *server.shown()),
            ("worker ÷ server", shown(share), pairs.spread),
            ("a pull takes, ms", *pull_ms.shown()),
            ("a commit takes, ms", *commit_ms.shown()),
            ("worker's CPUs in use", *client.shown()),
        ),
        figures={
            "ratio": share,
            "ratio_lowest": min(pairs.values),
            "ratio_highest": max(pairs.values),
            "jobs_per_s": worker.median,
            "server_jobs_per_s": server.median,
            "pull_ms": pull_ms.median,
            "commit_ms": commit_ms.median,
            "client_cpus": client.median,
            "jobs": drains[0].jobs,
            "batch": batch,
            "rounds": len(drains),
        },
    )
