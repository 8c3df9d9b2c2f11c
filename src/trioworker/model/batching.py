"""How batches are cut: the sizes a mode allows, and how a failed batch is divided.

Rule of this file: the one number. `BatchSizes` is made once from the mode; every other part asks
it instead of asking for the mode, so the strict gating cannot be forgotten in a corner.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from trioworker.model.outcome import Begun, Executed, Succeeded
from trioworker.model.script import DEPENDENCIES

T = TypeVar("T")

DEFAULT_PULL_SIZE: Final = 100
DEFAULT_COMMIT_SIZE: Final = 500
SIZE_MAX: Final = 10_000
BYTES_MAX: Final = 64 * 1024 * 1024
"""Results and logs that may share a transaction; the protocol's own limit is a message of 1 GB."""


class Mode(StrEnum):
    """What kind of process this is. Only AGENT_BATCH ever sees a batch larger than one."""

    STANDALONE = "standalone"
    SERVER = "server"
    WORKER = "worker"
    AGENT = "agent"
    AGENT_BATCH = "agent-batch"

    @property
    def batches(self) -> bool:
        """Whether more than one job may travel in a statement."""
        return self is Mode.AGENT_BATCH

    @property
    def works(self) -> bool:
        """Whether there is a worker in it."""
        return self is not Mode.SERVER

    @property
    def serves(self) -> bool:
        """Whether it takes requests without being told where."""
        return self in {Mode.STANDALONE, Mode.SERVER}


class Fallback(StrEnum):
    """How a failed batch is divided: one by one, or by halves down to one."""

    PER_JOB = "per-job"
    BISECT = "bisect"


class BatchPolicy(StrEnum):
    """Which outcomes may share a commit: all of them, or only the simple ones."""

    FULL = "full"
    SIMPLE = "simple"


class NotSimple(StrEnum):
    """Why the simple policy commits an outcome on its own, as the system before us did."""

    NOT_A_SUCCESS = "the job did not succeed"
    HAS_LOG = "the job wrote a log"
    AWAITED = "somebody waits for the job"
    PREPROCESSED = "its script made other arguments of its own"
    DEPENDENCIES = "its result is the lock of a script"
    FLOW = "the job is a flow, which begins"
    STEP = "the job is a step, whose flow goes on"
    HAS_EFFECTS = "its end stores more than its own row"


class BatchSizes(msgspec.Struct, frozen=True):
    """The caps of one worker: jobs a pull may claim and outcomes a commit may store."""

    pull: int
    commit: int


def sizes_for(mode: Mode, *, pull: int, commit: int) -> BatchSizes:
    """The caps that `mode` allows: as asked in agent-batch, one everywhere else."""
    return BatchSizes(pull, commit) if mode.batches else BatchSizes(1, 1)


def why_not_simple(executed: Executed) -> NotSimple | None:
    """The reason that keeps an outcome out of a batch under the simple policy, or None."""
    if not isinstance(executed.outcome, Succeeded):
        return NotSimple.FLOW if isinstance(executed.outcome, Begun) else NotSimple.NOT_A_SUCCESS
    gave = executed.labels or executed.progress is not None or executed.outcome.statements
    reasons = {
        NotSimple.STEP: executed.job.options.step is not None,
        NotSimple.HAS_LOG: executed.log,
        NotSimple.AWAITED: executed.job.awaited,
        NotSimple.PREPROCESSED: executed.preprocessed is not None,
        NotSimple.DEPENDENCIES: executed.job.kind == DEPENDENCIES,
        NotSimple.HAS_EFFECTS: gave or executed.job.options.has_effects,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def cut(batch: Sequence[Executed], policy: BatchPolicy) -> list[list[Executed]]:
    """Divide what waits for a commit into the groups that may share a transaction, in order.

    No group has a job twice. A worker has when the server crashed, forgot its claim and gave it
    the job again: then one outcome counts, and the fence drops the other. In one transaction both
    would fit the claim, and the job could be completed and ready at once.
    """
    if len({executed.job.id for executed in batch}) < len(batch):
        once, again = _once_each(batch)
        return [*cut(once, policy), *cut(again, policy)]
    if policy is BatchPolicy.FULL:
        return _within_bytes(batch)
    simple = [executed for executed in batch if why_not_simple(executed) is None]
    others = [[executed] for executed in batch if why_not_simple(executed) is not None]
    return [*_within_bytes(simple), *others] if simple else others


def _once_each(batch: Sequence[Executed]) -> tuple[list[Executed], list[Executed]]:
    """The first outcome of each job, and the others."""
    first = {executed.job.id: place for place, executed in reversed([*enumerate(batch)])}
    once = [executed for place, executed in enumerate(batch) if first[executed.job.id] == place]
    again = [executed for place, executed in enumerate(batch) if first[executed.job.id] != place]
    return once, again


def _within_bytes(batch: Sequence[Executed]) -> list[list[Executed]]:
    """`batch` in as few groups of at most `BYTES_MAX` as possible; a single outcome may exceed."""
    sizes = [_bytes(executed) for executed in batch]
    if sum(sizes) <= BYTES_MAX:
        return [list(batch)]
    groups: list[list[Executed]] = []
    room = 0
    for executed, size in zip(batch, sizes, strict=True):
        if size > room or not groups:
            groups.append([])
            room = BYTES_MAX
        groups[-1].append(executed)
        room -= size
    return groups


def _bytes(executed: Executed) -> int:
    outcome = executed.outcome
    said = len(executed.log) + len(executed.preprocessed or "")
    if not isinstance(outcome, Succeeded):
        return said
    handed_over = sum(statement.size for statement in outcome.statements)
    return said + len(outcome.result) + handed_over


def divide(batch: Sequence[T], fallback: Fallback) -> list[list[T]]:
    """The smaller groups that a failed batch of two or more is tried in, in order."""
    assert len(batch) > 1
    if fallback is Fallback.PER_JOB:
        return [[item] for item in batch]
    half = len(batch) // 2
    return [list(batch[:half]), list(batch[half:])]
