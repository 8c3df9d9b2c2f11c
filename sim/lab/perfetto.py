"""The picture of a run in the format that Perfetto and Chrome's tracing open.

The format is the Trace Event Format: a JSON object with `traceEvents`; `ph` is X for a bar, i for a
moment, s and f for the ends of an arrow, M for names; `ts` and `dur` are microseconds. Bars of one
thread must nest, so each row of a lane is a thread of its own. An arrow leads from each claim to
the commits that settled its jobs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from sim.lab.timeline import Item, Picture

Record = dict[str, Any]

US: Final = 1_000_000
SHORTEST_US: Final = 1.0
"""A bar that takes no virtual time could not be seen or clicked."""
ROWS: Final = 100
SETTLING: Final = frozenset({"stored", "lost", "reply lost"})


def trace_events(picture: Picture, *, title: str) -> bytes:
    """The whole file."""
    records = [*_names(picture), *_items(picture), *_arrows(picture)]
    return msgspec.json.encode(
        {"traceEvents": records, "displayTimeUnit": "ms", "otherData": {"run": title}}
    )


def _names(picture: Picture) -> Iterator[Record]:
    groups = _groups(picture)
    for group, pid in groups.items():
        yield _meta("process_name", pid, 0, name=group)
        yield _meta("process_sort_index", pid, 0, sort_index=pid)
    for at, lane in enumerate(picture.lanes):
        for row in range(lane.rows):
            name = lane.name if lane.rows == 1 else f"{lane.name} {row + 1}"
            pid, tid = groups[lane.group], _thread(at, row)
            yield _meta("thread_name", pid, tid, name=name)
            yield _meta("thread_sort_index", pid, tid, sort_index=tid)


def _items(picture: Picture) -> Iterator[Record]:
    for item in picture.items:
        said: Record = {"what": item.text, "who": item.who, "jobs": _jobs(picture, item)}
        if item.fault:
            said["fault"] = item.fault
        record: Record = {"cat": item.kind, "args": said, **_where(picture, item)}
        if item.mark:
            scope = "g" if item.kind == "finding" else "t"
            yield {**record, "ph": "i", "s": scope, "name": item.kind}
        else:
            name = f"{item.label} {item.kind}".strip()
            yield {**record, "ph": "X", "name": name, "dur": _lasted_us(item)}


def _arrows(picture: Picture) -> Iterator[Record]:
    """From each claim to each commit, of the same life, that settled jobs of it."""
    bars = [item for item in picture.items if not item.mark]
    commits = [bar for bar in bars if bar.kind in SETTLING]
    pairs = [
        (claim, commit)
        for claim in bars
        if claim.kind.startswith("claim")
        for commit in commits
        if _settles(commit, claim)
    ]
    for number, (claim, commit) in enumerate(pairs, start=1):
        arrow: Record = {"name": "settles", "cat": "batch", "id": number}
        middle_us = _us(commit.from_s) + _lasted_us(commit) / 2
        yield {**arrow, **_where(picture, claim), "ph": "s"}
        yield {**arrow, **_where(picture, commit), "ph": "f", "bp": "e", "ts": middle_us}


def _settles(commit: Item, claim: Item) -> bool:
    """A claim ends with the effect of a commit, which ends with the reply to that."""
    in_time = claim.from_s <= commit.to_s and commit.from_s <= claim.to_s
    return commit.who == claim.who and in_time and not set(claim.jobs).isdisjoint(commit.jobs)


def _where(picture: Picture, item: Item) -> Record:
    pid = _groups(picture)[picture.lanes[item.lane].group]
    return {"pid": pid, "tid": _thread(item.lane, item.row), "ts": _us(item.from_s)}


def _groups(picture: Picture) -> Mapping[str, int]:
    groups = dict.fromkeys(lane.group for lane in picture.lanes)
    return {group: number for number, group in enumerate(groups, start=1)}


def _thread(lane: int, row: int) -> int:
    return (lane + 1) * ROWS + row


def _jobs(picture: Picture, item: Item) -> Sequence[str]:
    return [picture.jobs[place].name for place in item.jobs]


def _us(seconds: float) -> float:
    return round(seconds * US, 3)


def _lasted_us(item: Item) -> float:
    return max(SHORTEST_US, _us(item.to_s - item.from_s))


def _meta(kind: str, pid: int, tid: int, **said: object) -> Record:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": said}
