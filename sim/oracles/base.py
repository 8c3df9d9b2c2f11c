"""What an oracle is: one property, watched from the trace and nothing else.

Rule of these files: one class per property, fed by happenings, as small as the property. An oracle
knows what the invariant allows, and why, and reports each breach once.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple

from sim.happenings import Happening
from sim.plan import Plan
from trioworker.events import Event

Handler = Callable[[Happening, Any], None]


class Finding(NamedTuple):
    """A breach: which oracle found it, what is wrong, at which virtual second."""

    oracle: str
    message: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.oracle} at {self.at_s:.4f} s: {self.message}"


class Oracle:
    """Base of all. `invariant` is the number in the list of invariants, 0 for hygiene."""

    name: ClassVar[str]
    invariant: ClassVar[int] = 0

    def __init__(self, plan: Plan) -> None:
        self.plan: Final = plan
        self.now_s = 0.0
        self._handlers = self.handlers()
        self._report: Callable[[Finding], None] = _nobody

    def handlers(self) -> Mapping[type[Event], Handler]:
        """Which events it looks at, and with what: called with the happening and its event."""
        raise NotImplementedError

    def see(self, happening: Happening) -> None:
        """Look at one happening."""
        self.now_s = happening.at_s
        handler = self._handlers.get(type(happening.event))
        if handler is not None:
            handler(happening, happening.event)

    def at_the_end(self) -> None:
        """The world is over: say what is missing."""

    def report_to(self, report: Callable[[Finding], None]) -> None:
        """Where findings go."""
        self._report = report

    def find(self, message: str) -> None:
        """Report a breach."""
        self._report(Finding(self.name, message, self.now_s))


def _nobody(finding: Finding) -> None:
    raise AssertionError(f"nobody listens to {finding}")
