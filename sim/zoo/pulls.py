"""Mutants of the pull: what is claimed, how much of it, in which order, and when."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import trio

from sim import process
from sim.database.models import MODELS, Rows, Statement
from sim.database.models import pull as model
from sim.database.rows import ReadyRow
from sim.oracles.batches import BatchesGated, Bounded, InOrder, LastChance, Modest
from sim.oracles.liveness import GoesOn, Live, NobodyIdles
from sim.oracles.outcomes import OncePerClaim
from sim.oracles.places import NotEarly
from sim.oracles.slots import NoSlotIdles
from sim.plan import LONG, Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import OURS, mutant, of_scenario, statement
from trioworker.model import planner
from trioworker.model.batching import BatchSizes, Mode
from trioworker.model.job import Job
from trioworker.model.planner import Load
from trioworker.worker import pull as stage
from trioworker.worker.channel import BatchChannel
from trioworker.worker.execute import Execute
from trioworker.worker.pull import Pull

_BY_TWOS: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, pull=2, concurrency=5, poll_s=0.2),
    jobs=(LONG,) * 5,
    chaos_s=1.0,
)
"""Five slots, as many long jobs, and two of them in a pull."""


@mutant(
    "planner that hoards",
    caught_by=Modest,
    seen_in="pgqueuer: a consumer grabs 1,000 jobs at once, and fetches beyond its limit",
)
def planner_that_hoards() -> Iterator[None]:
    """A worker claims as many jobs as a pull may bring, however many it can start."""

    def all_of_them(load: Load, *, pull_size: int, start_within_s: float) -> int:
        del start_within_s
        return pull_size - load.buffered if load.buffered * 2 <= pull_size else 0

    with replaced(stage, "claim_size", all_of_them):
        yield


@mutant("last one taken in silence", caught_by=NoSlotIdles, seen_in=OURS, plan=_BY_TWOS)
def last_one_taken_in_silence() -> Iterator[None]:
    """A slot that takes the last job of a batch tells nobody: until one ends nothing is pulled."""

    def nothing(_self: Execute) -> None:
        return

    with replaced(Execute, "_tell_if_none_waits", nothing):
        yield


@mutant("one slot for all", caught_by=NoSlotIdles)
def one_slot_for_all() -> Iterator[None]:
    """A slot that takes a job starts no other slot for the next: they run one after the other."""
    start = Execute._start_slot

    def alone(self: Execute, nursery: trio.Nursery) -> None:
        if not self._slots.taken:
            start(self, nursery)

    with replaced(Execute, "_start_slot", alone):
        yield


@mutant(
    "pace guessed from the young",
    caught_by=Modest,
    seen_in=OURS,
    plan=of_scenario("no-hoarding"),
)
def pace_guessed_from_the_young() -> Iterator[None]:
    """Before any job has ended, those that have just begun count as short ones."""
    load = Execute.load

    def guess(self: Execute) -> Load:
        told = load(self)
        if told.mean_s is None and self._attempts:
            ages_s = [trio.current_time() - attempt.started_s for attempt in self._attempts]
            return Load(told.concurrency, told.running, told.buffered, sum(ages_s) / len(ages_s))
        return told

    with replaced(Execute, "load", guess):
        yield


@mutant("priority ignored", caught_by=InOrder)
def priority_ignored() -> Iterator[None]:
    """Jobs are claimed in the order in which they were due, and nothing else counts."""

    def by_time(row: ReadyRow) -> tuple[object, ...]:
        return row.scheduled_for, row.id

    async def first_come(s: Statement, tag: str, size: int, _floors: object) -> list[ReadyRow]:
        due = [r for r in s.rows(s.tables.ready) if r.tag == tag and r.scheduled_for <= s.now]
        found = []
        for row in sorted(due, key=by_time)[:size]:
            locked = await s.lock(s.tables.ready, row.id, skip_locked=True)
            if locked is not None:
                found.append(locked)
        return found

    with replaced(model, "_place", by_time), replaced(model, "_best_of_tag", first_come):
        yield


@mutant("tag ranks ignored", caught_by=InOrder)
def tag_ranks_ignored() -> Iterator[None]:
    """A worker that ranks its tags claims as if it did not: only the jobs' own order counts."""

    def by_place(rows: Sequence[ReadyRow], _ranked: object) -> Sequence[ReadyRow]:
        return sorted(rows, key=model._place)

    with replaced(model, "_in_turn", by_place):
        yield


