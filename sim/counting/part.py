"""A part of what is counted: some states, and what it takes to notice them."""

from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from trioworker.events import (
    Event,
)


class Part:
    """Some states that share what they remember. `seen` counts them."""

    states: ClassVar[tuple[str, ...]]

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        self._facts = facts
        self._seen = seen

    def handlers(self) -> Mapping[type[Event], Handler]:
        """Which events it looks at, and with what."""
        raise NotImplementedError
