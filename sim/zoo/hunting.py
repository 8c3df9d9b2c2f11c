"""The hunt: which seed finds a mutant, and which oracle says so."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from os import cpu_count
from pathlib import Path
from typing import Final

import msgspec

from sim.batch import deaf_to_ctrl_c
from sim.oracles import Finding, Oracle
from sim.plan import Plan, draw_plan
from sim.run import run
from sim.zoo.mutant import MUTANTS, Mutant

FIRST_SEEDS: Final = Path(__file__).with_name("first_seeds.json")
ENDLESS: Final = "a run that ends"


class Catch(msgspec.Struct, frozen=True):
    """A mutant that was found. `seeds` were tried, `seed` was the last of them.

    `oracles` are all that had found something in it by then, in the order in which they did.
    """

    mutant: str
    seed: int
    seeds: int
    oracles: Sequence[str]
    message: str


def plan_for(mutant: Mutant, seed: int) -> Plan:
    """The plan that a seed means for this mutant."""
    if mutant.plan is None:
        return draw_plan(seed)
    return msgspec.structs.replace(mutant.plan, seed=seed)


def findings_of(plan: Plan, *, until: type[Oracle] | None = None) -> Sequence[Finding]:
    """What the oracles say of a run; one that breaks down has that as its finding.

    The run ends early when the one it goes on `until` has found something.
    """
    try:
        return run(plan, until=until).findings
    except Exception as error:  # noqa: BLE001 - a mutant may break down in any way
        return [Finding(ENDLESS, f"{type(error).__name__}: {error}", 0.0)]


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Catch | None:
    """The first of the seeds with which the mutant's oracle finds it; None when it survives."""
    with mutant.planted():
        for tried, seed in enumerate(seeds, start=1):
            findings = findings_of(plan_for(mutant, seed), until=mutant.caught_by)
            for finding in findings:
                if finding.oracle == mutant.caught_by.name:
                    oracles = list(dict.fromkeys(each.oracle for each in findings))
                    return Catch(mutant.name, seed, tried, oracles, finding.message)
    return None


def hunt_all(names: Sequence[str], seeds: int) -> Iterator[tuple[Mutant, Catch | None]]:
    """Hunt for mutants on all cores, each over the seeds from 0; in the order of the names."""
    with ProcessPoolExecutor(cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        try:
            with deaf_to_ctrl_c():
                hunts = [(MUTANTS[name], pool.submit(_hunt_named, name, seeds)) for name in names]
            for mutant, caught in hunts:
                yield mutant, caught.result()
        except BaseException:
            # A hunt may take minutes, and who interrupts it does not mean to wait for its end.
            for process in active_children():
                process.terminate()
            raise


def first_seeds() -> dict[str, int]:
    """Where each mutant was found first, when that was last looked for."""
    return msgspec.json.decode(FIRST_SEEDS.read_bytes(), type=dict[str, int])


def table(first: Mapping[str, int]) -> Iterator[str]:
    """All mutants with their first seeds, as the lines of a Markdown table."""
    yield "| mutant | what it does | seen in | oracle | first seed |"
    yield "|---|---|---|---|---|"
    for mutant in MUTANTS.values():
        own = " of its own plan" if mutant.plan is not None else ""
        seed = f"{first[mutant.name]}{own}" if mutant.name in first else "**survived**"
        yield (
            f"| {mutant.name} | {mutant.does} | {mutant.seen_in} |"
            f" {mutant.caught_by.name} | {seed} |"
        )


def _hunt_named(name: str, seeds: int) -> Catch | None:
    return hunt(MUTANTS[name], range(seeds))
