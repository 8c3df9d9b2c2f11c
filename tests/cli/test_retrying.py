"""`trioworker jobs retry`."""

import pytest

from tests.cli.commands import APP, Run
from trioworker.ids import new_id

DIVIDE = '{"a": 1, "b": 0}'


@pytest.fixture
def failed(here: Run) -> list[str]:
    """The ids of jobs that have failed."""
    enqueued = [here("enqueue", "divide", DIVIDE, "--tag", "sums").well() for _ in range(2)]
    here("run", APP, "--drain", "--tags", "default,sums")
    return [ended.output.strip() for ended in enqueued]


def test_jobs_are_retried_by_their_ids(here: Run, failed: list[str]) -> None:
    """What had not failed is named, and the command fails for it."""
    ended = here("jobs", "retry", *failed)
    assert ended.well().output == "2 jobs ready once more\n"
    assert here("jobs", "show", failed[0], "--json").document["attempt"] == 2
    unknown = str(new_id())
    ended = here("jobs", "retry", failed[0], unknown)
    assert (ended.status, ended.output) == (1, "0 jobs ready once more\n")
    assert f"not retried, because they have not failed: {failed[0]}, {unknown}" in ended.complaints


def test_all_that_failed_are_retried(here: Run, failed: list[str]) -> None:
    """As far as they fit; what they did before is in their history."""
    assert here("jobs", "retry", "--all", "--path", "other", "--json").document["ready"] == []
    since = ["--since", "2999-01-01"]
    assert here("jobs", "retry", "--all", *since, "--json").document["ready"] == []
    found = here("jobs", "retry", "--all", "--path", "divide", "--tag", "sums", "--json").well()
    assert found.document == {"ready": failed, "kept_out": {}, "unfit": []}
    (attempt,) = here("jobs", "show", failed[0], "--json").document["attempts"]
    assert attempt["error"]["name"] == "ZeroDivisionError"
