"""A deed: one thing that happened in a run, in words, with what it concerns.

Rule of this file: a deed is for people. It may be folded, left out or drawn; nothing is decided
from it.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final
from uuid import UUID


class Weight(IntEnum):
    """How much it matters to whoever reads a story."""

    ROUTINE = 0
    """Goes on all the time: statements, heartbeats."""
    NEWS = 1
    TROUBLE = 2
    FAULT = 3
    FINDING = 4


class Sort(StrEnum):
    """What sort of deed it is: each is told and drawn in its own way."""

    FINDING = "finding"
    FAULT = "fault"
    KILLED = "killed"
    PAUSED = "paused"
    RESUMED = "resumed"
    BORN = "born"
    REGISTERED = "registered"
    STOPPING = "stopping"
    EXITED = "exited"
    LEASE_DOUBTFUL = "lease in doubt"
    LEASE_TAKEN = "lease taken"
    REAPED = "reaped"
    SERVER_DOWN = "server down"
    SERVER_UP = "server up"
    CLOCK = "clock set"
    UNDONE = "undone by a crash"
    ENQUEUED = "enqueued"
    CANCELLED = "cancel asked"
    PULLED = "pulled"
    ADOPTED = "adopted"
    REPLY_LOST = "reply lost"
    RAN = "ran"
    STORED = "stored"
    COMMIT_FAILED = "commit failed"
    FALLBACK = "fallback"
    REFUSED = "refused"
    ABANDONED = "abandoned"
    TROUBLE = "trouble"
    PHASE = "phase"
    ROUTINE = "routine"


FAILED_COMMITS: Final = frozenset({Sort.COMMIT_FAILED, Sort.FALLBACK, Sort.REFUSED})

STRUCK: Final = frozenset(
    {Sort.KILLED, Sort.PAUSED, Sort.STOPPING, Sort.SERVER_DOWN, Sort.CLOCK, Sort.PHASE}
)
"""What the faults of the world do to whom they strike."""


@dataclass
class Deed:
    """One of them.

    It was over, or known, at virtual second `at_s`, and had begun at `since_s`. `who` is a life of
    a worker, by name, or whoever else did it or was struck; `actor` the process. `jobs` are those
    that it concerns. `outcome` is how it ended, for what can end in several ways. `fault` is the
    name of the fault that it is, as a plan knows it, and `place` where that struck.
    """

    at_s: float
    actor: str
    sort: Sort
    text: str
    who: str = ""
    jobs: list[UUID] = field(default_factory=list)
    weight: Weight = Weight.NEWS
    since_s: float = -1.0
    outcome: str = ""
    place: str = ""
    fault: str = ""

    def __post_init__(self) -> None:
        self.who = self.who or self.actor
        if self.since_s < 0:
            self.since_s = self.at_s
