"""`trioworker deploy`: make a file the script at a path, for all workers."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from trioworker.cli.exits import ExitStatus
from trioworker.cli.loop import run_trio
from trioworker.cli.me import me
from trioworker.cli.options import takes_settings
from trioworker.cli.output import on_one_line, print_json
from trioworker.cli.place import open_jobs
from trioworker.cli.waiting import wait_for
from trioworker.errors import UsageError
from trioworker.model.script import CONTENT_BYTES_MAX, SUFFIX_OF, Deployed, new_script
from trioworker.settings import Settings

File: TypeAlias = Annotated[str, typer.Argument(metavar="FILE", help="The script.")]
At: TypeAlias = Annotated[
    str | None,
    typer.Option("--path", metavar="PATH", help="How jobs name it; default the file's name."),
]
Language: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"One of {', '.join(SUFFIX_OF)}; default as the path ends."),
]
Dedicated: TypeAlias = Annotated[
    bool, typer.Option("--dedicated", help="Run its jobs in a process that is kept.")
]
Wait: TypeAlias = Annotated[
    bool, typer.Option("--wait", help="Wait until what it requires is installed.")
]


@takes_settings()
def deploy(
    settings: Settings,
    file: File,
    *,
    path: At = None,
    language: Language = None,
    dedicated: Dedicated = False,
    wait: Wait = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a file the script at a path, for jobs from now on.

    What is equal to the newest version makes no new one. With --wait it fails unless its
    requirements can be installed.
    """
    script = new_script(
        path or Path(file).name, read_script(Path(file)), language=language, dedicated=dedicated
    )

    async def deployed() -> ExitStatus:
        async with open_jobs(settings) as client:
            done = await client.scripts.deploy(
                script.path, script.content, language=script.language, dedicated=dedicated, by=me()
            )
            if as_json:
                print_json(done)
            else:
                _tell(done)
            if not wait or done.dependencies is None:
                return ExitStatus.OK
            return await wait_for(client, [done.dependencies], as_json=as_json)

    raise typer.Exit(run_trio(deployed))


def read_script(file: Path) -> str:
    """The text of a file. Raises `UsageError`."""
    try:
        with file.open("rb") as opened:
            data = opened.read(CONTENT_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"the file {file} cannot be read: {error.strerror}") from None
    if len(data) > CONTENT_BYTES_MAX:
        return "." * len(data)  # too large, whatever it is
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"the file {file} is not UTF-8 text; a script is") from None


def _tell(done: Deployed) -> None:
    news = "deployed" if done.new else "as it was"
    typer.echo(f"{on_one_line(done.path)} is {news}, version {done.version}")
    if done.dependencies is not None:
        typer.echo(f"what it requires is installed by job {done.dependencies}")
