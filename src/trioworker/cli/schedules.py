"""`trioworker schedules`: look at schedules, add, pause, resume, run and delete them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, TypeAlias, cast
from uuid import UUID

import msgspec
import typer

from trioworker.cli.asking import ask
from trioworker.cli.options import takes_settings
from trioworker.cli.output import json_text, on_one_line, print_json, print_table, shown_time
from trioworker.cli.wanted import parse_args, parse_time
from trioworker.client import Client
from trioworker.model.job import DEFAULT_TAG, NEW_KINDS, Kind
from trioworker.model.schedule import CATCH_UPS, OVERLAPS, CatchUp, Overlap
from trioworker.model.schedule_settings import ScheduleSettings
from trioworker.model.schedule_state import ScheduleState
from trioworker.settings import Settings

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Path: TypeAlias = Annotated[
    str, typer.Argument(metavar="PATH", help="The function's name or the script's path.")
]
Args: TypeAlias = Annotated[
    str, typer.Argument(metavar="ARGS", help="A JSON object (by name) or array (by position).")
]
Cron: TypeAlias = Annotated[
    str | None, typer.Option(metavar="LINE", help="When, as '*/5 8-18 * * MON-FRI'.")
]
Every: TypeAlias = Annotated[
    float | None, typer.Option("--every", metavar="SECONDS", help="At whole multiples of it.")
]
At: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Once, as 2030-01-31T08:00+01:00.")
]
Zone: TypeAlias = Annotated[str, typer.Option(metavar="ZONE", help="Where the cron line is read.")]
OnOverlap: TypeAlias = Annotated[
    str, typer.Option(metavar="POLICY", help=f"When a job still runs: {', '.join(OVERLAPS)}.")
]
OnMissed: TypeAlias = Annotated[
    str, typer.Option(metavar="POLICY", help=f"When nobody worked: {', '.join(CATCH_UPS)}.")
]
OfKind: TypeAlias = Annotated[
    str, typer.Option(metavar="KIND", help=f"One of {', '.join(NEW_KINDS)}.")
]
Tag: TypeAlias = Annotated[str, typer.Option(metavar="TAG", help="Which workers may take it.")]
Priority: TypeAlias = Annotated[int, typer.Option(metavar="NUMBER", help="Higher goes first.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

schedules_app = typer.Typer(
    help="Look at schedules, add, pause, resume, run and delete them.", no_args_is_help=True
)


@schedules_app.command("list")
@takes_settings()
def list_schedules(
    settings: Settings,
    *,
    limit: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """All schedules, by name."""
    found = ask(settings, lambda client: client.schedules.list(limit))
    if as_json:
        print_json(found)
        return
    print_table(("name", "state", "next tick", "failures", "when", "path"), map(_row, found))


@schedules_app.command()
@takes_settings()
def show(settings: Settings, name: Name, *, as_json: AsJson = False) -> None:
    """All there is to know about one schedule."""
    found = ask(settings, lambda client: client.schedules.get(name))
    if as_json:
        print_json(found)
        return
    for field, value in _facts(found):
        typer.echo(f"{field:<14}{value}".rstrip())


@schedules_app.command()
@takes_settings()
def add(
    settings: Settings,
    name: Name,
    path: Path,
    args: Args = "{}",
    *,
    cron: Cron = None,
    every_s: Every = None,
    at: At = None,
    timezone: Zone = "UTC",
    overlap: OnOverlap = "skip",
    catch_up: OnMissed = "none",
    kind: OfKind = "function",
    tag: Tag = DEFAULT_TAG,
    priority: Priority = 0,
    as_json: AsJson = False,
) -> None:
    """Let a job be run again and again.

    A schedule of the same name becomes as said here.
    """
    moment = None if at is None else parse_time(at)
    arguments = msgspec.json.decode(parse_args(args))
    said = ScheduleSettings(
        tag=tag,
        priority=priority,
        overlap=cast("Overlap", overlap),  # it is said if it is none
        catch_up=cast("CatchUp", catch_up),
    )

    async def added(client: Client) -> ScheduleState:
        await client.schedules.add(
            name, path, arguments, cron=cron, every_s=every_s, at=moment, timezone=timezone,
            kind=cast("Kind", kind), **said,
        )  # fmt: skip
        return await client.schedules.get(name)

    _told(ask(settings, added), as_json=as_json)


@schedules_app.command()
@takes_settings()
def pause(settings: Settings, name: Name, *, as_json: AsJson = False) -> None:
    """Let none of its ticks become a job until it is resumed."""

    async def paused(client: Client) -> ScheduleState:
        await client.schedules.pause(name)
        return await client.schedules.get(name)

    _told(ask(settings, paused), as_json=as_json)


@schedules_app.command()
@takes_settings()
def resume(settings: Settings, name: Name, *, as_json: AsJson = False) -> None:
    """Go on with the first tick from now."""

    async def resumed(client: Client) -> ScheduleState:
        await client.schedules.resume(name)
        return await client.schedules.get(name)

    _told(ask(settings, resumed), as_json=as_json)


@schedules_app.command()
@takes_settings()
def run(settings: Settings, name: Name, *, as_json: AsJson = False) -> None:
    """Run its job now, beside its ticks, and print the job's id."""
    job: UUID = ask(settings, lambda client: client.schedules.run(name))
    if as_json:
        print_json({"id": job})
    else:
        typer.echo(job)


@schedules_app.command()
@takes_settings()
def delete(settings: Settings, name: Name, *, as_json: AsJson = False) -> None:
    """Forget it; a job of it that runs comes to its end.

    A worker whose app declares it makes it again when it starts.
    """
    ask(settings, lambda client: client.schedules.delete(name))
    if as_json:
        print_json({"deleted": name})
    else:
        typer.echo(f"{on_one_line(name)} is deleted")


def _told(schedule: ScheduleState, *, as_json: bool) -> None:
    if as_json:
        print_json(schedule)
        return
    coming = shown_time(schedule.next_tick)
    typer.echo(f"{schedule.name} is {schedule.state}" + (f", next tick {coming}" * bool(coming)))


def _row(schedule: ScheduleState) -> tuple[object, ...]:
    return (
        schedule.name,
        schedule.state,
        shown_time(schedule.next_tick),
        schedule.failures,
        _when(schedule),
        schedule.problem or schedule.path,
    )


def _when(schedule: ScheduleState) -> str:
    if schedule.cron is not None:
        return f"{schedule.cron} {schedule.timezone}"
    if schedule.every_s is not None:
        return f"every {schedule.every_s:g} s"
    return shown_time(schedule.at)


def _facts(schedule: ScheduleState) -> Iterator[tuple[str, object]]:
    for name, value in msgspec.structs.asdict(schedule).items():
        if isinstance(value, datetime):
            yield name, shown_time(value)
        elif name == "args":
            yield name, json_text(value)
        elif value is not None and value != "":
            yield name, on_one_line(value)
