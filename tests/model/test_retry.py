"""Whether a failed attempt is followed by another, and when."""

from random import Random

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.model.jobs import claimed_job
from trioworker.errors import UsageError
from trioworker.model.options import DELAY_S_MAX, RetryPolicy
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    Interrupted,
    JobError,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
    Succeeded,
    timed_out,
)
from trioworker.model.retry import cut_at_deadline, past_deadline, pause_s, settled, tries_of

BOOM = JobError("Boom", "it broke", "a traceback")
NAMES = ("Boom", "OSError", "ValueError")

names = st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple)
seconds = st.floats(0, DELAY_S_MAX)
plain = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 50),
    delay_s=seconds,
    factor=st.floats(1, 100),
    delay_max_s=seconds,
    jitter=st.floats(0, 1),
    only=names,
    never=names,
)
policies = plain | st.builds(
    lambda policy, by_error: msgspec.structs.replace(policy, by_error=by_error),
    plain,
    st.dictionaries(st.sampled_from(NAMES), plain, max_size=3),
)
errors = st.sampled_from(NAMES).map(lambda name: JobError(name, "it broke"))
failures = st.builds(Failed, errors, names)
tries = st.integers(1, 60)
lefts = st.none() | st.floats(-10, DELAY_S_MAX)
others = st.sampled_from(
    [Succeeded(b"1"), Snoozed(1.0), Cancelled("enough"), Skipped("no"), Interrupted()]
)


def settle(
    outcome: Outcome,
    policy: RetryPolicy | None,
    *,
    tries: int = 1,
    left_s: float | None = None,
    seed: int = 0,
) -> Outcome:
    """What the attempt counts as."""
    return settled(outcome, policy, tries=tries, left_s=left_s, rng=Random(seed))


@given(others, st.none() | policies, tries, lefts)
def test_what_did_not_fail_is_left_as_it_is(
    outcome: Outcome, policy: RetryPolicy | None, tries: int, left_s: float | None
) -> None:
    """Successes, cancels and interruptions above all are never made into another attempt."""
    assert settle(outcome, policy, tries=tries, left_s=left_s) is outcome


@given(failures, tries, lefts)
def test_without_a_policy_a_failure_is_the_end(
    failure: Failed, tries: int, left_s: float | None
) -> None:
    """And its error is as it was."""
    assert settle(failure, None, tries=tries, left_s=left_s) == Failed(failure.error)


@given(failures, policies, tries, lefts, st.integers())
def test_a_failure_is_retried_within_all_bounds_or_not_at_all(
    failure: Failed, policy: RetryPolicy, tries: int, left_s: float | None, seed: int
) -> None:
    """Never past the last attempt or the deadline, and after a pause that the policy allows."""
    outcome = settle(failure, policy, tries=tries, left_s=left_s, seed=seed)
    if isinstance(outcome, Failed):
        assert outcome == Failed(outcome.error)  # nothing is left that was for the policy only
        return
    assert isinstance(outcome, Retried)
    assert outcome.error == failure.error
    chosen = [policy, *policy.by_error.values()]
    longest = max(each.delay_max_s * (1 + each.jitter) for each in chosen)
    assert 0 <= outcome.delay_s <= longest * (1 + 1e-9)
    assert tries < max(each.attempts or 0 for each in chosen)
    assert left_s is None or outcome.delay_s < left_s


@given(failures, plain, tries)
def test_exactly_what_the_policy_means_is_retried(
    failure: Failed, policy: RetryPolicy, tries: int
) -> None:
    """`only` lets in, `never` keeps out and has the last word, by any name of the error."""
    known = {failure.error.name, *failure.kinds}
    meant = (not policy.only or bool(known & set(policy.only))) and not known & set(policy.never)
    again = isinstance(settle(failure, policy, tries=tries), Retried)
    assert again == (meant and tries < (policy.attempts or 0))


@given(failures, plain, st.dictionaries(st.sampled_from(NAMES), plain, min_size=1), tries)
def test_a_policy_of_an_errors_own_takes_the_place_of_the_general_one(
    failure: Failed, policy: RetryPolicy, by_error: dict[str, RetryPolicy], tries: int
) -> None:
    """That of the nearest class, whatever `only` and `never` of the general one say."""
    general = msgspec.structs.replace(policy, by_error=by_error)
    known = (failure.error.name, *failure.kinds)
    chosen = next((by_error[name] for name in known if name in by_error), policy)
    assert settle(failure, general, tries=tries) == settle(failure, chosen, tries=tries)


@given(policies, tries, lefts)
def test_what_failed_for_good_is_not_retried(
    policy: RetryPolicy, tries: int, left_s: float | None
) -> None:
    """What has no chance is stored as it is told."""
    failure = Failed(BOOM, ("OSError",), for_good=True)
    assert settle(failure, policy, tries=tries, left_s=left_s) == Failed(BOOM)


@given(policies, tries)
def test_a_deadline_is_no_error_that_a_policy_may_retry(policy: RetryPolicy, tries: int) -> None:
    """Neither before an attempt nor in the middle of one."""
    for failure in (past_deadline(), cut_at_deadline()):
        assert failure.error.name == "DeadlineExceeded"
        assert settle(failure, policy, tries=tries) == Failed(failure.error)


