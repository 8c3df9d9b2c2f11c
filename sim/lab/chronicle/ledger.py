"""What the server's tables say at each moment of a trace, as far as a story needs it.

Rule of this file: it follows the commits and nothing else, so it knows what a worker may not know:
a claim whose reply was lost, an outcome that was stored all the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sim.database.rows import ClaimRow, CompletedRow, ReadyRow
from sim.happenings import CommitLost, Committed, Happening, RowChange, WorkerBorn
from sim.lab.names import Names
from trioworker.events import BatchPulled, WorkerStarted


@dataclass
class Claim:
    """One batch in the hands of one life, from the pull to its last job's end."""

    id: UUID
    worker: UUID
    jobs: Sequence[UUID]
    made_s: float
    left: set[UUID] = field(default_factory=set)
    ended_s: float | None = None
    ending: str = ""


class Ledger:
    """Who lives, and who holds what."""

    def __init__(self, happenings: Iterable[Happening]) -> None:
        happenings = list(happenings)
        self.names = Names(happenings)
        self.claims: dict[UUID, Claim] = {}
        self.lives: dict[str, UUID] = {}
        self._answered = {h.event.claim for h in happenings if isinstance(h.event, BatchPulled)}

    def see(self, happening: Happening) -> None:
        """Follow one happening."""
        match happening.event:
            case Committed(changes=changes):
                reaped = is_reaped(changes)
                ending = f"reaped by {happening.actor}" if reaped else "all its jobs are settled"
                self._follow(changes, happening.at_s, ending)
            case CommitLost(changes=changes):
                back = [RowChange(table=c.table, old=c.new, new=c.old) for c in reversed(changes)]
                self._follow(back, happening.at_s, "undone by a crash of the server")
            case WorkerStarted(worker=worker):
                self.lives[happening.actor] = worker
            case WorkerBorn():
                self.lives.pop(happening.actor, None)

    def held_by(self, worker: UUID | None) -> list[Claim]:
        """The claims that a life holds by now."""
        return [claim for claim in self.claims.values() if claim.left and claim.worker == worker]

    def is_answered(self, claim: UUID) -> bool:
        """Whether the worker ever hears of its claim by the reply to its pull."""
        return claim in self._answered

    def who(self, actor: str) -> str:
        """The name of the life that an actor leads by now."""
        life = self.lives.get(actor)
        return actor if life is None else self.names.life(life)

    def _follow(self, changes: Iterable[RowChange], at_s: float, ending: str) -> None:
        for old, new in claims_changed(changes):
            row = new or old
            assert row is not None
            claim = self.claims.setdefault(row.id, Claim(row.id, row.worker, row.ids, at_s))
            claim.left = set(new.ids if new is not None else ())
            claim.ended_s = None if claim.left else at_s
            claim.ending = "" if claim.left else ending


def claims_changed(
    changes: Iterable[RowChange],
) -> Iterator[tuple[ClaimRow | None, ClaimRow | None]]:
    """The claims among the rows of a commit, before and after."""
    for change in changes:
        old = change.old if isinstance(change.old, ClaimRow) else None
        new = change.new if isinstance(change.new, ClaimRow) else None
        if old is not None or new is not None:
            yield old, new


def fates(changes: Iterable[RowChange]) -> dict[UUID, ReadyRow | CompletedRow]:
    """What became of jobs in a commit: the rows that it made of them."""
    return {
        change.new.id: change.new
        for change in changes
        if isinstance(change.new, ReadyRow | CompletedRow)
    }


def is_reaped(changes: Sequence[RowChange]) -> bool:
    """Whether a commit took claims away from a dead worker, which it counts in each job."""
    before = {
        id_: reaped
        for old, _ in claims_changed(changes)
        if old is not None
        for id_, reaped in zip(old.ids, old.reaped, strict=True)
    }
    after = fates(changes)
    return any(after[id_].reaped > reaped for id_, reaped in before.items() if id_ in after)
