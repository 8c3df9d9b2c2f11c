"""How jobs that restart come again."""

from collections.abc import Mapping

from sim.counting.part import Part
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler
from sim.oracles.follow_ups import CLIENT, rests_s
from trioworker.events import Event


class Restarts(Part):
    """How jobs that restart come again."""

    states = (
        "a job restarted that rests for a while first",
        "a job restarted at once after a long run",
    )

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {Committed: self._committed}

    def _committed(self, happening: Happening, event: Committed) -> None:
        if happening.actor == CLIENT:
            return
        for rest_s in rests_s(self._facts, event):
            rests = "that rests for a while first" if rest_s else "at once after a long run"
            self._seen[f"a job restarted {rests}"] += 1
