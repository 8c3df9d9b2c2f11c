"""`trioworker enqueue`: jobs from flags, or many from lines of JSON.

Rule of this file: everything is checked before anything is stored, and stored in one go; a line
that will not do leaves no half of a file in the queue.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, BinaryIO, Final, TypeAlias
from uuid import UUID

import typer

from trioworker.app import App, load_app
from trioworker.cli.exits import ExitStatus
from trioworker.cli.loop import run_trio
from trioworker.cli.options import takes_settings
from trioworker.cli.output import complain, counted, print_json
from trioworker.cli.place import open_jobs
from trioworker.cli.waiting import wait_for
from trioworker.cli.wanted import (
    UNSAID,
    Order,
    Wanted,
    order,
    parse_args,
    parse_time,
    parse_unique,
    switched_off,
)
from trioworker.errors import UsageError
from trioworker.model.bounds import PRIORITY_MAX, PRIORITY_MIN
from trioworker.model.job import NEW_KINDS
from trioworker.model.state import NewIds
from trioworker.settings import Settings

STDIN: Final = "-"
COUNT_MAX: Final = 1_000_000
"""All are in memory before the first is stored."""


# What a job is, as flags: the fields of `Wanted`.
Path: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="The function's name or the script's path; - reads a JSON object per line.",
    ),
]
Args: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="A JSON object (by name) or array (by position).", metavar="ARGS"),
]
OfKind: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--kind", metavar="KIND", help=f"One of {', '.join(NEW_KINDS)}; default function."
    ),
]
Tag: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TAG", help="Which workers may take it.")
]
Priority: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER", help=f"Higher goes first; {PRIORITY_MIN} to {PRIORITY_MAX}, default 0."
    ),
]
At: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Not before, as 2030-01-31T08:00+01:00.")
]
In: TypeAlias = Annotated[
    float | None,
    typer.Option("--in", "--delay", metavar="SECONDS", help="Not before so much later."),
]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="How long one attempt may take."),
]
Deadline: TypeAlias = Annotated[
    float | None,
    typer.Option("--deadline", metavar="SECONDS", help="When all attempts must be over, from now."),
]
Retry: TypeAlias = Annotated[
    int | None,
    typer.Option("--retry", metavar="NUMBER", help="At most so many attempts, the first included."),
]
UniqueKey: TypeAlias = Annotated[
    str | None,
    typer.Option("--unique", metavar="KEY", help="No two jobs with this key at a time."),
]
UniqueWhile: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="WHILE", help="queued, unfinished (default), or for so many seconds."),
]
OnDuplicate: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="WHAT", help="keep the first (default), replace it, or raise an error."),
]
Without: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SETTING",
        help="Not as the app says of this: retry, timeout_s, …; may come several times.",
    ),
]
Count: TypeAlias = Annotated[
    int,
    typer.Option(min=1, max=COUNT_MAX, metavar="NUMBER", help="How many jobs like this."),
]
Dedicated: TypeAlias = Annotated[
    bool, typer.Option("--dedicated", help="Run the script in a process that is kept.")
]


@takes_settings()
def enqueue(
    settings: Settings,
    path: Path,
    args: Args = None,
    *,
    kind: OfKind = None,
    tag: Tag = None,
    priority: Priority = None,
    at: At = None,
    in_s: In = None,
    timeout_s: Timeout = None,
    deadline_s: Deadline = None,
    retry: Retry = None,
    dedicated: Dedicated = False,
    unique: UniqueKey = None,
    unique_while: UniqueWhile = None,
    on_duplicate: OnDuplicate = None,
    without: Without = None,
    count: Count = 1,
    app: Annotated[
        str | None,
        typer.Option(metavar="MODULE:APP", help="Check name and arguments against this app."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the results and print them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Put jobs in the queue and print their ids."""
    said: dict[str, Any] = {
        "kind": kind,
        "tag": tag,
        "priority": priority,
        "scheduled_for": None if at is None else parse_time(at),
        "delay_s": in_s,
        "timeout_s": timeout_s,
        "deadline_s": deadline_s,
        "retry": retry,
        "dedicated": dedicated or None,
        "unique": parse_unique(unique, unique_while, on_duplicate),
    }
    flags = Wanted(
        path=path,
        args=UNSAID if args is None else parse_args(args),
        **{name: value for name, value in said.items() if value is not None},
        **switched_off(without, said),
    )
    checker = None if app is None else load_app(app)
    orders = _orders(flags, count, checker, awaited=wait)
    raise typer.Exit(run_trio(_enqueue, settings, orders, wait, as_json))


def _orders(flags: Wanted, count: int, app: App | None, *, awaited: bool) -> Sequence[Order]:
    if flags.path != STDIN:
        return [order(flags, app, awaited=awaited) for _ in range(count)]
    if count != 1:
        raise UsageError("--count goes with one job, not with lines on stdin")
    return list(_orders_from(sys.stdin.buffer, flags, app, awaited=awaited))


def _orders_from(
    lines: BinaryIO, flags: Wanted, app: App | None, *, awaited: bool
) -> Iterable[Order]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield order(flags.completed_by(line), app, awaited=awaited)
            except UsageError as error:
                raise UsageError(f"line {number}: {error}; nothing was enqueued") from None


async def _enqueue(
    settings: Settings,
    orders: Sequence[Order],
    wait: bool,  # noqa: FBT001 - for trio.run
    as_json: bool,  # noqa: FBT001 - for trio.run
) -> ExitStatus:
    async with open_jobs(settings) as client:
        now = await client.now()
        jobs = [order.due(now) for order in orders]
        new = await client.enqueue_many(jobs)
        ids = [new.first.get(job.id, job.id) for job in jobs]
        if wait:
            return await wait_for(client, ids, as_json=as_json)
    _print_ids(ids, new, asked=len({job.id for job in jobs}), as_json=as_json)
    return ExitStatus.OK


def _print_ids(ids: Sequence[UUID], new: NewIds, *, asked: int, as_json: bool) -> None:
    """Ids on stdout and the rest on stderr, so that `$(trioworker enqueue …)` is an id."""
    if as_json:
        print_json({"ids": ids, "new": len(new)})
    elif len(ids) == 1:
        typer.echo(ids[0])
    elif ids:
        typer.echo(f"{counted(len(new), 'job')} enqueued, from {ids[0]} to {ids[-1]}")
    else:
        complain("nothing to enqueue: there is no job on stdin")
    if new.first:
        complain(f"not enqueued, another has the key: {counted(len(new.first), 'job')}")
    if old := asked - len(new) - len(new.first):
        complain(f"left as before, because their ids exist: {counted(old, 'job')}")
