"""The story of a run: one line for each thing worth telling, and what belongs together folded.

Rule of this file: it leaves out and puts together, and finds no words of its own but for what it
folds. A story of one job is not folded.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple
from uuid import UUID

from sim.database.server import Health
from sim.lab.chronicle import Chronicle, Deed, Sort, Weight
from sim.lab.names import Names

TOGETHER_S: Final = {Sort.ENQUEUED: 0.1, Sort.TROUBLE: 5.0}
"""How long a line of many may last; what ran is one line until something comes of it."""
OF_EVERYBODY: Final = frozenset({Sort.FINDING, Sort.SERVER_DOWN, Sort.SERVER_UP, Sort.PHASE})


class Line(NamedTuple):
    """One line: when, who, what, and how much it matters."""

    at_s: float
    who: str
    text: str
    weight: Weight


@dataclass
class _Fold:
    """Deeds of the same kind by the same life, so far, and the place where they are told."""

    deeds: list[Deed] = field(default_factory=list)
    place: int = 0


def story(
    chronicle: Chronicle,
    *,
    job: UUID | None = None,
    worker: str | None = None,
    everything: bool = False,
) -> list[Line]:
    """The lines, in order; of one job or of one worker alone if asked, statements if asked."""
    deeds = [
        deed
        for deed in chronicle.deeds
        if (everything or deed.weight > Weight.ROUTINE)
        and (job is None or job in deed.jobs or _is_of_everybody(deed))
        and (worker is None or deed.actor == worker or _is_of_everybody(deed))
    ]
    if job is not None or everything:
        return [_line(deed) for deed in deeds]
    return list(_folded(deeds, chronicle.names))


def _is_of_everybody(deed: Deed) -> bool:
    return deed.sort in OF_EVERYBODY and deed.outcome != Health.STARTING.value


def _line(deed: Deed) -> Line:
    return Line(deed.at_s, deed.who, deed.text, deed.weight)


def _folded(deeds: Sequence[Deed], names: Names) -> Iterator[Line]:
    for fold in sorted(_folds(deeds), key=lambda fold: fold.place):
        yield _told(fold.deeds, names)


def _folds(deeds: Sequence[Deed]) -> Iterator[_Fold]:
    is_open: defaultdict[str, dict[tuple[Sort, str], _Fold]] = defaultdict(dict)
    for place, deed in enumerate(deeds):
        folds = is_open[deed.who]
        if deed.sort not in TOLD_TOGETHER:
            if deed.weight < Weight.FAULT:
                yield from folds.values()
                folds.clear()
            yield _Fold([deed], place)
            continue
        key = (deed.sort, deed.place)
        if key in folds and not _belongs(folds[key].deeds[0], deed):
            yield folds.pop(key)
        fold = folds.setdefault(key, _Fold(place=place))
        fold.deeds.append(deed)
        # What was enqueued is told before it is pulled; what ran, when all of it is over.
        fold.place = fold.place if deed.sort is Sort.ENQUEUED else place
    for folds in is_open.values():
        yield from folds.values()


def _belongs(first: Deed, deed: Deed) -> bool:
    return deed.at_s - first.at_s <= TOGETHER_S.get(deed.sort, inf)


def _told(deeds: Sequence[Deed], names: Names) -> Line:
    if len(deeds) == 1:
        return _line(deeds[0])
    told = deeds[0] if deeds[0].sort is Sort.ENQUEUED else deeds[-1]
    return Line(told.at_s, told.who, TOLD_TOGETHER[told.sort](deeds, names), told.weight)


def _ran(deeds: Sequence[Deed], names: Names) -> str:
    by_outcome: defaultdict[str, list[UUID]] = defaultdict(list)
    for deed in deeds:
        by_outcome[deed.outcome].extend(deed.jobs)
    parts = [f"{names.listed(jobs)} {how.lower()}" for how, jobs in by_outcome.items()]
    since_s = min(deed.since_s for deed in deeds)
    lasted = f", since {since_s:.4f}" if since_s < deeds[-1].at_s else ""
    return f"ran {', '.join(parts)}{lasted}"


def _enqueued(deeds: Sequence[Deed], names: Names) -> str:
    jobs = [job for deed in deeds for job in deed.jobs]
    return f"enqueued {names.listed(jobs)} in {len(deeds)} goes, until {deeds[-1].at_s:.4f}"


def _trouble(deeds: Sequence[Deed], _names: Names) -> str:
    what, _, why = deeds[-1].text.partition(" failed ")
    since_s = deeds[0].at_s
    return f"{what} failed {len(deeds)} times since {since_s:.4f}, lastly {why}"


TOLD_TOGETHER: Final[dict[Sort, Callable[[Sequence[Deed], Names], str]]] = {
    Sort.RAN: _ran,
    Sort.ENQUEUED: _enqueued,
    Sort.TROUBLE: _trouble,
}
