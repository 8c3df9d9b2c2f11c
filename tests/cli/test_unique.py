"""`trioworker enqueue --unique`: one job for a key, and a line that says so."""

import pytest

from tests.cli.commands import Run


def test_a_unique_job_is_enqueued_once(here: Run) -> None:
    """Stdout is the id of the job there is, whoever made it; stderr says that it is not new."""
    first = here("enqueue", "greet", "--unique", "k").well()
    second = here("enqueue", "greet", "--unique", "k", "--unique-while", "60").well()
    assert (first.complaints, second.output) == ("", first.output)
    assert second.complaints == "trioworker: not enqueued, another has the key: 1 job\n"
    many = here("enqueue", "greet", "--unique", "many", "--count", "3", "--json").well()
    assert many.document["new"] == 1
    assert len(set(many.document["ids"])) == 1


def test_a_period_is_so_many_seconds(here: Run) -> None:
    """The key is held when the job that took it has been cancelled, too."""
    first = here("enqueue", "greet", "--unique", "k", "--unique-while", "600").well()
    here("jobs", "cancel", first.output.strip()).well()
    assert here("enqueue", "greet", "--unique", "k").well().output == first.output


def test_a_duplicate_replaces_or_is_refused(here: Run) -> None:
    """As --on-duplicate says; a refusal is one line and exit status 2."""
    flags = ("enqueue", "greet", "--unique", "k", "--unique-while", "queued", "--on-duplicate")
    first = here(*flags, "replace").well().output
    second = here(*flags, "replace").well().output
    assert first != second
    refused = here(*flags, "raise")
    assert (refused.status, refused.complaints.count("\n")) == (2, 1)
    assert f"the unique key 'k' is held by job {second.strip()}" in refused.complaints


def test_lines_may_be_unique_and_debounced(here: Run) -> None:
    """A key alone is enough for a unique one."""
    lines = (
        b'{"path": "f", "unique": "k"}\n{"path": "f", "unique": {"key": "k"}}\n'
        b'{"path": "f", "debounce": {"key": "k", "delay_s": 9}}\n'
    )
    ended = here("enqueue", "-", "--json", stdin=lines).well()
    assert ended.document["new"] == 2


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--unique-while", "queued"], "--unique-while and --on-duplicate go with --unique KEY"),
        (["--on-duplicate", "keep"], "--unique-while and --on-duplicate go with --unique KEY"),
        (["--unique", "k", "--unique-while", "ever"], "queued, unfinished, or a number of seconds"),
        (["--unique", "k", "--unique-while", "-1"], "the period of a unique key of -1 will not do"),
        (["--unique", "k", "--unique-while", "nan"], "the period of a unique key of nan will not"),
        (["--unique", "k", "--on-duplicate", "x"], "one of keep, replace, raise"),
        (["--unique", "k" * 501], "the unique key is too long: 501 bytes, at most 500"),
        (["--unique", "{order}"], "the unique key '{order}' names no argument 'order' of this job"),
    ],
)
def test_what_will_not_do_is_one_line(here: Run, flags: list[str], reason: str) -> None:
    """With what is wrong and what would do."""
    ended = here("enqueue", "greet", *flags)
    assert (ended.status, ended.complaints.count("\n")) == (2, 1)
    assert reason in ended.complaints
