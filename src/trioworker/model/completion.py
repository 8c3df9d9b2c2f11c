"""What follows from an outcome: (job, outcome) to the row and the effects that are stored.

Rule of this file: it decides and stores nothing. One batch of outcomes becomes one set of columns
for the commit statement, whatever the mix; a batch of one and a batch of five hundred are the
same, so the per-job path cannot differ.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, assert_never
from uuid import UUID

import msgspec

from trioworker.model.outcome import (
    ERROR_MESSAGE_CHARS_MAX,
    TRACEBACK_CHARS_MAX,
    Begun,
    Cancelled,
    Executed,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
    Succeeded,
)
from trioworker.model.transitions import Place, destination

PREVIEW_CHARS_MAX: Final = 1_000
DURATION_MS_MAX: Final = 2_147_483_647

_encode = msgspec.json.Encoder().encode


STATUS_OF: Final[Mapping[type[Outcome], str]] = {
    Succeeded: "success",
    Failed: "failure",
    Cancelled: "canceled",
    Skipped: "skipped",
}
"""The outcomes that end a job, and the status that they give it."""
BEGUN: Final = "begun"
"""What the commit statement is told in the place of a status: another statement has the job now."""


class Completion(NamedTuple):
    """One outcome as the commit statement takes it.

    `status` is None for a job that goes back to ready after `delay_s`; `charged` then says
    whether the attempt counts. It is `BEGUN` for a flow, whose steps are run.
    """

    status: str | None
    result: str | None
    error: str | None
    delay_s: float | None
    charged: bool


class Columns(NamedTuple):
    """A batch as parallel columns, in the order of the commit statement's parameters.

    `statuses`, `errors`, `delays_s` and `charged` are empty when every job succeeded.
    """

    ids: Sequence[UUID]
    attempts: Sequence[int]
    statuses: Sequence[str | None]
    results: Sequence[str | None]
    errors: Sequence[str | None]
    ages_s: Sequence[float]
    durations_ms: Sequence[int]
    delays_s: Sequence[float | None]
    charged: Sequence[bool]


LEFT_OUT_CHARS: Final = 50
"""Room for the words that say how much is missing."""


def complete(outcome: Outcome) -> Completion:
    """What one outcome stores."""
    match outcome:
        case Succeeded(result):
            return Completion(STATUS_OF[Succeeded], result.decode(), None, None, charged=False)
        case Failed(error):
            return Completion(STATUS_OF[Failed], None, error_json(error), None, charged=False)
        case Cancelled(reason):
            return Completion(
                STATUS_OF[Cancelled], None, _reason("Cancelled", reason), None, charged=False
            )
        case Skipped(reason):
            return Completion(
                STATUS_OF[Skipped], None, _reason("Skipped", reason), None, charged=False
            )
        case Retried(_, delay_s):
            return Completion(None, None, None, delay_s, charged=True)
        case Snoozed(delay_s):
            return Completion(None, None, None, delay_s, charged=False)
        case Interrupted():
            return Completion(None, None, None, 0.0, charged=False)
        case Begun():
            return Completion(BEGUN, None, None, None, charged=False)
        case _:
            assert_never(outcome)


def columns(batch: Sequence[Executed], now_s: float) -> Columns:
    """The batch as columns; `now_s` is the worker's monotonic clock at this try.

    Ages rather than instants are sent, so that started_at is by the database's clock alone.
    """
    statuses: Sequence[str | None] = ()
    errors: Sequence[str | None] = ()
    delays_s: Sequence[float | None] = ()
    charged: Sequence[bool] = ()
    if (results := _all_results(batch)) is None:
        completions = [complete(executed.outcome) for executed in batch]
        for executed, completion in zip(batch, completions, strict=True):
            goes_back = destination(executed.outcome) is Place.READY
            assert goes_back == (completion.status is None) == (completion.delay_s is not None)
        statuses, results, errors, delays_s, charged = zip(*completions, strict=True)
    return Columns(
        ids=[executed.job.id for executed in batch],
        attempts=[executed.job.attempt for executed in batch],
        statuses=statuses,
        results=results,
        errors=errors,
        ages_s=[now_s - executed.started_s for executed in batch],
        durations_ms=[duration_ms(executed) for executed in batch],
        delays_s=delays_s,
        charged=charged,
    )


def _all_results(batch: Sequence[Executed]) -> Sequence[str | None] | None:
    """The results when every job succeeded, by far the most common batch; None otherwise."""
    results = []
    for executed in batch:
        outcome = executed.outcome
        if type(outcome) is not Succeeded:
            return None
        results.append(outcome.result.decode())
    return results


def refused(executed: Executed, why: str, *, bare: bool) -> Executed:
    """The failure that takes the place of an outcome which the database refused.

    It keeps the log, the labels, the progress and the beginning of the result, escaped to plain
    ASCII; `bare` keeps none of them, for the case that these were what the database would not take.
    """
    preview = "" if bare else _preview(executed.outcome)
    message = f"the database refused the outcome of this job: {_plain(why)}{preview}"
    return msgspec.structs.replace(
        executed,
        outcome=Failed(JobError("OutcomeRefused", message)),
        log="" if bare else executed.log,
        labels=() if bare else executed.labels,
        progress=None if bare else executed.progress,
        preprocessed=None if bare else executed.preprocessed,
    )


def _preview(outcome: Outcome) -> str:
    if isinstance(outcome, Failed | Retried):
        had_failed = f"{outcome.error.name}: {outcome.error.message}"
        return f"; the job had failed with {_plain(had_failed)}"
    if not isinstance(outcome, Succeeded):
        return ""
    text = _plain(outcome.result[: PREVIEW_CHARS_MAX * 4].decode("utf-8", "replace"))
    size = len(outcome.result)
    cut = f"the first {PREVIEW_CHARS_MAX} of " if len(text) > PREVIEW_CHARS_MAX else ""
    how_much = f"{cut}{size:,} byte{'' if size == 1 else 's'}"
    return f"; the result was ({how_much}): {text[:PREVIEW_CHARS_MAX]}"


def _plain(text: str) -> str:
    """ASCII without control characters and without a sequence that PostgreSQL could reread."""
    return text.encode("ascii", "backslashreplace").decode().replace("\\u0000", "<NUL>")


def duration_ms(executed: Executed) -> int:
    """How long the attempt took, as it is stored."""
    return min(DURATION_MS_MAX, int(executed.duration_s * 1000))


def error_json(error: JobError) -> str:
    """An error as it is stored: JSON, within bounds, without what PostgreSQL cannot hold."""
    return _encode(storable_error(error)).decode()


def storable_error(error: JobError) -> JobError:
    """The error within bounds, and without what PostgreSQL cannot hold."""
    return JobError(
        storable(error.name, ERROR_MESSAGE_CHARS_MAX),
        storable(error.message, ERROR_MESSAGE_CHARS_MAX),
        None if error.traceback is None else storable(error.traceback, TRACEBACK_CHARS_MAX),
    )


def storable(text: str, chars_max: int) -> str:
    """`text` without what PostgreSQL or UTF-8 cannot hold, and not longer than `chars_max`.

    An error's own words must never be the reason that the error is refused. What came through here
    stays as it is when it comes again, from an agent through its server.
    """
    if len(text) > chars_max:
        kept = chars_max - LEFT_OUT_CHARS
        text = f"{text[:kept]} … {len(text) - kept:,} characters left out"
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _reason(name: str, reason: str) -> str:
    return error_json(JobError(name, reason))
