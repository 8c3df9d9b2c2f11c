"""What becomes of claims: pulled, unheard of, adopted, reaped, undone."""

from collections.abc import Iterable, Iterator, Sequence

from sim.database.rows import ClaimRow
from sim.happenings import CommitLost, Committed, Happening
from sim.lab.chronicle.deed import Deed, Sort, Weight
from sim.lab.chronicle.ledger import Claim, Ledger, claims_changed, fates, is_reaped
from sim.lab.chronicle.reader import Reads
from sim.lab.names import Names
from trioworker.events import BatchAdopted, BatchPulled


class ClaimReader:
    """Tells it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names = ledger.names

    def reads(self) -> Reads:
        """See `Reader`."""
        return {
            Committed: self._committed,
            CommitLost: self._undone,
            BatchPulled: self._pulled,
            BatchAdopted: self._adopted,
        }

    def end(self, at_s: float) -> Iterable[Deed]:
        """See `Reader`."""
        del at_s
        return ()

    def _pulled(self, happening: Happening, event: BatchPulled) -> Iterator[Deed]:
        claim = self._names.claim(event.claim)
        text = f"pulled {self._names.listed(event.jobs)} into {claim}"
        if len(event.jobs) < event.asked:
            text += f" ({len(event.jobs)} of {event.asked} asked for)"
        yield Deed(
            happening.at_s,
            happening.actor,
            Sort.PULLED,
            text,
            who=self._names.life(event.worker),
            jobs=list(event.jobs),
            since_s=happening.at_s - event.seconds,
        )

    def _adopted(self, happening: Happening, event: BatchAdopted) -> Iterator[Deed]:
        text = f"adopts what it was never told that it holds: {self._names.listed(event.jobs)}"
        who, jobs = self._names.life(event.worker), list(event.jobs)
        yield Deed(happening.at_s, happening.actor, Sort.ADOPTED, text, who=who, jobs=jobs)

    def _committed(self, happening: Happening, event: Committed) -> Iterator[Deed]:
        gone: list[ClaimRow] = []
        for old, new in claims_changed(event.changes):
            if old is None and new is not None and not self._ledger.is_answered(new.id):
                yield self._unheard(happening, new)
            if old is not None:
                gone.append(old)
        if is_reaped(event.changes):
            yield self._reaped(happening, event, gone)

    def _unheard(self, happening: Happening, claim: ClaimRow) -> Deed:
        text = (
            f"{self._names.claim(claim.id)} is made of {self._names.listed(claim.ids)}"
            " and the reply never comes"
        )
        return Deed(
            happening.at_s,
            happening.actor,
            Sort.REPLY_LOST,
            text,
            who=self._names.life(claim.worker),
            jobs=list(claim.ids),
            weight=Weight.TROUBLE,
            place="pull",
        )

    def _reaped(self, happening: Happening, event: Committed, gone: Sequence[ClaimRow]) -> Deed:
        rows = fates(event.changes)
        given_up = [id_ for id_, row in rows.items() if hasattr(row, "status")]
        ready = [id_ for id_ in rows if id_ not in given_up]
        whose = ", ".join(dict.fromkeys(self._names.life(claim.worker) for claim in gone))
        fate = [f"{self._names.listed(ready)} ready again"] if ready else []
        fate += [f"{self._names.listed(given_up)} given up"] if given_up else []
        claims = " ".join(self._names.claim(claim.id) for claim in gone)
        text = f"reaps {claims} of {whose}: {', '.join(fate)}"
        return Deed(
            happening.at_s,
            happening.actor,
            Sort.REAPED,
            text,
            who=self._ledger.who(happening.actor),
            jobs=list(rows),
            weight=Weight.TROUBLE,
        )

    def _undone(self, happening: Happening, event: CommitLost) -> Iterator[Deed]:
        for old, new in claims_changed(event.changes):
            row = new or old
            if row is not None and old is None:
                text = (
                    f"the crash undoes {self._names.claim(row.id)}: {self._names.listed(row.ids)}"
                )
                yield Deed(
                    happening.at_s,
                    "server",
                    Sort.UNDONE,
                    f"{text} ready again, while still in a worker's hands",
                    jobs=list(row.ids),
                    weight=Weight.TROUBLE,
                )


def in_hand(names: Names, claims: Sequence[Claim]) -> str:
    """`with c3 c4 in hand (jobs 01 02 05)`."""
    if not claims:
        return "with nothing in hand"
    held = " ".join(names.claim(claim.id) for claim in claims)
    jobs = [job for claim in claims for job in sorted(claim.left)]
    return f"with {held} in hand ({names.listed(jobs)})"
