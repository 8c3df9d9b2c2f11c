"""Which jobs are equal, and which results they may take."""

from typing import Any

import msgspec
import pytest

from tests.model.jobs import claimed_job
from trioworker.model.cache import CACHED_BYTES_MAX, CachedResult, hits, result_key, results
from trioworker.model.job import Job
from trioworker.model.options import JobOptions
from trioworker.model.outcome import Executed, Failed, JobError, Outcome, Succeeded


def asking(number: int, *, ttl_s: float | None = 60.0, **fields: object) -> Job:
    """A job that takes results up to `ttl_s` seconds old."""
    job = claimed_job(number)
    return msgspec.structs.replace(job, options=JobOptions(cache_ttl_s=ttl_s), **fields)


def ended(job: Job, outcome: Outcome, *, cached: bool = False) -> Executed:
    """An attempt that is over."""
    return Executed(job, outcome, 0.0, 1.0, cached=cached)


def test_equal_jobs_have_one_key() -> None:
    """Whatever else is said about them."""
    job = asking(1, path="p", args='{"a": 1}')
    assert result_key(asking(2, ttl_s=1.0, tag="other", path="p", args='{"a": 1}')) == (
        result_key(job)
    )


@pytest.mark.parametrize(
    "other",
    [{"kind": "script"}, {"path": "q"}, {"args": '{"a": 2}'}, {"path": 'p{"a"', "args": ": 1}"}],
    ids=str,
)
def test_jobs_that_are_not_equal_have_two(other: dict[str, Any]) -> None:
    """By their kind, their path or their arguments, and wherever one ends and the next begins."""
    one: dict[str, Any] = {"kind": "function", "path": "p", "args": '{"a": 1}'}
    assert result_key(asking(1, **(one | other))) != result_key(asking(1, **one))


def test_a_result_is_taken_that_is_not_too_old() -> None:
    """By the word of the job that asks; it says whose it was."""
    young, old, silent = asking(1, ttl_s=60.0), asking(2, ttl_s=59.0), asking(3, ttl_s=None)
    cached = CachedResult(claimed_job(9).id, 60.0, b"7")
    found = {result_key(job): cached for job in (young, old, silent)}
    (hit,) = hits([young, old, silent], found, now_s=5.0)
    assert (hit.job, hit.outcome, hit.cached) == (young, Succeeded(b"7"), True)
    assert hit.log == f"from the cache: the result of job {cached.job}, 60 s old\n"
    assert hits([young], {}, now_s=5.0) == []


def test_successes_are_kept_that_ask_for_it() -> None:
    """Of equal jobs the last, in the order of the keys."""
    batch = [
        ended(asking(1, path="a"), Succeeded(b"1")),
        ended(asking(2, path="b"), Succeeded(b"2")),
        ended(asking(3, path="a"), Succeeded(b"3")),
        ended(asking(4, path="c"), Failed(JobError("Boom", "no"))),
        ended(asking(5, path="d", ttl_s=None), Succeeded(b"5")),
    ]
    kept = results(batch)
    assert kept is not None
    assert list(kept.keys) == sorted(kept.keys)
    assert sorted(kept.results) == ["2", "3"]
    assert kept.ttls_s == (60.0, 60.0)


def test_what_came_from_the_cache_or_is_too_large_is_not_kept() -> None:
    """A result grows old, however often it is taken."""
    assert results([ended(asking(1), Succeeded(b"1"), cached=True)]) is None
    assert results([ended(asking(1), Succeeded(b"1" * (CACHED_BYTES_MAX + 1)))]) is None
