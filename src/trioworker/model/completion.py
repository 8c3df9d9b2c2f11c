"""What follows from an outcome: (job, outcome) to the row and the effects that are stored.

Rule of this file: it decides and stores nothing. One batch of outcomes becomes one set of columns
for the commit statement, whatever the mix; a batch of one and a batch of five hundred are the
same, so the per-job path cannot differ.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, assert_never
from uuid import UUID

import msgspec

from trioworker.model.outcome import (
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

PREVIEW_CHARS_MAX: Final = 1_000
DURATION_MS_MAX: Final = 2_147_483_647

_encode = msgspec.json.Encoder().encode


class Completion(NamedTuple):
    """One outcome as the commit statement takes it.

    `status` is None for a job that goes back to ready after `delay_s`; `charged` then says
    whether the attempt counts.
    """

    status: str | None
    result: str | None
    error: str | None
    delay_s: float | None
    charged: bool


class Columns(NamedTuple):
    """A batch as parallel columns, in the order of the commit statement's parameters."""

    ids: list[UUID]
    attempts: list[int]
    statuses: list[str | None]
    results: list[str | None]
    errors: list[str | None]
    ages_s: list[float]
    durations_ms: list[int]
    delays_s: list[float | None]
    charged: list[bool]


def complete(outcome: Outcome) -> Completion:
    """What one outcome stores."""
    match outcome:
        case Succeeded(result):
            return Completion("success", result.decode(), None, None, charged=False)
        case Failed(error):
            return Completion("failure", None, _json(error), None, charged=False)
        case Cancelled(reason):
            return Completion("canceled", None, _reason("Cancelled", reason), None, charged=False)
        case Skipped(reason):
            return Completion("skipped", None, _reason("Skipped", reason), None, charged=False)
        case Retried(_, delay_s):
            return Completion(None, None, None, delay_s, charged=True)
        case Snoozed(delay_s):
            return Completion(None, None, None, delay_s, charged=False)
        case Interrupted():
            return Completion(None, None, None, 0.0, charged=False)
        case _:
            assert_never(outcome)


def columns(batch: Sequence[Executed], now_s: float) -> Columns:
    """The batch as columns; `now_s` is the worker's monotonic clock at this try.

    Ages rather than instants are sent, so that started_at is by the database's clock alone.
    """
    made = Columns([], [], [], [], [], [], [], [], [])
    ids, attempts, statuses, results, errors, ages_s, durations_ms, delays_s, charged = made
    for executed in batch:
        completion = complete(executed.outcome)
        ids.append(executed.job.id)
        attempts.append(executed.job.attempt)
        statuses.append(completion.status)
        results.append(completion.result)
        errors.append(completion.error)
        ages_s.append(now_s - executed.started_s)
        durations_ms.append(min(DURATION_MS_MAX, int(executed.duration_s * 1000)))
        delays_s.append(completion.delay_s)
        charged.append(completion.charged)
    return made


def refused(executed: Executed, why: str, *, bare: bool) -> Executed:
    """The failure that takes the place of an outcome which the database refused.

    It keeps the log and the beginning of the result, escaped to plain ASCII; `bare` keeps
    neither, for the case that these were what the database would not take.
    """
    preview = "" if bare else _preview(executed.outcome)
    message = f"the database refused the outcome of this job: {_plain(why)}{preview}"
    return msgspec.structs.replace(
        executed,
        outcome=Failed(JobError("OutcomeRefused", message)),
        log="" if bare else executed.log,
    )


def _preview(outcome: Outcome) -> str:
    if not isinstance(outcome, Succeeded):
        return ""
    text = _plain(outcome.result[: PREVIEW_CHARS_MAX * 4].decode("utf-8", "replace"))
    cut = f" (the first {PREVIEW_CHARS_MAX} of" if len(text) > PREVIEW_CHARS_MAX else " ("
    return f"; the result was{cut} {len(outcome.result):,} bytes): {text[:PREVIEW_CHARS_MAX]}"


def _plain(text: str) -> str:
    """ASCII without control characters and without a sequence that PostgreSQL could reread."""
    return text.encode("ascii", "backslashreplace").decode().replace("\\u0000", "<NUL>")


def _json(error: JobError) -> str:
    return _encode(error).decode()


def _reason(name: str, reason: str) -> str:
    return _json(JobError(name, reason))
