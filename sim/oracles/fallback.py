"""What follows a failed commit: its very jobs, in smaller groups, and no neighbour pays."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from sim.database.user_table import is_refused
from sim.happenings import BodyEnded, Happening
from sim.oracles.base import Handler, Oracle
from sim.oracles.facts import Facts
from sim.plan import Plan, commits_at_once
from trioworker.events import (
    BatchStored,
    CommitFailed,
    Event,
    LeaseTaken,
    OutcomeAbandoned,
    OutcomeRefused,
)
from trioworker.model.batching import Fallback as Way
from trioworker.model.failures import Failure, Step
from trioworker.model.outcome import Succeeded

Group = tuple[UUID, ...]

FINAL: Final = (Failure.REFUSED, Failure.UNKNOWN)
"""What the same batch again would not help."""
WHOLE_AGAIN_MAX: Final = 1
"""How often a batch may be tried again before it is divided."""
UNKNOWN_TRIES_MIN: Final = 3
TOO_LARGE: Final = "413 "
"""How an agent names what nobody but the status has said."""
LINE_BREAKS_MIN: Final = 20
"""How often a single job must have failed in this way before it is refused without the server
saying so."""


class _Left(msgspec.Struct):
    """What a worker still owes after failures: groups in order, and those put off."""

    groups: deque[Group] = msgspec.field(default_factory=deque)
    put_off: list[Group] = msgspec.field(default_factory=list)
    failures: dict[Group, Counter[str]] = msgspec.field(default_factory=dict)

    def owes(self, group: Group) -> bool:
        """Whether it is this group's turn."""
        return group in self.put_off or (bool(self.groups) and self.groups[0] == group)

    def forgive(self) -> None:
        """From here on nothing is owed."""
        self.groups.clear()
        self.put_off.clear()


class Fallback(Oracle):
    """Invariant 5: a failed batch is followed by commits of its jobs, per job or by halves.

    The batch may be tried once more as a whole, unless it was refused; then it is divided as the
    plan says, and its parts come in order before any other batch. Allowed: a single job whose
    commit broke the line more than once lets the others go first; an agent's helper stores another
    batch meanwhile. When it and the helper both owe the same job, which is in hand twice, nobody
    can tell who stores it, and neither owes anything. Once the lease is lost or the process gone,
    nothing more is owed; what a stop leaves over is for `NothingHeld`.
    """

    name = "fallback"
    invariant = 5

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._lines = commits_at_once(plan.sizes)
        self._left: dict[UUID, list[_Left]] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            CommitFailed: self._failed,
            BatchStored: self._stored,
            OutcomeAbandoned: self._abandoned,
            LeaseTaken: self._over,
        }

    def _failed(self, _happening: Happening, event: CommitFailed) -> None:
        group = tuple(event.jobs)
        left = self._line_of(event.worker, group)
        self._take_turn(left, group)
        left.failures.setdefault(group, Counter())[event.failure] += 1
        if len(group) > 1:
            self._failed_batch(left, group, event)
        else:
            self._failed_job(left, group, event)

    def _failed_batch(self, left: _Left, group: Group, event: CommitFailed) -> None:
        whole_again = event.step in (Step.AGAIN, Step.AGAIN_WHEN_BACK)
        if event.step == Step.DIVIDE:
            left.groups.extendleft(reversed(_parts(group, self.plan.sizes.fallback)))
            del left.failures[group]
            return
        left.groups.appendleft(group)
        if not whole_again:
            self.find(f"{len(group)} jobs met '{event.step}' together")
        elif event.failure in FINAL:
            self.find(f"{len(group)} jobs are tried again as a whole after '{event.failure}'")
        elif left.failures[group].total() > WHOLE_AGAIN_MAX:
            self.find(f"{len(group)} jobs are tried as a whole for the third time")

    def _failed_job(self, left: _Left, group: Group, event: CommitFailed) -> None:
        failures = left.failures[group]
        breaks_the_line = event.failure == Failure.CONNECTION and failures.total() > 1
        if event.step == Step.DIVIDE:
            self.find(f"job {group[0]} cannot be divided")
        elif event.step != Step.REFUSE and event.failure == Failure.REFUSED:
            self.find(f"job {group[0]} is tried again although it was refused")
        elif event.step == Step.REFUSE:
            self._refuse(failures[event.failure], group[0], event.failure)
            del left.failures[group]
        if breaks_the_line and event.step == Step.AGAIN_WHEN_BACK:
            left.put_off.append(group)
        else:
            left.groups.appendleft(group)

    def _refuse(self, failures: int, job: UUID, failure: str) -> None:
        least = {
            Failure.REFUSED: 1,
            Failure.UNKNOWN: UNKNOWN_TRIES_MIN,
            Failure.CONNECTION: LINE_BREAKS_MIN,
        }.get(Failure(failure))
        if least is None or failures < least:
            self.find(f"job {job} is given up after {failures} times '{failure}'")

    def _stored(self, _happening: Happening, event: BatchStored) -> None:
        group = tuple(event.jobs)
        left = self._line_of(event.worker, group)
        self._take_turn(left, group)
        left.failures.pop(group, None)

    def _abandoned(self, _happening: Happening, event: OutcomeAbandoned) -> None:
        group = (event.job,)
        self._take_turn(self._line_of(event.worker, group), group)

    def _line_of(self, worker: UUID, group: Group) -> _Left:
        """Where the group is owed; else where nothing is: a helper stores batches of its own."""
        lines = self._left.setdefault(worker, [_Left() for _ in range(self._lines)])
        owing = [left for left in lines if left.owes(group)]
        if len(owing) > 1:
            for left in owing:
                left.forgive()
        return min(
            lines, key=lambda left: (not left.owes(group), bool(left.groups), bool(left.put_off))
        )

    def _take_turn(self, left: _Left, group: Group) -> None:
        """A group was tried: it must be the first of those that are owed, if any are."""
        if group in left.put_off:
            left.put_off.remove(group)
        elif left.groups and left.groups[0] == group:
            left.groups.popleft()
        elif left.groups:
            self.find(f"{_named(group)} came before {_named(left.groups[0])}, which had failed")
            left.groups.clear()

    def _over(self, _happening: Happening, event: LeaseTaken) -> None:
        self._left.pop(event.worker, None)


