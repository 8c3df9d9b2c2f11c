"""Progress as a user's type checker sees it; the rule of `api.py` holds here, too."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from datetime import datetime
from typing import assert_type

from trioworker import App, Call, JobContext, JobProgress, JobState

app = App()


@app.job
def copies(context: JobContext) -> None:
    """Tells how far it is."""
    assert_type(context.progress(0.5), None)
    context.progress(1, "done")
    context.progress(fraction=1, note="done")
    context.progress("half")  # type: ignore[arg-type]  # a number
    context.progress(0.5, 4)  # type: ignore[arg-type]  # text


@app.job(chunk=10)
def copies_many(calls: list[Call[str]]) -> list[int]:
    """So does each job of a chunk."""
    for call in calls:
        call.progress(0.5, call.args)
    return [0] * len(calls)


def progress_is_looked_at(job: JobState) -> None:
    """What there is to know."""
    assert_type(job.progress, JobProgress | None)
    if job.progress is not None:
        assert_type(job.progress.fraction, float)
        assert_type(job.progress.note, str)
        assert_type(job.progress.told_at, datetime)
