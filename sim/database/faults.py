"""What can go wrong between a worker and its database, and the seam where that is decided.

Rule of this file: names only. When and how often is `sim.plan`'s; what each of them does to the
server and to the client is `sim.database.wire`'s.
"""

from enum import StrEnum
from typing import Final, NamedTuple, Protocol


class Kind(StrEnum):
    """The faults of one exchange with the server."""

    CONNECT_REFUSED = "connect refused"
    TOO_MANY_CONNECTIONS = "too many connections"
    LOST_BEFORE = "line lost before the effect"
    LOST_AFTER = "line lost after the effect"
    SLOW = "slow"
    STALLED_BEFORE = "stalled, then carried out"
    STALLED_AFTER = "carried out, then the reply stalled"
    DEADLOCK = "deadlock"
    SERIALIZATION = "serialization failure"
    LOCK_TIMEOUT = "lock timeout"
    TERMINATED = "backend terminated"
    DISK_FULL = "disk full"
    INTERNAL = "internal error"


SQLSTATES: Final = {
    Kind.TOO_MANY_CONNECTIONS: "53300",
    Kind.DEADLOCK: "40P01",
    Kind.SERIALIZATION: "40001",
    Kind.LOCK_TIMEOUT: "55P03",
    Kind.DISK_FULL: "53100",
    Kind.INTERNAL: "XX000",
}
"""Those that are an answer of the server, with its code."""


class Fault(NamedTuple):
    """A fault that happens now; `delay_s` is for those that take time."""

    kind: Kind
    delay_s: float = 0.0


class Faults(Protocol):
    """Decides about every exchange."""

    def at(self, actor: str, place: str) -> Fault | None:
        """The fault of the next exchange of `actor` at `place`: a query, "connect", "begin"."""
        ...

    def luck(self, actor: str, place: str) -> float:
        """A number from 0 to 1 for what is left to chance there."""
        ...

    def latency_s(self, actor: str) -> float:
        """How long the next message is on its way."""
        ...


class NoFaults:
    """A perfect world, in which everything takes `latency_s`."""

    def __init__(self, latency_s: float = 0.0005) -> None:
        self._latency_s = latency_s

    def at(self, actor: str, place: str) -> Fault | None:  # noqa: ARG002 - see `Faults`
        """None."""
        return None

    def luck(self, actor: str, place: str) -> float:  # noqa: ARG002 - see `Faults`
        """The middle."""
        return 0.5

    def latency_s(self, actor: str) -> float:  # noqa: ARG002 - see `Faults`
        """Always the same."""
        return self._latency_s