def test_a_timeout_is_retried_like_an_error() -> None:
    """Its name is Timeout."""
    only = RetryPolicy(attempts=2, only=("Timeout",), jitter=0.0)
    assert settle(timed_out(1.0), only) == Retried(timed_out(1.0).error, 1.0)
    never = RetryPolicy(attempts=2, never=("Timeout",))
    assert settle(timed_out(1.0), never) == timed_out(1.0)


def test_the_last_failure_says_how_many_attempts_there_were() -> None:
    """In front of its own words, for those may be cut; a single attempt is nothing to mention."""
    last = settle(Failed(BOOM), RetryPolicy(attempts=3), tries=3)
    assert last == Failed(JobError("Boom", "attempt 3 of 3: it broke", "a traceback"))
    assert settle(Failed(BOOM), RetryPolicy(attempts=1)) == Failed(BOOM)


def test_a_retry_past_the_deadline_is_not_made() -> None:
    """The failure says so, and with what the attempt had failed."""
    policy = RetryPolicy(attempts=3, delay_s=10.0, jitter=0.0)
    assert settle(Failed(BOOM), policy, left_s=10.1) == Retried(BOOM, 10.0)
    assert settle(Failed(BOOM), policy, left_s=10.0) == Failed(
        JobError(
            "DeadlineExceeded",
            "the deadline of the job comes before its next attempt;"
            " attempt 1 failed with Boom: it broke",
            "a traceback",
        )
    )


@given(st.none() | policies, tries, seconds, lefts)
def test_a_job_that_asks_for_a_retry_itself_has_its_way(
    policy: RetryPolicy | None, tries: int, delay_s: float, left_s: float | None
) -> None:
    """Its delay goes before the policy's, but attempts and deadline hold for it too."""
    outcome = settle(Retried(BOOM, delay_s), policy, tries=tries, left_s=left_s)
    in_time = left_s is None or delay_s < left_s
    attempts_left = policy is None or tries < (policy.attempts or 0)
    if in_time and attempts_left:
        assert outcome == Retried(BOOM, delay_s)
    else:
        assert isinstance(outcome, Failed)


@given(st.floats(0, 1000), st.floats(1, 10), st.integers(1, 5000), st.floats(0, 1000))
def test_pauses_grow_by_the_factor_up_to_the_longest(
    delay_s: float, factor: float, tries: int, delay_max_s: float
) -> None:
    """However many there have been: no number is too large for it."""
    policy = RetryPolicy(
        attempts=9, delay_s=delay_s, factor=factor, delay_max_s=delay_max_s, jitter=0.0
    )
    first, *pauses = [pause_s(policy, nth, Random(0)) for nth in (1, tries, tries + 1)]
    assert first == min(delay_s, delay_max_s)
    assert first <= pauses[0] <= pauses[1] <= delay_max_s
    if pauses[1] < delay_max_s:
        assert pauses[1] == pytest.approx(pauses[0] * factor)


def test_a_factor_of_one_is_a_constant_pause() -> None:
    """As often as it goes on."""
    policy = RetryPolicy(forever=True, factor=1.0, delay_s=7.0, jitter=0.0)
    assert {pause_s(policy, nth, Random(0)) for nth in (1, 2, 3, 10**6)} == {7.0}
    assert settle(Failed(BOOM), policy, tries=10**6) == Retried(BOOM, 7.0)


@given(st.floats(0, 1), st.integers())
def test_jitter_varies_a_pause_by_its_part(jitter: float, seed: int) -> None:
    """In both directions, and by nothing when none is asked for."""
    policy = RetryPolicy(attempts=2, delay_s=100.0, jitter=jitter)
    pause = pause_s(policy, 1, Random(seed))
    assert 100 * (1 - jitter) - 1e-9 <= pause <= 100 * (1 + jitter) + 1e-9


def test_jitter_spreads_jobs_that_failed_together() -> None:
    """A hundred of them do not come back in one moment."""
    policy, rng = RetryPolicy(attempts=2, delay_s=10.0, jitter=0.5), Random(1)
    pauses = [pause_s(policy, 1, rng) for _ in range(100)]
    assert min(pauses) < 7
    assert max(pauses) > 13


@given(st.integers(1, 100), st.integers(0, 100))
def test_attempts_that_were_lost_with_a_worker_are_not_counted(attempt: int, reaped: int) -> None:
    """They have a limit of their own; and no job has run less than once."""
    assume(reaped < attempt)
    job = msgspec.structs.replace(claimed_job(1), attempt=attempt, reaped=reaped)
    assert tries_of(job) == attempt - reaped


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"attempts": 0},
        {"attempts": 3, "forever": True},
        {"attempts": 3, "delay_s": -1.0},
        {"attempts": 3, "delay_s": float("nan")},
        {"attempts": 3, "factor": 0.5},
        {"attempts": 3, "jitter": 1.5},
        {"attempts": 3, "delay_max_s": float("inf")},
        {"attempts": 3, "by_error": {"A": RetryPolicy(2, by_error={"B": RetryPolicy(2)})}},
    ],
)
def test_a_policy_that_cannot_be_is_refused(said: dict[str, object]) -> None:
    """One that would never end without saying so above all."""
    with pytest.raises(UsageError):
        RetryPolicy(**said)  # type: ignore[arg-type]  # any of them, as they come
