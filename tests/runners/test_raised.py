"""What an exception that leaves a job means."""

import math
from collections.abc import Callable

import pytest

from tests.runners.jobs import error, result
from trioworker.errors import Cancel, Retry, Snooze
from trioworker.model.outcome import (
    ERROR_MESSAGE_CHARS_MAX,
    TRACEBACK_CHARS_MAX,
    Cancelled,
    JobError,
    Outcome,
    Retried,
    Snoozed,
)
from trioworker.runners.raised import failed, outcome_of, returned, tail


def after(function: Callable[[], object]) -> Outcome:
    """The outcome of what `function` raises."""
    try:
        function()
    except BaseException as raised:  # noqa: BLE001 - all of them are the subject
        return outcome_of(raised)
    raise AssertionError("it raised nothing")


def test_a_failure_has_class_message_and_the_users_traceback() -> None:
    """The three things somebody needs who looks at a failed job."""
    failure = error(after(lambda: int("x")))
    assert failure.name == "ValueError"
    assert failure.message.startswith("invalid literal")
    assert failure.traceback is not None
    assert "test_raised.py" in failure.traceback


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_programs_fails_only_the_job(kind: type[BaseException]) -> None:
    """exit() in a job is the job's failure."""
    assert error(outcome_of(kind("now"))) == JobError(
        kind.__name__, "now", f"{kind.__name__}: now\n"
    )


def test_a_group_of_one_is_told_as_that_one() -> None:
    """Nurseries wrap what their children raise; the class that matters stands in front."""
    failure = error(outcome_of(ExceptionGroup("nursery", [ExceptionGroup("", [KeyError("k")])])))
    assert (failure.name, failure.message) == ("KeyError", "'k'")


def test_a_group_of_many_lists_the_first_of_them() -> None:
    """Several failures are told side by side, within bounds."""
    failure = error(outcome_of(ExceptionGroup("all", [ValueError(str(n)) for n in range(7)])))
    assert failure.name == "ExceptionGroup"
    assert failure.message == "; ".join(f"ValueError: {n}" for n in range(5)) + "; and 2 more"


def test_verdicts_become_their_outcomes() -> None:
    """A job may end otherwise than by returning or failing."""
    assert outcome_of(Snooze(3)) == Snoozed(3.0)
    assert outcome_of(Retry("busy", delay_s=4)) == Retried(JobError("Retry", "busy"), 4.0)
    assert outcome_of(Cancel("enough")) == Cancelled("enough")
    assert outcome_of(Cancel()) == Cancelled("the job cancelled itself")
    assert outcome_of(BaseExceptionGroup("nursery", [Snooze(3)])) == Snoozed(3.0)


def test_a_retry_keeps_the_traceback_of_its_cause() -> None:
    """`raise Retry(…) from error` does not lose the error."""

    def job() -> None:
        try:
            int("x")
        except ValueError as because:
            raise Retry("try again", delay_s=1) from because

    outcome = after(job)
    assert isinstance(outcome, Retried)
    assert outcome.error.traceback is not None
    assert "invalid literal" in outcome.error.traceback


@pytest.mark.parametrize("delay_s", [-1, math.nan, math.inf, "soon", None])
def test_a_delay_that_is_none_fails_the_job(delay_s: float) -> None:
    """A verdict that cannot be stored is told as the job's mistake."""
    assert error(outcome_of(Snooze(delay_s))).message.endswith(f"it was {delay_s!r}")
    assert error(outcome_of(Retry("x", delay_s=delay_s))).name == "InvalidRetry"


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


def test_an_exception_that_cannot_be_printed_is_still_told() -> None:
    """A broken __str__ costs the message, not the outcome."""
    assert error(outcome_of(Unspeakable())) == JobError(
        "Unspeakable",
        "(its text could not be read: RuntimeError)",
        "tests.runners.test_raised.Unspeakable: <exception str() failed>\n",
    )


def test_long_texts_lose_their_middle() -> None:
    """Beginning and end say the most; what is stored is bounded."""
    failure = failed("E", "a" * 10_000 + "z", "b" * 50_000 + "y").error
    assert len(failure.message) <= ERROR_MESSAGE_CHARS_MAX
    assert failure.message.startswith("aaa")
    assert failure.message.endswith("az")
    assert failure.traceback is not None
    assert len(failure.traceback) <= TRACEBACK_CHARS_MAX
    assert failure.traceback.endswith("by")


class Plain:
    """JSON knows no such thing."""


def test_results_are_json() -> None:
    """What a job returns is encoded at once."""
    assert result(returned({"a": [1, None]})) == '{"a":[1,null]}'


def test_a_result_that_is_not_json_fails_with_its_type() -> None:
    """The message names what was returned and what is wrong with it."""
    loop: list[object] = []
    loop.append(loop)
    told = [error(returned(value)) for value in (Plain(), {(1, 2): 3}, loop, "\ud800", [Plain()])]
    assert {failure.name for failure in told} == {"UnserializableResult"}
    assert told[0].message.startswith(
        "the job returned a tests.runners.test_raised.Plain that cannot be written as JSON: "
    )
    assert told[1].message.startswith("the job returned a dict that cannot be written as JSON: ")


def test_the_tail_of_a_log_fits_into_a_message() -> None:
    """The last words of a process, or that there were none."""
    assert tail("x" * 1000 + "end\n\n") == "last output: " + "x" * 597 + "end"
    assert tail(" \n") == "it wrote no output"
