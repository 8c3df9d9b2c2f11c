"""The policy after a failed commit, held against the table in its docstring."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker import errors
from trioworker.model.failures import (
    BACKOFF_LAST_S,
    LINE_BREAKS_MAX,
    UNKNOWN_TRIES_MAX,
    Failure,
    Step,
    backoff_s,
    classify,
    next_step,
)

ONCE_MORE_THEN_DIVIDE = {
    Failure.CONNECTION: Step.AGAIN_WHEN_BACK,
    Failure.UNAVAILABLE: Step.AGAIN_WHEN_BACK,
    Failure.CONTENTION: Step.AGAIN,
    Failure.TIMEOUT: Step.AGAIN,
    Failure.EXHAUSTED: Step.AGAIN,
}


@pytest.mark.parametrize("failure", list(Failure))
def test_a_batch_is_tried_once_more_at_most(failure: Failure) -> None:
    """A transient failure earns the batch one more try; after that, and for others, divide."""
    first = next_step(failure, size=2, tries=1, alike=1)
    assert first == ONCE_MORE_THEN_DIVIDE.get(failure, Step.DIVIDE)
    assert next_step(failure, size=2, tries=2, alike=1) is Step.DIVIDE


@given(st.sampled_from(list(Failure)), st.integers(1, 1000), st.integers(1, 1000))
def test_nothing_is_ever_divided_below_one(failure: Failure, size: int, tries: int) -> None:
    """Only batches are divided, only single outcomes are refused."""
    step = next_step(failure, size=size, tries=tries, alike=tries)
    assert (step is Step.DIVIDE) <= (size > 1)
    assert (step is Step.REFUSE) <= (size == 1)


@given(st.sampled_from(sorted(ONCE_MORE_THEN_DIVIDE)), st.integers(1, LINE_BREAKS_MAX - 1))
def test_what_may_pass_is_never_made_a_failure(failure: Failure, tries: int) -> None:
    """A single outcome outlasts outages, contention, timeouts and a full disk."""
    assert next_step(failure, size=1, tries=tries, alike=tries) is not Step.REFUSE


@pytest.mark.parametrize(
    ("failure", "at_last"),
    [
        (Failure.UNKNOWN, UNKNOWN_TRIES_MAX),
        (Failure.SLOW, UNKNOWN_TRIES_MAX),
        (Failure.CONNECTION, LINE_BREAKS_MAX),
    ],
)
def test_failures_of_another_kind_do_not_count(failure: Failure, at_last: int) -> None:
    """After a thousand timeouts it still takes as many failures alike to refuse an outcome."""
    assert next_step(failure, size=1, tries=1000, alike=at_last - 1) is not Step.REFUSE
    assert next_step(failure, size=1, tries=1000, alike=at_last) is Step.REFUSE


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (errors.ConnectionLost("x"), Failure.CONNECTION),
        (errors.ServerUnavailable("x"), Failure.UNAVAILABLE),
        (errors.Contention("x"), Failure.CONTENTION),
        (errors.StatementTimeout("x"), Failure.TIMEOUT),
        (errors.StatementOfJobTimeout("x"), Failure.SLOW),
        (errors.Refused("x"), Failure.REFUSED),
        (errors.Exhausted("x"), Failure.EXHAUSTED),
        (errors.UnknownStoreError("x"), Failure.UNKNOWN),
        (errors.SchemaMismatch("x"), Failure.UNKNOWN),
    ],
)
def test_every_store_error_has_a_class(error: errors.StoreError, failure: Failure) -> None:
    """The class decides; nothing falls through."""
    assert classify(error) is failure


@given(st.integers(1, 10_000), st.integers())
def test_backoff_is_bounded(tries: int, seed: int) -> None:
    """However often it failed, the pause stays between nothing and the cap."""
    assert 0 < backoff_s(tries, Random(seed)) <= BACKOFF_LAST_S
