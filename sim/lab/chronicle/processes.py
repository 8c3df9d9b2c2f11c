"""What becomes of workers: births, lives, leases, stops, kills, and what keeps failing them."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sim.database.rows import WorkerRow
from sim.happenings import (
    Committed,
    Happening,
    StopAsked,
    WorkerBorn,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
    WorkerPaused,
    WorkerResumed,
)
from sim.lab.chronicle.claims import in_hand
from sim.lab.chronicle.deed import Deed, Sort, Weight
from sim.lab.chronicle.ledger import Ledger
from sim.lab.chronicle.reader import Reads
from trioworker.cli.exits import ExitStatus
from trioworker.cli.output import counted
from trioworker.events import (
    CancelReceived,
    Event,
    FlushFailed,
    HeartbeatFailed,
    LeaseDoubtful,
    LeaseTaken,
    LookupFailed,
    MaintenanceFailed,
    PullFailed,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
    WorkflowFailed,
)

ENDINGS: Final = {
    ExitStatus.OK: "exits: nothing is left in its hands",
    ExitStatus.UNREACHABLE: "exits: the database could not be reached at its start",
}


class ProcessReader:
    """Tells it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names = ledger.names

    def reads(self) -> Reads:
        """See `Reader`."""
        return {
            WorkerBorn: self._born,
            WorkerStarted: self._registered,
            WorkerPaused: self._paused,
            WorkerResumed: self._resumed,
            WorkerKilled: self._killed,
            StopAsked: self._stop_asked,
            WorkerStopping: self._stopping,
            WorkerStopped: self._stopped,
            WorkerExited: self._exited,
            WorkerCrashed: self._crashed,
            LeaseDoubtful: self._doubtful,
            LeaseTaken: self._taken,
            Committed: self._marked_lost,
            CancelReceived: self._cancelled,
            HeartbeatFailed: self._failed("heartbeat"),
            PullFailed: self._failed("pull"),
            MaintenanceFailed: self._failed("sweep"),
            FlushFailed: self._failed("flush"),
            WorkflowFailed: self._failed("what a function asked for"),
            LookupFailed: self._failed("look into the cache"),
        }

    def end(self, at_s: float) -> Iterable[Deed]:
        """See `Reader`."""
        del at_s
        return ()

    def _born(self, happening: Happening, _event: Event) -> Iterator[Deed]:
        actor = happening.actor
        yield Deed(happening.at_s, actor, Sort.BORN, "a new process starts", who=actor)

    def _registered(self, happening: Happening, event: WorkerStarted) -> Iterator[Deed]:
        text = f"registered for {', '.join(event.tags)}"
        yield self._of_life(happening, event, Sort.REGISTERED, text)

    def _paused(self, happening: Happening, _event: Event) -> Iterator[Deed]:
        text = "SIGSTOP; what it had sent goes on its way"
        yield self._of_actor(happening, Sort.PAUSED, text, Weight.TROUBLE)

    def _resumed(self, happening: Happening, _event: Event) -> Iterator[Deed]:
        yield self._of_actor(happening, Sort.RESUMED, "SIGCONT: goes on", Weight.NEWS)

    def _killed(self, happening: Happening, _event: Event) -> Iterator[Deed]:
        claims = self._ledger.held_by(self._ledger.lives.get(happening.actor))
        text = f"SIGKILL, {in_hand(self._names, claims)}"
        deed = self._of_actor(happening, Sort.KILLED, text, Weight.TROUBLE)
        deed.jobs = [job for claim in claims for job in claim.left]
        yield deed

    def _stop_asked(self, happening: Happening, _event: Event) -> Iterator[Deed]:
        yield self._of_actor(happening, Sort.STOPPING, "SIGTERM", Weight.NEWS)

    def _stopping(self, happening: Happening, event: WorkerStopping) -> Iterator[Deed]:
        text = f"stops: {event.running} running, {event.buffered} to be given back"
        yield self._of_life(happening, event, Sort.STOPPING, text)

    def _stopped(self, happening: Happening, event: WorkerStopped) -> Iterator[Deed]:
        if event.unsaved:
            text = f"stopped with outcomes unsaved: {self._names.listed(event.unsaved)}"
            deed = self._of_life(happening, event, Sort.STOPPING, text, Weight.TROUBLE)
            deed.jobs = list(event.unsaved)
            yield deed

    def _exited(self, happening: Happening, event: WorkerExited) -> Iterator[Deed]:
        status = event.status
        text = ENDINGS.get(ExitStatus(status), "exits with results that it could not store")
        weight = Weight.NEWS if status == ExitStatus.OK else Weight.TROUBLE
        deed = self._of_actor(happening, Sort.EXITED, f"{text} (status {status})", weight)
        deed.jobs = list(event.unsaved)
        yield deed

    def _crashed(self, happening: Happening, event: WorkerCrashed) -> Iterator[Deed]:
        text = f"crashes: {self._names.shorten(event.error)}"
        yield self._of_actor(happening, Sort.EXITED, text, Weight.TROUBLE)

    def _doubtful(self, happening: Happening, event: LeaseDoubtful) -> Iterator[Deed]:
        text = f"no heartbeat came through for {event.silent_s:.2f} s: interrupts what runs"
        yield self._of_life(happening, event, Sort.LEASE_DOUBTFUL, text, Weight.TROUBLE)

    def _taken(self, happening: Happening, event: LeaseTaken) -> Iterator[Deed]:
        dropped = counted(event.dropped, "job") if event.dropped else "nothing"
        text = f"finds its lease taken away, with {dropped} in hand to be dropped"
        yield self._of_life(happening, event, Sort.LEASE_TAKEN, text, Weight.TROUBLE)

    def _marked_lost(self, happening: Happening, event: Committed) -> Iterator[Deed]:
        for change in event.changes:
            old, new = change.old, change.new
            if not isinstance(new, WorkerRow) or not isinstance(old, WorkerRow):
                continue
            if old.lost_at is None and new.lost_at is not None:
                yield self._took_lease(happening, new)

    def _took_lease(self, happening: Happening, lost: WorkerRow) -> Deed:
        silent_s = (lost.lost_at - lost.last_heartbeat).total_seconds() if lost.lost_at else 0.0
        text = f"takes the lease from {self._names.life(lost.id)}, silent for {silent_s:.1f} s"
        return self._of_actor(happening, Sort.LEASE_TAKEN, text, Weight.TROUBLE)

    def _cancelled(self, happening: Happening, event: CancelReceived) -> Iterator[Deed]:
        text = f"hears that {self._names.listed([event.job])} is to be cancelled"
        deed = self._of_life(happening, event, Sort.CANCELLED, text)
        deed.jobs = [event.job]
        yield deed

    def _failed(self, what: str) -> Any:  # noqa: ANN401 - a handler, see `Reads`
        def tell(happening: Happening, event: Any) -> Iterator[Deed]:  # noqa: ANN401 - three alike
            said = f": {event.message}" if event.message else ""
            text = f"{what} failed ({event.failure}{said})"
            yield self._of_life(happening, event, Sort.TROUBLE, text, Weight.TROUBLE, place=what)

        return tell

    def _of_actor(self, happening: Happening, sort: Sort, text: str, weight: Weight) -> Deed:
        at_s, actor, _ = happening
        return Deed(at_s, actor, sort, text, who=self._ledger.who(actor), weight=weight)

    def _of_life(
        self,
        happening: Happening,
        event: Any,  # noqa: ANN401 - all that have a worker
        sort: Sort,
        text: str,
        weight: Weight = Weight.NEWS,
        *,
        place: str = "",
    ) -> Deed:
        at_s, actor, _ = happening
        who = self._names.life(event.worker)
        return Deed(at_s, actor, sort, text, who=who, weight=weight, place=place)
