"""`trioworker jobs`: look at jobs, wait for them, cancel them."""

from functools import partial
from typing import Annotated, Final, TypeAlias, cast
from uuid import UUID

import typer

from trioworker.cli.asking import ask, id_of
from trioworker.cli.exits import ExitStatus
from trioworker.cli.flow_tree import WAITS_FOR
from trioworker.cli.options import takes_settings
from trioworker.cli.output import (
    complain,
    counted,
    json_text,
    print_json,
    print_table,
    shortened,
    shown_time,
)
from trioworker.cli.retrying import DeadLetters, retried, tell_retried
from trioworker.cli.story import facts, told_of
from trioworker.cli.told import in_words, showing_progress
from trioworker.cli.waiting import complain_of, wait_for
from trioworker.client import Client, JobState
from trioworker.model.state import STATES, Cancellation, State
from trioworker.settings import Settings

Ids: TypeAlias = Annotated[list[str], typer.Argument(metavar="ID", help="The jobs' ids.")]
Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
OUTCOME_CELLS_MAX: Final = 100

jobs_app = typer.Typer(help="Look at jobs, wait for them, cancel them.", no_args_is_help=True)


@jobs_app.command("list")
@takes_settings()
def list_jobs(
    settings: Settings,
    *,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help=f"Only those in this state: {', '.join(STATES)}."),
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Only those with this tag.")
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Only those of this function or script.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those that ended with this label.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest jobs, the last one first."""
    wanted = cast("State | None", state)  # the client says so if it is none
    asked = partial(Client.jobs, state=wanted, tag=tag, path=path, label=label, limit=limit)
    found = ask(settings, asked)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "state", "path", "tag", "attempt", "created", "ms", "what came of it"),
        map(_row, found),
    )


@jobs_app.command()
@takes_settings()
def show(settings: Settings, job: Id, *, as_json: AsJson = False) -> None:
    """All there is to know about one job, its earlier attempts included."""
    story = ask(settings, partial(told_of, job=id_of(job)))
    if as_json:
        print_json(story.as_dict())
        return
    for name, value in facts(story):
        typer.echo(f"{name:<14}{value}".rstrip())


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
    """Wait for jobs to end and print their results.

    Fails unless all succeeded.
    """
    ids = [id_of(job) for job in jobs]
    waiting = partial(wait_for, ids=ids, as_json=as_json, timeout_s=timeout_s)
    raise typer.Exit(ask(settings, waiting))


@jobs_app.command()
@takes_settings()
def cancel(
    settings: Settings,
    jobs: Ids,
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Stored with the job.")
    ] = "canceled on the command line",
    as_json: AsJson = False,
) -> None:
    """Cancel jobs that have not ended.

    Those that wait end at once; those that run are stopped by their worker; so it is with all that
    have them as a parent. Fails unless all could be canceled.
    """
    ids = {id_of(job) for job in jobs}
    found = ask(settings, lambda c: c.cancel(ids, reason))
    rest = ids.difference(found.ended, found.asked)
    if as_json:
        print_json(found)
    else:
        _print_cancellation(found)
    if rest:
        complain(f"not canceled, because ended before or unknown: {', '.join(map(str, rest))}")
    raise typer.Exit(ExitStatus.FAILED if rest else ExitStatus.OK)


@jobs_app.command()
@takes_settings()
def retry(
    settings: Settings,
    jobs: Annotated[list[str] | None, typer.Argument(metavar="ID", help="The jobs' ids.")] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="All that fit the options below, instead of ids.")
    ] = False,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="How they ended: failure or canceled.")
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Only those of this function or script.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Only those with this tag.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those that ended since then.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run jobs once more that have failed.

    Or were canceled; as further attempts of theirs. Fails unless all that are named could be made
    ready.
    """
    wanted = DeadLetters(state, path, tag, since).checked(everything=everything, ids=jobs or ())
    ids = [id_of(job) for job in jobs or ()]
    found = ask(settings, partial(retried, ids=ids, wanted=wanted))
    raise typer.Exit(tell_retried(found, as_json=as_json))


@jobs_app.command()
@takes_settings()
def logs(
    settings: Settings,
    job: Id,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a job wrote, attempt by attempt.

    With --follow also what it writes, as it comes, and --json prints a line for each piece; it
    fails unless the job succeeds.
    """
    if follow:
        raise typer.Exit(ask(settings, partial(_follow, job=id_of(job), as_json=as_json)))
    found = ask(settings, lambda c: c.logs(id_of(job)))
    if as_json:
        print_json(found)
        return
    for log in found:
        if len(found) > 1:
            typer.echo(f"--- attempt {log.attempt}")
        typer.echo(log.text, nl=not log.text.endswith("\n"))


async def _follow(client: Client, job: UUID, *, as_json: bool) -> ExitStatus:
    attempt = 1
    async with showing_progress(client, job, lines=False):
        async for log in client.follow_logs(job):
            if as_json:
                print_json(log)
            else:
                if log.attempt != attempt:
                    typer.echo(f"--- attempt {log.attempt}")
                typer.echo(log.text, nl=False)
            attempt = log.attempt
    state = await client.job(job)
    if state.state == "success":
        return ExitStatus.OK
    complain_of(state)
    return ExitStatus.FAILED


def _row(job: JobState) -> tuple[object, ...]:
    return (
        job.id,
        job.state,
        job.path,
        job.tag,
        job.attempt,
        shown_time(job.created_at),
        "" if job.duration_ms is None else job.duration_ms,
        _outcome(job),
    )


def _outcome(job: JobState) -> str:
    text = json_text(job.result) if job.state == "success" else ""
    if job.waits_for is not None:
        text = WAITS_FOR[job.waits_for]
    if job.progress is not None and not job.ended:
        text = in_words(job.progress)
    if job.error is not None:
        text = " ".join(f"{job.error.name}: {job.error.message}".split())
    return shortened(text, OUTCOME_CELLS_MAX)


def _print_cancellation(found: Cancellation) -> None:
    if found.ended:
        typer.echo(f"{counted(len(found.ended), 'job')} canceled")
    if found.asked:
        typer.echo(f"{counted(len(found.asked), 'job')} running: the workers were asked to stop")
    if found.more:
        complain("there are more jobs below these than one command cancels; give it again")
