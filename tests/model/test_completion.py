"""From outcomes to columns: pure, so every case can be tried."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.jobs import claimed_job
from trioworker.model.completion import BEGUN, columns, complete, refused
from trioworker.model.outcome import (
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

errors = st.builds(JobError, st.text(), st.text(), st.none() | st.text())
delays = st.floats(0, 1e6)
outcomes = st.one_of(
    st.builds(Succeeded, st.sampled_from([b"null", b"1", b'{"a":[]}'])),
    st.builds(Failed, errors),
    st.builds(Retried, errors, delays),
    st.builds(Snoozed, delays),
    st.builds(Cancelled, st.text()),
    st.builds(Skipped, st.text()),
    st.just(Interrupted()),
    st.just(Begun()),
)


def executed(outcome: Outcome, number: int = 1, log: str = "") -> Executed:
    """An execution of job `number`, started at 10.0 s, that took 2.5 s."""
    return Executed(claimed_job(number), outcome, 10.0, 2.5, log)


@given(outcomes)
def test_every_outcome_goes_where_the_table_says(outcome: Outcome) -> None:
    """A status for what ends, a delay for what goes back, and begun for a flow that waits."""
    completion = complete(outcome)
    if destination(outcome) is Place.COMPLETED:
        assert completion.status in {"success", "failure", "canceled", "skipped"}
        assert completion.delay_s is None
    elif destination(outcome) is Place.FLOW:
        assert completion.status == BEGUN
        assert completion.delay_s is None
    else:
        assert completion.status is None
        assert completion.delay_s is not None
    assert completion.charged == isinstance(outcome, Retried)


@given(st.lists(outcomes, min_size=1, max_size=20))
def test_columns_are_parallel_and_in_order(made: list[Outcome]) -> None:
    """Every column has one entry per outcome, or none at all when all succeeded."""
    batch = [executed(outcome, number) for number, outcome in enumerate(made, 1)]
    result = columns(batch, now_s=14.0)
    assert [id_.int for id_ in result.ids] == list(range(1, len(made) + 1))
    assert set(result.ages_s) == {4.0}
    assert set(result.durations_ms) == {2500}
    all_succeeded = all(isinstance(outcome, Succeeded) for outcome in made)
    sparse = (result.statuses, result.errors, result.delays_s, result.charged)
    assert {len(column) for column in sparse} == {0 if all_succeeded else len(made)}
    assert len(result.results) == len(made)


@given(errors)
def test_an_error_can_always_be_stored(error: JobError) -> None:
    """Whatever a job says when it fails is valid JSON without NUL, within its bounds."""
    text = complete(Failed(error)).error
    assert text is not None
    assert "\\u0000" not in text
    msgspec.json.decode(text)


@given(outcomes, st.text())
def test_what_is_refused_becomes_plain_text(outcome: Outcome, why: str) -> None:
    """The failure in its place can itself be stored, whatever was refused and why."""
    kept = refused(executed(outcome, log="kept"), why, bare=False)
    bare = refused(executed(outcome, log="dropped"), why, bare=True)
    assert (kept.log, bare.log) == ("kept", "")
    for replaced in (kept, bare):
        assert isinstance(replaced.outcome, Failed)
        assert replaced.outcome.error.message.isascii()
        assert "\\u0000" not in (complete(replaced.outcome).error or "")
    assert kept.job.id == bare.job.id


def test_the_preview_of_a_refused_result_is_cut() -> None:
    """A large result leaves its beginning and its size behind."""
    big = Succeeded(b'"' + b"x" * 5000 + b'"')
    replaced = refused(executed(big), "too big", bare=False).outcome
    assert isinstance(replaced, Failed)
    assert "; the result was (the first 1000 of 5,002 bytes): " in replaced.error.message
    assert len(replaced.error.message) < 1200


@pytest.mark.parametrize(("result", "size"), [(b"1", "1 byte"), (b"true", "4 bytes")])
def test_a_refused_result_that_is_short_is_told_in_full(result: bytes, size: str) -> None:
    """How large it was, and what it was."""
    replaced = refused(executed(Succeeded(result)), "no", bare=False).outcome
    assert isinstance(replaced, Failed)
    assert replaced.error.message.endswith(f"; the result was ({size}): {result.decode()}")
