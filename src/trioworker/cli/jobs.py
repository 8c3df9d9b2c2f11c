"""`trioworker jobs`: look at jobs, wait for them, cancel them."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from uuid import UUID

import trio
import typer

from trioworker.cli.exits import ExitStatus
from trioworker.cli.options import takes_settings
from trioworker.cli.output import complain, json_text, print_json, print_table, shown_time
from trioworker.cli.place import open_jobs
from trioworker.cli.waiting import wait_for
from trioworker.client import Client, JobLogText, JobState
from trioworker.errors import UsageError
from trioworker.settings import Settings

T = TypeVar("T")
Ids: TypeAlias = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of jobs.")]
Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
STATES: Final = (
    "ready", "scheduled", "waiting", "running", "success", "failure", "canceled", "skipped",
)  # fmt: skip
LISTED_MAX: Final = 10_000

jobs_app = typer.Typer(help="Look at jobs, wait for them, cancel them.", no_args_is_help=True)


@jobs_app.command("list")
@takes_settings()
def list_jobs(
    settings: Settings,
    *,
    state: Annotated[
        str | None, typer.Option(metavar="|".join(STATES), help="Only those in this state.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    path: Annotated[
        str | None, typer.Option(help="Only those of this function or script.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest jobs, the last one first."""
    if state is not None and state not in STATES:
        raise UsageError(f"there is no state '{state}'; one of {', '.join(STATES)}")
    found = _ask(settings, lambda c: c.jobs(state=state, tag=tag, path=path, limit=limit))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "state", "kind", "path", "tag", "attempt", "created", "ms", "what came of it"),
        ((*_row(job), _outcome(job)) for job in found),
    )


@jobs_app.command()
@takes_settings()
def show(settings: Settings, job: Id, *, as_json: AsJson = False) -> None:
    """All there is to know about one job."""
    found = _ask(settings, lambda c: c.job(_id(job)))
    if as_json:
        print_json(found)
        return
    width = max(len(name) for name, _ in _facts(found))
    for name, value in _facts(found):
        typer.echo(f"{name:<{width}}  {value}")


@jobs_app.command()
@takes_settings()
def wait(
    settings: Settings,
    jobs: Ids,
    *,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="Give up on a job after so long."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Wait until the jobs have ended and print their results; fails unless all succeeded."""
    ids = [_id(job) for job in jobs]
    waiting = partial(wait_for, ids=ids, as_json=as_json, timeout_s=timeout_s)
    raise typer.Exit(_ask(settings, waiting))


@jobs_app.command()
@takes_settings()
def cancel(
    settings: Settings,
    jobs: Ids,
    *,
    reason: Annotated[
        str, typer.Option(help="Stored with the job.")
    ] = "canceled on the command line",
    as_json: AsJson = False,
) -> None:
    """Cancel jobs: at once where they wait, through their worker where they run."""
    ids = [_id(job) for job in jobs]
    found = _ask(settings, lambda c: c.cancel(ids, reason=reason))
    if as_json:
        print_json(found)


@jobs_app.command()
@takes_settings()
def logs(settings: Settings, job: Id, *, as_json: AsJson = False) -> None:
    """What a job wrote, attempt by attempt."""
    found = _ask(settings, lambda c: c.logs(_id(job)))
    if as_json:
        print_json(found)
        return
    for log in found:
        if len(found) > 1:
            typer.echo(f"--- attempt {log.attempt}")
        typer.echo(log.text, nl=not log.text.endswith("\n"))


def _ask(settings: Settings, question: Callable[[Client], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with open_jobs(settings) as client:
            return await question(client)

    return trio.run(ask)
