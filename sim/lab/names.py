"""Short names for what a run is about: job 07, claim c3, worker-1/2nd life.

Rule of this file: a name follows from the trace alone, so that the same run has the same names in
every story, page and trace. Jobs are numbered in the order in which their ids were made, claims and
lives in the order in which the server saw them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from sim.database.rows import ClaimRow, JobRow, Row, WorkerRow
from sim.happenings import Committed, Happening
from trioworker.errors import UsageError
from trioworker.events import WorkerStarted

GROUPS_MAX: Final = 8
"""How many runs of neighbours a list of jobs names before it only counts the rest."""
PAIR: Final = 2
"""So many neighbours are still named one by one."""
TEENS: Final = (11, 12, 13)
ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_ID: Final = re.compile(
    r"(?:(?:job|worker|claim) )?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE
)


class Names:
    """The names of one run. What the trace never showed the server is named by its last digits."""

    def __init__(self, happenings: Iterable[Happening]) -> None:
        jobs: dict[UUID, str] = {}
        self.lives: dict[UUID, str] = {}
        self.claims: dict[UUID, str] = {}
        born: Counter[str] = Counter()
        for id_, what in _first_seen(happenings):
            if isinstance(what, JobRow):
                jobs[id_] = what.path
            elif isinstance(what, ClaimRow):
                self.claims.setdefault(id_, f"c{len(self.claims) + 1}")
            elif id_ not in self.lives:
                born[what] += 1
                self.lives[id_] = what if born[what] == 1 else f"{what}/{_nth(born[what])} life"
        width = max(2, len(str(len(jobs))))
        self.jobs: Mapping[UUID, str] = {
            id_: f"{number:0{width}}" for number, id_ in enumerate(sorted(jobs), start=1)
        }
        self.paths: Mapping[UUID, str] = jobs

    def job(self, id_: UUID) -> str:
        """`07`."""
        return self.jobs.get(id_) or _last_digits(id_)

    def listed(self, ids: Iterable[UUID]) -> str:
        """`job 07`, `jobs 01 03`, `40 jobs: 01 03 … and 20 more`; neighbours as a range."""
        names = sorted({self.job(id_) for id_ in ids})
        if len(names) <= 1:
            return f"job {names[0]}" if names else "no job"
        groups = _neighbours(names)
        shown = " ".join(_range(group) for group in groups[:GROUPS_MAX])
        rest = sum(len(group) for group in groups[GROUPS_MAX:])
        return f"{len(names)} jobs: {shown} and {rest} more" if rest else f"jobs {shown}"

    def claim(self, id_: UUID) -> str:
        """`c3`."""
        return self.claims.get(id_) or f"claim {_last_digits(id_)}"

    def life(self, id_: UUID) -> str:
        """`worker-1`, `worker-1/2nd life`."""
        return self.lives.get(id_) or f"worker {_last_digits(id_)}"

    def find_job(self, text: str) -> UUID:
        """The one job that `text` means: its number or the beginning of its id.

        Raises `UsageError` when that is none, or several.
        """
        number = text.removeprefix("job").strip()
        found = [id_ for id_, name in self.jobs.items() if name.lstrip("0") == number.lstrip("0")]
        found = found or [id_ for id_ in self.jobs if str(id_).startswith(text.lower())]
        match found:
            case [id_]:
                return id_
            case []:
                last = max(self.jobs.values(), default="none")
                raise UsageError(f"there is no job {text} in this run; the last one is {last}")
            case _:
                raise UsageError(f"{len(found)} jobs begin with {text}; give more of the id")

    def jobs_in(self, text: str) -> list[UUID]:
        """The jobs that a text names by their ids, in order, each once."""
        found = [UUID(match[1]) for match in _ID.finditer(text)]
        return [id_ for id_ in dict.fromkeys(found) if id_ in self.jobs]

    def shorten(self, text: str) -> str:
        """`text` with every id that has a name replaced by it."""
        return _ID.sub(self._short, text)

    def _short(self, match: re.Match[str]) -> str:
        id_ = UUID(match[1])
        if id_ in self.jobs:
            return f"job {self.jobs[id_]}"
        return self.claims.get(id_) or self.lives.get(id_) or match[0]


def _first_seen(happenings: Iterable[Happening]) -> Iterator[tuple[UUID, JobRow | ClaimRow | str]]:
    """Jobs and claims with their rows, lives with the name of their worker; perhaps repeatedly."""
    for happening in happenings:
        event = happening.event
        if isinstance(event, WorkerStarted):
            yield event.worker, happening.actor
        elif isinstance(event, Committed):
            yield from _named(change.new for change in event.changes)


def _named(rows: Iterable[Row | None]) -> Iterator[tuple[UUID, JobRow | ClaimRow | str]]:
    for row in rows:
        if isinstance(row, JobRow | ClaimRow):
            yield row.id, row
        elif isinstance(row, WorkerRow):
            yield row.id, row.name


def _neighbours(names: Sequence[str]) -> list[list[str]]:
    """Runs of consecutive numbers; what is no number stands alone."""
    groups: list[list[str]] = []
    for name in names:
        last = groups[-1][-1] if groups else ""
        if name.isdigit() and last.isdigit() and int(name) == int(last) + 1:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _range(group: Sequence[str]) -> str:
    return " ".join(group) if len(group) <= PAIR else f"{group[0]}-{group[-1]}"


def _nth(number: int) -> str:
    ending = "th" if number % 100 in TEENS else ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"


def _last_digits(id_: UUID) -> str:
    return f"…{id_.hex[-6:]}"
