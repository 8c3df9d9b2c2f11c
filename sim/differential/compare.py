"""The same history on both sides, the first difference, and a history cut down to it.

Rule of this file: PostgreSQL leaves some things open (who of two that are woken together comes
first, the order of rows), so what it did must be among what the model may do. Before a difference
is believed the model plays again with other luck, as often as it takes, in a climb: luck is kept
as far as it agrees with PostgreSQL. Nothing else is forgiven.
"""

from collections.abc import Callable, Mapping
from itertools import count
from random import Random
from typing import Final, NamedTuple

import msgspec

from sim.differential.answers import Transcript
from sim.differential.history import SESSIONS_MAX, History
from sim.differential.modelled import Modelled, play_modelled

TRIES_FOR_A_CHANCE: Final = 100
TRIES_AT_MOST: Final = 300
TRIES_WHILE_SHRINKING: Final = 2
ENDING: Final = SESSIONS_MAX**2
Play = Callable[[History], Transcript]


class Difference(NamedTuple):
    """Both transcripts of a history; `step` is the first that differs, None when only rows do."""

    history: History
    real: Transcript
    modelled: Transcript
    step: int | None


class Comparison(NamedTuple):
    """How a history went; `tries` is how many plays of the model it took."""

    real: Transcript
    difference: Difference | None
    tries: int


def compare(
    real: Play, history: History, *, tries_for_a_chance: int = TRIES_FOR_A_CHANCE
) -> Comparison:
    """Play a history on both sides."""
    seen = real(history)
    climb = _Climb(history, seen)
    while climb.difference is not None and climb.go_on(tries_for_a_chance):
        pass
    return Comparison(seen, climb.difference, climb.tries)


class _Climb:
    """The play of the model that agreed longest with what was seen, and the luck it had."""

    def __init__(self, history: History, real: Transcript) -> None:
        self._history = history
        self._real = real
        self._rng = Random("which chance to take otherwise")
        self._luck: Mapping[int, int] = {}
        self.tries = 1
        self._modelled = play_modelled(history, {})
        self.difference = self._compared(self._modelled)

    def go_on(self, tries_for_a_chance: int) -> bool:
        """Play once more with other luck in one step; False when chance is not to blame."""
        chances = [step for step in self._modelled.chances if step <= self._agreed(self.difference)]
        if self.tries > min(tries_for_a_chance * len(chances), TRIES_AT_MOST):
            return False
        step = self._rng.choice((chances[-1], *chances))
        luck = {**self._luck, step: self.tries}
        self.tries += 1
        modelled = play_modelled(self._history, luck)
        difference = self._compared(modelled)
        if self._agreed(difference) >= self._agreed(self.difference):
            self._luck, self._modelled, self.difference = luck, modelled, difference
        return True

    def _compared(self, modelled: Modelled) -> Difference | None:
        real, other = self._real, modelled.transcript
        pairs = zip(real.seen, other.seen, strict=True)
        step = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
        if step is None and real.contents == other.contents:
            return None
        return Difference(self._history, real, other, step)

    def _agreed(self, difference: Difference | None) -> int:
        """How many steps agreed."""
        everything = len(self._history.steps)
        if difference is None:
            return everything + 1
        return everything if difference.step is None else difference.step


def shrunk(real: Play, difference: Difference) -> Difference:
    """A difference of a history from which nothing more can be left out."""
    smallest = difference
    for part in ("steps", "rows"):
        smallest = _shrunk(real, smallest, part)
    # With few tries a race may pass for a difference.
    return compare(real, smallest.history).difference or difference


def _shrunk(real: Play, difference: Difference, part: str) -> Difference:
    """Leave out eight at a time as long as there is a difference, then two, then one."""
    for size in (8, 2, 1):
        start = 0
        while start < _size(difference.history, part):
            smaller = _without(difference.history, part, range(start, start + size))
            found = compare(real, smaller, tries_for_a_chance=TRIES_WHILE_SHRINKING).difference
            if found is None:
                start += size
            else:
                difference = found
    return difference


def _size(history: History, part: str) -> int:
    if part == "steps":
        return len(history.steps) - ENDING
    return sum(len(rows) for rows in history.scene.values())


def _without(history: History, part: str, left_out: range) -> History:
    if part == "steps":
        # Those that end the history stay.
        own = len(history.steps) - ENDING
        left = [s for n, s in enumerate(history.steps) if n not in left_out or n >= own]
        return msgspec.structs.replace(history, steps=left)
    numbers = count()
    scene = {
        table: [row for row in rows if next(numbers) not in left_out]
        for table, rows in history.scene.items()
    }
    scene = {table: rows for table, rows in scene.items() if rows}
    return msgspec.structs.replace(history, scene=scene)
