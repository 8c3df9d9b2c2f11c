"""What a benchmark hands back, and the small statistics that it is made of.

Rule of this file: numbers in, numbers and text out; it measures nothing and prints nothing.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Figure: TypeAlias = float | int | str | None

DIGITS: Final = 4
"""Significant digits of a figure: more would be noise."""


@dataclass(frozen=True)
class Measured:
    """One benchmark's answer.

    `about` says in a sentence or two what was measured and how. `columns` and `rows` are a table
    for people, `figures` the same and more for programs, by key.
    """

    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Samples:
    """Repeated measurements of one thing."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def percentile(self, percent: int) -> float:
        """The value that `percent` of them do not exceed (nearest rank)."""
        ordered = sorted(self.values)
        rank = -(-len(ordered) * percent // 100)
        return ordered[max(0, rank - 1)]

    def scaled(self, factor: float) -> "Samples":
        """The same in another unit."""
        return Samples([value * factor for value in self.values])

    @property
    def spread(self) -> str:
        """The lowest and the highest, for people."""
        return f"{shown(min(self.values))} … {shown(max(self.values))}"

    def shown(self) -> tuple[str, str]:
        """Two cells of a table: the median and the spread."""
        return shown(self.median), self.spread


def ratio(above: float, below: float) -> float | None:
    """How many times `below` fits into `above`; None when nothing can be said."""
    return above / below if below > 0 else None


def rounded(figure: Figure) -> Figure:
    """A float to `DIGITS` significant digits; anything else as it is."""
    return float(f"{figure:.{DIGITS}g}") if isinstance(figure, float) else figure


def shown(value: float | None) -> str:
    """A number for people: thousands apart, three digits where they matter."""
    if value is None:
        return "-"
    if abs(value) >= 100:  # noqa: PLR2004 - from here on decimals say nothing
        return f"{value:,.0f}"
    return f"{value:.2f}"
