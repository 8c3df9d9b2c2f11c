"""What the enqueue, the function and the app say of a job, and which of them counts."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, cast

import msgspec
import pytest

from trioworker.app import App
from trioworker.errors import UsageError
from trioworker.model.chunk_arguments import Chunking
from trioworker.model.job import compact
from trioworker.model.job_settings import JobSettings, Resolved, resolve
from trioworker.model.options import (
    NO_OPTIONS,
    Debounce,
    Handler,
    JobOptions,
    Limit,
    RetryPolicy,
    Unique,
    options_of,
)

SAID: Final[JobSettings] = {
    "tag": "slow",
    "priority": 7,
    "timeout_s": 60,
    "deadline_s": 600,
    "retry": 5,
    "cache_ttl_s": 60,
    "limit": 2,
    "unique": Unique("one"),
    "debounce": Debounce(5, "one"),
    "on_error": "tell",
    "on_success": "tell",
    "on_recovery": "tell",
    "muted": True,
    "labels": ["night"],
    "restart": True,
    "delete_after_s": 60,
}
NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)


def resolved(settings: JobSettings) -> Resolved:
    """What a job comes to that is enqueued with these settings."""
    return resolve(settings, path="send", args=b"{}", handler=Handler, now=NOW)


def only(name: str, said: object) -> JobSettings:
    """Nothing but this is said."""
    return cast("JobSettings", {name: said})


def test_every_setting_is_in_this_file() -> None:
    """There is one rule for all of them."""
    assert set(SAID) == set(JobSettings.__annotations__)


@pytest.mark.parametrize("name", SAID)
def test_none_switches_off_what_would_be_taken_over(name: str) -> None:
    """What the function says is as if nobody had said it; left out, it holds."""
    function = only(name, SAID[name])  # type: ignore[literal-required]  # one of them
    taken_over = resolved(function | JobSettings())
    off = resolved(function | only(name, None))
    assert taken_over != off
    if name in {"retry", "timeout_s"}:
        assert getattr(off.options, name) is None, "what the worker's function says is off, too"
    else:
        assert off == resolved({})


def test_what_nobody_says_is_left_to_the_function_when_it_is_run() -> None:
    """A client need not know the app: none is stored as a say, nothing is not."""
    nothing, off = resolved({}).options, resolved({"retry": None, "timeout_s": None}).options
    assert msgspec.json.encode(nothing) == b"{}"
    assert msgspec.json.encode(off) == b'{"timeout_s":null,"retry":null}'
    assert msgspec.json.decode(b'{"retry": null}', type=JobOptions).policy(RetryPolicy(3)) is None
    assert nothing.policy(RetryPolicy(3)) == RetryPolicy(3)


@pytest.mark.parametrize(
    ("what", "said", "line"),
    [
        (RetryPolicy, {}, "a retry policy without a number of attempts would never end"),
        (RetryPolicy, {"attempts": True}, "the number of attempts is a whole number, not True"),
        (RetryPolicy, {"attempts": 3, "delay_s": "1"}, "the delay between attempts is a number,"),
        (RetryPolicy, {"attempts": 3, "only": "OSError"}, "a retry policy names errors by text,"),
        (RetryPolicy, {"attempts": 3, "never": (OSError,)}, "a retry policy names errors by text"),
        (RetryPolicy, {"attempts": 3, "by_error": {"X": 3}}, "by_error of a retry policy has a"),
        (RetryPolicy, {"attempts": 2, "delay_s": -1}, "the delay between attempts of -1 will not "),
        (
            Debounce,
            {"delay_s": 0},
            "the delay of a debounce of 0 will not do; from 0.001 to 315360000",
        ),
        (Limit, {"slots": "2"}, "the number of slots is a whole number, not '2'"),
        (Unique, {"key": 5}, "the unique key is text, not 5"),
        (Unique, {"key": "k" * 501}, "the unique key is too long: 501 bytes, at most 500"),
        (Unique, {"during": "ever"}, "unknown time of a unique key 'ever'; one of queued,"),
        (Unique, {"on_conflict": "no"}, "unknown on_conflict of a unique key 'no'; one of keep,"),
        (Handler, {"path": 5}, "the path of a handler is text, not 5"),
        (JobOptions, {"labels": (5,)}, "a label is text, not 5"),
        (App, {"tag": ""}, "the tag is empty"),
        (App, {"priority": 1001}, "priority 1001 is out of range"),
        (App, {"unique": Unique("{")}, "the unique key '{' will not do: "),
        (App, {"labels": "x"}, "labels='x' will not do; it is a list of texts or None"),
        (App, {"retry": 1.5}, "retry=1.5 will not do; it is RetryPolicy or int or None"),
        (App, {"colour": 1}, "unknown setting 'colour'; one of tag, priority, "),
        (Chunking, {"size": 1.5}, "the size of a chunk is a whole number, not 1.5"),
    ],
)
def test_what_could_never_be_is_one_line_where_it_is_said(
    what: Callable[..., object], said: dict[str, object], line: str
) -> None:
    """Also what no type checker has looked at."""
    with pytest.raises(UsageError) as caught:
        what(**said)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["{x:>1000000000}", "{x!r}", "{x:{x}}", "{x.__class__}", "{x[0]}", "{0}", "{", "{}"]
)
def test_nothing_but_names_stands_in_the_braces_of_a_key(key: str) -> None:
    """A key that says how wide it wants to be could take up all the memory of who reads it."""
    with pytest.raises(UsageError, match=r"will not do|names no argument"):
        resolve({"unique": Unique(key)}, path="send", args=b'{"x": "5"}', handler=Handler, now=NOW)


@pytest.mark.parametrize(
    "stored",
    ['{"retry": ' + '{"attempts": 2, "by_error": {"a": ' * 50_000, "not JSON", '{"more": 1}'],
    ids=["deep", "not JSON", "unknown"],
)
def test_stored_options_that_cannot_be_read_are_the_jobs_defect(stored: str) -> None:
    """However broken they are: the worker that reads them goes on."""
    options, defect = options_of(stored)
    assert options == NO_OPTIONS
    assert defect is not None


def test_arguments_too_deep_for_a_key_are_told_as_such() -> None:
    """They are the caller's to mend."""
    deep = b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(UsageError, match="nested too deeply"):
        resolve({"unique": Unique()}, path="send", args=deep, handler=Handler, now=NOW)


def test_arguments_too_deep_to_be_made_compact_stay_as_they_are() -> None:
    """A job that is run again must not fail for its looks."""
    deep = "[" * 100_000 + "]" * 100_000
    assert (compact('{"a": [1, 2]}'), compact(deep)) == (b'{"a":[1,2]}', deep.encode())
