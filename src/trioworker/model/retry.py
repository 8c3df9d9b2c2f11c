"""Whether a failed attempt is followed by another, and when: a pure function of the failure.

    the attempt                          with a policy                  without one
    -----------------------------------  -----------------------------  -------------------------
    failed, or ran into its timeout      another after the pause, while the job has failed
                                         attempts are left and the
                                         policy means this error
    raised `Retry`                       another after the delay that   another after the delay
                                         it asked for, while attempts   that it asked for
                                         are left
    failed for good                      the job has failed             the job has failed
    anything else (success, snooze,      as it is                       as it is
    cancel, interruption)

A failure is *for good* when the job's deadline cut it, the function's `retry_if` said so, or what
was asked for can never be done. No attempt is made that could not begin before the deadline.
Attempts are counted without those that were lost with their worker: these have a limit of their
own.
"""

from random import Random

import msgspec

from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import Failed, JobError, Outcome, Retried


def settled(
    outcome: Outcome,
    policy: RetryPolicy | None,
    *,
    tries: int,
    left_s: float | None,
    rng: Random,
) -> Outcome:
    """What an attempt counts as that ended with `outcome`, the `tries`-th of its job.

    `left_s` is how many seconds are left until the job's deadline, None without one.
    """
    match outcome:
        case Failed(error, kinds, for_good):
            chosen = None if policy is None or for_good else _policy_for(policy, error.name, kinds)
            if chosen is None:
                return Failed(error)
            return _next(chosen, error, None, tries=tries, left_s=left_s, rng=rng)
        case Retried(error, delay_s):
            return _next(policy, error, delay_s, tries=tries, left_s=left_s, rng=rng)
        case _:
            return outcome


def tries_of(job: Job) -> int:
    """Which attempt of the job this is, not counting those that were lost with their worker."""
    return max(1, job.attempt - job.reaped)


def pause_s(policy: RetryPolicy, tries: int, rng: Random) -> float:
    """Seconds from the end of the `tries`-th attempt to the next, varied by the policy's jitter."""
    try:
        pause = policy.delay_s * policy.factor ** (tries - 1)
    except OverflowError:
        pause = policy.delay_max_s if policy.delay_s else 0.0
    pause = min(pause, policy.delay_max_s)
    if not policy.jitter:
        return pause
    return pause * rng.uniform(1 - policy.jitter, 1 + policy.jitter)


def past_deadline() -> Failed:
    """The failure of a job whose deadline passed before this attempt could begin."""
    return _for_good("the deadline of the job had passed before it could begin")


def cut_at_deadline() -> Failed:
    """The failure of an attempt that still ran at the deadline of its job."""
    return _for_good("the job was stopped at its deadline")


def _for_good(message: str) -> Failed:
    return Failed(JobError("DeadlineExceeded", message), for_good=True)


def _policy_for(policy: RetryPolicy, name: str, kinds: tuple[str, ...]) -> RetryPolicy | None:
    """The policy for an error of this name that is of these kinds too; None: it is not retried."""
    names = (name, *kinds)
    for each in names:
        if each in policy.by_error:
            return _policy_for(policy.by_error[each], name, kinds)
    meant = not policy.only or any(each in policy.only for each in names)
    return policy if meant and not any(each in policy.never for each in names) else None


def _next(
    policy: RetryPolicy | None,
    error: JobError,
    asked_s: float | None,
    *,
    tries: int,
    left_s: float | None,
    rng: Random,
) -> Failed | Retried:
    """Another attempt, after `asked_s` or as the policy says; a failure when none may follow."""
    attempts = None if policy is None else policy.attempts
    if attempts is not None and tries >= attempts:
        return Failed(_last(error, tries, attempts))
    if asked_s is None:
        assert policy is not None
        asked_s = pause_s(policy, tries, rng)
    if left_s is not None and asked_s >= left_s:
        return Failed(_out_of_time(error, tries))
    return Retried(error, asked_s)


def _last(error: JobError, tries: int, attempts: int) -> JobError:
    if tries == 1:
        return error
    # In front, because the end of a long message is cut.
    message = f"attempt {tries} of {attempts}: {error.message}"
    return msgspec.structs.replace(error, message=message)


def _out_of_time(error: JobError, tries: int) -> JobError:
    message = (
        "the deadline of the job comes before its next attempt;"
        f" attempt {tries} failed with {error.name}: {error.message}"
    )
    return msgspec.structs.replace(error, name="DeadlineExceeded", message=message)
