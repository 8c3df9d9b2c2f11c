"""What the command line asks for: a seed, a scenario file, a range of seeds.

Rule of this file: whatever cannot be meant is a `UsageError` that says what can.
"""

import re
import shlex
from pathlib import Path
from typing import Final, NamedTuple

from sim.lab.zoo import mutants, plan_of
from sim.plan import Plan
from sim.scenario import Scenario, load
from trioworker.errors import UsageError

SEED_MAX: Final = 2**63 - 1


class Target(NamedTuple):
    """One run that somebody asked for.

    `given` is how, `scenario` is None for a seed, and `mutant` names a bug to be planted.
    """

    given: str
    plan: Plan
    scenario: Scenario | None = None
    mutant: str | None = None

    @property
    def title(self) -> str:
        """`seed 17`, `poison-three`."""
        bare = f"seed {self.given}" if self.scenario is None else Path(self.given).stem
        return bare if self.mutant is None else f"{bare} with the mutant '{self.mutant}'"

    @property
    def stem(self) -> str:
        """What files about it are called, without an ending."""
        return f"seed-{self.given}" if self.scenario is None else Path(self.given).stem

    @property
    def arguments(self) -> str:
        """How a command is told of it, in a shell."""
        planted = [] if self.mutant is None else ["--mutant", self.mutant]
        return shlex.join([self.given, *planted])


def target(given: str, mutant: str | None = None) -> Target:
    """The run that `given` names: a seed, or a scenario file. Raises `UsageError`."""
    if mutant is not None:
        mutants([mutant])
    if re.fullmatch(r"\d+", given, re.ASCII):
        seed = int(given)
        if seed > SEED_MAX:
            raise UsageError(f"the seed {given} is too large; at most {SEED_MAX}")
        return Target(str(seed), plan_of(seed, mutant), None, mutant)
    path = Path(given)
    if not path.is_file():
        raise UsageError(f"{given} is neither a seed (0, 1, 2, …) nor a scenario file")
    scenario = load(path)
    return Target(given, scenario.plan, scenario, mutant)


def seed_range(given: str) -> range:
    """`A..B`: from A up to, and not with, B. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+)\.\.(\d+)", given, re.ASCII)
    if match is None:
        raise UsageError(
            f"{given} is no range of seeds; write it as 0..2000, the last one left out"
        )
    first, end = int(match[1]), int(match[2])
    if end > SEED_MAX:
        raise UsageError(f"the seeds of {given} are too large; at most {SEED_MAX}")
    if first >= end:
        raise UsageError(f"there is no seed in {given}; the second number must be the larger")
    return range(first, end)
