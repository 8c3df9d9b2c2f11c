"""What a reader of a trace is: it turns the events of one concern into deeds."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from sim.happenings import Happening
from sim.lab.chronicle.deed import Deed
from trioworker.events import Event

Reads: TypeAlias = Mapping[type[Event], Callable[[Happening, Any], Iterable[Deed]]]


class Reader(Protocol):
    """Reads the trace once, in order; the ledger is ahead of it by the happening at hand."""

    def reads(self) -> Reads:
        """Which events it reads, and with what."""
        ...

    def end(self, at_s: float) -> Iterable[Deed]:
        """The trace ended: what is still open, and a last look at what was told."""
        ...
