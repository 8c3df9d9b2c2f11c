"""What an exception that leaves a job means: an outcome.

Rule of this file: it runs inside a worker and inside the processes of CPU-bound jobs, so it knows
neither Trio nor asyncio. Whoever calls it has let cancellations pass already.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from trioworker.app import RetryIf
from trioworker.errors import Cancel, Retry, Snooze
from trioworker.model.outcome import (
    ERROR_MESSAGE_CHARS_MAX,
    TRACEBACK_CHARS_MAX,
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)

DELAY_S_MAX: Final = 10 * 365 * 24 * 3600
LEAVES_SHOWN_MAX: Final = 5

_OURS: Final = str(Path(__file__).parent)
_CUT: Final = "\n… cut …\n"
_encode: Final = msgspec.json.Encoder().encode


class NotRunnable(Exception):
    """The job cannot be started at all; `error` is what it fails with."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.error = JobError(name, message)


def failed(name: str, message: str, traceback_text: str | None = None) -> Failed:
    """A failure whose texts are cut to what may be stored."""
    trace = None if traceback_text is None else _cut(traceback_text, TRACEBACK_CHARS_MAX)
    return Failed(JobError(name, _cut(message, ERROR_MESSAGE_CHARS_MAX), trace))


def returned(value: object) -> Outcome:
    """The outcome of a job that returned `value`; a failure when JSON cannot hold it."""
    try:
        return Succeeded(_encode(value))
    except Exception as error:  # noqa: BLE001 - encoding calls into the user's own types
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        message = f"the job returned a {kind} that cannot be written as JSON: {_message(error)}"
        return failed("UnserializableResult", message)


def each_returned(
    value: object, *, calls: int, retry_if: RetryIf | None = None
) -> Sequence[Outcome]:
    """The outcomes of the jobs of a chunk whose function returned `value` for so many `calls`."""
    if not isinstance(value, list | tuple):
        what = f"a {type(value).__name__}"
    elif len(value) != calls:
        what = f"{len(value)} results for {calls} calls"
    else:
        return [_item(item, retry_if) for item in value]
    message = (
        f"the chunk function returned {what}; it must return a list with a result or an exception"
        f" for each of its {calls} calls, in their order"
    )
    return [failed("InvalidResults", message)] * calls


def _item(item: object, retry_if: RetryIf | None) -> Outcome:
    return outcome_of(item, retry_if) if isinstance(item, BaseException) else returned(item)


def outcome_of(error: BaseException, retry_if: RetryIf | None = None) -> Outcome:
    """The outcome of a job that `error` left; `retry_if` has a say in whether it is retried."""
    leaves = _leaves(error)
    only = leaves[0] if len(leaves) == 1 else error
    outcome = _outcome_of(error, only, leaves)
    if not isinstance(outcome, Failed):
        return outcome
    kinds = tuple(kind.__name__ for kind in type(only).__mro__[1:-1])
    failure = msgspec.structs.replace(outcome, kinds=kinds)
    return failure if retry_if is None else _decided(failure, only, retry_if)


def _decided(failure: Failed, error: BaseException, retry_if: RetryIf) -> Failed:
    try:
        return msgspec.structs.replace(failure, for_good=not retry_if(error))
    except Exception as second:  # noqa: BLE001 - it is the user's code
        why = f"; its retry_if raised {type(second).__name__}: {_message(second)}"
        message = _cut(failure.error.message + why, ERROR_MESSAGE_CHARS_MAX)
        told = msgspec.structs.replace(failure.error, message=message)
        return msgspec.structs.replace(failure, error=told, for_good=True)


def _outcome_of(error: BaseException, only: BaseException, leaves: list[BaseException]) -> Outcome:
    match only:
        case Snooze(delay_s=delay_s):
            return Snoozed(float(delay_s)) if _is_delay(delay_s) else _bad_delay(only, delay_s)
        case Retry(delay_s=delay_s):
            if not _is_delay(delay_s):
                return _bad_delay(only, delay_s)
            because = error if error.__cause__ or error.__context__ else None
            return Retried(_failure("Retry", _message(only), because).error, float(delay_s))
        case Cancel():
            return Cancelled(_cut(_message(only) or "the job cancelled itself", 1_000))
        case BaseExceptionGroup():
            return _failure(type(only).__name__, _summary(leaves), only)
        case _:
            return _failure(type(only).__name__, _message(only), error)


def tail(text: str, chars: int = 600) -> str:
    """The end of a log, to be put into an error message; says so when there is none."""
    text = text.strip()
    return f"last output: {text[-chars:]}" if text else "it wrote no output"


def _failure(name: str, message: str, error: BaseException | None) -> Failed:
    return failed(name, message, None if error is None else _traceback(error))


def _traceback(error: BaseException) -> str:
    frames = _users_frames(error.__traceback__)
    return "".join(traceback.TracebackException(type(error), error, frames, compact=True).format())


def _users_frames(frames: TracebackType | None) -> TracebackType | None:
    """Without the leading frames that are ours: the story starts in the user's code."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return frames


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for child in error.exceptions for leaf in _leaves(child)]


def _summary(leaves: list[BaseException]) -> str:
    shown = "; ".join(f"{type(e).__name__}: {_message(e)}" for e in leaves[:LEAVES_SHOWN_MAX])
    more = len(leaves) - LEAVES_SHOWN_MAX
    return shown + (f"; and {more} more" if more > 0 else "")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - an exception's __str__ is the user's code
        return f"(its text could not be read: {type(second).__name__})"


def _is_delay(delay_s: object) -> bool:
    return isinstance(delay_s, int | float) and 0 <= delay_s <= DELAY_S_MAX


def _bad_delay(verdict: BaseException, delay_s: object) -> Failed:
    name = type(verdict).__name__
    return _failure(
        f"Invalid{name}",
        f"{name} wants delay_s in seconds, from 0 to {DELAY_S_MAX}; it was {delay_s!r}",
        verdict,
    )


def _cut(text: str, chars_max: int) -> str:
    if len(text) <= chars_max:
        return text
    half = (chars_max - len(_CUT)) // 2
    return text[:half] + _CUT + text[-half:]
