"""How small a state is, how it is written, and that a wide flow costs no more than its steps."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.flow_driver import ROOT, START, Asked, Driver, id_of
from tests.model.flow_work import worked
from trioworker.model import flow_state
from trioworker.model.flow import Flow, flow_of
from trioworker.model.flow_advance import (
    Advanced,
    FlowRun,
    Missing,
    StepEnd,
    advance,
    begin,
    early_result,
    unfinished,
)
from trioworker.model.flow_state import job_of, place_of, place_text, ref_of
from trioworker.model.job import NewJob
from trioworker.model.outcome import Succeeded

WIDE_BYTES_MAX = 60_000
"""A loop of a thousand iterations stays below it."""


def wide(*more: Mapping[str, Any], parallel: object = True) -> Flow:
    """A flow with a loop over the items that it is given."""
    first = {"type": "function", "id": "a", "path": "echo", "args": [{"expr": "iter.value"}]}
    items = {"expr": "input.list"}
    loop = {"type": "for_each", "id": "each", "items": items, "parallel": parallel}
    return flow_of(json.dumps({"steps": [loop | {"steps": [first, *more]}]}))


def run_of(flow: Flow, given: object, state: flow_state.FlowState | None = None) -> FlowRun:
    """A run of it."""
    args = msgspec.json.encode(given)
    return FlowRun(ROOT, 1, ROOT, "f", args, "default", 0, flow, state)


def ends_of(jobs: Sequence[NewJob], result: bytes = b"1") -> list[StepEnd]:
    """All of them succeed."""
    return [
        StepEnd(job.options.step.at, job.id, "success", result, None)
        for job in jobs
        if job.options.step
    ]


def advanced(run: FlowRun, ends: Sequence[StepEnd]) -> Advanced:
    """What comes of the ends."""
    return advance(run, ends, now=START, id_of=id_of, known={})


def begun(flow: Flow, given: object) -> Advanced:
    """What comes of the beginning."""
    return begin(run_of(flow, given), now=START, id_of=id_of, known={})


@pytest.mark.parametrize("size", [1, 100])
def test_a_wide_loop_has_a_small_state(size: int) -> None:
    """When all of it runs, when half has ended, and when all has, whatever the items."""
    flow = wide({"type": "function", "id": "b", "path": "echo", "args": [1]})
    given_ = {"list": ["x" * size] * 1_000}
    now = begun(flow, given_)
    sizes = [len(flow_state.encode(now.state))]
    jobs = now.jobs
    for part in (jobs[:500], jobs[500:]):
        now = advanced(run_of(flow, given_, now.state), ends_of(part))
        sizes.append(len(flow_state.encode(now.state)))
        jobs = [*jobs, *now.jobs]
    now = advanced(run_of(flow, given_, now.state), ends_of(jobs[1_000:-1]))
    sizes.append(len(flow_state.encode(now.state)))
    assert max(sizes) < WIDE_BYTES_MAX, sizes


def test_ten_thousand_items_run_at_the_same_time() -> None:
    """And their results are all there, in order."""
    flow = wide()
    given_ = {"list": [*range(10_000)]}
    now = begun(flow, given_)
    assert len(now.jobs) == 10_000
    jobs = [*now.jobs]
    Random(1).shuffle(jobs)
    for start in range(0, 10_000, 500):
        ends = [
            end._replace(result=job.args[1:-1])
            for job, end in zip(jobs[start:], ends_of(jobs[start : start + 500]), strict=False)
        ]
        known = {job.id: job.args[1:-1] for job in jobs}
        now = advance(run_of(flow, given_, now.state), ends, now=START, id_of=id_of, known=known)
    assert now.outcome == Succeeded(msgspec.json.encode([*range(10_000)]))


def test_no_more_run_at_a_time_than_a_loop_says() -> None:
    """The next one begins in the call that is told of an end."""
    flow, given_ = wide(parallel=4), {"list": [*range(9)]}
    now = begun(flow, given_)
    assert len(now.jobs) == 4
    now = advanced(run_of(flow, given_, now.state), ends_of(now.jobs[1:3]))
    assert [job.args for job in now.jobs] == [b"[4]", b"[5]"]
    assert len([*unfinished(now.state)]) == 4


def test_results_are_read_only_when_they_are_asked_for() -> None:
    """All that a step needs at once, and none that has just ended."""
    steps: list[dict[str, Any]] = [
        {"type": "function", "id": name, "path": "echo", "args": [1]} for name in ("a", "b", "c")
    ]
    steps += [{"type": "function", "id": "d", "path": "echo", "args": [{"expr": "previous"}]}]
    both = {"expr": "[results.a, results.b]"}
    steps += [{"type": "function", "id": "e", "path": "echo", "args": [both]}]
    flow = flow_of(json.dumps({"steps": steps}))
    now, jobs = begun(flow, {}), list[NewJob]()
    for _ in range(3):
        jobs += now.jobs
        now = advanced(run_of(flow, {}, now.state), ends_of(now.jobs, b'"c"'))
    assert [job.args for job in now.jobs] == [b'["c"]']
    with pytest.raises(Missing) as missing:
        advanced(run_of(flow, {}, now.state), ends_of(now.jobs))
    assert missing.value.jobs == {jobs[0].id, jobs[1].id}


def test_items_that_are_too_many_to_be_kept_are_read_again() -> None:
    """Only where a step asks for them."""
    asks = {"type": "function", "id": "b", "path": "echo", "args": [{"expr": "iter.value"}]}
    list_ = {"type": "function", "id": "list", "path": "items", "args": [3]}
    inner = [{"type": "noop", "id": "a"}, asks]
    loop = {"type": "for_each", "id": "each", "items": {"expr": "results.list"}, "steps": inner}
    flow = flow_of(json.dumps({"steps": [list_, loop]}))
    large = msgspec.json.encode(["x" * 9_000, "y" * 9_000, "z"])
    (job,) = begun(flow, {}).jobs
    now = advanced(run_of(flow, {}, begun(flow, {}).state), ends_of([job], large))
    assert len(flow_state.encode(now.state)) < 1_000
    run = run_of(flow, {}, now.state)
    with pytest.raises(Missing) as missing:
        advanced(run, ends_of(now.jobs))
    assert missing.value.jobs == {job.id}
    now = advance(run, ends_of(now.jobs), now=START, id_of=id_of, known={job.id: large})
    assert msgspec.json.decode(now.jobs[0].args) == ["x" * 9_000]


def test_an_early_result_is_known_before_the_flow_has_ended() -> None:
    """As soon as the step has ended that it is of."""
    steps = [{"type": "function", "id": name, "path": "echo", "args": [1]} for name in ("a", "b")]
    flow = flow_of(json.dumps({"steps": steps, "returns": "a"}))
    now = begun(flow, {})
    assert early_result(flow, now.state, {}) is None
    (job,) = now.jobs
    now = advanced(run_of(flow, {}, now.state), ends_of([job], b'"early"'))
    assert now.outcome is None
    with pytest.raises(Missing):
        early_result(flow, now.state, {})
    known = {job.id: b'"early"'}
    assert early_result(flow, now.state, known) == b'"early"'
    ended = advance(
        run_of(flow, {}, now.state), ends_of(now.jobs), now=START, id_of=id_of, known=known
    )
    assert ended.outcome == Succeeded(b'"early"')


def test_what_does_not_fit_is_ignored() -> None:
    """Ends of other jobs, of places that are none, of steps that are not under way."""
    flow, given_ = wide(), {"list": [1, 2]}
    now = begun(flow, given_)
    (first, _) = ends_of(now.jobs)
    strange = [
        first._replace(job=UUID(int=5)),
        *(first._replace(at=at) for at in ("a", "a[1]", "a[2]", "a[0][0]", "each", "b", "", "a[")),
    ]
    same = advanced(run_of(flow, given_, now.state), strange)
    assert (same.state, same.jobs, same.outcome) == (now.state, [], None)


def test_a_job_ends_only_the_step_that_it_is_of() -> None:
    """Not another one that could stand where it does."""
    step = {"type": "function", "path": "echo"}
    loop = {"type": "for_each", "items": [1, 2], "parallel": True}
    first = loop | {"id": "one", "steps": [step | {"id": "a"}, step | {"id": "b"}]}
    flow = flow_of(
        json.dumps({"steps": [first, loop | {"id": "two", "steps": [step | {"id": "c"}]}]})
    )
    now = begun(flow, {})
    (end, _) = ends_of(now.jobs)
    others = [end._replace(at=at) for at in ("b[0]", "c[0]", "a[1]")]
    assert advanced(run_of(flow, {}, now.state), others).state == now.state


def test_a_flow_that_has_ended_hears_nothing_more() -> None:
    """Nor does it end twice."""
    run = Driver(Asked({"f": wide()}, "f", {"list": [1, 2]}), worked, Random(1))
    run.run()
    state = run.states[ROOT]
    same = advanced(run_of(wide(), {"list": [1, 2]}, state), ends_of(run.made))
    assert (same.state, same.jobs, same.outcome) == (state, [], None)


def test_nor_does_one_whose_failure_step_has_ended() -> None:
    """The end of that step may be told again, too."""
    echo = {"type": "function", "id": "z", "path": "echo", "args": [1]}
    bad = {"type": "function", "id": "a", "path": "fail", "args": ["no"]}
    flow = flow_of(json.dumps({"steps": [bad], "failure": echo}))
    run = Driver(Asked({"f": flow}, "f", {}), worked, Random(1))
    run.run()
    same = advanced(run_of(flow, {}, run.states[ROOT]), ends_of(run.made))
    assert (same.state, same.jobs, same.outcome) == (run.states[ROOT], [], None)


def test_a_result_that_nobody_has_at_hand_is_read() -> None:
    """Of a step that has just ended, and of the failure step."""
    bad = {"type": "function", "id": "a", "path": "fail"}
    last = {"type": "function", "id": "z", "path": "echo"}
    flow = flow_of(json.dumps({"steps": [bad], "failure": last}))
    now = begun(flow, {})
    (first,) = ends_of(now.jobs)
    run = run_of(flow, {}, now.state)
    with pytest.raises(Missing) as missing:
        advanced(run, [first._replace(result=None)])
    assert missing.value.jobs == {first.job}
    now = advanced(run, [first._replace(status="failure", result=None)])
    (end,) = ends_of(now.jobs)
    run = run_of(flow, {}, now.state)
    with pytest.raises(Missing) as missing:
        advanced(run, [end._replace(result=None)])
    assert missing.value.jobs == {end.job}
    known = {end.job: b'{"recover":true}'}
    now = advance(run, [end._replace(result=None)], now=START, id_of=id_of, known=known)
    assert now.outcome == Succeeded(b'{"recover":true}')


def test_all_that_a_batch_needs_is_read_at_once() -> None:
    """However many of its ends ask for something."""
    asks = {"type": "function", "id": "c", "path": "echo", "args": [{"expr": "results.a"}]}
    flow = wide({"type": "noop", "id": "b"}, asks)
    given_ = {"list": [1, 2, 3]}
    now = begun(flow, given_)
    first = now.jobs
    now = advanced(run_of(flow, given_, now.state), ends_of(first))
    with pytest.raises(Missing) as missing:
        advanced(run_of(flow, given_, now.state), ends_of(now.jobs))
    assert missing.value.jobs == {job.id for job in first}


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    """As soon as the step has ended that was the last to ask."""
    asks = {"type": "function", "path": "echo", "args": [{"expr": "previous"}]}
    flow = flow_of(json.dumps({"steps": [asks | {"id": name} for name in ("a", "b", "c")]}))
    kept = []
    now = begun(flow, {})
    while now.outcome is None:
        kept.append([*now.state.body.done])
        now = advanced(run_of(flow, {}, now.state), ends_of(now.jobs))
    assert kept == [[], ["a"], ["b"]]


def test_what_a_step_that_does_nothing_returned_is_never_read() -> None:
    """It is null."""
    steps = [
        {"type": "noop", "id": "a"},
        {"type": "function", "id": "b", "path": "echo", "args": [{"expr": "previous"}]},
    ]
    flow = flow_of(json.dumps({"steps": steps}))
    now = begun(flow, {})
    ends = [end._replace(result=None) for end in ends_of(now.jobs)]
    assert [job.args for job in advanced(run_of(flow, {}, now.state), ends).jobs] == [b"[null]"]


def test_the_message_of_a_tolerated_failure_is_cut() -> None:
    """There may be ten thousand of them."""
    bad = {"type": "function", "id": "a", "path": "fail", "args": ["x" * 9_000]}
    more = {"type": "noop", "id": "b", "skip_if": "results.a.error.message == 'x'"}
    flow = flow_of(json.dumps({"steps": [bad | {"continue_on_error": True}, more]}))
    run = Driver(Asked({"f": flow}, "f", {}), worked, Random(1))
    run.end_some(1)
    assert len(flow_state.encode(run.states[ROOT])) < 800


@given(st.uuids(), st.lists(st.integers(0, 9_999), max_size=3))
def test_ids_and_places_are_read_as_they_are_written(job: UUID, indices: list[int]) -> None:
    """In few characters."""
    assert job_of(ref_of(job)) == job
    assert len(ref_of(job)) == 22
    assert place_of(place_text("a_1", indices)) == ("a_1", (*indices,))


@pytest.mark.parametrize("text", ["", "1", "a[", "a[]", "a[x]", "a[-1]", "a b", "a[1]b", "a[٣]"])
def test_what_is_no_place_is_known(text: str) -> None:
    """Whoever writes it into the options of a job breaks nothing."""
    assert place_of(text) is None


def test_a_long_loop_without_jobs_is_gone_through_at_once() -> None:
    """However often it goes round; nothing is nested in it."""
    value = {"type": "value", "id": "v", "value": {"expr": "iter.index"}}
    loop = {"type": "while", "id": "w", "while": "iter.index < `9000`", "max": 10_000}
    flow = flow_of(json.dumps({"steps": [loop | {"steps": [value]}]}))
    now = begun(flow, {})
    assert now.outcome == Succeeded(msgspec.json.encode([*range(9_000)]))
