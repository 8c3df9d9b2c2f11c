"""`trioworker`: the commands in one tree.

Rule of this file: a command is imported when somebody asks for it. To import all of them took a
third of the time in which a small one starts.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from trioworker.cli.guard import guarded

COMMANDS: Final[Mapping[str, str]] = {
    "run": "trioworker.cli.run:run",
    "server": "trioworker.cli.server:server",
    "enqueue": "trioworker.cli.enqueue:enqueue",
    "deploy": "trioworker.cli.deploy:deploy",
    "scripts": "trioworker.cli.scripts:scripts_app",
    "jobs": "trioworker.cli.jobs:jobs_app",
    "flows": "trioworker.cli.flows:flows_app",
    "schedules": "trioworker.cli.schedules:schedules_app",
    "workers": "trioworker.cli.workers:workers",
    "token": "trioworker.cli.token:token_app",
    "doctor": "trioworker.cli.doctor:doctor",
    "migrate": "trioworker.cli.migrate:migrate",
    "db": "trioworker.cli.db:db_app",
    "bench": "trioworker.bench.command:bench_app",
}
"""Where each of them is, in the order in which they are shown."""


class _Loaded(Mapping[str, Any]):
    """The commands by name, as Typer makes them."""

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as below
        """A `KeyError` of an import is no unknown command."""
        return self[name] if name in COMMANDS else default

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - Typer keeps its types to itself
        module, _, attribute = COMMANDS[name].partition(":")
        made = getattr(import_module(module), attribute)
        tree = typer.Typer(rich_markup_mode=None)
        if isinstance(made, typer.Typer):
            tree.add_typer(made, name=name)
        else:
            tree.command(name)(made)
        return typer.main.get_group(tree).commands[name]


class _Tree(TyperGroup):
    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - whatever Typer has for a group
        super().__init__(**settings)
        self.commands = _Loaded()  # type: ignore[assignment]  # which is only read


app = typer.Typer(
    cls=_Tree,
    help="A job worker for PostgreSQL that works in batches.",
    no_args_is_help=True,
    rich_markup_mode=None,  # whose panels cut long names of variables short
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def load(arguments: Sequence[str]) -> None:
    """Import the command that `arguments` ask for, if it is one."""
    for place in filter(None, map(COMMANDS.get, arguments[:1])):
        import_module(place.partition(":")[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` ask for, by default argv, and exit."""
    guarded(lambda: sys.exit(app(arguments, prog_name="trioworker", standalone_mode=False)))


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda asked: _print_version() if asked else None,
        ),
    ] = False,
) -> None:
    """Options of the tree as a whole."""


def _print_version() -> None:
    typer.echo(f"trioworker {version('trioworker')}")
    raise typer.Exit
