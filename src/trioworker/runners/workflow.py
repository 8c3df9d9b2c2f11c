"""What a running attempt may ask of its worker, beside being run.

Rule of this file: it is asked on Trio, in the tasks of the attempt. It waits for the store as long
as that takes; it never says that something is stored which is not.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from trioworker.model.job import NewJob
from trioworker.model.workflow import ChildEnd, Placed


class Workflow(Protocol):
    """The children and the steps of one attempt."""

    async def now(self) -> datetime:
        """The time by the database's clock."""
        ...

    async def enqueue(self, jobs: Sequence[NewJob]) -> Placed:
        """Enqueue children. Raises `StoreError` for what the database will not take."""
        ...

    async def ends(self, ids: Sequence[UUID], *, all_of_them: bool) -> Mapping[UUID, ChildEnd]:
        """How the children have ended, once all of them have.

        Or, if it is not to be `all_of_them`, once one has ended without success. The attempt has no
        slot meanwhile.
        """
        ...

    async def steps(self) -> Mapping[str, str]:
        """The results of its steps that are stored, by their names."""
        ...

    async def store_step(self, name: str, result: str) -> None:
        """Store the result of a step, which is JSON. Raises `StoreError` as `enqueue` does."""
        ...
