"""`trioworker run` with an app of chunk functions."""

import json
from typing import Final

from tests.cli.commands import Run

APP: Final = "tests.cli.bulk:app"


def test_a_chunk_larger_than_the_concurrency_is_told_at_the_start(here: Run) -> None:
    """One line says which function it is and how to mend it; the jobs run all the same."""
    here("enqueue", "total", '{"a": 1, "b": 2}', "--count", "5").well()
    ended = here("run", APP, "--drain", "--concurrency", "10").well()
    log = [json.loads(line) for line in ended.complaints.splitlines()]
    (warning,) = [line for line in log if line["event"] == "chunks cut"]
    assert (warning["level"], warning["path"], warning["chunk"]) == ("warning", "total", 50)
    assert warning["message"] == (
        "no chunk of 'total' can have more than the 10 jobs that run at once; raise --concurrency,"
        " or lower its chunk=…"
    )
    listed = here("jobs", "list", "--json").document
    assert [(job["state"], job["result"]) for job in listed] == [("success", 3)] * 5


def test_a_chunk_that_fits_says_nothing(here: Run) -> None:
    """As long as the worker can fill it, there is nothing to tell."""
    ended = here("run", APP, "--drain", "--concurrency", "50").well()
    assert "chunk" not in ended.complaints
