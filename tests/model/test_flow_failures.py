"""Which failure counts, what it stops, and when what has failed goes on or ends."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.model.flow_driver import ROOT, Asked, Driver
from tests.model.test_flow_advance import Parts, echo, expr, fail, made
from trioworker.model import flow_walk
from trioworker.model.flow import flow_of
from trioworker.model.flow_advance import End
from trioworker.model.job import NewJob
from trioworker.model.outcome import Cancelled, Failed, JobError, Skipped, Succeeded

BAD = Failed(JobError("Bad", "bad"))
GOOD = Succeeded(b'"good"')


def both(*branches: Sequence[Parts], name: str = "both", **more: object) -> Parts:
    """Branches that are run at the same time."""
    return {"type": "branch_all", "id": name, "branches": [{"steps": b} for b in branches]} | more


def each(*steps: Parts, name: str = "each", **more: object) -> Parts:
    """A parallel loop over two items."""
    items = {"items": [1, 2], "parallel": True}
    return {"type": "for_each", "id": name, "steps": steps} | items | more


def begun(*steps: Parts, **flow: object) -> Driver:
    """A run whose steps end as they are told."""

    def nobody(job: NewJob) -> Any:  # noqa: ANN401 - never
        raise AssertionError(job)

    read = flow_of(json.dumps({"steps": steps} | flow))
    return Driver(Asked({"f": read}, "f", {}), nobody, Random(0))


def end(run: Driver, **ends: End) -> None:
    """Steps end, each named by its place, with its brackets as underscores."""
    places = {job.options.step.at: job.id for job in run.pending() if job.options.step}
    names = {at.replace("[", "_").replace("]", ""): job for at, job in places.items()}
    run.end(*((names[name], outcome) for name, outcome in ends.items()))


def test_the_first_failure_of_the_definition_counts() -> None:
    """However late it comes."""
    run = begun(both([echo("a")], [echo("b")], [echo("c")]))
    end(run, c=BAD)
    end(run, a=Failed(JobError("Worse", "worse")))
    end(run, b=BAD)
    assert run.outcomes[ROOT] == Failed(JobError("Worse", "step a: worse"))


def test_so_it_is_inside_of_what_tolerates_it() -> None:
    """Of a group that has failed as a whole."""
    run = begun(
        both([echo("a")], [each(echo("b"), continue_on_error=True)], continue_on_error=True),
        echo("z", expr("results.both.error.at")),
    )
    end(run, b_1=BAD)
    end(run, b_0=BAD)
    end(run, a=BAD)
    assert run.pending()[0].args == b'{"value":"a"}'


def test_a_failure_that_is_tolerated_nearer_is_not_that_of_what_has_failed_around() -> None:
    """Not even when it comes first in the definition."""
    tolerated = [
        [echo("own", continue_on_error=True)],
        [each(echo("item"), skip_failure=True)],
        [both([echo("part")], name="inner", continue_on_error=True)],
    ]
    run = begun(both(*tolerated, [echo("z")]))
    end(run, z=BAD)
    end(run, own=BAD, item_0=BAD, item_1=BAD, part=BAD)
    assert run.outcomes[ROOT] == Failed(JobError("Bad", "step z: bad"))


def test_an_iteration_that_fails_begins_no_more_and_the_others_go_on() -> None:
    """It has null when the last step inside of it has ended."""
    loop = each(both([echo("a"), echo("a2")], [echo("b")]), echo("c"), skip_failure=True)
    run = begun(loop)
    end(run, b_0=BAD, b_1=GOOD)
    end(run, a_1=GOOD)
    end(run, a2_1=GOOD)
    end(run, c_1=GOOD)
    end(run, a_0=GOOD)
    assert run.outcomes[ROOT] == Succeeded(b'[null,"good"]')
    assert "a2[0]" not in made(run)


def test_several_failures_of_an_iteration_are_one() -> None:
    """The loop is told of it once."""
    run = begun(each(both([echo("a")], [echo("b")]), skip_failure=True))
    end(run, b_0=BAD)
    end(run, a_0=BAD, a_1=GOOD)
    end(run, b_1=GOOD)
    assert run.outcomes[ROOT] == Succeeded(b'[null,["good","good"]]')


def test_what_fails_outside_waits_for_what_waits_inside() -> None:
    """And then nothing inside goes on."""
    run = begun(
        both(
            [each(both([echo("a")], [echo("b")], name="inner"), skip_failure=True), echo("z")],
            [echo("x")],
        )
    )
    end(run, a_0=BAD)
    end(run, x=BAD)
    end(run, b_0=GOOD)
    end(run, a_1=GOOD, b_1=GOOD)
    assert run.outcomes[ROOT] == Failed(JobError("Bad", "step x: bad"))


def test_so_does_what_has_failed_as_a_whole() -> None:
    """An iteration inside of it that waits, too, begins nothing when it is at rest."""
    inner = both([echo("a")], [echo("b")], name="inner")
    loop = each(inner, skip_failure=True, items=[1, 2, 3], parallel=2)
    run = begun(both([loop], [echo("x")], continue_on_error=True), echo("z"))
    end(run, a_0=BAD)
    end(run, x=BAD)
    end(run, b_0=GOOD)
    assert "a[2]" not in made(run)
    end(run, a_1=GOOD, b_1=GOOD)
    assert made(run)[-1] == "z"


def test_a_group_that_may_fail_goes_on_when_it_is_at_rest() -> None:
    """The step after it is begun with the last end inside."""
    run = begun(both([echo("a"), echo("a2")], [echo("b")], continue_on_error=True), echo("z"))
    end(run, b=BAD)
    assert made(run) == ["a", "b"]
    end(run, a=GOOD)
    assert made(run) == ["a", "b", "z"]


def test_failures_of_one_batch_stop_what_would_begin_in_it() -> None:
    """Whichever end is told first."""
    run = begun(both([echo("a"), echo("a2")], [echo("b")]))
    end(run, a=GOOD, b=BAD)
    assert run.outcomes[ROOT] == Failed(JobError("Bad", "step b: bad"))
    assert made(run) == ["a", "b"]


def test_a_step_that_cannot_be_made_fails_like_any_other() -> None:
    """Beside those that were made in the same call."""
    run = begun(both([echo("a")], [echo("b", expr("length(`1`)"))], [echo("c")]), failure=fail("z"))
    end(run, a=GOOD)
    assert made(run) == ["a", "z"]


@pytest.mark.parametrize("result", [b"[" * 100_000, b'{"recover": 1}', b"true", b"[]"])
def test_only_a_failure_step_that_says_so_recovers(result: bytes) -> None:
    """In the words of the page, and nothing like them."""
    run = begun(echo("a"), failure=echo("z"))
    end(run, a=BAD)
    end(run, z=Succeeded(result))
    assert run.outcomes[ROOT] == Failed(JobError("Bad", "step a: bad"))


def test_a_failure_step_that_is_skipped_changes_nothing() -> None:
    """It may be a flow that has nothing to do."""
    run = begun(echo("a"), failure=echo("z"))
    end(run, a=BAD)
    end(run, z=Skipped("nothing"))
    assert run.outcomes[ROOT] == Failed(JobError("Bad", "step a: bad"))


def test_a_failure_step_that_cannot_be_made_is_told_beside_the_failure() -> None:
    """It has no arguments."""
    run = begun(echo("a"), failure=echo("z", expr("length(`1`)")))
    end(run, a=BAD)
    failed = run.outcomes[ROOT]
    assert isinstance(failed, Failed)
    assert failed.error.message.startswith(
        "step a: bad; the failure step failed, too: ExpressionFailed: "
    )


def test_a_failure_step_may_know_what_steps_returned() -> None:
    """Those that have ended; the others are null."""
    run = begun(echo("a"), echo("b"), echo("c"), failure=echo("z", expr("[results.a, results.c]")))
    end(run, a=GOOD)
    end(run, b=BAD)
    assert run.pending()[0].args == b'{"value":["good",null]}'


def test_a_cancel_inside_of_what_tolerates_it_is_a_failure_there() -> None:
    """Outside of it the flow is canceled."""
    run = begun(each(echo("a"), skip_failure=True), echo("b"))
    end(run, a_0=Cancelled("no"), a_1=GOOD)
    end(run, b=Cancelled("no"))
    assert run.outcomes[ROOT] == Cancelled("step b: no")


def test_a_result_that_is_too_large_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of it may be within bounds."""
    monkeypatch.setattr(flow_walk, "RESULT_BYTES_MAX", 12)
    run = begun(each(echo("a")))
    end(run, a_0=GOOD, a_1=GOOD)
    error = JobError("ResultTooLarge", "the result has 15 bytes; at most 12")
    assert run.outcomes[ROOT] == Failed(error)


