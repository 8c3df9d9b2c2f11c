"""Which jobs a worker takes: those of its tags, and of a higher ranked tag before all others.

Rule of this file: a rank is the worker's, not the job's. Two workers may rank the same tags in
different ways, so that each looks after one of them first and none is ever left alone.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

RANK_MIN: Final = -32_768
RANK_MAX: Final = 32_767
MARK: Final = "="
"""Between a tag and its rank, where both are written."""
OWN: Final = "worker:"
"""How the tag of jobs begins that one worker alone may run."""


class Tags(msgspec.Struct, frozen=True):
    """Tags and their ranks, as parallel columns; jobs of the highest rank are claimed first."""

    names: tuple[str, ...]
    ranks: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.ranks), f"{len(self.ranks)} ranks of {self.names}"

    def __str__(self) -> str:
        return ",".join(self.shown())

    def with_own(self, worker: UUID) -> "Tags":
        """These, and the worker's own, whose jobs come first: what was begun is ended."""
        own = own_tag(worker)
        return self if own in self.names else Tags((*self.names, own), (*self.ranks, RANK_MAX))

    def shown(self) -> Sequence[str]:
        """Each tag as it is given to a worker: with its rank, unless that is 0."""
        return [*map(_shown, self.names, self.ranks)]


def unranked(*names: str) -> Tags:
    """Tags of equal rank: among their jobs only the jobs' own order counts."""
    return Tags(names, (0,) * len(names))


def own_tag(worker: UUID) -> str:
    """The tag of the jobs that only this worker may run; nobody else asks for it."""
    return f"{OWN}{worker}"


def worker_of(tag: str) -> UUID | None:
    """The worker whose own tag this is, if it is one."""
    if not tag.startswith(OWN):
        return None
    try:
        return UUID(tag.removeprefix(OWN))
    except ValueError:
        return None


def _shown(name: str, rank: int) -> str:
    # A name with the mark in it would be read as a rank.
    return f"{name}{MARK}{rank}" if rank or MARK in name else name
