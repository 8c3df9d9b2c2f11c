"""How much of the worker the simulator reaches: which branches of it no run takes.

Rule of this file: it reads what coverage.py measured, which `make coverage` does first, and judges
branches alone: a line that was run on one of its ways is half of the truth.
"""

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import coverage
import msgspec

from trioworker.cli.guard import guarded
from trioworker.errors import UsageError

LIMIT_PERCENT: Final = 90.0
PRODUCT: Final = "src/trioworker/"
PARTS: Final = ("model/", "store/postgres/store.py", "worker/")
PAGE: Final = Path(__file__).parents[1] / "docs" / "simulator" / "coverage.md"
REASON: Final = re.compile(r"^\| `(?P<place>[^`]+)` \| (?P<why>.+) \|$", re.MULTILINE)
NO_REASON: Final = "no reason is given in docs/simulator/coverage.md"


class Counts(msgspec.Struct, frozen=True):
    """Branches of a file or a function; a statement that goes two ways has two."""

    num_branches: int
    covered_branches: int


class Function(msgspec.Struct, frozen=True):
    """One function; a branch leads from a line to a line, or by a negative number out."""

    summary: Counts
    missing_branches: Sequence[tuple[int, int]]


class File(msgspec.Struct, frozen=True):
    """One file, and its functions by name; what is in none is under the empty name."""

    summary: Counts
    functions: Mapping[str, Function]


class Report(msgspec.Struct, frozen=True):
    """What of the document that `coverage json` writes is needed here."""

    files: Mapping[str, File]


class Row(msgspec.Struct, frozen=True):
    """A row of the table: a file, a part of the product, or all of it."""

    name: str
    branches: int
    taken: int

    @property
    def percent(self) -> float:
        """How many in a hundred are taken; of no branches all are."""
        return 100.0 * self.taken / self.branches if self.branches else 100.0

    def __str__(self) -> str:
        # Rounded down, so that what is below the limit never looks as if it had reached it.
        return f"| {self.name} | {self.branches} | {self.taken} | {int(self.percent * 10) / 10} |"


def main() -> None:
    """Print the table and what is missing in it; end with 1 when that is too much."""
    files = _files(_measured())
    whole = _sum("**all**", files.values())
    for line in (*_table(files), str(whole), "", *_missing(files)):
        sys.stdout.write(f"{line}\n")
    if whole.percent < LIMIT_PERCENT:
        sys.stdout.write(
            f"{whole.taken} ways of {whole.branches} are less than {LIMIT_PERCENT:g} %; find a"
            " scenario or a draw of the plan that takes more of them\n"
        )
        sys.exit(1)


def reasons() -> Mapping[str, str]:
    """Why no run takes a branch, by file or by file and function, as the page says."""
    return {match["place"]: match["why"] for match in REASON.finditer(PAGE.read_text("utf-8"))}


def _measured() -> Report:
    found = coverage.Coverage()
    found.load()
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "coverage.json"
        try:
            found.json_report(outfile=str(document))
        except coverage.CoverageException as error:
            raise UsageError(f"there is no measurement here ({error}); try make coverage") from None
        return msgspec.json.decode(document.read_bytes(), type=Report)


def _files(report: Report) -> Mapping[str, File]:
    """The files of the product by their short names, and of each part one at least."""
    files = {path.rpartition(PRODUCT)[2]: file for path, file in sorted(report.files.items())}
    for part in PARTS:
        if not any(name.startswith(part) for name in files):
            raise UsageError(f"nothing of {part} was measured; [tool.coverage.run] says what is")
    return files


def _sum(name: str, files: Iterable[File]) -> Row:
    counts = [file.summary for file in files]
    return Row(
        name,
        branches=sum(count.num_branches for count in counts),
        taken=sum(count.covered_branches for count in counts),
    )


def _table(files: Mapping[str, File]) -> Iterator[str]:
    """In markdown, for the page."""
    yield "| part | branches | taken | percent |"
    yield "|---|---|---|---|"
    for part in PARTS:
        inside = {name: file for name, file in files.items() if name.startswith(part)}
        yield str(_sum(f"**{part}**", inside.values()))
        for name, file in inside.items():
            if name != part and file.summary.num_branches:
                yield str(_sum(name, [file]))


def _missing(files: Mapping[str, File]) -> Iterator[str]:
    """Each function that has such branches, where they lead, and the reason of the page."""
    why = reasons()
    for name, file in files.items():
        for function, found in file.functions.items():
            if ways := ", ".join(_way(*branch) for branch in found.missing_branches):
                place = f"{name}: {function or 'outside of functions'}"
                yield f"{place}: {ways}: {why.get(place) or why.get(name) or NO_REASON}"


def _way(start: int, end: int) -> str:
    return f"{start} to {end if end > 0 else 'the end'}"


if __name__ == "__main__":
    guarded(main)
