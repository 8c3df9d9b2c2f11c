"""Which jobs a worker takes: those of its tags, and of a higher ranked tag before all others.

Rule of this file: a rank is the worker's, not the job's. Two workers may rank the same tags in
different ways, so that each looks after one of them first and none is ever left alone.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

RANK_MIN: Final = -32_768
RANK_MAX: Final = 32_767
MARK: Final = "="
"""Between a tag and its rank, where both are written."""


class Tags(msgspec.Struct, frozen=True):
    """Tags and their ranks, as parallel columns; jobs of the highest rank are claimed first."""

    names: tuple[str, ...]
    ranks: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.ranks), f"{len(self.ranks)} ranks of {self.names}"

    def __str__(self) -> str:
        return ",".join(self.shown())

    def shown(self) -> Sequence[str]:
        """Each tag as it is given to a worker: with its rank, unless that is 0."""
        return [*map(_shown, self.names, self.ranks)]


def unranked(*names: str) -> Tags:
    """Tags of equal rank: among their jobs only the jobs' own order counts."""
    return Tags(names, (0,) * len(names))


def _shown(name: str, rank: int) -> str:
    # A name with the mark in it would be read as a rank.
    return f"{name}{MARK}{rank}" if rank or MARK in name else name
