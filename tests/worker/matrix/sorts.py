"""Every sort of job: what is said of it, what it does, and what is stored of it at each end.

Rule of this file: data, a `Sort` for each row of the matrix. What is stored is told in the words of
`rows.py`: of each job its attempts, how and with which attempt it ended, and what else there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from trioworker.app import JobContext
from trioworker.errors import Cancel, Retry, Snooze
from trioworker.model.job_settings import JobSettings
from trioworker.model.options import Debounce, Limit, RetryPolicy, Unique

HOUR_S: Final = 3600.0
YEARS_S: Final = 100_000_000.0
HEAR: Final = "hear"
"""The handler of all of them."""
NOTE: Final = "insert into effect (job) values ($1)"


class Boom(Exception):
    """What jobs fail with."""


@dataclass(frozen=True, kw_only=True)
class Sort:
    """A sort of job. `jobs` are what a test calls those that are enqueued, in order.

    `does` is what each run does before it ends, and `first` makes what the first run of a job
    raises then. With `every_s` it is no job that is enqueued but a schedule, with `chunk` the
    function takes so many at a time, and in a `family` the jobs are children of the first. The
    others are the ends of `ends.py`; `out_of_time` is what lets it come to a timeout.
    """

    name: str
    settings: JobSettings = field(default_factory=JobSettings)
    jobs: Sequence[str] = ("job",)
    does: Callable[[JobContext], object] = lambda _: None
    first: Callable[[], Exception] | None = None
    every_s: float | None = None
    chunk: int | None = None
    family: bool = False
    out_of_time: JobSettings = field(default_factory=lambda: JobSettings(timeout_s=0.02))

    success: str
    failure: str
    cancel: str
    timeout: str
    killed: str
    refused: str


def not_yet() -> Exception:
    """The first failure of a job that has another attempt."""
    return Boom("not yet")


def write(context: JobContext) -> None:
    """Write a line."""
    context.log("something was done")


def note(context: JobContext) -> None:
    """Hand over a statement."""
    context.commit_with(NOTE, context.id)


def give_label(context: JobContext) -> None:
    """Give the job a label."""
    context.label("given")


def tell(context: JobContext) -> None:
    """Tell a progress."""
    context.progress(0.5, "half of it")


def do_everything(context: JobContext) -> None:
    """All of that."""
    tell(context)
    write(context)
    note(context)
    give_label(context)


THREE: Final = RetryPolicy(3, delay_s=0.0)
HANDLERS: Final = JobSettings(on_error=HEAR, on_success=HEAR, on_recovery=HEAR)

PLAIN: Final = Sort(
    name="plain",
    success="job: success 1",
    failure="job: failure 1 Boom",
    cancel="job: canceled 1 Cancelled",
    timeout="job: failure 1 Timeout",
    killed="job: attempt 1 WorkerLost, success 2",
    refused="job: failure 1 OutcomeRefused",
)
SORTS: Final = (
    PLAIN,
    Sort(
        name="retry",
        settings={"retry": THREE},
        first=not_yet,
        success="job: attempt 1 Boom, success 2",
        failure="job: attempt 1 Boom, attempt 2 Boom, failure 3 Boom",
        cancel="job: attempt 1 Boom, canceled 2 Cancelled",
        timeout="job: attempt 1 Boom, attempt 2 Timeout, failure 3 Timeout",
        killed="job: attempt 1 WorkerLost, attempt 2 Boom, success 3",
        refused="job: attempt 1 Boom, failure 2 OutcomeRefused",
    ),
    Sort(
        name="retry asked for",
        first=lambda: Retry("again", delay_s=0.0),
        success="job: attempt 1 Retry, success 2",
        failure="job: attempt 1 Retry, failure 2 Boom",
        cancel="job: attempt 1 Retry, canceled 2 Cancelled",
        timeout="job: attempt 1 Retry, failure 2 Timeout",
        killed="job: attempt 1 WorkerLost, attempt 2 Retry, success 3",
        refused="job: attempt 1 Retry, failure 2 OutcomeRefused",
    ),
    Sort(
        name="snooze",
        first=lambda: Snooze(0.0),
        success="job: success 1",
        failure="job: failure 1 Boom",
        cancel="job: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout",
        killed="job: attempt 1 WorkerLost, success 2",
        refused="job: failure 1 OutcomeRefused",
    ),
    Sort(
        name="cancels itself",
        settings={"retry": THREE},
        first=lambda: Cancel("enough"),
        success="job: canceled 1 Cancelled",
        failure="job: canceled 1 Cancelled",
        cancel="job: canceled 1 Cancelled",
        timeout="job: canceled 1 Cancelled",
        killed="job: attempt 1 WorkerLost, canceled 2 Cancelled",
        refused="job: canceled 1 Cancelled",
    ),
    Sort(
        name="timeout and deadline",
        settings={"retry": THREE, "timeout_s": HOUR_S, "deadline_s": HOUR_S},
        out_of_time={"deadline_s": 0.001},
        success="job: success 1",
        failure="job: attempt 1 Boom, attempt 2 Boom, failure 3 Boom",
        cancel="job: canceled 1 Cancelled",
        timeout="job: failure 1 DeadlineExceeded",
        killed="job: attempt 1 WorkerLost, success 2",
        refused="job: failure 1 OutcomeRefused",
    ),
    Sort(
        name="children",
        jobs=("job", "child"),
        family=True,
        success="child: success 1; job: success 1",
        failure="child: failure 1 Boom; job: failure 1 Boom",
        cancel="child: canceled 1 Cancelled; job: canceled 1 Cancelled",
        timeout="child: failure 1 Timeout; job: failure 1 Timeout",
        killed="child: attempt 1 WorkerLost, success 2; job: attempt 1 WorkerLost, success 2",
        refused="child: failure 1 OutcomeRefused; job: failure 1 OutcomeRefused",
    ),
    Sort(
        name="schedule",
        every_s=YEARS_S,
        success="job: success 1; key: then next, 0 failed; next: ready 1",
        failure="job: failure 1 Boom; key: then next, 1 failed; next: ready 1",
        cancel="job: canceled 1 Cancelled; key: then next, 0 failed; next: ready 1",
        timeout="job: failure 1 Timeout; key: then next, 1 failed; next: ready 1",
        killed="job: attempt 1 WorkerLost, success 2; key: then next, 0 failed; next: ready 1",
        refused="job: failure 1 OutcomeRefused; key: then next, 1 failed; next: ready 1",
    ),
    Sort(
        name="limit",
        settings={"limit": Limit(1, "limit {copy}")},
        jobs=("job", "second"),
        success="job: success 1; second: success 1",
        failure="job: failure 1 Boom; second: failure 1 Boom",
        cancel="job: canceled 1 Cancelled; second: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout; second: failure 1 Timeout",
        killed="job: attempt 1 WorkerLost, success 2; second: success 1",
        refused="job: failure 1 OutcomeRefused; second: failure 1 OutcomeRefused",
    ),
    Sort(
        name="limit per hour",
        settings={"limit": Limit(1, "limit per hour {copy}", HOUR_S)},
        jobs=("job", "second"),
        success="job: success 1; key: 1 slot spent; second: waiting 1",
        failure="job: failure 1 Boom; key: 1 slot spent; second: waiting 1",
        cancel="job: canceled 1 Cancelled; key: 1 slot spent; second: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout; key: 1 slot spent; second: waiting 1",
        killed="job: attempt 1 WorkerLost, success 2; key: 1 slot spent; second: waiting 1",
        refused="job: failure 1 OutcomeRefused; key: 1 slot spent; second: waiting 1",
    ),
    Sort(
        name="unique",
        settings={"unique": Unique("unique {copy}")},
        jobs=("job", "job"),
        success="job: success 1; key: of job",
        failure="job: failure 1 Boom; key: of job",
        cancel="job: canceled 1 Cancelled; key: of job",
        timeout="job: failure 1 Timeout; key: of job",
        killed="job: attempt 1 WorkerLost, success 2; key: of job",
        refused="job: failure 1 OutcomeRefused; key: of job",
    ),
    Sort(
        name="unique for an hour",
        settings={"unique": Unique("unique for an hour {copy}", "period", HOUR_S)},
        jobs=("job", "job"),
        success="job: success 1; key: of job",
        failure="job: failure 1 Boom; key: of job",
        cancel="job: canceled 1 Cancelled; key: of job",
        timeout="job: failure 1 Timeout; key: of job",
        killed="job: attempt 1 WorkerLost, success 2; key: of job",
        refused="job: failure 1 OutcomeRefused; key: of job",
    ),
    Sort(
        name="debounce",
        settings={"debounce": Debounce(HOUR_S, "debounce {copy}")},
        jobs=("early", "job"),
        success="early: canceled 1 Replaced; job: success 1; key: of job",
        failure="early: canceled 1 Replaced; job: failure 1 Boom; key: of job",
        cancel="early: canceled 1 Replaced; job: canceled 1 Cancelled; key: of job",
        timeout="early: canceled 1 Replaced; job: failure 1 Timeout; key: of job",
        killed="early: canceled 1 Replaced; job: attempt 1 WorkerLost, success 2; key: of job",
        refused="early: canceled 1 Replaced; job: failure 1 OutcomeRefused; key: of job",
    ),
    Sort(
        name="handlers",
        settings=HANDLERS,
        success="job: success 1; on success: success 1",
        failure="job: failure 1 Boom; on error: success 1",
        cancel="job: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout; on error: success 1",
        killed="job: attempt 1 WorkerLost, success 2; on success: success 1",
        refused="job: failure 1 OutcomeRefused; on error: success 1",
    ),
    Sort(
        name="recovery",
        settings={**HANDLERS, "retry": THREE},
        first=not_yet,
        success="job: attempt 1 Boom, success 2; on recovery: success 1; on success: success 1",
        failure="job: attempt 1 Boom, attempt 2 Boom, failure 3 Boom; on error: success 1",
        cancel="job: attempt 1 Boom, canceled 2 Cancelled",
        timeout="job: attempt 1 Boom, attempt 2 Timeout, failure 3 Timeout; on error: success 1",
        killed=(
            "job: attempt 1 WorkerLost, attempt 2 Boom, success 3; on recovery: success 1; "
            "on success: success 1"
        ),
        refused="job: attempt 1 Boom, failure 2 OutcomeRefused; on error: success 1",
    ),
    Sort(
        name="muted",
        settings={**HANDLERS, "muted": True},
        success="job: success 1",
        failure="job: failure 1 Boom",
        cancel="job: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout",
        killed="job: attempt 1 WorkerLost, success 2",
        refused="job: failure 1 OutcomeRefused",
    ),
    Sort(
        name="labels",
        settings={"labels": ("said",)},
        does=give_label,
        success="job: success 1, label given, label said",
        failure="job: failure 1 Boom, label given, label said",
        cancel="job: canceled 1 Cancelled, label given, label said",
        timeout="job: failure 1 Timeout, label given, label said",
        killed="job: attempt 1 WorkerLost, success 2, label given, label said",
        refused="job: failure 1 OutcomeRefused, label given, label said",
    ),
    Sort(
        name="progress",
        does=tell,
        success="job: success 1, told 1",
        failure="job: failure 1 Boom, told 1",
        cancel="job: canceled 1 Cancelled, told 1",
        timeout="job: failure 1 Timeout, told 1",
        killed="job: attempt 1 WorkerLost, success 2, told 2",
        refused="job: failure 1 OutcomeRefused, told 1",
    ),
    Sort(
        name="cached result",
        settings={"cache_ttl_s": HOUR_S, "limit": Limit(1, "cached result {copy}")},
        jobs=("job", "second"),
        success="job: success 1, result kept; second: success 1, log 1",
        failure="job: failure 1 Boom; second: failure 1 Boom",
        cancel="job: canceled 1 Cancelled; second: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout; second: failure 1 Timeout",
        killed="job: attempt 1 WorkerLost, success 2, result kept; second: success 1, log 1",
        refused="job: failure 1 OutcomeRefused; second: failure 1 OutcomeRefused",
    ),
    Sort(
        name="restart",
        settings={"restart": True},
        success="job: success 1; next: ready 1",
        failure="job: failure 1 Boom; next: ready 1",
        cancel="job: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout; next: ready 1",
        killed="job: attempt 1 WorkerLost, success 2; next: ready 1",
        refused="job: failure 1 OutcomeRefused; next: ready 1",
    ),
    Sort(
        name="deletion",
        settings={"delete_after_s": HOUR_S},
        success="job: success 1, to be deleted",
        failure="job: failure 1 Boom, to be deleted",
        cancel="job: canceled 1 Cancelled, to be deleted",
        timeout="job: failure 1 Timeout, to be deleted",
        killed="job: attempt 1 WorkerLost, success 2, to be deleted",
        refused="job: failure 1 OutcomeRefused, to be deleted",
    ),
    Sort(
        name="log",
        does=write,
        success="job: success 1, log 1",
        failure="job: failure 1 Boom, log 1",
        cancel="job: canceled 1 Cancelled, log 1",
        timeout="job: failure 1 Timeout, log 1",
        killed="job: attempt 1 WorkerLost, success 2, log 2",
        refused="job: failure 1 OutcomeRefused, log 1",
    ),
    Sort(
        name="chunk",
        jobs=("job", "second"),
        chunk=2,
        success="job: success 1; second: success 1",
        failure="job: failure 1 Boom; second: failure 1 Boom",
        cancel="job: canceled 1 Cancelled; second: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout; second: failure 1 Timeout",
        killed="job: attempt 1 WorkerLost, success 2; second: attempt 1 WorkerLost, success 2",
        refused="job: failure 1 OutcomeRefused; second: failure 1 OutcomeRefused",
    ),
    Sort(
        name="commit_with",
        does=note,
        success="job: success 1, effect",
        failure="job: failure 1 Boom",
        cancel="job: canceled 1 Cancelled",
        timeout="job: failure 1 Timeout",
        killed="job: attempt 1 WorkerLost, success 2, effect",
        refused="job: failure 1 OutcomeRefused",
    ),
    Sort(
        name="everything at once",
        settings={
            **HANDLERS,
            "retry": THREE,
            "limit": Limit(1, "everything at once {copy}"),
            "unique": Unique("everything at once {copy}"),
            "labels": ("said",),
            "cache_ttl_s": HOUR_S,
            "delete_after_s": HOUR_S,
            "restart": True,
        },
        does=do_everything,
        success=(
            "job: success 1, log 1, label given, label said, told 1, to be deleted, result kept, "
            "effect; key: of next; next: waiting 1; on success: success 1"
        ),
        failure=(
            "job: attempt 1 Boom, attempt 2 Boom, failure 3 Boom, log 1, log 2, log 3, "
            "label given, label said, told 3, to be deleted; key: of next; next: waiting 1; "
            "on error: success 1"
        ),
        cancel=(
            "job: canceled 1 Cancelled, log 1, label given, label said, told 1, to be deleted; "
            "key: of job"
        ),
        timeout=(
            "job: attempt 1 Timeout, attempt 2 Timeout, failure 3 Timeout, log 1, log 2, log 3, "
            "label given, label said, told 3, to be deleted; key: of next; next: waiting 1; "
            "on error: success 1"
        ),
        killed=(
            "job: attempt 1 WorkerLost, success 2, log 2, "
            "label given, label said, told 2, to be deleted, result kept, effect; key: of next; "
            "next: waiting 1; on success: success 1"
        ),
        refused=(
            "job: failure 1 OutcomeRefused, log 1, label given, label said, told 1, to be deleted; "
            "key: of next; next: waiting 1; on error: success 1"
        ),
    ),
)
