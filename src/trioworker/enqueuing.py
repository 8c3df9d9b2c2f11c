"""What a client makes of what a user says about a job: arguments encoded, times that can be.

Rule of this file: it stores nothing, and says what is wrong in words a user can act on.
"""

from datetime import datetime, timedelta
from math import inf

import msgspec

from trioworker.errors import InvalidArguments, UsageError


def encoded_args(path: str, args: object) -> bytes:
    """Arguments as they are stored. Raises `InvalidArguments`."""
    if not isinstance(args, dict | list | None):
        kind = type(args).__name__
        raise InvalidArguments(
            f"job {path!r}: arguments are a dict (by name) or a list (by position), not a {kind}"
        )
    try:
        return msgspec.json.encode({} if args is None else args)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArguments(f"job {path!r}: the arguments cannot be JSON: {error}") from error


def check_kind(kind: str, path: str) -> None:
    """Raises `UsageError` for what nobody enqueues."""
    if kind == "approval":
        raise UsageError(
            f"job {path!r}: an approval is a step of a flow, and is never enqueued by itself;"
            " push a flow that has one"
        )


def check_due(scheduled_for: datetime | None, delay_s: float | None) -> None:
    """Raises `UsageError` when no job can be due then."""
    if scheduled_for is not None and delay_s is not None:
        raise UsageError("a job is due at a time or after a delay; give one of the two")
    check_zone(scheduled_for)
    if delay_s is not None and not 0 <= delay_s < inf:
        raise UsageError(f"a delay of {delay_s} s will not do; it must be 0 or more")


def check_zone(moment: datetime | None) -> None:
    """Raises `UsageError` for a time that is another one elsewhere."""
    if moment is not None and moment.tzinfo is None:
        raise UsageError(f"the time {moment} has no time zone; give it one")


def after(now: datetime | None, delay_s: float) -> datetime:
    """So much later. Raises `UsageError`."""
    assert now is not None
    try:
        return now + timedelta(seconds=delay_s)
    except OverflowError:
        raise UsageError(f"a delay of {delay_s} s leads past all calendars") from None
