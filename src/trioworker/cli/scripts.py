"""`trioworker scripts`: look at deployed scripts."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Annotated, TypeAlias, TypeVar

import msgspec
import typer

from trioworker.cli.loop import run_trio
from trioworker.cli.options import takes_settings
from trioworker.cli.output import on_one_line, print_json, print_table, shown_time
from trioworker.cli.place import open_jobs
from trioworker.client import Client
from trioworker.model.script import ScriptVersion
from trioworker.settings import Settings

T = TypeVar("T")
Path: TypeAlias = Annotated[str, typer.Argument(metavar="PATH", help="How jobs name it.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Limit: TypeAlias = Annotated[int, typer.Option(metavar="NUMBER", help="At most so many.")]

scripts_app = typer.Typer(help="Look at deployed scripts.", no_args_is_help=True)


@scripts_app.command("list")
@takes_settings()
def list_scripts(settings: Settings, *, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """The newest versions of all scripts, by path."""
    found = _ask(settings, lambda client: client.scripts.list(limit))
    if as_json:
        print_json(found)
        return
    columns = ("version", "deployed", "by", "language", "packages", "path")
    print_table(columns, map(_row, found))


@scripts_app.command()
@takes_settings()
def show(
    settings: Settings,
    path: Path,
    *,
    version: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Print the text of this version instead.")
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """The versions of a script, the newest first, or the text of one."""
    if version is not None:
        text = _ask(settings, lambda client: client.scripts.content(path, version))
        if as_json:
            print_json({"path": path, "version": version, "content": text})
        else:
            typer.echo(text, nl=False)
        return
    found = _ask(settings, lambda client: client.scripts.versions(path, limit))
    if as_json:
        print_json(found)
        return
    for number, one in enumerate(found):
        if number:
            typer.echo()
        for name, value in _facts(one):
            typer.echo(f"{name:<14}{value}".rstrip())


def _ask(settings: Settings, question: Callable[[Client], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with open_jobs(settings) as client:
            return await question(client)

    return run_trio(ask)


def _row(one: ScriptVersion) -> tuple[object, ...]:
    return (
        one.version,
        shown_time(one.created_at),
        one.created_by,
        f"{one.language}, dedicated" if one.dedicated else one.language,
        _packages(one),
        one.path,
    )


def _packages(one: ScriptVersion) -> str:
    if not one.requirements:
        return ""
    return "not installed yet" if one.lock is None else f"{len(one.lock)} locked"


def _facts(one: ScriptVersion) -> Iterator[tuple[str, object]]:
    for name, value in msgspec.structs.asdict(one).items():
        if isinstance(value, datetime):
            yield name, shown_time(value)
        elif isinstance(value, tuple):
            word = "requires" if name == "requirements" else "locked to"
            yield from ((word, on_one_line(each)) for each in value)
        elif value is not None and value != "":
            yield name, on_one_line(value)
