"""`python -m sim`: the laboratory's commands in one tree.

Rule of this file: it reads what is asked for, lets others do it, and prints what came of it. The
status is 0 when nothing was found, 1 when something was.
"""

import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from sim.lab import zoo
from sim.lab.chronicle import Chronicle
from sim.lab.exploring import REPLAY, Search, endless, explore, report, summed_up
from sim.lab.given import Target, seed_range, target
from sim.lab.names import Names
from sim.lab.page import Shown, page
from sim.lab.perfetto import trace_events
from sim.lab.planned import planned
from sim.lab.saying import (
    as_json,
    figures,
    say_difference,
    say_figures,
    say_findings,
    say_line,
    say_plan,
    say_step,
)
from sim.lab.story import story
from sim.lab.timeline import picture
from sim.lab.tracefile import compare, save_trace
from sim.lab.trial import attempt, trial
from sim.scenario import VERSION, Scenario, save
from sim.shrink import RUNS_MAX, shrink
from sim.trio_patch import patched
from trioworker.cli.exits import ExitStatus
from trioworker.cli.output import print_json
from trioworker.errors import UsageError

SEEDS_AT_FIRST: Final = 200

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Planted = Annotated[
    str | None, typer.Option("--mutant", metavar="NAME", help="Plant a bug of the zoo first.")
]
Given = Annotated[str, typer.Argument(metavar="SEED|FILE", help="A seed, or a scenario file.")]

app = typer.Typer(
    help="The simulator's laboratory: find a failure, replay it, make it small, look at it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    *,
    seed: Annotated[str, typer.Option(metavar="SEED|FILE", help="A seed, or a scenario file.")],
    save_to: Annotated[
        Path | None,
        typer.Option("--save-trace", metavar="FILE", help="Write all that happened to a file."),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option("--compare", metavar="FILE", help="Compare with a trace that was saved."),
    ] = None,
    mutant: Planted = None,
    json: Json = False,
) -> None:
    """One run: its plan, what was found, and its figures."""
    wanted = target(seed, mutant)
    done = trial(wanted)
    trace = done.result.trace
    if save_to is not None:
        save_trace(trace, save_to, of=wanted.title)
    difference = None if other is None else compare(trace, other)
    if json:
        print_json(as_json(wanted, done))
    else:
        say_plan(wanted)
        say_findings(done.result)
        say_figures(done)
        if other is not None:
            say_difference(difference)
    _exit(found=bool(done.result.findings) or difference is not None)


@app.command("explore")
def explore_command(
    *,
    seeds: Annotated[
        str | None, typer.Option(metavar="A..B", help="Which seeds, B left out.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop after so many; without --seeds, go on until then."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="How many processes; by default one for each core.")
    ] = None,
    json: Json = False,
) -> None:
    """Many seeds on all cores: findings, the states that were seen, speed."""
    _check_trio()
    until_s = None if minutes is None else minutes * 60
    if seeds is None and minutes is not None:
        search, total = Search(endless(0), cores, until_s), None
    else:
        wanted = range(SEEDS_AT_FIRST) if seeds is None else seed_range(seeds)
        search, total = Search(wanted, cores, until_s), len(wanted)
    try:
        explore(search, total=total, quiet=json)
    finally:
        if json:
            print_json(summed_up(search))
        else:
            report(search)
    _exit(found=bool(search.totals.failed))


@app.command()
def replay(
    given: Given,
    *,
    job: Annotated[
        str | None, typer.Option(help="Only this job: its number, or how its id begins.")
    ] = None,
    worker: Annotated[int | None, typer.Option(min=0, help="Only this worker.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Statements and transactions as well, nothing folded.")
    ] = False,
    mutant: Planted = None,
) -> None:
    """The story of a run, line by line."""
    wanted = target(given, mutant)
    name = None if worker is None else _worker(wanted, worker)
    done = trial(wanted)
    chronicle = Chronicle(wanted.plan, done.result.trace, done.result.findings)
    only = None if job is None else chronicle.names.find_job(job)
    say_plan(wanted)
    for line in story(chronicle, job=only, worker=name, everything=everything):
        say_line(line)
    say_findings(done.result)
    say_figures(done)
    _exit(found=bool(done.result.findings))


@app.command()
def show(
    given: Given,
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to.")] = Path(),
    mutant: Planted = None,
) -> None:
    """A page that shows a run, and a trace that Perfetto opens."""
    wanted = target(given, mutant)
    done = trial(wanted)
    drawn = picture(Chronicle(wanted.plan, done.result.trace, done.result.findings))
    shown = Shown(
        title=wanted.title,
        plan=" · ".join(planned(wanted.plan)),
        figures=figures(done),
        story_told="" if wanted.scenario is None else wanted.scenario.story,
    )
    files = {
        out / f"{wanted.stem}.html": page(drawn, shown).encode(),
        out / f"{wanted.stem}.perfetto.json": trace_events(drawn, title=wanted.title),
    }
    for path, content in files.items():
        _write(path, content)
        typer.echo(path)
    say_findings(done.result)
    _exit(found=bool(done.result.findings))


@app.command("shrink")
def shrink_command(
    given: Given,
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The scenario to write; by default named by the seed."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="At most so many runs.")] = RUNS_MAX,
    mutant: Planted = None,
) -> None:
    """Leave out faults, jobs and workers for as long as the run still fails."""
    wanted = target(given, mutant)
    failed = trial(wanted).result
    if not failed.findings:
        raise UsageError(f"{wanted.title} has no finding, so there is nothing to shrink")
    oracle, path = failed.findings[0].oracle, out or Path(f"{wanted.stem}.toml")
    say_findings(failed)
    with zoo.planted(mutant):
        plan = shrink(
            wanted.plan,
            lambda result: oracle in {found.oracle for found in result.findings},
            kept=say_step,
            runs_max=runs,
            attempt=attempt,
        )
        small = attempt(plan)
    said = next(found.message for found in small.findings if found.oracle == oracle)
    about = f"Shrunk from {wanted.title}. The oracle '{oracle}': {Names(small.trace).shorten(said)}"
    _save(Scenario(version=VERSION, story=about, plan=plan), path)
    saved = target(str(path), mutant)
    say_plan(saved)
    say_findings(small)
    typer.echo(f"{REPLAY} {saved.arguments}")


@app.command("zoo")
def zoo_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which mutants; all if none.")
    ] = None,
    *,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to try for each.")] = 2_000,
    json: Json = False,
) -> None:
    """Planted bugs: which oracle finds each, and with how many seeds."""
    _check_trio()
    survived = zoo.hunt_all(names or [], seeds, as_json=json)
    _exit(found=survived)


def _worker(wanted: Target, number: int) -> str:
    workers = wanted.plan.sizes.workers
    if number >= workers:
        raise UsageError(f"there is no worker {number} in this run; the last is {workers - 1}")
    return f"worker-{number}"


def _check_trio() -> None:
    """Before other processes are started, in which it would be found out once for each run."""
    with patched():
        pass


def _save(scenario: Scenario, path: Path) -> None:
    try:
        save(scenario, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _exit(*, found: bool) -> NoReturn:
    sys.exit(ExitStatus.FAILED if found else ExitStatus.OK)
