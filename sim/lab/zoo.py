"""The zoo's table as it fills, and runs with a mutant planted.

Rule of this file: the zoo is loaded only by who asks for it; it imports every mutant there is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.cells import set_cell_size

from sim.plan import Plan, draw_plan
from trioworker.cli.output import GAP, counted, print_json
from trioworker.errors import UsageError

if TYPE_CHECKING:
    from sim.zoo import Catch, Mutant

COLUMNS: Final = ("mutant", "oracle", "seeds", "first seed")
SURVIVED: Final = "survived"


def mutants(names: Sequence[str]) -> Sequence["Mutant"]:
    """The mutants of these names, all without any. Raises `UsageError`."""
    from sim.zoo import MUTANTS  # noqa: PLC0415 - see above

    for name in names:
        if name not in MUTANTS:
            raise UsageError(f"there is no mutant {name}; one of: {', '.join(sorted(MUTANTS))}")
    return [MUTANTS[name] for name in names or MUTANTS]


def plan_of(seed: int, mutant: str | None) -> Plan:
    """What a seed means, for a mutant if there is one. Raises `UsageError`."""
    if mutant is None:
        return draw_plan(seed)
    from sim.zoo import plan_for  # noqa: PLC0415 - see above

    (found,) = mutants([mutant])
    return plan_for(found, seed)


@contextmanager
def planted(mutant: str | None) -> Iterator[None]:
    """Inside the block the mutant's bug is in the code. Raises `UsageError`."""
    with nullcontext() if mutant is None else mutants([mutant])[0].planted():
        yield


def hunt_all(names: Sequence[str], seeds: int, *, as_json: bool) -> bool:
    """Hunt, and print each mutant as it is caught or has survived; whether one has."""
    wanted = mutants(names)
    from sim import zoo  # noqa: PLC0415 - see above

    caught: list[tuple[Mutant, Catch | None]] = []
    widths = _widths(wanted)
    if not as_json:
        typer.secho(_row(COLUMNS, widths), bold=True)
    for mutant, catch in zoo.hunt_all([mutant.name for mutant in wanted], seeds):
        caught.append((mutant, catch))
        if not as_json:
            typer.secho(_row(_cells(mutant, catch, seeds), widths), fg=_colour(catch))
    survivors = sum(catch is None for _, catch in caught)
    if as_json:
        print_json([_document(mutant, catch, seeds) for mutant, catch in caught])
    else:
        typer.echo(f"{counted(len(caught), 'mutant')}, {survivors} survived {seeds:,} seeds")
    return survivors > 0


def _widths(wanted: Sequence["Mutant"]) -> Sequence[int]:
    names = [COLUMNS[0], *(mutant.name for mutant in wanted)]
    oracles = [COLUMNS[1], *(mutant.caught_by.name for mutant in wanted)]
    return [max(map(len, names)), max(map(len, oracles)), len("10,000"), len(COLUMNS[3])]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(map(set_cell_size, cells, widths)).rstrip()


def _cells(mutant: "Mutant", catch: "Catch | None", seeds: int) -> Sequence[str]:
    name, oracle = mutant.name, mutant.caught_by.name
    if catch is None:
        return name, oracle, f"{seeds:,}", SURVIVED
    return name, oracle, f"{catch.seeds:,}", str(catch.seed)


def _colour(catch: "Catch | None") -> str | None:
    return typer.colors.RED if catch is None else None


def _document(mutant: "Mutant", catch: "Catch | None", seeds: int) -> dict[str, Any]:
    return {
        "mutant": mutant.name,
        "does": mutant.does,
        "seen_in": mutant.seen_in,
        "oracle": mutant.caught_by.name,
        "seeds": seeds if catch is None else catch.seeds,
        "first_seed": None if catch is None else catch.seed,
        "message": None if catch is None else catch.message,
    }
