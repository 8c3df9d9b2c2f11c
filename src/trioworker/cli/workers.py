"""`trioworker workers`: who works, and who did."""

from typing import Annotated

import typer

from trioworker.cli.loop import run_trio
from trioworker.cli.options import takes_settings
from trioworker.cli.output import print_json, print_table, shown_time
from trioworker.cli.place import open_jobs
from trioworker.model.state import WorkerState
from trioworker.model.tags import Tags
from trioworker.settings import Settings


@takes_settings()
def workers(
    settings: Settings,
    *,
    limit: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """The workers that live, then those that ended last."""
    found = run_trio(_workers, settings, limit)
    if as_json:
        print_json(found)
        return
    columns = ("id", "name", "pid", "mode", "tags", "state", "last heartbeat", "claimed", "done")
    print_table((*columns, "failed"), map(_row, found))


async def _workers(settings: Settings, limit: int) -> list[WorkerState]:
    async with open_jobs(settings) as client:
        return list(await client.workers(limit))


def _row(worker: WorkerState) -> tuple[object, ...]:
    return (
        worker.id,
        worker.name,
        worker.pid,
        worker.mode,
        str(Tags(tuple(worker.tags), tuple(worker.ranks))),
        worker.state,
        shown_time(worker.last_heartbeat),
        worker.claimed,
        worker.jobs_done,
        worker.jobs_failed,
    )
