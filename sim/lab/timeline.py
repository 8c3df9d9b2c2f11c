"""The picture of a run, as data: lanes, bars and marks on them, and the words for each.

Rule of this file: where a thing stands and what is said of it is decided here, how it looks is the
page's. Times are virtual seconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from uuid import UUID

import msgspec

from sim.database.server import Health
from sim.lab.chronicle import Chronicle, Claim, Deed, Sort, Weight
from sim.lab.chronicle.deed import FAILED_COMMITS

LIFE, CLAIMS, RUNS, COMMITS = "life", "claims", "executions", "commits"
OF_WORKER: Final = (LIFE, CLAIMS, RUNS, COMMITS)
ORACLE, SERVER, CLIENT = "oracle", "server", "client"
PULL_PLACES: Final = frozenset({"pull", "adopt", "next_due"})
COMMIT_PLACES: Final = frozenset({"commit", "store_logs", "notify_done", "find_stored", "ping"})
RUN_KINDS: Final = {
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Retried": "again",
    "Snoozed": "again",
}
MARKED: Final = frozenset(Sort) - {Sort.RAN, Sort.PULLED, Sort.ROUTINE, Sort.STORED, Sort.PHASE}
"""What is a mark; the others are bars only, or lines through all."""
ROWS_MAX: Final = 16
MOMENT_S: Final = 1e-5
LOST_REPLY: Final = "reply lost"


class Lane(msgspec.Struct):
    """A lane: whose it is, what is on it, and how many rows of bars side by side."""

    group: str
    name: str
    rows: int = 1


class Item(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A bar, or a mark when `mark` is set. `jobs` are places in `Picture.jobs`."""

    lane: int
    kind: str
    from_s: float
    to_s: float
    text: str
    label: str = ""
    who: str = ""
    row: int = 0
    mark: bool = False
    fault: str = ""
    jobs: Sequence[int] = ()