@mutant("last chance in company", caught_by=LastChance)
def last_chance_in_company() -> Iterator[None]:
    """A job that its next loss would give up is claimed together with others."""

    def all_of_them(best: Sequence[ReadyRow], _alone_from: int) -> Sequence[ReadyRow]:
        return best

    with replaced(model, "_batch", all_of_them):
        yield


@mutant("pulls beside a last chance", caught_by=LastChance)
def pulls_beside_a_last_chance() -> Iterator[None]:
    """A worker that runs a job alone in its claim goes on pulling others."""

    def never(_self: Pull) -> bool:
        return False

    with replaced(Pull, "_holds_last_chance", never):
        yield


@mutant("floor that never ends", caught_by=InOrder)
def floor_that_never_ends() -> Iterator[None]:
    """Where the last full pull ended the next begins, for ever: what comes behind is hidden."""
    with replaced(planner, "FLOOR_AGE_MAX_S", 1_000_000.0):
        yield


@mutant("claimed before it is due", caught_by=NotEarly)
def claimed_before_it_is_due() -> Iterator[None]:
    """A scheduled job is as ready as any other."""

    def always(_s: Statement, _row: ReadyRow, _floor: object) -> bool:
        return True

    with replaced(model, "_is_due", always):
        yield


@mutant("late for its appointments", caught_by=NobodyIdles)
def late_for_its_appointments() -> Iterator[None]:
    """A job is seen ten seconds after it was due."""
    is_due = model._is_due

    def at_last(s: Statement, row: ReadyRow, floor: Any) -> bool:  # noqa: ANN401 - handed on
        overdue = row.scheduled_for <= s.now - timedelta(seconds=10)
        return overdue and is_due(s, row, floor)

    with replaced(model, "_is_due", at_last):
        yield


@mutant("adopt forgotten", caught_by=Live)
def adopt_forgotten() -> Iterator[None]:
    """A claim whose reply was lost is nobody's: its worker does not know it, and lives."""

    async def nothing(self: Pull) -> Sequence[Job]:
        await trio.lowlevel.checkpoint()
        self._reply_lost = False
        self._adopted_s = trio.current_time()
        return []

    with replaced(Pull, "_adopt", nothing):
        yield


@mutant("adopts what it has", caught_by=OncePerClaim)
def adopts_what_it_has() -> Iterator[None]:
    """When a reply was lost, all claims of this worker are adopted, and run again."""
    adopt = MODELS["adopt"]

    async def everything(s: Statement, worker: UUID, _known: Sequence[UUID]) -> Rows:
        return await adopt(s, worker, ())

    with statement("adopt", everything):
        yield


@mutant("batches in every mode", caught_by=BatchesGated)
def batches_in_every_mode() -> Iterator[None]:
    """Outside agent-batch jobs are claimed and stored in batches as well."""

    def of_five(mode: Mode, *, pull: int, commit: int) -> BatchSizes:
        return BatchSizes(pull, commit) if mode.batches else BatchSizes(5, 5)

    with replaced(process, "sizes_for", of_five):
        yield


@mutant(
    "unbounded channel",
    caught_by=Bounded,
    seen_in="pgqueuer: an unbounded queue of outcomes, and workers that never block on it",
)
def unbounded_channel() -> Iterator[None]:
    """Outcomes pile up without end while they cannot be stored, and jobs go on being run."""

    async def always_room(_self: BatchChannel[object]) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()

    free = property(lambda _self: 1_000_000)
    with replaced(BatchChannel, "room", always_room), replaced(BatchChannel, "free", free):
        yield


@mutant("never polls", caught_by=Live)
def never_polls() -> Iterator[None]:
    """An idle worker waits for hints and trusts that none is ever lost."""

    async def wait(self: Pull, *, found: bool) -> None:
        del found
        await self.wake.wait()

    with replaced(Pull, "_rest", wait):
        yield


@mutant(
    "never pulls again",
    caught_by=GoesOn,
    seen_in="graphile-worker: after a failover the worker does not poll any more",
)
def never_pulls_again() -> Iterator[None]:
    """A worker whose pull met a server that takes no work pulls no more until it is stopped."""
    pause = Pull._pause

    async def for_good(self: Pull) -> None:
        if self._failures > 1:
            with self._until_stopped():
                await trio.sleep_forever()
        await pause(self)

    with replaced(Pull, "_pause", for_good):
        yield
