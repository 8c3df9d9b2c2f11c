"""How batches are cut and divided: nothing lost, nothing twice, nothing out of order."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.jobs import claimed_job
from tests.model.test_completion import executed, outcomes
from trioworker.model.batching import (
    BYTES_MAX,
    BatchPolicy,
    Fallback,
    Mode,
    NotSimple,
    cut,
    divide,
    sizes_for,
    why_not_simple,
)
from trioworker.model.outcome import Executed, Failed, JobError, Outcome, Succeeded


@pytest.mark.parametrize("mode", list(Mode))
def test_only_agent_batch_batches(mode: Mode) -> None:
    """Whatever is asked for, every other mode has sizes of one."""
    sizes = sizes_for(mode, pull=100, commit=500)
    assert (sizes.pull, sizes.commit) == ((100, 500) if mode is Mode.AGENT_BATCH else (1, 1))


@given(st.lists(st.integers(), min_size=2), st.sampled_from(list(Fallback)))
def test_a_divided_batch_is_the_same_jobs_in_order(batch: list[int], fallback: Fallback) -> None:
    """The parts, put together, are the batch; each is smaller than it."""
    parts = divide(batch, fallback)
    assert [item for part in parts for item in part] == batch
    assert all(0 < len(part) < len(batch) for part in parts)


@given(st.lists(st.tuples(outcomes, st.text(max_size=3)), min_size=1, max_size=20))
def test_the_simple_policy_keeps_only_simple_outcomes_together(
    made: list[tuple[Outcome, str]],
) -> None:
    """Every outcome is in one group; groups of several hold only simple ones."""
    batch = [executed(outcome, number, log) for number, (outcome, log) in enumerate(made, 1)]
    groups = cut(batch, BatchPolicy.SIMPLE)
    assert sorted(e.job.id for group in groups for e in group) == [e.job.id for e in batch]
    for group in groups:
        assert len(group) == 1 or all(why_not_simple(e) is None for e in group)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.sampled_from(list(BatchPolicy)))
def test_no_transaction_has_a_job_twice(numbers: list[int], policy: BatchPolicy) -> None:
    """A job that is twice in hand goes into two groups, its first outcome into the first."""
    batch = [executed(Succeeded(b"%d" % place), job) for place, job in enumerate(numbers)]
    groups = cut(batch, policy)
    for group in groups:
        assert len({one.job.id for one in group}) == len(group)
    apart = [one for group in groups for one in group]
    for job in set(numbers):
        assert _results(apart, job) == _results(batch, job)


@pytest.fixture(scope="module")
def results() -> Mapping[int, bytes]:
    """Large ones, by how many quarters of a transaction they fill."""
    return {size: b" " * (size * BYTES_MAX // 4) for size in range(1, 6)}


@given(quarters=st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_a_transaction_is_bounded_in_bytes(
    quarters: list[int], results: Mapping[int, bytes]
) -> None:
    """Large results are spread over transactions, in order; none is left out."""
    batch = [executed(Succeeded(results[size]), n) for n, size in enumerate(quarters, 1)]
    groups = cut(batch, BatchPolicy.FULL)
    assert [e.job.id for group in groups for e in group] == [e.job.id for e in batch]
    for group in groups:
        total = sum(len(e.outcome.result) for e in group if isinstance(e.outcome, Succeeded))
        assert total <= BYTES_MAX or len(group) == 1


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (executed(Succeeded(b"1")), None),
        (executed(Succeeded(b"1"), log="x"), NotSimple.HAS_LOG),
        (executed(Failed(JobError("E", "x"))), NotSimple.NOT_A_SUCCESS),
        (
            msgspec.structs.replace(executed(Succeeded(b"1")), preprocessed="[1]"),
            NotSimple.PREPROCESSED,
        ),
        (
            Executed(
                msgspec.structs.replace(claimed_job(1), kind="dependencies"),
                Succeeded(b"[]"),
                0.0,
                0.0,
            ),
            NotSimple.DEPENDENCIES,
        ),
    ],
)
def test_why_an_outcome_is_not_simple(one: Executed, reason: NotSimple | None) -> None:
    """The reason is the first rule that keeps it out."""
    assert why_not_simple(one) is reason


def _results(batch: Sequence[Executed], job: int) -> list[Outcome]:
    """The outcomes of one job, in order."""
    return [one.outcome for one in batch if one.job.id == UUID(int=job)]
