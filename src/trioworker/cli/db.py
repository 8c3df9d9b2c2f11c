"""`trioworker db`: the embedded PostgreSQL by hand.

Rule of this file: it asks `store.postgres.embedded` and says what came of it. Errors pass through;
main prints them.
"""

import signal
from pathlib import Path
from typing import Annotated, Final

import msgspec
import trio
import typer

from trioworker.cli.loop import run_trio
from trioworker.store.postgres import embedded
from trioworker.store.postgres.embedded_programs import bundled_programs

DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="TRIOWORKER_DATA_DIR",
        metavar="FOLDER",
        help="The folder of its data; by default one in your own data folder.",
        show_default=False,
    ),
]
PASS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}

db_app = typer.Typer(
    help="The embedded PostgreSQL: what runs when no DATABASE_URL is set.", no_args_is_help=True
)


@db_app.command()
def start(data_dir: DataDir = None) -> None:
    """Start it, and keep it running.

    It runs until `trioworker db stop`, even when nobody uses it.
    """
    run_trio(embedded.start, data_dir)
    stands = embedded.status(data_dir)
    typer.echo(
        f"PostgreSQL {stands.version} runs in {stands.data_dir} (pid {stands.pid})"
        f" until `trioworker db stop`\n{stands.url}"
    )


@db_app.command()
def stop(data_dir: DataDir = None) -> None:
    """Stop it now; those who use it wait until it runs again."""
    before = run_trio(embedded.stop, data_dir)
    if not before.running:
        typer.echo(f"PostgreSQL did not run in {before.data_dir}")
    elif not before.users:
        typer.echo(f"PostgreSQL in {before.data_dir} stopped")
    else:
        typer.echo(
            f"PostgreSQL in {before.data_dir} stopped while in use by {_processes(before.users)};"
            " `trioworker db start` gives it back to them"
        )


@db_app.command()
def status(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Say whether it runs, where, and who uses it."""
    stands = embedded.status(data_dir)
    if as_json:
        typer.echo(msgspec.json.encode(stands).decode())
        return
    typer.echo(f"data folder  {stands.data_dir}")
    typer.echo(f"running      {_running(stands)}")
    typer.echo(f"users        {_processes(stands.users) if stands.users else 'none'}")
    typer.echo(f"url          {stands.url}")


@db_app.command(context_settings=PASS_ON)
def psql(context: typer.Context, data_dir: DataDir = None) -> None:
    """Open psql on it.

    It is started when it does not run. What follows is given to psql.
    """
    # A Ctrl-C is for psql, which then drops a query, and not for us. A handler, unlike SIG_IGN, is
    # not inherited.
    signal.signal(signal.SIGINT, lambda *_: None)
    raise typer.Exit(run_trio(_psql, data_dir, context.args))


async def _psql(data_dir: Path | None, arguments: list[str]) -> int:
    """The exit status of psql. It counts as a user, so the server is there until it ends."""
    program = bundled_programs(embedded.POSTGRES_VERSION) / "psql"
    async with embedded.open_embedded(data_dir) as server:
        command = [str(program), server.url, *arguments]
        process = await trio.run_process(command, stdin=None, check=False)
    return process.returncode


def _running(stands: embedded.Status) -> str:
    if not stands.running:
        return "no" if stands.version else "no, it was never started"
    until = "`trioworker db stop`" if stands.kept else "its last user leaves"
    return f"PostgreSQL {stands.version}, pid {stands.pid}, until {until}"


def _processes(pids: tuple[int, ...]) -> str:
    """`1 process (pid 17)`, `2 processes (pid 17, 18)`."""
    noun = "process" if len(pids) == 1 else "processes"
    return f"{len(pids)} {noun} (pid {', '.join(map(str, pids))})"
