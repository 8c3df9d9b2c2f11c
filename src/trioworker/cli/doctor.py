"""`trioworker doctor`: what must agree in the database, looked at once more."""

from typing import Annotated

import typer

from trioworker.cli.exits import ExitStatus
from trioworker.cli.loop import run_trio
from trioworker.cli.options import takes_settings
from trioworker.cli.output import complain, counted, print_json, print_table
from trioworker.cli.place import open_jobs
from trioworker.model.state import Flaw
from trioworker.settings import Settings


@takes_settings()
def doctor(
    settings: Settings,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is found.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look at what must agree: slots of limits, flows and steps.

    A flow that nothing will ever move is canceled by --fix.
    """
    found, left = run_trio(_examined, settings, fix)
    if as_json:
        print_json({"found": found, "left": len(left)})
    elif found:
        rows = ((flaw.job, flaw.key, flaw.what) for flaw in found)
        print_table(("job", "key or flow", "what"), rows)
    if left:
        advice = "run it again" if fix else "`trioworker doctor --fix` mends them"
        complain(f"{counted(len(left), 'flaw')} found; {advice}")
        raise typer.Exit(ExitStatus.FAILED)
    if not as_json:
        typer.echo(f"{counted(len(found), 'flaw')} mended" if found else "all is well")


async def _examined(settings: Settings, fix: bool) -> tuple[list[Flaw], list[Flaw]]:  # noqa: FBT001 - of trio.run
    """What was found, and what of it is left."""
    async with open_jobs(settings) as client:
        found = list(await client.flaws(mend=fix))
        left = list(await client.flaws()) if fix and found else found
    return found, left