@pytest.mark.parametrize("result", [b"[" * 5_000 + b"]" * 5_000, b"[1e999]"])
def test_a_result_that_cannot_be_read_fails_the_step_that_asks_for_it(result: bytes) -> None:
    """And only that one: the flow may hand it on."""
    run = begun(echo("a"), echo("b", expr("results.a")))
    end(run, a=Succeeded(result))
    failed = run.outcomes[ROOT]
    assert isinstance(failed, Failed)
    assert failed.error.message.startswith("step b: the result of job ")
    run = begun(echo("a"))
    end(run, a=Succeeded(result))
    assert run.outcomes[ROOT] == Succeeded(result)


def test_values_may_not_fill_the_state() -> None:
    """Each is small, and so are all of them together."""
    text = "x" * 60_000
    value = {"type": "value", "id": "v", "value": text}
    loop = {"type": "while", "id": "w", "while": "`true`", "max": 1_000, "steps": [value]}
    failed = begun(loop).outcomes[ROOT]
    assert isinstance(failed, Failed)
    assert "the values of this flow come to more than 16,777,216 bytes" in failed.error.message
    large = {"type": "value", "id": "v", "value": expr("[results.a, results.a]")}
    run = begun(echo("a"), large)
    end(run, a=Succeeded(json.dumps(text).encode()))
    failed = run.outcomes[ROOT]
    assert isinstance(failed, Failed)
    assert "a value of 120,007 bytes is too large" in failed.error.message


def test_a_step_that_was_skipped_asks_for_no_stop() -> None:
    """As a flow inside may be."""
    run = begun(echo("a", stop_after_if={"if": "`true`"}), echo("b", expr("[results.a]")))
    end(run, a=Skipped("nothing"))
    assert run.pending()[0].args == b'{"value":[null]}'


def test_iterations_at_the_same_time_know_nothing_of_one_another() -> None:
    """Not even of one that has ended when they begin."""
    run = begun(each(echo("a", expr("previous")), items=[1, 2, 3], parallel=2))
    end(run, a_1=GOOD)
    assert [job.args for job in run.made] == [b'{"value":null}'] * 3
