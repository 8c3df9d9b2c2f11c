"""What to do when a commit fails: a pure function from the failure to the next step.

The policy in one table (every wait is jittered exponential backoff, every wait can be cancelled):

    failure       a batch                             a single job
    ------------  ----------------------------------  --------------------------------------
    connection    wait for the server, the batch      wait for the server, again; a job that
    unavailable   once more, then divide it           breaks the line 20 times is refused
    contention    the batch once more, then divide    again, for as long as it takes
    timeout       the batch once more, then divide    again, for as long as it takes
    slow          divide at once                      3 times, then store a failure
    exhausted     wait, once more, then divide        again, for as long as it takes
    refused       divide at once                      store a failure that says so
    unknown       divide at once                      3 times, then store a failure

'Wait for the server' does not count as a try: an outage of any length costs no batch its
neighbours. 'Slow' is a statement that a job handed over: it is the job's, and keeps others waiting
for no more than these tries. A failed commit is never a failed job while anything else is left to
try.
"""

from enum import StrEnum
from random import Random
from typing import Final

from trioworker.errors import (
    ConnectionLost,
    Contention,
    Exhausted,
    NotAllowed,
    Refused,
    ServerUnavailable,
    StatementOfJobTimeout,
    StatementTimeout,
    StoreError,
)

LINE_BREAKS_MAX: Final = 20
UNKNOWN_TRIES_MAX: Final = 3
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LAST_S: Final = 5.0


class Failure(StrEnum):
    """The classes of failure that are treated differently."""

    CONNECTION = "connection lost"
    UNAVAILABLE = "server unavailable"
    CONTENTION = "contention"
    TIMEOUT = "timeout"
    SLOW = "slow statement of a job"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    UNKNOWN = "unknown"


class Step(StrEnum):
    """What the commit task does next with the outcomes that were not stored."""

    AGAIN = "again"
    """The same outcomes in one transaction, after a pause."""
    AGAIN_WHEN_BACK = "again when the server is back"
    """The same, once the server answers: waiting for that costs no try."""
    DIVIDE = "divide"
    """The same outcomes in smaller groups."""
    REFUSE = "refuse"
    """Store a failure in the place of what the database will not take."""


_CLASSES: Final = {
    ConnectionLost: Failure.CONNECTION,
    ServerUnavailable: Failure.UNAVAILABLE,
    Contention: Failure.CONTENTION,
    StatementTimeout: Failure.TIMEOUT,
    StatementOfJobTimeout: Failure.SLOW,
    Refused: Failure.REFUSED,
    Exhausted: Failure.EXHAUSTED,
    NotAllowed: Failure.EXHAUSTED,
}
_OUTAGES: Final = frozenset({Failure.CONNECTION, Failure.UNAVAILABLE})


def classify(error: StoreError) -> Failure:
    """The class of `error`; what fits none is UNKNOWN."""
    return _CLASSES.get(type(error), Failure.UNKNOWN)


def next_step(failure: Failure, *, size: int, tries: int, alike: int) -> Step:
    """The step after `failure` of a commit of `size` outcomes that was tried `tries` times.

    `alike` of these failed in this way: bad weather of another kind is no fault of the outcome's.
    Both count this failure and start again at 1 for every group of a divided batch.
    """
    assert size >= 1
    assert 1 <= alike <= tries
    return _step_for_batch(failure, tries) if size > 1 else _step_for_one(failure, alike)


def _step_for_batch(failure: Failure, tries: int) -> Step:
    if failure in (Failure.REFUSED, Failure.SLOW, Failure.UNKNOWN) or tries > 1:
        return Step.DIVIDE
    return Step.AGAIN_WHEN_BACK if failure in _OUTAGES else Step.AGAIN


def _step_for_one(failure: Failure, alike: int) -> Step:
    if failure is Failure.REFUSED:
        return Step.REFUSE
    if failure in (Failure.SLOW, Failure.UNKNOWN) and alike >= UNKNOWN_TRIES_MAX:
        return Step.REFUSE
    if failure is Failure.CONNECTION and alike >= LINE_BREAKS_MAX:
        return Step.REFUSE
    return Step.AGAIN_WHEN_BACK if failure in _OUTAGES else Step.AGAIN


def backoff_s(tries: int, rng: Random) -> float:
    """Seconds to wait after `tries` failures: doubling, capped, with 'full jitter'.

    Full jitter (uniform between a floor and the exponential) spreads many workers that lost the
    same server: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2 ** min(tries - 1, 16))
    return rng.uniform(BACKOFF_FIRST_S / 2, ceiling)
