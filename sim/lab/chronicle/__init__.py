"""The chronicle: what a trace means, deed by deed, in words and in order.

Rule of this package: a trace has facts, a chronicle has sentences. One reader per concern turns
the events that it knows into deeds; the ledger tells them what the server's tables say.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sim.happenings import Committed, ConnectFailed, Happening
from sim.lab.chronicle.claims import ClaimReader
from sim.lab.chronicle.commits import CommitReader
from sim.lab.chronicle.deed import STRUCK, Deed, Sort, Weight
from sim.lab.chronicle.ledger import Claim, Ledger
from sim.lab.chronicle.processes import ProcessReader
from sim.lab.chronicle.reader import Reader
from sim.lab.chronicle.runs import RunReader
from sim.lab.chronicle.world import WorldReader
from sim.lab.names import Names
from sim.oracles import Finding
from sim.plan import Plan
from trioworker.events import StatementRun


class Chronicle:
    """All deeds of one run, the claims that were made in it, and the names that they use."""

    def __init__(
        self, plan: Plan, happenings: Iterable[Happening], findings: Sequence[Finding]
    ) -> None:
        happenings = list(happenings)
        self.plan: Final = plan
        self.findings: Final = findings
        self.end_s: Final = happenings[-1].at_s if happenings else 0.0
        self._ledger = Ledger(happenings)
        self.deeds: Final = _with_their_faults(self._deeds(happenings))

    @property
    def names(self) -> Names:
        """Who and what is called how."""
        return self._ledger.names

    @property
    def claims(self) -> Iterable[Claim]:
        """Every batch that was claimed."""
        return self._ledger.claims.values()

    def readers(self) -> Sequence[Reader]:
        """One of each, all new."""
        return (
            WorldReader(self._ledger),
            ProcessReader(self._ledger),
            RunReader(self._ledger),
            ClaimReader(self._ledger),
            CommitReader(self._ledger, self.plan.sizes.fallback),
        )

    def _deeds(self, happenings: Sequence[Happening]) -> Iterator[Deed]:
        readers = self.readers()
        reads = [reader.reads() for reader in readers]
        waiting = sorted(self.findings, key=lambda finding: finding.at_s)
        for happening in happenings:
            while waiting and waiting[0].at_s < happening.at_s:
                yield self._found(waiting.pop(0))
            self._ledger.see(happening)
            yield from self._routine(happening)
            for read in reads:
                if (tell := read.get(type(happening.event))) is not None:
                    yield from tell(happening, happening.event)
        for reader in readers:
            yield from reader.end(self.end_s)
        yield from map(self._found, waiting)

    def _found(self, finding: Finding) -> Deed:
        text = f"{finding.oracle}: {self.names.shorten(finding.message)}"
        jobs = self.names.jobs_in(finding.message)
        return Deed(finding.at_s, "oracle", Sort.FINDING, text, jobs=jobs, weight=Weight.FINDING)

    def _routine(self, happening: Happening) -> Iterator[Deed]:
        """What goes on all the time: statements, and the commits that only renew a lease."""
        at_s, actor, event = happening
        who = self._ledger.who(actor)
        if isinstance(event, StatementRun):
            text = f"statement {event.name} on {event.lane}: {event.rows} rows"
        elif isinstance(event, Committed):
            tables = ", ".join(dict.fromkeys(change.table for change in event.changes))
            text = f"transaction {event.number} takes effect: {tables}"
        elif isinstance(event, ConnectFailed):
            text = f"could not connect: {event.message}"
        else:
            return
        yield Deed(at_s, actor, Sort.ROUTINE, text, who=who, weight=Weight.ROUTINE)


def _with_their_faults(deeds: Iterable[Deed]) -> list[Deed]:
    """A fault of the world and what it does are one deed: killed, with this in hand."""
    told: list[Deed] = []
    struck: dict[str, int] = {}
    for deed in deeds:
        place = struck.get(deed.actor)
        if deed.sort in STRUCK and place is not None and told[place].at_s == deed.at_s:
            fault = told[place]
            deed.text = f"{fault.outcome}: {deed.text}"
            deed.weight, deed.fault = fault.weight, fault.fault
            told[struck.pop(deed.actor)] = deed
            continue
        if deed.sort is Sort.FAULT and not deed.place:
            struck[deed.actor] = len(told)
        told.append(deed)
    for deed in told:
        if deed.sort is Sort.FAULT and not deed.place:
            deed.text = f"{deed.outcome}: there is no process to be struck"
    return told


__all__ = ["Chronicle", "Claim", "Deed", "Sort", "Weight"]
