"""Invariant 12: when faults stop, everything moves."""

from collections.abc import Mapping

from sim.happenings import Drained, Healed
from sim.oracles.base import Handler, Oracle
from sim.plan import Plan
from trioworker.events import Event


class Live(Oracle):
    """After the world has healed, all that was promised is completed within `drain_s`."""

    name = "live"
    invariant = 12

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._healed = False
        self._drained = False

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Healed: self._heal, Drained: self._drain}

    def _heal(self, *_: object) -> None:
        self._healed = True

    def _drain(self, *_: object) -> None:
        self._drained = True

    def at_the_end(self) -> None:
        """See `Oracle.at_the_end`."""
        if self._healed and not self._drained:
            self.find(f"the queue did not drain in {self.plan.drain_s:g} s without faults")