class RefusedAlone(Oracle):
    """Invariant 5: a refused outcome costs no other job its own.

    The server refuses a commit only for a result that it cannot hold, and only that result is
    replaced by a failure, when it was tried alone. Allowed: the batch of an agent is too large for
    somebody on its way to the server.
    """

    name = "refused alone"
    invariant = 5

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__(plan, facts)
        self._poisoned: set[tuple[UUID, UUID]] = set()
        self._last: dict[UUID, CommitFailed] = {}

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {
            BodyEnded: self._ended,
            CommitFailed: self._failed,
            OutcomeRefused: self._refused,
        }

    def _ended(self, _happening: Happening, event: BodyEnded) -> None:
        if isinstance(event.outcome, Succeeded) and (
            is_poison(event.outcome.result) or any(map(is_refused, event.outcome.statements))
        ):
            self._poisoned.add((event.worker, event.job))

    def _failed(self, _happening: Happening, event: CommitFailed) -> None:
        self._last[event.worker] = event
        if event.failure != Failure.REFUSED:
            return
        if event.size > 1 and event.message.startswith(TOO_LARGE):
            return
        if not any((event.worker, job) in self._poisoned for job in event.jobs):
            self.find(f"a commit of {_named(tuple(event.jobs))} was refused: {event.message}")

    def _refused(self, _happening: Happening, event: OutcomeRefused) -> None:
        last = self._last.get(event.worker)
        if last is None or list(last.jobs) != [event.job]:
            self.find(f"job {event.job} was refused, which was not tried alone")


def is_poison(result: bytes) -> bool:
    """Whether this is a result of one of the poisonous bodies."""
    return result.startswith((b'["\\u0000"', b"[1e200000"))


def _parts(group: Group, way: Way) -> list[Group]:
    """The groups that a failed one is divided into."""
    if way is Way.PER_JOB:
        return [(job,) for job in group]
    half = len(group) // 2
    return [group[:half], group[half:]]


def _named(group: Sequence[UUID]) -> str:
    return f"job {group[0]}" if len(group) == 1 else f"the batch of {len(group)} with {group[0]}"