class Told(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of the story, unfolded."""

    at_s: float
    who: str
    text: str
    weight: int
    jobs: Sequence[int] = ()


class Job(msgspec.Struct, kw_only=True):
    """A job by its short name, with what it is."""

    name: str
    id: UUID
    path: str


class Picture(msgspec.Struct, kw_only=True):
    """All of a run that is drawn. Before `healed_s` there may be faults."""

    end_s: float
    healed_s: float | None
    drained_s: float | None
    jobs: Sequence[Job]
    lanes: Sequence[Lane]
    items: Sequence[Item]
    story: Sequence[Told]


def picture(chronicle: Chronicle) -> Picture:
    """Draw it."""
    return _Painter(chronicle).paint()


class _Painter:
    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle
        self._names = names = chronicle.names
        self._place = {id_: place for place, id_ in enumerate(names.jobs)}
        workers = sorted({deed.actor for deed in chronicle.deeds if deed.sort is Sort.BORN})
        self._lanes = [Lane(ORACLE, "findings"), Lane(SERVER, "server"), Lane(CLIENT, "enqueues")]
        self._lanes += [Lane(worker, name) for worker in workers for name in OF_WORKER]
        self._index = {(lane.group, lane.name): at for at, lane in enumerate(self._lanes)}

    def paint(self) -> Picture:
        deeds = self._chronicle.deeds
        bars = [*self._lives(), *self._server(), *self._claims(), *self._runs(), *self._commits()]
        for at, lane in enumerate(self._lanes):
            if lane.name in (CLAIMS, RUNS):
                lane.rows = _pack([bar for bar in bars if bar.lane == at])
        marks = [self._mark(deed) for deed in deeds if deed.sort in MARKED]
        return Picture(
            end_s=self._chronicle.end_s,
            healed_s=self._phase_s("healed"),
            drained_s=self._phase_s("drained"),
            jobs=[
                Job(name=name, id=id_, path=self._names.paths[id_])
                for id_, name in self._names.jobs.items()
            ],
            lanes=self._lanes,
            items=[*bars, *(mark for mark in marks if mark is not None)],
            story=[self._told(deed) for deed in deeds if deed.weight > Weight.ROUTINE],
        )

    # ---- bars -----------------------------------------------------------------------------------

    def _lives(self) -> Iterator[Item]:
        """Each life from its registration to its end, each pause within."""
        end_s = self._chronicle.end_s
        open_: dict[tuple[str, str], Item] = {}
        for deed in self._chronicle.deeds:
            if deed.sort is Sort.REGISTERED:
                open_[deed.actor, LIFE] = self._life_bar(deed, "life", deed.who.partition("/")[2])
            elif deed.sort is Sort.PAUSED:
                open_[deed.actor, "pause"] = self._life_bar(deed, "paused", "paused")
            for what in _ends(deed):
                if (bar := open_.pop((deed.actor, what), None)) is not None:
                    bar.to_s = deed.at_s
                    yield bar
        for bar in open_.values():
            bar.to_s = end_s
            yield bar

    def _life_bar(self, deed: Deed, kind: str, label: str) -> Item:
        return self._bar(deed, LIFE, kind, label, to_s=deed.at_s)

    def _server(self) -> Iterator[Item]:
        """What the server is while it is not up."""
        bar: Item | None = None
        for deed in self._chronicle.deeds:
            if deed.sort not in (Sort.SERVER_DOWN, Sort.SERVER_UP):
                continue
            if bar is not None:
                bar.to_s = deed.at_s
                yield bar
            kind = "down" if deed.sort is Sort.SERVER_DOWN else deed.outcome
            up = kind == Health.UP.value
            bar = None if up else self._bar(deed, SERVER, kind, kind, to_s=self._chronicle.end_s)
        if bar is not None:
            yield bar

    def _claims(self) -> Iterator[Item]:
        for claim in self._chronicle.claims:
            group = self._names.life(claim.worker).partition("/")[0]
            lane = self._index.get((group, CLAIMS))
            if lane is not None:
                yield self._claim(claim, lane)

    def _claim(self, claim: Claim, lane: int) -> Item:
        name, end_s = self._names.claim(claim.id), self._chronicle.end_s
        ending = f"until {claim.ending}" if claim.ended_s is not None else "and never settled"
        size = f" · {len(claim.jobs)}" if len(claim.jobs) > 1 else ""
        return Item(
            lane=lane,
            kind="claim" if claim.ended_s is not None else "claim left",
            from_s=claim.made_s,
            to_s=end_s if claim.ended_s is None else claim.ended_s,
            label=f"{name}{size}",
            who=self._names.life(claim.worker),
            text=f"{name} holds {self._names.listed(claim.jobs)} {ending}",
            jobs=self._places(claim.jobs),
        )

    def _runs(self) -> Iterator[Item]:
        for deed in self._chronicle.deeds:
            if deed.sort is Sort.RAN:
                kind = RUN_KINDS.get(deed.outcome, "stopped")
                yield self._bar(deed, RUNS, kind, self._names.job(deed.jobs[0]))

    def _commits(self) -> Iterator[Item]:
        """Each try of a commit, and after a failed one the time in which outcomes are held."""
        failed: dict[str, Deed] = {}
        for deed in self._chronicle.deeds:
            before = failed.get(deed.who)
            if deed.sort is Sort.STORED:
                yield self._bar(deed, COMMITS, deed.outcome, self._size(deed))
                failed.pop(deed.who, None)
            elif deed.sort in FAILED_COMMITS:
                kind = LOST_REPLY if deed.outcome == LOST_REPLY else "commit failed"
                yield self._bar(deed, COMMITS, kind, self._size(deed))
                failed[deed.who] = deed
            else:
                continue
            if before is not None and before.at_s < deed.since_s:
                yield self._held(before, deed)

    def _size(self, deed: Deed) -> str:
        return self._names.job(deed.jobs[0]) if len(deed.jobs) == 1 else f"x{len(deed.jobs)}"

    def _held(self, failed: Deed, following: Deed) -> Item:
        text = f"{self._names.listed(failed.jobs)} held until the next try"
        held = Deed(following.since_s, failed.actor, failed.sort, text, failed.who, failed.jobs)
        return self._bar(held, COMMITS, "held", "", from_s=failed.at_s)

    def _bar(
        self,
        deed: Deed,
        lane: str,
        kind: str,
        label: str,
        *,
        from_s: float | None = None,
        to_s: float | None = None,
    ) -> Item:
        return Item(
            lane=self._index[deed.actor, lane],
            kind=kind,
            from_s=deed.since_s if from_s is None else from_s,
            to_s=deed.at_s if to_s is None else to_s,
            text=deed.text,
            label=label,
            who=deed.who,
            jobs=self._places(deed.jobs),
            fault=deed.fault,
        )

    # ---- marks and lines ------------------------------------------------------------------------

    def _mark(self, deed: Deed) -> Item | None:
        lane = self._index.get((deed.actor, _lane_of(deed)))
        if lane is None:
            return None
        return Item(
            lane=lane,
            kind=LOST_REPLY if deed.outcome == LOST_REPLY else deed.sort.value,
            from_s=deed.at_s,
            to_s=deed.at_s,
            text=deed.text,
            who=deed.who,
            mark=True,
            fault=deed.fault,
            jobs=self._places(deed.jobs),
        )

    def _told(self, deed: Deed) -> Told:
        jobs = self._places(deed.jobs)
        return Told(at_s=deed.at_s, who=deed.who, text=deed.text, weight=deed.weight, jobs=jobs)

    def _phase_s(self, name: str) -> float | None:
        phases = (d.at_s for d in self._chronicle.deeds if d.sort is Sort.PHASE)
        named = (d.at_s for d in self._chronicle.deeds if d.outcome == name)
        return next((at_s for at_s in named if at_s in set(phases)), None)

    def _places(self, jobs: Iterable[UUID]) -> list[int]:
        return [self._place[job] for job in jobs if job in self._place]


def _ends(deed: Deed) -> Sequence[str]:
    """Which bars of its actor a deed ends."""
    match deed.sort:
        case Sort.KILLED | Sort.EXITED:
            return (LIFE, "pause")
        case Sort.LEASE_TAKEN if deed.text.startswith("finds"):
            return (LIFE,)
        case Sort.RESUMED:
            return ("pause",)
        case _:
            return ()


def _lane_of(deed: Deed) -> str:
    """The lane on which a deed is marked."""
    if deed.actor in (ORACLE, SERVER, CLIENT):
        return {ORACLE: "findings", SERVER: "server", CLIENT: "enqueues"}[deed.actor]
    if deed.sort in FAILED_COMMITS or deed.sort is Sort.ABANDONED or deed.place in COMMIT_PLACES:
        return COMMITS
    if deed.sort is Sort.ADOPTED or deed.place in PULL_PLACES:
        return CLAIMS
    return LIFE


def _pack(bars: Sequence[Item]) -> int:
    """Give each bar the first row in which it meets no other; returns how many rows that takes.

    What takes no time takes room all the same; past `ROWS_MAX` bars lie upon each other.
    """
    free_s: list[float] = []
    for bar in sorted(bars, key=lambda bar: (bar.from_s, bar.to_s)):
        fitting = (row for row, until_s in enumerate(free_s) if until_s <= bar.from_s)
        row = next(fitting, len(free_s))
        if row == ROWS_MAX:
            row = min(range(ROWS_MAX), key=free_s.__getitem__)
        elif row == len(free_s):
            free_s.append(0.0)
        free_s[row] = max(bar.to_s, bar.from_s + MOMENT_S)
        bar.row = row
    return max(1, len(free_s))
