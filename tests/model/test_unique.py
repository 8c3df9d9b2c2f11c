"""Which of the jobs with one key are stored, whoever holds the key."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker.errors import UsageError
from trioworker.model.job import NewJob
from trioworker.model.job_settings import resolve
from trioworker.model.options import Debounce, Handler, JobOptions, Unique
from trioworker.model.unique import Decision, Holder, Key, Standing, decide, key_of, refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("unique", "k")
FIRST = UUID(int=1000)


def seconds(s: float) -> datetime:
    """So long after NOW."""
    return NOW + timedelta(seconds=s)


def job(number: int, unique: Unique | None = None, debounce: Debounce | None = None) -> NewJob:
    """Job `number`."""
    options = JobOptions(unique=unique, debounce=debounce)
    return NewJob(id=UUID(int=number), kind="function", path="f", args=b"{}", options=options)


def decided(
    jobs: Sequence[NewJob], holder: Holder | None = None, known: Sequence[NewJob] = ()
) -> Decision:
    """What becomes of `jobs` when all their keys are in the hands of `holder`."""
    held = Holder() if holder is None else holder
    holders = {key: held for job in jobs if (key := key_of(job)) is not None}
    return decide(jobs, known={job.id for job in known}, holders=holders, now=NOW)


def numbers(jobs: Mapping[UUID, UUID]) -> dict[int, int]:
    """Ids as their numbers."""
    return {old.int: new.int for old, new in jobs.items()}


@pytest.mark.parametrize(
    ("holder", "held"),
    [
        (Holder(), False),
        (Holder(None, "unfinished", None, None, "queued"), False),
        (Holder(FIRST, "queued", None, None, "queued"), True),
        (Holder(FIRST, "queued", None, None, "begun"), False),
        (Holder(FIRST, "queued", None, None, "ended"), False),
        (Holder(FIRST, "unfinished", None, None, "queued"), True),
        (Holder(FIRST, "unfinished", None, None, "begun"), True),
        (Holder(FIRST, "unfinished", None, None, "ended"), False),
        (Holder(FIRST, "period", seconds(0.001), None, "ended"), True),
        (Holder(FIRST, "period", seconds(0), None, "begun"), False),
        (Holder(FIRST, None, None, NOW, "queued"), True),
        (Holder(FIRST, None, None, NOW, "begun"), False),
    ],
)
def test_a_key_is_held_as_its_holder_says(holder: Holder, *, held: bool) -> None:
    """While the job is queued or unfinished, or for a time; a debounce while it is queued."""
    assert holder.holds(NOW) is held


def test_a_job_without_a_key_is_stored() -> None:
    """Beside jobs that are kept out."""
    jobs = [job(1), job(2, Unique("k"))]
    decision = decided(jobs, Holder(FIRST, "unfinished", None, None, "begun"))
    assert decision == Decision([jobs[0]], {jobs[1].id: FIRST}, {}, {})


def test_what_is_stored_takes_the_key() -> None:
    """With what the job says about it."""
    jobs = [job(1, Unique("k", "period", 60))]
    held = {KEY: Holder(jobs[0].id, "period", seconds(60), None, "queued")}
    assert decided(jobs) == Decision(jobs, {}, {}, held)


def test_a_chain_within_one_enqueue() -> None:
    """Each replaces the one before it, the last one has the key."""
    jobs = [job(n, Unique("k", on_conflict="replace")) for n in (3, 1, 2)]
    decision = decided(jobs, Holder(FIRST, "unfinished", None, None, "queued"))
    assert decision.stored == jobs
    assert numbers(decision.replaced) == {1000: 3, 3: 1, 1: 2}
    assert decision.held[KEY].job == jobs[-1].id


def test_known_jobs_are_left_alone() -> None:
    """They neither take a key nor are told of a conflict, but may be replaced."""
    jobs = [job(1, Unique("k", on_conflict="raise")), job(2, Unique("k", on_conflict="replace"))]
    decision = decided(jobs, Holder(UUID(int=1), "queued", None, None, "queued"), known=jobs[:1])
    assert (decision.stored, decision.first) == (jobs[1:], {})
    assert numbers(decision.replaced) == {1: 2}


def test_only_those_that_say_so_are_refused() -> None:
    """With the job that is in their way, which may be one of the same enqueue."""
    jobs = [job(1, Unique("k")), job(2, Unique("k")), job(3, Unique("k", on_conflict="raise"))]
    assert [*refused(jobs, decided(jobs).first)] == [(UUID(int=3), UUID(int=1), "k")]


@given(
    st.lists(st.floats(0.001, 100.0), min_size=1, max_size=9),
    st.floats(0.001, 50.0),
    st.none() | st.floats(50.0, 500.0),
)
def test_debounced_jobs_run_once_and_not_too_late(
    pauses: Sequence[float], delay_s: float, max_wait_s: float | None
) -> None:
    """However they come, as long as none of them has begun."""
    now, holder, dues = NOW, Holder(), list[datetime]()
    for number, pause in enumerate(pauses):
        asked = job(number, debounce=Debounce(delay_s, "k", max_wait_s))
        key = Key("debounce", "k")
        decision = decide([asked], known=set(), holders={key: holder}, now=now)
        (stored,) = decision.stored
        assert len(decision.replaced) == (number > 0)
        assert stored.scheduled_for is not None
        dues.append(stored.scheduled_for)
        assert dues[-1] <= now + timedelta(seconds=delay_s)
        holder, now = decision.held[key], now + timedelta(seconds=pause)
    assert dues == sorted(dues)
    if max_wait_s is not None:
        assert dues[-1] <= seconds(max_wait_s)


@pytest.mark.parametrize("standing", ["begun", "ended"])
def test_a_debounced_job_that_has_begun_is_the_last_of_its_row(standing: Standing) -> None:
    """The time of the next one counts from itself."""
    asked = job(1, debounce=Debounce(5, "k", 10))
    decision = decided([asked], Holder(FIRST, None, None, seconds(-10), standing))
    assert decision.stored[0].scheduled_for == seconds(5)
    assert decision.held[Key("debounce", "k")].first_at == NOW


def test_ready_made_options_have_the_same_default_key_as_settings() -> None:
    """Path and arguments, in whatever order the arguments are written."""
    options = JobOptions(unique=Unique())
    resolved = resolve(
        {"unique": Unique()}, path="f", args=b'{"b":1,"a":2}', handler=Handler, now=None
    )
    made = NewJob(id=FIRST, kind="function", path="f", args=b'{"a": 2, "b": 1}', options=options)
    assert resolved.options.unique is not None
    assert key_of(made) == Key("unique", resolved.options.unique.key)


def test_a_job_is_not_unique_and_debounced() -> None:
    """One of them stores the first, the other one the last."""
    with pytest.raises(UsageError, match="unique or debounced, not both"):
        JobOptions(unique=Unique("k"), debounce=Debounce(1, "k"))
