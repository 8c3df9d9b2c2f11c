"""`trioworker flows`: push flows, look at them and their runs, run them, approve."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec
import typer

from trioworker.cli.approvals import approvals, approve, disapprove
from trioworker.cli.asking import ask
from trioworker.cli.flow_files import found_flows
from trioworker.cli.flow_tree import plan_rows, run_rows
from trioworker.cli.options import takes_settings
from trioworker.cli.output import (
    counted,
    json_text,
    on_one_line,
    print_json,
    print_table,
    shown_time,
)
from trioworker.cli.waiting import wait_for
from trioworker.cli.wanted import parse_args
from trioworker.client import Client
from trioworker.errors import UnknownFlow, UsageError
from trioworker.flowing import RunSettings, read_flow
from trioworker.model.flow import Flow, schema
from trioworker.model.flow_shown import FlowListed, FlowRunState, FlowVersion, Pushed
from trioworker.settings import Settings

Path: TypeAlias = Annotated[str, typer.Argument(metavar="PATH", help="The flow's path.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Version: TypeAlias = Annotated[
    int | None, typer.Option(metavar="NUMBER", help="Not the newest version, but this one.")
]

flows_app = typer.Typer(
    help="Push flows, look at them and their runs, run them, approve.", no_args_is_help=True
)


@flows_app.command()
@takes_settings()
def push(
    settings: Settings,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="JSON files, or flows in Python, as module:flow."),
    ],
    *,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="PATH", help="Not the file's name, but this; for one."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="Stored as who has pushed it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Store flows, each as the next version of its path.

    The path is the name of the file, without its ending. What is equal to the newest version makes
    no new one. All files are checked before the first is stored.
    """
    wanted = found_flows(files, path)

    async def pushed(client: Client) -> Sequence[Pushed]:
        return [await client.push_flow(name, flow, by=by) for name, flow in wanted.items()]

    found = ask(settings, pushed)
    if as_json:
        print_json(found)
        return
    for one in found:
        news = "pushed" if one.new else "as it was"
        typer.echo(f"{on_one_line(one.path)} is {news}, version {one.version}")


@flows_app.command("list")
@takes_settings()
def list_flows(
    settings: Settings,
    *,
    limit: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """All flows, by path."""
    found = ask(settings, lambda client: client.flows(limit))
    if as_json:
        print_json(found)
        return
    print_table(("version", "pushed", "by", "under way", "path"), map(_row, found))


@flows_app.command()
@takes_settings()
def show(
    settings: Settings,
    flow: Annotated[
        str, typer.Argument(metavar="PATH|RUN-ID", help="A flow's path, or the id of a run.")
    ],
    *,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """A flow as a tree of its steps, or how far a run of it is."""
    if (run := _run_id(flow)) is not None:
        if version is not None:
            raise UsageError("--version goes with a path; a run keeps to a version of its own")
        _show_run(settings, run, as_json=as_json)
        return
    found = ask(settings, lambda client: client.flow(flow, version))
    if as_json:
        print_json(found)
        return
    for name, value in _facts(found):
        typer.echo(f"{name:<14}{value}".rstrip())
    typer.echo()
    print_table(("step", "does", "unless"), plan_rows(read_flow(found.definition)))


@flows_app.command()
@takes_settings()
def run(
    settings: Settings,
    path: Path,
    args: Annotated[
        str, typer.Argument(metavar="ARGS", help="A JSON object: the input, by name.")
    ] = "{}",
    *,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Which workers may take it.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Higher goes first.")
    ] = None,
    in_s: Annotated[
        float | None,
        typer.Option("--in", "--delay", metavar="SECONDS", help="Not before so much later."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and print it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a flow and print the id of the run."""
    given = _input(args)
    settled = RunSettings(delay_s=in_s, awaited=wait)
    if tag is not None:
        settled["tag"] = tag
    if priority is not None:
        settled["priority"] = priority

    async def ran(client: Client) -> tuple[UUID, int]:
        id_ = await client.run_flow(path, given, **settled)
        return id_, await wait_for(client, [id_], as_json=as_json) if wait else 0

    id_, status = ask(settings, ran)
    if as_json and not wait:
        print_json({"id": id_})
    elif not wait:
        typer.echo(id_)
    raise typer.Exit(status)


@flows_app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of a flow's definition."""
    typer.echo(msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode())


flows_app.command()(approvals)
flows_app.command()(approve)
flows_app.command()(disapprove)


def _show_run(settings: Settings, run: UUID, *, as_json: bool) -> None:
    async def looked(client: Client) -> tuple[FlowRunState, Flow | None]:
        found = await client.flow_run(run)
        return found, None if as_json else await _flow_of(client, found)

    found, flow = ask(settings, looked)
    if as_json:
        print_json(found)
        return
    for name, value in _run_facts(found):
        typer.echo(f"{name:<14}{value}".rstrip())
    typer.echo()
    print_table(("step", "does", "job", "state"), run_rows(flow, found.steps, found.approvals))
    if found.more:
        typer.echo(f"the newest {counted(len(found.steps), 'step')}; there are more")


async def _flow_of(client: Client, run: FlowRunState) -> Flow | None:
    """What the run does; the newest version when nobody knows any more which one it was."""
    try:
        return read_flow((await client.flow(run.job.path, run.version)).definition)
    except UnknownFlow:
        return None


def _facts(flow: FlowVersion) -> Iterator[tuple[str, object]]:
    yield "path", on_one_line(flow.path)
    yield "version", flow.version
    yield "pushed", shown_time(flow.created_at)
    if flow.created_by:
        yield "by", on_one_line(flow.created_by)
    definition: dict[str, object] = flow.definition
    for name, value in definition.items():
        if name not in {"steps", "failure"}:
            yield name, on_one_line(value if isinstance(value, str) else json_text(value))


def _run_facts(run: FlowRunState) -> Iterator[tuple[str, object]]:
    job = run.job
    yield "run", job.id
    version = "" if run.version is None else f", version {run.version}"
    yield "flow", f"{on_one_line(job.path)}{version}"
    if job.flow is not None:
        yield "nested in", f"{job.flow}, at {on_one_line(job.step)}"
    yield "state", "under way" if job.waits_for == "steps" else job.state
    yield "input", json_text(job.args)
    moments: dict[str, datetime | None] = {"began": job.started_at, "ended": job.completed_at}
    yield from ((name, shown_time(moment)) for name, moment in moments.items() if moment)
    if job.state == "success":
        yield "result", json_text(job.result)
    if run.early_result is not None:
        yield "result", f"{json_text(run.early_result)}, while it goes on"
    if job.error is not None:
        yield "error", on_one_line(f"{job.error.name}: {job.error.message}")


def _row(flow: FlowListed) -> tuple[object, ...]:
    return flow.version, shown_time(flow.created_at), flow.created_by, flow.runs, flow.path


def _run_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _input(text: str) -> dict[str, object]:
    found = msgspec.json.decode(parse_args(text))
    if not isinstance(found, dict):
        raise UsageError(f"the input of a flow is a JSON object, as '{{\"order\": 7}}', not {text}")
    return found
