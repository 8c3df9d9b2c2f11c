"""What happens to everybody: faults, the server, its clock, the clients, the phases of a run."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sim.database.server import Health
from sim.happenings import (
    ApiCrashed,
    ApiTurned,
    CancelAnswered,
    CancelAsked,
    ClockJumped,
    DecisionAnswered,
    Drained,
    Enqueued,
    FaultFired,
    Happening,
    Healed,
    KeptOut,
    Overtaken,
    RequeueAnswered,
    RequeueAsked,
    ServerDown,
    ServerUp,
)
from sim.lab.chronicle.deed import Deed, Sort, Weight
from sim.lab.chronicle.ledger import Ledger
from sim.lab.chronicle.reader import Reads
from trioworker.cli.output import counted

_FAULT: Final = re.compile(
    r"(?P<what>.+?)@(?P<whom>[^/#]+)(?:/(?P<place>[^#]+))?(?:#(?P<ordinal>\d+))?"
)
HEALTH: Final = {
    Health.UP: "is up again",
    Health.STARTING: "starts: it answers and takes no work",
    Health.STANDBY: "is a standby: it answers and takes no writes",
}


API: Final = {"stopping": "asked to stop", "exited": "gone"}


class WorldReader:
    """Tells it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names = ledger.names

    def reads(self) -> Reads:
        """See `Reader`."""
        return {
            FaultFired: self._fault,
            ServerDown: self._down,
            ServerUp: self._up,
            ClockJumped: self._clock,
            Enqueued: self._enqueued,
            KeptOut: self._kept_out,
            CancelAsked: self._cancel,
            CancelAnswered: self._answered,
            RequeueAsked: self._ask_again,
            DecisionAnswered: self._decided,
            RequeueAnswered: self._answered_again,
            Healed: self._healed,
            Drained: self._drained,
            ApiTurned: self._api_turned,
            ApiCrashed: self._api_crashed,
            Overtaken: self._overtaken,
        }

    def end(self, at_s: float) -> Iterable[Deed]:
        """See `Reader`."""
        del at_s
        return ()

    def _fault(self, happening: Happening, event: FaultFired) -> Iterator[Deed]:
        match = _FAULT.fullmatch(event.fault)
        if match is None:
            yield Deed(happening.at_s, happening.actor, Sort.FAULT, event.fault)
            return
        what, whom, place = match["what"], match["whom"], match["place"] or ""
        yield Deed(
            happening.at_s,
            whom,
            Sort.FAULT,
            f"{what} at {place} #{match['ordinal']}" if place else what,
            who=self._ledger.who(whom),
            weight=Weight.FAULT,
            place=place,
            outcome=what,
            fault=event.fault,
        )

    def _api_turned(self, happening: Happening, event: ApiTurned) -> Iterator[Deed]:
        text = f"the server of agents is {API.get(event.to, event.to)}"
        yield Deed(happening.at_s, happening.actor, Sort.PHASE, text)

    def _api_crashed(self, happening: Happening, event: ApiCrashed) -> Iterator[Deed]:
        yield Deed(happening.at_s, happening.actor, Sort.PHASE, f"crashes: {event.error}")

    def _overtaken(self, happening: Happening, event: Overtaken) -> Iterator[Deed]:
        text = f"a request to {event.path} arrives after a later one"
        yield Deed(happening.at_s, happening.actor, Sort.PHASE, text)

    def _down(self, happening: Happening, event: ServerDown) -> Iterator[Deed]:
        text = "every line is cut"
        if event.lost:
            text += f"; undone: {counted(event.lost, 'commit')} that had not reached the disk"
        yield Deed(happening.at_s, happening.actor, Sort.SERVER_DOWN, text, weight=Weight.TROUBLE)

    def _up(self, happening: Happening, event: ServerUp) -> Iterator[Deed]:
        text = HEALTH.get(Health(event.health), event.health)
        yield Deed(happening.at_s, happening.actor, Sort.SERVER_UP, text, outcome=event.health)

    def _clock(self, happening: Happening, event: ClockJumped) -> Iterator[Deed]:
        text = f"by {event.seconds:+.1f} s"
        yield Deed(happening.at_s, happening.actor, Sort.CLOCK, text, weight=Weight.TROUBLE)

    def _enqueued(self, happening: Happening, event: Enqueued) -> Iterator[Deed]:
        text = f"enqueued {self._names.listed(event.jobs)}"
        jobs = list(event.jobs)
        yield Deed(happening.at_s, happening.actor, Sort.ENQUEUED, text, jobs=jobs)

    def _kept_out(self, happening: Happening, event: KeptOut) -> Iterator[Deed]:
        job, first = (self._names.listed([each]) for each in (event.job, event.first))
        text = f"is told that {first} holds the key of {job}"
        yield Deed(happening.at_s, happening.actor, Sort.ENQUEUED, text, jobs=[event.first])

    def _cancel(self, happening: Happening, event: CancelAsked) -> Iterator[Deed]:
        text = f"asks to cancel {self._names.listed(event.jobs)}"
        jobs = list(event.jobs)
        yield Deed(happening.at_s, happening.actor, Sort.CANCELLED, text, jobs=jobs)

    def _answered(self, happening: Happening, event: CancelAnswered) -> Iterator[Deed]:
        parts = [f"{self._names.listed(event.ended)} cancelled at once"] if event.ended else []
        parts += [f"the worker of {self._names.listed(event.asked)} asked"] if event.asked else []
        text = f"is answered: {', '.join(parts) or 'nothing is left to cancel'}"
        jobs = [*event.ended, *event.asked]
        yield Deed(happening.at_s, happening.actor, Sort.CANCELLED, text, jobs=jobs)

    def _ask_again(self, happening: Happening, event: RequeueAsked) -> Iterator[Deed]:
        text = f"asks that {self._names.listed(event.jobs)} be run once more"
        jobs = list(event.jobs)
        yield Deed(happening.at_s, happening.actor, Sort.ENQUEUED, text, jobs=jobs)

    def _answered_again(self, happening: Happening, event: RequeueAnswered) -> Iterator[Deed]:
        parts = [f"{self._names.listed(event.ready)} will be run once more"] if event.ready else []
        if event.kept_out:
            parts.append(f"others hold the keys of {self._names.listed(event.kept_out)}")
        text = f"is answered: {', '.join(parts) or 'nothing of that has ended badly'}"
        jobs = [*event.ready, *event.kept_out]
        yield Deed(happening.at_s, happening.actor, Sort.ENQUEUED, text, jobs=jobs)

    def _decided(self, happening: Happening, event: DecisionAnswered) -> Iterator[Deed]:
        ends = "that ends it" if event.ended else "more is needed"
        text = f"hears that {event.by} has decided about {self._names.listed([event.job])}: {ends}"
        yield Deed(happening.at_s, happening.actor, Sort.ENQUEUED, text, jobs=[event.job])

    def _healed(self, happening: Happening, _event: Any) -> Iterator[Deed]:  # noqa: ANN401 - no fields
        text = "the world is healed: no more faults from here on"
        yield Deed(happening.at_s, happening.actor, Sort.PHASE, text, outcome="healed")

    def _drained(self, happening: Happening, _event: Any) -> Iterator[Deed]:  # noqa: ANN401 - as above
        text = "drained: every promised job is completed"
        yield Deed(happening.at_s, happening.actor, Sort.PHASE, text, outcome="drained")
