"""Tables of row versions: an update adds one, a delete marks one, and old ones stay until unseen.

Rule of this file: it stores and finds; who may see or lock what is `transaction`'s. A key has at
most one version that is not deleted, except while an update is under way.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from sim.database.rows import Row

if TYPE_CHECKING:
    from sim.database.transaction import Line, Transaction

R = TypeVar("R", bound=Row)


class Version(Generic[R]):
    """One state of a row: who made it and in which of its commands, who ended it, who holds it.

    `newer` is the state that an update put in its place, `line` where those stand who want it.
    """

    __slots__ = (
        "created_by",
        "created_in",
        "deleted_by",
        "deleted_in",
        "line",
        "locked_by",
        "newer",
        "row",
    )

    def __init__(self, row: R, created_by: "Transaction", created_in: int) -> None:
        self.row = row
        self.created_by = created_by
        self.created_in = created_in
        self.deleted_by: Transaction | None = None
        self.deleted_in = 0
        self.locked_by: Transaction | None = None
        self.newer: Version[R] | None = None
        self.line: Line | None = None


class Table(Generic[R]):
    """The versions of a table's rows by primary key.

    `check` raises `Refused` for a row that the columns or the constraints do not take.
    """

    def __init__(
        self, name: str, key: Callable[[R], Hashable], check: Callable[[R], object]
    ) -> None:
        self.name = name
        self.key = key
        self.check = check
        self._versions: dict[Hashable, list[Version[R]]] = {}

    def __repr__(self) -> str:
        return f"<table {self.name}, {len(self._versions)} keys>"

    def versions_of(self, key: Hashable) -> list[Version[R]]:
        """All versions with this key, oldest first."""
        return self._versions.get(key, [])

    def versions(self) -> Iterator[Version[R]]:
        """All versions, in the order in which their keys came."""
        for versions in list(self._versions.values()):
            yield from list(versions)

    def add(self, version: Version[R]) -> None:
        """Put in a version, a new one or one that a crash brought back (it may be there still)."""
        versions = self._versions.setdefault(self.key(version.row), [])
        if version not in versions:
            versions.append(version)

    def remove(self, version: Version[R]) -> None:
        """Take out a version that nobody can see any more; it may be gone already."""
        key = self.key(version.row)
        versions = self._versions.get(key)
        if versions is None or version not in versions:
            return
        versions.remove(version)
        if not versions:
            del self._versions[key]

    def committed(self) -> Iterator[R]:
        """The rows as somebody who asks now would see them."""
        for version in self.versions():
            made = version.created_by.committed
            if made and (version.deleted_by is None or not version.deleted_by.committed):
                yield version.row
