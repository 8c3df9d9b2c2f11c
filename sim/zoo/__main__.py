"""`python -m sim.zoo`: hunt for every mutant anew, and write down where each was found first."""

import sys
from pathlib import Path
from typing import Final

import msgspec

from sim.zoo import MUTANTS, hunt_all, table
from sim.zoo.hunting import FIRST_SEEDS

SEEDS_MAX: Final = 2_000
PAGE: Final = Path(__file__).parents[2] / "docs" / "simulator" / "zoo.md"
BEGIN: Final = "<!-- table -->\n"
END: Final = "<!-- end of table -->\n"


def main() -> int:
    """Hunt, and write the seeds and the table; 1 when a mutant survived."""
    caught = []
    for mutant, catch in hunt_all(list(MUTANTS), SEEDS_MAX):
        found = "survived" if catch is None else f"seed {catch.seed}"
        sys.stdout.write(f"{mutant.name}: {found}\n")
        sys.stdout.flush()
        caught.append((mutant, catch))
    first = {mutant.name: catch.seed for mutant, catch in caught if catch is not None}
    FIRST_SEEDS.write_bytes(msgspec.json.format(msgspec.json.encode(first), indent=2) + b"\n")
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{rows(first)}{END}{after}", "utf-8")
    return int(len(first) < len(caught))


def rows(first: dict[str, int]) -> str:
    """The table with the first seed of each mutant."""
    return "".join(f"{line}\n" for line in table(first))


if __name__ == "__main__":
    sys.exit(main())
