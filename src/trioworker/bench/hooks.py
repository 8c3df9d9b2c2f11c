"""`hooks`: what each hook costs a batch, and what the batch is worth with it on every job.

Rule of this file: a hook is on every job of its round, and both modes get the very same jobs. Rates
count the jobs that were asked for, whatever follows from them: the second attempt of a job that
retries and the handler that hears of its end are work that the hook costs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

from trioworker.app import App, JobContext
from trioworker.bench.figures import Figure, Measured, Samples, ratio, shown
from trioworker.bench.rig import Rig, Server, script, sql
from trioworker.bench.tally import SEED, TAG, worker_config
from trioworker.bench.turns import in_turns
from trioworker.errors import Snooze
from trioworker.ids import new_id
from trioworker.model.batching import Mode
from trioworker.model.follow_ups import EndedJob
from trioworker.model.job import NewJob
from trioworker.model.options import (
    NO_OPTIONS,
    Debounce,
    Handler,
    JobOptions,
    Limit,
    RetryPolicy,
    Unique,
)
from trioworker.model.schedule import Schedule
from trioworker.model.ticks import Timing
from trioworker.runners.protocol import Runner
from trioworker.runners.registry import build_runners, open_runners
from trioworker.store.postgres.jobs import CLIENT
from trioworker.store.postgres.schedule_admin import PostgresSchedules

JOBS: Final = 5_000
PER_JOB_SHARE: Final = 20
"""Per-job mode gets so many times fewer jobs, to take about as long."""
BATCH: Final = 500
ROUNDS: Final = 3
KEYS: Final = 100
SLOTS: Final = 10
"""Of each key of the limit: two batches run at a time, and the others wait for them."""
LONG_S: Final = 3600.0
SELDOM_S: Final = 100_000_000.0
"""Between two ticks: no round sees the second one."""
NONE: Final = "none"

app = App()
_snoozed: set[UUID] = set()


@app.job
async def nothing() -> None:
    """The job of most hooks, which are no matter of the function."""


@app.job
async def fail_once(context: JobContext) -> None:
    """Succeed at the second attempt."""
    if context.attempt == 1:
        raise ValueError("not yet")


@app.job
async def snooze_once(context: JobContext) -> None:
    """Ask for another time, once."""
    if context.id not in _snoozed:
        _snoozed.add(context.id)
        raise Snooze(0.0)


@app.job
async def square(number: int) -> int:
    """What is worth being kept, by its argument."""
    return number * number


@app.job
async def write(context: JobContext) -> None:
    """Write one line."""
    context.log("something was done")


@app.job
async def tell(context: JobContext) -> None:
    """Tell one progress."""
    context.progress(0.5, "half of it")


@app.job
async def hand_over(context: JobContext) -> None:
    """One statement, to be committed with the job."""
    context.commit_with(HANDED_OVER, context.id)


@app.job
async def hear(end: EndedJob) -> None:
    """The handler."""
    del end


HANDED_OVER: Final = sql("hand_over")


@dataclass(frozen=True)
class Hook:
    """A hook: the function whose jobs have it, what each of them says, by its number.

    `outcomes` is how many are stored until one of them and all that follows from it is over. Each
    job is one of a schedule of its own if they are `scheduled`; what comes `again`, ten seconds
    later, a slow round may see.
    """

    path: str = "nothing"
    options: Callable[[int], JobOptions] = lambda _: NO_OPTIONS
    args: Callable[[int], bytes] = lambda _: b"{}"
    outcomes: int = 1
    scheduled: bool = False
    again: bool = False

    def job(self, number: int) -> NewJob:
        """One job that has it."""
        return NewJob(
            id=new_id(),
            kind="function",
            path=self.path,
            args=self.args(number),
            tag=TAG,
            options=self.options(number),
        )

    def schedule(self, number: int) -> Schedule:
        """The schedule of one job."""
        return Schedule(
            name=f"schedule {number}", path=self.path, tag=TAG, timing=Timing(every_s=SELDOM_S)
        )


def _always(**options: object) -> Callable[[int], JobOptions]:
    said = JobOptions(**options)  # type: ignore[arg-type]  # checked where it is made
    return lambda _: said


HOOKS: Final[Mapping[str, Hook]] = {
    NONE: Hook(),
    "retry": Hook("fail_once", _always(retry=RetryPolicy(attempts=2, delay_s=0.0)), outcomes=2),
    "snooze": Hook("snooze_once", outcomes=2),
    "schedule": Hook(scheduled=True),
    "limit": Hook(options=lambda n: JobOptions(limit=Limit(SLOTS, f"key {n % KEYS}"))),
    "unique": Hook(options=lambda n: JobOptions(unique=Unique(f"key {n}"))),
    "debounce": Hook(options=lambda n: JobOptions(debounce=Debounce(0.001, f"key {n}"))),
    "handler": Hook(options=_always(on_success=Handler("hear", TAG)), outcomes=2),
    "labels": Hook(options=_always(labels=("measured", "bench"))),
    "log": Hook("write"),
    "progress": Hook("tell"),
    "delete_after": Hook(options=_always(delete_after_s=LONG_S)),
    "cache": Hook("square", _always(cache_ttl_s=LONG_S), args=lambda n: b'{"number": %d}' % n),
    "restart": Hook(options=_always(restart=True), again=True),
    "commit_with": Hook("hand_over"),
}
MODES: Final = (Mode.WORKER, Mode.AGENT_BATCH)


async def measure(server: Server, *, jobs: int = JOBS) -> Measured:
    """Drain `jobs` jobs with each hook in agent-batch mode and a part of that in worker mode."""
    runners = build_runners(app, scripts_dir=Path(), rng=Random(SEED))
    async with server.rig() as rig, open_runners(runners):
        await script(rig.database, "hand_over_table")
        sides = {
            (name, mode): partial(_rate, rig, runners, hook, mode, jobs)
            for name, hook in HOOKS.items()
            for mode in MODES
        }
        rates = await in_turns(ROUNDS, sides)
    return _measured({side: Samples(found) for side, found in rates.items()}, jobs)


async def _rate(
    rig: Rig, runners: Mapping[str, Runner], hook: Hook, mode: Mode, jobs: int
) -> float:
    """Jobs per second in `mode`, with all that follows from them."""
    count = jobs if mode.batches else max(1, jobs // PER_JOB_SHARE)
    if hook.scheduled:
        await _refill_with_schedules(rig, [hook.schedule(number) for number in range(count)])
    else:
        await rig.refill_with([hook.job(number) for number in range(count)])
    config = worker_config(mode, batch=BATCH)
    drained = await rig.drain(runners, config, count * hook.outcomes, or_more=hook.again)
    assert drained.tally.failed == 0
    return drained.jobs_per_s / hook.outcomes


async def _refill_with_schedules(rig: Rig, schedules: Iterable[Schedule]) -> None:
    """The first tick of each is due."""
    await script(rig.database, "empty")
    await PostgresSchedules(rig.database, CLIENT).declare({one.name: one for one in schedules})
    await script(rig.database, "make_due")
    await rig.settle()


def _measured(rates: Mapping[tuple[str, Mode], Samples], jobs: int) -> Measured:
    per_job = {name: rates[name, Mode.WORKER] for name in HOOKS}
    batch = {name: rates[name, Mode.AGENT_BATCH] for name in HOOKS}
    over_none = {name: ratio(batch[name].median, batch[NONE].median) for name in HOOKS}
    over_per_job = {name: ratio(batch[name].median, per_job[name].median) for name in HOOKS}
    hooks = [name for name in HOOKS if name != NONE]
    figures: dict[str, Figure] = {
        "worst_over_none": _worst(over_none[name] for name in hooks),
        "worst_over_per_job": _worst(over_per_job[name] for name in hooks),
    }
    for name in HOOKS:
        figures[f"{name}_jobs_per_s"] = batch[name].median
        figures[f"{name}_per_job_jobs_per_s"] = per_job[name].median
        figures[f"{name}_over_per_job"] = over_per_job[name]
        if name != NONE:
            figures[f"{name}_over_none"] = over_none[name]
    return Measured(
        about=f"Functions that do nothing, with a hook on every job: in batches of up to {BATCH},"
        " against batches without a hook, and against one worker per job with the same hook.",
        columns=("hook", "jobs/s, median", "lowest … highest", "of no hook", "times per-job"),
        rows=[
            (name, *batch[name].shown(), shown(over_none[name]), shown(over_per_job[name]))
            for name in HOOKS
        ],
        figures=figures | {"jobs": jobs, "batch": BATCH, "rounds": ROUNDS},
    )


def _worst(ratios: Iterable[float | None]) -> float | None:
    known = [found for found in ratios if found is not None]
    return min(known, default=None)
