"""What the laboratory's commands print about a run."""

from typing import Any, Final

import typer

from sim.lab.chronicle import Weight
from sim.lab.given import Target
from sim.lab.names import Names
from sim.lab.planned import planned
from sim.lab.story import Line
from sim.lab.tracefile import Difference
from sim.lab.trial import Trial
from sim.run import Result
from sim.shrink import Step
from sim.trace import VERSION as TRACE_VERSION
from trioworker.cli.output import counted

MARGINS: Final = {Weight.TROUBLE: "·", Weight.FAULT: "!", Weight.FINDING: "✗"}
COLOURS: Final = {
    Weight.TROUBLE: typer.colors.RED,
    Weight.FAULT: typer.colors.YELLOW,
    Weight.FINDING: typer.colors.BRIGHT_RED,
}
WHO_WIDTH: Final = 18


def say_plan(target: Target) -> None:
    """What the run is made of."""
    typer.secho(target.title, bold=True)
    if target.scenario is not None:
        typer.echo(f"  {target.scenario.story}")
    for line in planned(target.plan):
        typer.echo(f"  {line}")


def say_findings(result: Result) -> None:
    """All of them, in the short names of their run; or that there is none."""
    if not result.findings:
        typer.secho("nothing found", fg=typer.colors.GREEN)
        return
    names = Names(result.trace)
    for finding in result.findings:
        typer.secho(f"✗ {names.shorten(str(finding))}", fg=COLOURS[Weight.FINDING])


def say_figures(trial: Trial) -> None:
    """How long, how much, and the hash of it all."""
    typer.echo(figures(trial))


def figures(trial: Trial) -> str:
    """The same as text."""
    trace = trial.result.trace
    return (
        f"{trial.result.virtual_s:.2f} virtual s in {trial.wall_s:.2f} s,"
        f" {counted(jobs_in(trial), 'job')}, {counted(len(trace), 'happening')},"
        f" trace {trace.digest}"
    )


def jobs_in(trial: Trial) -> int:
    """How many jobs the plan has, named or drawn."""
    plan = trial.result.plan
    return len(plan.jobs) or plan.sizes.jobs


def as_json(target: Target, trial: Trial) -> dict[str, Any]:
    """A run for programs."""
    result = trial.result
    return {
        "run": target.title,
        "seed": target.plan.seed,
        "findings": [finding._asdict() for finding in result.findings],
        "virtual_s": result.virtual_s,
        "wall_s": round(trial.wall_s, 3),
        "jobs": jobs_in(trial),
        "happenings": len(result.trace),
        "trace": result.trace.digest,
        "trace_version": TRACE_VERSION,
    }


def say_line(line: Line) -> None:
    """One line of a story."""
    text = f"{line.at_s:10.4f} {MARGINS.get(line.weight, ' ')} {line.who:{WHO_WIDTH}} {line.text}"
    typer.secho(text, fg=COLOURS.get(line.weight), dim=line.weight == Weight.ROUTINE or None)


def say_step(step: Step) -> None:
    """A step of shrinking that is kept."""
    typer.echo(f"still fails with less: {step.what}")


def say_difference(difference: Difference | None) -> None:
    """Whether two traces are the same, and where they part."""
    if difference is None:
        typer.secho("the traces are the same", fg=typer.colors.GREEN)
        return
    typer.secho(f"the traces part at happening {difference.place}:", fg=typer.colors.RED)
    typer.echo(f"  here   {difference.mine}")
    typer.echo(f"  there  {difference.theirs}")
